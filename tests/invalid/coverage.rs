//! Which rules and reasons the examples meet.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use kube::core::response::StatusCause;
use tokenwright::api::{condition::Reason, crds};

/// These are no fault of a manifest. (A policy that the schema lets through can be read.)
const FINE: [Reason; 9] = [
    Reason::Issued,
    Reason::NotIssued,
    Reason::Rotating,
    Reason::ReuseDetected,
    Reason::Accepted,
    Reason::Assigned,
    Reason::NothingToRead,
    Reason::Compliant,
    Reason::PolicyUnreadable,
];

#[derive(Default)]
pub(crate) struct Coverage {
    reasons: BTreeSet<String>,
    /// Kind, field and message of what was refused.
    refusals: Vec<(String, String, String)>,
}

impl Coverage {
    pub(crate) fn reported(&mut self, reason: &str) {
        self.reasons.insert(reason.to_owned());
    }

    /// Takes in why an object was refused, as far as its example says so.
    pub(crate) fn refused(&mut self, kind: &str, causes: &[StatusCause], announced: &[String]) {
        for cause in causes {
            let field = without_indices(&cause.field);
            for text in announced {
                if cause.message.contains(text.as_str()) {
                    self.refusals.push((kind.to_owned(), field.clone(), text.clone()));
                }
            }
        }
    }

    /// What no example meets.
    pub(crate) fn missing(&self) -> Vec<String> {
        let reasons = Reason::ALL
            .iter()
            .filter(|reason| !FINE.contains(reason))
            .map(|reason| reason.as_str())
            .filter(|reason| !self.reasons.contains(*reason))
            .map(|reason| format!("reason {reason}"));
        let rules = rules().into_iter().filter(|rule| !self.refusals.contains(rule));
        reasons
            .chain(rules.map(|(kind, field, message)| format!("{kind} {field}: {message}")))
            .collect()
    }
}

/// Kind, field and message of every CEL rule in the definitions.
fn rules() -> Vec<(String, String, String)> {
    let mut rules = Vec::new();
    for crd in crds() {
        for version in &crd.spec.versions {
            let schema = version
                .schema
                .as_ref()
                .and_then(|schema| schema.open_api_v3_schema.as_ref())
                .unwrap();
            collect(&crd.spec.names.kind, "", schema, &mut rules);
        }
    }
    assert!(rules.len() > 40, "only {} rules were found", rules.len());
    rules
}

fn collect(kind: &str, field: &str, schema: &JSONSchemaProps, rules: &mut Vec<(String, String, String)>) {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
    };
    for rule in schema.x_kubernetes_validations.iter().flatten() {
        let message = rule.message.clone();
        let message = message.unwrap_or_else(|| panic!("{kind} {field} has a rule without a message: {}", rule.rule));
        rules.push((kind.to_owned(), field.to_owned(), message));
    }
    for (name, property) in schema.properties.iter().flatten() {
        // The status is the controller's to write, not a manifest's.
        if field.is_empty() && name == "status" {
            continue;
        }
        let dot = if field.is_empty() { "" } else { "." };
        collect(kind, &format!("{field}{dot}{name}"), property, rules);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        collect(kind, field, items, rules);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
        collect(kind, field, values, rules);
    }
}

/// `spec.roles[0].name` as `spec.roles.name`, and `spec.labels[team]` as `spec.labels`.
fn without_indices(field: &str) -> String {
    let mut out = String::new();
    let mut depth = 0;
    for char in field.chars() {
        match char {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ if depth == 0 => out.push(char),
            _ => {}
        }
    }
    out
}
