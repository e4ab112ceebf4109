//! Label and field selectors.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Stored;
use crate::catalog::Resource;
use crate::status::{Answer, Refusal};

/// What a list or watch was asked to be limited to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<FieldRequirement>,
}

#[derive(Clone, Debug)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

#[derive(Clone, Debug)]
struct FieldRequirement {
    path: String,
    value: String,
    equal: bool,
}

impl Selector {
    /// Reads both selectors; the field paths must be among those that the resource supports.
    pub(crate) fn parse(resource: &Resource, labels: &str, fields: &str) -> Answer<Self> {
        let labels =
            parse_labels(labels).map_err(|why| Refusal::bad_request(format!("unable to parse requirement: {why}")))?;
        Ok(Self {
            labels,
            fields: parse_fields(resource, fields)?,
        })
    }

    /// Selects by labels only; for rules that carry `matchLabels`.
    pub(crate) fn matches_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|requirement| requirement.holds(labels))
    }

    pub(crate) fn matches(&self, object: &Stored) -> bool {
        self.matches_labels(&object.labels) && self.matches_fields(object)
    }

    fn matches_fields(&self, object: &Stored) -> bool {
        let mut parsed = None;
        self.fields.iter().all(|field| {
            let equal = match field.path.as_str() {
                "metadata.name" => object.key.name == field.value,
                "metadata.namespace" => object.key.namespace == field.value,
                path => field_text(parsed.get_or_insert_with(|| object.value()), path) == field.value,
            };
            equal == field.equal
        })
    }
}

impl Requirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let number = || value.and_then(|text| text.parse::<i64>().ok());
        match &self.test {
            Test::Exists => value.is_some(),
            Test::Missing => value.is_none(),
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Test::Greater(than) => number().is_some_and(|number| number > *than),
            Test::Less(than) => number().is_some_and(|number| number < *than),
        }
    }
}

/// The text of a field as field selectors compare it: booleans and numbers in their JSON form, nothing as empty.
fn field_text(object: &Value, path: &str) -> String {
    let pointer = format!("/{}", path.replace('.', "/"));
    match object.pointer(&pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn parse_labels(text: &str) -> Result<Vec<Requirement>, String> {
    split_outside_parentheses(text)
        .into_iter()
        .filter(|part| !part.is_empty())
        .map(parse_requirement)
        .collect()
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0usize, 0, Vec::new());
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

fn parse_requirement(text: &str) -> Result<Requirement, String> {
    let requirement = |key: &str, test| -> Result<Requirement, String> {
        let key = key.trim();
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
        if key.is_empty() || !key.chars().all(legal) {
            return Err(match text.split_whitespace().nth(1) {
                Some(word) => format!("found '{word}', expected: in, notin, =, ==, !=, gt, lt"),
                None => format!("found '{text}', expected: identifier"),
            });
        }
        Ok(Requirement {
            key: key.to_owned(),
            test,
        })
    };
    let one = |value: &str| vec![value.trim().to_owned()];
    if let Some(open) = text.find('(') {
        let values = text[open + 1..]
            .strip_suffix(')')
            .ok_or_else(|| format!("found '{text}', expected: ')'"))?;
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        let mut words = text[..open].split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(key), Some("in"), None) => requirement(key, Test::In(values)),
            (Some(key), Some("notin"), None) => requirement(key, Test::NotIn(values)),
            _ => Err(format!("found '{text}', expected: in, notin")),
        };
    }
    if let Some((key, value)) = text.split_once("!=") {
        return requirement(key, Test::NotIn(one(value)));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return requirement(key, Test::In(one(value)));
    }
    let number = |value: &str| value.trim().parse().map_err(|_| format!("'{value}' is not an integer"));
    if let Some((key, value)) = text.split_once('>') {
        return requirement(key, Test::Greater(number(value)?));
    }
    if let Some((key, value)) = text.split_once('<') {
        return requirement(key, Test::Less(number(value)?));
    }
    match text.strip_prefix('!') {
        Some(key) => requirement(key, Test::Missing),
        None => requirement(text, Test::Exists),
    }
}

fn parse_fields(resource: &Resource, text: &str) -> Answer<Vec<FieldRequirement>> {
    let mut fields = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (path, value, equal) = if let Some((path, value)) = part.split_once("!=") {
            (path, value, false)
        } else if let Some((path, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            (path, value, true)
        } else {
            return Err(Refusal::bad_request(format!(
                "invalid selector: '{text}'; can't understand '{part}'"
            )));
        };
        if !resource.selects_by(path) {
            return Err(Refusal::bad_request(
                if resource.custom.is_none() && resource.selectable.is_empty() {
                    format!("\"{path}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
                } else {
                    format!("field label not supported: {path}")
                },
            ));
        }
        fields.push(FieldRequirement {
            path: path.to_owned(),
            value: value.to_owned(),
            equal,
        });
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let labels_selector = Selector {
            labels: parse_labels(selector).unwrap(),
            fields: Vec::new(),
        };
        labels_selector.matches_labels(&labels)
    }

    #[test]
    fn equality_and_sets() {
        let labels = [("app", "web"), ("tier", "3")];
        for yes in [
            "",
            "app=web",
            "app==web",
            "app!=db",
            "app in (web, db)",
            "app notin (db)",
            "app",
            "!gone",
            "gone!=x",
            "gone notin (x)",
            "tier>2",
            "tier<4",
            "app in (web),tier",
        ] {
            assert!(selects(yes, &labels), "{yes}");
        }
        for no in [
            "app=db",
            "app!=web",
            "app in (db)",
            "app notin (web,db)",
            "gone",
            "!app",
            "tier>3",
            "app,gone",
        ] {
            assert!(!selects(no, &labels), "{no}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["a b", "app in (x", "app within (x)", "tier>x", "=x"] {
            assert!(parse_labels(text).is_err(), "{text}");
        }
    }
}
