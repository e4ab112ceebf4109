//! Who may read a token's Secret.

use std::time::Duration;

use kube::ResourceExt;

use super::{
    super::{Context, Error, rights},
    apply, dereference,
};
use crate::{
    api::{
        ApiToken,
        condition::{self, ASSIGNED, Finding, Reason},
    },
    domain::{
        lifecycle::{Notice, Severity},
        rights::{Right, of_assignees},
        whole_seconds,
    },
};

/// Keeps the assignees' right in step, and says so in the status. Returns when to try again what failed.
///
/// The right exists only while the Secret of that name is the token's own: whoever may make ApiTokens could otherwise have
/// anybody's Secret shown to them by naming it. It ends when the token is deleted, however long a finalizer keeps that.
pub(super) async fn keep(token: &mut ApiToken, ctx: &Context) -> Result<Option<Duration>, Error> {
    let leaving = token.metadata.deletion_timestamp.is_some();
    let organisation = ctx.organisation(&token.spec.organisation);
    let organisation = organisation.as_ref().and_then(|guard| guard.0.as_ref().ok());
    let right = of_assignees(token, organisation.map(|found| &found.spec));
    let owned = !leaving && owns_its_secret(token, ctx);
    let (finding, retry) =
        match rights::keep(std::slice::from_ref(&right), owned, token.metadata.generation, ctx).await? {
            rights::Outcome::Unknown => return Ok(None),
            rights::Outcome::InStep if leaving => return Ok(None),
            rights::Outcome::Trouble(finding, retry) => (Some(finding), Some(retry)),
            rights::Outcome::InStep => (in_step(token, &right, owned), None),
        };
    report(token, finding, ctx).await?;
    Ok(retry)
}

/// As the watch shows it.
fn owns_its_secret(token: &ApiToken, ctx: &Context) -> bool {
    let memory = ctx.memory();
    let controller = memory
        .secrets
        .seen(&dereference::key(token))
        .and_then(|seen| seen.controller.as_ref());
    controller.is_some_and(|controller| Some(&*controller.uid) == token.metadata.uid.as_deref())
}

fn in_step(token: &ApiToken, right: &Right, owned: bool) -> Option<Finding> {
    let assignees = token.spec.assignees.as_ref()?;
    let secret = token.secret_name();
    let organisation = &token.spec.organisation;
    Some(if right.holders() == 0 {
        let message = format!(
            "spec.assignees is everyone, and organisation {organisation:?} has no members: nobody may read Secret {secret:?} by it."
        );
        Finding::no(Reason::NobodyAssigned, message)
    } else if !owned {
        let message = format!("There is no Secret {secret:?} of this ApiToken, so its assignees may read none.");
        Finding::no(Reason::NothingToRead, message)
    } else if assignees.everyone {
        let message = format!("Every member of organisation {organisation:?} may read Secret {secret:?}.");
        Finding::yes(Reason::Assigned, message)
    } else {
        let message = format!("The subjects of spec.assignees may read Secret {secret:?}.");
        Finding::yes(Reason::Assigned, message)
    })
}

/// Writes the condition if it changed.
async fn report(token: &mut ApiToken, finding: Option<Finding>, ctx: &Context) -> Result<(), Error> {
    let before = token.status.clone().unwrap_or_default();
    let mut after = before.clone();
    match &finding {
        Some(finding) => {
            let (generation, now) = (token.metadata.generation, whole_seconds(ctx.now()));
            condition::set(&mut after.conditions, ASSIGNED, finding, generation, now);
        }
        None => condition::remove(&mut after.conditions, ASSIGNED),
    }
    if after == before {
        return Ok(());
    }
    apply::replace_status(token, after, ctx).await?;
    let known = condition::find(&before.conditions, ASSIGNED).map(|known| known.reason.as_str());
    if let Some(finding) = finding.filter(|finding| is_news(finding, known)) {
        tracing::warn!(
            namespace = token.namespace(),
            name = token.name_any(),
            reason = finding.reason.as_str(),
            "{}",
            finding.message
        );
        let notice = Notice {
            severity: Severity::Warning,
            reason: finding.reason.as_str(),
            message: finding.message,
        };
        ctx.events.publish(token, notice);
    }
    Ok(())
}

/// That there is no Secret is said by other Events.
fn is_news(finding: &Finding, known: Option<&str>) -> bool {
    !finding.holds && finding.reason != Reason::NothingToRead && known != Some(finding.reason.as_str())
}
