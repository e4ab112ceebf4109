//! The verifier: whether a request's token is good, asked by gateways and programs.
//!
//! Its heart is here, without sockets, clients and clocks: [`Index`], [`credential::extract`] and [`decide`].
//!
//! # How a dialect uses it
//!
//! ```
//! use std::time::Duration;
//! use tokenwright::{
//!     domain::client_address::{self, TrustedProxies},
//!     verifier::{Code, Index, Moment, Request, Requirements, credential::{HeaderPair, extract}, decide},
//! };
//!
//! // From the gateway's configuration.
//! let requires = Requirements { organisation: Some("acme".into()), ..Requirements::default() };
//! let trusted: TrustedProxies = "10.0.0.0/8".parse()?;
//!
//! // Of each request.
//! let index = Index::new();
//! let own = requires.organisation.as_deref().and_then(|organisation| index.headers(organisation));
//! let headers = [("authorization", b"Bearer not-a-token".as_slice())];
//! let presented = extract(headers, &own.unwrap_or_default());
//! let address = client_address::resolve("10.0.0.1".parse()?, ["203.0.113.9"], &trusted);
//! let request = Request { presented: &presented, address, requires: &requires };
//! let moment = Moment { now: "2026-01-01T00:00:00Z".parse()?, age: Some(Duration::ZERO), max_age: Duration::from_secs(600) };
//!
//! let decision = decide(&index, &request, &moment);
//! assert_eq!(decision.code, Code::Malformed);
//! assert!(decision.identity().is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An answer is made from [`Decision::identity`], which only a valid credential has; [`Decision::subject`] is for logs and
//! the detection of reuse. Codes that are not [`Code::is_forbidden`] must look alike from outside.
//!
//! # How the feed uses it
//!
//! [`Index::begin`], `apply_*` for each object listed, [`Index::complete`]; then `apply_*` and `delete_*` as events come.
//! An object that cannot be read is deleted by its name.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::future;
use kube::Client;
use tokio::net::TcpListener;

pub mod credential;
mod decision;
pub mod dialect;
mod feed;
mod freshness;
mod identity;
mod index;
mod judge;
mod last_used;
mod metrics;
mod second_look;
pub mod server;

#[cfg(test)]
mod tests;

pub use decision::{Code, Decision, Moment, Request, Requirements, decide};
pub use freshness::Freshness;
pub use identity::{Identity, Scope};
pub use index::{Index, List, Size};
pub use judge::{Dialect, Judge};
pub use last_used::Sightings;
pub use metrics::Metrics;
pub use second_look::SecondLook;
pub use server::Tls;

use self::feed::Feed;
use crate::{clock::Clock, domain::client_address::TrustedProxies};

/// How the verifier is to behave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The namespaces whose ApiTokens it knows. Empty: all.
    pub namespaces: Vec<String>,
    /// How old its view of the cluster may be before it refuses everything.
    pub max_staleness: Duration,
    /// How often at most the last use of a token is written.
    pub last_used_interval: Duration,
    /// Whose word on a client's address is taken.
    pub trusted_proxies: TrustedProxies,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            namespaces: Vec::new(),
            max_staleness: Duration::from_secs(600),
            last_used_interval: Duration::from_secs(600),
            trusted_proxies: TrustedProxies::default(),
        }
    }
}

/// A quiet watch is taken up anew after this long, which is how a lost connection is noticed.
const LONGEST_QUIET: Duration = Duration::from_secs(30);

/// Where it is asked.
#[derive(Debug, Default)]
pub struct Listeners {
    /// By HTTP/1.1.
    pub http: Option<TcpListener>,
    /// By gRPC.
    pub grpc: Option<TcpListener>,
    /// The certificate of both. None: no TLS.
    pub tls: Option<Arc<Tls>>,
}

/// The verifier, ready to run.
pub struct Verifier {
    client: Client,
    settings: Settings,
    judge: Arc<Judge>,
}

impl Verifier {
    /// A verifier that learns of tokens through `client`.
    pub fn new(client: Client, settings: Settings, clock: Clock) -> Self {
        let freshness = Freshness::new(feed::watches(&settings.namespaces));
        let judge = Judge {
            clock,
            max_staleness: settings.max_staleness,
            trusted_proxies: settings.trusted_proxies.clone(),
            ..Judge::new(Arc::default(), Arc::new(freshness))
        };
        Self {
            client,
            settings,
            judge: Arc::new(judge),
        }
    }

    /// What answers, also for programs that have it in their own process.
    pub fn judge(&self) -> Arc<Judge> {
        self.judge.clone()
    }

    /// Runs until `shutdown` resolves; then answers what is under way and returns.
    pub async fn run(self, listeners: Listeners, shutdown: impl Future<Output = ()> + Send) {
        let judge = self.judge;
        let feed = Feed {
            client: self.client,
            namespaces: self.settings.namespaces,
            index: judge.index.clone(),
            freshness: judge.freshness.clone(),
            metrics: judge.metrics.clone(),
            second_look: judge.second_look.clone(),
            period: LONGEST_QUIET.min(self.settings.max_staleness / 4),
        };
        drop(listeners);
        // What is under way when it is asked to end still needs the view.
        future::select(pin!(feed.run()), pin!(shutdown)).await;
    }
}
