//! Reconciling one ApiToken: dereference, plan, apply, until nothing is left to do.

mod apply;
mod assignees;
mod dereference;
mod workload;

use std::time::Duration;

use kube::{Resource, ResourceExt, core::DeserializeGuard};

use super::{
    Context, Error,
    context::Memory,
    invalid, look_again,
    reconciler::{Action, Reconcile},
};
use crate::{
    api::{
        ApiToken,
        condition::{READY, STALLED},
    },
    domain::lifecycle::{self, Effect, Facts, Notice, Plan},
};

/// A token comes to rest after a handful of steps: three writes and a repair.
const MOST_STEPS: usize = 12;
/// When a newer version of the object is on its way and does not come.
const STALE_WAIT: Duration = Duration::from_secs(5);

impl Reconcile for DeserializeGuard<ApiToken> {
    const KIND: &'static str = "ApiToken";

    fn put_off(&self, ctx: &Context) -> Option<Action> {
        let outdated = ctx.memory().is_outdated(self.meta());
        outdated.then(|| Action::requeue(STALE_WAIT))
    }

    async fn reconcile(&self, ctx: &Context) -> Result<Action, Error> {
        match &self.0 {
            Ok(token) => attempt(token, ctx).await,
            Err(invalid) => invalid::report::<ApiToken>(invalid, &[READY, STALLED], ctx).await,
        }
    }

    fn forget(&self, memory: &mut Memory) {
        memory.forget(self);
    }
}

/// Makes the cluster what `domain::lifecycle` decides for this token.
async fn attempt(token: &ApiToken, ctx: &Context) -> Result<Action, Error> {
    let uid = token.uid().unwrap_or_default();
    let mut token = token.clone();
    for _ in 0..MOST_STEPS {
        let (mut plan, now) = decide(&token, ctx).await?;
        let written = apply::status(&mut token, &plan, ctx, now).await?;
        publish(&token, std::mem::take(&mut plan.notices), ctx);
        if plan.effect == Effect::Nothing && !written {
            let retry = assignees::keep(&mut token, ctx).await?;
            ctx.memory().denied.remove(&uid);
            return Ok(look_again(plan.next, retry, now));
        }
        if let Err(error) = apply::effect(&token, &plan, ctx).await {
            return Err(refused(&mut token, error, ctx).await);
        }
        if plan.effect == Effect::DeleteToken {
            return Ok(Action::await_change());
        }
    }
    Err(Error::Restless(MOST_STEPS))
}

async fn decide(token: &ApiToken, ctx: &Context) -> Result<(Plan, jiff::Timestamp), Error> {
    let organisation = ctx.organisation(&token.spec.organisation);
    let labels = ctx.labels(token.metadata.namespace.as_deref().unwrap_or_default());
    let secret = dereference::secret(token, ctx).await?;
    let workloads = workload::progress(token, ctx).await?;
    let (minted, denied) = {
        let memory = ctx.memory();
        let uid = token.metadata.uid.as_deref().unwrap_or_default();
        (
            memory.minted.get(uid).map(|(id, _)| *id),
            memory.denied.get(uid).cloned(),
        )
    };
    let policies = ctx.policies_for(&token.spec.organisation, token.spec.type_);
    let older = ctx.memory().seniority.as_ref().map(|known| known.older(token));
    let facts = Facts {
        organisation: organisation
            .as_ref()
            .and_then(|guard| guard.0.as_ref().ok())
            .map(|found| &found.spec),
        policies: &policies.readable(),
        unreadable_policy: policies.unreadable(),
        older: older.unwrap_or_default(),
        labels: &labels,
        secret,
        minted,
        denied: denied.as_deref(),
        workloads: workloads.as_deref(),
        history: ctx.settings.history,
        trust_created_by: ctx.settings.trust_created_by,
    };
    let now = ctx.now();
    Ok((lifecycle::plan(token, &facts, now), now))
}

/// A refusal of the Secret's write becomes a condition at once, before the pause.
async fn refused(token: &mut ApiToken, error: Error, ctx: &Context) -> Error {
    if ctx.memory().denied.contains_key(&token.uid().unwrap_or_default())
        && let Ok((plan, now)) = decide(token, ctx).await
    {
        match apply::status(token, &plan, ctx, now).await {
            Ok(_) => publish(token, plan.notices, ctx),
            Err(error) => {
                let (namespace, name) = (token.namespace(), token.name_any());
                tracing::debug!(namespace, name, %error, "the refusal could not be written into the status");
            }
        }
    }
    error
}

fn publish(token: &ApiToken, notices: Vec<Notice>, ctx: &Context) {
    for notice in notices {
        tracing::info!(
            namespace = token.namespace().unwrap_or_default(),
            name = token.name_any(),
            reason = notice.reason,
            "{}",
            notice.message
        );
        ctx.events.publish(token, notice);
    }
}
