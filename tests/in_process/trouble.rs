//! What others do that stands in the way: refusals, finalizers, webhooks.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube_sandbox::faults::{Fault, Match};
use serde_json::{Value, json};

use crate::cluster::Cluster;

async fn edit_secret(cluster: &Cluster, edit: Value) {
    cluster
        .secrets()
        .patch("web", &PatchParams::default(), &Patch::Merge(edit))
        .await
        .unwrap();
    cluster.idle().await;
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_may_not_be_read_does_not_stop_the_token() {
    let cluster = Cluster::start().await;
    let restart = json!([{ "kind": "Deployment", "name": "web" }]);
    let spec = json!({ "expiry": { "after": "3d", "action": "Rotate" }, "rotation": { "restart": restart } });
    cluster.issue("web", spec).await;
    let read = Match::any().verb("get").resource("deployments");
    cluster.refuses();
    cluster.sandbox.faults().inject(read, Fault::forbidden());
    cluster.pass_hours(24 * 10).await;
    let token = cluster.token("web").await;
    assert!(
        token.held().is_some() && token.status().rotations >= 4,
        "{:?}",
        token.status()
    );
    assert!(
        token.message().contains("refused to look at a workload to restart"),
        "{}",
        token.message()
    );
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_may_not_be_restarted_does_not_keep_the_others_from_it() {
    let cluster = Cluster::start().await;
    let deployments = cluster.deployments(&["a", "b"]).await;
    let restart = json!([{ "kind": "Deployment", "name": "a" }, { "kind": "Deployment", "name": "b" }]);
    cluster
        .issue("web", json!({ "rotation": { "restart": restart } }))
        .await;
    let patch = Match::any().verb("patch").resource("deployments").name("a");
    cluster.refuses();
    cluster.sandbox.faults().inject(patch, Fault::forbidden());
    cluster.patch("web", json!({ "rotation": { "trigger": "2" } })).await;
    cluster.pass_hours(24).await;
    let template = deployments.get("b").await.unwrap().spec.unwrap().template;
    assert_eq!(template.metadata.unwrap().annotations.unwrap().len(), 1);
    let token = cluster.token("web").await;
    assert_eq!((token.ready(), token.accepted().len()), (("True", "Rotating"), 2));
    assert!(
        token.message().contains("refused to restart a workload"),
        "{}",
        token.message()
    );
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_may_not_be_read_is_said_so_and_what_time_ends_ends() {
    let mut cluster = Cluster::start().await;
    cluster
        .issue("web", json!({ "expiry": { "after": "3d", "action": "Rotate" } }))
        .await;
    cluster.refuses();
    let read = cluster
        .sandbox
        .faults()
        .inject(Match::any().verb("get").resource("secrets"), Fault::forbidden());
    cluster.stop().await;
    cluster.run_controller();
    cluster.pass_hours(24 * 10).await;
    let status = cluster.tokens().get("web").await.unwrap().status.unwrap();
    let ready = tokenwright::api::condition::find(&status.conditions, "Ready").unwrap();
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", "SecretAccessDenied")
    );
    assert!(
        ready.message.contains("refused to read Secret \"web\""),
        "{}",
        ready.message
    );
    read.remove();
    cluster.pass(Duration::from_secs(310)).await;
    let token = cluster.token("web").await;
    assert_eq!((token.ready().0, token.held()), ("True", Some(2)));
}

#[tokio::test(start_paused = true)]
async fn a_finalizer_on_the_secret_is_waited_for_in_peace() {
    let cluster = Cluster::start().await;
    cluster.issue("web", json!({ "expiry": { "after": "1h" } })).await;
    edit_secret(
        &cluster,
        json!({ "metadata": { "finalizers": ["example.com/backup"] } }),
    )
    .await;
    cluster.pass(Duration::from_secs(10)).await;
    cluster.writes();
    cluster.pass_hours(2).await;
    assert_eq!(
        cluster.writes(),
        [
            "update apitokens/status",
            "delete secrets",
            "update organisations/status"
        ]
    );
    assert_eq!(cluster.token("web").await.ready(), ("False", "Expired"));
    edit_secret(&cluster, json!({ "metadata": { "finalizers": null } })).await;
    assert!(cluster.token("web").await.secret.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_quotes_the_token_does_not_bring_it_into_the_status() {
    let cluster = Cluster::start().await;
    cluster.refuses();
    let refuse = cluster
        .sandbox
        .faults()
        .inject(Match::any().verb("update").resource("secrets"), Fault::forbidden());
    let before = cluster.issue("web", json!({})).await;
    refuse.remove();
    let plain = before.value("token").unwrap();
    let encoded = serde_json::to_value(k8s_openapi::ByteString(plain.clone().into_bytes())).unwrap();
    let quoting = Fault::Fail(kube_sandbox::faults::Failure {
        code: 403,
        reason: "Forbidden".to_owned(),
        message: format!("denied: {plain} {}", encoded.as_str().unwrap()),
        retry_after: None,
    });
    cluster
        .sandbox
        .faults()
        .inject(Match::any().verb("update").resource("secrets"), quoting);
    cluster
        .patch("web", json!({ "secret": { "labels": { "a": "b" } } }))
        .await;
    let token = cluster.token("web").await;
    assert_eq!(token.ready(), ("False", "SecretAccessDenied"));
    assert!(
        token.message().contains("denied: (the token) (the token)"),
        "{}",
        token.message()
    );
}

#[tokio::test(start_paused = true)]
async fn an_edit_of_one_key_replaces_the_token_too() {
    let cluster = Cluster::start().await;
    cluster.issue("web", json!({})).await;
    edit_secret(&cluster, json!({ "stringData": { "token": "mine" } })).await;
    let token = cluster.token("web").await;
    assert_eq!((token.held(), token.status().rotations), (Some(2), 1));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_over_is_not_told_again() {
    let cluster = Cluster::start().await;
    cluster.issue("web", json!({ "expiry": { "after": "1h" } })).await;
    cluster.refuses();
    let refuse = cluster.sandbox.faults().inject(
        Match::any().verb("delete").resource("secrets").times(1),
        Fault::forbidden(),
    );
    cluster.pass_hours(2).await;
    assert_eq!(refuse.hits(), 1);
    assert_eq!(cluster.token("web").await.ready(), ("False", "Expired"));
    cluster
        .patch("web", json!({ "rotation": { "trigger": "again" } }))
        .await;
    let token = cluster.token("web").await;
    assert_eq!((token.ready(), token.held()), (("True", "Issued"), Some(2)));
    assert!(!cluster.events("web").await[1..].contains(&"SecretAccessDenied".to_owned()));
}
