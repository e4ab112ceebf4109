//! Restarts: the stamp that causes one, and when a rollout is over.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::PodTemplateSpec,
};

use super::credential::Digest;
use crate::api::{ApiToken, GROUP};

/// The longest name part of an annotation's key.
const MAX_NAME: usize = 63;

/// The annotation that a pod template carries for a token's credential. Its value is unique to the credential, so that a
/// workload is never restarted twice for one; its key to the token, so that several tokens can restart one workload.
pub fn stamp(token: &ApiToken, id: u64) -> (String, String) {
    let name = token.metadata.name.as_deref().unwrap_or_default();
    let name = if name.len() <= MAX_NAME {
        name.to_owned()
    } else {
        Digest::of(name.as_bytes()).to_string()["sha256:".len()..][..40].to_owned()
    };
    let uid = token.metadata.uid.as_deref().unwrap_or_default();
    (format!("credential.{GROUP}/{name}"), format!("{uid}/{id}"))
}

/// How a workload's pods stand to its pod template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// The pod template's annotations.
    pub template_annotations: BTreeMap<String, String>,
    /// Whether every pod is of the current template and available, judged as `kubectl rollout status` does.
    pub finished: bool,
}

impl Rollout {
    /// Of a Deployment.
    pub fn of_deployment(found: &Deployment) -> Self {
        let spec = found.spec.as_ref();
        let status = found.status.clone().unwrap_or_default();
        let wanted = spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let updated = status.updated_replicas.unwrap_or_default();
        Self {
            template_annotations: annotations(spec.map(|spec| &spec.template)),
            finished: status.observed_generation >= found.metadata.generation
                && updated >= wanted
                && status.replicas.unwrap_or_default() <= updated
                && status.available_replicas.unwrap_or_default() >= updated,
        }
    }

    /// Of a StatefulSet. One that is updated by hand (OnDelete) or in part (a partition) is not waited for further than
    /// its own strategy goes.
    pub fn of_stateful_set(found: &StatefulSet) -> Self {
        let spec = found.spec.as_ref();
        let status = found.status.clone().unwrap_or_default();
        let strategy = spec.and_then(|spec| spec.update_strategy.as_ref());
        let on_delete = strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete");
        let partition = strategy
            .and_then(|strategy| strategy.rolling_update.as_ref())
            .and_then(|rolling| rolling.partition)
            .unwrap_or_default();
        let wanted = spec.and_then(|spec| spec.replicas).unwrap_or(1);
        Self {
            template_annotations: annotations(spec.map(|spec| &spec.template)),
            finished: status.observed_generation >= found.metadata.generation
                && (on_delete
                    || (status.updated_replicas.unwrap_or_default() >= wanted - partition
                        && status.ready_replicas.unwrap_or_default() >= wanted)),
        }
    }

    /// Of a DaemonSet.
    pub fn of_daemon_set(found: &DaemonSet) -> Self {
        let spec = found.spec.as_ref();
        let status = found.status.clone().unwrap_or_default();
        let on_delete = spec
            .and_then(|spec| spec.update_strategy.as_ref())
            .and_then(|strategy| strategy.type_.as_deref())
            == Some("OnDelete");
        let wanted = status.desired_number_scheduled;
        Self {
            template_annotations: annotations(spec.map(|spec| &spec.template)),
            finished: status.observed_generation >= found.metadata.generation
                && (on_delete
                    || (status.updated_number_scheduled.unwrap_or_default() >= wanted
                        && status.number_available.unwrap_or_default() >= wanted)),
        }
    }
}

fn annotations(template: Option<&PodTemplateSpec>) -> BTreeMap<String, String> {
    template
        .and_then(|template| template.metadata.as_ref())
        .and_then(|metadata| metadata.annotations.clone())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(status: serde_json::Value) -> Rollout {
        let template = json!({ "metadata": { "annotations": { "a": "b" } }, "spec": { "containers": [] } });
        Rollout::of_deployment(
            &serde_json::from_value(json!({
                "metadata": { "generation": 2 },
                "spec": { "replicas": 3, "selector": {}, "template": template },
                "status": status,
            }))
            .unwrap(),
        )
    }

    #[test]
    fn a_deployment_is_done_when_every_pod_is_new_and_available() {
        let done = json!({ "observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3 });
        assert!(deployment(done.clone()).finished);
        for (key, value) in [
            ("observedGeneration", 1),
            ("replicas", 4),
            ("updatedReplicas", 2),
            ("availableReplicas", 2),
        ] {
            let mut status = done.clone();
            status[key] = json!(value);
            assert!(!deployment(status).finished, "{key}");
        }
        assert!(!deployment(json!({})).finished);
        assert_eq!(
            deployment(json!({})).template_annotations,
            BTreeMap::from([("a".to_owned(), "b".to_owned())])
        );
    }

    #[test]
    fn a_stateful_set_is_done_as_far_as_its_strategy_goes() {
        let set = |strategy, updated, ready| {
            Rollout::of_stateful_set(
                &serde_json::from_value(json!({
                    "metadata": { "generation": 1 },
                    "spec": { "replicas": 3, "serviceName": "s", "selector": {}, "template": {}, "updateStrategy": strategy },
                    "status": { "observedGeneration": 1, "replicas": 3, "updatedReplicas": updated, "readyReplicas": ready },
                }))
                .unwrap(),
            )
            .finished
        };
        let partition = json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 2 } });
        assert!(set(json!({}), 3, 3) && !set(json!({}), 2, 3) && !set(json!({}), 3, 2));
        assert!(set(partition, 1, 3) && set(json!({ "type": "OnDelete" }), 0, 3));
    }

    #[test]
    fn a_daemon_set_is_done_when_every_node_has_the_new_pod() {
        let set = |updated, available| {
            Rollout::of_daemon_set(
                &serde_json::from_value(json!({
                    "metadata": { "generation": 1 },
                    "spec": { "selector": {}, "template": {} },
                    "status": {
                        "observedGeneration": 1, "desiredNumberScheduled": 2, "currentNumberScheduled": 2, "numberMisscheduled": 0,
                        "numberReady": 2, "updatedNumberScheduled": updated, "numberAvailable": available,
                    },
                }))
                .unwrap(),
            )
            .finished
        };
        assert!(set(2, 2) && !set(1, 2) && !set(2, 1));
    }

    #[test]
    fn a_stamp_is_unique_to_the_credential_and_its_key_to_the_token() {
        let mut token = ApiToken::default();
        token.metadata.name = Some("web".to_owned());
        token.metadata.uid = Some("u".to_owned());
        assert_eq!(
            stamp(&token, 3),
            ("credential.tokenwright.dev/web".to_owned(), "u/3".to_owned())
        );
        token.metadata.name = Some("x".repeat(64));
        assert_eq!(stamp(&token, 3).0.len(), "credential.tokenwright.dev/".len() + 40);
    }
}
