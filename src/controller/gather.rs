//! When what is counted over all tokens is looked at: once for many changes of them.

use std::time::Duration;

use kube::{Resource, ResourceExt};
use tokio::time::Instant;

use super::{Context, reconciler::Action};

/// What to do instead of looking at an object of the whole cluster now, if anything.
pub(super) fn put_off<K: Resource<DynamicType = ()>>(object: &K, ctx: &Context) -> Option<Action> {
    // A controller that sees a part of the tokens would count wrong, and fight with those that see the others; and what is
    // cluster-wide is not its to keep. Nor has it the right to.
    if !ctx.settings.namespaces.is_empty() {
        return Some(Action::await_change());
    }
    gather::<K>(object.name_any(), ctx).map(Action::requeue)
}

/// How long changes are still gathered before the object of that name is looked at. The time runs from the first of them,
/// so that one where something happens all the time is looked at too.
fn gather<K: Resource<DynamicType = ()>>(name: String, ctx: &Context) -> Option<Duration> {
    let now = Instant::now();
    let mut memory = ctx.memory();
    let key = (K::kind(&()), name);
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
