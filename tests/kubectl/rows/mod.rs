//! The rows: each is something a user does, and what they then see. All of them are played on the sandbox, and on a real
//! API server where one is at hand.

mod life;
mod policy;
mod refusal;
mod view;

use std::{pin::Pin, sync::Arc};

use tempfile::TempDir;

use crate::{
    admission, confined, members,
    process::Process,
    shipped,
    stage::{ROW_LIMIT, Stage},
    support::{Server, say},
    systems, verified,
};

type Row = (
    &'static str,
    for<'a> fn(&'a Stage) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
);

macro_rules! rows {
    ($($module:ident: $($name:ident)*;)*) => {
        &[$($((stringify!($name), |stage| Box::pin($module::$name(stage))),)*)*]
    };
}

const ROWS: &[Row] = rows![
    life: issue trigger due_rotation deleted_secret edited_secret renamed_keys labels_of_the_secret
        expiry_delete expiry_retain cleanup not_before shown_once restart deletion;
    refusal: suspended refused_role unknown_field organisation_missing organisation_suspended
        namespace_not_allowed secret_in_the_way personal;
    view: table_and_columns describe_and_events explain_and_discovery selectors no_drift counts;
    policy: policy_previewed policy_denying policy_in_error;
    members: members assignees;
    admission: issuing orphans restarts personal_tokens created_by status bystanders;
    confined: confined_rights confined_secrets confined_workloads;
    verified: verified last_used;
    systems: appetize fingoti finout logscale royaltyport;
];

/// Plays rows at the same time, each in a namespace of its own.
async fn play(
    home: &TempDir,
    kubeconfig: &str,
    rows: impl Iterator<Item = &'static Row>,
    rolls_out: bool,
    verifier: &str,
) {
    let (home, kubeconfig) = (Arc::new(home.path().to_owned()), Arc::new(kubeconfig.to_owned()));
    let verifier: Arc<str> = verifier.into();
    let mut playing = Vec::new();
    for (name, row) in rows {
        let (home, kubeconfig, verifier) = (home.clone(), kubeconfig.clone(), verifier.clone());
        let played = tokio::spawn(async move {
            let stage = Stage::set(&home, &kubeconfig, &name.replace('_', "-"), rolls_out, &verifier).await;
            tokio::time::timeout(ROW_LIMIT, row(&stage))
                .await
                .expect("the row took too long");
        });
        playing.push((name, played));
    }
    let mut failed = Vec::new();
    for (name, played) in playing {
        if played.await.is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "failed rows: {failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_holds_in_the_sandbox() {
    let home = TempDir::new().unwrap();
    let kubeconfig = home.path().join("sandbox/kubeconfig");
    let path = kubeconfig.to_str().unwrap();
    let any = "127.0.0.1:0";
    let arguments = [
        "sandbox",
        "--kubeconfig",
        path,
        "--http",
        any,
        "--grpc",
        any,
        "--log",
        "debug",
    ];
    let mut sandbox = Process::start(&arguments);
    let verifier = sandbox.word_after("The verifier answers on http://").await;
    sandbox.until("Ctrl-C ends it").await;
    let kubeconfig = std::fs::read_to_string(kubeconfig).unwrap();
    play(&home, &kubeconfig, ROWS.iter(), true, &verifier).await;
    let tokens = every_token(&home, &kubeconfig).await;
    sandbox.signal("-INT");
    let said = sandbox.ends_with(0).await;
    assert!(tokens.len() > 10, "only {} tokens were seen", tokens.len());
    assert!(
        !tokens.iter().any(|token| said.contains(token.as_str())),
        "a token was printed or logged"
    );
}

/// The tokens in all Secrets.
async fn every_token(home: &TempDir, kubeconfig: &str) -> Vec<String> {
    let kubectl = kube_sandbox::testing::Kubectl::new(&home.path().join("all"), kubeconfig).unwrap();
    let template = "go-template={{range .items}}{{range .data}}{{. | base64decode}}\n{{end}}{{end}}";
    let values = kubectl
        .ok(["get", "secrets", "--all-namespaces", "--output", template])
        .await;
    values
        .lines()
        .filter(|value| value.contains("_o") || value.contains("_p"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_holds_on_a_real_api_server() {
    let Some(server) = Server::real().await else { return };
    let path = server.kubeconfig().to_str().unwrap();
    let home = TempDir::new().unwrap();
    let kubeconfig = std::fs::read_to_string(path).unwrap();
    let kubectl = kube_sandbox::testing::Kubectl::new(&home.path().join("setup"), &kubeconfig).unwrap();
    kubectl
        .ok(["apply", "--filename", concat!(env!("CARGO_MANIFEST_DIR"), "/crds")])
        .await;
    let stamps = admission::install(&kubectl).await;
    if !stamps {
        say("left out on the real server: the rows of appetize and created_by: it has no MutatingAdmissionPolicy");
    }
    // Both run as they are installed: with their own accounts, and the rights that the manifests give these.
    shipped::grant(&kubectl).await;
    let [of_controller, of_verifier] = ["controller", "verifier"].map(|component| {
        let path = home.path().join(component);
        std::fs::write(&path, shipped::kubeconfig(&kubeconfig, component)).unwrap();
        path.into_os_string().into_string().unwrap()
    });
    let mut controller = Process::start(&[
        "controller",
        "--kubeconfig",
        &of_controller,
        "--metrics",
        "127.0.0.1:0",
        "--leader-elect",
        "--leader-election-namespace",
        shipped::NAMESPACE,
        "--trust-created-by",
        "--log",
        "debug",
    ]);
    controller.until("leading").await;
    let any = "127.0.0.1:0";
    let verifier = [
        "verifier",
        "--kubeconfig",
        &of_verifier,
        "--http",
        any,
        "--grpc",
        any,
        "--metrics",
        any,
    ];
    let settings = [
        "--trusted-proxies",
        "127.0.0.1",
        "--last-used-interval",
        "10s",
        "--log",
        "debug",
    ];
    let mut verifier = Process::start(&[&verifier[..], &settings[..]].concat());
    let address = verifier.word_after("http=").await;
    let cleans_up = server.cleans_up("the rows of deletion and bystanders");
    let rows = ROWS.iter().filter(|(name, _)| match *name {
        "deletion" | "bystanders" => cleans_up,
        "appetize" | "created_by" => stamps,
        _ => true,
    });
    play(&home, &kubeconfig, rows, false, &address).await;
    let tokens = every_token(&home, &kubeconfig).await;
    for process in [controller, verifier] {
        process.signal("-INT");
        let said = process.ends_with(0).await;
        assert!(
            !tokens.iter().any(|token| said.contains(token.as_str())),
            "a token was logged"
        );
        // As RBAC says it, and as the policies do.
        for refusal in ["\" cannot ", "holds the verb confined"] {
            let refused: Vec<&str> = said.lines().filter(|line| line.contains(refusal)).collect();
            assert_eq!(refused, [""; 0]);
        }
    }
}
