//! What was measured, and what of it falls short of the goals.

use std::fmt;

use serde::Serialize;

use crate::{
    contention::Contention,
    decide::Decisions,
    load::{Answered, Concurrency},
};

const DECISION_NS: u64 = 1_000;
const BYTES_PER_TOKEN: f64 = 150.0;
const PROCESS_BYTES: u64 = 200 << 20;
const PER_CPU_SECOND: u64 = 80_000;

/// The figures of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) decisions: Vec<Decisions>,
    pub(crate) contention: Vec<Contention>,
    pub(crate) served: Served,
    /// What falls short of its goal, each in a sentence.
    pub(crate) missed: Vec<String>,
}

/// A verifier that is asked over connections.
#[derive(Debug, Serialize)]
pub(crate) struct Served {
    pub(crate) tokens: u64,
    pub(crate) concurrency: Concurrency,
    pub(crate) http: Answered,
    pub(crate) grpc: Answered,
    /// NGINX answering 204. None: there is none here.
    pub(crate) nginx: Option<Answered>,
    /// The verifier's process before it was asked, and after.
    pub(crate) resident_bytes: [u64; 2],
}

impl Report {
    pub(crate) fn new(decisions: Vec<Decisions>, contention: Vec<Contention>, served: Served) -> Self {
        let missed = missed(&decisions, &served);
        Self {
            decisions,
            contention,
            served,
            missed,
        }
    }
}

fn missed(decisions: &[Decisions], served: &Served) -> Vec<String> {
    let mut missed = Vec::new();
    let mut goal = |met: bool, sentence: String| {
        if !met {
            missed.push(sentence);
        }
    };
    for one in decisions {
        let (tokens, took, bytes) = (one.tokens, one.valid_ns, one.index_bytes_per_token);
        goal(
            took <= DECISION_NS,
            format!("a decision took {took} ns with {tokens} tokens; the goal is {DECISION_NS} ns"),
        );
        // A few tokens have the tables of many.
        let counts = tokens < 1_000_000 || bytes <= BYTES_PER_TOKEN;
        goal(
            counts,
            format!("a token takes {bytes:.0} bytes in the index; the goal is {BYTES_PER_TOKEN:.0}"),
        );
    }
    let (resident, tokens) = (served.resident_bytes[1], served.tokens);
    goal(
        tokens > 1_000_000 || resident <= PROCESS_BYTES,
        format!(
            "the process takes {} MiB; the goal is {}",
            resident >> 20,
            PROCESS_BYTES >> 20
        ),
    );
    for (name, answered) in [("HTTP", served.http), ("gRPC", served.grpc)] {
        let rate = answered.per_cpu_second;
        goal(
            rate >= PER_CPU_SECOND,
            format!("{rate} requests by {name} take a second of CPU; the goal is {PER_CPU_SECOND}"),
        );
    }
    missed
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Decisions, in nanoseconds of CPU:")?;
        writeln!(
            f,
            "   tokens   valid  header+valid  unknown  bytes/token  resident/token  apply  delete"
        )?;
        for one in &self.decisions {
            writeln!(
                f,
                "{:>9} {:>7} {:>13} {:>8} {:>12.1} {:>15.1} {:>6} {:>7}",
                one.tokens,
                one.valid_ns,
                one.from_headers_ns,
                one.unknown_ns,
                one.index_bytes_per_token,
                one.resident_bytes_per_token,
                one.apply_ns,
                one.delete_ns
            )?;
        }
        writeln!(f, "\nSeveral threads, with the last of these indexes:")?;
        writeln!(f, "threads  changes/s  decisions/s  CPU ns/decision  longest µs")?;
        for one in &self.contention {
            writeln!(
                f,
                "{:>7} {:>10} {:>12} {:>16} {:>11}",
                one.threads, one.changes_per_second, one.decisions_per_second, one.cpu_ns, one.longest_us
            )?;
        }
        self.served.fmt(f)?;
        for sentence in &self.missed {
            writeln!(f, "MISSED: {sentence}.")?;
        }
        Ok(())
    }
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, after] = self.resident_bytes.map(|bytes| bytes >> 20);
        writeln!(
            f,
            "\nA process with {} tokens, {before} MiB, after all requests {after} MiB:",
            self.tokens
        )?;
        writeln!(f, "           requests/CPU second  in the best  requests/s   requests")?;
        let mut row = |name: &str, answered: &Answered| {
            let Answered {
                requests,
                per_second,
                per_cpu_second,
                best_per_cpu_second,
            } = answered;
            writeln!(
                f,
                "{name:<10} {per_cpu_second:>19} {best_per_cpu_second:>12} {per_second:>11} {requests:>10}"
            )
        };
        row("HTTP", &self.http)?;
        row("gRPC", &self.grpc)?;
        match &self.nginx {
            Some(nginx) => row("NGINX, 204", nginx),
            None => writeln!(f, "NGINX was skipped: there is no nginx on the PATH"),
        }
    }
}
