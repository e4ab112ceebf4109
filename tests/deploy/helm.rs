//! Helm, by its SDK: PyPI carries that, and not the command.

use std::path::Path;

use kube_sandbox::testing::Tool;
use serde_json::{Value, json};

use crate::{
    python::python,
    render::{NAMESPACE, file},
};

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
    // On a server in one of its own, as kubectl looks after the other.
    let namespace = if kubeconfig.is_some() { RELEASED } else { NAMESPACE };
    let wanted = json!({
        "action": action, "chart": file("deploy/chart"), "values": values, "release": "tokenwright",
        "namespace": namespace, "kubeconfig": kubeconfig,
    });
    let mut answer = python("helm.py", &SDK, &wanted);
    match answer["error"].as_str() {
        Some(error) => Err(error.to_owned()),
        None => Ok(answer["ok"].take()),
    }
}
