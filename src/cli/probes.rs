//! `/healthz`, `/readyz` and `/metrics`.

use std::{future::Future, sync::Arc};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use tokio::net::TcpListener;

use crate::{metrics::Metrics, verifier::Judge};

/// What can be probed.
pub(super) trait Probed: Send + Sync + 'static {
    /// That it does its work, or why it does not yet or no more.
    fn readiness(&self) -> Result<&'static str, &'static str>;

    /// What it counts, in the text format that Prometheus reads.
    fn metrics(&self) -> String;
}

impl Probed for Metrics {
    fn readiness(&self) -> Result<&'static str, &'static str> {
        // Ready, or a rolling update would wait for it for ever.
        if self.is_standing_by() {
            return Ok("standing by: another controller leads");
        }
        let waiting = "waiting for the first list of every watched resource";
        self.is_ready().then_some("ok").ok_or(waiting)
    }

    fn metrics(&self) -> String {
        self.encode()
    }
}

impl Probed for Judge {
    fn readiness(&self) -> Result<&'static str, &'static str> {
        let stale = "no news from the API server for longer than --max-staleness, or none yet";
        self.is_ready().then_some("ok").ok_or(stale)
    }

    fn metrics(&self) -> String {
        self.encode_metrics()
    }
}

/// Serves the probes until `shutdown` resolves.
pub(super) async fn serve<P: Probed>(
    listener: TcpListener,
    probed: Arc<P>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready::<P>))
        .route("/metrics", get(show::<P>))
        .with_state(probed);
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

async fn ready<P: Probed>(State(probed): State<Arc<P>>) -> (StatusCode, String) {
    match probed.readiness() {
        Ok(how) => (StatusCode::OK, format!("{how}\n")),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn show<P: Probed>(State(probed): State<Arc<P>>) -> Result<impl IntoResponse, StatusCode> {
    let text = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    // Where there are very many tokens it takes long enough to keep others waiting.
    let metrics = tokio::task::spawn_blocking(move || probed.metrics()).await;
    let metrics = metrics.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([("content-type", text)], metrics))
}
