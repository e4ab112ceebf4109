//! The verifier as it runs: what feeds its view, and what asks it.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::{FutureExt, future};
use kube::Client;
use tokio::{net::TcpListener, sync::oneshot};

use super::{
    Freshness, Judge, Sightings, Writer,
    dialect::{grpc::Authorization, http::Http},
    feed::{self, Feed},
    server::{self, Handler, Protocol, Server, Tls},
};
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
        let judge = Judge::new(Arc::default(), Arc::new(freshness));
        let judge = Judge {
            clock,
            max_staleness: settings.max_staleness,
            trusted_proxies: settings.trusted_proxies.clone(),
            sightings: Arc::new(Sightings::new(settings.last_used_interval, judge.metrics.clone())),
            ..judge
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
        let writer = Writer::new(self.client.clone(), &judge);
        let feed = Feed {
            client: self.client,
            namespaces: self.settings.namespaces,
            index: judge.index.clone(),
            freshness: judge.freshness.clone(),
            metrics: judge.metrics.clone(),
            second_look: judge.second_look.clone(),
            period: LONGEST_QUIET.min(self.settings.max_staleness / 4),
        };
        let Listeners { http, grpc, tls } = listeners;
        let shutdown = shutdown.shared();
        let serving = future::join(
            serve(
                Protocol::Http1,
                http,
                Http::new(judge.clone()),
                &judge,
                &tls,
                shutdown.clone(),
            ),
            serve(
                Protocol::Http2,
                grpc,
                Authorization(judge.clone()),
                &judge,
                &tls,
                shutdown,
            ),
        );
        let renewing = async {
            match &tls {
                Some(tls) => tls.renew(server::RENEWAL, &judge.metrics).await,
                None => future::pending().await,
            }
        };
        // What is under way when it is asked to end still needs the view.
        let knowing = future::join(feed.run(), renewing);
        // Until the last answer is given there may be something to write.
        let (answered, all_answered) = oneshot::channel::<()>();
        let answering = async move {
            future::select(pin!(knowing), pin!(serving)).await;
            drop(answered);
        };
        future::join(answering, writer.run(all_answered.map(|_| ()))).await;
    }
}

/// Serves until `shutdown` resolves, and then what is under way.
async fn serve<H: Handler>(
    protocol: Protocol,
    listener: Option<TcpListener>,
    handler: H,
    judge: &Judge,
    tls: &Option<Arc<Tls>>,
    shutdown: impl Future<Output = ()>,
) {
    let Some(listener) = listener else {
        return shutdown.await;
    };
    let server = Server {
        tls: tls.clone(),
        trusted: judge.trusted_proxies.clone(),
        ..Server::new(protocol, judge.metrics.clone())
    };
    server.serve(listener, Arc::new(handler), shutdown).await;
}
