//! The service behind a gateway: it answers with what it received, and counts.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, body::Bytes};
use http::{HeaderMap, Uri};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, task::JoinHandle};

/// What it received.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Received {
    /// The path and the query, as they came.
    pub(crate) target: String,
    /// In their order, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// How long its body was.
    pub(crate) length: usize,
}

impl Received {
    fn new(uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = headers.iter();
        Self {
            target: uri.to_string(),
            headers: headers
                .map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes())))
                .collect(),
            length: body.len(),
        }
    }

    /// The values of one header, in their order.
    pub(crate) fn values<'s>(&'s self, name: &'s str) -> impl DoubleEndedIterator<Item = &'s str> {
        let all = self.headers.iter();
        all.filter(move |(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Ends when it is dropped.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    count: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let echo = async move |uri: Uri, headers: HeaderMap, body: Bytes| {
            counted.fetch_add(1, Ordering::SeqCst);
            serde_json::to_string(&Received::new(&uri, &headers, &body)).unwrap()
        };
        let serving = tokio::spawn(async move {
            axum::serve(listener, Router::new().fallback(echo)).await.unwrap();
        });
        Self {
            address,
            count,
            serving,
        }
    }

    /// How many requests it has received.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
