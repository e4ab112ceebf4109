//! The rights that the manifests give to controller and verifier, and those as whom nobody else runs.

use kube_sandbox::testing::Kubectl;
use serde_json::Value;

/// Where the manifests install.
pub(crate) const NAMESPACE: &str = "tokenwright-system";

const MANIFESTS: [&str; 4] = [
    "base/namespace.yaml",
    "base/controller-rights.yaml",
    "base/verifier-rights.yaml",
    "overlays/all-namespaces/rights.yaml",
];

/// The account of a component, as the API server calls it.
pub(crate) fn account(component: &str) -> String {
    format!("system:serviceaccount:{NAMESPACE}:tokenwright-{component}")
}

/// Gives both accounts what the overlay of all namespaces gives them, and nothing else.
pub(crate) async fn grant(kubectl: &Kubectl) {
    for manifest in MANIFESTS {
        let path = format!("{}/deploy/kustomize/{manifest}", env!("CARGO_MANIFEST_DIR"));
        kubectl.ok(["apply", "--filename", &path]).await;
    }
}

/// An administrator's kubeconfig, by which a component's account acts.
pub(crate) fn kubeconfig(administrators: &str, component: &str) -> String {
    let mut kubeconfig: Value = serde_saphyr::from_str(administrators).unwrap();
    for user in kubeconfig["users"].as_array_mut().unwrap() {
        user["user"]["as"] = account(component).into();
    }
    kubeconfig.to_string()
}
