//! The columns of pods.

use jiff::Timestamp;
use serde_json::Value;

use super::builtin::string;
use super::column::{Column, text};

fn statuses(pod: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    pod["status"]["containerStatuses"]
        .as_array()
        .map_or(&[][..], Vec::as_slice)
        .iter()
}

fn ready(pod: &Value, _: Timestamp) -> Value {
    let ready = statuses(pod)
        .filter(|status| status["ready"] == true && !status["state"]["running"].is_null())
        .count();
    let total = pod["spec"]["containers"].as_array().map_or(0, Vec::len);
    format!("{ready}/{total}").into()
}

/// One word for what a pod is doing: what a container waits for or ended with says more than the phase.
fn status(pod: &Value, _: Timestamp) -> Value {
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    let mut word = pod["status"]["reason"]
        .as_str()
        .filter(|reason| !reason.is_empty())
        .unwrap_or(phase)
        .to_owned();
    for status in statuses(pod).rev() {
        let state = &status["state"];
        let reason = |state: &Value| {
            state["reason"]
                .as_str()
                .filter(|reason| !reason.is_empty())
                .map(str::to_owned)
        };
        if let Some(waiting) = reason(&state["waiting"]) {
            word = waiting;
        } else if state["terminated"].is_object() {
            let code = state["terminated"]["exitCode"].as_i64().unwrap_or_default();
            word = reason(&state["terminated"]).unwrap_or_else(|| format!("ExitCode:{code}"));
        }
    }
    let is_over = matches!(phase, "Succeeded" | "Failed");
    if !pod["metadata"]["deletionTimestamp"].is_null() && !is_over {
        word = "Terminating".to_owned();
    }
    word.into()
}

fn restarts(pod: &Value, _: Timestamp) -> Value {
    let count: i64 = statuses(pod).filter_map(|status| status["restartCount"].as_i64()).sum();
    count.to_string().into()
}

fn or_none(value: &Value) -> Value {
    match string(value) {
        Value::String(text) if !text.is_empty() => text.into(),
        _ => "<none>".into(),
    }
}

pub(crate) fn columns() -> Vec<Column> {
    vec![
        Column::name(),
        text("Ready", "Containers that are ready", ready),
        text("Status", "What the pod is doing", status),
        text("Restarts", "How often its containers were restarted", restarts),
        Column::age(),
        text("IP", "Its address", |pod, _| or_none(&pod["status"]["podIP"])).wide(),
        text("Node", "Where it runs", |pod, _| or_none(&pod["spec"]["nodeName"])).wide(),
        text("Nominated Node", "Where it may run next", |pod, _| {
            or_none(&pod["status"]["nominatedNodeName"])
        })
        .wide(),
        text("Readiness Gates", "What else its readiness depends on", |pod, _| {
            let gates = pod["spec"]["readinessGates"].as_array().map_or(0, Vec::len);
            if gates == 0 {
                return "<none>".into();
            }
            let conditions = pod["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
            let passed = pod["spec"]["readinessGates"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|gate| {
                    conditions
                        .iter()
                        .any(|one| one["type"] == gate["conditionType"] && one["status"] == "True")
                });
            format!("{}/{gates}", passed.count()).into()
        })
        .wide(),
    ]
}
