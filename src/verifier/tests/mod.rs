mod decision;
mod extract;
mod grpc;
mod index;
mod model;
mod over_http;
mod policy;

use std::{net::IpAddr, sync::Arc, time::Duration};

use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use super::{
    credential::{Credential, Presented},
    *,
};
use crate::{
    api::{ApiToken, Organisation, TokenPolicy, TokenType},
    clock::Clock,
    domain::credential::Token,
};

const NOW: &str = "2026-06-01T12:00:00Z";
const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

/// The token with that number.
fn plain(number: u64) -> String {
    Token::generate("acme", TokenType::Organisation, &mut StdRng::seed_from_u64(number))
        .expose()
        .to_owned()
}

fn credential(number: u64, state: &str) -> Value {
    let digest = Token::parse(&plain(number)).unwrap().digest().to_string();
    json!({ "id": number, "digest": digest, "state": state, "issuedAt": "2026-01-01T00:00:00Z" })
}

/// ApiToken `name` in namespace `web`, of organisation `acme`, with these credentials.
fn token(name: &str, credentials: &[Value]) -> Value {
    json!({
        "apiVersion": "tokenwright.dev/v1alpha1", "kind": "ApiToken",
        "metadata": { "namespace": "web", "name": name, "uid": UID },
        "spec": { "organisation": "acme", "role": "Admin" },
        "status": {
            "clientId": "acme-01234567890123456789", "credentials": credentials,
            "grant": { "role": "Reader", "permissions": ["queries:block"] },
        },
    })
}

fn organisation() -> Value {
    json!({
        "apiVersion": "tokenwright.dev/v1alpha1", "kind": "Organisation",
        "metadata": { "name": "acme" },
        "spec": {
            "namespaces": { "names": ["web"] },
            "roles": [
                { "name": "Reader", "permissions": ["users:read", "logs:*"] },
                { "name": "Boss", "permissions": ["*"] },
                { "name": "Clerk", "permissions": ["logs:read", "queries:*"] },
            ],
            "members": [{ "kind": "User", "name": "ann", "role": "Clerk" }, { "kind": "Group", "name": "bob", "role": "Boss" }],
            "projects": [{ "name": "web" }, { "name": "shop" }],
            "ipFilters": [
                { "name": "office", "rules": [{ "action": "Allow", "address": "203.0.113.0/24" }] },
                { "name": "not-nine", "rules": [{ "action": "Allow", "address": "all" }, { "action": "Deny", "address": "203.0.113.9" }] },
            ],
        },
    })
}

fn policy(name: &str, spec: Value) -> TokenPolicy {
    parse(&json!({
        "apiVersion": "tokenwright.dev/v1alpha1", "kind": "TokenPolicy", "metadata": { "name": name }, "spec": spec,
    }))
}

fn parse<T: serde::de::DeserializeOwned>(object: &Value) -> T {
    serde_json::from_value(object.clone()).unwrap()
}

fn index_of(tokens: &[Value]) -> Index {
    let index = Index::new();
    index.apply_organisation(&parse::<Organisation>(&organisation()));
    for token in tokens {
        index.apply_token(&parse::<ApiToken>(token));
    }
    index
}

/// Of a view that is fresh, with 10.0.0.0/8 as trusted proxies.
fn judge_of(tokens: &[Value]) -> Judge {
    let freshness = Arc::new(Freshness::new(1));
    freshness.heard(0);
    let mut judge = Judge::new(Arc::new(index_of(tokens)), freshness);
    judge.clock = Clock::new(|| NOW.parse().unwrap());
    judge.trusted_proxies = "10.0.0.0/8".parse().unwrap();
    judge
}

fn fresh() -> Moment<'static> {
    Moment {
        now: NOW.parse().unwrap(),
        age: Some(Duration::ZERO),
        max_age: Duration::from_secs(600),
        sightings: None,
    }
}

/// What is decided about the token with that number, presented by itself for nothing in particular.
fn ask(index: &Index, number: u64) -> Decision {
    ask_for(index, number, None, &Requirements::default())
}

fn ask_for(index: &Index, number: u64, address: Option<IpAddr>, requires: &Requirements) -> Decision {
    let secret = plain(number);
    let presented = Presented::Credential(Credential::token(&secret));
    let request = Request {
        presented: &presented,
        address,
        requires,
    };
    decide(index, &request, &fresh())
}
