//! What else a schema may not say, beyond being structural: lists, maps, defaults, rules.

use serde_json::Value;

use super::error::FieldError;
use super::node::{Node, Type};
use super::rule::Rule;
use super::structural::{flag, properties, text};
use super::{field_path, rule_results, rules, shape, text as wording, validation};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const REASONS: [&str; 4] = [
    "FieldValueDuplicate",
    "FieldValueForbidden",
    "FieldValueInvalid",
    "FieldValueRequired",
];

/// What surrounds a node.
#[derive(Clone, Default)]
struct Surroundings {
    is_root: bool,
    /// Why no default may stand here.
    no_defaults: Option<String>,
    /// The outermost list whose items have no old value, so that rules cannot speak of it.
    without_old: Option<String>,
}

/// Adds what is wrong with a schema; defaults and rules are looked at only where the schema is structural.
pub(crate) fn validate(path: &str, schema: &Value, is_structural: bool, errors: &mut Vec<FieldError>) {
    let mut defaults = Vec::new();
    if is_structural {
        check_defaults(path, schema, &mut defaults);
    }
    let may_check_rules = is_structural && defaults.is_empty();
    errors.append(&mut defaults);
    let mut in_rules = Vec::new();
    let surroundings = Surroundings {
        is_root: true,
        ..Surroundings::default()
    };
    let check = Check { may_check_rules };
    check.node(path, schema, &surroundings, errors, &mut in_rules);
    errors.append(&mut in_rules);
}

struct Check {
    may_check_rules: bool,
}

impl Check {
    fn node(
        &self,
        path: &str,
        schema: &Value,
        around: &Surroundings,
        errors: &mut Vec<FieldError>,
        in_rules: &mut Vec<FieldError>,
    ) {
        let before = errors.len();
        keywords(path, schema, around, errors);
        let inner = Surroundings {
            is_root: false,
            ..around.clone()
        };
        let additional = &schema["additionalProperties"];
        if !additional.is_null() {
            let field = format!("{path}.additionalProperties");
            let has_properties = schema["properties"].as_object().is_some_and(|all| !all.is_empty());
            if has_properties && additional.as_bool() != Some(true) {
                let detail = "additionalProperties and properties are mutual exclusive";
                errors.push(FieldError::forbidden(&field, detail));
            }
            if additional.is_object() {
                self.node(&field, additional, &inner, errors, in_rules);
            }
        }
        for (path, name, node) in properties(path, schema) {
            let mut inner = inner.clone();
            if around.is_root && ["metadata", "kind", "apiVersion"].contains(&name.as_str()) {
                inner.no_defaults = Some(format!("in top-level {name}"));
            }
            self.node(&path, node, &inner, errors, in_rules);
        }
        let parts = Check { may_check_rules: false };
        if schema["not"].is_object() {
            parts.node(&format!("{path}.not"), &schema["not"], &inner, errors, in_rules);
        }
        for name in ["allOf", "oneOf", "anyOf"] {
            for (index, part) in schema[name].as_array().into_iter().flatten().enumerate() {
                parts.node(&format!("{path}.{name}[{index}]"), part, &inner, errors, in_rules);
            }
        }
        if schema["items"].is_object() {
            let mut inner = inner.clone();
            if text(schema, "x-kubernetes-list-type") != "map" {
                inner.without_old.get_or_insert_with(|| path.to_owned());
            }
            self.node(&format!("{path}.items"), &schema["items"], &inner, errors, in_rules);
        }
        collections(path, schema, errors);
        rule_keywords(path, schema, errors);
        if self.may_check_rules && errors.len() == before {
            compile_rules(path, schema, around, in_rules);
        }
    }
}

fn keywords(path: &str, schema: &Value, around: &Surroundings, errors: &mut Vec<FieldError>) {
    let at = |name: &str| format!("{path}.{name}");
    let kind = text(schema, "type");
    if !kind.is_empty() && !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(at("type"), kind, &TYPES));
    }
    if let Some(reason) = around.no_defaults.as_ref().filter(|_| !schema["default"].is_null()) {
        errors.push(FieldError::forbidden(
            at("default"),
            format!("must not be set {reason}"),
        ));
    }
    for name in [
        "id",
        "additionalItems",
        "patternProperties",
        "definitions",
        "dependencies",
        "$ref",
    ] {
        if schema.get(name).is_some_and(|value| !value.is_null()) {
            errors.push(FieldError::forbidden(at(name), format!("{name} is not supported")));
        }
    }
    if kind == "null" {
        let detail = "type cannot be set to null, use nullable as an alternative";
        errors.push(FieldError::forbidden(at("type"), detail));
    }
    if schema["items"].is_array() {
        errors.push(FieldError::forbidden(
            at("items"),
            "items must be a schema object and not an array",
        ));
    }
    if flag(schema, "uniqueItems") {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(at("uniqueItems"), detail));
    }
    if schema["x-kubernetes-preserve-unknown-fields"].as_bool() == Some(false) {
        let field = at("x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(field, false, "must be true or undefined"));
    }
}

fn collections(path: &str, schema: &Value, errors: &mut Vec<FieldError>) {
    let at = |name: &str| format!("{path}.{name}");
    let kind = text(schema, "type");
    let mut needs_type = |keyword: &str, needed: &str| {
        let detail = format!("must be {needed} if {keyword} is specified");
        errors.push(match kind {
            "" => FieldError::required(at("type"), detail),
            _ => FieldError::invalid(at("type"), kind, detail),
        });
    };
    let map_type = schema["x-kubernetes-map-type"].as_str();
    let list_type = schema["x-kubernetes-list-type"].as_str();
    if map_type.is_some() && kind != "object" {
        needs_type("x-kubernetes-map-type", "object");
    }
    if list_type.is_some() && kind != "array" {
        needs_type("x-kubernetes-list-type", "array");
    }
    if let Some(other) = map_type.filter(|name| !["atomic", "granular"].contains(name)) {
        errors.push(FieldError::not_supported(
            at("x-kubernetes-map-type"),
            other,
            &["atomic", "granular"],
        ));
    }
    if let Some(other) = list_type.filter(|name| !["atomic", "set", "map"].contains(name)) {
        errors.push(FieldError::not_supported(
            at("x-kubernetes-list-type"),
            other,
            &["atomic", "set", "map"],
        ));
    }
    let items = &schema["items"];
    if list_type == Some("set") && kind == "array" && items.is_object() {
        let inner_list = items["x-kubernetes-list-type"].as_str();
        let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
        if text(items, "type") == "array" && inner_list.is_some_and(|name| name != "atomic") {
            let field = at("items.x-kubernetes-list-type");
            errors.push(FieldError::invalid(field, inner_list.unwrap_or_default(), detail));
        }
        if text(items, "type") == "object" && text(items, "x-kubernetes-map-type") != "atomic" {
            let value = inner_list.map_or(Value::Null, Value::from);
            errors.push(FieldError::invalid(at("items.x-kubernetes-map-type"), value, detail));
        }
    }
    map_keys(path, schema, list_type, errors);
}

fn map_keys(path: &str, schema: &Value, list_type: Option<&str>, errors: &mut Vec<FieldError>) {
    let at = |name: &str| format!("{path}.{name}");
    let (items, key_list) = (&schema["items"], &schema["x-kubernetes-list-map-keys"]);
    let keys: Vec<&str> = key_list
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !keys.is_empty() {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        match list_type {
            None => errors.push(FieldError::required(at("x-kubernetes-list-type"), detail)),
            Some("map") => {}
            Some(other) => errors.push(FieldError::invalid(at("x-kubernetes-list-type"), other, detail)),
        }
    }
    if list_type == Some("map") {
        if keys.is_empty() {
            let detail = "must not be empty if x-kubernetes-list-type is map";
            errors.push(FieldError::required(at("x-kubernetes-list-map-keys"), detail));
        }
        if items.is_null() {
            errors.push(FieldError::required(
                at("items"),
                "must have a schema if x-kubernetes-list-type is map",
            ));
        } else if items.is_object() && text(items, "type") != "object" {
            let detail = "must be object if parent array's x-kubernetes-list-type is map";
            errors.push(FieldError::invalid(at("items.type"), text(items, "type"), detail));
        } else {
            for (index, key) in keys.iter().enumerate() {
                let key_kind = items["properties"].get(key).map(|property| text(property, "type"));
                match key_kind {
                    Some("array" | "object") => {
                        let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                        let field = at(&format!("items.properties[{key}].type"));
                        errors.push(FieldError::invalid(field, text(items, "type"), detail));
                    }
                    Some(_) => {}
                    None => {
                        let detail = "entries must all be names of item properties";
                        errors.push(FieldError::invalid(
                            at("x-kubernetes-list-map-keys"),
                            key_list.clone(),
                            detail,
                        ));
                    }
                }
                if keys[..index].contains(key) {
                    let detail = "must not contain duplicate entries";
                    errors.push(FieldError::invalid(
                        at("x-kubernetes-list-map-keys"),
                        key_list.clone(),
                        detail,
                    ));
                }
            }
        }
    }
    let Some(list_type) = list_type.filter(|name| ["set", "map"].contains(name) && items.is_object()) else {
        return;
    };
    if flag(items, "nullable") {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errors.push(FieldError::forbidden(at("items.nullable"), detail));
    }
    if list_type != "map" {
        return;
    }
    for key in keys {
        let Some(property) = items["properties"].get(key) else {
            continue;
        };
        let is_required = items["required"]
            .as_array()
            .is_some_and(|required| required.iter().any(|name| name.as_str() == Some(key)));
        let field = at(&format!("items.properties[{key}]"));
        if !is_required && property["default"].is_null() {
            let detail =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(format!("{field}.default"), detail));
        }
        if flag(property, "nullable") {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(format!("{field}.nullable"), detail));
        }
    }
}

fn rule_keywords(path: &str, schema: &Value, errors: &mut Vec<FieldError>) {
    for (index, rule) in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let at = |name: &str| format!("{path}.x-kubernetes-validations[{index}].{name}");
        let has_breaks = |text: &str| text.contains(['\n', '\r']);
        let (source, message) = (text(rule, "rule").trim(), text(rule, "message"));
        if source.is_empty() {
            errors.push(FieldError::required(at("rule"), "rule is not specified"));
        } else if !message.is_empty() && message.trim().is_empty() {
            errors.push(FieldError::invalid(
                at("message"),
                message,
                "must be non-empty if specified",
            ));
        } else if has_breaks(message.trim()) {
            errors.push(FieldError::invalid(
                at("message"),
                message,
                "must not contain line breaks",
            ));
        } else if has_breaks(source) && message.trim().is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            errors.push(FieldError::required(at("message"), detail));
        }
        let expression = text(rule, "messageExpression");
        if !expression.is_empty() && expression.trim().is_empty() {
            let detail = "messageExpression must be non-empty if specified";
            errors.push(FieldError::required(at("messageExpression"), detail));
        }
        if let Some(reason) = rule["reason"].as_str().filter(|reason| !REASONS.contains(reason)) {
            errors.push(FieldError::not_supported(at("reason"), reason, &REASONS));
        }
        let place = text(rule, "fieldPath");
        if !place.is_empty() && place.trim().is_empty() {
            errors.push(FieldError::invalid(
                at("fieldPath"),
                place,
                "must be non-empty if specified",
            ));
        }
        if has_breaks(place) {
            errors.push(FieldError::invalid(
                at("fieldPath"),
                place,
                "must not contain line breaks",
            ));
        }
        if !place.is_empty() && field_path::resolve(place, schema, true).is_err() {
            errors.push(FieldError::invalid(at("fieldPath"), place, "must be a valid path"));
        }
    }
}

fn compile_rules(path: &str, schema: &Value, around: &Surroundings, errors: &mut Vec<FieldError>) {
    let Some(rules) = schema["x-kubernetes-validations"].as_array() else {
        return;
    };
    let node = Node::read(schema);
    for (index, raw) in rules.iter().enumerate() {
        let at = |name: &str| format!("{path}.x-kubernetes-validations[{index}].{name}");
        let rule = Rule::read(raw);
        let is_resource = around.is_root || node.embedded;
        let mut complain = |name: &str, prefix: &str, error: &str| {
            // Only what fails to compile is said to be of the message; what it answers says so itself.
            let prefix = if error.starts_with("compilation") { prefix } else { "" };
            errors.push(FieldError::invalid_whole(
                at(name),
                format!("{}: {prefix}{error}", written(raw)),
            ));
        };
        match &rule.program {
            Err(error) => complain("rule", "", error),
            Ok(program) => {
                if let Err(error) = rule_results::check(program, &rule.source, &node, is_resource, Type::Boolean) {
                    complain("rule", "", &error);
                }
            }
        }
        match &rule.message_expression {
            Some(Err(error)) => complain("messageExpression", "messageExpression ", error),
            Some(Ok(program)) => {
                if let Err(error) = rule_results::check(
                    program,
                    text(raw, "messageExpression"),
                    &node,
                    is_resource,
                    Type::String,
                ) {
                    complain("messageExpression", "messageExpression ", &error);
                }
            }
            None => {}
        }
        if let Some(list) = around.without_old.as_ref().filter(|_| rule.uses_old) {
            let detail = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {list}");
            errors.push(FieldError::invalid(at("rule"), text(raw, "rule"), detail));
        } else if !rule.uses_old && rule.program.is_ok() && !raw["optionalOldSelf"].is_null() {
            let detail = "may not be set if oldSelf is not used in rule";
            errors.push(FieldError::invalid(
                at("optionalOldSelf"),
                raw["optionalOldSelf"].clone(),
                detail,
            ));
        }
    }
}

/// A rule as the API server repeats it: all of its fields, in its order and under its own names for them.
fn written(rule: &Value) -> String {
    let json = |name: &str| wording::json(&rule[name]);
    let text = |name: &str| wording::json(&Value::from(text(rule, name)));
    format!(
        "{{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{},\"FieldPath\":{},\"OptionalOldSelf\":{}}}",
        text("rule"),
        text("message"),
        text("messageExpression"),
        json("reason"),
        text("fieldPath"),
        json("optionalOldSelf"),
    )
}

/// Defaults must be what they would be judged to be, and hold nothing that would be pruned.
fn check_defaults(path: &str, schema: &Value, errors: &mut Vec<FieldError>) {
    let default = &schema["default"];
    if !default.is_null() {
        let field = format!("{path}.default");
        let node = Node::read(schema);
        let mut pruned = default.clone();
        shape::prune_part(&node, &mut pruned);
        if pruned != *default {
            errors.push(FieldError::invalid(
                &field,
                default.clone(),
                "must not have unknown fields",
            ));
        }
        let mut wrong = validation::validate(&node, default, None);
        if wrong.is_empty() {
            wrong = rules::validate(&node, default, None);
        }
        errors.extend(wrong.into_iter().map(|mut error| {
            error.field = match error.field.as_str() {
                "<nil>" | "" => field.clone(),
                relative => format!("{field}.{relative}"),
            };
            error
        }));
    }
    if schema["items"].is_object() {
        check_defaults(&format!("{path}.items"), &schema["items"], errors);
    }
    for (path, _, node) in properties(path, schema) {
        check_defaults(&path, node, errors);
    }
}
