//! The controller: watches ApiTokens and what they depend on, and makes the cluster what `domain` decides.
//!
//! ```text
//!  watches ──► feed ──► agenda ──► token::reconcile ──► dereference ─► plan (domain) ─► apply
//!                  ├──► agenda ──► organisation::reconcile (rights, counts)
//!                  └──► agenda ──► policy::reconcile (what it hits)
//! ```
//!
//! Everything the decisions rest on is in the API objects; what is kept in memory (`context::Memory`) only
//! saves requests, and a restart without it ends in the same state.

mod agenda;
mod backoff;
mod context;
mod deletion;
mod error;
mod feed;
mod gate;
mod gather;
mod invalid;
mod key;
mod organisation;
mod policy;
mod reconciler;
mod rights;
mod secrets;
mod status;
mod store;
mod token;

use std::{future::Future, sync::Arc, time::Duration};

use futures::{
    FutureExt,
    future::{self, BoxFuture, Either},
};
use jiff::Timestamp;
use kube::Client;
use rand::CryptoRng;

pub use context::Context;
pub use error::Error;

use self::reconciler::Action;
use crate::{
    clock::Clock,
    domain::outlook::outlook,
    event::{self, Origin},
    metrics::Metrics,
};

/// How the controller is to behave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The namespaces whose ApiTokens it looks after. Empty: all.
    pub namespaces: Vec<String>,
    /// How many tokens are worked on at the same time.
    pub concurrency: u16,
    /// How many retired credentials a status keeps.
    pub history: usize,
    /// Whether admission keeps the annotation that says who created a token true. Without, nobody is said to have.
    pub trust_created_by: bool,
    /// How often the wall clock is compared with the monotonic one, so that a jump does not delay what has become due.
    pub clock_check: Option<Duration>,
    /// After how long a watch is taken up anew, which is how one that hangs is noticed. None: never.
    pub watch_period: Option<Duration>,
    /// How long changes of tokens are gathered before the counts of an organisation or a policy are written.
    pub count_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            namespaces: Vec::new(),
            concurrency: 32,
            history: 3,
            trust_created_by: false,
            clock_check: Some(Duration::from_secs(15)),
            watch_period: Some(Duration::from_secs(60)),
            count_after: Duration::from_secs(1),
        }
    }
}

const EVENTS: Origin = Origin {
    controller: "tokenwright.dev/controller",
    action: "Reconcile",
};
/// For how long Events are still published at the end. They are not worth being killed for.
const LAST_EVENTS: Duration = Duration::from_secs(3);

/// The controller, ready to run.
pub struct Controller {
    client: Client,
    settings: Settings,
    clock: Clock,
    entropy: Box<dyn CryptoRng + Send>,
    metrics: Arc<Metrics>,
}

impl Controller {
    /// A controller that talks through `client`, with the system's clock and random numbers.
    pub fn new(client: Client, settings: Settings, metrics: Arc<Metrics>) -> Self {
        let entropy = Box::new(rand::rand_core::UnwrapErr(rand::rngs::SysRng));
        Self {
            client,
            settings,
            clock: Clock::system(),
            entropy,
            metrics,
        }
    }

    /// The same with another clock.
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The same with another source of random numbers.
    pub fn with_entropy(mut self, entropy: Box<dyn CryptoRng + Send>) -> Self {
        self.entropy = entropy;
        self
    }

    /// Runs until `shutdown` resolves; then finishes what is under way and returns.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let (events, publisher) = event::recorder(
            EVENTS,
            self.client.clone(),
            self.clock.clone(),
            self.metrics.events_dropped.clone(),
        );
        let scopes = match self.settings.namespaces.as_slice() {
            [] => vec![None],
            names => names.iter().cloned().map(Some).collect(),
        };
        let (wiring, stores) = feed::wire(&scopes);
        let (watched, clock) = (stores.clone(), self.clock.clone());
        self.metrics.watch_tokens(move || {
            let all = watched.all_tokens();
            outlook(all.iter().filter_map(|token| token.0.as_ref().ok()), clock.now())
        });
        let ctx = Arc::new(Context::new(
            self.client,
            self.settings.clone(),
            self.clock,
            self.entropy,
            self.metrics.clone(),
            events,
            stores,
        ));

        // Resolves at shutdown too, as the feeds are dropped then.
        let (metrics, stores) = (self.metrics, ctx.stores.clone());
        let opened = wiring.gate.opened().inspect(move |open| {
            if *open {
                metrics.set_ready();
                let tokens: usize = stores.tokens.iter().map(|store| store.len()).sum();
                let (organisations, policies) = (stores.organisations.len(), stores.policies.len());
                tracing::info!(tokens, organisations, policies, "ready");
            }
        });
        let opened = opened.shared();
        let mut reconcilers: Vec<BoxFuture<'_, ()>> = Vec::new();
        for (requests, tokens) in wiring.token_requests.into_iter().zip(ctx.stores.tokens.clone()) {
            reconcilers.push(reconciler::run(ctx.clone(), tokens, requests, opened.clone()).boxed());
        }
        let organisations = ctx.stores.organisations.clone();
        reconcilers
            .push(reconciler::run(ctx.clone(), organisations, wiring.organisation_requests, opened.clone()).boxed());
        let policies = ctx.stores.policies.clone();
        reconcilers.push(reconciler::run(ctx.clone(), policies, wiring.policy_requests, opened).boxed());

        // The feeds hold the senders of requests: when they are dropped the reconcilers end, once
        // what they are at is done. The publisher ends when the last of them drops its recorder.
        let feeds = wiring.feeds.run(ctx.clone()).boxed();
        let feeding = async move {
            future::select(feeds, Box::pin(shutdown)).await;
        };
        let working = async move {
            future::join_all(reconcilers).await;
            drop(ctx);
        };
        let publishing = publisher.run().boxed();
        let running = future::join(feeding, working).boxed();
        if let Either::Left((_, rest)) = future::select(running, publishing).await
            && tokio::time::timeout(LAST_EVENTS, rest).await.is_err()
        {
            tracing::warn!("stopped with Events that were not published");
        }
    }
}

/// What is due in centuries is beyond what a timer takes; nothing is lost by looking earlier.
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Has an object looked at again when something is due or to be tried again; without either, when something happens.
fn look_again(due: Option<Timestamp>, retry: Option<Duration>, now: Timestamp) -> Action {
    let due = due.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
    let wait = due.into_iter().chain(retry).min();
    wait.map_or_else(Action::await_change, |wait| Action::requeue(wait.min(LONGEST_WAIT)))
}
