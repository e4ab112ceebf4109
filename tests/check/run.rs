//! Running `tokenwright check`.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

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
    let mut child = Command::new(env!("CARGO_BIN_EXE_tokenwright"))
        .arg("check")
        .args(arguments)
        .current_dir(Path::new(ROOT).join(folder))
        .env_remove("KUBECONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // One that ends without reading has closed it.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
