//! Pods and what makes them: Deployments, StatefulSets, DaemonSets, ReplicaSets.

use serde_json::{Value, json};

use super::defaults::{default_pod_spec, default_to, object_in};
use super::{at_least_zero, metadata, names};
use crate::schema::{FieldError, text as wording};

/// The defaults of a kind of workload.
pub(crate) fn default_workload(kind: &str, object: &mut Value, is_new: bool) {
    if is_new {
        start_status(kind, object);
    }
    let spec = object_in(object, "spec");
    match kind {
        "Deployment" => {
            default_to(spec, "replicas", || 1.into());
            default_to(spec, "revisionHistoryLimit", || 10.into());
            default_to(spec, "progressDeadlineSeconds", || 600.into());
            let strategy = object_in(spec, "strategy");
            default_to(strategy, "type", || "RollingUpdate".into());
            if strategy["type"] == "RollingUpdate" {
                let rolling = object_in(strategy, "rollingUpdate");
                default_to(rolling, "maxUnavailable", || "25%".into());
                default_to(rolling, "maxSurge", || "25%".into());
            }
        }
        "StatefulSet" => {
            default_to(spec, "replicas", || 1.into());
            default_to(spec, "revisionHistoryLimit", || 10.into());
            default_to(spec, "podManagementPolicy", || "OrderedReady".into());
            let retention = object_in(spec, "persistentVolumeClaimRetentionPolicy");
            default_to(retention, "whenDeleted", || "Retain".into());
            default_to(retention, "whenScaled", || "Retain".into());
            let strategy = object_in(spec, "updateStrategy");
            default_to(strategy, "type", || "RollingUpdate".into());
            if strategy["type"] == "RollingUpdate" {
                default_to(object_in(strategy, "rollingUpdate"), "partition", || 0.into());
            }
        }
        "DaemonSet" => {
            default_to(spec, "revisionHistoryLimit", || 10.into());
            let strategy = object_in(spec, "updateStrategy");
            default_to(strategy, "type", || "RollingUpdate".into());
            if strategy["type"] == "RollingUpdate" {
                let rolling = object_in(strategy, "rollingUpdate");
                default_to(rolling, "maxUnavailable", || 1.into());
                default_to(rolling, "maxSurge", || 0.into());
            }
        }
        _ => default_to(spec, "replicas", || 1.into()),
    }
    if let Some(pod) = spec.pointer_mut("/template/spec") {
        default_pod_spec(pod);
    }
}

/// What the status of a new workload says before any controller has seen it.
fn start_status(kind: &str, object: &mut Value) {
    object["status"] = match kind {
        "StatefulSet" => json!({"replicas": 0, "availableReplicas": 0}),
        "DaemonSet" => json!({
            "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0,
        }),
        "ReplicaSet" => json!({"replicas": 0}),
        _ => json!({}),
    };
    if kind == "DaemonSet" {
        let annotations = object_in(object_in(object, "metadata"), "annotations");
        annotations["deprecated.daemonset.template.generation"] = "1".into();
    }
}

/// The defaults of a pod.
pub(crate) fn default_pod(pod: &mut Value) {
    let spec = object_in(pod, "spec");
    default_to(spec, "enableServiceLinks", || true.into());
    default_pod_spec(spec);
    let status = object_in(pod, "status");
    default_to(status, "phase", || "Pending".into());
    default_to(status, "qosClass", || "BestEffort".into());
}

fn is_empty_list(value: &Value) -> bool {
    value.as_array().is_none_or(Vec::is_empty)
}

fn is_empty_map(value: &Value) -> bool {
    value.as_object().is_none_or(serde_json::Map::is_empty)
}

/// Checks a Deployment, StatefulSet, DaemonSet or ReplicaSet, and with `old` what of it may change.
pub(crate) fn validate_workload(kind: &str, object: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let spec = &object["spec"];
    let numbers = ["replicas", "minReadySeconds", "revisionHistoryLimit"];
    at_least_zero("spec", spec, &numbers, errors);
    validate_selector(kind, spec, errors);
    validate_template(&spec["template"], errors);
    if kind == "Deployment" {
        validate_strategy(&spec["strategy"], errors);
    }
    let Some(old) = old.map(|old| &old["spec"]) else { return };
    if kind == "StatefulSet" {
        let may_change = [
            "replicas",
            "ordinals",
            "template",
            "updateStrategy",
            "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds",
        ];
        let rest = |spec: &Value| {
            let mut rest = spec.as_object().cloned().unwrap_or_default();
            rest.retain(|name, _| !may_change.contains(&name.as_str()));
            rest
        };
        if rest(spec) != rest(old) {
            errors.push(FieldError::forbidden("spec", "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"));
        }
    } else if spec["selector"] != old["selector"] {
        errors.push(FieldError::invalid(
            "spec.selector",
            spec["selector"].clone(),
            "field is immutable",
        ));
    }
}

fn validate_selector(kind: &str, spec: &Value, errors: &mut Vec<FieldError>) {
    let selector = &spec["selector"];
    if selector.is_null() && kind != "DaemonSet" {
        errors.push(FieldError::required("spec.selector", ""));
    }
    metadata::validate_labels("spec.selector.matchLabels", &selector["matchLabels"], errors);
    if !selector.is_null() && is_empty_map(&selector["matchLabels"]) && is_empty_list(&selector["matchExpressions"]) {
        let detail = format!("empty selector is invalid for {}", kind.to_lowercase());
        errors.push(FieldError::invalid("spec.selector", selector.clone(), detail));
        return;
    }
    let labels = &spec["template"]["metadata"]["labels"];
    // Without a selector nothing is selected, not even the template's own labels.
    if selector.is_null() || !selects(selector, labels) {
        let detail = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(
            "spec.template.metadata.labels",
            labels.clone(),
            detail,
        ));
    }
}

/// Whether a metav1.LabelSelector selects a set of labels.
pub(crate) fn selects(selector: &Value, labels: &Value) -> bool {
    let labels_match = selector["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .all(|(key, value)| labels[key] == *value);
    labels_match
        && selector["matchExpressions"]
            .as_array()
            .into_iter()
            .flatten()
            .all(|expression| {
                let value = &labels[expression["key"].as_str().unwrap_or_default()];
                let is_listed = expression["values"]
                    .as_array()
                    .is_some_and(|values| values.contains(value));
                match expression["operator"].as_str().unwrap_or_default() {
                    "In" => is_listed,
                    "NotIn" => !is_listed,
                    "Exists" => !value.is_null(),
                    "DoesNotExist" => value.is_null(),
                    _ => false,
                }
            })
}

fn validate_strategy(strategy: &Value, errors: &mut Vec<FieldError>) {
    match strategy["type"].as_str().unwrap_or_default() {
        "Recreate" if !strategy["rollingUpdate"].is_null() => errors.push(FieldError::forbidden(
            "spec.strategy.rollingUpdate",
            "may not be specified when strategy `type` is 'Recreate'",
        )),
        "Recreate" | "RollingUpdate" => {}
        kind => {
            let rolling = wording::json(&strategy["rollingUpdate"]);
            let detail = format!(
                "{{\"Type\":{},\"RollingUpdate\":{rolling}}}: supported values: \"Recreate\", \"RollingUpdate\"",
                wording::json(&Value::from(kind))
            );
            let mut error = FieldError::not_supported::<&str>("spec.strategy", Value::Null, &[]);
            (error.value, error.detail) = (None, detail);
            errors.push(error);
        }
    }
}

fn validate_template(template: &Value, errors: &mut Vec<FieldError>) {
    metadata::validate_labels("spec.template.labels", &template["metadata"]["labels"], errors);
    validate_pod_spec("spec.template.spec", &template["spec"], errors);
    let policy = template["spec"]["restartPolicy"].as_str().unwrap_or("");
    if policy != "Always" && !is_empty_list(&template["spec"]["containers"]) {
        errors.push(FieldError::not_supported(
            "spec.template.spec.restartPolicy",
            policy,
            &["Always"],
        ));
    }
}

/// Checks what every pod needs.
pub(crate) fn validate_pod_spec(path: &str, spec: &Value, errors: &mut Vec<FieldError>) {
    if is_empty_list(&spec["containers"]) {
        errors.push(FieldError::required(format!("{path}.containers"), ""));
    }
    let mut seen: Vec<&str> = Vec::new();
    for list in ["initContainers", "containers"] {
        for (index, container) in spec[list].as_array().into_iter().flatten().enumerate() {
            let place = format!("{path}.{list}[{index}]");
            match container["name"].as_str().unwrap_or_default() {
                "" => errors.push(FieldError::required(format!("{place}.name"), "")),
                name => {
                    let field = format!("{place}.name");
                    errors.extend(
                        names::label(name)
                            .into_iter()
                            .map(|what| FieldError::invalid(&field, name, what)),
                    );
                    if seen.contains(&name) {
                        errors.push(FieldError::duplicate(field, name));
                    }
                    seen.push(name);
                }
            }
            if container["image"].as_str().unwrap_or_default().is_empty() {
                errors.push(FieldError::required(format!("{place}.image"), ""));
            }
        }
    }
    if let Some(policy) = spec["restartPolicy"]
        .as_str()
        .filter(|policy| !["Always", "OnFailure", "Never"].contains(policy))
    {
        let policies = ["Always", "OnFailure", "Never"];
        errors.push(FieldError::not_supported(
            format!("{path}.restartPolicy"),
            policy,
            &policies,
        ));
    }
}

/// A Service gets an address of its own kind and a protocol for each port.
pub(crate) fn default_service(service: &mut Value) {
    let spec = object_in(service, "spec");
    default_to(spec, "type", || "ClusterIP".into());
    default_to(spec, "sessionAffinity", || "None".into());
    default_to(spec, "internalTrafficPolicy", || "Cluster".into());
    for port in spec
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        default_to(port, "protocol", || "TCP".into());
        let number = port["port"].clone();
        default_to(port, "targetPort", || number);
    }
    default_to(service, "status", || json!({"loadBalancer": {}}));
}
