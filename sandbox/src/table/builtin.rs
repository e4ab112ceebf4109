//! The columns of builtin kinds.

use jiff::Timestamp;
use serde_json::Value;

use super::age;
use super::column::{Column, number, text};
use super::{batch, pod, surroundings};

/// The columns of a builtin kind, or name and age.
pub(crate) fn columns(group: &str, kind: &str) -> Vec<Column> {
    match (group, kind) {
        ("", "Namespace") => with_age(vec![
            Column::name(),
            text("Status", "What the namespace is doing", |object, _| {
                string(&object["status"]["phase"])
            }),
        ]),
        ("", "Secret") => with_age(vec![
            Column::name(),
            text("Type", "What the secret is for", |object, _| string(&object["type"])),
            text("Data", "The number of its keys", |object, _| {
                size(&object["data"]).into()
            }),
        ]),
        ("", "ConfigMap") => with_age(vec![
            Column::name(),
            text("Data", "The number of its keys", |object, _| {
                (size(&object["data"]) + size(&object["binaryData"])).into()
            }),
        ]),
        ("", "Event") | ("events.k8s.io", "Event") => events(),
        ("", "Pod") => pod::columns(),
        ("", "Service") => services(),
        ("coordination.k8s.io", "Lease") => with_age(vec![
            Column::name(),
            text("Holder", "Who holds the lease", |object, _| {
                string(&object["spec"]["holderIdentity"])
            }),
        ]),
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole")
        | ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            vec![Column::name(), Column::created_at()]
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => bindings(),
        ("apps", "Deployment") => deployments(),
        ("apps", "StatefulSet") => {
            let mut columns = with_age(vec![
                Column::name(),
                text("Ready", "Pods that are ready", ready_of_desired),
            ]);
            columns.extend([containers(), images()]);
            columns
        }
        ("apps", "ReplicaSet") => {
            let mut columns = with_age(vec![
                Column::name(),
                number("Desired", "Pods that are wanted", |object| &object["spec"]["replicas"]),
                number("Current", "Pods that are there", |object| &object["status"]["replicas"]),
                number(
                    "Ready",
                    "Pods that are ready",
                    |object| &object["status"]["readyReplicas"],
                ),
            ]);
            columns.extend([containers(), images(), selector()]);
            columns
        }
        ("apps", "DaemonSet") => daemon_sets(),
        ("batch", "Job") => batch::jobs(),
        ("batch", "CronJob") => batch::cron_jobs(),
        ("policy", "PodDisruptionBudget") => surroundings::budgets(),
        ("autoscaling", "HorizontalPodAutoscaler") => surroundings::autoscalers(),
        ("networking.k8s.io", "NetworkPolicy") => surroundings::network_policies(),
        ("scheduling.k8s.io", "PriorityClass") => surroundings::priorities(),
        ("admissionregistration.k8s.io", kind) => surroundings::admission(kind),
        _ => with_age(vec![Column::name()]),
    }
}

pub(super) fn with_age(mut columns: Vec<Column>) -> Vec<Column> {
    columns.push(Column::age());
    columns
}

pub(crate) fn string(value: &Value) -> Value {
    value.as_str().unwrap_or_default().into()
}

fn size(map: &Value) -> usize {
    map.as_object().map_or(0, serde_json::Map::len)
}

pub(super) fn or_none(text: String) -> Value {
    if text.is_empty() { "<none>".into() } else { text.into() }
}

/// `a=b,c=d`, or `<none>`.
fn labels(map: &Value) -> Value {
    let pairs = map.as_object().into_iter().flatten();
    or_none(
        pairs
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
            .join(","),
    )
}

pub(super) fn count(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

fn ready_of_desired(object: &Value, _: Timestamp) -> Value {
    format!(
        "{}/{}",
        count(&object["status"]["readyReplicas"]),
        count(&object["spec"]["replicas"])
    )
    .into()
}

fn of_containers(object: &Value, field: &str) -> Value {
    let spec = match &object["spec"]["jobTemplate"]["spec"] {
        Value::Null => &object["spec"],
        job => job,
    };
    let containers = spec["template"]["spec"]["containers"].as_array();
    let values: Vec<&str> = containers
        .into_iter()
        .flatten()
        .map(|container| container[field].as_str().unwrap_or_default())
        .collect();
    values.join(",").into()
}

pub(super) fn containers() -> Column {
    text("Containers", "The template's containers", |object, _| {
        of_containers(object, "name")
    })
    .wide()
}

pub(super) fn images() -> Column {
    text("Images", "The template's images", |object, _| {
        of_containers(object, "image")
    })
    .wide()
}

pub(super) fn selector() -> Column {
    text("Selector", "Which pods it looks after", |object, _| {
        selector_text(&object["spec"]["selector"])
    })
    .wide()
}

pub(super) fn selector_text(selector: &Value) -> Value {
    let mut parts: Vec<String> = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        parts.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let values: Vec<&str> = expression["values"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        parts.push(match expression["operator"].as_str().unwrap_or_default() {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    or_none(parts.join(","))
}

fn deployments() -> Vec<Column> {
    let mut columns = with_age(vec![
        Column::name(),
        text("Ready", "Pods that are ready", ready_of_desired),
        text("Up-to-date", "Pods of the newest template", |object, _| {
            count(&object["status"]["updatedReplicas"]).into()
        }),
        text("Available", "Pods ready for long enough", |object, _| {
            count(&object["status"]["availableReplicas"]).into()
        }),
    ]);
    columns.extend([containers(), images(), selector()]);
    columns
}

fn daemon_sets() -> Vec<Column> {
    let mut columns = with_age(vec![
        Column::name(),
        number(
            "Desired",
            "Nodes that should run it",
            |object| &object["status"]["desiredNumberScheduled"],
        ),
        number(
            "Current",
            "Nodes that run it",
            |object| &object["status"]["currentNumberScheduled"],
        ),
        number(
            "Ready",
            "Nodes where it is ready",
            |object| &object["status"]["numberReady"],
        ),
        number("Up-to-date", "Nodes with the newest template", |object| {
            &object["status"]["updatedNumberScheduled"]
        }),
        number("Available", "Nodes where it is ready for long enough", |object| {
            &object["status"]["numberAvailable"]
        }),
        text("Node Selector", "Which nodes", |object, _| {
            labels(&object["spec"]["template"]["spec"]["nodeSelector"])
        }),
    ]);
    columns.extend([containers(), images(), selector()]);
    columns
}

fn bindings() -> Vec<Column> {
    fn subjects(object: &Value, kind: &str) -> Value {
        let subjects = object["subjects"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|subject| subject["kind"] == kind);
        let names: Vec<String> = subjects
            .map(|subject| {
                let name = subject["name"].as_str().unwrap_or_default();
                match kind {
                    "ServiceAccount" => format!("{}/{name}", subject["namespace"].as_str().unwrap_or_default()),
                    _ => name.to_owned(),
                }
            })
            .collect();
        names.join(", ").into()
    }
    let mut columns = with_age(vec![
        Column::name(),
        text("Role", "What is granted", |object, _| {
            let part = |name: &str| object["roleRef"][name].as_str().unwrap_or_default().to_owned();
            format!("{}/{}", part("kind"), part("name")).into()
        }),
    ]);
    columns.extend([
        text("Users", "Users it is granted to", |object, _| subjects(object, "User")).wide(),
        text("Groups", "Groups it is granted to", |object, _| {
            subjects(object, "Group")
        })
        .wide(),
        text("ServiceAccounts", "Service accounts it is granted to", |object, _| {
            subjects(object, "ServiceAccount")
        })
        .wide(),
    ]);
    columns
}

fn services() -> Vec<Column> {
    let mut columns = with_age(vec![
        Column::name(),
        text("Type", "How it is exposed", |object, _| string(&object["spec"]["type"])),
        text("Cluster-IP", "Its address", |object, _| {
            or_none(object["spec"]["clusterIP"].as_str().unwrap_or_default().to_owned())
        }),
        text("External-IP", "Its addresses outside", |object, _| {
            let addresses = object["spec"]["externalIPs"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            or_none(addresses.collect::<Vec<_>>().join(","))
        }),
        text("Port(s)", "Its ports", |object, _| {
            let ports = object["spec"]["ports"].as_array().into_iter().flatten();
            let ports: Vec<String> = ports
                .map(|port| {
                    let protocol = port["protocol"].as_str().unwrap_or("TCP");
                    match port["nodePort"].as_i64() {
                        Some(node_port) => format!("{}:{node_port}/{protocol}", count(&port["port"])),
                        None => format!("{}/{protocol}", count(&port["port"])),
                    }
                })
                .collect();
            or_none(ports.join(","))
        }),
    ]);
    columns.push(
        text("Selector", "Which pods it leads to", |object, _| {
            labels(&object["spec"]["selector"])
        })
        .wide(),
    );
    columns
}

/// The age of the first time that is given, or `<unknown>`.
fn first_age(times: &[&Value], now: Timestamp) -> Value {
    let time = times.iter().find_map(|time| time.as_str());
    time.and_then(|time| age::since(time, now))
        .unwrap_or_else(|| "<unknown>".to_owned())
        .into()
}

/// The two APIs name some fields of events differently.
fn either<'a>(event: &'a Value, old: &str, new: &str) -> &'a Value {
    if event[old].is_null() { &event[new] } else { &event[old] }
}

fn events() -> Vec<Column> {
    let first_seen = |event: &Value, now: Timestamp| {
        first_age(
            &[
                either(event, "firstTimestamp", "deprecatedFirstTimestamp"),
                &event["eventTime"],
            ],
            now,
        )
    };
    vec![
        text("Last Seen", "When it was last seen", |event, now| {
            let last = either(event, "lastTimestamp", "deprecatedLastTimestamp");
            let first = either(event, "firstTimestamp", "deprecatedFirstTimestamp");
            first_age(
                &[&event["series"]["lastObservedTime"], last, first, &event["eventTime"]],
                now,
            )
        }),
        text("Type", "Normal or Warning", |event, _| string(&event["type"])),
        text("Reason", "Why, in a word", |event, _| string(&event["reason"])),
        text("Object", "What it is about", |event, _| {
            let object = either(event, "involvedObject", "regarding");
            let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
            match object["name"].as_str() {
                Some(name) if !name.is_empty() => format!("{kind}/{name}").into(),
                _ => kind.into(),
            }
        }),
        text("Subobject", "Which part of it", |event, _| {
            string(&either(event, "involvedObject", "regarding")["fieldPath"])
        })
        .wide(),
        text("Source", "Who reports it", |event, _| {
            let source = either(event, "source", "deprecatedSource");
            let first = |one: &Value, other: &Value| {
                let text = one.as_str().filter(|text| !text.is_empty()).or(other.as_str());
                text.unwrap_or_default().to_owned()
            };
            let component = first(
                &source["component"],
                either(event, "reportingComponent", "reportingController"),
            );
            let host = first(&source["host"], &event["reportingInstance"]);
            if host.is_empty() {
                component.into()
            } else {
                format!("{component}, {host}").into()
            }
        })
        .wide(),
        text("Message", "What happened", |event, _| {
            either(event, "message", "note")
                .as_str()
                .unwrap_or_default()
                .trim()
                .into()
        }),
        text("First Seen", "When it was first seen", first_seen).wide(),
        text("Count", "How often it was seen", |event, _| {
            let series = &event["series"]["count"];
            let plain = either(event, "count", "deprecatedCount");
            match (series.as_i64(), plain.as_i64()) {
                (Some(count), _) => count.into(),
                (None, Some(count)) if count > 0 => count.into(),
                _ => 1.into(),
            }
        })
        .wide(),
        Column::name().wide(),
    ]
}
