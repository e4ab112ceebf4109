//! Events of both groups, and Leases.

use serde_json::Value;

use super::names;
use crate::schema::FieldError;

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Checks an event; those of `events.k8s.io` strictly, as `is_new_api` says. The two APIs name the same fields
/// differently; the errors name them as the core group does.
pub(crate) fn validate(event: &Value, is_new_api: bool, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let regarding = if is_new_api {
        &event["regarding"]
    } else {
        &event["involvedObject"]
    };
    let (controller, controller_field) = match is_new_api {
        true => (text(event, "reportingController"), "reportingController"),
        false => (text(event, "reportingComponent"), "reportingComponent"),
    };
    let namespace = text(&event["metadata"], "namespace");
    let involved = text(regarding, "namespace");
    let mut mismatch = || {
        errors.push(FieldError::invalid(
            "involvedObject.namespace",
            involved,
            "does not match event.namespace",
        ));
    };
    if event["eventTime"].is_null() {
        if (involved.is_empty() && !matches!(namespace, "" | "default"))
            || (!involved.is_empty() && involved != namespace)
        {
            mismatch();
        }
    } else {
        if involved.is_empty() && !matches!(namespace, "default" | "kube-system") {
            mismatch();
        }
        if controller.is_empty() {
            errors.push(FieldError::required(controller_field, ""));
        }
        let wrong = names::qualified_name(controller);
        errors.extend(
            wrong
                .into_iter()
                .map(|what| FieldError::invalid(controller_field, controller, what)),
        );
        let message = if is_new_api {
            text(event, "note")
        } else {
            text(event, "message")
        };
        for (name, value, limit, is_required) in [
            ("reportingInstance", text(event, "reportingInstance"), 128, true),
            ("action", text(event, "action"), 128, true),
            ("reason", text(event, "reason"), 128, true),
            ("message", message, 1024, false),
        ] {
            if is_required && value.is_empty() {
                errors.push(FieldError::required(name, ""));
            }
            if value.len() > limit {
                errors.push(FieldError::invalid(
                    name,
                    "",
                    format!("can have at most {limit} characters"),
                ));
            }
        }
    }
    if !is_new_api || old.is_some() {
        return;
    }
    if event["eventTime"].is_null() {
        errors.push(FieldError::required("eventTime", ""));
    }
    let kind = text(event, "type");
    if !matches!(kind, "Normal" | "Warning") {
        errors.push(FieldError::invalid("type", "", format!("has invalid value: {kind}")));
    }
}

/// Checks a Lease.
pub(crate) fn validate_lease(lease: &Value, errors: &mut Vec<FieldError>) {
    let spec = &lease["spec"];
    if let Some(seconds) = spec["leaseDurationSeconds"].as_i64().filter(|seconds| *seconds <= 0) {
        errors.push(FieldError::invalid(
            "spec.leaseDurationSeconds",
            seconds,
            "must be greater than 0",
        ));
    }
    if let Some(count) = spec["leaseTransitions"].as_i64().filter(|count| *count < 0) {
        errors.push(FieldError::invalid(
            "spec.leaseTransitions",
            count,
            "must be greater than or equal to 0",
        ));
    }
}
