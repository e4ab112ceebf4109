//! What every dialect asks: the pure decision with what it needs to know, and what follows from it.

use std::{
    borrow::Cow,
    net::IpAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use http::HeaderMap;
use jiff::Timestamp;

use super::{
    Code, Decision, Freshness, Identity, Index, Metrics, Moment, Request, Requirements, SecondLook, Unread,
    credential::{HeaderPair, Presented},
    decide,
    last_used::{LAST_USED_INTERVAL, Sightings},
};
use crate::{
    clock::Clock,
    domain::{client_address::TrustedProxies, credential::Digest},
    telemetry::span::Verification,
};

/// The language a question came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Envoy's external authorization by gRPC.
    ExtAuthzGrpc,
    /// Envoy's external authorization by HTTP.
    ExtAuthzHttp,
    /// Traefik's and Caddy's forward authentication.
    ForwardAuth,
    /// NGINX's `auth_request`.
    AuthRequest,
    /// `POST /v1/verify`.
    Verify,
    /// RFC 7662.
    Introspect,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ExtAuthzGrpc,
        Self::ExtAuthzHttp,
        Self::ForwardAuth,
        Self::AuthRequest,
        Self::Verify,
        Self::Introspect,
    ];

    /// Its name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExtAuthzGrpc => "ext_authz_grpc",
            Self::ExtAuthzHttp => "ext_authz_http",
            Self::ForwardAuth => "forward_auth",
            Self::AuthRequest => "auth_request",
            Self::Verify => "verify",
            Self::Introspect => "introspect",
        }
    }
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The address that the decision goes by. None: it is not known.
    pub address: Option<IpAddr>,
    /// Whether anybody could have said so. Then it is no evidence of where a credential was used.
    pub is_claimed: bool,
}

/// What every dialect asks: the pure decision with all that it needs to know, and what follows from it.
#[derive(Debug)]
pub struct Judge {
    /// What is known of the cluster.
    pub index: Arc<Index>,
    /// How old that is.
    pub freshness: Arc<Freshness>,
    /// What time it is.
    pub clock: Clock,
    /// How old the view may be.
    pub max_staleness: Duration,
    /// Whose word on a client's address is taken.
    pub trusted_proxies: TrustedProxies,
    /// Where uses are noted, to be written later.
    pub sightings: Arc<Sightings>,
    /// What is done before a credential is called unknown.
    pub second_look: Arc<SecondLook>,
    /// How much there is of requests that are not complete.
    pub unread: Unread,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Judge {
    /// A judge of what `index` holds, by the system's clock, without trusted proxies.
    pub fn new(index: Arc<Index>, freshness: Arc<Freshness>) -> Self {
        let metrics = Arc::<Metrics>::default();
        Self {
            index,
            freshness,
            clock: Clock::system(),
            max_staleness: Duration::from_secs(600),
            trusted_proxies: TrustedProxies::default(),
            sightings: Arc::new(Sightings::new(LAST_USED_INTERVAL, Arc::clone(&metrics))),
            second_look: Arc::default(),
            unread: Unread::default(),
            metrics,
        }
    }

    /// The headers that carry a client ID and a secret key on a route of this organisation.
    pub fn header_pair(&self, organisation: Option<&str>) -> Cow<'static, HeaderPair> {
        static DEFAULT: LazyLock<HeaderPair> = LazyLock::new(HeaderPair::default);
        let own = organisation.and_then(|organisation| self.index.headers(organisation));
        own.map_or(Cow::Borrowed(&*DEFAULT), Cow::Owned)
    }

    /// Decides, counts, and notes a use. The headers are those of the question: they say which trace it is part of.
    pub async fn judge(
        &self,
        dialect: Dialect,
        headers: &HeaderMap,
        presented: &Presented<'_>,
        address: Option<IpAddr>,
        requires: &Requirements,
    ) -> Decision {
        let origin = Origin {
            address,
            is_claimed: false,
        };
        self.judge_from(dialect, headers, presented, origin, requires).await
    }

    /// The same, of a request whose address may be one that anybody could have said.
    pub async fn judge_from(
        &self,
        dialect: Dialect,
        headers: &HeaderMap,
        presented: &Presented<'_>,
        origin: Origin,
        requires: &Requirements,
    ) -> Decision {
        let Origin { address, is_claimed } = origin;
        let request = Request {
            presented,
            address,
            requires,
        };
        let span = Verification::begin(dialect.as_str(), headers);
        let now = self.clock.now();
        let mut decision = self.decide(&request, now);
        if decision.code == Code::Unknown
            && let Presented::Credential(credential) = presented
        {
            let digest = Digest::of(credential.secret().as_bytes());
            let mut again = || {
                decision = self.decide(&request, self.clock.now());
                decision.code != Code::Unknown
            };
            self.second_look.look(&digest, &mut again).await;
        }
        tracing::debug!(
            dialect = dialect.as_str(),
            code = decision.code.as_str(),
            token = decision.subject().map(display),
            address = address.map(display),
            "decided"
        );
        self.metrics.decided(dialect, decision.code);
        self.sightings.note(&decision, address.filter(|_| !is_claimed), now);
        span.end(decision.code.as_str(), decision.subject().map(Identity::organisation));
        decision
    }

    fn decide(&self, request: &Request<'_>, now: Timestamp) -> Decision {
        let moment = Moment {
            now,
            age: self.freshness.age(),
            max_age: self.max_staleness,
            sightings: Some(&self.sightings),
        };
        decide(&self.index, request, &moment)
    }

    /// All that is counted and measured, in the text format that Prometheus reads.
    pub fn encode_metrics(&self) -> String {
        self.metrics.measured(self.index.size(), self.freshness.age());
        self.metrics.encode()
    }

    /// Whether an answer now would rest on a view that is complete and not too old.
    pub fn is_ready(&self) -> bool {
        self.freshness.age().is_some_and(|age| age <= self.max_staleness)
    }
}
