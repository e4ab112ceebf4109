//! One version's schema, made ready for use on objects.

use std::sync::Arc;

use serde_json::Value;

use super::error::{ErrorKind, FieldError};
use super::node::Node;
use super::{lists, rules, shape, structural, validation};

/// The `openAPIV3Schema` of one version of a custom resource, ready for use on objects. Clones share it.
#[derive(Clone, Debug)]
pub struct CompiledSchema {
    root: Arc<Node>,
}

impl CompiledSchema {
    /// Reads a structural schema.
    ///
    /// # Errors
    /// What is not structural, and CEL rules and patterns that do not compile. Paths are relative to the schema.
    pub fn compile(open_api_v3_schema: &Value) -> Result<Self, Vec<FieldError>> {
        let errors = structural::validate("openAPIV3Schema", open_api_v3_schema);
        if errors.is_empty() {
            Ok(Self {
                root: Arc::new(Node::read(open_api_v3_schema)),
            })
        } else {
            Err(errors)
        }
    }

    /// Removes the fields that the schema does not know and answers their paths (`spec.list[0].bar`), sorted. The
    /// type and the metadata of a resource stay, whatever the schema says.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        shape::prune(&self.root, object)
    }

    /// Fills in defaults, and drops the nulls that the schema does not allow.
    pub fn apply_defaults(&self, object: &mut Value) {
        shape::apply_defaults(&self.root, object);
    }

    /// Checks an object, and with `old` that it may replace that one: transition rules, and ratcheting (what was
    /// wrong already and has not been touched is let through).
    ///
    /// The object's metadata is checked only as far as the schema speaks of it; see [`crate::validate::metadata`].
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = validation::validate(&self.root, object, old);
        let repeated = self.repeated_items(object);
        if !repeated.is_empty() && old.is_none_or(|old| self.repeated_items(old).is_empty()) {
            errors.extend(repeated);
        }
        if !self.root.has_rules {
            return errors;
        }
        if errors.iter().any(|error| blocks_rules(error.kind)) {
            errors.push(FieldError::invalid(
                "",
                Value::Null,
                "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
            ));
        } else {
            errors.extend(rules::validate(&self.root, object, old));
        }
        errors
    }

    fn repeated_items(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        lists::validate(&self.root, "", object, &mut errors);
        errors
    }
}

/// Rules are not run on an object whose structure they could not rely on.
fn blocks_rules(kind: ErrorKind) -> bool {
    use ErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
    matches!(kind, NotSupported | Required | TooLong | TooMany | TypeInvalid)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Objects and what a real API server (1.36) says of them; the order of its errors within one object is random.
    const CASES: &str = include_str!("cases.json");

    #[test]
    fn says_what_the_real_one_says() {
        let fixture: Value = serde_json::from_str(CASES).unwrap();
        let schema = CompiledSchema::compile(&fixture["schema"]).unwrap();
        for case in fixture["cases"].as_array().unwrap() {
            let (mut new, mut old) = (case["new"].clone(), case.get("old").cloned());
            for object in [Some(&mut new), old.as_mut()].into_iter().flatten() {
                schema.prune(object);
                schema.apply_defaults(object);
            }
            let mut errors: Vec<String> = schema
                .validate(&new, old.as_ref())
                .iter()
                .map(ToString::to_string)
                .collect();
            errors.sort();
            assert_eq!((&case["case"], json!(errors)), (&case["case"], case["errors"].clone()));
        }
    }

    #[test]
    fn what_was_wrong_already_and_stays_is_let_through() {
        let schema = CompiledSchema::compile(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "word": {"type": "string", "pattern": "^[a-z]+$"},
            "other": {"type": "string", "maxLength": 9, "x-kubernetes-validations": [{"rule": "self != 'bad'", "message": "not bad"}]},
            "list": {"type": "array", "items": {"type": "string", "minLength": 2}},
        }}}}))
        .unwrap();
        let old = json!({"spec": {"word": "A", "other": "bad", "list": ["x"]}});
        assert_eq!(
            schema.validate(
                &json!({"spec": {"word": "A", "other": "bad", "list": ["x"], "new": 1}}),
                Some(&old)
            ),
            []
        );
        let changed = json!({"spec": {"word": "B", "other": "bad", "list": ["x", "yy"]}});
        let errors: Vec<String> = schema
            .validate(&changed, Some(&old))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            errors,
            [
                "spec.list[0]: Invalid value: \"x\": spec.list[0] in body should be at least 2 chars long",
                "spec.word: Invalid value: \"B\": spec.word in body should match '^[a-z]+$'",
            ]
        );
    }
}
