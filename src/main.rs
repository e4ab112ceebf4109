//! The `tokenwright` binary: reads the command line and starts a mode.

use std::process::ExitCode;

use clap::Parser;
use tokenwright::{
    args::{Arguments, Command},
    cli,
};
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATOR: tokenwright::Allocator = tokenwright::Allocator;

fn main() -> ExitCode {
    // Two crates of the dependencies could provide the cryptography; say which.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    cli::conclude(run(Arguments::parse().command))
}

fn run(command: Command) -> cli::Outcome {
    let mut runtime = match command {
        // It waits for the API server most of the time, and every thread would have memory of its own.
        Command::Controller(_) => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    runtime.enable_all().build()?.block_on(async {
        match command {
            Command::Controller(arguments) => cli::controller(arguments).await,
            Command::Verifier(arguments) => cli::verifier(arguments).await,
            #[cfg(feature = "sandbox")]
            Command::Sandbox(arguments) => cli::sandbox(arguments).await,
            Command::Check(arguments) => cli::check(arguments).await,
            Command::Crd(arguments) => cli::crd(&arguments),
        }
    })
}
