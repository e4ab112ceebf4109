//! Helm, by its SDK: PyPI carries that, and not the command.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use kube_sandbox::testing::Tool;
use serde_json::{Value, json};

use crate::render::{NAMESPACE, file};

/// Where releases are installed.
pub(crate) const RELEASED: &str = "tokenwright-release";

/// Helm 4.2.
const SDK: Tool = Tool {
    name: "helm-python-sdk",
    version: "0.2.2",
    package: "helm-python-sdk",
    program: "helm_python/__init__.py",
    variable: "HELM_PYTHON_SDK",
};

/// What Helm makes of the chart; or why it does not.
pub(crate) fn helm(action: &str, values: &Value, kubeconfig: Option<&Path>) -> Result<Value, String> {
    let sdk = SDK.locate().unwrap();
    let sdk = sdk.ancestors().nth(2).unwrap();
    // On a server in one of its own, as kubectl looks after the other.
    let namespace = if kubeconfig.is_some() { RELEASED } else { NAMESPACE };
    let wanted = json!({
        "action": action, "chart": file("deploy/chart"), "values": values, "release": "tokenwright",
        "namespace": namespace, "kubeconfig": kubeconfig,
    });
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new("python3")
        .arg(file("tests/deploy/helm.py"))
        .arg(sdk)
        .env("HOME", home.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(wanted.to_string().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let mut answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    match answer["error"].as_str() {
        Some(error) => Err(error.to_owned()),
        None => Ok(answer["ok"].take()),
    }
}
