//! How long to wait after a failure, per object.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::pause::growing_pause;

/// What a failure says about the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The API server refuses: the next try will fare no better until somebody changes something.
    Refusal,
    /// The API server is away or busy, and will be back.
    Passing,
}

impl Failure {
    /// The longest pause between two tries. That of refusals stands in the message of `SecretAccessDenied`; the other is
    /// how late after an outage something due is done at worst.
    const fn longest_pause(self) -> Duration {
        match self {
            Self::Refusal => Duration::from_secs(300),
            Self::Passing => Duration::from_secs(30),
        }
    }
}

/// The pauses of the objects that failed last time, by UID.
#[derive(Debug, Default)]
pub(super) struct Backoffs(HashMap<String, Pause>);

#[derive(Debug)]
struct Pause {
    generation: Option<i64>,
    failures: u32,
    until: Instant,
}

impl Backoffs {
    /// How much of an object's pause is left. A changed spec ends it: somebody may have mended the cause.
    pub(super) fn remaining(&self, uid: &str, generation: Option<i64>, now: Instant) -> Option<Duration> {
        let pause = self.0.get(uid).filter(|pause| pause.generation == generation)?;
        Some(pause.until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// Notes a failure and returns the [pause](growing_pause), up to the longest for its kind.
    pub(super) fn failed(
        &mut self,
        uid: &str,
        generation: Option<i64>,
        kind: Failure,
        now: Instant,
        jitter: f64,
    ) -> Duration {
        let pause = self.0.entry(uid.to_owned()).or_insert(Pause {
            generation,
            failures: 0,
            until: now,
        });
        let wait = growing_pause(pause.failures, kind.longest_pause(), jitter);
        (pause.generation, pause.failures, pause.until) = (generation, pause.failures + 1, now + wait);
        wait
    }

    /// Ends an object's pause: the cause of its failure may be gone. If it is not, the next pause is none the shorter.
    pub(super) fn lift(&mut self, uid: &str, now: Instant) {
        if let Some(pause) = self.0.get_mut(uid) {
            pause.until = now;
        }
    }

    /// Forgets an object's failures.
    pub(super) fn reset(&mut self, uid: &str) {
        self.0.remove(uid);
    }

    /// Forgets the failures of the objects for which `wanted` does not hold.
    pub(super) fn forget_unless(&mut self, wanted: impl Fn(&str) -> bool) {
        self.0.retain(|uid, _| wanted(uid));
    }

    /// How often an object failed in a row.
    pub(super) fn failures(&self, uid: &str) -> u32 {
        self.0.get(uid).map_or(0, |pause| pause.failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_of_the_kind_and_start_over_after_success() {
        for (kind, longest) in [(Failure::Refusal, 300_000), (Failure::Passing, 30_000)] {
            let (mut backoffs, now) = (Backoffs::default(), Instant::now());
            let pauses: Vec<_> = (0..14)
                .map(|_| backoffs.failed("a", Some(1), kind, now, 1.0).as_millis())
                .collect();
            assert_eq!(pauses[..4], [200, 400, 800, 1600]);
            assert_eq!(pauses[11..], [longest; 3]);
            backoffs.reset("a");
            let first = backoffs.failed("a", Some(1), kind, now, 0.0);
            assert_eq!(first, Duration::from_millis(100));
        }
    }

    #[test]
    fn a_pause_holds_until_it_is_over_or_the_spec_changes() {
        let (mut backoffs, now) = (Backoffs::default(), Instant::now());
        backoffs.failed("a", Some(1), Failure::Refusal, now, 1.0);
        assert_eq!(backoffs.remaining("a", Some(1), now), Some(Duration::from_millis(200)));
        assert_eq!(backoffs.remaining("a", Some(2), now), None);
        assert_eq!(backoffs.remaining("a", Some(1), now + Duration::from_millis(200)), None);
        assert_eq!(backoffs.remaining("b", Some(1), now), None);
    }

    #[test]
    fn a_pause_that_is_lifted_is_over_and_the_next_is_as_long_as_it_would_have_been() {
        let (mut backoffs, now) = (Backoffs::default(), Instant::now());
        backoffs.failed("a", Some(1), Failure::Refusal, now, 1.0);
        backoffs.lift("a", now);
        assert_eq!(backoffs.remaining("a", Some(1), now), None);
        let next = backoffs.failed("a", Some(1), Failure::Refusal, now, 1.0);
        assert_eq!(next, Duration::from_millis(400));
    }
}
