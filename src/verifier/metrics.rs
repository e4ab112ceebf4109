//! What the verifier counts, for Prometheus.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::{Code, Dialect, server::Protocol};

/// Every metric of the verifier. Names start with `tokenwright_verifier_`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// One for each dialect and code, in the order of their lists: an array, as each request counts.
    decisions: Vec<Counter>,
    watch_errors: Family<Resource, Counter>,
    connections_refused: Family<Listener, Counter>,
    certificate_reads: Family<Outcome, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answer {
    dialect: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Resource {
    resource: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Listener {
    protocol: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("tokenwright_verifier");
        let family = Family::<Answer, Counter>::default();
        registry.register("decisions", "Decisions, by dialect and code", family.clone());
        let answers = Dialect::ALL.iter().flat_map(|dialect| {
            Code::ALL.iter().map(|code| Answer {
                dialect: dialect.as_str(),
                code: code.as_str(),
            })
        });
        let decisions = answers.map(|answer| family.get_or_create_owned(&answer)).collect();
        let watch_errors = Family::default();
        registry.register("watch_errors", "Failures of watches, by resource", watch_errors.clone());
        let connections_refused = Family::<Listener, Counter>::default();
        registry.register(
            "connections_refused",
            "Connections closed as there were too many, by protocol",
            connections_refused.clone(),
        );
        let certificate_reads = Family::<Outcome, Counter>::default();
        registry.register(
            "certificate_reads",
            "Times that a changed TLS certificate was read, by result",
            certificate_reads.clone(),
        );
        Self {
            registry,
            decisions,
            watch_errors,
            connections_refused,
            certificate_reads,
        }
    }
}

impl Metrics {
    /// Everything in the text format that Prometheus reads.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    pub(super) fn watch_failed(&self, resource: &'static str) {
        self.watch_errors.get_or_create(&Resource { resource }).inc();
    }

    pub(super) fn decided(&self, dialect: Dialect, code: Code) {
        let at = dialect as usize * Code::ALL.len() + code as usize;
        if let Some(counter) = self.decisions.get(at) {
            counter.inc();
        }
    }

    pub(super) fn connection_refused(&self, protocol: Protocol) {
        let protocol = protocol.as_str();
        self.connections_refused.get_or_create(&Listener { protocol }).inc();
    }

    pub(super) fn certificate_read(&self, good: bool) {
        let result = if good { "ok" } else { "invalid" };
        self.certificate_reads.get_or_create(&Outcome { result }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_and_code_is_counted_by_itself() {
        let metrics = Metrics::default();
        for dialect in Dialect::ALL {
            for code in Code::ALL {
                metrics.decided(dialect, code);
                let line = format!(
                    "tokenwright_verifier_decisions_total{{dialect=\"{}\",code=\"{}\"}} 1",
                    dialect.as_str(),
                    code.as_str()
                );
                assert!(metrics.encode().lines().any(|found| found == line), "{line}");
            }
        }
    }
}
