//! What becomes of a policy that cannot be read: it comes from before a rule of the schema, or from around it, or from a
//! version to come.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::{Enforcement, Issuance, TokenPolicySpec};

/// What is enforced instead of a policy whose spec cannot be read: every token that it may be for is refused, as nobody
/// can say what it forbids. Whom it is for is read by itself; where that cannot be read either, it may be for all. One
/// that certainly only warns refuses nothing.
pub fn refusing(spec: &Value) -> TokenPolicySpec {
    TokenPolicySpec {
        organisations: part(spec, "organisations").unwrap_or_default(),
        types: part(spec, "types").unwrap_or_default(),
        enforcement: part(spec, "enforcement").unwrap_or(Enforcement::Enforce),
        issuance: Issuance::Deny,
        ..TokenPolicySpec::default()
    }
}

fn part<T: DeserializeOwned>(spec: &Value, field: &str) -> Option<T> {
    T::deserialize(spec.get(field)?).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::api::TokenType;

    #[test]
    fn what_cannot_be_read_refuses_whom_it_may_be_for() {
        let broken = json!({ "max": 7 });
        // Whether it is for Organisation tokens of acme, and for those of initech, and for Personal ones of acme.
        for (spec, expected) in [
            (json!({}), [true, true, true]),
            (json!(null), [true, true, true]),
            (json!("all"), [true, true, true]),
            (json!({ "organisations": { "names": ["acme"] } }), [true, false, true]),
            (json!({ "organisations": { "names": "acme" } }), [true, true, true]),
            (json!({ "organisations": { "selector": 1 } }), [true, true, true]),
            (
                json!({ "organisations": null, "types": ["Personal"] }),
                [false, false, true],
            ),
            (json!({ "types": ["Personal", "Robot"] }), [true, true, true]),
            (
                json!({ "enforcement": "Perhaps", "types": ["Organisation"] }),
                [true, true, false],
            ),
        ] {
            let mut whole = spec.clone();
            if let Some(whole) = whole.as_object_mut() {
                whole.insert("expiry".to_owned(), broken.clone());
            }
            let made = refusing(&whole);
            let refuses = |organisation: &str, type_| {
                made.selects(organisation, &BTreeMap::new()) && made.is_for(type_) && made.is_enforced()
            };
            let found = [
                refuses("acme", TokenType::Organisation),
                refuses("initech", TokenType::Organisation),
                refuses("acme", TokenType::Personal),
            ];
            assert_eq!((found, made.issuance), (expected, Issuance::Deny), "{spec}");
        }
        let warns = refusing(&json!({ "enforcement": "Warn", "expiry": broken }));
        assert!(!warns.is_enforced());
    }
}
