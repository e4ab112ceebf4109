//! The columns of what workloads are surrounded by: disruption budgets, autoscalers, network policies, priority classes,
//! admission policies.

use serde_json::Value;

use super::builtin::{count, selector_text, string, with_age};
use super::column::{Column, number, text};
use crate::schema::text as wording;

/// How many metrics of an autoscaler are shown.
const METRICS: usize = 2;

/// A number or a percentage.
fn amount(value: &Value, missing: &str) -> Value {
    match value {
        Value::Null => missing.into(),
        Value::String(text) => text.as_str().into(),
        other => wording::json(other).into(),
    }
}

pub(super) fn budgets() -> Vec<Column> {
    with_age(vec![
        Column::name(),
        text("Min Available", "Pods that have to stay", |object, _| {
            amount(&object["spec"]["minAvailable"], "N/A")
        }),
        text("Max Unavailable", "Pods that may be away", |object, _| {
            amount(&object["spec"]["maxUnavailable"], "N/A")
        }),
        number("Allowed Disruptions", "Pods that may go now", |object| {
            &object["status"]["disruptionsAllowed"]
        }),
    ])
}

/// What a metric is and what it should be. Metrics of other types than Resource are named by their type alone.
fn metric(spec: &Value, current: &Value) -> String {
    let resource = &spec["resource"];
    let (Some(name), target) = (resource["name"].as_str(), &resource["target"]) else {
        return string(&spec["type"]).as_str().unwrap_or_default().to_owned();
    };
    let now = &current["resource"]["current"];
    let (now, wanted, unit) = match target["type"].as_str() {
        Some("Utilization") => (&now["averageUtilization"], &target["averageUtilization"], "%"),
        _ => (&now["averageValue"], &target["averageValue"], ""),
    };
    let shown = |value: &Value| match amount(value, "<unknown>").as_str() {
        Some("<unknown>") | None => "<unknown>".to_owned(),
        Some(text) => format!("{text}{unit}"),
    };
    format!("{name}: {}/{}", shown(now), shown(wanted))
}

fn metrics(object: &Value) -> Value {
    let specs = object["spec"]["metrics"].as_array().map_or(&[][..], Vec::as_slice);
    let shown = specs.iter().enumerate().take(METRICS);
    let shown: Vec<String> = shown
        .map(|(index, spec)| metric(spec, &object["status"]["currentMetrics"][index]))
        .collect();
    match specs.len() {
        0 => "<none>".into(),
        all if all > METRICS => format!("{} + {} more...", shown.join(", "), all - METRICS).into(),
        _ => shown.join(", ").into(),
    }
}

pub(super) fn autoscalers() -> Vec<Column> {
    with_age(vec![
        Column::name(),
        text("Reference", "What is scaled", |object, _| {
            let part = |name: &str| object["spec"]["scaleTargetRef"][name].as_str().unwrap_or_default();
            format!("{}/{}", part("kind"), part("name")).into()
        }),
        text("Targets", "What is measured, and what it should be", |object, _| {
            metrics(object)
        }),
        text("MinPods", "The fewest Pods", |object, _| {
            amount(&object["spec"]["minReplicas"], "<unset>")
        }),
        text("MaxPods", "The most Pods", |object, _| {
            count(&object["spec"]["maxReplicas"]).into()
        }),
        text("Replicas", "The Pods there are", |object, _| {
            count(&object["status"]["currentReplicas"]).into()
        }),
    ])
}

pub(super) fn network_policies() -> Vec<Column> {
    with_age(vec![
        Column::name(),
        text("Pod-Selector", "Which Pods it is about", |object, _| {
            selector_text(&object["spec"]["podSelector"])
        }),
    ])
}

pub(super) fn priorities() -> Vec<Column> {
    let mut columns = with_age(vec![
        Column::name(),
        number("Value", "The priority", |object| &object["value"]),
        text("Global-Default", "Whether Pods without a class have it", |object, _| {
            (object["globalDefault"] == true).into()
        })
        .of_type("boolean"),
    ]);
    columns.push(text(
        "PreemptionPolicy",
        "Whether others go for its Pods",
        |object, _| string(&object["preemptionPolicy"]),
    ));
    columns
}

/// Of admission policies and their bindings.
pub(super) fn admission(kind: &str) -> Vec<Column> {
    let rules = match kind {
        "ValidatingAdmissionPolicy" => text("Validations", "The number of its rules", |object, _| {
            object["spec"]["validations"].as_array().map_or(0, Vec::len).into()
        }),
        "MutatingAdmissionPolicy" => text("Mutations", "The number of its changes", |object, _| {
            object["spec"]["mutations"].as_array().map_or(0, Vec::len).into()
        }),
        _ => {
            return with_age(vec![
                Column::name(),
                text("PolicyName", "What it puts in force", |object, _| {
                    string(&object["spec"]["policyName"])
                }),
                text("ParamRef", "With which parameters", |object, _| {
                    let reference = &object["spec"]["paramRef"];
                    match (reference["namespace"].as_str(), reference["name"].as_str()) {
                        (Some(namespace), Some(name)) => format!("{namespace}/{name}").into(),
                        (None, Some(name)) => name.into(),
                        _ => "<unset>".into(),
                    }
                }),
            ]);
        }
    };
    let parameters = text("ParamKind", "What parameters are", |object, _| {
        let kind = &object["spec"]["paramKind"];
        match (kind["apiVersion"].as_str(), kind["kind"].as_str()) {
            (Some(version), Some(kind)) => format!("{version}/{kind}").into(),
            _ => "<unset>".into(),
        }
    });
    with_age(vec![Column::name(), rules.of_type("integer"), parameters])
}
