//! OpenAPI validation of objects.
//!
//! The order of checks and the choice of the alternative that is reported when none of several fits follow the real
//! API server, whose messages they decide.

use serde_json::Value;

use super::correlation;
use super::error::FieldError;
use super::node::{Additional, Node, Type};
use super::text;

/// What became of validating one value: what is wrong, and how much was right (the best of several failed
/// alternatives is the one that is reported).
#[derive(Debug, Default)]
struct Outcome {
    errors: Vec<FieldError>,
    matches: usize,
}

impl Outcome {
    fn fail(error: FieldError) -> Self {
        Self {
            errors: vec![error],
            matches: 0,
        }
    }

    fn passed() -> Self {
        Self {
            errors: Vec::new(),
            matches: 1,
        }
    }

    fn push(&mut self, error: FieldError) {
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn merge(&mut self, other: Outcome) {
        other.errors.into_iter().for_each(|error| self.push(error));
        self.matches += other.matches;
    }

    /// Adds a check's outcome; having been checked counts by itself.
    fn count(&mut self, other: Outcome) {
        self.merge(other);
        self.matches += 1;
    }
}

/// Everything wrong with an object, by its schema's root node. What is wrong in a part that an update leaves as it
/// was is let through.
pub(crate) fn validate(root: &Node, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let outcome = correlated(root, "", object, old);
    outcome.errors
}

fn correlated(node: &Node, path: &str, value: &Value, old: Option<&Value>) -> Outcome {
    let mut outcome = check(node, path, value, old);
    if !outcome.errors.is_empty() && correlation::is_unchanged(node, value, old) {
        outcome.errors.clear();
    }
    outcome
}

fn check(node: &Node, path: &str, value: &Value, old: Option<&Value>) -> Outcome {
    let mut outcome = Outcome::default();
    if value.is_null() {
        outcome.merge(check_type(node, path, value));
        outcome.merge(check_choice(node, path, value));
        return outcome;
    }
    if node.kind.is_some() || node.int_or_string || node.format.is_some() {
        outcome.count(check_type(node, path, value));
    }
    outcome.count(check_alternatives(node, path, value, old));
    match value {
        Value::String(text) => {
            outcome.count(check_string(node, path, text));
            if let Some((format, name)) = node.string_format.zip(node.format.as_deref()) {
                let failure = || {
                    Outcome::fail(FieldError::type_invalid(
                        named(path),
                        text.clone(),
                        format!("{path} in body must be of type {name}: {}", text::quote(text)),
                    ))
                };
                outcome.count(if format.accepts(text) {
                    Outcome::default()
                } else {
                    failure()
                });
            }
        }
        Value::Number(number) => outcome.count(check_number(node, path, number)),
        Value::Array(items) => outcome.count(check_array(node, path, items, old)),
        _ => {}
    }
    outcome.count(check_choice(node, path, value));
    if let Value::Object(fields) = value {
        outcome.count(check_object(node, path, fields, old));
    }
    outcome.matches += 1;
    outcome
}

/// The path as an error's field has it: without the dot that stands before the fields of the root.
fn named(path: &str) -> &str {
    path.strip_prefix('.').unwrap_or(path)
}

fn invalid(path: &str, value: impl Into<Value>, rest: impl std::fmt::Display) -> FieldError {
    FieldError::invalid(named(path), value, format!("{path} in body {rest}"))
}

fn check_type(node: &Node, path: &str, value: &Value) -> Outcome {
    let wrong = |expected: &str, actual: &str| {
        let detail = format!("{path} in body must be of type {expected}: {}", text::quote(actual));
        Outcome::fail(FieldError::type_invalid(named(path), actual, detail))
    };
    let (actual, actual_format) = match value {
        Value::Null if (node.kind.is_some() || node.int_or_string) && !node.nullable => {
            return wrong(&node.type_names(), "null");
        }
        Value::Null => return Outcome::passed(),
        Value::Bool(_) => (Type::Boolean, ""),
        Value::String(_) => (Type::String, ""),
        Value::Array(_) => (Type::Array, ""),
        Value::Object(_) => (Type::Object, ""),
        Value::Number(number) if number.is_f64() => (Type::Number, "float64"),
        Value::Number(_) => (Type::Integer, "int64"),
    };
    let is_whole = value.as_f64().is_some_and(|float| float.fract() == 0.0);
    let fits = node.allows_type(actual)
        || (actual == Type::Number && is_whole && node.allows_type(Type::Integer))
        || (actual == Type::Integer && node.allows_type(Type::Number));
    let has_parts = matches!(actual, Type::String | Type::Array);
    if let Some(format) = &node.format {
        if !has_parts && !fits && actual_format != format {
            return wrong(format, actual_format);
        }
        if has_parts && !node.allows_type(Type::Number) && !node.allows_type(Type::Integer) {
            return Outcome::passed();
        }
    }
    if fits {
        Outcome::passed()
    } else {
        wrong(&node.type_names(), actual.name())
    }
}

fn check_alternatives(node: &Node, path: &str, value: &Value, old: Option<&Value>) -> Outcome {
    let mut outcome = Outcome::default();
    let general = |message: String| FieldError::invalid("", "", message);
    let quoted = text::quote(path);

    if !node.any_of.is_empty() {
        let outcomes = first_success(&node.any_of, path, value, old);
        match outcomes {
            Ok(success) => outcome.merge(success),
            Err(best) => {
                outcome.push(general(format!("{quoted} must validate at least one schema (anyOf)")));
                outcome.merge(best);
            }
        }
    }
    if !node.one_of.is_empty() {
        let mut valid = 0;
        let mut first = None;
        let mut best: Option<Outcome> = None;
        for alternative in &node.one_of {
            let result = check(alternative, path, value, old);
            if result.errors.is_empty() {
                valid += 1;
                best = None;
                first.get_or_insert(result);
            } else if valid == 0 && best.as_ref().is_none_or(|best| result.matches > best.matches) {
                best = Some(result);
            }
        }
        if valid == 1 {
            outcome.merge(first.unwrap_or_default());
        } else {
            let found = if valid == 0 {
                "Found none valid".to_owned()
            } else {
                format!("Found {valid} valid alternatives")
            };
            outcome.push(general(format!(
                "{quoted} must validate one and only one schema (oneOf). {found}"
            )));
            outcome.merge(best.unwrap_or_default());
        }
    }
    if !node.all_of.is_empty() {
        let mut valid = 0;
        for part in &node.all_of {
            let result = check(part, path, value, old);
            valid += usize::from(result.errors.is_empty());
            outcome.merge(result);
        }
        if valid != node.all_of.len() {
            let none = if valid == 0 { ". None validated" } else { "" };
            outcome.push(general(format!("{quoted} must validate all the schemas (allOf){none}")));
        }
    }
    if let Some(not) = &node.not
        && check(not, path, value, old).errors.is_empty()
    {
        outcome.push(general(format!("{quoted} must not validate the schema (not)")));
    }
    outcome.matches += 1;
    outcome
}

fn first_success(alternatives: &[Node], path: &str, value: &Value, old: Option<&Value>) -> Result<Outcome, Outcome> {
    let mut best: Option<Outcome> = None;
    for alternative in alternatives {
        let result = check(alternative, path, value, old);
        if result.errors.is_empty() {
            return Ok(result);
        }
        if best.as_ref().is_none_or(|best| result.matches > best.matches) {
            best = Some(result);
        }
    }
    Err(best.unwrap_or_default())
}

fn check_string(node: &Node, path: &str, text: &str) -> Outcome {
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    if let Some(limit) = node.max_length.filter(|limit| length > *limit) {
        return Outcome::fail(FieldError::too_long(named(path), limit));
    }
    if let Some(limit) = node.min_length.filter(|limit| length < *limit) {
        return Outcome::fail(invalid(
            path,
            text,
            format_args!("should be at least {limit} chars long"),
        ));
    }
    match &node.pattern {
        Some((pattern, regex)) if !regex.is_match(text) => {
            Outcome::fail(invalid(path, text, format_args!("should match '{pattern}'")))
        }
        _ => Outcome::default(),
    }
}

fn check_number(node: &Node, path: &str, number: &serde_json::Number) -> Outcome {
    let mut outcome = Outcome::default();
    let value = Value::Number(number.clone());
    let Some(float) = number.as_f64() else { return outcome };
    let whole = number.as_i64();
    if let Some(complaint) = out_of_range(node, number) {
        let place = if path.is_empty() {
            String::new()
        } else {
            format!(" in {path}")
        };
        outcome.push(FieldError::invalid("", "", format!("{complaint}{place}")));
    }
    // A whole number is compared with whole bounds, whatever fraction the schema gives them.
    let bound = |bound: f64| if whole.is_some() { bound.trunc() } else { bound };
    let words = |bound: f64| match whole {
        Some(_) => text::number(&serde_json::Number::from(bound as i64)),
        None => text::float(bound),
    };
    if let Some(factor) = node.multiple_of.map(bound) {
        let parts = if factor < 1.0 {
            1.0 / factor * float
        } else {
            float / factor
        };
        if factor <= 0.0 {
            let detail = format!(
                "factor MultipleOf declared for {path} must be positive: {}",
                words(factor)
            );
            outcome.push(FieldError::invalid(named(path), plain_bound(factor), detail));
        } else if (parts - parts.round()).abs() > 1e-9 {
            outcome.push(invalid(
                path,
                value.clone(),
                format_args!("should be a multiple of {}", words(factor)),
            ));
        }
    }
    if let Some(limit) = node.minimum.map(bound)
        && (float < limit || (node.exclusive_minimum && float == limit))
    {
        let relation = if node.exclusive_minimum {
            "greater than"
        } else {
            "greater than or equal to"
        };
        outcome.push(invalid(
            path,
            value.clone(),
            format_args!("should be {relation} {}", words(limit)),
        ));
    }
    if let Some(limit) = node.maximum.map(bound)
        && (float > limit || (node.exclusive_maximum && float == limit))
    {
        let relation = if node.exclusive_maximum {
            "less than"
        } else {
            "less than or equal to"
        };
        outcome.push(invalid(
            path,
            value,
            format_args!("should be {relation} {}", words(limit)),
        ));
    }
    outcome.matches += 1;
    outcome
}

fn plain_bound(bound: f64) -> Value {
    if bound.fract() == 0.0 {
        Value::from(bound as i64)
    } else {
        Value::from(bound)
    }
}

/// A number that its type or its format cannot hold.
fn out_of_range(node: &Node, number: &serde_json::Number) -> Option<String> {
    if node.kind != Some(Type::Integer) || node.int_or_string {
        return None;
    }
    let is_whole = number.as_i64().is_some() || number.as_f64().is_some_and(|float| float.fract() == 0.0);
    match node.format.as_deref() {
        Some("int32") => {
            let fits = is_whole
                && number
                    .as_f64()
                    .is_some_and(|float| (-2_147_483_648.0..=2_147_483_647.0).contains(&float));
            (!fits).then(|| "Checked value must be of type integer with format int32".to_owned())
        }
        Some(format) => (!is_whole).then(|| format!("Checked value must be of type integer with format {format}")),
        None => (!is_whole).then(|| "Checked value must be of type integer (default format)".to_owned()),
    }
}

fn check_array(node: &Node, path: &str, items: &[Value], old: Option<&Value>) -> Outcome {
    let mut outcome = Outcome::default();
    if let Some(item_node) = &node.items {
        for (index, item) in items.iter().enumerate() {
            let old_item = correlation::item(node, old, item);
            outcome.merge(correlated(item_node, &format!("{path}[{index}]"), item, old_item));
        }
    }
    let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
    if let Some(limit) = node.min_items.filter(|limit| count < *limit) {
        outcome.push(invalid(path, count, format_args!("should have at least {limit} items")));
    }
    if let Some(limit) = node.max_items.filter(|limit| count > *limit) {
        outcome.push(FieldError::too_many(named(path), count, limit));
    }
    outcome.matches += 1;
    outcome
}

fn check_choice(node: &Node, path: &str, value: &Value) -> Outcome {
    if node.choices.is_empty() || node.choices.iter().any(|choice| is_same_choice(choice, value)) {
        return Outcome::default();
    }
    let choices: Vec<String> = node
        .choices
        .iter()
        .map(|choice| choice.as_str().map_or_else(|| text::json(choice), str::to_owned))
        .collect();
    Outcome::fail(FieldError::not_supported(named(path), value.clone(), &choices))
}

fn is_same_choice(choice: &Value, value: &Value) -> bool {
    match (choice, value) {
        (Value::Number(choice), Value::Number(value)) => choice.as_f64() == value.as_f64(),
        (Value::Null, _) => false,
        _ => choice == value,
    }
}

fn check_object(node: &Node, path: &str, fields: &serde_json::Map<String, Value>, old: Option<&Value>) -> Outcome {
    let mut outcome = Outcome::default();
    let count = i64::try_from(fields.len()).unwrap_or(i64::MAX);
    if let Some(limit) = node.min_properties.filter(|limit| count < *limit) {
        outcome.push(invalid(
            path,
            count,
            format_args!("should have at least {limit} properties"),
        ));
    }
    if let Some(limit) = node.max_properties.filter(|limit| count > *limit) {
        outcome.push(FieldError::too_many(named(path), count, limit));
    }
    for (name, value) in fields.iter().filter(|(name, _)| !node.properties.contains_key(*name)) {
        match &node.additional {
            Some(Additional::Nothing) => {
                let detail = format!("{path}.{name} in body is a forbidden property");
                outcome.push(FieldError::invalid(named(path), name.as_str(), detail));
            }
            Some(Additional::Schema(child)) => {
                outcome.merge(correlated(
                    child,
                    &format!("{path}.{name}"),
                    value,
                    correlation::field(old, name),
                ));
            }
            Some(Additional::Any) | None => {}
        }
    }
    for (name, child) in &node.properties {
        let Some(value) = fields.get(name) else { continue };
        let child_path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let is_type_meta = path.is_empty() && matches!(name.as_str(), "apiVersion" | "kind");
        let old = if is_type_meta {
            None
        } else {
            correlation::field(old, name)
        };
        outcome.merge(correlated(child, &child_path, value, old));
    }
    for name in node.required.iter().filter(|name| !fields.contains_key(*name)) {
        outcome.push(FieldError::required(named(&format!("{path}.{name}")), ""));
    }
    outcome
}
