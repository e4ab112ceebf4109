//! Envoy's external authorization by gRPC: `envoy.service.auth.v3.Authorization/Check`.
//!
//! What a route requires stands in its `context_extensions`: `organisation`, `permission` and `project`, several
//! permissions or projects separated by spaces or commas. There must be nothing else in it: a requirement whose name is
//! misspelt would otherwise be none.
//!
//! To Envoy an error of gRPC is a failure of the service, and `failure_mode_allow` says whether the request then passes.
//! So nothing that a client can bring about by what it sends is answered with one: a message that is too large or that
//! cannot be read is denied like a credential that cannot be. That is why the calls are read here, and why only those
//! fields of Envoy's messages are read that are needed.
//!
//! `grpc.health.v1.Health/Check` is answered, too: serving, while answers rest on a view that is not too old.

mod answer;
mod messages;
mod question;
mod unary;

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Body;
use hyper::body::Incoming;
use prost::{Message, bytes::Bytes};

use self::{
    messages::{CheckRequest, CheckResponse, HealthCheckRequest, HealthCheckResponse, ServingStatus},
    question::Question,
    unary::{Status, Unreadable, fail, reply},
};
use crate::verifier::{Dialect, Judge, credential::Presented, server::Handler};

pub use unary::{MAX_MESSAGE, Reply};

const SERVICE: &str = "envoy.service.auth.v3.Authorization";
const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Envoy's questions, answered by a judge.
#[derive(Debug)]
pub struct Authorization(pub Arc<Judge>);

impl Handler for Authorization {
    type Body = Reply;

    /// Who is at the other end is nothing to go by: that is the gateway, and it says itself who asked it.
    async fn handle(&self, request: Request<Incoming>, _: SocketAddr) -> Result<Response<Reply>, Infallible> {
        Ok(answer(&self.0, request).await)
    }
}

/// Answers one call.
pub async fn answer<B>(judge: &Judge, request: Request<B>) -> Response<Reply>
where
    B: Body<Data = Bytes>,
{
    let (head, body) = request.into_parts();
    let is_grpc = |kind: &HeaderValue| kind.as_bytes().starts_with(b"application/grpc");
    if head.method != Method::POST || !head.headers.get(CONTENT_TYPE).is_some_and(is_grpc) {
        let mut response = Response::new(Reply::default());
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return response;
    }
    let read = unary::read(body, judge.unread.share(&judge.metrics));
    match head.uri.path() {
        CHECK => authorize(judge, &head.headers, read.await).await,
        "/grpc.health.v1.Health/Check" => health(judge, read.await),
        _ => fail(Status::Unimplemented, "there is no such method here"),
    }
}

async fn authorize(judge: &Judge, headers: &HeaderMap, message: Result<Bytes, Unreadable>) -> Response<Reply> {
    let message = match message {
        Err(Unreadable::Compressed) => return fail(Status::Unimplemented, "messages are not compressed here"),
        Err(Unreadable::Exhausted) => return exhausted(),
        Err(Unreadable::Malformed) => None,
        Ok(message) => CheckRequest::decode(message).ok(),
    };
    reply(&check(judge, headers, message.as_ref()).await)
}

/// Decides about a request. None: it could not be read.
async fn check(judge: &Judge, headers: &HeaderMap, request: Option<&CheckRequest>) -> CheckResponse {
    let nothing = CheckRequest::default();
    let question = Question::new(request.unwrap_or(&nothing));
    let requires = match question.requirements() {
        Ok(requires) => requires,
        Err(error) => {
            judge.metrics.route_refused(Dialect::ExtAuthzGrpc);
            return answer::misconfigured(&error);
        }
    };
    let pair = judge.header_pair(requires.organisation.as_deref());
    let presented = match request {
        Some(_) => question.presented(&pair),
        None => Presented::Malformed,
    };
    let address = question.address(&judge.trusted_proxies);
    let decision = judge
        .judge(Dialect::ExtAuthzGrpc, headers, &presented, address, &requires)
        .await;
    match decision.identity() {
        Some(identity) => answer::admission(identity, &pair, question.headers().map(|(name, _)| name)),
        None => answer::refusal(decision.code, &requires),
    }
}

/// Of those that ask, not of their clients: Envoy sends its questions whole.
fn exhausted() -> Response<Reply> {
    fail(Status::ResourceExhausted, "too many requests are not complete")
}

fn health(judge: &Judge, message: Result<Bytes, Unreadable>) -> Response<Reply> {
    if message == Err(Unreadable::Exhausted) {
        return exhausted();
    }
    let request = message
        .ok()
        .and_then(|message| HealthCheckRequest::decode(message).ok());
    let Some(request) = request else {
        return fail(Status::InvalidArgument, "the message cannot be read");
    };
    if !request.service.is_empty() && *request.service != *SERVICE.as_bytes() {
        return fail(Status::NotFound, "there is no such service here");
    }
    let status = match judge.is_ready() {
        true => ServingStatus::Serving,
        false => ServingStatus::NotServing,
    };
    reply(&HealthCheckResponse { status: status.into() })
}
