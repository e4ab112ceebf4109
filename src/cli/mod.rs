//! The modes of the binary: what each does between the command line and the library.

mod check;
mod cluster;
mod controller;
mod crd;
mod output;
mod probes;
#[cfg(feature = "sandbox")]
mod sandbox;
mod verifier;

use std::{error::Error, fmt::Display, net::SocketAddr, path::Path, process::ExitCode};

pub use check::check;
pub use controller::controller;
pub use crd::crd;
#[cfg(feature = "sandbox")]
pub use sandbox::sandbox;
use tokio::net::TcpListener;
pub use verifier::verifier;

use crate::{
    args::ObservedArguments,
    telemetry::{self, Traces},
};

/// An exit code, or an error in a sentence for the user.
pub type Outcome = Result<ExitCode, Box<dyn Error + Send + Sync>>;

/// What a mode ends with that cannot begin, as with arguments that make no sense.
const MISUSED: u8 = 2;

/// The exit code of what a mode came to, once an error has been said.
pub fn conclude(outcome: Outcome) -> ExitCode {
    outcome.unwrap_or_else(|error| end_with(ExitCode::FAILURE, &error))
}

/// The exit code of an error that keeps a mode from beginning, which is said here.
fn misused(error: impl Display) -> ExitCode {
    end_with(ExitCode::from(MISUSED), error)
}

fn end_with(code: ExitCode, error: impl Display) -> ExitCode {
    output::complain(format_args!("tokenwright: {error}"));
    code
}

/// Runs a mode that serves, with its logs, and its traces where they are asked for. Ends with 2 when those make no sense.
async fn observed(
    service: &'static str,
    arguments: &ObservedArguments,
    mode: impl Future<Output = Outcome>,
) -> Outcome {
    let traces = match Traces::begin(service, arguments.otlp_endpoint.as_ref()) {
        Ok(traces) => traces,
        Err(error) => return Ok(misused(error)),
    };
    let log = &arguments.log;
    telemetry::init(log.log_format, log.log.as_deref().unwrap_or("info"), traces.as_ref());
    let outcome = mode.await;
    if let Some(traces) = traces {
        traces.end().await;
    }
    outcome
}

/// Whether a file of a folder is one of manifests, by its name.
fn is_manifest(path: &Path) -> bool {
    path.extension()
        .is_some_and(|end| end == "yaml" || end == "yml" || end == "json")
}

/// Listens on an address that came with `option`.
async fn listen(address: SocketAddr, option: &str) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| format!("cannot listen on {address}: {error}; choose another with {option}"))
}

/// Resolves when the process is asked to end: by SIGTERM or by Ctrl-C. Asked twice it ends at once.
async fn asked_to_end() {
    signal().await;
    tokio::spawn(async {
        signal().await;
        std::process::exit(130);
    });
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
