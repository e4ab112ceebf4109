//! Libraries of Python's, asked by the scripts beside this file.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use kube_sandbox::testing::Tool;
use serde_json::Value;

use crate::render::file;

/// What a script answers, which finds the library in the folder that it is told.
pub(crate) fn python(script: &str, library: &'static Tool, wanted: &Value) -> Value {
    let program = library.locate().unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new("python3")
        .arg(file("tests/deploy").join(script))
        .arg(program.ancestors().nth(2).unwrap())
        .env("HOME", home.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(wanted.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}
