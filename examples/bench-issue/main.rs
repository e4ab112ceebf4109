//! How fast tokens are issued, and at what price: `cargo run --release --example bench-issue -- --help`.

mod cluster;
mod count;
mod load;
mod process;
mod report;

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::{Parser, value_parser};

use self::{
    cluster::Cluster,
    process::{ControllerProcess, Figures},
    report::{Report, Restart},
};

#[global_allocator]
static ALLOCATOR: tokenwright::Allocator = tokenwright::Allocator;

/// The exit code where nothing was measured. It is also that of arguments that clap refuses.
const NOT_MEASURED: u8 = 2;
/// What shells have for a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// Measure how fast the controller issues tokens, and what it asks of the API server and of the machine.
///
/// It creates N ApiTokens and watches them become Ready, with the controller in a process of its own, whose requests
/// are counted on their way out. Then it starts the controller anew with the N tokens in place. Three promises are
/// checked: three writes of objects for each token and no read of a Secret (Events, and the organisation's counts about
/// once a second, are listed beside); no write at all after a restart; and, of a release build, less than 50 MiB of memory
/// for up to 10,000 tokens.
///
/// Without --kubeconfig it runs against the API server in memory that 'tokenwright sandbox' is made of. That shows what
/// the controller costs, not what a cluster gives: for that, name one. The cluster must not have Organisations yet; the
/// CRDs are installed where they are missing. Everything is deleted again at the end. Ctrl-C ends it within a second: then
/// it asks the cluster to delete everything, and says what it could not ask.
#[derive(Debug, Parser)]
#[command(
    name = "bench-issue",
    after_help = "Examples:\n  bench-issue --tokens 1000\n  bench-issue --tokens 10000 --kubeconfig ~/.kube/config --peer\n  \
                  bench-issue --tokens 1000 --json | jq .issue.per_second\n\nMeasure a release build, and compare figures \
                  of one run with each other: two runs on a busy machine are two machines.\n\n\
                  Exit codes:\n  0    measured, and the promises were kept\n  1    measured, and a promise was broken\n  \
                  2    not measured: wrong arguments, or a cluster that cannot be reached or used\n  130  ended by Ctrl-C"
)]
struct Arguments {
    /// How many tokens to issue.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    tokens: u32,

    /// The cluster to run against. Default: an API server in memory.
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,

    /// Measure Kubernetes' own service-account token controller too: how fast it fills N Secrets, created in the same way.
    #[arg(long, requires = "kubeconfig")]
    peer: bool,

    /// How many objects are created at the same time.
    #[arg(long, value_name = "NUMBER", default_value_t = 16, value_parser = value_parser!(u16).range(1..=1024))]
    creators: u16,

    /// How many tokens the controller works on at the same time. Default: as 'tokenwright controller'.
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(u16).range(1..=1024))]
    concurrency: Option<u16>,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,

    /// Be the controller's process.
    #[arg(long, hide = true, requires = "kubeconfig")]
    controller: bool,
}

fn main() -> ExitCode {
    // Two crates of the dependencies could provide the cryptography; say which.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments = Arguments::parse();
    let result = match (arguments.controller, &arguments.kubeconfig) {
        (true, Some(kubeconfig)) => process::be_the_controller(kubeconfig, arguments.concurrency),
        _ => bench(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("bench-issue: {error}");
        ExitCode::from(NOT_MEASURED)
    })
}

#[tokio::main]
async fn bench(arguments: &Arguments) -> Result<ExitCode> {
    tokenwright::telemetry::init(tokenwright::telemetry::LogFormat::Text, "warn", None);
    let cluster = match &arguments.kubeconfig {
        Some(path) => Cluster::of(path).await?,
        None => Cluster::sandbox().await?,
    };
    let report = tokio::select! {
        measured = measure(arguments, &cluster) => measured,
        _ = tokio::signal::ctrl_c() => {
            cluster.abandon().await;
            return Ok(ExitCode::from(INTERRUPTED));
        }
    };
    eprintln!("cleaning up");
    let cleaned = tokio::select! {
        cleaned = cluster.clean_up() => cleaned,
        _ = tokio::signal::ctrl_c() => {
            cluster.abandon().await;
            return Ok(ExitCode::from(INTERRUPTED));
        }
    };
    let report = report?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    cleaned?;
    Ok(if report.broken.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn measure(arguments: &Arguments, cluster: &Cluster) -> Result<Report> {
    cluster.prepare().await?;
    let (issue, issue_figures) = issue(arguments, cluster).await?;
    let restart = restart(arguments, cluster).await?;
    let peer = if arguments.peer {
        eprintln!("measuring the service-account token controller");
        Some(load::fill_secrets(cluster, arguments.tokens, arguments.creators).await?)
    } else {
        None
    };
    Ok(Report::new(
        arguments.tokens,
        cluster.description(),
        issue,
        issue_figures,
        restart,
        peer,
    ))
}

async fn issue(arguments: &Arguments, cluster: &Cluster) -> Result<(load::Filled, Figures)> {
    let mut controller = ControllerProcess::start(cluster.kubeconfig(), arguments.concurrency)?;
    controller.ready().await?;
    eprintln!("issuing {} tokens", arguments.tokens);
    let filled = load::issue_tokens(cluster, arguments.tokens, arguments.creators).await?;
    // The last Events and counts come after the last token.
    let (figures, _) = controller.quiet().await?;
    controller.stop().await?;
    Ok((filled, figures))
}

async fn restart(arguments: &Arguments, cluster: &Cluster) -> Result<Restart> {
    eprintln!("starting the controller anew");
    let mut controller = ControllerProcess::start(cluster.kubeconfig(), arguments.concurrency)?;
    controller.ready().await?;
    let (figures, reconciled_after) = controller.quiet().await?;
    controller.stop().await?;
    Ok(Restart {
        reconciled_after,
        figures,
    })
}
