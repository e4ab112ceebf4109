//! The languages in which gateways and programs ask over HTTP. Each only translates: a request into what
//! [`Judge::judge`] wants to know, and its decision into an answer.
//!
//! | URL | asked by |
//! |---|---|
//! | `/ext-authz/REQUIREMENTS/path…` | Envoy's external authorization by HTTP |
//! | `/forward-auth?REQUIREMENTS` | Traefik and Caddy |
//! | `/auth-request?REQUIREMENTS` | NGINX |
//! | `POST /v1/verify` | programs, in JSON |
//! | `POST /introspect` | programs that speak RFC 7662 |
//! | `/healthz`, `/readyz` | Kubernetes |
//!
//! # Guarantees
//!
//! - The URL alone says which language it is, and no header of a request does.
//! - What a route requires comes from the URL that the gateway's configuration wrote, and from no part of it that the
//!   gateway's client can choose. What makes no sense there refuses every request.
//! - A header is known by its own name only, never by one that some servers take for the same (`X_Forwarded_For`).
//! - Answers to a credential that is not good are the same bytes, whatever is wrong with it.

mod auth_request;
mod body;
mod envoy;
mod forward_auth;
mod gateway;
mod introspect;
mod refusal;
mod reply;
mod verify;

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONNECTION},
    request::Parts,
};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;

use self::{gateway::Gateway, reply::Reply};
use crate::verifier::{Judge, server::Handler};

/// See the [module documentation](self).
#[derive(Clone, Debug)]
pub struct Http {
    judge: Arc<Judge>,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Gateway(Gateway),
    Verify,
    Introspect,
    Alive,
    Ready,
}

const ENDPOINTS: &str = "There is nothing here. Ask at /ext-authz/, /forward-auth, /auth-request, /v1/verify, /introspect, \
     /healthz or /readyz.\n";

impl Http {
    /// Answers what `judge` decides.
    pub fn new(judge: Arc<Judge>) -> Self {
        Self { judge }
    }

    /// Answers one request of `peer`.
    pub(in crate::verifier) async fn answer<B>(&self, request: Request<B>, peer: IpAddr) -> Reply
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
    {
        let (parts, mut body) = request.into_parts();
        let mut reply = self.dispatch(&parts, &mut body, peer.to_canonical()).await;
        if !body::is_spent(body).await {
            reply
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        reply
    }

    async fn dispatch<B>(&self, parts: &Parts, body: &mut B, peer: IpAddr) -> Reply
    where
        B: Body<Data = Bytes> + Unpin + Send,
    {
        let Some(endpoint) = Endpoint::at(parts.uri.path()) else {
            return reply::text(StatusCode::NOT_FOUND, ENDPOINTS);
        };
        if let Some(allowed) = endpoint.refuses(&parts.method) {
            let mut reply = reply::text(StatusCode::METHOD_NOT_ALLOWED, "This method is not for this URL.\n");
            reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            return reply;
        }
        match endpoint {
            Endpoint::Gateway(gateway) => gateway.answer(&self.judge, parts, peer).await,
            Endpoint::Verify => verify::answer(&self.judge, parts, body, peer).await,
            Endpoint::Introspect => introspect::answer(&self.judge, parts, body, peer).await,
            // Not 200, which lets in: where an Envoy was given no path_prefix, this is its client's path.
            Endpoint::Alive => reply::empty(StatusCode::NO_CONTENT),
            Endpoint::Ready if self.judge.is_ready() => reply::empty(StatusCode::NO_CONTENT),
            Endpoint::Ready => reply::text(
                StatusCode::SERVICE_UNAVAILABLE,
                "What is known of the cluster is not complete yet, or too old.\n",
            ),
        }
    }
}

impl Handler for Http {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Incoming>, peer: SocketAddr) -> Result<Response<Full<Bytes>>, Infallible> {
        Ok(self.answer(request, peer.ip()).await)
    }
}

impl Endpoint {
    fn at(path: &str) -> Option<Self> {
        match path {
            "/forward-auth" => Some(Self::Gateway(Gateway::ForwardAuth)),
            "/auth-request" => Some(Self::Gateway(Gateway::AuthRequest)),
            "/v1/verify" => Some(Self::Verify),
            "/introspect" => Some(Self::Introspect),
            "/healthz" => Some(Self::Alive),
            "/readyz" => Some(Self::Ready),
            _ => path.starts_with(envoy::PREFIX).then_some(Self::Gateway(Gateway::Envoy)),
        }
    }

    /// What is allowed instead of this method. A gateway may ask with the method of the request that it asks about.
    fn refuses(self, method: &Method) -> Option<&'static str> {
        let (allowed, list): (&[Method], _) = match self {
            Self::Gateway(_) => return None,
            Self::Verify | Self::Introspect => (&[Method::POST], "POST"),
            Self::Alive | Self::Ready => (&[Method::GET, Method::HEAD], "GET, HEAD"),
        };
        (!allowed.contains(method)).then_some(list)
    }
}
