//! Values that many tokens share, kept once, under a small number.

use std::{borrow::Borrow, collections::HashMap, hash::Hash, sync::Arc};

/// Keys with a number each, and something known about every key. A key goes when nobody uses its number any more.
#[derive(Debug)]
pub(super) struct Interner<K: ?Sized, V> {
    numbers: HashMap<Arc<K>, u32>,
    entries: Vec<Option<Entry<K, V>>>,
    free: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct Entry<K: ?Sized, V> {
    pub(super) key: Arc<K>,
    pub(super) value: V,
    users: u32,
}

impl<K: ?Sized, V> Default for Interner<K, V> {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            entries: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<K: ?Sized + Hash + Eq, V: Default> Interner<K, V> {
    /// The number of `key`, with one user more.
    pub(super) fn acquire<Q>(&mut self, key: Q) -> u32
    where
        Q: Borrow<K> + Into<Arc<K>>,
    {
        if let Some(&number) = self.numbers.get(key.borrow()) {
            if let Some(Some(entry)) = self.entries.get_mut(number as usize) {
                entry.users += 1;
            }
            return number;
        }
        let key: Arc<K> = key.into();
        let entry = Some(Entry {
            key: Arc::clone(&key),
            value: V::default(),
            users: 1,
        });
        let number = match self.free.pop() {
            Some(number) => {
                self.entries[number as usize] = entry;
                number
            }
            None => {
                self.entries.push(entry);
                // There are no more numbers than there are positions for records, and those are 32 bits.
                (self.entries.len() - 1) as u32
            }
        };
        self.numbers.insert(key, number);
        number
    }

    /// One user of `number` less. Returns the entry when that was the last.
    pub(super) fn release(&mut self, number: u32) -> Option<Entry<K, V>> {
        let slot = self.entries.get_mut(number as usize)?;
        let entry = slot.as_mut()?;
        entry.users -= 1;
        if entry.users > 0 {
            return None;
        }
        self.numbers.remove(&entry.key);
        self.free.push(number);
        slot.take()
    }

    pub(super) fn number(&self, key: &K) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    pub(super) fn get(&self, number: u32) -> Option<&Entry<K, V>> {
        self.entries.get(number as usize)?.as_ref()
    }

    pub(super) fn value_mut(&mut self, number: u32) -> Option<&mut V> {
        let entry = self.entries.get_mut(number as usize)?.as_mut()?;
        Some(&mut entry.value)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry<K, V>> {
        self.entries.iter_mut().flatten()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Entry<K, V>)> {
        (0..)
            .zip(&self.entries)
            .filter_map(|(number, entry)| Some((number, entry.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_its_number_while_it_is_used() {
        let mut names: Interner<str, bool> = Interner::default();
        let (a, b) = (names.acquire("a"), names.acquire("b"));
        assert!(a != b && names.acquire("a") == a);
        *names.value_mut(a).unwrap() = true;
        assert!(names.release(a).is_none() && names.get(a).unwrap().value);
        assert!(names.release(a).is_some() && names.get(a).is_none() && names.number("a").is_none());
        let c = names.acquire("c");
        assert!(
            c == a && !names.get(c).unwrap().value,
            "the number is given again, and knows nothing"
        );
        assert_eq!(
            names.iter().map(|(_, entry)| &*entry.key).collect::<Vec<_>>(),
            ["c", "b"]
        );
        assert!(names.release(99).is_none());
    }
}
