//! How long a connection has had nothing to answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::Limits;

/// What a connection does. A request costs two additions and a look at the clock: timers are only set when an earlier
/// one has run out.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    in_flight: AtomicU32,
    /// When the last answer was given, in milliseconds since the connection was opened, and one more; 0: none yet.
    answered: AtomicU64,
}

/// A request in flight, until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            in_flight: AtomicU32::new(0),
            answered: AtomicU64::new(0),
        })
    }

    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// Whether it has ever been answered, and since when it has had nothing to do. None: it waits for an answer.
    pub(super) fn resting(&self) -> Option<(bool, Instant)> {
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            return None;
        }
        Some(match self.answered() {
            Some(since) => (true, since),
            None => (false, self.opened),
        })
    }

    /// When the last answer was given.
    fn answered(&self) -> Option<Instant> {
        let answered = self.answered.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.opened + Duration::from_millis(answered))
    }

    /// Resolves when the connection has waited too long for a request.
    pub(super) async fn overdue(&self, limits: &Limits) {
        while let Some(rest) = self.rest(limits) {
            tokio::time::sleep(rest).await;
        }
    }

    /// How long until it is to be looked at again. None: it is overdue.
    fn rest(&self, limits: &Limits) -> Option<Duration> {
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            return Some(limits.idle);
        }
        let deadline = match self.answered() {
            Some(answered) => answered + limits.idle,
            None => self.opened + limits.greeting,
        };
        let rest = deadline.saturating_duration_since(Instant::now());
        // An answer given meanwhile may bring the deadline forward, but not to before it rested so long.
        (!rest.is_zero()).then(|| rest.min(limits.idle))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let now = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.answered.store(now.saturating_add(1), Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        connections: 1,
        of_one_peer: 1,
        handshake: Duration::ZERO,
        greeting: Duration::from_secs(10),
        answer: Duration::from_secs(15),
        idle: Duration::from_secs(100),
        drain: Duration::ZERO,
    };

    async fn overdue_after(activity: &Activity) -> Duration {
        let start = Instant::now();
        activity.overdue(&LIMITS).await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_nothing_is_overdue_soon() {
        assert_eq!(overdue_after(&Activity::new()).await.as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_answered_may_rest_longer() {
        let activity = Activity::new();
        drop(activity.begin());
        assert_eq!(overdue_after(&activity).await.as_secs(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_for_an_answer_is_never_overdue() {
        let activity = Activity::new();
        let (first, second) = (activity.begin(), activity.begin());
        drop(first);
        let month = Duration::from_secs(30 * 24 * 3600);
        assert!(tokio::time::timeout(month, activity.overdue(&LIMITS)).await.is_err());
        drop(second);
        assert_eq!(overdue_after(&activity).await.as_secs(), 100);
    }
}
