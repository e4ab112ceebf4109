//! How old the verifier's view of the cluster is.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// When each watch was heard from last, by a clock that does not jump.
#[derive(Debug)]
pub struct Freshness {
    epoch: Instant,
    /// Milliseconds from the epoch, and one more; 0: never.
    heard: Box<[AtomicU64]>,
}

impl Freshness {
    /// None of so many watches has been heard from yet.
    pub fn new(watches: usize) -> Self {
        Self {
            epoch: Instant::now(),
            heard: (0..watches).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// All that the API server has committed before now, and this watch shows, is in the index.
    pub fn heard(&self, watch: usize) {
        if let Some(heard) = self.heard.get(watch) {
            let now = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
            heard.store(now.saturating_add(1), Ordering::Relaxed);
        }
    }

    /// The age of the oldest part of the view. None: some watch has not delivered its first list.
    pub fn age(&self) -> Option<Duration> {
        let oldest = self.heard.iter().map(|heard| heard.load(Ordering::Relaxed)).min();
        let heard = Duration::from_millis(oldest.unwrap_or(1).checked_sub(1)?);
        Some(self.epoch.elapsed().saturating_sub(heard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_view_is_as_old_as_its_oldest_part() {
        let freshness = Freshness::new(2);
        assert_eq!(freshness.age(), None);
        freshness.heard(0);
        assert_eq!(freshness.age(), None);
        tokio::time::advance(Duration::from_secs(5)).await;
        freshness.heard(1);
        assert_eq!(freshness.age(), Some(Duration::from_secs(5)));
        freshness.heard(0);
        assert_eq!(freshness.age(), Some(Duration::ZERO));
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(freshness.age(), Some(Duration::from_secs(7)));
    }
}
