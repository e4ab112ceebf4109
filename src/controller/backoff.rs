//! How long to wait after a failure, per object.

use std::{collections::HashMap, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::time::Instant;

use crate::pause::growing_pause;

/// What a failure says about the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The API server refuses: the next try will fare no better until somebody changes something.
    Refusal,
    /// The API server is away or busy, and will be back.
    Passing,
    /// The object is another than was thought. What it is now is on its way, and then worth a try at once.
    Outdated,
}

impl Failure {
    /// The longest pause between two tries. That of refusals stands in the message of `SecretAccessDenied`; the other is
    /// how late after an outage something due is done at worst.
    const fn longest_pause(self) -> Duration {
        match self {
            Self::Refusal => Duration::from_secs(300),
            Self::Passing | Self::Outdated => Duration::from_secs(30),
        }
    }
}

/// The pauses of the objects that failed last time, by UID.
#[derive(Debug, Default)]
pub(super) struct Backoffs(HashMap<String, Pause>);

/// An object as it was at some time.
#[derive(Clone, Copy, Debug)]
pub(super) struct State<'a> {
    pub(super) uid: &'a str,
    pub(super) generation: Option<i64>,
    /// The resourceVersion.
    pub(super) version: Option<&'a str>,
}

impl<'a> State<'a> {
    pub(super) fn of(object: &'a ObjectMeta) -> Self {
        Self {
            uid: object.uid.as_deref().unwrap_or_default(),
            generation: object.generation,
            version: object.resource_version.as_deref(),
        }
    }
}

#[derive(Debug)]
struct Pause {
    generation: Option<i64>,
    /// The resourceVersion that turned out to be outdated.
    outdated: Option<String>,
    failures: u32,
    until: Instant,
}

impl Backoffs {
    /// How much of an object's pause is left. A changed spec ends it: somebody may have mended the cause. What was outdated
    /// need not wait for longer than until something newer is there.
    pub(super) fn remaining(&self, object: State<'_>, now: Instant) -> Option<Duration> {
        let pause = self.0.get(object.uid)?;
        let is_news = pause.outdated.is_some() && pause.outdated.as_deref() != object.version;
        if is_news || pause.generation != object.generation {
            return None;
        }
        Some(pause.until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// Notes a failure and returns the [pause](growing_pause), up to the longest for its kind.
    pub(super) fn failed(&mut self, object: State<'_>, kind: Failure, now: Instant, jitter: f64) -> Duration {
        let failures = self.failures(object.uid);
        let wait = growing_pause(failures, kind.longest_pause(), jitter);
        let outdated = object.version.filter(|_| kind == Failure::Outdated);
        let pause = Pause {
            generation: object.generation,
            outdated: outdated.map(str::to_owned),
            failures: failures + 1,
            until: now + wait,
        };
        self.0.insert(object.uid.to_owned(), pause);
        wait
    }

    /// Ends an object's pause: the cause of its failure may be gone. If it is not, the next pause is none the shorter.
    pub(super) fn lift(&mut self, uid: &str, now: Instant) {
        if let Some(pause) = self.0.get_mut(uid) {
            pause.until = now;
        }
    }

    /// Ends an object's pause if that is for what was outdated: something newer is there.
    pub(super) fn catch_up(&mut self, uid: &str, now: Instant) {
        if let Some(pause) = self.0.get_mut(uid).filter(|pause| pause.outdated.is_some()) {
            pause.until = now;
        }
    }

    /// Forgets an object's failures.
    pub(super) fn reset(&mut self, uid: &str) {
        self.0.remove(uid);
    }

    /// How often an object failed in a row.
    pub(super) fn failures(&self, uid: &str) -> u32 {
        self.0.get(uid).map_or(0, |pause| pause.failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(generation: i64, version: &str) -> State<'_> {
        State {
            uid: "a",
            generation: Some(generation),
            version: Some(version),
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest_of_the_kind_and_start_over_after_success() {
        for (kind, longest) in [
            (Failure::Refusal, 300_000),
            (Failure::Passing, 30_000),
            (Failure::Outdated, 30_000),
        ] {
            let (mut backoffs, now) = (Backoffs::default(), Instant::now());
            let pauses: Vec<_> = (0..14)
                .map(|_| backoffs.failed(state(1, "7"), kind, now, 1.0).as_millis())
                .collect();
            assert_eq!(pauses[..4], [200, 400, 800, 1600]);
            assert_eq!(pauses[11..], [longest; 3]);
            backoffs.reset("a");
            let first = backoffs.failed(state(1, "7"), kind, now, 0.0);
            assert_eq!(first, Duration::from_millis(100));
        }
    }

    #[test]
    fn a_pause_holds_until_it_is_over_or_the_spec_changes() {
        let (mut backoffs, now) = (Backoffs::default(), Instant::now());
        let pause = Duration::from_millis(200);
        backoffs.failed(state(1, "7"), Failure::Refusal, now, 1.0);
        assert_eq!(backoffs.remaining(state(1, "7"), now), Some(pause));
        assert_eq!(backoffs.remaining(state(1, "8"), now), Some(pause));
        assert_eq!(backoffs.remaining(state(2, "8"), now), None);
        assert_eq!(backoffs.remaining(state(1, "7"), now + pause), None);
        let other = State {
            uid: "b",
            ..state(1, "7")
        };
        assert_eq!(backoffs.remaining(other, now), None);
    }

    #[test]
    fn what_was_outdated_waits_no_longer_than_for_something_newer() {
        let (mut backoffs, now) = (Backoffs::default(), Instant::now());
        backoffs.failed(state(1, "7"), Failure::Outdated, now, 1.0);
        assert!(backoffs.remaining(state(1, "7"), now).is_some());
        assert_eq!(backoffs.remaining(state(1, "8"), now), None);
        backoffs.catch_up("a", now);
        assert_eq!(backoffs.remaining(state(1, "7"), now), None);

        backoffs.failed(state(1, "8"), Failure::Passing, now, 1.0);
        backoffs.catch_up("a", now);
        assert!(backoffs.remaining(state(1, "9"), now).is_some());
    }

    #[test]
    fn a_pause_that_is_lifted_is_over_and_the_next_is_as_long_as_it_would_have_been() {
        let (mut backoffs, now) = (Backoffs::default(), Instant::now());
        backoffs.failed(state(1, "7"), Failure::Refusal, now, 1.0);
        backoffs.lift("a", now);
        assert_eq!(backoffs.remaining(state(1, "7"), now), None);
        let next = backoffs.failed(state(1, "7"), Failure::Refusal, now, 1.0);
        assert_eq!(next, Duration::from_millis(400));
    }
}
