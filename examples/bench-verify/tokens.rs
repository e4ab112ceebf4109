//! The tokens that are asked for: each is known by its number alone.

use rand::{SeedableRng, rngs::StdRng};
use serde_json::json;
use tokenwright::{
    api::{ApiToken, Organisation, TokenType},
    domain::credential::{Token, client_id},
    verifier::Index,
};

const ORGANISATIONS: u64 = 100;
const NAMESPACES: u64 = 1000;
/// As many tokens are asked for as there are, up to this many.
const ASKED: u64 = 200_000;

/// The permission that requests need, and the address that they come from.
pub(crate) const PERMISSION: &str = "queries:run";
pub(crate) const ADDRESS: [u8; 4] = [203, 0, 113, 9];

pub(crate) fn enter_organisations(index: &Index) {
    (0..ORGANISATIONS).for_each(|number| index.apply_organisation(&organisation(number)));
}

/// The plain texts of tokens all over an index of so many.
pub(crate) fn known(size: u64) -> Vec<String> {
    let step = (size / ASKED).max(1);
    (0..size).step_by(step as usize).map(plain).collect()
}

/// So many more that it does not have.
pub(crate) fn unknown(count: usize) -> Vec<String> {
    (0..count as u64).map(|number| plain(u64::MAX - number)).collect()
}

pub(crate) fn plain(number: u64) -> String {
    let mut entropy = StdRng::seed_from_u64(number);
    Token::generate("acme", TokenType::Organisation, &mut entropy)
        .expose()
        .to_owned()
}

pub(crate) fn namespace(number: u64) -> String {
    format!("team-{}", number % NAMESPACES)
}

pub(crate) fn name(number: u64) -> String {
    format!("deployment-{number:07}")
}

pub(crate) fn object(number: u64) -> ApiToken {
    let digest = Token::parse(&plain(number)).map(|token| token.digest().to_string());
    let uid = format!("0f8fad5b-d9cb-469f-a165-{number:012x}");
    from_json(json!({
        "apiVersion": "tokenwright.dev/v1alpha1", "kind": "ApiToken",
        "metadata": { "namespace": namespace(number), "name": name(number), "uid": uid },
        "spec": { "organisation": format!("org-{}", number % ORGANISATIONS), "role": "Developer" },
        "status": {
            "clientId": client_id("acme", &mut StdRng::seed_from_u64(number)),
            "credentials": [{
                "id": 1, "digest": digest, "state": "Active", "issuedAt": "2026-01-01T00:00:00Z", "expiresAt": "2100-01-01T00:00:00Z",
            }],
            "grant": { "role": "Developer", "permissions": ["queries:block"], "ipFilters": ["office"] },
            // Not due to be written again, as mostly where tokens are in use.
            "lastUsed": { "at": "2099-01-01T00:00:00Z", "from": "203.0.113.9", "credential": 1 },
        },
    }))
}

fn organisation(number: u64) -> Organisation {
    from_json(json!({
        "apiVersion": "tokenwright.dev/v1alpha1", "kind": "Organisation",
        "metadata": { "name": format!("org-{number}") },
        "spec": {
            "namespaces": { "selector": {} },
            "roles": [{ "name": "Developer", "permissions": ["queries:*", "users:read"] }],
            "ipFilters": [{ "name": "office", "rules": [
                { "action": "Allow", "address": "203.0.113.0/24" },
                { "action": "Allow", "address": "2001:db8::/32" },
                { "action": "Deny", "address": "203.0.113.80" },
            ] }],
        },
    }))
}

fn from_json<T: serde::de::DeserializeOwned>(object: serde_json::Value) -> T {
    serde_json::from_value(object).expect("this is a valid object")
}
