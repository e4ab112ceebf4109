//! The `tokenwright` binary: reads the command line and starts a mode.

use std::process::ExitCode;

use clap::Parser;
use tokenwright::{
    args::{Arguments, Command},
    cli,
};

#[global_allocator]
static ALLOCATOR: tokenwright::Allocator = tokenwright::Allocator;

#[tokio::main]
async fn main() -> ExitCode {
    // Two crates of the dependencies could provide the cryptography; say which.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let result = match Arguments::parse().command {
        Command::Controller(arguments) => cli::controller(arguments).await,
        Command::Verifier(arguments) => cli::verifier(arguments).await,
        #[cfg(feature = "sandbox")]
        Command::Sandbox(arguments) => cli::sandbox(arguments).await,
        Command::Check(arguments) => cli::check(arguments).await,
        Command::Crd(arguments) => cli::crd(&arguments),
    };
    cli::conclude(result)
}
