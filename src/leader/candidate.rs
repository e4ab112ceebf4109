//! When a candidate may take the lease.

use std::time::Duration;

use tokio::time::Instant;

/// A lease as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// None: nobody.
    pub(super) holder: Option<String>,
    /// Its resourceVersion, which every renewal changes.
    pub(super) version: Option<String>,
    /// How long its holder asks the others to wait.
    pub(super) duration: Duration,
}

/// What to do about a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// It is free, or not there.
    Take,
    /// Its holder may still lead, until then if it shows no sign of life.
    Wait { holder: String, until: Instant },
}

/// What one candidate has seen of the lease.
///
/// The times that are written into a lease are never compared: its holder's clock may be wrong by any amount. What
/// counts is when this candidate last saw it change.
#[derive(Debug)]
pub(super) struct Candidate {
    identity: String,
    duration: Duration,
    seen: Option<Sighting>,
}

/// A holder's last sign of life.
#[derive(Debug)]
struct Sighting {
    holder: String,
    version: Option<String>,
    free_at: Instant,
}

impl Candidate {
    pub(super) fn new(identity: String, duration: Duration) -> Self {
        Self {
            identity,
            duration,
            seen: None,
        }
    }

    /// Notes what was found of the lease, if it is there, and says what to do. `now` is after it was read.
    pub(super) fn next(&mut self, found: Option<Found>, now: Instant) -> Move {
        if let Some(found) = found {
            self.note(found, now);
        }
        // One that is gone has not been released: whoever held it does not know yet.
        match &self.seen {
            Some(seen) if now < seen.free_at => Move::Wait {
                holder: seen.holder.clone(),
                until: seen.free_at,
            },
            _ => Move::Take,
        }
    }

    fn note(&mut self, found: Found, now: Instant) {
        let Some(holder) = found.holder.filter(|holder| *holder != self.identity) else {
            // Released; or taken by this candidate, which did not get to know.
            self.seen = None;
            return;
        };
        if self.seen.as_ref().is_some_and(|seen| seen.version == found.version) {
            return;
        }
        self.seen = Some(Sighting {
            holder,
            version: found.version,
            free_at: now + found.duration.max(self.duration),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Candidate b, with a duration of 12 s, and when it begins to look.
    struct Table(Candidate, Instant);

    impl Table {
        fn new() -> Self {
            Self(Candidate::new("b".to_owned(), 12 * SECOND), Instant::now())
        }

        /// What it does at this second, having found this.
        fn at(&mut self, second: u32, found: Option<Found>) -> Option<(String, u64)> {
            match self.0.next(found, self.1 + second * SECOND) {
                Move::Take => None,
                Move::Wait { holder, until } => Some((holder, (until - self.1).as_secs())),
            }
        }
    }

    fn held(holder: &str, version: u32, seconds: u32) -> Option<Found> {
        Some(Found {
            holder: Some(holder.to_owned()).filter(|holder| !holder.is_empty()),
            version: Some(version.to_string()),
            duration: seconds * SECOND,
        })
    }

    fn wait(holder: &str, second: u64) -> Option<(String, u64)> {
        Some((holder.to_owned(), second))
    }

    #[test]
    fn a_lease_that_was_never_seen_or_is_released_is_taken() {
        assert_eq!(Table::new().at(0, None), None);
        assert_eq!(Table::new().at(0, held("", 1, 12)), None);
        let mut table = Table::new();
        assert_eq!(table.at(0, held("a", 1, 12)), wait("a", 12));
        assert_eq!(table.at(1, held("", 2, 12)), None);
    }

    #[test]
    fn a_lease_is_free_when_it_has_not_changed_for_its_duration() {
        let mut table = Table::new();
        assert_eq!(table.at(0, held("a", 1, 12)), wait("a", 12));
        assert_eq!(table.at(11, held("a", 1, 12)), wait("a", 12));
        assert_eq!(table.at(11, held("a", 2, 12)), wait("a", 23));
        assert_eq!(table.at(22, held("a", 2, 12)), wait("a", 23));
        assert_eq!(table.at(23, held("a", 2, 12)), None);
    }

    #[test]
    fn the_longer_of_both_durations_counts() {
        assert_eq!(Table::new().at(0, held("a", 1, 60)), wait("a", 60));
        assert_eq!(Table::new().at(0, held("a", 1, 1)), wait("a", 12));
        assert_eq!(Table::new().at(0, held("a", 1, 0)), wait("a", 12));
    }

    #[test]
    fn another_holder_is_waited_for_anew() {
        let mut table = Table::new();
        assert_eq!(table.at(0, held("a", 1, 12)), wait("a", 12));
        assert_eq!(table.at(12, held("c", 2, 12)), wait("c", 24));
    }

    #[test]
    fn a_lease_that_is_deleted_is_not_released() {
        let mut table = Table::new();
        assert_eq!(table.at(0, held("a", 1, 12)), wait("a", 12));
        assert_eq!(table.at(5, None), wait("a", 12));
        assert_eq!(table.at(12, None), None);
    }

    #[test]
    fn what_it_holds_without_knowing_is_its_own() {
        let mut table = Table::new();
        assert_eq!(table.at(0, held("b", 1, 12)), None);
        assert_eq!(table.at(0, held("a", 2, 12)), wait("a", 12));
        assert_eq!(table.at(1, held("b", 3, 12)), None);
    }
}
