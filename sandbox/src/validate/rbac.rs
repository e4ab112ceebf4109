//! Roles and their bindings.

use serde_json::Value;

use super::defaults::default_to;
use super::names;
use crate::schema::{FieldError, text as wording};

const GROUP: &str = "rbac.authorization.k8s.io";

/// References name the group of their kinds.
pub(crate) fn default_binding(binding: &mut Value) {
    if let Some(role) = binding.get_mut("roleRef") {
        default_to(role, "apiGroup", || GROUP.into());
    }
    for subject in binding
        .get_mut("subjects")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if matches!(subject["kind"].as_str(), Some("User" | "Group")) {
            default_to(subject, "apiGroup", || GROUP.into());
        }
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_none_or(Vec::is_empty)
}

/// Checks the rules of a Role or ClusterRole.
pub(crate) fn validate_role(role: &Value, namespaced: bool, errors: &mut Vec<FieldError>) {
    for (index, rule) in role["rules"].as_array().into_iter().flatten().enumerate() {
        let field = |name: &str| format!("rules[{index}].{name}");
        if is_empty(&rule["verbs"]) {
            errors.push(FieldError::required(
                field("verbs"),
                "verbs must contain at least one value",
            ));
        }
        let urls = &rule["nonResourceURLs"];
        if !is_empty(urls) {
            if namespaced {
                let detail = "namespaced rules cannot apply to non-resource URLs";
                errors.push(FieldError::invalid(field("nonResourceURLs"), urls.clone(), detail));
            }
            if ["apiGroups", "resources", "resourceNames"]
                .iter()
                .any(|name| !is_empty(&rule[*name]))
            {
                let detail = "rules cannot apply to both regular resources and non-resource URLs";
                errors.push(FieldError::invalid(field("nonResourceURLs"), urls.clone(), detail));
            }
            continue;
        }
        if is_empty(&rule["apiGroups"]) {
            errors.push(FieldError::required(
                field("apiGroups"),
                "resource rules must supply at least one api group",
            ));
        }
        if is_empty(&rule["resources"]) {
            errors.push(FieldError::required(
                field("resources"),
                "resource rules must supply at least one resource",
            ));
        }
    }
}

/// Checks a RoleBinding or ClusterRoleBinding; its role may never change.
pub(crate) fn validate_binding(binding: &Value, namespaced: bool, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let role = &binding["roleRef"];
    if text(role, "apiGroup") != GROUP {
        errors.push(FieldError::not_supported(
            "roleRef.apiGroup",
            text(role, "apiGroup"),
            &[GROUP],
        ));
    }
    let kinds: &[&str] = if namespaced {
        &["Role", "ClusterRole"]
    } else {
        &["ClusterRole"]
    };
    if !kinds.contains(&text(role, "kind")) {
        errors.push(FieldError::not_supported("roleRef.kind", text(role, "kind"), kinds));
    }
    match text(role, "name") {
        "" => errors.push(FieldError::required("roleRef.name", "")),
        name => errors.extend(
            names::path_segment(name)
                .into_iter()
                .map(|what| FieldError::invalid("roleRef.name", name, what)),
        ),
    }
    for (index, subject) in binding["subjects"].as_array().into_iter().flatten().enumerate() {
        validate_subject(subject, &format!("subjects[{index}]"), namespaced, errors);
    }
    if let Some(old) = old
        && old["roleRef"] != *role
    {
        let [group, kind, name] =
            ["apiGroup", "kind", "name"].map(|name| wording::json(&Value::from(text(role, name))));
        let detail = format!("{{\"APIGroup\":{group},\"Kind\":{kind},\"Name\":{name}}}: cannot change roleRef");
        errors.push(FieldError::invalid_whole("roleRef", detail));
    }
}

fn validate_subject(subject: &Value, path: &str, namespaced: bool, errors: &mut Vec<FieldError>) {
    let (name, group) = (text(subject, "name"), text(subject, "apiGroup"));
    if name.is_empty() {
        errors.push(FieldError::required(format!("{path}.name"), ""));
    }
    match text(subject, "kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                let field = format!("{path}.name");
                errors.extend(
                    names::subdomain(name)
                        .into_iter()
                        .map(|what| FieldError::invalid(&field, name, what)),
                );
            }
            if !group.is_empty() {
                errors.push(FieldError::not_supported(format!("{path}.apiGroup"), group, &[""]));
            }
            if !namespaced && text(subject, "namespace").is_empty() {
                errors.push(FieldError::required(format!("{path}.namespace"), ""));
            }
        }
        "User" | "Group" if group != GROUP => {
            errors.push(FieldError::not_supported(format!("{path}.apiGroup"), group, &[GROUP]));
        }
        "User" | "Group" => {}
        kind => {
            let kinds = ["ServiceAccount", "User", "Group"];
            errors.push(FieldError::not_supported(format!("{path}.kind"), kind, &kinds));
        }
    }
}
