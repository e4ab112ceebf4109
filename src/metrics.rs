//! What the processes count, for Prometheus.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::{
    api::{PolicyCounts, condition::Reason},
    controller::Error,
    domain::outlook::Outlook,
};

/// What the controller watches.
const WATCHED: [&str; 9] = [
    "apitokens",
    "organisations",
    "tokenpolicies",
    "namespaces",
    "secrets",
    "roles",
    "rolebindings",
    "clusterroles",
    "clusterrolebindings",
];

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
    policy_tokens: Family<Hit, Gauge>,
    /// TokenPolicies that cannot be read.
    pub policies_unreadable: Gauge,
    leader: Gauge,
    ready: AtomicBool,
    standing_by: AtomicBool,
    tokens: Family<ReadyReason, Gauge>,
    expiring: Gauge,
    overdue: Gauge,
    violating: Gauge,
    view: Mutex<Option<View>>,
}

/// How the tokens are looked at.
struct View(Box<dyn Fn() -> Outlook + Send>);

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("View")
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReadyReason {
    reason: String,
}

impl ReadyReason {
    /// Shown also where there are none.
    fn issued() -> Self {
        Self {
            reason: Reason::Issued.as_str().to_owned(),
        }
    }
}

/// How a policy concerns tokens.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Hit {
    policy: String,
    state: &'static str,
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
            policy_tokens: Family::default(),
            policies_unreadable: Gauge::default(),
            leader: Gauge::default(),
            ready: AtomicBool::default(),
            standing_by: AtomicBool::default(),
            tokens: Family::default(),
            expiring: Gauge::default(),
            overdue: Gauge::default(),
            violating: Gauge::default(),
            view: Mutex::default(),
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
            "Events dropped because too many were waiting",
            metrics.events_dropped.clone(),
        );
        registry.register(
            "policy_tokens",
            "Tokens that a policy is for, and those of them that violate it",
            metrics.policy_tokens.clone(),
        );
        registry.register(
            "policies_unreadable",
            "Policies that cannot be read, so that nothing is issued",
            metrics.policies_unreadable.clone(),
        );
        registry.register(
            "leader",
            "Whether this controller does the work, or stands by",
            metrics.leader.clone(),
        );
        metrics.register_outlook();
        metrics.begin_at_zero();
        metrics
    }
}

impl Metrics {
    fn register_outlook(&mut self) {
        let registry = &mut self.registry;
        registry.register("tokens", "ApiTokens, by the reason of Ready", self.tokens.clone());
        registry.register(
            "tokens_expiring",
            "ApiTokens that work, end within a day and are not replaced before",
            self.expiring.clone(),
        );
        registry.register(
            "rotations_overdue",
            "ApiTokens whose credential should have been replaced five minutes ago, also when it has ended since; not those that are suspended or that a policy refuses",
            self.overdue.clone(),
        );
        registry.register(
            "tokens_violating",
            "ApiTokens of which an enforced policy refuses what they have or what they ask for",
            self.violating.clone(),
        );
    }

    /// Prometheus does not see the first increase of what is not there before.
    fn begin_at_zero(&self) {
        for kind in ["ApiToken", "Organisation", "TokenPolicy"] {
            self.reconciles.get_or_create(&Outcome { kind, result: "ok" }).inc_by(0);
            drop(self.durations.get_or_create(&Kind { kind }));
        }
        for resource in WATCHED {
            self.watch_errors.get_or_create(&Resource { resource }).inc_by(0);
        }
        self.tokens.get_or_create(&ReadyReason::issued()).set(0);
    }

    /// Everything in the text format that Prometheus reads. The tokens are looked at for it, which takes its time where
    /// there are very many.
    pub fn encode(&self) -> String {
        self.look();
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Has the tokens looked at so, whenever the metrics are asked for.
    pub(crate) fn watch_tokens(&self, view: impl Fn() -> Outlook + Send + 'static) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = Some(View(Box::new(view)));
    }

    fn look(&self) {
        // Before the first list there is nothing to see, which is not the same as that there is nothing.
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(View(view)) = view.as_ref().filter(|_| self.is_ready()) else {
            return;
        };
        let Outlook {
            by_reason,
            expiring,
            overdue,
            violating,
        } = view();
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.tokens.clear();
        self.tokens.get_or_create(&ReadyReason::issued()).set(0);
        for (reason, count) in by_reason {
            self.tokens.get_or_create(&ReadyReason { reason }).set(number(count));
        }
        self.expiring.set(number(expiring));
        self.overdue.set(number(overdue));
        self.violating.set(number(violating));
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

    /// What a policy hits.
    pub fn policy_surveyed(&self, policy: &str, tokens: PolicyCounts) {
        for (state, count) in [("matched", tokens.matched), ("violating", tokens.violating)] {
            let policy = policy.to_owned();
            let hit = Hit { policy, state };
            self.policy_tokens.get_or_create(&hit).set(i64::from(count));
        }
    }

    pub(crate) fn policy_gone(&self, policy: &str) {
        for state in ["matched", "violating"] {
            let policy = policy.to_owned();
            self.policy_tokens.remove(&Hit { policy, state });
        }
    }

    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// Whether another controller leads, and this one waits.
    pub fn is_standing_by(&self) -> bool {
        self.standing_by.load(Ordering::Relaxed)
    }

    pub(crate) fn stands_by(&self) {
        self.standing_by.store(true, Ordering::Relaxed);
    }

    pub(crate) fn leads(&self, leads: bool) {
        self.standing_by.store(false, Ordering::Relaxed);
        self.leader.set(i64::from(leads));
    }

    pub(crate) fn watch_failed(&self, resource: &'static str) {
        self.watch_errors.get_or_create(&Resource { resource }).inc();
    }
}
