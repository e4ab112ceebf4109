//! Restarts: the stamp that causes one, and when a rollout is over.

use std::collections::BTreeMap;

use kube::api::DynamicObject;
use serde_json::Value;

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
    pub fn of_deployment(found: &DynamicObject) -> Self {
        let wanted = found.number("/spec/replicas").unwrap_or(1);
        let status = |field| found.number(&format!("/status/{field}")).unwrap_or_default();
        let updated = status("updatedReplicas");
        Self {
            template_annotations: found.template_annotations(),
            finished: found.is_observed()
                && updated >= wanted
                && status("replicas") <= updated
                && status("availableReplicas") >= updated,
        }
    }

    /// Of a StatefulSet. One that is updated by hand (OnDelete) or in part (a partition) is not waited for further than
    /// its own strategy goes.
    pub fn of_stateful_set(found: &DynamicObject) -> Self {
        let wanted = found.number("/spec/replicas").unwrap_or(1);
        let partition = found.number("/spec/updateStrategy/rollingUpdate/partition");
        let status = |field| found.number(&format!("/status/{field}")).unwrap_or_default();
        Self {
            template_annotations: found.template_annotations(),
            finished: found.is_observed()
                && (found.is_updated_by_hand()
                    || (status("updatedReplicas") >= wanted - partition.unwrap_or_default()
                        && status("readyReplicas") >= wanted)),
        }
    }

    /// Of a DaemonSet.
    pub fn of_daemon_set(found: &DynamicObject) -> Self {
        let status = |field| found.number(&format!("/status/{field}")).unwrap_or_default();
        let wanted = status("desiredNumberScheduled");
        Self {
            template_annotations: found.template_annotations(),
            finished: found.is_observed()
                && (found.is_updated_by_hand()
                    || (status("updatedNumberScheduled") >= wanted && status("numberAvailable") >= wanted)),
        }
    }
}

/// What is read of a workload. Not all of it: a pod template is large, in an object as in the code that would read it, and
/// nothing in it should keep a token from being replaced.
trait Workload {
    fn number(&self, pointer: &str) -> Option<i64>;
    fn template_annotations(&self) -> BTreeMap<String, String>;
    fn is_observed(&self) -> bool;
    fn is_updated_by_hand(&self) -> bool;
}

impl Workload for DynamicObject {
    fn number(&self, pointer: &str) -> Option<i64> {
        self.data.pointer(pointer)?.as_i64()
    }

    fn template_annotations(&self) -> BTreeMap<String, String> {
        let annotations = self.data.pointer("/spec/template/metadata/annotations");
        let annotations = annotations.and_then(Value::as_object).into_iter().flatten();
        let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        annotations.filter_map(text).collect()
    }

    /// Whether the status is of the spec.
    fn is_observed(&self) -> bool {
        self.number("/status/observedGeneration") >= self.metadata.generation
    }

    fn is_updated_by_hand(&self) -> bool {
        self.data
            .pointer("/spec/updateStrategy/type")
            .is_some_and(|name| name == "OnDelete")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(status: Value) -> Rollout {
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
