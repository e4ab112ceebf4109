//! Restarting the workloads that read a token's Secret at start.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
};
use serde_json::json;

use super::super::{Context, Error};
use crate::{
    answer,
    api::{ApiToken, CredentialState, Workload, WorkloadKind},
    domain::lifecycle::{Progress, WorkloadFact},
    domain::restart::{Rollout, stamp},
};

const RESTART_MANAGER: &str = "tokenwright-restart";

/// How far the workloads are, looked at only while they are to restart.
pub(super) async fn progress(token: &ApiToken, ctx: &Context) -> Result<Option<Vec<WorkloadFact>>, Error> {
    let Some(id) = restarting(token) else {
        return Ok(None);
    };
    let (key, value) = stamp(token, id);
    let mut facts = Vec::new();
    for workload in token.restarts() {
        let found = look(ctx, &token.namespace().unwrap_or_default(), workload).await;
        let found = match found.map_err(|error| (error.refusal(), error)) {
            Ok(found) => found,
            Err((Some(why), _)) => {
                let (workload, progress) = (workload.clone(), Progress::Unknown { why });
                facts.push(WorkloadFact { workload, progress });
                continue;
            }
            Err((None, error)) => return Err(error),
        };
        let progress = match found {
            None => Progress::Missing,
            Some(rollout) if rollout.template_annotations.get(&key) != Some(&value) => Progress::Unstamped,
            Some(rollout) if !rollout.finished => Progress::RollingOut,
            Some(_) => Progress::Done,
        };
        facts.push(WorkloadFact {
            workload: workload.clone(),
            progress,
        });
    }
    Ok(Some(facts))
}

/// Stamps the workloads' pod templates with the current credential, which makes their controllers replace the pods.
pub(super) async fn restart(token: &ApiToken, workloads: &[Workload], ctx: &Context) -> Result<(), Error> {
    let Some(id) = restarting(token) else { return Ok(()) };
    let (key, value) = stamp(token, id);
    let patch = Patch::Merge(json!({ "spec": { "template": { "metadata": { "annotations": { key: value } } } } }));
    let namespace = token.namespace().unwrap_or_default();
    let params = PatchParams {
        field_manager: Some(RESTART_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let mut failure = None;
    // All of them are tried: one that cannot be restarted does not keep the others from it.
    for workload in workloads {
        let api = api(ctx, &namespace, workload.kind);
        match api.patch_metadata(&workload.name, &params, &patch).await {
            Err(error) if !answer::status(&error).is_some_and(|status| status.is_not_found()) => {
                failure = Some(Error::api("restart a workload")(error));
            }
            _ => {
                let (token, kind, name) = (token.name_any(), workload.kind, &workload.name);
                tracing::info!(namespace, token, ?kind, name, "restarted a workload");
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

async fn look(ctx: &Context, namespace: &str, workload: &Workload) -> Result<Option<Rollout>, Error> {
    let rollout = match workload.kind {
        WorkloadKind::Deployment => Rollout::of_deployment,
        WorkloadKind::StatefulSet => Rollout::of_stateful_set,
        WorkloadKind::DaemonSet => Rollout::of_daemon_set,
    };
    let api = api(ctx, namespace, workload.kind);
    let found = api.get_opt(&workload.name).await;
    let found = found.map_err(Error::api("look at a workload to restart"))?;
    Ok(found.as_ref().map(rollout))
}

fn api(ctx: &Context, namespace: &str, kind: WorkloadKind) -> Api<DynamicObject> {
    let resource = match kind {
        WorkloadKind::Deployment => ApiResource::erase::<Deployment>(&()),
        WorkloadKind::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
        WorkloadKind::DaemonSet => ApiResource::erase::<DaemonSet>(&()),
    };
    Api::namespaced_with(ctx.client.clone(), namespace, &resource)
}

/// The id of the credential that the workloads have yet to take up.
fn restarting(token: &ApiToken) -> Option<u64> {
    let credentials = &token.status.as_ref()?.credentials;
    credentials
        .iter()
        .find(|credential| credential.state == CredentialState::Active && credential.restarting)
        .map(|credential| credential.id)
}
