//! One connection, from its handshake to its end.

use std::{future::Future, io, net::SocketAddr, pin::Pin, pin::pin, sync::Arc, time::Duration};

use http::Request;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Handler, Limits, Protocol,
    activity::Activity,
    copying::Copying,
    together::{Requests, Together},
};

/// The longest head of a request: what gateways pass on of a client's request, cookies and all.
const MAX_HEAD: usize = 32 * 1024;
/// The same by HTTP/2, where it holds nothing of a client's request, which is in the message.
const MAX_GRPC_HEAD: u32 = 8 * 1024;
/// How many requests one HTTP/2 connection may have in flight. Envoy opens another one then.
const MAX_STREAMS: u32 = 200;
/// What of a request's body an HTTP/2 client may send before it is read: a message, and a little more.
const WINDOW: u32 = 40 * 1024;
/// How long a connection that was overdue may take to end by itself, as HTTP/2 does with a farewell.
const PARTING: Duration = Duration::from_secs(1);

/// How each connection of a server is served.
pub(super) struct Connection<H> {
    pub(super) protocol: Protocol,
    pub(super) acceptor: Option<TlsAcceptor>,
    pub(super) limits: Limits,
    pub(super) handler: Arc<H>,
    /// Changes when the end has come.
    pub(super) closing: watch::Receiver<()>,
}

impl<H> Clone for Connection<H> {
    fn clone(&self) -> Self {
        Self {
            protocol: self.protocol,
            acceptor: self.acceptor.clone(),
            limits: self.limits,
            handler: Arc::clone(&self.handler),
            closing: self.closing.clone(),
        }
    }
}

impl<H: Handler> Connection<H> {
    pub(super) async fn serve(mut self, stream: TcpStream, peer: SocketAddr, activity: Arc<Activity>) {
        let Some(acceptor) = self.acceptor.take() else {
            return self.converse(stream, peer, activity).await;
        };
        let handshake = tokio::select! {
            handshake = timeout(self.limits.handshake, acceptor.accept(stream)) => handshake,
            _ = self.closing.changed() => return,
        };
        match handshake.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => self.converse(stream, peer, activity).await,
            Err(error) => tracing::debug!(%peer, %error, "no TLS handshake"),
        }
    }

    async fn converse<S>(self, stream: S, peer: SocketAddr, activity: Arc<Activity>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let in_time = self.limits.answer;
        let service = service_fn(|request: Request<Incoming>| {
            let in_flight = activity.begin();
            let handler = Arc::clone(&self.handler);
            async move {
                let answer = timeout(in_time, handler.handle(request, peer)).await;
                drop(in_flight);
                answer.map(|Ok(answer)| answer)
            }
        });
        let ended = match self.protocol {
            Protocol::Http1 => {
                let connection = pin!(http1().serve_connection(TokioIo::new(stream), service));
                self.accompany(connection, http1::Connection::graceful_shutdown, &activity)
                    .await
            }
            Protocol::Http2 => {
                let (stream, requests) = (TokioIo::new(Copying(stream)), Requests::default());
                let connection = pin!(http2(requests.clone()).serve_connection(stream, service));
                let together = pin!(Together::new(connection, requests));
                self.accompany(
                    together,
                    |mut together| together.connection().graceful_shutdown(),
                    &activity,
                )
                .await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "the connection ended early");
        }
    }

    /// Carries a connection on until it ends, is overdue, or the end of all has come.
    async fn accompany<C>(
        &self,
        mut connection: Pin<&mut C>,
        close: impl FnOnce(Pin<&mut C>),
        activity: &Activity,
    ) -> hyper::Result<()>
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut closing = self.closing.clone();
        let overdue = tokio::select! {
            ended = connection.as_mut() => return ended,
            _ = closing.changed() => false,
            () = activity.overdue(&self.limits) => true,
        };
        close(connection.as_mut());
        match overdue {
            true => timeout(PARTING, connection).await.unwrap_or(Ok(())),
            // The server waits only so long for what is in flight.
            false => connection.await,
        }
    }
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // Its own time-out does not tell a client that is slow from a gateway that rests.
    builder
        .header_read_timeout(None)
        .max_header_size(MAX_HEAD)
        .max_buf_size(2 * MAX_HEAD)
        // Answers are small: to copy them together costs less than to hand them over in pieces.
        .writev(false);
    builder
}

fn http2(requests: Requests) -> http2::Builder<Requests> {
    let mut builder = http2::Builder::new(requests);
    builder
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_GRPC_HEAD)
        .initial_stream_window_size(WINDOW)
        // Nobody reads it in gRPC.
        .auto_date_header(false);
    builder
}
