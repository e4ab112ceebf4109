//! Two controllers as processes, of which one leads.

use kube_sandbox::{RequestRecord, Sandbox, testing::Kubectl};
use tempfile::TempDir;

use crate::{http::get, process::Process, shipped};

/// A cluster with the CRDs, an organisation, and the rights that the manifests give to the controller.
async fn cluster(folder: &TempDir) -> (Cluster, Kubectl) {
    let sandbox = Sandbox::new();
    let server = sandbox.serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let kubectl = Kubectl::new(folder.path(), &server.kubeconfig("admin")).unwrap();
    let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
    kubectl.ok(["apply", "--filename", crds]).await;
    kubectl
        .ok(["wait", "--for=condition=Established", "crd", "--all"])
        .await;
    apply(&kubectl, "Organisation", "acme", "{namespaces: {selector: {}}}").await;
    shipped::grant(&kubectl).await;
    let kubeconfig = shipped::kubeconfig(&server.kubeconfig("admin"), "controller");
    let of_controller = folder.path().join("controller");
    std::fs::write(&of_controller, kubeconfig).unwrap();
    let cluster = Cluster {
        sandbox,
        server,
        kubeconfig: of_controller.into_os_string().into_string().unwrap(),
    };
    (cluster, kubectl)
}

struct Cluster {
    sandbox: Sandbox,
    server: kube_sandbox::Server,
    /// The controller's, who may do what the manifests say.
    kubeconfig: String,
}

impl Cluster {
    /// Ends it. Controllers asked for leases and definitions, and for nothing that they may not have.
    async fn end(self) {
        let all = self.sandbox.requests().all();
        let account = shipped::account("controller");
        let asked = all.iter().filter(|request| request.user == account);
        let (refused, granted): (Vec<_>, Vec<_>) = asked.partition(|request| request.code == 403);
        assert_eq!(refused, [] as [&RequestRecord; 0]);
        for (verb, resource) in [
            ("create", "leases"),
            ("get", "leases"),
            ("update", "leases"),
            ("list", "organisations"),
            ("list", "tokenpolicies"),
            ("list", "apitokens"),
        ] {
            let mut granted = granted.iter();
            let has = granted.any(|request| (request.verb.as_str(), request.resource.as_str()) == (verb, resource));
            assert!(has, "no {verb} of {resource}");
        }
        self.server.shutdown().await;
    }
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
fn controller(cluster: &Cluster, lease_duration: &str) -> (Process, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let probes = listener.local_addr().unwrap().to_string();
    drop(listener);
    let process = Process::start(&[
        "controller",
        "--kubeconfig",
        &cluster.kubeconfig,
        "--metrics",
        &probes,
        "--leader-elect",
        "--leader-election-namespace",
        shipped::NAMESPACE,
        "--lease-duration",
        lease_duration,
    ]);
    (process, probes)
}

#[tokio::test]
async fn a_controller_that_is_told_to_end_hands_over_to_the_one_that_stands_by() {
    let folder = TempDir::new().unwrap();
    let (cluster, kubectl) = cluster(&folder).await;
    // Longer than the test waits: only what was released can be taken.
    let (mut first, of_first) = controller(&cluster, "1h");
    first.until("leading").await;
    let (mut second, of_second) = controller(&cluster, "1h");
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
    cluster.end().await;
}

#[tokio::test]
async fn a_controller_that_was_stopped_beyond_its_lease_ends_when_it_goes_on() {
    let folder = TempDir::new().unwrap();
    let (cluster, kubectl) = cluster(&folder).await;
    let (mut first, _) = controller(&cluster, "6s");
    first.until("leading").await;
    let (mut second, _) = controller(&cluster, "6s");
    second.until("standing by").await;
    first.signal("-STOP");
    second.until("leading").await;
    issue(&kubectl, "web").await;
    first.signal("-CONT");
    let said = first.ends_with(1).await;
    assert!(
        said.contains("lost the lease tokenwright-system/tokenwright-controller: "),
        "{said}"
    );
    cluster.end().await;
}
