//! Telling people that somebody kept a credential that was replaced.

use jiff::SignedDuration;

use super::Planner;
use crate::{
    api::condition::{self, Finding, REUSE_DETECTED, Reason},
    domain::lifecycle::outcome,
};

/// For how long after the last time it is worth a condition.
const SHOWN: SignedDuration = SignedDuration::from_hours(24);

impl Planner<'_> {
    /// Sets the condition from what the verifiers reported, until a day after the last time.
    pub(super) fn report_reuse(&mut self) {
        let shown = self.status.last_reuse.as_ref().and_then(|reuse| {
            let end = reuse.at.0.checked_add(SHOWN).ok().filter(|&end| end > self.now)?;
            Some((Finding::yes(Reason::ReuseDetected, outcome::reused(reuse).message), end))
        });
        let Some((finding, end)) = shown else {
            condition::remove(&mut self.status.conditions, REUSE_DETECTED);
            return;
        };
        let generation = self.token.metadata.generation;
        condition::set(
            &mut self.status.conditions,
            REUSE_DETECTED,
            &finding,
            generation,
            self.now,
        );
        self.look_again_at(Some(end));
    }
}
