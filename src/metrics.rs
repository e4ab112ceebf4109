//! What the processes count, for Prometheus.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use crate::controller::Error;

/// Every metric of the controller. Names start with `tokenwright_`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: Family<Outcome, Counter>,
    durations: Family<Kind, Histogram, fn() -> Histogram>,
    watch_errors: Family<Resource, Counter>,
    /// Credentials made.
    pub minted: Counter,
    /// Events that were not published because too many waited.
    pub events_dropped: Counter,
    ready: AtomicBool,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Resource {
    resource: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("tokenwright"),
            reconciles: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0])),
            watch_errors: Family::default(),
            minted: Counter::default(),
            events_dropped: Counter::default(),
            ready: AtomicBool::default(),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "reconciles",
            "Reconciles, by kind and result",
            metrics.reconciles.clone(),
        );
        registry.register(
            "reconcile_duration_seconds",
            "How long reconciles took, by kind",
            metrics.durations.clone(),
        );
        registry.register(
            "watch_errors",
            "Failures of watches, by resource",
            metrics.watch_errors.clone(),
        );
        registry.register("credentials_minted", "Credentials made", metrics.minted.clone());
        registry.register(
            "events_dropped",
            "Events not published, as too many waited",
            metrics.events_dropped.clone(),
        );
        metrics
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

    /// Whether every watch has delivered its first list.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    pub(crate) fn reconciled(&self, kind: &'static str, error: Option<&Error>, took: Duration) {
        let result = error.map_or("ok", Error::category);
        self.reconciles.get_or_create(&Outcome { kind, result }).inc();
        self.durations.get_or_create(&Kind { kind }).observe(took.as_secs_f64());
    }

    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    pub(crate) fn watch_failed(&self, resource: &'static str) {
        self.watch_errors.get_or_create(&Resource { resource }).inc();
    }
}
