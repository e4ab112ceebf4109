use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube_sandbox::faults::{Fault, Match};
use serde_json::json;

use crate::cluster::{Cluster, cpu_time};

const THREE_WRITES: [&str; 3] = ["update apitokens/status", "create secrets", "update apitokens/status"];

#[tokio::test(start_paused = true)]
async fn a_token_costs_three_writes_and_no_read() {
    let cluster = Cluster::start().await;
    cluster.sandbox.requests().clear();
    let token = cluster.issue("web", json!({})).await;
    assert_eq!(token.ready(), ("True", "Issued"));
    assert_eq!(token.held(), Some(1));
    let plain = token.value("token").unwrap();
    assert_eq!(
        token.status().masked_token,
        Some(format!("acme_…{}", &plain[plain.len() - 4..]))
    );
    let reads: Vec<_> = cluster
        .reads()
        .into_iter()
        .filter(|read| read != "get apitokens")
        .collect();
    // The one read of the Secret is the test's own.
    assert_eq!(reads, ["get secrets"]);
    let ours = |write: &String| write != "create apitokens" && write != "update organisations/status";
    assert_eq!(
        cluster.writes().into_iter().filter(ours).collect::<Vec<_>>(),
        THREE_WRITES
    );
    assert_eq!(cluster.events("web").await, ["Issued"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_when_nothing_is_to_do_nor_after_a_restart() {
    let mut cluster = Cluster::start().await;
    cluster.issue("plain", json!({})).await;
    cluster
        .issue(
            "renamed",
            json!({ "secret": { "name": "key", "keys": { "token": "API" }, "labels": { "a": "b" } } }),
        )
        .await;
    cluster
        .issue("once", json!({ "secret": { "delivery": "Once", "claimWindow": "1h" } }))
        .await;
    cluster.issue("refused", json!({ "role": "Boss" })).await;
    cluster.issue("expired", json!({ "expiry": { "after": "1h" } })).await;
    cluster
        .issue("rotating", json!({ "expiry": { "after": "900d", "action": "Rotate" } }))
        .await;
    cluster.pass_hours(2).await;
    cluster.writes();
    cluster.pass_hours(24).await;
    assert_eq!(cluster.writes(), [""; 0]);
    cluster.stop().await;
    cluster.run_controller();
    cluster.pass_hours(24).await;
    assert_eq!(cluster.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn ninety_day_tokens_rotate_for_ten_years_in_no_time() {
    const BOUND: Duration = Duration::from_secs(1);
    let mut quickest = Duration::MAX;
    // Half of it is what it takes, although this build is not optimised. What else the machine does can only slow this
    // down, so the quickest of some tells.
    for _ in 0..8 {
        let cluster = Cluster::start().await;
        let rotating = json!({ "expiry": { "after": "90d", "action": "Rotate" } });
        cluster.issue("web", rotating).await;
        let started = cpu_time();
        cluster.pass_hours(24 * 3650).await;
        quickest = quickest.min(cpu_time() - started);
        let token = cluster.token("web").await;
        assert_eq!(
            (token.ready().0, token.status().rotations, token.accepted().len()),
            ("True", 60, 1)
        );
        assert!(token.held().is_some());
        if quickest < BOUND {
            break;
        }
    }
    assert!(quickest < BOUND, "ten years took {quickest:?}");
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_loses_its_secret_and_its_record_when_asked() {
    let cluster = Cluster::start().await;
    cluster
        .issue("web", json!({ "expiry": { "after": "1h", "cleanupAfter": "1h" } }))
        .await;
    cluster.pass_hours(1).await;
    let token = cluster.token("web").await;
    assert_eq!((token.ready(), token.secret.is_none()), (("False", "Expired"), true));
    // The sandbox keeps Events for an hour, as the real server does.
    assert_eq!(cluster.events("web").await, ["Expired"]);
    cluster.pass_hours(1).await;
    assert!(cluster.tokens().get_opt("web").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_token_takes_its_secret_along() {
    let cluster = Cluster::start().await;
    cluster.issue("web", json!({})).await;
    cluster.tokens().delete("web", &DeleteParams::default()).await.unwrap();
    cluster.idle().await;
    assert!(cluster.secrets().get_opt("web").await.unwrap().is_none());
    let again = cluster.issue("web", json!({})).await;
    assert_eq!((again.ready(), again.held()), (("True", "Issued"), Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_token_made_anew_gets_its_secret_as_soon_as_the_old_one_is_collected() {
    let cluster = Cluster::start().await;
    cluster.issue("web", json!({})).await;
    cluster.sandbox.hold_garbage_collector();
    cluster.tokens().delete("web", &DeleteParams::default()).await.unwrap();
    cluster.issue("web", json!({})).await;
    cluster.pass(Duration::from_secs(1)).await;
    let again = cluster.token("web").await;
    assert_eq!(again.ready(), ("False", "SecretConflict"));
    cluster.sandbox.release_garbage_collector();
    cluster.pass(Duration::from_secs(1)).await;
    assert_eq!(cluster.token("web").await.ready(), ("True", "Issued"));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_secret_is_a_request_for_a_new_credential() {
    let cluster = Cluster::start().await;
    let before = cluster.issue("web", json!({})).await.value("token");
    cluster.delete_secret("web").await;
    let token = cluster.token("web").await;
    assert_ne!(token.value("token"), before);
    assert_eq!((token.held(), token.accepted().len()), (Some(2), 2));
    assert_eq!(cluster.events("web").await, ["Issued", "SecretDeleted", "Rotated"]);
}

#[tokio::test(start_paused = true)]
async fn an_edited_secret_is_replaced_and_said_so() {
    let cluster = Cluster::start().await;
    cluster.issue("web", json!({})).await;
    let edit = json!({ "stringData": { "token": "mine", "secret-key": "mine" } });
    cluster
        .secrets()
        .patch("web", &PatchParams::default(), &Patch::Merge(edit))
        .await
        .unwrap();
    cluster.idle().await;
    let token = cluster.token("web").await;
    assert_eq!((token.held(), token.ready().0), (Some(2), "True"));
    assert_eq!(cluster.events("web").await, ["Issued", "SecretEdited", "Rotated"]);
}

#[tokio::test(start_paused = true)]
async fn labels_and_annotations_taken_off_the_secret_come_back_and_the_token_stays() {
    let cluster = Cluster::start().await;
    let before = cluster.issue("web", json!({ "expiry": { "after": "90d" } })).await;
    let edit = json!({ "metadata": { "labels": null, "annotations": null } });
    cluster
        .secrets()
        .patch("web", &PatchParams::default(), &Patch::Merge(edit))
        .await
        .unwrap();
    cluster.idle().await;
    let token = cluster.token("web").await;
    assert_eq!(token.value("token"), before.value("token"));
    let metadata = |token: &crate::cluster::Token| {
        let metadata = token.secret.as_ref().unwrap().metadata.clone();
        (metadata.labels, metadata.annotations)
    };
    assert_eq!(metadata(&token), metadata(&before));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_cannot_be_changed_is_made_anew() {
    let cluster = Cluster::start().await;
    cluster.issue("web", json!({})).await;
    cluster
        .secrets()
        .patch(
            "web",
            &PatchParams::default(),
            &Patch::Merge(json!({ "immutable": true })),
        )
        .await
        .unwrap();
    cluster.patch("web", json!({ "rotation": { "trigger": "x" } })).await;
    let token = cluster.token("web").await;
    assert_eq!((token.held(), token.ready().0), (Some(2), "True"));
}

#[tokio::test(start_paused = true)]
async fn a_secret_in_the_way_is_not_touched_and_waited_for() {
    let cluster = Cluster::start().await;
    let theirs =
        serde_json::from_value(json!({ "metadata": { "name": "web" }, "stringData": { "token": "theirs" } })).unwrap();
    let theirs = cluster.secrets().create(&PostParams::default(), &theirs).await.unwrap();
    cluster.issue("web", json!({})).await;
    cluster.pass(Duration::from_secs(3)).await;
    let token = cluster.token("web").await;
    assert_eq!(token.ready(), ("False", "SecretConflict"));
    assert_eq!(
        token.secret.unwrap().metadata.resource_version,
        theirs.metadata.resource_version
    );
    cluster.writes();
    cluster.pass_hours(1).await;
    assert_eq!(cluster.writes(), [""; 0]);
    cluster.delete_secret("web").await;
    cluster.pass(Duration::from_secs(31)).await;
    assert_eq!(cluster.token("web").await.ready(), ("True", "Issued"));
}

#[tokio::test(start_paused = true)]
async fn a_token_delivered_once_goes_from_its_secret_when_claimed_and_works_on() {
    let cluster = Cluster::start().await;
    cluster.issue("web", json!({ "secret": { "delivery": "Once" } })).await;
    let claim = json!({ "metadata": { "annotations": { "tokenwright.dev/claimed": "true" } } });
    cluster
        .secrets()
        .patch("web", &PatchParams::default(), &Patch::Merge(claim))
        .await
        .unwrap();
    cluster.idle().await;
    let token = cluster.token("web").await;
    assert_eq!(
        (token.secret.is_none(), token.accepted().len(), token.ready()),
        (true, 1, ("True", "Issued"))
    );
    assert!(token.message().contains("shown once"), "{}", token.message());
}

#[tokio::test(start_paused = true)]
async fn workloads_restart_once_and_the_old_credential_waits_for_them() {
    let cluster = Cluster::start().await;
    let deployments = cluster.deployments(&["api"]).await;
    let stamps = async || {
        let found = deployments.get("api").await.unwrap();
        found
            .spec
            .unwrap()
            .template
            .metadata
            .unwrap()
            .annotations
            .unwrap_or_default()
    };
    let restart = json!({ "restart": [{ "kind": "Deployment", "name": "api" }], "overlap": "1m" });
    cluster.issue("web", json!({ "rotation": restart })).await;
    assert_eq!(stamps().await.len(), 0);

    cluster.sandbox.hold_rollouts();
    cluster.patch("web", json!({ "rotation": { "trigger": "x" } })).await;
    let uid = cluster.token("web").await.token.metadata.uid.unwrap();
    assert_eq!(
        stamps().await.get("credential.tokenwright.dev/web"),
        Some(&format!("{uid}/2"))
    );
    cluster.pass(Duration::from_secs(3)).await;
    cluster.writes();
    cluster.pass_hours(3).await;
    let token = cluster.token("web").await;
    assert_eq!(
        (token.accepted().len(), token.ready(), cluster.writes().len()),
        (2, ("True", "Rotating"), 0)
    );

    cluster.sandbox.release_rollouts();
    cluster.pass(Duration::from_secs(31)).await;
    let token = cluster.token("web").await;
    assert_eq!((token.accepted().len(), token.ready()), (1, ("True", "Issued")));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_the_api_server_is_a_condition_and_not_a_storm() {
    use kube_sandbox::faults::{Fault, Match};
    let cluster = Cluster::start().await;
    cluster.refuses();
    let refuse = cluster
        .sandbox
        .faults()
        .inject(Match::any().verb("create").resource("secrets"), Fault::forbidden());
    let token = cluster.issue("web", json!({})).await;
    assert_eq!(token.ready(), ("False", "SecretAccessDenied"));
    assert!(token.message().contains("It is tried again"), "{}", token.message());
    // An API server keeps an Event for an hour.
    cluster.pass(Duration::from_secs(3000)).await;
    assert_eq!(cluster.events("web").await, ["SecretAccessDenied"]);
    cluster.pass(Duration::from_secs(600)).await;
    assert!((12..40).contains(&refuse.hits()), "{} tries in an hour", refuse.hits());
    cluster.writes();
    refuse.remove();
    cluster.pass_hours(1).await;
    let token = cluster.token("web").await;
    assert_eq!((token.ready(), token.held()), (("True", "Issued"), Some(1)));
    assert_eq!(
        cluster.writes(),
        [
            "create secrets",
            "update apitokens/status",
            "update organisations/status"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_lost_its_owner_is_noticed() {
    let cluster = Cluster::start().await;
    cluster.issue("web", json!({ "secret": { "name": "key" } })).await;
    let patch = json!({ "metadata": { "ownerReferences": null } });
    cluster
        .secrets()
        .patch("key", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
    cluster.idle().await;
    assert_eq!(cluster.token("web").await.ready().1, "SecretConflict");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_is_reported_and_disturbs_nobody() {
    use kube::api::{ApiResource, DynamicObject};
    let cluster = Cluster::start().await;
    cluster.loosen_schema("apitokens").await;
    let resource = ApiResource::erase::<tokenwright::api::ApiToken>(&());
    let api: kube::Api<DynamicObject> = kube::Api::namespaced_with(cluster.client.clone(), "shop", &resource);
    let odd = DynamicObject::new("odd", &resource)
        .data(json!({ "spec": { "organisation": "acme", "role": "Admin", "expiry": { "after": "soon" } } }));
    api.create(&PostParams::default(), &odd).await.unwrap();
    let fine = cluster.issue("fine", json!({})).await;
    assert_eq!(fine.ready(), ("True", "Issued"));
    let odd = api.get("odd").await.unwrap();
    let ready = odd.data.pointer("/status/conditions/0").unwrap();
    assert_eq!(
        (&ready["type"], &ready["reason"]),
        (&json!("Ready"), &json!("InvalidSpec"))
    );
    assert_eq!(odd.data["status"]["observedGeneration"], json!(1));
    assert!(
        ready["message"].as_str().unwrap().contains("30d, 12h, 90m or 1d12h"),
        "{ready}"
    );
    cluster.pass(Duration::from_secs(3)).await;
    cluster.writes();
    cluster.pass_hours(24).await;
    assert_eq!(cluster.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_metrics_tell_what_somebody_should_look_at() {
    let cluster = Cluster::start().await;
    let told = |name: &str| {
        let metrics = cluster.metrics.encode();
        let lines = metrics.lines();
        lines
            .filter_map(|line| line.strip_prefix("tokenwright_")?.strip_prefix(name)?.split_once(' '))
            .map(|(labels, value)| format!("{labels}{value}"))
            .collect::<Vec<_>>()
    };
    cluster.issue("brief", json!({ "expiry": { "after": "20h" } })).await;
    cluster.issue("refused", json!({ "role": "Boss" })).await;
    assert_eq!(told("tokens_expiring"), ["1"]);
    let mut reasons = told("tokens{");
    reasons.sort();
    assert_eq!(reasons, ["reason=\"Issued\"}1", "reason=\"RoleNotFound\"}1"]);
    cluster.pass_hours(20).await;
    assert_eq!(
        (told("tokens_expiring"), told("tokens{").len()),
        (vec!["0".to_owned()], 3)
    );
    for line in ["reason=\"Expired\"}1", "reason=\"Issued\"}0"] {
        assert!(told("tokens{").contains(&line.to_owned()), "{line}");
    }

    let rotating = json!({ "expiry": { "after": "3h", "action": "Rotate" } });
    cluster.issue("rotating", rotating).await;
    cluster.sandbox.faults().inject(Match::writes(), Fault::unavailable());
    cluster.pass_hours(2).await;
    assert_eq!(told("rotations_overdue"), ["0"]);
    cluster.pass(Duration::from_secs(300)).await;
    assert_eq!(told("rotations_overdue"), ["1"]);
    cluster.sandbox.faults().clear();
    cluster.pass(Duration::from_secs(600)).await;
    assert_eq!(told("rotations_overdue"), ["0"]);
}
