//! Reconciling one ApiToken: dereference, plan, apply, until nothing is left to do.

mod apply;
mod assignees;
mod dereference;
mod workload;

use std::{sync::Arc, time::Duration};

use kube::{Resource, ResourceExt, core::DeserializeGuard, runtime::controller::Action};
use tokio::time::Instant;

use super::{Context, Error, invalid, look_again, observed};
use crate::{
    api::{
        ApiToken,
        condition::{READY, STALLED},
    },
    domain::lifecycle::{self, Effect, Facts, Plan},
};

/// A token comes to rest after a handful of steps: three writes and a repair.
const MOST_STEPS: usize = 12;
/// When a newer version of the object is on its way and does not come.
const STALE_WAIT: Duration = Duration::from_secs(5);
/// When the object changed under a write: the watch brings the new version, and this in case it does not.
const CONFLICT_WAIT: Duration = Duration::from_millis(500);

/// Makes the cluster what `domain::lifecycle` decides for this token.
pub(super) async fn reconcile(token: Arc<DeserializeGuard<ApiToken>>, ctx: Arc<Context>) -> Result<Action, Error> {
    let reconciling = async {
        match &token.0 {
            Ok(token) => attempt(token, &ctx).await,
            Err(invalid) => invalid::report::<ApiToken>(invalid, &[READY, STALLED], &ctx).await,
        }
    };
    observed("ApiToken", token.meta(), &ctx, reconciling).await
}

/// Waits longer after every failure. A conflict is no failure: somebody else was quicker.
pub(super) fn on_error(token: Arc<DeserializeGuard<ApiToken>>, error: &Error, ctx: Arc<Context>) -> Action {
    let (namespace, name) = (token.namespace().unwrap_or_default(), token.name_any());
    if matches!(error, Error::Conflict { .. }) {
        tracing::debug!(namespace, name, %error, "trying again");
        return Action::requeue(CONFLICT_WAIT);
    }
    let (uid, generation) = (token.uid().unwrap_or_default(), token.meta().generation);
    let jitter = rand::random::<f64>();
    let wait = ctx
        .memory()
        .backoffs
        .failed(&uid, generation, error.failure(), Instant::now(), jitter);
    tracing::warn!(namespace, name, %error, retry_in = ?wait, "reconciling an ApiToken failed");
    Action::requeue(wait)
}

async fn attempt(token: &ApiToken, ctx: &Context) -> Result<Action, Error> {
    let uid = token.uid().unwrap_or_default();
    let pause = ctx
        .memory()
        .backoffs
        .remaining(&uid, token.metadata.generation, Instant::now());
    if let Some(left) = pause {
        return Ok(Action::requeue(left));
    }
    if ctx.memory().is_outdated(&token.metadata) {
        return Ok(Action::requeue(STALE_WAIT));
    }
    let mut token = token.clone();
    for _ in 0..MOST_STEPS {
        let (mut plan, now) = decide(&token, ctx).await?;
        let written = apply::status(&mut token, &plan, ctx, now).await?;
        for notice in std::mem::take(&mut plan.notices) {
            tracing::info!(
                namespace = token.namespace().unwrap_or_default(),
                name = token.name_any(),
                reason = notice.reason,
                "{}",
                notice.message
            );
            ctx.events.publish(&token, notice);
        }
        if plan.effect == Effect::Nothing && !written {
            let retry = assignees::keep(&mut token, ctx).await?;
            let mut memory = ctx.memory();
            memory.backoffs.reset(&uid);
            memory.denied.remove(&uid);
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
    let older = ctx.memory().seniority.older(token);
    let facts = Facts {
        organisation: organisation
            .as_ref()
            .and_then(|guard| guard.0.as_ref().ok())
            .map(|found| &found.spec),
        policies: &policies.readable(),
        unreadable_policy: policies.unreadable(),
        older,
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
        && let Err(error) = apply::status(token, &plan, ctx, now).await
    {
        tracing::debug!(%error, "the refusal could not be written into the status");
    }
    error
}
