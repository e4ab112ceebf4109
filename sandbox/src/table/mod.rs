//! `meta.k8s.io/v1 Table`: what `kubectl get` prints.

mod age;
mod batch;
mod builtin;
mod column;
mod json_path;
mod pod;
mod surroundings;

use jiff::Timestamp;
use serde_json::{Value, json};

pub use column::Column;
pub use json_path::JsonPath;

/// What a row carries besides its cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// The object's metadata, as a PartialObjectMetadata.
    #[default]
    Metadata,
    /// The object itself.
    Object,
}

impl IncludeObject {
    /// Reads the query parameter `includeObject`; nothing and the empty string are the default.
    pub fn parse(value: Option<&str>) -> Option<Self> {
        match value {
            None | Some("" | "Metadata") => Some(Self::Metadata),
            Some("None") => Some(Self::None),
            Some("Object") => Some(Self::Object),
            Some(_) => None,
        }
    }
}

/// The columns of a builtin kind; name and age for kinds that have no columns of their own.
pub fn columns_for_builtin(group: &str, kind: &str) -> Vec<Column> {
    builtin::columns(group, kind)
}

/// The columns of one version (an item of `spec.versions`) of a CustomResourceDefinition: the name, and what it
/// defines, or else the age.
pub fn columns_for_crd(version: &Value) -> Vec<Column> {
    let age = json!([{
        "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "description": "How long ago it was created",
    }]);
    let defined = &version["additionalPrinterColumns"];
    let defined = if defined.as_array().is_none_or(Vec::is_empty) {
        &age
    } else {
        defined
    };
    let custom = defined.as_array().into_iter().flatten().filter_map(Column::custom);
    std::iter::once(Column::name()).chain(custom).collect()
}

/// Renders objects as a Table; `list_metadata` is the list's own (resourceVersion, continue).
pub fn render(
    columns: &[Column],
    objects: &[Value],
    include_object: IncludeObject,
    list_metadata: &Value,
    now: Timestamp,
) -> Value {
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| row(columns, object, include_object, now))
        .collect();
    let definitions: Vec<Value> = columns.iter().map(Column::definition).collect();
    table(list_metadata, Value::from(definitions), rows)
}

/// Renders the object of one watch event; only a watch's first event carries the definitions of the columns.
pub fn render_event(
    columns: &[Column],
    object: &Value,
    include_object: IncludeObject,
    first: bool,
    now: Timestamp,
) -> Value {
    let definitions = if first {
        columns.iter().map(Column::definition).collect()
    } else {
        Value::Null
    };
    let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
    table(&metadata, definitions, vec![row(columns, object, include_object, now)])
}

fn table(metadata: &Value, definitions: Value, rows: Vec<Value>) -> Value {
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": definitions,
        "rows": rows,
    })
}

fn row(columns: &[Column], object: &Value, include_object: IncludeObject, now: Timestamp) -> Value {
    let cells: Vec<Value> = columns.iter().map(|column| column.cell(object, now)).collect();
    let object = match include_object {
        IncludeObject::None => Value::Null,
        IncludeObject::Object => object.clone(),
        IncludeObject::Metadata => json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
        }),
    };
    json!({"cells": cells, "object": object})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    fn cells(columns: &[Column], object: &Value) -> Value {
        render(
            columns,
            std::slice::from_ref(object),
            IncludeObject::None,
            &json!({}),
            now(),
        )["rows"][0]["cells"]
            .clone()
    }

    #[test]
    fn custom_columns() {
        let version = json!({"additionalPrinterColumns": [
            {"name": "Text", "type": "string", "jsonPath": ".spec.text"},
            {"name": "Object", "type": "string", "jsonPath": ".spec.object"},
            {"name": "Number as text", "type": "string", "jsonPath": ".spec.count"},
            {"name": "Count", "type": "integer", "jsonPath": ".spec.count", "priority": 1},
            {"name": "Flag", "type": "boolean", "jsonPath": ".spec.flag"},
            {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
            {"name": "When", "type": "date", "jsonPath": ".spec.when"},
            {"name": "Later", "type": "date", "jsonPath": ".spec.later"},
            {"name": "Never", "type": "date", "jsonPath": ".spec.never"},
            {"name": "Missing", "type": "string", "jsonPath": ".spec.missing"},
            {"name": "Misfit", "type": "integer", "jsonPath": ".spec.text"},
        ]});
        let object = json!({"metadata": {"name": "x"}, "spec": {"text": "t", "object": {"a": [1]}, "count": 3, "flag": true,
            "when": "2026-11-21T09:00:00Z", "later": "2026-11-22T09:00:00Z", "never": "never"},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        assert_eq!(
            cells(&columns_for_crd(&version), &object),
            json!([
                "x",
                "t",
                "{\"a\":[1]}",
                "3",
                3,
                true,
                "True",
                "60m",
                "<invalid>",
                "<invalid>",
                null,
                null
            ])
        );
    }

    #[test]
    fn a_table_has_definitions_rows_and_metadata() {
        let object =
            json!({"metadata": {"name": "x", "resourceVersion": "5", "creationTimestamp": "2026-11-21T09:59:00Z"}});
        let columns = columns_for_crd(&json!({}));
        let table = render(
            &columns,
            std::slice::from_ref(&object),
            IncludeObject::Metadata,
            &json!({"resourceVersion": "7"}),
            now(),
        );
        assert_eq!(
            table,
            json!({
                "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "7"},
                "columnDefinitions": [
                    {"name": "Name", "type": "string", "format": "name", "priority": 0,
                        "description": "The name, unique among its kind in its namespace"},
                    {"name": "Age", "type": "date", "format": "", "priority": 0, "description": "How long ago it was created"},
                ],
                "rows": [{"cells": ["x", "60s"], "object": {
                    "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]}}],
            })
        );
        let later = render_event(&columns, &object, IncludeObject::Object, false, now());
        assert_eq!(
            later,
            json!({
                "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "5"},
                "columnDefinitions": null, "rows": [{"cells": ["x", "60s"], "object": object}],
            })
        );
        let first = render_event(&columns, &object, IncludeObject::None, true, now());
        assert_eq!(first["columnDefinitions"], table["columnDefinitions"]);
    }

    #[test]
    fn builtin_kinds() {
        let metadata = json!({"name": "x", "creationTimestamp": "2026-11-21T09:59:00Z"});
        let template = json!({"spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}});
        let cases = [
            (
                "",
                "Namespace",
                json!({"status": {"phase": "Active"}}),
                json!(["x", "Active", "60s"]),
            ),
            (
                "",
                "Secret",
                json!({"type": "Opaque", "data": {"a": "", "b": ""}}),
                json!(["x", "Opaque", 2, "60s"]),
            ),
            (
                "",
                "ConfigMap",
                json!({"data": {"a": ""}, "binaryData": {"b": ""}}),
                json!(["x", 2, "60s"]),
            ),
            ("", "ServiceAccount", json!({}), json!(["x", "60s"])),
            (
                "coordination.k8s.io",
                "Lease",
                json!({"spec": {"holderIdentity": "me"}}),
                json!(["x", "me", "60s"]),
            ),
            (
                "rbac.authorization.k8s.io",
                "Role",
                json!({}),
                json!(["x", "2026-11-21T09:59:00Z"]),
            ),
            (
                "rbac.authorization.k8s.io",
                "RoleBinding",
                json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"},
                    {"kind": "ServiceAccount", "name": "s", "namespace": "n"}]}),
                json!(["x", "Role/r", "60s", "u", "", "n/s"]),
            ),
            (
                "apps",
                "Deployment",
                json!({"spec": {"replicas": 3, "template": template, "selector": {"matchLabels": {"a": "b"}}},
                    "status": {"readyReplicas": 1, "updatedReplicas": 2}}),
                json!(["x", "1/3", 2, 0, "60s", "c,d", "i,j", "a=b"]),
            ),
            (
                "apps",
                "StatefulSet",
                json!({"spec": {"replicas": 1, "template": template}}),
                json!(["x", "0/1", "60s", "c,d", "i,j"]),
            ),
            (
                "apps",
                "DaemonSet",
                json!({"spec": {"template": template, "selector": {"matchLabels": {"a": "b"}}}, "status": {"numberReady": 1}}),
                json!(["x", 0, 0, 1, 0, 0, "<none>", "60s", "c,d", "i,j", "a=b"]),
            ),
            (
                "batch",
                "CronJob",
                json!({"spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": template}}},
                    "status": {"active": [{}], "lastScheduleTime": "2026-11-21T09:58:00Z"}}),
                json!(["x", "@daily", "<none>", "False", 1, "2m", "60s", "c,d", "i,j", "<none>"]),
            ),
            (
                "batch",
                "Job",
                json!({"spec": {"parallelism": 3, "template": template, "selector": {"matchLabels": {"a": "b"}}},
                    "status": {"startTime": "2026-11-21T09:58:00Z", "conditions": [{"type": "Suspended", "status": "True"}]}}),
                json!(["x", "Suspended", "0/1 of 3", "2m", "60s", "c,d", "i,j", "a=b"]),
            ),
            (
                "policy",
                "PodDisruptionBudget",
                json!({"spec": {"minAvailable": "50%"}, "status": {"disruptionsAllowed": 2}}),
                json!(["x", "50%", "N/A", 2, "60s"]),
            ),
            (
                "autoscaling",
                "HorizontalPodAutoscaler",
                json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "minReplicas": 3, "maxReplicas": 10,
                    "metrics": [{"type": "Resource", "resource":
                        {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}]}}),
                json!(["x", "Deployment/d", "cpu: <unknown>/70%", "3", 10, 0, "60s"]),
            ),
            (
                "networking.k8s.io",
                "NetworkPolicy",
                json!({"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}),
                json!(["x", "a=b", "60s"]),
            ),
            (
                "scheduling.k8s.io",
                "PriorityClass",
                json!({"value": 5, "preemptionPolicy": "Never"}),
                json!(["x", 5, false, "60s", "Never"]),
            ),
            (
                "admissionregistration.k8s.io",
                "ValidatingAdmissionPolicy",
                json!({"spec": {"validations": [{}]}}),
                json!(["x", 1, "<unset>", "60s"]),
            ),
            (
                "admissionregistration.k8s.io",
                "MutatingAdmissionPolicyBinding",
                json!({"spec": {"policyName": "p"}}),
                json!(["x", "p", "<unset>", "60s"]),
            ),
            (
                "",
                "Pod",
                json!({"spec": {"containers": [{"name": "c"}], "nodeName": "n"}, "status": {"phase": "Running",
                    "containerStatuses": [{"ready": true, "restartCount": 2, "state": {"running": {}}}]}}),
                json!(["x", "1/1", "Running", "2", "60s", "<none>", "n", "<none>", "<none>"]),
            ),
            (
                "",
                "Service",
                json!({"spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1", "ports": [{"port": 443, "protocol": "TCP"}]}}),
                json!(["x", "ClusterIP", "10.0.0.1", "<none>", "443/TCP", "60s", "<none>"]),
            ),
            (
                "",
                "Event",
                json!({"type": "Normal", "reason": "R", "message": " m ", "involvedObject": {"kind": "Pod", "name": "p"},
                    "firstTimestamp": "2026-11-21T09:50:00Z", "lastTimestamp": "2026-11-21T09:58:00Z", "count": 4,
                    "source": {"component": "c", "host": "h"}}),
                json!(["2m", "Normal", "R", "pod/p", "", "c, h", "m", "10m", 4, "x"]),
            ),
            (
                "events.k8s.io",
                "Event",
                json!({"type": "Normal", "reason": "R", "note": "m", "regarding": {"kind": "Pod"},
                    "eventTime": "2026-11-21T09:58:00.000000Z", "reportingController": "c", "reportingInstance": "i"}),
                json!(["2m", "Normal", "R", "pod", "", "c, i", "m", "2m", 1, "x"]),
            ),
        ];
        for (group, kind, mut object, expected) in cases {
            object["metadata"] = metadata.clone();
            assert_eq!(
                (kind, cells(&columns_for_builtin(group, kind), &object)),
                (kind, expected)
            );
        }
    }
}
