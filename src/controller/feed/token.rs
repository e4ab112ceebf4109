//! ApiTokens.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use futures::{StreamExt, future::BoxFuture};
use kube::{
    Resource, ResourceExt,
    runtime::{
        reflector::{ObjectRef, Store, store::Writer},
        watcher::Event,
    },
};

use super::{Context, Listed, Queues, Requests, Tokens, changes_of, reference, scoped, send, slim};
use crate::{
    api::{ApiToken, TokenPolicySpec},
    domain::{lifecycle::is_flagged, policy::Seniority},
    watch::Watch,
};

pub(super) fn feed<'a>(
    ctx: &'a Arc<Context>,
    namespace: Option<String>,
    (mut store, mut listed): (Writer<Tokens>, Listed),
    queue: Requests<Tokens>,
    queues: Queues,
) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let watch = Watch::new(scoped::<Tokens>(&ctx.client, namespace.as_deref()));
        let stream = changes_of(ctx, "apitokens", watch);
        let mut stream = std::pin::pin!(stream.map(slim::<Tokens>));
        let known = store.as_reader();
        let mut news: Vec<ObjectRef<Tokens>> = Vec::new();
        while let Some(event) = stream.next().await {
            let was_only_used = matches!(&event, Event::Apply(token) if was_only_used(&known, token));
            let before = match &event {
                Event::Apply(token) | Event::Delete(token) => known.get(&reference(token)),
                Event::Init | Event::InitApply(_) | Event::InitDone => None,
            };
            store.apply_watcher_event(&event);
            match event {
                // Nothing follows from it, and it is what happens most where many tokens are in use.
                Event::Apply(_) if was_only_used => {}
                Event::Apply(token) => {
                    stand(ctx, &queues, before.as_deref(), Some(&token));
                    take_in(ctx, &queue, &queues, &token);
                }
                // Until the list is complete the store shows what was before it: whoever looked now would find nothing to do,
                // and not be asked again.
                Event::InitApply(token) if is_known(&known, &token) => {}
                Event::InitApply(token) => news.push(reference(&token)),
                Event::Delete(token) => {
                    ctx.memory().forget(&token);
                    stand(ctx, &queues, before.as_deref(), None);
                    send_surroundings(ctx, &queues, &token);
                }
                Event::Init => news.clear(),
                Event::InitDone => {
                    // What the list no longer has is only seen in its absence: forget it and count anew. The stores of
                    // the other scopes are complete, or nothing of theirs has been worked on yet.
                    let tokens = ctx.tokens();
                    ctx.memory().forget_others(&tokens);
                    stand_anew(ctx, &queues, &tokens);
                    for token in std::mem::take(&mut news) {
                        if let Some(token) = known.get(&token) {
                            take_in(ctx, &queue, &queues, &token);
                        }
                    }
                    queues.every_organisation(ctx);
                    queues.every_policy(ctx);
                    listed.done();
                }
            }
        }
    })
}

fn take_in(ctx: &Context, queue: &Requests<Tokens>, queues: &Queues, token: &Tokens) {
    // What this process has written meanwhile is on its way.
    if ctx.memory().catches_up(token.meta()) {
        send(queue, reference(token));
    }
    send_surroundings(ctx, queues, token);
}

/// Takes in where a token stands, and has those looked at that lost or won a place by it.
fn stand(ctx: &Context, queues: &Queues, before: Option<&Tokens>, after: Option<&Tokens>) {
    let change = |known: &mut Seniority| known.change(readable(before), readable(after));
    let shifts = ctx.memory().seniority.as_mut().map_or_else(Vec::new, change);
    for shift in &shifts {
        for policy in counting(ctx, shift.organisation()) {
            let memory = ctx.memory();
            let known = memory.seniority.as_ref();
            let concerned = known.and_then(|known| known.concerned(shift, &policy)).cloned();
            drop(memory);
            if let Some(age) = concerned {
                let token = ObjectRef::new(&age.name).within(&age.namespace);
                let found = ctx.stores.tokens.iter().zip(&queues.tokens);
                for (_, queue) in found.filter(|(store, _)| store.get(&token).is_some()) {
                    send(queue, token.clone());
                }
            }
        }
    }
}

fn readable(token: Option<&Tokens>) -> Option<&ApiToken> {
    token?.0.as_ref().ok()
}

/// Takes in where all tokens stand.
fn stand_anew(ctx: &Context, queues: &Queues, tokens: &[Arc<Tokens>]) {
    if !ctx.limits_tokens() {
        return;
    }
    let seniority = Seniority::of(tokens.iter().filter_map(|token| token.0.as_ref().ok()));
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
    let known = ctx.stores.organisations.get(&ObjectRef::new(organisation));
    let labels = known.map_or_else(BTreeMap::new, |known| known.labels().clone());
    let policies = ctx.stores.policies.state();
    let specs = policies.iter().filter_map(|policy| Some(&policy.0.as_ref().ok()?.spec));
    specs
        .filter(|spec| spec.max_tokens.is_some() && spec.selects(organisation, &labels))
        .cloned()
        .collect()
}

/// Whether a token is the same as the one that was known before.
fn is_known(known: &Store<Tokens>, token: &Tokens) -> bool {
    let known = known.get(&reference(token));
    known.is_some_and(|known| known.resource_version() == token.resource_version())
}

/// Whether nothing of a token changed but when it was used last, and nothing follows from that, as it does where a policy has
/// found the token idle.
fn was_only_used(known: &Store<Tokens>, token: &Tokens) -> bool {
    let before = known.get(&reference(token));
    let (Some(Ok(before)), Ok(after)) = (before.as_ref().map(|before| &before.0), &token.0) else {
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
    send(&queues.organisations, ObjectRef::new(&token.spec.organisation));
    let policies = ctx.policies_for(&token.spec.organisation, token.spec.type_);
    for policy in policies.readable() {
        send(&queues.policies, ObjectRef::new(policy.name));
    }
}
