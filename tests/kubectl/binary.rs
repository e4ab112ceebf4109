//! What the modes do as processes: arguments, exit codes, files, signals.

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use kube_sandbox::{Sandbox, testing::Kubectl};
use tempfile::TempDir;

use crate::{http::get, process::Process};

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

#[tokio::test]
async fn once_ends_with_zero_when_every_token_is_ready() {
    let folder = TempDir::new().unwrap();
    let kubeconfig = path(&folder, "deep/er/kubeconfig");
    let said = Process::start(&["sandbox", "--once", "--kubeconfig", &kubeconfig])
        .ends_with(0)
        .await;
    assert!(
        said.contains("apitoken.tokenwright.dev/rotating created") && said.contains("acme_…"),
        "{said}"
    );
    assert!(!fs::exists(kubeconfig).unwrap());
}

#[tokio::test]
async fn each_of_the_five_products_folders_applies_as_it_is() {
    let folder = TempDir::new().unwrap();
    let kubeconfig = path(&folder, "kubeconfig");
    let mut arguments = vec!["sandbox", "--once", "--kubeconfig", &kubeconfig];
    let products = ["appetize", "fingoti", "finout", "logscale", "royaltyport"];
    let folders = products.map(|name| format!("examples/systems/{name}"));
    arguments.extend(folders.iter().flat_map(|folder| ["--apply", folder]));
    let said = Process::start(&arguments).ends_with(0).await;
    assert_eq!(said.matches("apitoken.tokenwright.dev/").count(), 13, "{said}");
}

#[tokio::test]
async fn once_ends_with_one_and_the_reasons_when_a_token_is_refused() {
    let folder = TempDir::new().unwrap();
    let kubeconfig = path(&folder, "kubeconfig");
    let arguments = [
        "sandbox",
        "--once",
        "--timeout",
        "1",
        "--kubeconfig",
        &kubeconfig,
        "--apply",
    ];
    let files = ["examples/quickstart.yaml", "--apply", "examples/refused.yaml"];
    let said = Process::start(&[&arguments[..], &files[..]].concat())
        .ends_with(1)
        .await;
    assert!(
        said.contains("not Ready after 1 s: apitoken shop/refused: RoleNotFound"),
        "{said}"
    );
}

#[tokio::test]
async fn a_manifest_that_is_refused_is_said_to_be() {
    let folder = TempDir::new().unwrap();
    let manifest = "apiVersion: tokenwright.dev/v1alpha1\nkind: ApiToken\nmetadata: {name: a}\nspec: {organisation: acme, rol: x}\n";
    fs::write(folder.path().join("a.yaml"), manifest).unwrap();
    let (kubeconfig, manifests) = (path(&folder, "kubeconfig"), path(&folder, ""));
    let arguments = ["sandbox", "--once", "--kubeconfig", &kubeconfig, "--apply", &manifests];
    let said = Process::start(&arguments).ends_with(1).await;
    assert!(
        said.contains("refused") && said.contains("unknown field \"spec.rol\""),
        "{said}"
    );
}

#[tokio::test]
async fn wrong_arguments_are_explained() {
    let cases: [(&[&str], i32, &str); 18] = [
        (
            &["sandbox", "--apply", "no/such.yaml", "--once"],
            1,
            "cannot read no/such.yaml",
        ),
        (&["sandbox", "--listen", "0.0.0.0:0", "--once"], 2, "write 127.0.0.1:0"),
        (
            &["controller", "--kubeconfig", "no/such"],
            1,
            "cannot read the kubeconfig no/such",
        ),
        (&["controller", "--concurrency", "0"], 2, "0 is not in 1..=1024"),
        (
            &["controller", "--leader-elect", "--lease-duration", "2s"],
            2,
            "must be between 3s and 1h",
        ),
        (&["controller", "--lease-name", "mine"], 2, "--leader-elect"),
        (&["sandbox", "--timeout", "5"], 2, "--once"),
        (&["sandbox", "--http", "0.0.0.0:0", "--once"], 2, "loopback"),
        (&["sandbox", "--kubeconfig", "/", "--once"], 2, "name another file with"),
        (&["controller", "--metrics", "9000"], 2, "such as 127.0.0.1:9000"),
        (&["controller", "--namespaces", ","], 2, "names no namespace"),
        (&["verifier", "--namespaces", ""], 2, "names no namespace"),
        (
            &["verifier", "--namespaces", "shop shop2"],
            2,
            "separate names with commas",
        ),
        (&["controller", "--log", "inof"], 2, "\"inof\" is no level"),
        (&["verifier", "--log", "a=b=c"], 2, "no level of a module"),
        (&["verifier", "--max-staleness", "0s"], 2, "longer than zero"),
        (&["verifier", "--trusted-proxies", "10.0.0.0/33"], 2, "10.0.0.0/8"),
        (&["verifier", "--tls-cert", "a.pem"], 2, "--tls-key"),
    ];
    for (arguments, expected, words) in cases {
        let said = Process::start(arguments).ends_with(expected).await;
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

/// Runs it to its end with a variable.
fn run(arguments: &[&str], variable: (&str, &str), out: impl Into<Stdio>, err: impl Into<Stdio>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokenwright"));
    command.args(arguments).env_remove("KUBECONFIG").env_remove("RUST_LOG");
    let command = command.env(variable.0, variable.1).stdin(Stdio::null());
    let child = command.stdout(out).stderr(err).spawn().unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn an_empty_variable_does_not_stand_for_all_namespaces() {
    for mode in ["controller", "verifier"] {
        let ended = run(&[mode], ("TOKENWRIGHT_NAMESPACES", ""), Stdio::null(), Stdio::piped());
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{said}");
        assert!(said.contains("names no namespace"), "{said}");
    }
}

#[test]
fn output_that_nobody_reads_is_no_mistake_and_output_that_cannot_be_written_is() {
    let closed = || std::io::pipe().unwrap().1;
    let folder = TempDir::new().unwrap();
    let kubeconfig = path(&folder, "kubeconfig");
    let none = ("NO_COLOR", "1");
    for arguments in [
        &["crd"][..],
        &["sandbox", "--once", "--kubeconfig", &kubeconfig],
        &["check", "examples/quickstart.yaml"],
    ] {
        let ended = run(arguments, none, closed(), Stdio::piped());
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(0), "{arguments:?}: {said}");
        assert_eq!(
            run(arguments, none, closed(), closed()).status.code(),
            Some(0),
            "{arguments:?}"
        );
    }
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    for arguments in [&["crd"][..], &["sandbox", "--once", "--kubeconfig", &kubeconfig]] {
        let ended = run(arguments, none, full.try_clone().unwrap(), Stdio::piped());
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {said}");
        let why = "tokenwright: cannot write to standard output: No space left";
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
}

#[test]
fn the_kubeconfig_of_another_cluster_is_neither_replaced_nor_removed() {
    let folder = TempDir::new().unwrap();
    let kubeconfig = path(&folder, "config");
    let live = "apiVersion: v1\nkind: Config\nclusters: [{name: live, cluster: {server: \"https://192.0.2.1\"}}]\n";
    fs::write(&kubeconfig, live).unwrap();
    let arguments = ["sandbox", "--once", "--kubeconfig", &kubeconfig];
    let ended = run(&arguments, ("NO_COLOR", "1"), Stdio::null(), Stdio::piped());
    let said = String::from_utf8(ended.stderr).unwrap();
    let expected = format!(
        "tokenwright: {kubeconfig} is there and is no sandbox's kubeconfig: name another file with --kubeconfig\n"
    );
    assert_eq!((ended.status.code(), said), (Some(2), expected));
    assert_eq!(fs::read_to_string(&kubeconfig).unwrap(), live);
}

#[tokio::test]
async fn the_sandbox_ends_cleanly_and_starts_again() {
    let folder = TempDir::new().unwrap();
    let kubeconfig = path(&folder, "kubeconfig");
    for signal in ["-INT", "-TERM"] {
        let mut process = Process::start(&["sandbox", "--kubeconfig", &kubeconfig]);
        process.until("Ctrl-C ends it").await;
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&kubeconfig).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        process.signal(signal);
        process.ends_with(0).await;
        assert!(!fs::exists(&kubeconfig).unwrap());
    }
}

#[tokio::test]
async fn the_controller_waits_for_the_crds_serves_probes_keeps_to_its_namespaces_and_ends_when_told() {
    let folder = TempDir::new().unwrap();
    let server = Sandbox::new().serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let kubectl = Kubectl::new(folder.path(), &server.kubeconfig("admin")).unwrap();
    let kubeconfig = kubectl.kubeconfig().to_str().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let probes = format!("127.0.0.1:{port}");
    let arguments = [
        "controller",
        "--kubeconfig",
        kubeconfig,
        "--metrics",
        &probes,
        "--namespaces",
        "a,b",
        "--log-format",
        "json",
    ];
    let mut controller = Process::start(&arguments);
    controller.until(r#""namespaces":"a,b""#).await;
    controller.until("the CRDs are not installed").await;
    assert_eq!(get(&probes, "/healthz").await, "200 ok\n");
    assert!(get(&probes, "/readyz").await.starts_with("503"));

    let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
    let established = ["wait", "--for=condition=Established", "crd", "--all"];
    for kind in ["organisations", "apitokens"] {
        kubectl
            .ok(["apply", "--filename", &format!("{crds}/{kind}.yaml")])
            .await;
    }
    kubectl.ok(established).await;
    // The look that was under way may say it once more.
    for _ in 0..2 {
        controller.until("the CRDs are not installed").await;
    }
    kubectl.ok(["apply", "--filename", crds]).await;
    for namespace in ["a", "b", "c"] {
        kubectl.ok(["create", "namespace", namespace]).await;
    }
    let organisation = "apiVersion: tokenwright.dev/v1alpha1\nkind: Organisation\nmetadata: {name: acme}\nspec: {namespaces: {selector: {}}}\n";
    let tokens = ["c", "a", "b"].map(|namespace| {
        format!("---\napiVersion: tokenwright.dev/v1alpha1\nkind: ApiToken\nmetadata: {{name: t, namespace: {namespace}}}\nspec: {{organisation: acme, role: Admin}}\n")
    });
    kubectl.ok(established).await;
    let applied = kubectl
        .run_with(
            ["apply", "--filename", "-"],
            &format!("{organisation}{}", tokens.concat()),
        )
        .await;
    assert!(applied.success, "{}", applied.stderr);
    let ready = controller.until(r#""message":"ready""#).await;
    assert!(ready.contains(r#""tokens":"#), "{ready}");
    for namespace in ["a", "b"] {
        kubectl
            .ok([
                "wait",
                "--for=condition=Ready",
                "apitoken/t",
                "--namespace",
                namespace,
                "--timeout=60s",
            ])
            .await;
    }
    let elsewhere = kubectl
        .ok([
            "get",
            "apitoken",
            "t",
            "--namespace",
            "c",
            "--output",
            "jsonpath={.status}",
        ])
        .await;
    assert_eq!(elsewhere, "");
    assert_eq!(get(&probes, "/readyz").await, "200 ok\n");
    let metrics = get(&probes, "/metrics").await;
    assert!(metrics.contains("tokenwright_credentials_minted_total 2"), "{metrics}");

    controller.signal("-TERM");
    let said = controller.ends_with(0).await;
    assert!(said.contains(r#""message":"stopped""#), "{said}");
    server.shutdown().await;
}
