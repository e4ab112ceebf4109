//! Reconciling one Organisation: what its members may do, and how many tokens it has.

use jiff::Timestamp;
use kube::{Api, Resource, ResourceExt, core::DeserializeGuard};

use super::{
    Context, Error,
    context::Memory,
    gather::put_off,
    invalid, look_again,
    reconciler::{Action, Reconcile},
    rights::{self, Outcome},
    status,
};
use crate::{
    api::{Organisation, TokenCounts, condition::READY},
    domain::{self, counts, rights::of_members, whole_seconds},
};

impl Reconcile for DeserializeGuard<Organisation> {
    const KIND: &'static str = "Organisation";

    fn put_off(&self, ctx: &Context) -> Option<Action> {
        put_off(self, ctx)
    }

    async fn reconcile(&self, ctx: &Context) -> Result<Action, Error> {
        match &self.0 {
            Ok(organisation) => tend(organisation, ctx).await,
            // Its tokens are held until it can be read again.
            Err(invalid) => invalid::report::<Organisation>(invalid, &[READY], ctx).await,
        }
    }

    fn forget(&self, memory: &mut Memory) {
        memory.forget_organisation(self.meta());
    }
}

/// Keeps the members' rights in step, and writes the organisation's conditions and counts if they changed.
async fn tend(organisation: &Organisation, ctx: &Context) -> Result<Action, Error> {
    if organisation.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let now = whole_seconds(ctx.now());
    let granted = rights::keep(&of_members(organisation), true, organisation.metadata.generation, ctx).await;
    let (ready, retry, failed) = match granted {
        Ok(Outcome::InStep) => (Some(domain::organisation::ready(&organisation.spec, None)), None, None),
        Ok(Outcome::Trouble(finding, retry)) => {
            let ready = domain::organisation::ready(&organisation.spec, Some(finding));
            (Some(ready), Some(retry), None)
        }
        Ok(Outcome::Unknown) => (None, None, None),
        Err(error) => (None, None, Some(error)),
    };
    let (counts, next_change) = count(organisation, ctx, now);
    let status = counts::status(organisation, counts, ready.as_ref(), now);
    if organisation.status.as_ref() != Some(&status) {
        let wanted = Organisation {
            status: Some(status),
            ..organisation.clone()
        };
        status::replace(&Api::all(ctx.client.clone()), &wanted).await?;
    }
    if let Some(error) = failed {
        return Err(error);
    }
    Ok(look_again(next_change, retry, now))
}

fn count(organisation: &Organisation, ctx: &Context, now: Timestamp) -> (TokenCounts, Option<Timestamp>) {
    let name = organisation.name_any();
    let tokens = ctx.tokens();
    let its = tokens
        .iter()
        .filter_map(|token| token.0.as_ref().ok())
        .filter(|token| token.spec.organisation == name);
    counts::count(its, &organisation.spec, now)
}
