//! ApiTokens.

use std::{collections::HashSet, pin::pin, sync::Arc};

use futures::{StreamExt, future::BoxFuture};
use kube::Resource;

use super::{Change, Context, Key, Listed, Queues, Requests, Store, Tokens, follow, scoped, send};
use crate::{
    api::{ApiToken, TokenPolicySpec},
    domain::{lifecycle::is_flagged, policy::Seniority},
};

pub(super) fn feed(
    ctx: &Arc<Context>,
    namespace: Option<String>,
    (store, mut listed): (Store<Tokens>, Listed),
    queue: Requests<Tokens>,
    queues: Queues,
) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        let api = scoped(&ctx.client, namespace.as_deref());
        let mut stream = pin!(follow(ctx, "apitokens", api, &store));
        while let Some((changes, complete)) = stream.next().await {
            if complete {
                // The stores of the other scopes are complete, or nothing of theirs has been worked on yet.
                stand_anew(ctx, &queues);
            }
            // It is what happens most where many tokens are in use.
            for change in changes.iter().filter(|change| !was_only_used(change)) {
                ctx.memory().follow(change);
                if !complete {
                    stand(ctx, &queues, change);
                }
                match change.after() {
                    Some(token) => take_in(ctx, &queue, &queues, token),
                    None => {
                        // So that it is no longer due.
                        send(&queue, Key::of(change.latest()));
                        send_surroundings(ctx, &queues, change.latest());
                    }
                }
            }
            if complete {
                queues.every_organisation(ctx);
                queues.every_policy(ctx);
                listed.done();
            }
        }
    })
}

fn take_in(ctx: &Context, queue: &Requests<Tokens>, queues: &Queues, token: &Tokens) {
    // What this process has written meanwhile is on its way.
    if ctx.memory().catches_up(token.meta()) {
        send(queue, Key::of(token));
    }
    send_surroundings(ctx, queues, token);
}

/// Takes in where a token stands, and has those looked at that lost or won a place by it.
fn stand(ctx: &Context, queues: &Queues, change: &Change<Tokens>) {
    let (before, after) = (readable(change.before()), readable(change.after()));
    let follow = |known: &mut Seniority| known.change(before, after);
    let shifts = ctx.memory().seniority.as_mut().map_or_else(Vec::new, follow);
    for shift in &shifts {
        for policy in counting(ctx, shift.organisation()) {
            let memory = ctx.memory();
            let known = memory.seniority.as_ref();
            let concerned = known.and_then(|known| known.concerned(shift, &policy)).cloned();
            drop(memory);
            if let Some(age) = concerned {
                let token = Key::namespaced(&age.namespace, &age.name);
                let found = ctx.stores.tokens.iter().zip(&queues.tokens);
                for (_, queue) in found.filter(|(store, _)| store.get(&token).is_some()) {
                    send(queue, token.clone());
                }
            }
        }
    }
}

fn readable(token: Option<&Arc<Tokens>>) -> Option<&ApiToken> {
    token?.0.as_ref().ok()
}

/// Takes in where all tokens stand.
fn stand_anew(ctx: &Context, queues: &Queues) {
    if !ctx.limits_tokens() {
        return;
    }
    let seniority = ctx.seniority();
    let mut memory = ctx.memory();
    let before = memory.seniority.take().unwrap_or_default();
    let changed: HashSet<String> = seniority.changed(&before).map(str::to_owned).collect();
    memory.seniority = Some(seniority);
    drop(memory);
    let counted: HashSet<String> = changed
        .into_iter()
        .filter(|organisation| !counting(ctx, organisation).is_empty())
        .collect();
    if !counted.is_empty() {
        queues.reconsider(ctx, |token| counted.contains(&token.spec.organisation));
    }
}

/// The policies that limit how many tokens an organisation has.
fn counting(ctx: &Context, organisation: &str) -> Vec<TokenPolicySpec> {
    let labels = ctx.organisation_labels(organisation);
    let policies = ctx.stores.policies.state();
    let specs = policies.iter().filter_map(|policy| Some(&policy.0.as_ref().ok()?.spec));
    specs
        .filter(|spec| spec.max_tokens.is_some() && spec.selects(organisation, &labels))
        .cloned()
        .collect()
}

/// Whether nothing of a token changed but when it was used last, and nothing follows from that, as it does where a policy has
/// found the token idle.
fn was_only_used(change: &Change<Tokens>) -> bool {
    let both = (readable(change.before()), readable(change.after()));
    let (Some(before), Some(after)) = both else {
        return false;
    };
    let last_used = |token: &ApiToken| token.status.as_ref()?.last_used.clone();
    if last_used(before) == last_used(after) || after.status.as_ref().is_some_and(is_flagged) {
        return false;
    }
    let mut unused = after.clone();
    unused.metadata.resource_version = before.metadata.resource_version.clone();
    if let Some(status) = &mut unused.status {
        status.last_used = last_used(before);
    }
    unused == *before
}

/// What is counted over tokens is counted anew.
fn send_surroundings(ctx: &Context, queues: &Queues, token: &Tokens) {
    let Ok(token) = &token.0 else { return };
    send(&queues.organisations, Key::cluster_wide(&token.spec.organisation));
    let policies = ctx.policies_for(&token.spec.organisation, token.spec.type_);
    for policy in policies.readable() {
        send(&queues.policies, Key::cluster_wide(policy.name));
    }
}
