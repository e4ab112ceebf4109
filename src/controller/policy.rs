//! Reconciling one TokenPolicy: what it hits, and what is wrong with it. It says so in its status and by Events.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::{Api, Resource, ResourceExt, core::DeserializeGuard};

use super::{
    Context, Error,
    context::Memory,
    gather::put_off,
    invalid, look_again,
    reconciler::{Action, Reconcile},
    status,
};
use crate::{
    api::{ApiToken, TokenPolicy, condition::READY},
    domain::{
        admission::Refusal,
        policy::{self, Landscape, Policy, Survey},
        whole_seconds,
    },
};

impl Reconcile for DeserializeGuard<TokenPolicy> {
    const KIND: &'static str = "TokenPolicy";

    fn put_off(&self, ctx: &Context) -> Option<Action> {
        put_off(self, ctx)
    }

    async fn reconcile(&self, ctx: &Context) -> Result<Action, Error> {
        match &self.0 {
            Ok(policy) => tend(policy, ctx).await,
            // Nothing is issued until it can be read again.
            Err(invalid) => invalid::report::<TokenPolicy>(invalid, &[READY], ctx).await,
        }
    }

    fn forget(&self, memory: &mut Memory) {
        memory.forget_policy(self.meta());
    }
}

/// Writes the policy's conditions and what it hits, if they changed.
async fn tend(policy: &TokenPolicy, ctx: &Context) -> Result<Action, Error> {
    if policy.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let now = whole_seconds(ctx.now());
    let (survey, findings) = survey(policy, ctx, now);
    let name = policy.name_any();
    ctx.metrics.policy_surveyed(&name, survey.tokens);
    let told = ctx.memory().told.get(&name).copied();
    let (rise, told, tell_at) = policy::rise(policy, &survey, told, now);
    let (status, notice) = policy::status(policy, survey, &findings, now);
    if policy.status.as_ref() != Some(&status) {
        let wanted = TokenPolicy {
            status: Some(status),
            ..policy.clone()
        };
        status::replace(&Api::all(ctx.client.clone()), &wanted).await?;
    }
    // Not before it is written: what cannot be is tried again, and would be told again.
    if let Some(told) = told {
        ctx.memory().told.insert(name, told);
    }
    for notice in notice.into_iter().chain(rise) {
        ctx.events.publish(policy, notice);
    }
    Ok(look_again(tell_at, None, now))
}

fn survey(policy: &TokenPolicy, ctx: &Context, now: Timestamp) -> (Survey, Vec<Refusal>) {
    let organisations = ctx.stores.organisations.state();
    let namespaces = ctx.stores.namespaces.state();
    let policies = ctx.stores.policies.state();
    let tokens = ctx.tokens();
    let names: Vec<String> = policies.iter().map(|policy| policy.name_any()).collect();
    let landscape = Landscape {
        organisations: organisations
            .iter()
            .filter_map(|guard| guard.0.as_ref().ok())
            .filter_map(|found| Some((found.metadata.name.as_deref()?, (&found.spec, found.labels()))))
            .collect(),
        namespaces: namespaces
            .iter()
            .filter_map(|found| Some((found.metadata.name.as_deref()?, found.labels())))
            .collect::<BTreeMap<_, _>>(),
        policies: policies
            .iter()
            .zip(&names)
            .filter_map(|(guard, name)| {
                let spec = &guard.0.as_ref().ok()?.spec;
                Some(Policy { name, spec })
            })
            .collect(),
    };
    let tokens: Vec<&ApiToken> = tokens.iter().filter_map(|guard| guard.0.as_ref().ok()).collect();
    let name = policy.name_any();
    let this = Policy {
        name: &name,
        spec: &policy.spec,
    };
    (landscape.survey(this, &tokens, now), landscape.findings(this))
}
