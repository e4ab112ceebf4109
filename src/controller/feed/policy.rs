//! TokenPolicies: which tokens a changed one concerns.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use futures::{StreamExt, future::BoxFuture};
use kube::{
    Api, Resource, ResourceExt,
    runtime::{
        reflector::{ObjectRef, store::Writer},
        watcher::Event,
    },
};

use super::{Context, Listed, Policies, Queues, changes_of, reference, send, slim, surroundings::changes};
use crate::{api::TokenPolicySpec, domain::policy::Seniority, watch::Watch};

/// What tokens are held to. None: nobody can read it.
type Part = Option<TokenPolicySpec>;

pub(super) fn feed<'a>(
    ctx: &'a Arc<Context>,
    (mut store, mut listed): (Writer<Policies>, Listed),
    queues: Queues,
) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let stream = changes_of(ctx, "tokenpolicies", Watch::new(Api::all(ctx.client.clone())));
        let mut stream = std::pin::pin!(stream.map(slim::<Policies>));
        while let Some(event) = stream.next().await {
            if let Event::Apply(touched) = &event {
                send(&queues.policies, reference(touched));
            }
            if let Event::Delete(gone) = &event {
                ctx.memory().forget_policy(gone.meta());
            }
            // What it hits is in its status: that concerns no token.
            let changed = changes(&mut store, &event, spec_of);
            if !changed.is_empty() {
                keep_seniority(ctx);
                reconsider(
                    ctx,
                    &queues,
                    changed.values().flat_map(|(before, after)| [before, after]),
                );
                // They may contradict each other.
                queues.every_policy(ctx);
            }
            for (name, _) in changed.iter().filter(|(_, (_, after))| after.is_none()) {
                ctx.metrics.policy_gone(name);
                ctx.memory().told.remove(name);
            }
            if !matches!(event, Event::Init | Event::InitApply(_)) {
                count_unreadable(ctx);
            }
            if matches!(event, Event::InitDone) {
                queues.every_policy(ctx);
                listed.done();
            }
        }
    })
}

fn spec_of(policy: &Policies) -> Part {
    policy.0.as_ref().ok().map(|policy| policy.spec.clone())
}

/// Where tokens stand is known while it matters.
fn keep_seniority(ctx: &Context) {
    let seniority = ctx.limits_tokens().then(|| {
        let known = ctx.memory().seniority.take();
        known.unwrap_or_else(|| Seniority::of(ctx.tokens().iter().filter_map(|token| token.0.as_ref().ok())))
    });
    ctx.memory().seniority = seniority;
}

/// Has the tokens looked at again that any of these policies is for, as it was or is. One that cannot be read may be for
/// any.
fn reconsider<'a>(ctx: &Context, queues: &Queues, policies: impl Iterator<Item = &'a Option<Part>>) {
    let policies: Vec<&Part> = policies.flatten().collect();
    let mut selecting: HashMap<String, Vec<&Part>> = HashMap::new();
    queues.reconsider(ctx, |token| {
        let organisation = &token.spec.organisation;
        if !selecting.contains_key(organisation) {
            let known = ctx.stores.organisations.get(&ObjectRef::new(organisation));
            let labels = known.map_or_else(BTreeMap::new, |known| known.labels().clone());
            let selects = |part: &&&Part| part.as_ref().is_none_or(|spec| spec.selects(organisation, &labels));
            selecting.insert(organisation.clone(), policies.iter().filter(selects).copied().collect());
        }
        let type_ = token.spec.type_;
        selecting[organisation]
            .iter()
            .any(|part| part.as_ref().is_none_or(|spec| spec.is_for(type_)))
    });
}

fn count_unreadable(ctx: &Context) {
    let unreadable = ctx
        .stores
        .policies
        .state()
        .iter()
        .filter(|policy| policy.0.is_err())
        .count();
    ctx.metrics
        .policies_unreadable
        .set(i64::try_from(unreadable).unwrap_or(i64::MAX));
}
