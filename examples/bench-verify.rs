//! How fast a request is decided, and how much memory a token takes.
//!
//! `cargo run --release --example bench-verify [-- TOKENS...]`

#![allow(clippy::unwrap_used, reason = "a failure ends the benchmark")]

use std::{hint::black_box, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use tokenwright::{
    api::{ApiToken, Organisation, TokenType},
    domain::credential::{Token, client_id},
    verifier::{
        Code, Index, Moment, Request, Requirements,
        credential::{Credential, HeaderPair, Presented, extract},
        decide,
    },
};

const ORGANISATIONS: u64 = 100;
const NAMESPACES: u64 = 1000;
const DECISIONS: u32 = 1_000_000;
/// As many tokens are asked for as there are, up to this many.
const ASKED: u64 = 200_000;

fn main() {
    let sizes: Vec<u64> = std::env::args().skip(1).map(|size| size.parse().unwrap()).collect();
    let sizes = if sizes.is_empty() {
        vec![1_000, 10_000, 100_000, 1_000_000]
    } else {
        sizes
    };
    println!("   tokens  valid ns  header+valid ns  unknown ns  bytes/token  resident/token  apply ns  delete ns");
    for size in sizes {
        measure(size);
    }
}

fn measure(size: u64) {
    let before = resident();
    let index = Index::new();
    (0..ORGANISATIONS).for_each(|number| index.apply_organisation(&organisation(number)));
    let mut applying = Duration::ZERO;
    for number in 0..size {
        let object = object(number);
        let start = cpu();
        index.apply_token(&object);
        applying += cpu() - start;
    }
    let (held, resident) = (index.size().bytes as u64, resident().saturating_sub(before));

    let step = (size / ASKED).max(1);
    let known: Vec<String> = (0..size).step_by(step as usize).map(plain).collect();
    let unknown: Vec<String> = (0..known.len() as u64).map(|number| plain(u64::MAX - number)).collect();
    let requires = Requirements {
        organisation: None,
        permissions: vec!["queries:run".to_owned()],
        projects: Vec::new(),
    };
    let ask = |presented: &Presented<'_>, expected: Code| {
        let moment = Moment {
            now: "2026-06-01T12:00:00Z".parse().unwrap(),
            age: Some(Duration::ZERO),
            max_age: Duration::from_secs(600),
        };
        let request = Request {
            presented,
            address: Some([203, 0, 113, 9].into()),
            requires: &requires,
        };
        let decision = decide(&index, &request, &moment);
        assert_eq!(decision.code, expected);
        black_box(decision);
    };
    let direct = |secret: &str, expected| ask(&Presented::Credential(Credential::token(secret)), expected);
    let valid = per_decision(&known, |secret| direct(secret, Code::Valid));
    let refused = per_decision(&unknown, |secret| direct(secret, Code::Unknown));
    let headers: Vec<String> = known.iter().map(|secret| format!("Bearer {secret}")).collect();
    let pair = HeaderPair::default();
    let with_headers = per_decision(&headers, |header| {
        let headers = [
            ("host", "api.example.com".as_bytes()),
            ("user-agent", b"curl/8.5.0"),
            ("accept", b"*/*"),
            ("authorization", header.as_bytes()),
        ];
        ask(&extract(headers, &pair), Code::Valid);
    });

    let gone = size.min(10_000);
    let start = cpu();
    (0..gone).for_each(|number| index.delete_token(&namespace(number), &name(number)));
    let deleting = (cpu() - start).as_nanos() / u128::from(gone);
    assert_eq!(index.size().tokens as u64, size - gone);
    println!(
        "{size:>9} {valid:>9} {with_headers:>16} {refused:>11} {:>12.1} {:>15.1} {:>9} {deleting:>10}",
        held as f64 / size as f64,
        resident as f64 / size as f64,
        applying.as_nanos() / u128::from(size),
    );
}

/// Nanoseconds of this thread's CPU for each of many decisions in random order.
fn per_decision(secrets: &[String], decide: impl Fn(&str)) -> u128 {
    let mut entropy = StdRng::seed_from_u64(1);
    let order: Vec<u32> = (0..DECISIONS)
        .map(|_| entropy.random_range(0..secrets.len() as u32))
        .collect();
    let start = cpu();
    for &at in &order {
        decide(&secrets[at as usize]);
    }
    (cpu() - start).as_nanos() / u128::from(DECISIONS)
}

fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn plain(number: u64) -> String {
    let mut entropy = StdRng::seed_from_u64(number);
    Token::generate("acme", TokenType::Organisation, &mut entropy)
        .expose()
        .to_owned()
}

fn namespace(number: u64) -> String {
    format!("team-{}", number % NAMESPACES)
}

fn name(number: u64) -> String {
    format!("deployment-{number:07}")
}

fn object(number: u64) -> ApiToken {
    let digest = Token::parse(&plain(number)).unwrap().digest().to_string();
    serde_json::from_value(json!({
        "apiVersion": "tokenwright.dev/v1alpha1", "kind": "ApiToken",
        "metadata": { "namespace": namespace(number), "name": name(number), "uid": format!("0f8fad5b-d9cb-469f-a165-{number:012x}") },
        "spec": { "organisation": format!("org-{}", number % ORGANISATIONS), "role": "Developer" },
        "status": {
            "clientId": client_id("acme", &mut StdRng::seed_from_u64(number)),
            "credentials": [{
                "id": 1, "digest": digest, "state": "Active", "issuedAt": "2026-01-01T00:00:00Z", "expiresAt": "2027-01-01T00:00:00Z",
            }],
            "grant": { "role": "Developer", "permissions": ["queries:block"], "ipFilters": ["office"] },
        },
    }))
    .unwrap()
}

fn organisation(number: u64) -> Organisation {
    serde_json::from_value(json!({
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
    .unwrap()
}
