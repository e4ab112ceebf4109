//! The modes of the binary: what each does between the command line and the library.

mod controller;
mod crd;
mod probes;
#[cfg(feature = "sandbox")]
mod sandbox;

use std::{error::Error, process::ExitCode};

pub use controller::controller;
pub use crd::crd;
#[cfg(feature = "sandbox")]
pub use sandbox::sandbox;

/// An exit code, or an error in a sentence for the user.
pub type Outcome = Result<ExitCode, Box<dyn Error + Send + Sync>>;

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
