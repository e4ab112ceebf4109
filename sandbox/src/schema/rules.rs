//! Runs the CEL rules of a schema on an object.

use kube_cel::cel::objects::OptionalValue;
use kube_cel::cel::{Context, ExecutionError, Program, Value as Cel};
use serde_json::Value;
use std::sync::Arc;

use super::correlation;
use super::error::FieldError;
use super::node::{Additional, Node, Type};
use super::rule::Rule;
use super::shape::child_path;
use super::text;
use super::value::{FUNCTIONS, to_cel};

const LONGEST_MESSAGE: usize = 5 * 1024;

/// Whether a failure here is let through because nothing changed, by the nearest part that can be compared.
#[derive(Clone, Copy)]
struct Ratchet<'a> {
    /// This part and its old value, where it can be compared.
    here: Option<(&'a Node, &'a Value, &'a Value)>,
    /// The nearest ancestor that could be.
    above: Option<(&'a Node, &'a Value, &'a Value)>,
}

impl<'a> Ratchet<'a> {
    fn holds(self) -> bool {
        self.here
            .or(self.above)
            .is_some_and(|(node, new, old)| correlation::is_unchanged(node, new, Some(old)))
    }

    fn descend(self, node: &'a Node, new: &'a Value, old: Option<&'a Value>) -> Self {
        if self.here.is_none() {
            return self;
        }
        Self {
            here: old.map(|old| (node, new, old)),
            above: self.here,
        }
    }
}

/// The broken rules of an object, by its schema's root node.
pub(crate) fn validate(root: &Node, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if root.has_rules {
        let ratchet = Ratchet {
            here: old.map(|old| (root, object, old)),
            above: None,
        };
        walk(root, "", object, old, ratchet, true, &mut errors);
    }
    errors
}

fn walk<'a>(
    node: &'a Node,
    path: &str,
    value: &'a Value,
    old: Option<&'a Value>,
    ratchet: Ratchet<'a>,
    is_resource: bool,
    errors: &mut Vec<FieldError>,
) {
    if value.is_null() {
        return;
    }
    let old = old.filter(|old| !old.is_null());
    if !node.rules.is_empty() {
        run_rules(node, path, value, old, ratchet, is_resource, errors);
    }
    match value {
        Value::Array(items) => {
            let Some(item_node) = node.items.as_deref().filter(|node| node.has_rules) else {
                return;
            };
            for (index, item) in items.iter().enumerate() {
                let old_item = correlation::item(node, old, item);
                let ratchet = ratchet.descend(item_node, item, old_item);
                walk(
                    item_node,
                    &format!("{path}[{index}]"),
                    item,
                    old_item,
                    ratchet,
                    item_node.embedded,
                    errors,
                );
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                let old_value = correlation::field(old, name);
                if let Some(property) = node.properties.get(name) {
                    if property.has_rules {
                        let ratchet =
                            match is_resource && path.is_empty() && matches!(name.as_str(), "apiVersion" | "kind") {
                                true => Ratchet {
                                    here: None,
                                    above: None,
                                },
                                false => ratchet.descend(property, value, old_value),
                            };
                        walk(
                            property,
                            &child_path(path, name),
                            value,
                            old_value,
                            ratchet,
                            property.embedded,
                            errors,
                        );
                    }
                } else if let Some(Additional::Schema(child)) = &node.additional
                    && child.has_rules
                {
                    let ratchet = ratchet.descend(child, value, old_value);
                    walk(
                        child,
                        &format!("{path}[{name}]"),
                        value,
                        old_value,
                        ratchet,
                        child.embedded,
                        errors,
                    );
                }
            }
        }
        _ => {}
    }
}

fn run_rules(
    node: &Node,
    path: &str,
    value: &Value,
    old: Option<&Value>,
    ratchet: Ratchet<'_>,
    is_resource: bool,
    errors: &mut Vec<FieldError>,
) {
    let before = old.filter(|_| node.rules.iter().any(|rule| rule.reads_old));
    let before = before.map(|old| to_cel(node, old, is_resource));
    // One scope for all of them: to put a value into a scope converts the whole of it.
    let mut with_plain_old = FUNCTIONS.new_inner_scope();
    with_plain_old.add_variable_from_value("self", to_cel(node, value, is_resource));
    if let Some(before) = &before {
        with_plain_old.add_variable_from_value("oldSelf", before.clone());
    }
    let kind_name = node.kind.map_or("", Type::name);
    for rule in &node.rules {
        if rule.source.is_empty() || (rule.uses_old && old.is_none() && !rule.optional_old) {
            continue;
        }
        let program = match &rule.program {
            Ok(program) => program,
            Err(error) => {
                let detail = format!("rule compile error: {error}");
                errors.push(FieldError::invalid(path, kind_name, detail));
                continue;
            }
        };
        let with_optional_old = rule.optional_old.then(|| {
            let before = before.clone().map_or_else(OptionalValue::none, OptionalValue::of);
            let mut scope = with_plain_old.new_inner_scope();
            scope.add_variable_from_value("oldSelf", Cel::Opaque(Arc::new(before)));
            scope
        });
        let scope = with_optional_old.as_ref().unwrap_or(&with_plain_old);
        match program.execute(scope) {
            Ok(Cel::Bool(true)) => {}
            Ok(Cel::Bool(false)) => {
                if rule.uses_old || !ratchet.holds() {
                    errors.push(failure(rule, node, path, value, &message(rule, scope)));
                }
            }
            Ok(_) => errors.push(FieldError::invalid(
                path,
                kind_name,
                format!(
                    "rule compile error: cel expression must evaluate to a bool: {}",
                    rule.title()
                ),
            )),
            Err(error) => errors.push(FieldError::invalid(path, kind_name, evaluation_failure(&error, rule))),
        }
    }
}

fn failure(rule: &Rule, node: &Node, path: &str, value: &Value, detail: &str) -> FieldError {
    let field = match rule.field_path.as_str() {
        "" => path.to_owned(),
        relative => child_path(path, relative),
    };
    let is_compound = matches!(node.kind, Some(Type::Object | Type::Array));
    match rule.reason.as_deref() {
        Some("FieldValueForbidden") => FieldError::forbidden(field, detail),
        Some("FieldValueRequired") => FieldError::required(field, detail),
        Some("FieldValueDuplicate") => {
            let mut error = FieldError::duplicate(field, value.clone());
            if is_compound {
                error.value = None;
            }
            error
        }
        _ if is_compound => FieldError::invalid_whole(field, detail),
        _ => FieldError::invalid(field, value.clone(), detail),
    }
}

/// What is said of a broken rule: its messageExpression where that gives one proper line, its message otherwise.
fn message(rule: &Rule, scope: &Context<'_>) -> String {
    let expressed = rule
        .message_expression
        .as_ref()
        .and_then(|program| express(program.as_ref().ok()?, scope));
    expressed.unwrap_or_else(|| rule.failure())
}

fn express(program: &Program, scope: &Context<'_>) -> Option<String> {
    let Ok(Cel::String(message)) = program.execute(scope) else {
        return None;
    };
    let message = message.trim();
    let is_proper = !message.is_empty() && !message.contains('\n') && message.len() <= LONGEST_MESSAGE;
    is_proper.then(|| message.to_owned())
}

fn evaluation_failure(error: &ExecutionError, rule: &Rule) -> String {
    let reason = match error {
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::IndexOutOfBounds(Cel::Int(index)) => format!("index out of bounds: {index}"),
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".to_owned(),
        ExecutionError::Overflow(..) => "integer overflow".to_owned(),
        ExecutionError::NoSuchOverload
        | ExecutionError::ValuesNotComparable(..)
        | ExecutionError::UnsupportedBinaryOperator(..)
        | ExecutionError::UnsupportedUnaryOperator(..) => {
            return format!(
                "'no such overload': call arguments did not match a supported operator, function or macro signature for rule: {}",
                rule.title()
            );
        }
        ExecutionError::UndeclaredReference(name) => {
            return format!(
                "rule compile error: compilation failed: undeclared reference to {} (not served here, or not there at all)",
                text::quote(name)
            );
        }
        ExecutionError::FunctionError { message, .. } => message.clone(),
        other => other.to_string(),
    };
    format!("{reason} evaluating rule: {}", rule.title())
}
