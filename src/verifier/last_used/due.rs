//! Whether a sighting is worth a write.

/// Whether something seen at `seen` is to be written where `known` is what was written last. All in seconds.
///
/// Forward only, and not before an interval has passed: so of two verifiers that saw the same token in the same interval
/// one finds nothing left to do.
pub(in crate::verifier) fn is_due(known: Option<i64>, seen: i64, interval: i64) -> bool {
    known.is_none_or(|known| known.saturating_add(interval) <= seen)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sighting_is_due_when_there_is_none_or_an_interval_has_passed() {
        let known = [
            None,
            Some(0),
            Some(400),
            Some(401),
            Some(1000),
            Some(2000),
            Some(i64::MAX),
        ];
        let due = known.map(|known| is_due(known, 1000, 600));
        assert_eq!(due, [true, true, true, false, false, false, false]);
    }

    /// One verifier between its read of a token and its write.
    #[derive(Clone, Copy, Default)]
    struct Replica {
        seen: Option<i64>,
        read: Option<(u32, Option<i64>)>,
    }

    proptest! {
        /// Two verifiers see, read and write in any order, with clocks that differ; the API server refuses a write that
        /// rests on an old version.
        #[test]
        fn two_verifiers_write_forward_and_once_in_an_interval(
            steps in proptest::collection::vec((0..2_usize, 0..3, 0..200_i64, -50..50_i64), 0..200),
            interval in 1..400_i64,
        ) {
            let (mut version, mut written, mut clock) = (0, Vec::<i64>::new(), 1000);
            let mut replicas = [Replica::default(); 2];
            for (which, step, passed, skew) in steps {
                clock += passed;
                let replica = &mut replicas[which];
                match (step, replica.seen, replica.read) {
                    (0, seen, _) => replica.seen = seen.max(Some(clock + skew)),
                    (1, ..) => replica.read = Some((version, written.last().copied())),
                    (_, Some(seen), Some((read, known))) => {
                        if is_due(known, seen, interval) && read == version {
                            (version, *replica) = (version + 1, Replica::default());
                            written.push(seen);
                        }
                        replica.read = None;
                    }
                    _ => {}
                }
            }
            prop_assert!(written.windows(2).all(|two| two[1] - two[0] >= interval), "{written:?}");
        }
    }
}
