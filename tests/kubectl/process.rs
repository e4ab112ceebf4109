//! A running `tokenwright`, or another program, and all that it says.

use std::{ffi::OsStr, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::mpsc,
};

/// How long anything may take. Far above what it does take, so that a slow machine does not fail a test.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

pub(crate) struct Process {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    said: String,
}

impl Process {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// The same with these variables.
    pub(crate) fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::of(env!("CARGO_BIN_EXE_tokenwright"), arguments, variables)
    }

    /// Another program.
    pub(crate) fn of(program: impl AsRef<OsStr>, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .envs(variables.iter().copied())
            .env_remove("KUBECONFIG")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::unbounded_channel();
        pump(child.stdout.take().unwrap(), sender.clone());
        pump(child.stderr.take().unwrap(), sender);
        Self {
            child,
            lines,
            said: String::new(),
        }
    }

    /// Reads until a line contains this text, and returns the line.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        let reading = async {
            while let Some(line) = self.lines.recv().await {
                self.said.push_str(&line);
                self.said.push('\n');
                if line.contains(text) {
                    return line;
                }
            }
            panic!("it ended without saying {text:?}:\n{}", self.said);
        };
        tokio::time::timeout(LIMIT, reading)
            .await
            .unwrap_or_else(|_| panic!("it did not say {text:?} in time"))
    }

    /// Reads until a line contains this text, and returns the word that follows it.
    pub(crate) async fn word_after(&mut self, text: &str) -> String {
        let line = self.until(text).await;
        let (_, rest) = line.split_once(text).unwrap();
        let is_end = |character: char| character == ',' || character.is_whitespace();
        rest.split(is_end).next().unwrap().to_owned()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(
            std::process::Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for its end, which has to come with this exit code. Returns all it said.
    pub(crate) async fn ends_with(mut self, code: i32) -> String {
        let status = tokio::time::timeout(LIMIT, self.child.wait())
            .await
            .expect("it does not end")
            .unwrap();
        while let Some(line) = self.lines.recv().await {
            self.said.push_str(&line);
            self.said.push('\n');
        }
        assert_eq!(status.code(), Some(code), "{}", self.said);
        self.said
    }
}

fn pump(from: impl tokio::io::AsyncRead + Unpin + Send + 'static, to: mpsc::UnboundedSender<String>) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let _ = to.send(line);
        }
    });
}
