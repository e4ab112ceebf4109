//! The controller in a process of its own, so that its memory and CPU time are its own too.
//!
//! For every line on its standard input it answers with its [`Figures`] on one line; at the end of its input it ends.

use std::{
    io::{BufRead, Write},
    path::Path,
    process::{ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

use futures::FutureExt;
use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::{Deserialize, Serialize};
use tokenwright::{
    controller::{Controller, Settings},
    metrics::Metrics,
    telemetry::{self, LogFormat},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::oneshot,
    time::Instant,
};

use crate::{
    Result,
    count::{Counter, Requests},
};

const POLL: Duration = Duration::from_millis(50);
/// Longer than the controller gathers changes before it counts an organisation's tokens.
const QUIET: Duration = Duration::from_millis(2500);
const PATIENCE: Duration = Duration::from_secs(60);

/// What a controller's process knows of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Whether every watch has delivered its first list.
    ready: bool,
    /// How often a token was reconciled.
    pub(crate) reconciles: u64,
    /// How many Events were dropped because too many were waiting.
    pub(crate) events_dropped: u64,
    pub(crate) requests: Requests,
    pub(crate) cpu_seconds: f64,
    /// The most memory it ever held; known on Linux.
    pub(crate) peak_memory_kib: Option<u64>,
}

impl Figures {
    fn of_this_process(metrics: &Metrics, counter: &Counter) -> Self {
        let text = metrics.encode();
        let sum = |start: &str| {
            let values = text.lines().filter(|line| line.starts_with(start));
            values
                .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
                .sum()
        };
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Self {
            ready: metrics.is_ready(),
            reconciles: sum("tokenwright_reconciles_total{kind=\"ApiToken\""),
            events_dropped: sum("tokenwright_events_dropped_total"),
            requests: counter.so_far(),
            cpu_seconds: Duration::try_from(cpu).unwrap_or_default().as_secs_f64(),
            peak_memory_kib: peak_memory(),
        }
    }
}

fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// How to reach the cluster of this kubeconfig.
pub(crate) async fn config(kubeconfig: &Path) -> Result<Config> {
    let read = Kubeconfig::read_from(kubeconfig)
        .map_err(|error| format!("cannot read the kubeconfig {}: {error}", kubeconfig.display()))?;
    Ok(Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?)
}

/// What the process does that [`ControllerProcess`] starts.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn be_the_controller(kubeconfig: &Path, concurrency: Option<u16>) -> Result<ExitCode> {
    telemetry::init(LogFormat::Text, "warn", None);
    let (counter, metrics) = (Counter::default(), Arc::new(Metrics::default()));
    let client = counter.client(config(kubeconfig).await?)?;
    let mut settings = Settings::default();
    settings.concurrency = concurrency.unwrap_or(settings.concurrency);
    let (stop, stopped) = oneshot::channel::<()>();
    let controller = Controller::new(client, settings, metrics.clone());
    // A thread, as reading standard input cannot be cancelled. It ends when the parent does, whatever ended that.
    std::thread::spawn(move || {
        for _ in std::io::stdin().lock().lines().map_while(std::result::Result::ok) {
            let figures = serde_json::to_string(&Figures::of_this_process(&metrics, &counter)).unwrap_or_default();
            let mut out = std::io::stdout().lock();
            if writeln!(out, "{figures}").and_then(|()| out.flush()).is_err() {
                break;
            }
        }
        drop(stop);
    });
    controller.run(stopped.map(drop)).await;
    Ok(ExitCode::SUCCESS)
}

/// The controller's process, seen from outside.
pub(crate) struct ControllerProcess {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    started: Instant,
}

impl ControllerProcess {
    /// Starts this program again, as the controller.
    pub(crate) fn start(kubeconfig: &Path, concurrency: Option<u16>) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--controller").arg("--kubeconfig").arg(kubeconfig);
        if let Some(concurrency) = concurrency {
            command.arg("--concurrency").arg(concurrency.to_string());
        }
        // In a group of its own, so that Ctrl-C is for the parent alone.
        command.process_group(0).kill_on_drop(true);
        let started = Instant::now();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the controller's process has no pipes".into());
        };
        Ok(Self {
            child,
            input,
            output: BufReader::new(output).lines(),
            started,
        })
    }

    async fn figures(&mut self) -> Result<Figures> {
        let asked = self.input.write_all(b"figures\n").await;
        match (asked, self.output.next_line().await?) {
            (Ok(()), Some(line)) => Ok(serde_json::from_str(&line)?),
            _ => Err(format!("the controller's process ended: {}", self.child.wait().await?).into()),
        }
    }

    /// Waits until every watch has delivered its first list.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        while !self.figures().await?.ready {
            if self.started.elapsed() > PATIENCE {
                return Err("the controller's watches did not begin within a minute".into());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits until it does nothing any more. Returns its figures, and how long after its start the last token was
    /// reconciled, in seconds.
    pub(crate) async fn quiet(&mut self) -> Result<(Figures, f64)> {
        let mut last = self.figures().await?;
        let (mut changed, mut reconciled) = (Instant::now(), Instant::now());
        while changed.elapsed() < QUIET {
            tokio::time::sleep(POLL).await;
            let now = self.figures().await?;
            if now.reconciles != last.reconciles {
                reconciled = Instant::now();
            }
            if now.reconciles != last.reconciles || now.requests.by_kind != last.requests.by_kind {
                changed = Instant::now();
            }
            last = now;
        }
        Ok((last, (reconciled - self.started).as_secs_f64()))
    }

    /// Lets it finish and end.
    pub(crate) async fn stop(self) -> Result<()> {
        let Self { mut child, input, .. } = self;
        drop(input);
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
        match ended.map_err(|_| "the controller did not stop within a minute")?? {
            status if status.success() => Ok(()),
            status => Err(format!("the controller's process ended: {status}").into()),
        }
    }
}
