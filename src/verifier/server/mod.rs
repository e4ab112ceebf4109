//! How the verifier's sockets are served, HTTP/1.1 and HTTP/2 alike.
//!
//! # Guarantees
//!
//! - Every wait is bounded: for a TLS handshake, for the first request of a connection, for an answer, for the next
//!   request, and for what is in flight when the end has come ([`Limits`]).
//! - Connections are bounded, in all and for each peer that is no trusted proxy. One too many takes the place of one that
//!   rests. Where none does it is closed at once instead of waiting for its turn: gateways keep theirs open, so the turn
//!   would seldom come, and a gateway that is turned away can ask another replica.
//! - Nothing that a client does, and no failure to accept, ends the loop.

mod activity;
mod connection;
mod copying;
mod places;
mod tls;
mod together;

#[cfg(test)]
pub(super) mod tests;

use std::{convert::Infallible, future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

pub use self::tls::{InvalidTls, RENEWAL, Tls};
use self::{
    activity::Activity,
    connection::Connection,
    places::{Admission, Places},
};
use super::Metrics;
use crate::domain::client_address::TrustedProxies;

/// What answers requests.
pub trait Handler: Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static;

    /// Answers one request, of whoever is at the other end of the connection.
    fn handle(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Result<Response<Self::Body>, Infallible>> + Send;
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without TLS by prior knowledge.
    Http2,
}

impl Protocol {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Http1, Self::Http2];

    /// Its name in TLS, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
        }
    }
}

/// How much and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many connections there may be.
    pub connections: usize,
    /// How many of them one peer may have that is no trusted proxy.
    pub of_one_peer: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a new connection may take to send the head of its first request, its handshake included.
    pub greeting: Duration,
    /// How long a request may take from its head to its answer. What its client sends in between is part of that.
    pub answer: Duration,
    /// How long a connection may take from one answer to the head of the next request. Longer than gateways keep theirs
    /// (NGINX 60 s, Traefik 90 s, Caddy 2 min): who closes it while the other sends has that request fail.
    pub idle: Duration,
    /// How long requests in flight may take when the end has come.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            of_one_peer: 1024,
            handshake: Duration::from_secs(10),
            greeting: Duration::from_secs(10),
            answer: Duration::from_secs(15),
            idle: Duration::from_secs(180),
            drain: Duration::from_secs(20),
        }
    }
}

/// See the [module documentation](self).
#[derive(Clone, Debug)]
pub struct Server {
    /// What is spoken.
    pub protocol: Protocol,
    /// The certificate. None: no TLS.
    pub tls: Option<Arc<Tls>>,
    /// How much and how long.
    pub limits: Limits,
    /// Whose connections are closed last when there are too many.
    pub trusted: TrustedProxies,
    /// Where connections are counted.
    pub metrics: Arc<Metrics>,
}

impl Server {
    /// A server of the default limits, without TLS.
    pub fn new(protocol: Protocol, metrics: Arc<Metrics>) -> Self {
        Self {
            protocol,
            tls: None,
            limits: Limits::default(),
            trusted: TrustedProxies::default(),
            metrics,
        }
    }

    /// Serves until `shutdown` resolves and what is in flight then is answered.
    pub async fn serve<H: Handler>(self, listener: TcpListener, handler: Arc<H>, shutdown: impl Future<Output = ()>) {
        let (close, closing) = watch::channel(());
        let connection = Connection {
            protocol: self.protocol,
            acceptor: self.tls.as_ref().map(|tls| tls.acceptor(self.protocol)),
            limits: self.limits,
            handler,
            closing,
        };
        let mut connections = JoinSet::new();
        let mut places = Places::new(self.limits, self.trusted.clone());
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = connections.join_next_with_id() => {
                    places.leave(ended.map_or_else(|error| error.id(), |(id, ())| id));
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let admission = places.admit(peer.ip());
                        if admission != Admission::Free {
                            self.metrics.connection_refused(self.protocol);
                        }
                        if admission != Admission::Refused {
                            let activity = Activity::new();
                            let conversation = connection.clone().serve(prepared(stream), peer, Arc::clone(&activity));
                            places.enter(peer.ip(), activity, connections.spawn(conversation));
                        }
                    }
                    Err(error) => tokio::time::sleep(pause_after(&error)).await,
                },
            }
            self.metrics.connections_open(self.protocol, places.taken());
        }
        drop(listener);
        drop(connection);
        close.send_replace(());
        let drained = async { while connections.join_next().await.is_some() {} };
        if timeout(self.limits.drain, drained).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "requests were still in flight at the end"
            );
        }
    }
}

/// An answer is one small write, which must not wait for the acknowledgement of the one before.
fn prepared(stream: TcpStream) -> TcpStream {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    stream
}

/// A connection that ended before it was accepted says nothing of the next. Anything else, such as too many open files,
/// stays true for a while, and asking again at once would only burn time.
fn pause_after(error: &io::Error) -> Duration {
    match error.kind() {
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted => {
            Duration::ZERO
        }
        _ => {
            tracing::warn!(%error, "cannot accept a connection");
            Duration::from_millis(500)
        }
    }
}
