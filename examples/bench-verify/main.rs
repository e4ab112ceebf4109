//! How fast requests are decided and answered, and how much memory tokens take:
//! `cargo run --release --example bench-verify -- --help`.

#![allow(clippy::expect_used, reason = "what the benchmark made itself is as it made it")]

mod contention;
mod decide;
mod load;
mod nginx;
mod report;
mod request;
mod server;
mod tokens;

use std::{error::Error, process::ExitCode, rc::Rc, time::Duration};

use clap::{Parser, value_parser};

use self::{
    load::{Concurrency, Load},
    nginx::Nginx,
    report::{Report, Served},
    request::HttpRequest,
    server::ServerProcess,
};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[global_allocator]
static ALLOCATOR: tokenwright::Allocator = tokenwright::Allocator;

/// Measure how fast the verifier decides and answers, and how much memory tokens take.
///
/// First decisions in this process, with each of the given numbers of tokens, then with several threads. Then a verifier
/// in a process of its own, with the largest number of tokens, is asked by HTTP as NGINX's auth_request asks, and by gRPC
/// as Envoy asks; what counts is the CPU time of that process alone. In the same way NGINX is asked, which answers 204
/// without any work, where it is installed. The exit code is 1 when a goal is missed.
#[derive(Debug, Parser)]
#[command(
    name = "bench-verify",
    after_help = "Examples:\n  bench-verify\n  bench-verify 10000 --seconds 2\n  bench-verify --json | jq .served\n\nMeasure a \
                  release build, and compare figures of one run with each other: two runs on a busy machine are two machines."
)]
struct Arguments {
    /// How many tokens.
    #[arg(value_name = "TOKENS", default_values_t = [1_000, 10_000, 100_000, 1_000_000], value_parser = value_parser!(u64).range(1..=10_000_000))]
    tokens: Vec<u64>,

    /// How long each kind of request is sent, and each combination of threads runs.
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = value_parser!(u64).range(1..=3600))]
    seconds: u64,

    #[command(flatten)]
    concurrency: Concurrency,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,

    /// Be the verifier's process, with so many tokens.
    #[arg(long, hide = true, value_name = "TOKENS")]
    serve: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.serve {
        Some(tokens) => server::be_the_server(tokens),
        None => bench(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("bench-verify: {error}");
        ExitCode::FAILURE
    })
}

fn bench(arguments: &Arguments) -> Result<ExitCode> {
    let duration = Duration::from_secs(arguments.seconds);
    let largest = arguments.tokens.iter().copied().max().unwrap_or_default();
    let (mut decisions, mut contention) = (Vec::new(), Vec::new());
    for &size in &arguments.tokens {
        eprintln!("deciding with {size} tokens");
        let (measured, index) = decide::measure(size);
        decisions.push(measured);
        if size == largest {
            contention = contention::measure(&index, size, duration);
        }
    }
    let report = Report::new(decisions, contention, serve(arguments, largest)?);
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(match report.missed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn serve(arguments: &Arguments, tokens: u64) -> Result<Served> {
    eprintln!("starting a verifier with {tokens} tokens");
    let mut server = ServerProcess::start(tokens)?;
    let before = server.used()?.resident_bytes;
    let load = Load {
        known: Rc::new(tokens::known(tokens)),
        concurrency: arguments.concurrency,
        seconds: arguments.seconds,
    };
    let addresses = server.addresses;
    eprintln!("asking it");
    let request = HttpRequest::new(&format!("/auth-request?permission={}", tokens::PERMISSION));
    let http = load.by_http(addresses.http, &request, || Ok(server.used()?.cpu))?;
    let grpc = load.by_grpc(addresses.grpc, || Ok(server.used()?.cpu))?;
    let after = server.used()?.resident_bytes;
    server.stop()?;
    let nginx = Nginx::start()?;
    let nginx = nginx.map(|nginx| load.by_http(nginx.address, &request, || nginx.cpu()));
    Ok(Served {
        tokens,
        concurrency: load.concurrency,
        http,
        grpc,
        nginx: nginx.transpose()?,
        resident_bytes: [before, after],
    })
}
