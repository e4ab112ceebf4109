//! What the verifier counts, for Prometheus.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{Code, Dialect, Size, server::Protocol};

/// Every metric of the verifier. Names start with `tokenwright_verifier_`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// One for each dialect and code, in the order of their lists: an array, as each request counts.
    decisions: Vec<Counter>,
    watch_errors: Family<Resource, Counter>,
    routes_refused: Family<Asked, Counter>,
    connections: Family<Listener, Gauge>,
    connections_refused: Family<Listener, Counter>,
    /// Requests that were refused because too many others were not complete.
    pub requests_refused: Counter,
    certificate_reads: Family<Outcome, Counter>,
    known: Family<Resource, Gauge>,
    unreadable_policies: Gauge,
    index_bytes: Gauge,
    view_age: Gauge<f64, AtomicU64>,
    /// Requests with a credential that has been replaced.
    pub reuse_detections: Counter,
    /// Sightings that were not kept because too many waited.
    pub sightings_dropped: Counter,
    /// Events that were not published because too many waited.
    pub events_dropped: Counter,
    sightings: Family<Taken, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Taken {
    field: &'static str,
    result: &'static str,
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
struct Asked {
    dialect: &'static str,
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
        let routes_refused = Family::<Asked, Counter>::default();
        registry.register(
            "routes_refused",
            "Requests refused as the gateway asked at a URL that makes no sense, by dialect",
            routes_refused.clone(),
        );
        let connections = Family::<Listener, Gauge>::default();
        registry.register(
            "connections",
            "Connections that are open, by protocol",
            connections.clone(),
        );
        let connections_refused = Family::<Listener, Counter>::default();
        registry.register(
            "connections_refused",
            "Connections closed because there were too many, by protocol",
            connections_refused.clone(),
        );
        let requests_refused = Counter::default();
        registry.register(
            "requests_refused",
            "Requests refused while incomplete, as too many others were, too",
            requests_refused.clone(),
        );
        let certificate_reads = Family::<Outcome, Counter>::default();
        registry.register(
            "certificate_reads",
            "Times that a changed TLS certificate was read, by result",
            certificate_reads.clone(),
        );
        let known = Family::default();
        registry.register("known_objects", "Objects in the index, by resource", known.clone());
        let unreadable_policies = Gauge::default();
        registry.register(
            "unreadable_policies",
            "TokenPolicies that cannot be read, which refuse every token that they may be for",
            unreadable_policies.clone(),
        );
        let index_bytes = Gauge::default();
        registry.register("index_bytes", "Bytes of the index", index_bytes.clone());
        let view_age = Gauge::default();
        registry.register(
            "view_age_seconds",
            "How long ago the API server was heard from; +Inf: not yet",
            view_age.clone(),
        );
        let mut metrics = Self {
            known,
            unreadable_policies,
            index_bytes,
            view_age,
            registry,
            decisions,
            watch_errors,
            routes_refused,
            connections,
            connections_refused,
            requests_refused,
            certificate_reads,
            reuse_detections: Counter::default(),
            sightings_dropped: Counter::default(),
            events_dropped: Counter::default(),
            sightings: Family::default(),
        };
        metrics.register_sightings();
        metrics.begin_at_zero();
        metrics
    }
}

impl Metrics {
    fn register_sightings(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "reuse_detections",
            "Requests with a credential that has been replaced",
            self.reuse_detections.clone(),
        );
        registry.register(
            "sightings",
            "Sightings taken to the status of a token, by field and what came of it",
            self.sightings.clone(),
        );
        registry.register(
            "sightings_dropped",
            "Sightings dropped because too many were waiting",
            self.sightings_dropped.clone(),
        );
        registry.register(
            "events_dropped",
            "Events dropped because too many were waiting",
            self.events_dropped.clone(),
        );
    }

    /// Prometheus does not see the first increase of what is not there before.
    fn begin_at_zero(&self) {
        for resource in ["apitokens", "organisations", "tokenpolicies", "namespaces"] {
            self.watch_errors.get_or_create(&Resource { resource }).inc_by(0);
        }
        for dialect in Dialect::ALL {
            let dialect = dialect.as_str();
            self.routes_refused.get_or_create(&Asked { dialect }).inc_by(0);
        }
        for protocol in Protocol::ALL {
            let protocol = protocol.as_str();
            self.connections_refused.get_or_create(&Listener { protocol }).inc_by(0);
            self.connections.get_or_create(&Listener { protocol }).set(0);
        }
        for result in ["ok", "invalid"] {
            self.certificate_reads.get_or_create(&Outcome { result }).inc_by(0);
        }
        for field in ["lastUsed", "lastReuse"] {
            let result = "written";
            self.sightings.get_or_create(&Taken { field, result }).inc_by(0);
        }
    }

    /// Everything in the text format that Prometheus reads.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    pub(super) fn taken(&self, field: &'static str, result: &'static str) {
        self.sightings.get_or_create(&Taken { field, result }).inc();
    }

    /// Takes in what is measured when it is asked for.
    pub(super) fn measured(&self, size: Size, age: Option<Duration>) {
        for (resource, count) in [
            ("apitokens", size.tokens),
            ("credentials", size.credentials),
            ("organisations", size.organisations),
            ("namespaces", size.namespaces),
            ("tokenpolicies", size.policies),
        ] {
            let known = self.known.get_or_create(&Resource { resource });
            known.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let unreadable = i64::try_from(size.unreadable_policies).unwrap_or(i64::MAX);
        self.unreadable_policies.set(unreadable);
        self.index_bytes.set(i64::try_from(size.bytes).unwrap_or(i64::MAX));
        self.view_age.set(age.map_or(f64::INFINITY, |age| age.as_secs_f64()));
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

    pub(super) fn route_refused(&self, dialect: Dialect) {
        let dialect = dialect.as_str();
        self.routes_refused.get_or_create(&Asked { dialect }).inc();
    }

    pub(super) fn connection_refused(&self, protocol: Protocol) {
        let protocol = protocol.as_str();
        self.connections_refused.get_or_create(&Listener { protocol }).inc();
    }

    pub(super) fn connections_open(&self, protocol: Protocol, count: usize) {
        let protocol = protocol.as_str();
        let open = self.connections.get_or_create(&Listener { protocol });
        open.set(i64::try_from(count).unwrap_or(i64::MAX));
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
