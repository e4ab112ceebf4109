//! Objects that cannot be read: they come from before a rule of the schema, or from around it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, Resource,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, error_boundary::InvalidObject},
};
use serde_json::json;

use super::{Context, Error, reconciler::Action, status::MANAGER};
use crate::api::condition::{self, Finding, Reason, STALLED};
use crate::domain::whole_seconds;

/// Says in these conditions of the object what is wrong with it. Whatever else is in its status stays, and so do a
/// token's credentials and its Secret.
pub(super) async fn report<K>(invalid: &InvalidObject, types: &[&str], ctx: &Context) -> Result<Action, Error>
where
    K: Resource<DynamicType = ()>,
{
    let resource = ApiResource::erase::<K>(&());
    let name = invalid.metadata.name.as_deref().unwrap_or_default();
    let namespace = invalid.metadata.namespace.as_deref();
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(ctx.client.clone(), namespace, &resource),
        None => Api::all_with(ctx.client.clone(), &resource),
    };
    let found = api.get_opt(name).await.map_err(Error::api("read the object"))?;
    let Some(found) = found else {
        return Ok(Action::await_change());
    };
    let known = |pointer| found.data.pointer(pointer).cloned().unwrap_or_default();
    let before: Vec<Condition> = serde_json::from_value(known("/status/conditions")).unwrap_or_default();
    let after = conditions(before.clone(), &resource.kind, invalid, types, ctx.now());
    let generation = invalid.metadata.generation;
    if after == before && known("/status/observedGeneration") == json!(generation) {
        return Ok(Action::await_change());
    }
    let (kind, error) = (&resource.kind, &invalid.error);
    tracing::warn!(kind, namespace, name, error, "an object cannot be read");
    let patch = json!({
        "metadata": { "resourceVersion": found.metadata.resource_version },
        "status": { "conditions": after, "observedGeneration": generation },
    });
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    api.patch_status(name, &params, &Patch::Merge(patch))
        .await
        .map_err(Error::of(&found.metadata, "write the status"))?;
    Ok(Action::await_change())
}

fn conditions(
    mut conditions: Vec<Condition>,
    kind: &str,
    invalid: &InvalidObject,
    types: &[&str],
    now: Timestamp,
) -> Vec<Condition> {
    let message = format!(
        "The {kind} cannot be read: {}. Correct it; 'kubectl explain {}.spec' describes every field.",
        invalid.error,
        kind.to_lowercase()
    );
    let now = whole_seconds(now);
    for &type_ in types {
        // Stalled holds where the others do not.
        let finding = Finding {
            holds: type_ == STALLED,
            reason: Reason::InvalidSpec,
            message: message.clone(),
        };
        condition::set(&mut conditions, type_, &finding, invalid.metadata.generation, now);
    }
    conditions
}
