//! Jobs and CronJobs.

use serde_json::{Value, json};

use super::defaults::{default_pod_spec, default_to, object_in};
use super::workload::{selects, validate_pod_spec};
use super::{at_least_zero, metadata, one_of};
use crate::schema::FieldError;

/// What a Job's Pods are told by: which Job of this name, and which of all that ever had it.
const UID: &str = "batch.kubernetes.io/controller-uid";
const NAME: &str = "batch.kubernetes.io/job-name";
/// The same, as it was called before.
const OLD_NAMES: [(&str, &str); 2] = [(UID, "controller-uid"), (NAME, "job-name")];
/// What CronJobs add to their own names is that much shorter than a Job's may be.
const LONGEST_CRON_JOB: usize = 52;
/// Schedules that have a name; `@every` is followed by a duration.
const DESCRIPTORS: [&str; 8] = [
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
    "@every",
];

/// The defaults of a Job.
pub(crate) fn default_job(object: &mut Value, is_new: bool) {
    if is_new {
        object["status"] = json!({});
    }
    let spec = object_in(object, "spec");
    if spec["parallelism"].is_null() {
        default_to(spec, "completions", || 1.into());
    }
    default_to(spec, "parallelism", || 1.into());
    let by_index = !spec["backoffLimitPerIndex"].is_null();
    default_to(spec, "backoffLimit", || if by_index { i32::MAX } else { 6 }.into());
    default_to(spec, "completionMode", || "NonIndexed".into());
    default_to(spec, "suspend", || false.into());
    default_to(spec, "manualSelector", || false.into());
    let replaced = if spec["podFailurePolicy"].is_null() {
        "TerminatingOrFailed"
    } else {
        "Failed"
    };
    default_to(spec, "podReplacementPolicy", || replaced.into());
    default_template(spec);
    if is_new && object["spec"]["manualSelector"] != true {
        generate_selector(object);
    }
    let labels = object["spec"]["template"]["metadata"]["labels"].clone();
    let own = object_in(object, "metadata");
    if own["labels"].as_object().is_none_or(serde_json::Map::is_empty) && labels.is_object() {
        own["labels"] = labels;
    }
}

/// A Job finds its Pods by its own uid.
fn generate_selector(object: &mut Value) {
    let (name, uid) = (object["metadata"]["name"].clone(), object["metadata"]["uid"].clone());
    let spec = object_in(object, "spec");
    object_in(object_in(spec, "selector"), "matchLabels")[UID] = uid.clone();
    let labels = object_in(object_in(object_in(spec, "template"), "metadata"), "labels");
    for (label, old) in OLD_NAMES {
        let value = if label == UID { &uid } else { &name };
        (labels[label], labels[old]) = (value.clone(), value.clone());
    }
}

/// The defaults of a CronJob. Those of its Jobs they get when they are made.
pub(crate) fn default_cron_job(object: &mut Value, is_new: bool) {
    if is_new {
        object["status"] = json!({});
    }
    let spec = object_in(object, "spec");
    default_to(spec, "concurrencyPolicy", || "Allow".into());
    default_to(spec, "suspend", || false.into());
    default_to(spec, "successfulJobsHistoryLimit", || 3.into());
    default_to(spec, "failedJobsHistoryLimit", || 1.into());
    let template = object_in(spec, "jobTemplate");
    object_in(template, "metadata");
    default_template(object_in(template, "spec"));
}

fn default_template(spec: &mut Value) {
    let template = object_in(spec, "template");
    object_in(template, "metadata");
    default_pod_spec(object_in(template, "spec"));
}

/// Checks a Job, and with `old` what of it may change.
pub(crate) fn validate_job(object: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let spec = &object["spec"];
    validate_job_spec("spec", spec, errors);
    let labels = &spec["template"]["metadata"]["labels"];
    if old.is_none() && spec["manualSelector"] != true {
        let generated = json!({"matchLabels": {UID: object["metadata"]["uid"]}});
        if spec["selector"] != generated {
            let detail = "`selector` not auto-generated";
            errors.push(FieldError::invalid("spec.selector", spec["selector"].clone(), detail));
        }
    }
    if spec["selector"].is_null() {
        errors.push(FieldError::required("spec.selector", ""));
    } else if !selects(&spec["selector"], labels) {
        let detail = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(
            "spec.template.metadata.labels",
            labels.clone(),
            detail,
        ));
    }
    let Some(old) = old.map(|old| &old["spec"]) else { return };
    let fixed = [
        "completions",
        "selector",
        "template",
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ];
    for field in fixed.into_iter().filter(|field| spec[*field] != old[*field]) {
        // Both of an indexed Job may grow and shrink together; where its Pods go may change before they are made.
        let scales =
            field == "completions" && spec["completionMode"] == "Indexed" && spec[field] == spec["parallelism"];
        let moves = field == "template" && old["suspend"] == true;
        if !scales && !moves {
            let field_path = format!("spec.{field}");
            errors.push(FieldError::invalid(
                field_path,
                spec[field].clone(),
                "field is immutable",
            ));
        }
    }
}

/// Checks a CronJob.
pub(crate) fn validate_cron_job(object: &Value, errors: &mut Vec<FieldError>) {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if name.len() > LONGEST_CRON_JOB {
        let detail = format!("must be no more than {LONGEST_CRON_JOB} characters");
        errors.push(FieldError::invalid("metadata.name", name, detail));
    }
    let spec = &object["spec"];
    validate_schedule(spec["schedule"].as_str().unwrap_or_default(), errors);
    let policies = ["Allow", "Forbid", "Replace"];
    one_of("spec", spec, "concurrencyPolicy", &policies, errors);
    let limits = [
        "startingDeadlineSeconds",
        "successfulJobsHistoryLimit",
        "failedJobsHistoryLimit",
    ];
    at_least_zero("spec", spec, &limits, errors);
    let (path, template) = ("spec.jobTemplate.spec", &spec["jobTemplate"]["spec"]);
    validate_job_spec(path, template, errors);
    if !template["selector"].is_null() {
        let detail = "`selector` will be auto-generated";
        let value = template["selector"].clone();
        errors.push(FieldError::invalid(format!("{path}.selector"), value, detail));
    }
    if template["manualSelector"] == true {
        let field = format!("{path}.manualSelector");
        errors.push(FieldError::not_supported(field, true, &["nil", "false"]));
    }
}

/// Of the parts of a schedule only their number is looked at.
fn validate_schedule(schedule: &str, errors: &mut Vec<FieldError>) {
    let parts: Vec<&str> = schedule.split_whitespace().collect();
    let detail = match parts.first() {
        None => return errors.push(FieldError::required("spec.schedule", "")),
        Some(name) if name.starts_with('@') && !DESCRIPTORS.contains(name) => {
            format!("unrecognized descriptor: {schedule}")
        }
        Some(name) if !name.starts_with('@') && parts.len() != 5 => {
            format!(
                "expected exactly 5 fields, found {}: [{}]",
                parts.len(),
                parts.join(" ")
            )
        }
        Some(_) => return,
    };
    errors.push(FieldError::invalid("spec.schedule", schedule, detail));
}

/// What a Job and the Jobs of a CronJob have in common.
fn validate_job_spec(path: &str, spec: &Value, errors: &mut Vec<FieldError>) {
    let numbers = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
    ];
    at_least_zero(path, spec, &numbers, errors);
    if !spec["completionMode"].is_null() {
        one_of(path, spec, "completionMode", &["NonIndexed", "Indexed"], errors);
    }
    let template = &spec["template"];
    let labels = format!("{path}.template.labels");
    metadata::validate_labels(&labels, &template["metadata"]["labels"], errors);
    let pod = format!("{path}.template.spec");
    validate_pod_spec(&pod, &template["spec"], errors);
    if template["spec"]["restartPolicy"] == "Always" {
        let detail = "valid values: \"OnFailure\", \"Never\"";
        errors.push(FieldError::required(format!("{pod}.restartPolicy"), detail));
    }
}
