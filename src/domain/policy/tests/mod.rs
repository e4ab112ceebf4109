//! What policies make of a token.

mod checks;
mod findings;
mod properties;
mod survey;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::{collection::vec, prelude::*, sample::subsequence};
use serde_json::{Value, json};

use super::*;
use crate::{
    api::{ApiToken, Duration, OrganisationSpec, PolicyCounts, TokenPolicy, TokenPolicyStatus},
    domain::admission::Refusal,
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-01-10T00:00:00Z")
}

fn spec(policy: Value) -> TokenPolicySpec {
    serde_json::from_value(policy).unwrap()
}

fn grant(rights: Value) -> Grant {
    serde_json::from_value(rights).unwrap()
}

fn subject<'a>(rights: &'a Grant, role: &'a Permissions) -> Subject<'a> {
    Subject {
        type_: TokenType::Organisation,
        rights,
        role,
        issued_at: None,
        idle_since: None,
        older: Older::default(),
    }
}

const NEW: Stage<'_> = Stage::Request { granted: None };

/// Field and message of each violation of a policy that is called "strict".
fn found(policy: Value, rights: Value, stage: Stage<'_>, change: impl Fn(&mut Subject<'_>)) -> Vec<(Field, String)> {
    let (spec, rights) = (spec(policy), grant(rights));
    let role = Permissions::new(["queries:*"]);
    let mut subject = subject(&rights, &role);
    change(&mut subject);
    let policies = [Policy {
        name: "strict",
        spec: &spec,
    }];
    let violations = judge(&policies, &subject, stage, now()).violations;
    violations
        .into_iter()
        .map(|violation| (violation.field, violation.message))
        .collect()
}
