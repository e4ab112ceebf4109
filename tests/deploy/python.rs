//! Libraries of Python's, asked by the scripts beside this file.

use std::process::Command;

use kube_sandbox::testing::Tool;
use serde_json::Value;

use crate::{render::file, support::run_with};

/// What a script answers, which finds the library in the folder that it is told.
pub(crate) fn python(script: &str, library: &'static Tool, wanted: &Value) -> Value {
    let program = library.locate().unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new("python3");
    let command = command
        .arg(file("tests/deploy").join(script))
        .arg(program.ancestors().nth(2).unwrap())
        .env("HOME", home.path())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let output = run_with(command, &wanted.to_string());
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}
