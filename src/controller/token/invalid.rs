//! ApiTokens that cannot be read: they come from before a rule of the schema, or from around it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, error_boundary::InvalidObject},
    runtime::controller::Action,
};
use serde_json::json;

use super::super::{Context, Error};
use crate::api::{
    ApiToken,
    condition::{self, Finding, READY, Reason, STALLED},
};

const MANAGER: &str = "tokenwright-status";

/// Says in the object's conditions what is wrong with it. Its credentials and its Secret stay as they are.
pub(super) async fn report(invalid: &InvalidObject, ctx: &Context) -> Result<Action, Error> {
    let name = invalid.metadata.name.as_deref().unwrap_or_default();
    let namespace = invalid.metadata.namespace.as_deref().unwrap_or_default();
    let resource = ApiResource::erase::<ApiToken>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(ctx.client.clone(), namespace, &resource);
    let Some(found) = api.get_opt(name).await.map_err(Error::api("read the ApiToken"))? else {
        return Ok(Action::await_change());
    };
    let known = found.data.pointer("/status/conditions").cloned().unwrap_or(json!([]));
    let before: Vec<Condition> = serde_json::from_value(known).unwrap_or_default();
    let after = conditions(before.clone(), invalid, ctx.now());
    if after == before {
        return Ok(Action::await_change());
    }
    tracing::warn!(namespace, name, error = invalid.error, "an ApiToken cannot be read");
    let patch = json!({
        "metadata": { "resourceVersion": found.metadata.resource_version },
        "status": { "conditions": after },
    });
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    api.patch_status(name, &params, &Patch::Merge(patch))
        .await
        .map_err(Error::api("write the status"))?;
    Ok(Action::await_change())
}

fn conditions(mut conditions: Vec<Condition>, invalid: &InvalidObject, now: Timestamp) -> Vec<Condition> {
    let message = format!(
        "The ApiToken cannot be read: {}. Correct it; 'kubectl explain apitoken.spec' describes every field.",
        invalid.error
    );
    let generation = invalid.metadata.generation;
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    condition::set(
        &mut conditions,
        READY,
        &Finding::no(Reason::InvalidSpec, message.clone()),
        generation,
        now,
    );
    condition::set(
        &mut conditions,
        STALLED,
        &Finding::yes(Reason::InvalidSpec, message),
        generation,
        now,
    );
    conditions
}
