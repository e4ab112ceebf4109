//! What was measured, and whether the promises were kept.

use std::fmt;

use serde::Serialize;

use crate::{load::Filled, process::Figures};

/// The figures of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    tokens: u32,
    cluster: String,
    issue: Issue,
    restart: Restart,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<Peer>,
    /// The promises that were not kept, each in a sentence.
    pub(crate) broken: Vec<String>,
}

/// Issuing the tokens.
#[derive(Debug, Serialize)]
struct Issue {
    #[serde(flatten)]
    filled: Filled,
    controller: Figures,
}

/// Starting the controller with the tokens in place.
#[derive(Debug, Serialize)]
pub(crate) struct Restart {
    /// How many seconds after the start of its process the last token was reconciled.
    #[serde(rename = "reconciled_after_seconds")]
    pub(crate) reconciled_after: f64,
    #[serde(rename = "controller")]
    pub(crate) figures: Figures,
}

/// The service-account token controller.
#[derive(Debug, Serialize)]
struct Peer {
    #[serde(flatten)]
    filled: Filled,
    /// How many tokens are issued in the time in which it fills one Secret.
    ratio: f64,
}

impl Report {
    pub(crate) fn new(
        tokens: u32,
        cluster: &str,
        filled: Filled,
        controller: Figures,
        restart: Restart,
        peer: Option<Filled>,
    ) -> Self {
        let peer = peer.map(|peer| Peer {
            ratio: filled.per_second / peer.per_second,
            filled: peer,
        });
        let broken = broken(u64::from(tokens), &controller, &restart.figures);
        Self {
            tokens,
            cluster: cluster.to_owned(),
            issue: Issue { filled, controller },
            restart,
            peer,
            broken,
        }
    }
}

/// How much memory the controller may take for this many tokens, in KiB, as operators size its Pod by it.
const MEMORY: (u64, u64) = (10_000, 50 * 1024);

fn is_write(kind: &str) -> bool {
    !["get ", "list ", "watch "].iter().any(|verb| kind.starts_with(verb))
}

/// What is not about one token: a courtesy, and the organisation's counts.
fn is_beside(kind: &str) -> bool {
    matches!(kind, "create events" | "update organisations/status")
}

fn broken(tokens: u64, issue: &Figures, restart: &Figures) -> Vec<String> {
    let mut broken = Vec::new();
    let made = |kind: &str| issue.requests.by_kind.get(kind).copied().unwrap_or_default();
    for (kind, promised) in [
        ("update apitokens/status", 2 * tokens),
        ("create secrets", tokens),
        ("get secrets", 0),
        ("list secrets", 0),
    ] {
        if made(kind) != promised {
            broken.push(format!("issuing: {} times {kind} and not {promised}", made(kind)));
        }
    }
    for (kind, count) in &issue.requests.by_kind {
        let promised = matches!(kind.as_str(), "update apitokens/status" | "create secrets");
        if is_write(kind) && !is_beside(kind) && !promised {
            broken.push(format!("issuing: {count} times {kind} and not 0"));
        }
    }
    for (kind, count) in restart.requests.by_kind.iter().filter(|(kind, _)| is_write(kind)) {
        broken.push(format!("restart: {count} times {kind} and not 0"));
    }
    if restart.reconciles < tokens {
        broken.push(format!("restart: {} of {tokens} tokens reconciled", restart.reconciles));
    }
    for (when, figures) in [("issuing", issue), ("restart", restart)] {
        // A debug build is several times as large.
        let peak = figures
            .peak_memory_kib
            .filter(|&peak| !cfg!(debug_assertions) && tokens <= MEMORY.0 && peak >= MEMORY.1);
        if let Some(peak) = peak {
            broken.push(format!("{when}: {peak} KiB of memory and not less than {}", MEMORY.1));
        }
    }
    broken
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            issue: Issue { filled, controller },
            restart,
            ..
        } = self;
        writeln!(f, "{} tokens on {}", self.tokens, self.cluster)?;
        writeln!(f, "\nIssuing them")?;
        line(f, "ready tokens", &format!("{:.0} a second", filled.per_second))?;
        line(f, "creation to Ready", &latencies(filled))?;
        self.resources(f, controller)?;

        writeln!(f, "\nStarting the controller with them in place")?;
        let after = format!("after {:.2} s", restart.reconciled_after);
        line(f, "all reconciled", &after)?;
        self.resources(f, &restart.figures)?;

        if let Some(Peer { filled, ratio }) = &self.peer {
            writeln!(f, "\nKubernetes' service-account token controller")?;
            line(f, "filled Secrets", &format!("{:.0} a second", filled.per_second))?;
            line(f, "creation to token", &latencies(filled))?;
            line(f, "ratio", &format!("tokens are issued {ratio:.2} times as fast"))?;
        }

        if self.broken.is_empty() {
            return writeln!(
                f,
                "\nThree writes for each token, none after a restart, less than 50 MiB for up to 10,000: kept."
            );
        }
        writeln!(f, "\nBroken promises")?;
        self.broken.iter().try_for_each(|broken| writeln!(f, "  {broken}"))
    }
}

impl Report {
    fn resources(&self, f: &mut fmt::Formatter<'_>, controller: &Figures) -> fmt::Result {
        let tokens = f64::from(self.tokens);
        let requests = &controller.requests;
        for (kind, count) in &requests.by_kind {
            line(f, kind, &format!("{count}, {:.3} a token", *count as f64 / tokens))?;
        }
        for (status, count) in &requests.refused {
            line(f, &format!("answered with {status}"), &count.to_string())?;
        }
        if controller.events_dropped > 0 {
            line(f, "Events dropped", &controller.events_dropped.to_string())?;
        }
        let kib = |bytes: u64| bytes as f64 / 1024.0 / tokens;
        let bytes = format!(
            "{:.1} KiB sent, {:.1} KiB received a token",
            kib(requests.sent_bytes),
            kib(requests.received_bytes)
        );
        line(f, "bodies", &bytes)?;
        let cpu = controller.cpu_seconds;
        line(
            f,
            "CPU time",
            &format!("{cpu:.2} s, {:.2} ms a token", cpu * 1000.0 / tokens),
        )?;
        if let Some(kib) = controller.peak_memory_kib {
            line(f, "peak memory", &format!("{:.1} MiB", kib as f64 / 1024.0))?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "  {name:<30} {value}")
}

fn latencies(filled: &Filled) -> String {
    let Filled {
        p50_ms, p99_ms, max_ms, ..
    } = filled;
    format!("p50 {p50_ms:.0} ms, p99 {p99_ms:.0} ms, longest {max_ms:.0} ms")
}
