//! HTTPS on a loopback address.

mod kubeconfig;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::sandbox::Sandbox;

/// Why a sandbox cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address can be reached from elsewhere.
    #[error(
        "{0} is not a loopback address: the sandbox is for trying and testing on one machine; use 127.0.0.1 or [::1]"
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// No certificate could be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(String),
}

/// A sandbox that is being served. Dropping it stops it, without waiting for open connections.
#[derive(Debug)]
pub struct Server {
    sandbox: Sandbox,
    address: SocketAddr,
    authority: String,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) async fn start(sandbox: Sandbox, address: SocketAddr) -> Result<Self, ServeError> {
        if !address.ip().is_loopback() {
            return Err(ServeError::NotLoopback(address));
        }
        let identity = tls::identity(address.ip())?;
        let listen = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let (stop, stopped) = watch::channel(false);
        let acceptor = TlsAcceptor::from(Arc::new(identity.config));
        let task = tokio::spawn(accept(sandbox.clone(), listener, acceptor, stopped));
        Ok(Self {
            sandbox,
            address,
            authority: identity.authority,
            stop,
            task: Some(task),
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of the authority that signed the server's, in PEM.
    pub fn certificate_authority(&self) -> &str {
        &self.authority
    }

    /// A kubeconfig for a user: `admin`, or one given to [`Builder::user`](crate::Builder::user). A name without a
    /// token gives one without credentials, that is, the anonymous user.
    pub fn kubeconfig(&self, user: &str) -> String {
        kubeconfig::render(self.address, &self.authority, user, self.sandbox.token(user).as_deref())
    }

    /// Stops listening, ends all connections, and waits until that is done.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        if let Some(task) = self.task.take() {
            // A task that panicked has stopped too.
            let _ = task.await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

async fn accept(sandbox: Sandbox, listener: TcpListener, acceptor: TlsAcceptor, mut stopped: watch::Receiver<bool>) {
    // Dropping the set at the end aborts what is still open: watches would stay open for ever.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(sandbox.clone(), acceptor.clone(), stream));
                }
                Err(error) => tracing::warn!(%error, "cannot accept a connection"),
            },
        }
    }
}

async fn connection(sandbox: Sandbox, acceptor: TlsAcceptor, stream: TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let stream = match acceptor.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(%error, "a TLS handshake failed"),
    };
    let service = TowerToHyperService::new(sandbox.anonymous_service());
    let mut server = auto::Builder::new(TokioExecutor::new());
    // A client with hundreds of watches uses one connection.
    server.http2().max_concurrent_streams(1 << 16);
    let served = server.serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection broke");
    }
}
