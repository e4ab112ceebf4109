//! Decisions in this process: their time, and the memory behind them.

use std::{hint::black_box, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use tokenwright::verifier::{
    Code, Index, Moment, Request, Requirements,
    credential::{Credential, HeaderPair, Presented, extract},
    decide,
};

use crate::tokens;

const DECISIONS: usize = 1_000_000;
/// So many that looking at the clock does not count.
const BATCH: usize = 100;

/// What decisions cost with so many tokens, in nanoseconds of CPU, and what the tokens take, in bytes.
#[derive(Debug, Serialize)]
pub(crate) struct Decisions {
    pub(crate) tokens: u64,
    /// A good token.
    pub(crate) valid_ns: u64,
    /// The same, read from a request's headers.
    pub(crate) from_headers_ns: u64,
    /// A token that nobody has.
    pub(crate) unknown_ns: u64,
    /// What the index has taken from the allocator for each token.
    pub(crate) index_bytes_per_token: f64,
    /// How much the process grew for each token.
    pub(crate) resident_bytes_per_token: f64,
    /// Entering one token, and taking one out.
    pub(crate) apply_ns: u64,
    pub(crate) delete_ns: u64,
}

/// Asks an index of so many tokens. It is returned as it was filled, for what else is to be measured.
pub(crate) fn measure(size: u64) -> (Decisions, Index) {
    let before = resident();
    let index = Index::new();
    let apply_ns = fill(&index, size);
    let (held, resident) = (index.size().bytes, resident().saturating_sub(before));

    let known = tokens::known(size);
    let unknown = tokens::unknown(known.len());
    let requires = requirements();
    let direct = |secret: &str| ask(&index, &Presented::Credential(Credential::token(secret)), &requires);
    let valid_ns = per_decision(&known, |secret| assert_eq!(direct(secret), Code::Valid));
    let unknown_ns = per_decision(&unknown, |secret| assert_eq!(direct(secret), Code::Unknown));
    let headers: Vec<String> = known.iter().map(|secret| format!("Bearer {secret}")).collect();
    let pair = HeaderPair::default();
    let from_headers_ns = per_decision(&headers, |header| {
        let headers = [
            ("host", "api.example.com".as_bytes()),
            ("user-agent", b"curl/8.5.0"),
            ("accept", b"*/*"),
            ("authorization", header.as_bytes()),
        ];
        assert_eq!(ask(&index, &extract(headers, &pair), &requires), Code::Valid);
    });
    let decisions = Decisions {
        tokens: size,
        valid_ns,
        from_headers_ns,
        unknown_ns,
        index_bytes_per_token: held as f64 / size as f64,
        resident_bytes_per_token: resident as f64 / size as f64,
        apply_ns,
        delete_ns: delete_and_enter_again(&index, size.min(10_000)),
    };
    (decisions, index)
}

/// Enters so many tokens. Returns the nanoseconds that each took.
pub(crate) fn fill(index: &Index, size: u64) -> u64 {
    tokens::enter_organisations(index);
    let mut applying = Duration::ZERO;
    for number in 0..size {
        let object = tokens::object(number);
        let start = cpu();
        index.apply_token(&object);
        applying += cpu() - start;
    }
    applying.as_nanos() as u64 / size
}

fn delete_and_enter_again(index: &Index, count: u64) -> u64 {
    let start = cpu();
    (0..count).for_each(|number| index.delete_token(&tokens::namespace(number), &tokens::name(number)));
    let deleting = (cpu() - start).as_nanos() as u64 / count;
    (0..count).for_each(|number| index.apply_token(&tokens::object(number)));
    deleting
}

pub(crate) fn requirements() -> Requirements {
    Requirements {
        permissions: vec![tokens::PERMISSION.to_owned()],
        ..Requirements::default()
    }
}

pub(crate) fn ask(index: &Index, presented: &Presented<'_>, requires: &Requirements) -> Code {
    let moment = Moment {
        now: jiff::Timestamp::constant(1_780_000_000, 0),
        age: Some(Duration::ZERO),
        max_age: Duration::from_secs(600),
        sightings: None,
    };
    let request = Request {
        presented,
        address: Some(tokens::ADDRESS.into()),
        requires,
    };
    black_box(decide(index, &request, &moment)).code
}

/// Nanoseconds of this thread's CPU for each of many decisions in random order. Each secret is near the CPU already, as
/// one is that a request has just brought: what is to be fetched is the token.
fn per_decision(secrets: &[String], decide: impl Fn(&str)) -> u64 {
    let mut entropy = StdRng::seed_from_u64(1);
    let mut spent = Duration::ZERO;
    let mut requests = vec![String::new(); BATCH];
    for _ in 0..DECISIONS / BATCH {
        for request in &mut requests {
            request.clear();
            request.push_str(&secrets[entropy.random_range(0..secrets.len())]);
        }
        let start = cpu();
        requests.iter().for_each(|request| decide(request));
        spent += cpu() - start;
    }
    spent.as_nanos() as u64 / (DECISIONS / BATCH * BATCH) as u64
}

/// What this thread has used of the CPU.
pub(crate) fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

/// Bytes of this process in memory.
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
