//! Whether a schema is one that the API server takes: structural, complete, with defaults that fit.

use serde_json::{Map, Value};

use super::error::FieldError;
use super::{openapi_rules, pattern};

/// Where in a schema a node stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Everything wrong with a schema.
pub(crate) fn validate(path: &str, schema: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    invariants(path, schema, Level::Root, &mut errors);
    complete(path, schema, &mut errors);
    errors.sort_by_cached_key(ToString::to_string);
    errors.dedup();
    let is_structural = errors.is_empty();
    openapi_rules::validate(path, schema, is_structural, &mut errors);
    errors
}

pub(crate) fn text<'a>(schema: &'a Value, name: &str) -> &'a str {
    schema[name].as_str().unwrap_or_default()
}

pub(crate) fn flag(schema: &Value, name: &str) -> bool {
    schema[name].as_bool().unwrap_or(false)
}

/// The named sub-schemas of a node, with their paths.
pub(crate) fn properties<'a>(path: &str, schema: &'a Value) -> Vec<(String, &'a String, &'a Value)> {
    let properties: Option<&Map<String, Value>> = schema["properties"].as_object();
    properties
        .into_iter()
        .flatten()
        .map(|(name, node)| (format!("{path}.properties[{name}]"), name, node))
        .collect()
}

fn invariants(path: &str, schema: &Value, level: Level, errors: &mut Vec<FieldError>) {
    let kind = text(schema, "type");
    let is_embedded = flag(schema, "x-kubernetes-embedded-resource");
    let int_or_string = flag(schema, "x-kubernetes-int-or-string");
    let preserves = flag(schema, "x-kubernetes-preserve-unknown-fields");
    let items = &schema["items"];
    if kind == "array" && items.is_null() {
        errors.push(FieldError::required(format!("{path}.items"), "must be specified"));
    }
    if items.is_object() {
        invariants(&format!("{path}.items"), items, Level::Item, errors);
    }
    for (path, _, node) in properties(path, schema) {
        invariants(&path, node, Level::Field, errors);
    }
    let additional = &schema["additionalProperties"];
    let additional_path = format!("{path}.additionalProperties");
    if !additional.is_null() {
        if level == Level::Root {
            errors.push(FieldError::forbidden(&additional_path, "must not be used at the root"));
        }
        if additional.is_object() {
            invariants(&additional_path, additional, Level::Field, errors);
        }
        if is_embedded {
            let detail = "must not be used if x-kubernetes-embedded-resource is set";
            errors.push(FieldError::forbidden(&additional_path, detail));
        }
    }
    if int_or_string && preserves {
        let field = format!("{path}.x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(
            field,
            true,
            "must be false if x-kubernetes-int-or-string is true",
        ));
    }
    if int_or_string && is_embedded {
        let field = format!("{path}.x-kubernetes-embedded-resource");
        errors.push(FieldError::invalid(
            field,
            true,
            "must be false if x-kubernetes-int-or-string is true",
        ));
    }
    value_validations(
        path,
        schema,
        is_int_or_string_pattern(&schema["anyOf"]),
        is_all_of_pattern(schema),
        errors,
    );
    check_type(path, schema, level, errors);
    if level == Level::Root || is_embedded {
        for name in ["kind", "apiVersion"] {
            let property = &schema["properties"][name];
            if property.is_object() && text(property, "type") != "string" {
                let field = format!("{path}.properties[{name}].type");
                errors.push(FieldError::invalid(field, text(property, "type"), "must be string"));
            }
        }
        check_metadata(path, &schema["properties"]["metadata"], level, errors);
    }
    if is_embedded && !preserves && schema["properties"].as_object().is_none_or(Map::is_empty) {
        let detail =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(format!("{path}.properties"), detail));
    }
}

fn check_type(path: &str, schema: &Value, level: Level, errors: &mut Vec<FieldError>) {
    let kind = text(schema, "type");
    let field = format!("{path}.type");
    if flag(schema, "x-kubernetes-embedded-resource") && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(match kind {
            "" => FieldError::required(field.clone(), detail),
            _ => FieldError::invalid(field.clone(), kind, detail),
        });
    } else if kind.is_empty()
        && schema["$ref"].is_null()
        && !flag(schema, "x-kubernetes-int-or-string")
        && !flag(schema, "x-kubernetes-preserve-unknown-fields")
    {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(field.clone(), detail));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(FieldError::invalid(field, kind, "must be object at the root"));
    }
}

/// At the root only the names may be spoken of.
fn check_metadata(path: &str, metadata: &Value, level: Level, errors: &mut Vec<FieldError>) {
    let Some(keywords) = metadata.as_object() else { return };
    let field = format!("{path}.properties[metadata]");
    if text(metadata, "type") != "object" {
        errors.push(FieldError::invalid(
            format!("{field}.type"),
            text(metadata, "type"),
            "must be object",
        ));
    }
    if level != Level::Root {
        return;
    }
    let only_names = metadata["properties"]
        .as_object()
        .is_none_or(|properties| properties.keys().all(|name| name == "name" || name == "generateName"));
    let others = keywords
        .keys()
        .any(|name| !["type", "properties", "default"].contains(&name.as_str()));
    if !only_names || others {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(FieldError::forbidden(field, detail));
    }
}

fn is_int_or_string_pattern(any_of: &Value) -> bool {
    let is_only = |schema: &Value, kind: &str| {
        schema.as_object().is_some_and(|schema| schema.len() == 1) && text(schema, "type") == kind
    };
    matches!(any_of.as_array().map(Vec::as_slice), Some([first, second]) if is_only(first, "integer") && is_only(second, "string"))
}

fn is_all_of_pattern(schema: &Value) -> bool {
    is_int_or_string_pattern(&schema["allOf"][0]["anyOf"])
}

fn list<'a>(schema: &'a Value, name: &str) -> impl Iterator<Item = (usize, &'a Value)> {
    schema[name].as_array().into_iter().flatten().enumerate()
}

fn value_validations(path: &str, schema: &Value, skip_any: bool, skip_all_any: bool, errors: &mut Vec<FieldError>) {
    for name in ["anyOf", "allOf", "oneOf"] {
        for (index, part) in list(schema, name) {
            if name == "anyOf" && skip_any {
                continue;
            }
            let skip = name == "allOf" && index == 0 && skip_all_any;
            nested(&format!("{path}.{name}[{index}]"), part, skip, errors);
        }
    }
    if schema["not"].is_object() {
        nested(&format!("{path}.not"), &schema["not"], false, errors);
    }
    let pattern = text(schema, "pattern");
    if !pattern.is_empty()
        && let Err(error) = pattern::compile(pattern)
    {
        let detail = format!("must be a valid regular expression, but isn't: {error}");
        errors.push(FieldError::invalid(format!("{path}.pattern"), pattern, detail));
    }
}

/// A schema below `allOf` and the like may only judge, never describe.
fn nested(path: &str, schema: &Value, skip_any: bool, errors: &mut Vec<FieldError>) {
    value_validations(path, schema, skip_any, false, errors);
    if schema["items"].is_object() {
        nested(&format!("{path}.items"), &schema["items"], false, errors);
    }
    for (path, _, node) in properties(path, schema) {
        nested(&path, node, false, errors);
    }
    let mut forbid = |name: &str, what: &str| {
        errors.push(FieldError::forbidden(
            format!("{path}.{name}"),
            format!("must be {what} to be structural"),
        ));
    };
    if !text(schema, "type").is_empty() {
        forbid("type", "empty");
    }
    if !schema["additionalProperties"].is_null() {
        forbid("additionalProperties", "undefined");
    }
    if !schema["default"].is_null() {
        forbid("default", "undefined");
    }
    for name in ["title", "description"] {
        if !text(schema, name).is_empty() {
            forbid(name, "empty");
        }
    }
    for name in [
        "nullable",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-embedded-resource",
        "x-kubernetes-int-or-string",
    ] {
        if flag(schema, name) {
            forbid(name, "false");
        }
    }
    for name in ["x-kubernetes-list-map-keys", "x-kubernetes-validations"] {
        if schema[name].as_array().is_some_and(|all| !all.is_empty()) {
            forbid(name, "empty");
        }
    }
    for name in ["x-kubernetes-list-type", "x-kubernetes-map-type"] {
        if !schema[name].is_null() {
            forbid(name, "undefined");
        }
    }
    if !schema["properties"]["metadata"].is_null() {
        let field = format!("{path}.properties[metadata]");
        errors.push(FieldError::forbidden(
            field,
            "must not be specified in a nested context",
        ));
    }
}

/// What a value validation speaks of must be described outside of it.
fn complete(path: &str, schema: &Value, errors: &mut Vec<FieldError>) {
    parts_complete(path, path, schema, schema, errors);
}

fn parts_complete(path: &str, described_at: &str, parts: &Value, described: &Value, errors: &mut Vec<FieldError>) {
    if parts["not"].is_object() {
        part_complete(&format!("{path}.not"), described_at, &parts["not"], described, errors);
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        for (index, part) in list(parts, name) {
            part_complete(
                &format!("{path}.{name}[{index}]"),
                described_at,
                part,
                described,
                errors,
            );
        }
    }
}

fn part_complete(path: &str, described_at: &str, part: &Value, described: &Value, errors: &mut Vec<FieldError>) {
    let missing = |at: String, by: &str| FieldError::required(at, format!("because it is defined in {by}"));
    parts_complete(path, described_at, part, described, errors);
    if part["items"].is_object() {
        let (at, by) = (format!("{described_at}.items"), format!("{path}.items"));
        match described["items"].is_object() {
            true => part_complete(&by, &at, &part["items"], &described["items"], errors),
            false => errors.push(missing(at, &by)),
        }
    }
    for (by, name, node) in properties(path, part) {
        let at = format!("{described_at}.properties[{name}]");
        match described["properties"].get(name) {
            Some(described) => part_complete(&by, &at, node, described, errors),
            None => errors.push(missing(at, &by)),
        }
    }
}
