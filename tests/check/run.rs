//! Running `tokenwright check`.

use std::{path::Path, process::Command};

use crate::support::run_with;

pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// How it ended and what it said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs it in a folder of the repository.
pub(crate) fn check(folder: &str, arguments: &[&str]) -> Ended {
    check_with_input(folder, arguments, "")
}

pub(crate) fn check_with_input(folder: &str, arguments: &[&str], input: &str) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokenwright"));
    let command = command
        .arg("check")
        .args(arguments)
        .current_dir(Path::new(ROOT).join(folder))
        .env_remove("KUBECONFIG");
    let output = run_with(command, input);
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
