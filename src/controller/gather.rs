//! Gathering changes, so that what is counted over many tokens is counted once for all of them.

use std::time::Duration;

use kube::Resource;
use tokio::time::Instant;

use super::Context;

/// How long changes are still gathered before the object of that name is looked at. The time runs from the first of them,
/// so that one where something happens all the time is looked at too.
pub(super) fn gather<K: Resource<DynamicType = ()>>(name: &str, ctx: &Context) -> Option<Duration> {
    let now = Instant::now();
    let mut memory = ctx.memory();
    let key = (K::kind(&()), name.to_owned());
    let due = *memory
        .counts_due
        .entry(key.clone())
        .or_insert(now + ctx.settings.count_after);
    let left = due.saturating_duration_since(now);
    if left.is_zero() {
        memory.counts_due.remove(&key);
        return None;
    }
    Some(left)
}
