//! Where records live: pages of bytes, written one after the other.
//!
//! A million small allocations would cost more in headers and rounding than some of the fields they hold. A page of which
//! more than half is dead is emptied by its owner, who moves the living records elsewhere.

const PAGE: usize = 1 << 16;

/// The length of every record is a multiple of this.
pub(super) const ALIGNMENT: usize = 4;

/// Where a record is: its page and its offset there. Stays good until the record is moved or given up.
///
/// Two bits are left over, and tell apart up to four entries of one table that lead to one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position(u32);

impl Position {
    fn new(page: usize, offset: usize) -> Option<Self> {
        let page = u16::try_from(page).ok()?;
        let offset = u16::try_from(offset).ok()?;
        Some(Self(u32::from(page) << 14 | u32::from(offset) >> 2))
    }

    pub(super) fn page(self) -> usize {
        (self.0 >> 14 & 0xffff) as usize
    }

    fn offset(self) -> usize {
        (self.0 & 0x3fff) as usize * ALIGNMENT
    }

    /// The entry for this position with that ordinal. None: there are too many.
    pub(super) fn with_ordinal(self, ordinal: usize) -> Option<Self> {
        let ordinal = u32::try_from(ordinal).ok().filter(|&ordinal| ordinal < 4)?;
        Some(Self(self.0 & 0x3fff_ffff | ordinal << 30))
    }

    pub(super) fn ordinal(self) -> usize {
        (self.0 >> 30) as usize
    }
}

#[derive(Debug, Default)]
pub(super) struct Arena {
    pages: Vec<Page>,
    /// Pages that hold nothing, to be filled again.
    free: Vec<usize>,
    current: usize,
}

#[derive(Debug, Default)]
struct Page {
    bytes: Vec<u8>,
    dead: usize,
}

impl Arena {
    /// Stores a record. None: it is larger than a page or not aligned, or all of the four gigabytes are in use.
    pub(super) fn insert(&mut self, record: &[u8]) -> Option<Position> {
        if record.len() > PAGE || !record.len().is_multiple_of(ALIGNMENT) {
            return None;
        }
        let fits = |page: &Page| page.bytes.capacity() > 0 && page.bytes.len() + record.len() <= PAGE;
        if !self.pages.get(self.current).is_some_and(fits) {
            let full = self.pages.get(self.current);
            if full.is_some_and(|page| page.dead == page.bytes.len() && page.dead > 0) {
                // Nothing that lives is left in it, so no death to come would give it back.
                self.clear(self.current);
            }
            let next = self.free.pop().unwrap_or(self.pages.len());
            Position::new(next, 0)?;
            if next == self.pages.len() {
                self.pages.push(Page::default());
            }
            self.pages[next].bytes.reserve_exact(PAGE);
            self.current = next;
        }
        let page = &mut self.pages[self.current];
        let position = Position::new(self.current, page.bytes.len())?;
        page.bytes.extend_from_slice(record);
        Some(position)
    }

    /// The page from `position` on: a record knows its own length.
    pub(super) fn get(&self, position: Position) -> &[u8] {
        self.pages
            .get(position.page())
            .and_then(|page| page.bytes.get(position.offset()..))
            .unwrap_or_default()
    }

    pub(super) fn get_mut(&mut self, position: Position) -> &mut [u8] {
        self.pages
            .get_mut(position.page())
            .and_then(|page| page.bytes.get_mut(position.offset()..))
            .unwrap_or_default()
    }

    /// Counts `length` bytes as dead, and tells whether their page is now better emptied.
    pub(super) fn give_up(&mut self, position: Position, length: usize) -> bool {
        let current = self.current == position.page();
        let Some(page) = self.pages.get_mut(position.page()) else {
            return false;
        };
        page.dead += length;
        page.dead * 2 > PAGE && !current
    }

    /// The position `offset` bytes into a page, while there is something.
    pub(super) fn position(&self, page: usize, offset: usize) -> Option<Position> {
        (offset < self.pages.get(page)?.bytes.len())
            .then(|| Position::new(page, offset))
            .flatten()
    }

    /// Forgets a page whose records have all been moved or given up.
    pub(super) fn clear(&mut self, page: usize) {
        self.pages[page] = Page::default();
        self.free.push(page);
    }

    /// How many bytes are taken from the allocator.
    pub(super) fn allocated(&self) -> usize {
        let pages: usize = self.pages.iter().map(|page| page.bytes.capacity()).sum();
        pages + self.pages.capacity() * size_of::<Page>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_stay_where_they_are_and_pages_are_filled_again() {
        let mut arena = Arena::default();
        let record = [7; 1000];
        let positions: Vec<_> = (0..200).map(|_| arena.insert(&record).unwrap()).collect();
        assert_eq!(positions[65].page(), 1);
        assert!(positions.iter().all(|&position| arena.get(position)[..1000] == record));
        let due: Vec<_> = positions[..65].iter().filter(|&&at| arena.give_up(at, 1000)).collect();
        assert_eq!(due.len(), 65 - 32);
        arena.clear(0);
        let again: Vec<_> = (0..65).map(|_| arena.insert(&record).unwrap().page()).collect();
        assert!(again.contains(&0) && arena.pages.len() == 4);
    }

    #[test]
    fn a_page_in_which_everything_died_while_it_was_filled_is_given_back() {
        let mut arena = Arena::default();
        for _ in 0..1000 {
            let position = arena.insert(&[1; 1000]).unwrap();
            arena.give_up(position, 1000);
        }
        assert_eq!(arena.pages.len(), 1);
    }

    #[test]
    fn a_position_has_four_ordinals() {
        let mut arena = Arena::default();
        arena.insert(&[1; 4000]);
        let position = arena.insert(&[2; 4]).unwrap();
        let third = position.with_ordinal(3).unwrap();
        assert_eq!((third.page(), third.offset(), third.ordinal()), (0, 4000, 3));
        assert_eq!(position.with_ordinal(4), None);
    }

    #[test]
    fn what_is_larger_than_a_page_is_not_stored() {
        assert_eq!(Arena::default().insert(&[0; PAGE + 1]), None);
    }
}
