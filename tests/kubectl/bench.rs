//! How `bench-issue` ends: exit codes, Ctrl-C, and what it leaves behind.

use std::{fmt::Debug, fs, path::Path, time::Duration};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::{
    api::core::v1::Namespace, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, WatchParams},
    runtime::wait::await_condition,
};
use kube_sandbox::{
    Sandbox, Server,
    faults::{Fault, Match},
};
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokenwright::api::{ApiToken, crds};
use tokio::time::{Instant, timeout};

use crate::process::{LIMIT, Process};

fn bench(arguments: &[&str]) -> Process {
    let built = Path::new(env!("CARGO_BIN_EXE_tokenwright")).with_file_name("examples");
    let program = built.join("bench-issue");
    assert!(
        program.exists(),
        "cargo test builds it, unless it is told which tests to build: cargo build --example bench-issue"
    );
    Process::of(program, arguments, &[])
}

/// An API server, and the path of a kubeconfig for it.
async fn serve(folder: &TempDir) -> (Sandbox, Server, String) {
    let sandbox = Sandbox::new();
    let server = sandbox.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let path = folder.path().join("kubeconfig");
    fs::write(&path, server.kubeconfig("admin")).unwrap();
    (sandbox, server, path.to_str().unwrap().to_owned())
}

async fn is_gone<K>(api: Api<K>, name: &str)
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let gone = await_condition(api, name, |found: Option<&K>| found.is_none());
    timeout(LIMIT, gone).await.unwrap().unwrap();
}

#[tokio::test]
async fn it_ends_with_zero_when_the_promises_are_kept() {
    let said = bench(&["--tokens", "1"]).ends_with(0).await;
    assert!(
        said.contains("Three writes for each token, none after a restart, less than 50 MiB for up to 10,000: kept."),
        "{said}"
    );
}

#[tokio::test]
async fn it_ends_with_one_when_a_promise_is_broken() {
    let folder = TempDir::new().unwrap();
    let (sandbox, _server, kubeconfig) = serve(&folder).await;
    let status = Match::any().verb("update").resource("apitokens").subresource("status");
    sandbox.faults().inject(status.times(1), Fault::conflict());
    let said = bench(&["--tokens", "1", "--kubeconfig", &kubeconfig])
        .ends_with(1)
        .await;
    assert!(
        said.contains("issuing: 3 times update apitokens/status and not 2"),
        "{said}"
    );
}

#[tokio::test]
async fn it_ends_with_two_and_a_sentence_when_nothing_can_be_measured() {
    let folder = TempDir::new().unwrap();
    let (_sandbox, server, kubeconfig) = serve(&folder).await;
    server.shutdown().await;
    let missing = folder.path().join("missing");
    for (arguments, sentence) in [
        (["--tokens", "0"], "invalid value '0' for '--tokens <N>'"),
        (
            ["--kubeconfig", &kubeconfig],
            "cannot reach the cluster at https://127.0.0.1:",
        ),
        (
            ["--kubeconfig", missing.to_str().unwrap()],
            "cannot read the kubeconfig",
        ),
    ] {
        let said = bench(&arguments).ends_with(2).await;
        assert!(said.contains(sentence), "{said}");
    }
}

#[tokio::test]
async fn ctrl_c_ends_it_at_once_and_nothing_of_it_stays_on_the_cluster() {
    let folder = TempDir::new().unwrap();
    let (sandbox, _server, kubeconfig) = serve(&folder).await;
    let client = Client::new(sandbox.service(), "default");
    let mut running = bench(&["--tokens", "1000000", "--kubeconfig", &kubeconfig]);
    running.until("issuing").await;
    let tokens: Api<ApiToken> = Api::all(client.clone());
    let mut first = tokens.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    timeout(LIMIT, first.try_next()).await.unwrap().unwrap();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let made = namespaces.list(&ListParams::default()).await.unwrap();
    let made = made
        .into_iter()
        .find(|it| it.name_any().starts_with("bench-issue-"))
        .unwrap();

    let since = Instant::now();
    running.signal("-INT");
    let said = running.ends_with(130).await;
    // It is less than one, where nothing else keeps the machine busy.
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "{:?}: {said}",
        since.elapsed()
    );
    assert!(said.contains("the cluster deletes what was made on it"), "{said}");

    is_gone(namespaces, &made.name_any()).await;
    for definition in crds() {
        is_gone::<CustomResourceDefinition>(Api::all(client.clone()), &definition.name_any()).await;
    }
}
