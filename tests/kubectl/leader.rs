//! Two controllers as processes, of which one leads.

use kube_sandbox::{Sandbox, testing::Kubectl};
use tempfile::TempDir;

use crate::{http::get, process::Process};

/// A cluster with the CRDs and an organisation.
async fn cluster(folder: &TempDir) -> (kube_sandbox::Server, Kubectl) {
    let server = Sandbox::new().serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let kubectl = Kubectl::new(folder.path(), &server.kubeconfig("admin")).unwrap();
    let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
    kubectl.ok(["apply", "--filename", crds]).await;
    kubectl
        .ok(["wait", "--for=condition=Established", "crd", "--all"])
        .await;
    apply(&kubectl, "Organisation", "acme", "{namespaces: {selector: {}}}").await;
    (server, kubectl)
}

async fn apply(kubectl: &Kubectl, kind: &str, name: &str, spec: &str) {
    let manifest =
        format!("apiVersion: tokenwright.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n");
    let applied = kubectl.run_with(["apply", "--filename", "-"], &manifest).await;
    assert!(applied.success, "{}", applied.stderr);
}

/// Applies a token and waits until it is issued.
async fn issue(kubectl: &Kubectl, name: &str) {
    apply(kubectl, "ApiToken", name, "{organisation: acme, role: Admin}").await;
    let token = format!("apitoken/{name}");
    kubectl
        .ok(["wait", "--for=condition=Ready", &token, "--timeout=60s"])
        .await;
}

/// A controller that takes part in the election, and where it is probed.
fn controller(kubectl: &Kubectl, lease_duration: &str) -> (Process, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let probes = listener.local_addr().unwrap().to_string();
    drop(listener);
    let kubeconfig = kubectl.kubeconfig().to_str().unwrap();
    let process = Process::start(&[
        "controller",
        "--kubeconfig",
        kubeconfig,
        "--metrics",
        &probes,
        "--leader-elect",
        "--lease-duration",
        lease_duration,
    ]);
    (process, probes)
}

#[tokio::test]
async fn a_controller_that_is_told_to_end_hands_over_to_the_one_that_stands_by() {
    let folder = TempDir::new().unwrap();
    let (server, kubectl) = cluster(&folder).await;
    // Longer than the test waits: only what was released can be taken.
    let (mut first, of_first) = controller(&kubectl, "1h");
    first.until("leading").await;
    let (mut second, of_second) = controller(&kubectl, "1h");
    second.until("standing by").await;
    issue(&kubectl, "web").await;
    for (probes, ready, leader) in [
        (&of_first, "ok", 1),
        (&of_second, "standing by: another controller leads", 0),
    ] {
        assert_eq!(get(probes, "/readyz").await, format!("200 {ready}\n"));
        let metrics = get(probes, "/metrics").await;
        assert!(
            metrics.contains(&format!("\ntokenwright_leader {leader}\n")),
            "{metrics}"
        );
    }

    first.signal("-TERM");
    let said = first.ends_with(0).await;
    assert!(said.contains("released the lease"), "{said}");
    second.until("leading").await;
    issue(&kubectl, "blog").await;
    second.signal("-TERM");
    second.ends_with(0).await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_controller_that_was_stopped_beyond_its_lease_ends_when_it_goes_on() {
    let folder = TempDir::new().unwrap();
    let (server, kubectl) = cluster(&folder).await;
    let (mut first, _) = controller(&kubectl, "6s");
    first.until("leading").await;
    let (mut second, _) = controller(&kubectl, "6s");
    second.until("standing by").await;
    first.signal("-STOP");
    second.until("leading").await;
    issue(&kubectl, "web").await;
    first.signal("-CONT");
    let said = first.ends_with(1).await;
    assert!(
        said.contains("lost the lease default/tokenwright-controller: "),
        "{said}"
    );
    server.shutdown().await;
}
