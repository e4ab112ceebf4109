//! What all gateways have in common: they ask about a request of their client, whose headers they pass on.

use std::{net::IpAddr, sync::LazyLock};

use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{AUTHORIZATION, CONNECTION},
    request::Parts,
};

use super::{
    auth_request, envoy, forward_auth, refusal,
    reply::{self, Reply},
};
use crate::{
    domain::client_address::{self, TrustedProxies},
    verifier::{
        Code, Decision, Dialect, Identity, Judge, Requirements,
        credential::{HeaderPair, MAX_HEADER, Presented, extract},
        dialect::{identity, requirements::InvalidRequirements},
    },
};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gateway {
    Envoy,
    ForwardAuth,
    AuthRequest,
}

impl Gateway {
    /// Answers whether the request that it asks about is let in. Its body is of no interest.
    pub(super) async fn answer(self, judge: &Judge, parts: &Parts, peer: IpAddr) -> Reply {
        if parts.headers.values().any(|value| value.len() > MAX_HEADER) {
            return self.readable(reply::text(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "A header is longer than 8 KiB.\n",
            ));
        }
        let requires = match self.requirements(parts) {
            Ok(requires) => requires,
            Err(error) => {
                judge.metrics.route_refused(self.dialect());
                let sentence = format!("The gateway asks at a URL that makes no sense: {error}.\n");
                return self.readable(reply::text(StatusCode::BAD_REQUEST, sentence));
            }
        };
        let address = self.client_address(peer, &parts.headers, &judge.trusted_proxies);
        let decision = judge_headers(judge, self.dialect(), &parts.headers, address, &requires).await;
        match decision.identity() {
            Some(identity) => admission(identity),
            None => self.readable(refusal::refusal(decision.code, &requires)),
        }
    }

    fn dialect(self) -> Dialect {
        match self {
            Self::Envoy => Dialect::ExtAuthzHttp,
            Self::ForwardAuth => Dialect::ForwardAuth,
            Self::AuthRequest => Dialect::AuthRequest,
        }
    }

    fn requirements(self, parts: &Parts) -> Result<Requirements, InvalidRequirements> {
        match self {
            Self::Envoy => envoy::requirements(parts.uri.path()),
            Self::ForwardAuth | Self::AuthRequest => forward_auth::requirements(parts.uri.query()),
        }
    }

    /// The address of the gateway's client: never the gateway's own, which a filter may well allow. Not known when the
    /// gateway is not trusted, or did not tell.
    fn client_address(self, peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> Option<IpAddr> {
        if !trusted.contains(peer) || !headers.contains_key(&FORWARDED) {
            return None;
        }
        let client = resolve(peer, headers, trusted);
        match self {
            Self::Envoy => client.filter(|client| *client != peer || !envoy::speaks_of_itself(headers)),
            Self::ForwardAuth | Self::AuthRequest => client,
        }
    }

    /// The answer in what the gateway understands.
    fn readable(self, reply: Reply) -> Reply {
        match self {
            Self::Envoy | Self::ForwardAuth => reply,
            Self::AuthRequest => auth_request::readable(reply),
        }
    }
}

pub(super) const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address as trusted proxies tell it, or the peer's.
pub(super) fn resolve(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> Option<IpAddr> {
    // What is no text is no address.
    let lines = headers.get_all(&FORWARDED).iter();
    client_address::resolve(peer, lines.map(|line| line.to_str().unwrap_or("?")), trusted)
}

/// Decides about the credential in a request's headers.
pub(super) async fn judge_headers(
    judge: &Judge,
    dialect: Dialect,
    headers: &HeaderMap,
    address: Option<IpAddr>,
    requires: &Requirements,
) -> Decision {
    let pair = judge.header_pair(requires.organisation.as_deref());
    judge
        .judge(dialect, headers, &presented(headers, &pair), address, requires)
        .await
}

fn presented<'h>(headers: &'h HeaderMap, pair: &HeaderPair) -> Presented<'h> {
    if strips_what_counts(headers, pair) {
        return Presented::Malformed;
    }
    extract(
        headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())),
        pair,
    )
}

/// Whether `Connection` names a header that the decision goes by. That asks each proxy on the way to take the header
/// out, even one that it has just put in.
fn strips_what_counts(headers: &HeaderMap, pair: &HeaderPair) -> bool {
    let counts = |option: &[u8]| {
        [
            AUTHORIZATION.as_str(),
            "x-api-key",
            FORWARDED.as_str(),
            &*pair.client_id,
            &*pair.secret_key,
        ]
        .iter()
        .any(|name| option.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
    };
    let lines = headers.get_all(CONNECTION).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(counts)
}

/// Lets a request in, and tells whose it is.
fn admission(identity: &Identity) -> Reply {
    static NAMES: LazyLock<[HeaderName; 8]> = LazyLock::new(|| identity::HEADERS.map(HeaderName::from_static));
    let mut reply = reply::empty(StatusCode::OK);
    reply.headers_mut().reserve(NAMES.len());
    for (name, value) in NAMES.iter().zip(identity::values(identity)) {
        // Refused rather than told half of who it is; what is encoded always is a header's value.
        let Ok(value) = HeaderValue::try_from(value) else {
            return refusal::refusal(Code::Unknown, &Requirements::default());
        };
        reply.headers_mut().insert(name, value);
    }
    reply
}
