//! The metadata of every object.

use serde_json::{Map, Value};

use super::{NameRule, names};
use crate::schema::{FieldError, text as wording};

const ANNOTATIONS_LIMIT: usize = 256 * 1024;

/// Checks the metadata of a new object (its name has been generated already), or of one that replaces `old`.
pub(crate) fn validate(object: &Value, namespaced: bool, rule: NameRule, old: Option<&Value>) -> Vec<FieldError> {
    let metadata = &object["metadata"];
    let mut errors = Vec::new();
    match old {
        None => {
            names(metadata, rule, &mut errors);
            namespace(metadata, namespaced, &mut errors);
        }
        Some(old) => changes(metadata, &old["metadata"], &mut errors),
    }
    labels(metadata, &mut errors);
    annotations(metadata, &mut errors);
    owners(metadata, &mut errors);
    if old.is_none() {
        finalizers(metadata, &mut errors);
    }
    errors
}

/// Leaves out of the metadata what is empty, and what is not kept here.
pub(crate) fn tidy(object: &mut Value) {
    if !object["metadata"].is_object() {
        object["metadata"] = Map::new().into();
    }
    let Some(metadata) = object["metadata"].as_object_mut() else {
        return;
    };
    metadata.remove("managedFields");
    metadata.remove("selfLink");
    metadata.retain(|_, value| !is_empty(value));
    for field in ["labels", "annotations"] {
        let entries = metadata.get_mut(field).and_then(Value::as_object_mut);
        for value in entries
            .into_iter()
            .flat_map(Map::values_mut)
            .filter(|value| value.is_null())
        {
            *value = "".into();
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn invalid_each(field: &str, value: &str, wrong: Vec<String>, errors: &mut Vec<FieldError>) {
    errors.extend(wrong.into_iter().map(|what| FieldError::invalid(field, value, what)));
}

fn names(metadata: &Value, rule: NameRule, errors: &mut Vec<FieldError>) {
    let prefix = text(metadata, "generateName");
    if !prefix.is_empty() {
        invalid_each(
            "metadata.generateName",
            prefix,
            names::by_rule(rule, prefix, true),
            errors,
        );
    }
    match text(metadata, "name") {
        "" => errors.push(FieldError::required(
            "metadata.name",
            "name or generateName is required",
        )),
        name => invalid_each("metadata.name", name, names::by_rule(rule, name, false), errors),
    }
}

fn namespace(metadata: &Value, namespaced: bool, errors: &mut Vec<FieldError>) {
    match (namespaced, text(metadata, "namespace")) {
        (true, "") => errors.push(FieldError::required("metadata.namespace", "")),
        (true, namespace) => invalid_each("metadata.namespace", namespace, names::label(namespace), errors),
        (false, "") => {}
        (false, _) => errors.push(FieldError::forbidden("metadata.namespace", "not allowed on this type")),
    }
}

fn changes(metadata: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    if !old["deletionTimestamp"].is_null() {
        let before = strings(&old["finalizers"]);
        let mut added: Vec<&str> = strings(&metadata["finalizers"])
            .into_iter()
            .filter(|finalizer| !before.contains(finalizer))
            .collect();
        added.sort_unstable();
        added.dedup();
        if !added.is_empty() {
            let added: Vec<String> = added.into_iter().map(|name| format!("{name:?}")).collect();
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            errors.push(FieldError::forbidden("metadata.finalizers", detail));
        }
    }
    if text(metadata, "resourceVersion").is_empty() {
        errors.push(FieldError::invalid(
            "metadata.resourceVersion",
            "",
            "must be specified for an update",
        ));
    }
    if metadata["generation"].as_i64().unwrap_or_default() < old["generation"].as_i64().unwrap_or_default() {
        let generation = metadata["generation"].as_i64().unwrap_or_default();
        errors.push(FieldError::invalid(
            "metadata.generation",
            generation,
            "must not be decremented",
        ));
    }
    for name in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        let is_text = matches!(name, "name" | "namespace" | "uid");
        if metadata[name] != old[name] && !(is_text && text(metadata, name) == text(old, name)) {
            let value = if is_text {
                Value::from(text(metadata, name))
            } else {
                metadata[name].clone()
            };
            errors.push(FieldError::invalid(
                format!("metadata.{name}"),
                value,
                "field is immutable",
            ));
        }
    }
}

fn strings(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .map(|all| all.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

fn entries<'a>(metadata: &'a Value, name: &str) -> impl Iterator<Item = (&'a String, &'a str)> {
    let map: Option<&Map<String, Value>> = metadata[name].as_object();
    map.into_iter()
        .flatten()
        .map(|(key, value)| (key, value.as_str().unwrap_or_default()))
}

fn labels(metadata: &Value, errors: &mut Vec<FieldError>) {
    validate_labels("metadata.labels", &metadata["labels"], errors);
}

/// Checks a map of labels anywhere in an object.
pub(crate) fn validate_labels(field: &str, labels: &Value, errors: &mut Vec<FieldError>) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        invalid_each(field, key, names::qualified_name(key), errors);
        invalid_each(field, value, names::label_value(value), errors);
    }
}

fn annotations(metadata: &Value, errors: &mut Vec<FieldError>) {
    let mut size = 0;
    for (key, value) in entries(metadata, "annotations") {
        invalid_each(
            "metadata.annotations",
            key,
            names::qualified_name(&key.to_lowercase()),
            errors,
        );
        size += key.len() + value.len();
    }
    if size > ANNOTATIONS_LIMIT {
        errors.push(FieldError::too_long("metadata.annotations", ANNOTATIONS_LIMIT as i64));
    }
}

fn owners(metadata: &Value, errors: &mut Vec<FieldError>) {
    let Some(owners) = metadata["ownerReferences"].as_array() else {
        return;
    };
    let mut controller: Option<String> = None;
    for owner in owners {
        let field = "metadata.ownerReferences";
        let version = text(owner, "apiVersion").rsplit('/').next().unwrap_or_default();
        if version.is_empty() {
            let detail = "version must not be empty";
            errors.push(FieldError::invalid(
                format!("{field}.apiVersion"),
                text(owner, "apiVersion"),
                detail,
            ));
        }
        for name in ["kind", "name", "uid"] {
            if text(owner, name).is_empty() {
                errors.push(FieldError::invalid(format!("{field}.{name}"), "", "must not be empty"));
            }
        }
        if text(owner, "apiVersion") == "v1" && text(owner, "kind") == "Event" {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::invalid_whole(
                field,
                format!("{}: {detail}", owner_json(owner)),
            ));
        }
        if owner["controller"].as_bool() == Some(true) {
            let name = format!("{}/{}", text(owner, "kind"), text(owner, "name"));
            match &controller {
                Some(first) => {
                    let all: Vec<String> = owners.iter().map(owner_json).collect();
                    errors.push(FieldError::invalid_whole(
                        field,
                        format!("[{}]: Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}", all.join(",")),
                    ));
                }
                None => controller = Some(name),
            }
        }
    }
}

fn finalizers(metadata: &Value, errors: &mut Vec<FieldError>) {
    let finalizers = strings(&metadata["finalizers"]);
    for finalizer in &finalizers {
        invalid_each(
            "metadata.finalizers",
            finalizer,
            names::qualified_name(finalizer),
            errors,
        );
    }
    if finalizers.contains(&"orphan") && finalizers.contains(&"foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(
            "metadata.finalizers",
            metadata["finalizers"].clone(),
            detail,
        ));
    }
}

/// Builtin kinds take no finalizer without a domain but those the API server knows itself.
pub(crate) fn validate_standard_finalizers(object: &Value, errors: &mut Vec<FieldError>) {
    for (index, finalizer) in strings(&object["metadata"]["finalizers"]).into_iter().enumerate() {
        if !finalizer.contains('/') && !["kubernetes", "orphan", "foregroundDeletion"].contains(&finalizer) {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(
                format!("metadata.finalizers[{index}]"),
                finalizer,
                detail,
            ));
        }
    }
}

/// An owner reference as the API server writes it.
fn owner_json(owner: &Value) -> String {
    wording::ordered_json(
        owner,
        &["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"],
    )
}
