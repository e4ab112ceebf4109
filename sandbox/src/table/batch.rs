//! The columns of Jobs and CronJobs.

use jiff::Timestamp;
use serde_json::Value;

use super::age;
use super::builtin::{containers, count, images, selector, string, with_age};
use super::column::{Column, text};

/// What a Job's conditions say, the first that holds.
const STATES: [&str; 5] = ["Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet"];

fn has_condition(job: &Value, name: &str) -> bool {
    let conditions = job["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition["type"] == name && condition["status"] == "True")
}

fn state(job: &Value, _: Timestamp) -> Value {
    let ended = STATES[..2].iter().find(|name| has_condition(job, name));
    let goes = || (!job["metadata"]["deletionTimestamp"].is_null()).then_some(&"Terminating");
    let other = || STATES[2..].iter().find(|name| has_condition(job, name));
    (*ended.or_else(goes).or_else(other).unwrap_or(&"Running")).into()
}

fn completions(job: &Value, _: Timestamp) -> Value {
    let succeeded = count(&job["status"]["succeeded"]);
    let parallel = count(&job["spec"]["parallelism"]);
    match job["spec"]["completions"].as_i64() {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None if parallel > 1 => format!("{succeeded}/1 of {parallel}"),
        None => format!("{succeeded}/1"),
    }
    .into()
}

fn duration(job: &Value, now: Timestamp) -> Value {
    let time = |field: &str| job["status"][field].as_str()?.parse::<Timestamp>().ok();
    let Some(start) = time("startTime") else {
        return "".into();
    };
    let end = time("completionTime").unwrap_or(now);
    age::human(end.as_second() - start.as_second()).into()
}

pub(super) fn jobs() -> Vec<Column> {
    let mut columns = with_age(vec![
        Column::name(),
        text("Status", "What it is doing", state),
        text("Completions", "Pods that succeeded, of those that should", completions),
        text("Duration", "How long it took", duration),
    ]);
    columns.extend([containers(), images(), selector()]);
    columns
}

pub(super) fn cron_jobs() -> Vec<Column> {
    let mut columns = with_age(vec![
        Column::name(),
        text("Schedule", "When its Jobs are made", |object, _| {
            string(&object["spec"]["schedule"])
        }),
        text("Timezone", "Where that time is", |object, _| {
            object["spec"]["timeZone"].as_str().unwrap_or("<none>").into()
        }),
        text("Suspend", "Whether none are made", |object, _| {
            if object["spec"]["suspend"] == true {
                "True"
            } else {
                "False"
            }
            .into()
        })
        .of_type("boolean"),
        text("Active", "Jobs that are under way", |object, _| {
            object["status"]["active"].as_array().map_or(0, Vec::len).into()
        })
        .of_type("integer"),
        text("Last Schedule", "When the last was made", |object, now| {
            let last = object["status"]["lastScheduleTime"].as_str();
            let last = last.and_then(|time| age::since(time, now));
            last.unwrap_or_else(|| "<none>".to_owned()).into()
        }),
    ]);
    columns.extend([containers(), images(), selector()]);
    columns
}
