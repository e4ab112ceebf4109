//! What is wrong with a policy itself.

use super::*;

fn findings_of(policy: Value, others: &[(&str, Value)], organisation: Value) -> Vec<Refusal> {
    let policy = spec(policy);
    let others: Vec<(&str, TokenPolicySpec)> = others
        .iter()
        .map(|(name, other)| (*name, spec(other.clone())))
        .collect();
    let organisation: OrganisationSpec = serde_json::from_value(organisation).unwrap();
    let surroundings = Surroundings {
        organisations: vec![("acme", &organisation)],
        others: others.iter().map(|(name, spec)| Policy { name, spec }).collect(),
    };
    findings(
        &Policy {
            name: "strict",
            spec: &policy,
        },
        &surroundings,
    )
}

#[test]
fn a_policy_that_cannot_mean_what_it_says_is_told_so_in_words() {
    let roles = json!({ "roles": [{ "name": "Reader" }] });
    for (policy, reason, expected) in [
        (
            json!({ "roles": { "allowed": [] } }),
            Reason::InvalidSpec,
            "spec.roles.allowed is empty",
        ),
        (
            json!({ "permissions": { "allowed": [] } }),
            Reason::InvalidSpec,
            "spec.permissions.allowed is empty",
        ),
        (
            json!({ "expiry": { "allowed": [] } }),
            Reason::InvalidSpec,
            "spec.expiry.allowed is empty",
        ),
        (
            json!({ "expiry": { "max": "1d", "default": "2d" } }),
            Reason::InvalidSpec,
            "spec.expiry.default 2d is longer than spec.expiry.max 1d",
        ),
        (
            json!({ "expiry": { "max": "1d", "allowed": ["2d"] } }),
            Reason::InvalidSpec,
            "spec.expiry.allowed has 2d, which is longer",
        ),
        (
            json!({ "expiry": { "default": "1d", "allowed": ["2d"] } }),
            Reason::InvalidSpec,
            "spec.expiry.default 1d is not in",
        ),
        (
            json!({ "ipFilters": { "required": ["vpn"] } }),
            Reason::IpFilterNotFound,
            "which Organisation \"acme\" does not have",
        ),
        (
            json!({ "roles": { "allowed": ["Redaer"] } }),
            Reason::RoleNotFound,
            "spec.roles.allowed has \"Redaer\"",
        ),
        (
            json!({ "organisations": { "selector": { "matchExpressions": [{ "key": "a", "operator": "Like" }] } } }),
            Reason::InvalidSpec,
            "spec.organisations.selector makes no sense",
        ),
    ] {
        let found = findings_of(policy.clone(), &[], roles.clone());
        assert_eq!(found.len(), 1, "{policy}: {found:?}");
        assert_eq!(found[0].reason, reason, "{policy}");
        assert!(found[0].message.contains(expected), "{policy}: {found:?}");
    }
    assert_eq!(
        findings_of(json!({ "roles": { "allowed": ["Reader"] } }), &[], roles),
        []
    );
}

#[test]
fn policies_that_contradict_each_other_are_told_so() {
    let contradicts = |one: Value, other: Value| findings_of(one, &[("other", other)], json!({}));
    for (one, other, expected) in [
        (
            json!({ "roles": { "allowed": ["Admin"] } }),
            json!({ "roles": { "allowed": ["Member"] } }),
            "no role is allowed",
        ),
        (
            json!({ "permissions": { "allowed": ["a:*"] } }),
            json!({ "permissions": { "allowed": ["b"] } }),
            "no permission is allowed",
        ),
        (
            json!({ "expiry": { "allowed": ["1d"] } }),
            json!({ "expiry": { "allowed": ["2d"] } }),
            "none in common",
        ),
        (
            json!({ "expiry": { "max": "1d" } }),
            json!({ "expiry": { "allowed": ["2d"] } }),
            "the shortest in expiry.allowed is 2d, and expiry.max is 1d",
        ),
    ] {
        let found = contradicts(one.clone(), other.clone());
        assert_eq!(found.len(), 1, "{one} {other}: {found:?}");
        assert!(
            found[0].message.starts_with("Together with TokenPolicy \"other\" no "),
            "{found:?}"
        );
        assert!(found[0].message.contains(expected), "{found:?}");
        assert_eq!(found[0].reason, Reason::PolicyContradiction);
        let mut warns = other.clone();
        warns["enforcement"] = json!("Warn");
        assert_eq!(contradicts(one.clone(), warns), []);
        let (mut one, mut other) = (one, other);
        one["types"] = json!(["Personal"]);
        other["types"] = json!(["Organisation"]);
        assert_eq!(contradicts(one, other), []);
    }
}
