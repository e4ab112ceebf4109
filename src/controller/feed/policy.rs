//! TokenPolicies: which tokens a changed one concerns.

use std::{collections::HashMap, pin::pin, sync::Arc};

use futures::{StreamExt, future::BoxFuture};
use kube::{Api, Resource, ResourceExt};

use super::{Change, Context, Key, Listed, Policies, Queues, follow, send};
use crate::api::TokenPolicySpec;

pub(super) fn feed(ctx: &Arc<Context>, mut listed: Listed, queues: Queues) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        let (api, store) = (Api::all(ctx.client.clone()), &ctx.stores.policies);
        let mut stream = pin!(follow(ctx, "tokenpolicies", api, store));
        while let Some((changes, complete)) = stream.next().await {
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
        known.unwrap_or_else(|| ctx.seniority())
    });
    ctx.memory().seniority = seniority;
}

/// Has the tokens looked at again that any of these policies is for, as it was or is. One that cannot be read may be for
/// any.
fn reconsider(ctx: &Context, queues: &Queues, changes: &[&Change<Policies>]) {
    let policies = changes.iter().flat_map(|change| change.both());
    let policies: Vec<Option<&TokenPolicySpec>> = policies.map(|policy| spec_of(policy)).collect();
    let mut selecting: HashMap<String, Vec<Option<&TokenPolicySpec>>> = HashMap::new();
    queues.reconsider(ctx, |token| {
        let organisation = &token.spec.organisation;
        if !selecting.contains_key(organisation) {
            let labels = ctx.organisation_labels(organisation);
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
