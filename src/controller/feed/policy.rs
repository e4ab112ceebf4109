//! TokenPolicies: which tokens a changed one concerns.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use futures::{StreamExt, future::BoxFuture};
use kube::{Api, Resource, ResourceExt, runtime::watcher::Event};

use super::{Change, Context, Key, Listed, Policies, Queues, changes_of, send, slim};
use crate::{api::TokenPolicySpec, domain::policy::Seniority, watch::Watch};

pub(super) fn feed(ctx: &Arc<Context>, mut listed: Listed, queues: Queues) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        let stream = changes_of(ctx, "tokenpolicies", Watch::new(Api::all(ctx.client.clone())));
        let mut stream = std::pin::pin!(stream.map(slim::<Policies>));
        while let Some(event) = stream.next().await {
            let complete = matches!(event, Event::InitDone);
            let changes = ctx.stores.policies.take_in(event);
            for change in &changes {
                send(&queues.policies, Key::of(change.latest()));
                if let Some(gone) = change.gone() {
                    ctx.memory().forget_policy(gone.meta());
                    ctx.metrics.policy_gone(&gone.name_any());
                }
            }
            // What it hits is in its status: that concerns no token.
            let concerning: Vec<_> = changes.iter().filter(|change| change.concerns(spec_of)).collect();
            if !concerning.is_empty() {
                keep_seniority(ctx);
                reconsider(ctx, &queues, &concerning);
                // They may contradict each other.
                queues.every_policy(ctx);
            }
            if !changes.is_empty() {
                count_unreadable(ctx);
            }
            if complete {
                listed.done();
            }
        }
    })
}

/// What tokens are held to. None: nobody can read it.
fn spec_of(policy: &Policies) -> Option<&TokenPolicySpec> {
    policy.0.as_ref().ok().map(|policy| &policy.spec)
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
fn reconsider(ctx: &Context, queues: &Queues, changes: &[&Change<Policies>]) {
    let policies = changes
        .iter()
        .flat_map(|change| [change.before(), change.after()])
        .flatten();
    let policies: Vec<Option<&TokenPolicySpec>> = policies.map(|policy| spec_of(policy)).collect();
    let mut selecting: HashMap<String, Vec<Option<&TokenPolicySpec>>> = HashMap::new();
    queues.reconsider(ctx, |token| {
        let organisation = &token.spec.organisation;
        if !selecting.contains_key(organisation) {
            let known = ctx.stores.organisations.find(None, organisation);
            let labels = known.map_or_else(BTreeMap::new, |known| known.labels().clone());
            let selects =
                |spec: &&Option<&TokenPolicySpec>| spec.is_none_or(|spec| spec.selects(organisation, &labels));
            selecting.insert(organisation.clone(), policies.iter().filter(selects).copied().collect());
        }
        let type_ = token.spec.type_;
        selecting[organisation]
            .iter()
            .any(|spec| spec.is_none_or(|spec| spec.is_for(type_)))
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
