//! Defaults and validation of builtin kinds, and of the metadata of every object.

mod batch;
mod data;
mod defaults;
mod event;
mod fields;
mod metadata;
pub(crate) mod names;
mod rbac;
mod surroundings;
mod workload;

use jiff::Timestamp;
use serde_json::Value;

use crate::schema::{CompiledSchema, FieldError};
pub use fields::{decode_builtin, decode_metadata};

/// What an object's name must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// A DNS-1123 subdomain: most kinds.
    Subdomain,
    /// A DNS-1123 label: namespaces, services.
    Label,
    /// Whatever can stand in a path: RBAC kinds.
    PathSegment,
}

/// The rule for the names of a builtin kind; custom resources are subdomains.
pub fn name_rule(group: &str, kind: &str) -> NameRule {
    match (group, kind) {
        ("", "Namespace" | "Service") | ("apps", "StatefulSet") => NameRule::Label,
        ("rbac.authorization.k8s.io", _) => NameRule::PathSegment,
        _ => NameRule::Subdomain,
    }
}

/// Checks the metadata of an object of any kind (after a name has been generated), and with `old` that it may
/// replace that one.
pub fn metadata(object: &Value, namespaced: bool, rule: NameRule, old: Option<&Value>) -> Vec<FieldError> {
    metadata::validate(object, namespaced, rule, old)
}

/// Leaves out of an object's metadata what is empty, and what is not kept here.
pub(crate) fn tidy_metadata(object: &mut Value) {
    metadata::tidy(object);
}

/// Fills in the defaults of a custom resource and checks it (its metadata too), and with `old` that it may replace that
/// one. Without a schema, only its metadata is checked.
pub fn custom(
    schema: Option<&CompiledSchema>,
    namespaced: bool,
    object: &mut Value,
    old: Option<&Value>,
) -> Vec<FieldError> {
    if let Some(schema) = schema {
        schema.apply_defaults(object);
    }
    let mut errors = metadata(object, namespaced, NameRule::Subdomain, old);
    errors.extend(schema.map(|schema| schema.validate(object, old)).unwrap_or_default());
    errors
}

/// Fills in the defaults of a builtin kind and checks it (its metadata too), and with `old` that it may replace that
/// one. Objects of kinds without checks of their own have their metadata checked.
///
/// # Errors
/// Every field that the real API server would refuse, in its words.
pub fn builtin(
    group: &str,
    kind: &str,
    object: &mut Value,
    old: Option<&Value>,
    now: Timestamp,
) -> Result<(), Vec<FieldError>> {
    let _ = now;
    default_builtin(group, kind, object, old.is_none());
    let mut errors = match (group, kind) {
        // Events of the core group are taken with whatever name they have.
        ("", "Event") => Vec::new(),
        _ => metadata(object, is_namespaced(group, kind), name_rule(group, kind), old),
    };
    let object = &*object;
    metadata::validate_standard_finalizers(object, &mut errors);
    match (group, kind) {
        ("", "Secret") => data::validate_secret(object, old, &mut errors),
        ("", "ConfigMap") => data::validate_config_map(object, old, &mut errors),
        ("", "Pod") => workload::validate_pod_spec("spec", &object["spec"], &mut errors),
        ("", "Event") => event::validate(object, false, old, &mut errors),
        ("events.k8s.io", "Event") => event::validate(object, true, old, &mut errors),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") => {
            workload::validate_workload(kind, object, old, &mut errors);
        }
        ("batch", "Job") => batch::validate_job(object, old, &mut errors),
        ("batch", "CronJob") => batch::validate_cron_job(object, &mut errors),
        ("policy", "PodDisruptionBudget") => surroundings::validate_budget(object, &mut errors),
        ("autoscaling", "HorizontalPodAutoscaler") => surroundings::validate_autoscaler(object, &mut errors),
        ("networking.k8s.io", "NetworkPolicy") => surroundings::validate_network_policy(object, &mut errors),
        ("scheduling.k8s.io", "PriorityClass") => surroundings::validate_priority(object, old, &mut errors),
        ("coordination.k8s.io", "Lease") => event::validate_lease(object, &mut errors),
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => {
            rbac::validate_role(object, kind == "Role", &mut errors);
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            rbac::validate_binding(object, kind == "RoleBinding", old, &mut errors);
        }
        _ => {}
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn default_builtin(group: &str, kind: &str, object: &mut Value, is_new: bool) {
    match (group, kind) {
        ("", "Secret") => data::default_secret(object),
        ("", "Namespace") => data::default_namespace(object, is_new),
        ("", "Pod") => workload::default_pod(object),
        ("", "Service") => workload::default_service(object),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") => {
            workload::default_workload(kind, object, is_new);
        }
        ("batch", "Job") => batch::default_job(object, is_new),
        ("batch", "CronJob") => batch::default_cron_job(object, is_new),
        ("policy", "PodDisruptionBudget") => surroundings::default_budget(object, is_new),
        ("autoscaling", "HorizontalPodAutoscaler") => surroundings::default_autoscaler(object, is_new),
        ("networking.k8s.io", "NetworkPolicy") => surroundings::default_network_policy(object),
        ("scheduling.k8s.io", "PriorityClass") => surroundings::default_priority(object),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => rbac::default_binding(object),
        _ => {}
    }
}

fn is_namespaced(group: &str, kind: &str) -> bool {
    !matches!(
        (group, kind),
        ("", "Namespace" | "Node" | "PersistentVolume")
            | ("rbac.authorization.k8s.io", "ClusterRole" | "ClusterRoleBinding")
            | ("apiextensions.k8s.io", "CustomResourceDefinition")
            | ("scheduling.k8s.io", "PriorityClass")
            | ("admissionregistration.k8s.io", _)
    )
}

/// Checks that none of these fields of `object`, which is at `path`, is a negative number.
fn at_least_zero(path: &str, object: &Value, fields: &[&str], errors: &mut Vec<FieldError>) {
    for field in fields {
        if let Some(number) = object[*field].as_i64().filter(|number| *number < 0) {
            let detail = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(format!("{path}.{field}"), number, detail));
        }
    }
}

/// Checks that a field of `object`, which is at `path`, has one of these values.
fn one_of(path: &str, object: &Value, field: &str, values: &[&str], errors: &mut Vec<FieldError>) {
    let value = object[field].as_str().unwrap_or_default();
    if !values.contains(&value) {
        let place = format!("{path}.{field}");
        errors.push(FieldError::not_supported(place.trim_start_matches('.'), value, values));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Objects and what a real API server (1.36) makes of them: the object it keeps, or its errors.
    const CASES: &str = include_str!("cases.json");

    fn judge(group: &str, kind: &str, object: &mut Value, old: Option<&Value>) -> Vec<String> {
        let errors = builtin(group, kind, object, old, Timestamp::UNIX_EPOCH)
            .err()
            .unwrap_or_default();
        let mut errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        errors.sort();
        errors
    }

    #[test]
    fn says_what_the_real_one_says() {
        let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
        for case in cases {
            let mut object = case["new"].clone();
            let (group, kind) = (case["group"].as_str().unwrap(), case["kind"].as_str().unwrap());
            let errors = judge(group, kind, &mut object, case.get("old"));
            match case.get("result") {
                Some(result) => assert_eq!((&case["case"], errors, &object), (&case["case"], vec![], result)),
                None => assert_eq!((&case["case"], json!(errors)), (&case["case"], case["errors"].clone())),
            }
        }
    }

    #[test]
    fn sizes_are_limited() {
        let metadata = json!({"name": "x", "namespace": "default"});
        let mut secret = json!({"metadata": metadata, "data": {"a": "YWFh".repeat(400_000)}});
        assert_eq!(
            judge("", "Secret", &mut secret, None),
            ["data: Too long: may not be more than 1048576 bytes"]
        );
        let mut map = json!({"metadata": metadata, "data": {"a": "x".repeat(1_048_577)}});
        assert_eq!(
            judge("", "ConfigMap", &mut map, None),
            ["[]: Too long: may not be more than 1048576 bytes"]
        );
        let mut large =
            json!({"metadata": {"name": "x", "namespace": "default", "annotations": {"k": "x".repeat(262_145)}}});
        assert_eq!(
            judge("", "ServiceAccount", &mut large, None),
            ["metadata.annotations: Too long: may not be more than 262144 bytes"]
        );
    }

    #[test]
    fn metadata_of_custom_resources() {
        let old = json!({"metadata": {"name": "a", "namespace": "n", "uid": "1", "resourceVersion": "1", "generation": 2,
            "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b"]}});
        let new = json!({"metadata": {"name": "b", "namespace": "n", "uid": "2", "generation": 1,
            "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b", "c/d"]}});
        let errors: Vec<String> = metadata(&new, true, NameRule::Subdomain, Some(&old))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            errors,
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"c/d\"}",
                "metadata.resourceVersion: Invalid value: \"\": must be specified for an update",
                "metadata.generation: Invalid value: 1: must not be decremented",
                "metadata.name: Invalid value: \"b\": field is immutable",
                "metadata.uid: Invalid value: \"2\": field is immutable",
            ]
        );
        let errors = metadata(
            &json!({"metadata": {"namespace": "x"}}),
            false,
            NameRule::Subdomain,
            None,
        );
        assert_eq!(
            errors,
            [
                FieldError::required("metadata.name", "name or generateName is required"),
                FieldError::forbidden("metadata.namespace", "not allowed on this type"),
            ]
        );
    }

    #[test]
    fn pods_get_their_defaults() {
        let mut pod = json!({"metadata": {"name": "x", "namespace": "default"}, "spec": {
            "containers": [{"name": "c", "image": "r:5000/x", "ports": [{"containerPort": 80}], "livenessProbe": {"httpGet": {"port": 80}}}],
            "volumes": [{"name": "s", "secret": {"secretName": "x"}}],
        }});
        assert_eq!(judge("", "Pod", &mut pod, None), Vec::<String>::new());
        assert_eq!(
            pod["spec"],
            json!({
                "containers": [{"name": "c", "image": "r:5000/x", "imagePullPolicy": "Always", "resources": {},
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "livenessProbe": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                        "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}}],
                "volumes": [{"name": "s", "secret": {"secretName": "x", "defaultMode": 420}}],
                "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
                "securityContext": {}, "terminationGracePeriodSeconds": 30, "enableServiceLinks": true,
            })
        );
    }
}
