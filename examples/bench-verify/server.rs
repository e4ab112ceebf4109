//! A verifier in a process of its own, so that its memory and CPU time are its own too.
//!
//! It says where it listens once its index is full. For every line on its standard input it answers with what it has
//! used; at the end of its input it ends.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokenwright::{
    telemetry::{self, LogFormat},
    verifier::{
        Freshness, Index, Judge,
        dialect::{grpc::Authorization, http::Http},
        server::{Handler, Protocol, Server},
    },
};
use tokio::net::TcpListener;

use crate::{
    Result,
    decide::{fill, resident},
};

/// Where it listens.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Addresses {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
}

/// What it has used so far.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Used {
    pub(crate) cpu: Duration,
    pub(crate) resident_bytes: u64,
}

impl Used {
    fn by_this_process() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Self {
            cpu: Duration::try_from(cpu).unwrap_or_default(),
            resident_bytes: resident(),
        }
    }
}

/// What the process does that [`ServerProcess`] starts: a verifier as `tokenwright verifier` runs it where it has one
/// CPU, with an index that is filled once instead of by a feed.
pub(crate) fn be_the_server(tokens: u64) -> Result<ExitCode> {
    telemetry::init(LogFormat::Text, "info", None);
    let index = Arc::new(Index::new());
    fill(&index, tokens);
    let freshness = Arc::new(Freshness::new(1));
    freshness.heard(0);
    let mut judge = Judge::new(index, freshness);
    judge.max_staleness = Duration::MAX;
    judge.trusted_proxies = "127.0.0.0/8".parse()?;
    let judge = Arc::new(judge);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let addresses = Addresses {
        http: runtime.block_on(serve(Protocol::Http1, &judge, Http::new(judge.clone())))?,
        grpc: runtime.block_on(serve(Protocol::Http2, &judge, Authorization(judge.clone())))?,
    };
    say(&addresses)?;
    for _ in std::io::stdin().lock().lines().map_while(std::result::Result::ok) {
        say(&Used::by_this_process())?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(protocol: Protocol, judge: &Judge, handler: impl Handler) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = Server::new(protocol, judge.metrics.clone());
    tokio::spawn(server.serve(listener, Arc::new(handler), std::future::pending()));
    Ok(address)
}

fn say(value: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(value)?)?;
    Ok(out.flush()?)
}

/// The verifier's process, seen from outside.
pub(crate) struct ServerProcess {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub(crate) addresses: Addresses,
}

impl ServerProcess {
    /// Starts this program again, as a verifier of so many tokens.
    pub(crate) fn start(tokens: u64) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--serve").arg(tokens.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the verifier's process has no pipes".into());
        };
        let mut output = BufReader::new(output);
        Ok(Self {
            addresses: hear(&mut output)?,
            child,
            input,
            output,
        })
    }

    pub(crate) fn used(&mut self) -> Result<Used> {
        self.input.write_all(b"used\n")?;
        hear(&mut self.output)
    }

    pub(crate) fn stop(self) -> Result<()> {
        let Self { mut child, input, .. } = self;
        drop(input);
        match child.wait()? {
            status if status.success() => Ok(()),
            status => Err(format!("the verifier's process ended: {status}").into()),
        }
    }
}

fn hear<T: serde::de::DeserializeOwned>(output: &mut impl BufRead) -> Result<T> {
    let mut line = String::new();
    match output.read_line(&mut line)? {
        0 => Err("the verifier's process ended".into()),
        _ => Ok(serde_json::from_str(&line)?),
    }
}
