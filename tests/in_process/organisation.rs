use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use kube_sandbox::faults::{Fault, Match};
use serde_json::json;
use tokenwright::api::{Organisation, TokenCounts};

use crate::{cluster::Cluster, deployed::CONTROLLER};

async fn counts(cluster: &Cluster) -> TokenCounts {
    let organisations: Api<Organisation> = Api::all(cluster.client.clone());
    organisations.get("acme").await.unwrap().status.unwrap().tokens.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_organisation_counts_its_tokens() {
    let cluster = Cluster::start().await;
    cluster.issue("a", json!({})).await;
    cluster.issue("b", json!({ "expiry": { "after": "1h" } })).await;
    cluster.issue("c", json!({ "suspended": true })).await;
    cluster.pass(Duration::from_secs(3)).await;
    let expected = TokenCounts {
        total: 3,
        active: 2,
        expiring: 1,
        suspended: 1,
        ..TokenCounts::default()
    };
    assert_eq!(counts(&cluster).await, expected);
    cluster.pass_hours(2).await;
    cluster.tokens().delete("a", &DeleteParams::default()).await.unwrap();
    cluster.pass(Duration::from_secs(3)).await;
    let expected = TokenCounts {
        total: 2,
        expired: 1,
        suspended: 1,
        ..TokenCounts::default()
    };
    assert_eq!(counts(&cluster).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_sees_some_namespaces_does_not_count() {
    let mut cluster = Cluster::watching(&["shop"]).await;
    cluster.run_controller();
    assert_eq!(cluster.issue("web", json!({})).await.ready(), ("True", "Issued"));
    cluster.pass(Duration::from_secs(5)).await;
    assert!(!cluster.writes().contains(&"update organisations/status".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn many_tokens_change_the_counts_a_few_times_only() {
    let cluster = Cluster::start().await;
    cluster.writes();
    for number in 0..200 {
        cluster.create(&format!("t{number}"), json!({})).await;
    }
    cluster.pass(Duration::from_secs(5)).await;
    assert_eq!(counts(&cluster).await.active, 200);
    let of_organisation = cluster
        .writes()
        .iter()
        .filter(|write| *write == "update organisations/status")
        .count();
    assert!(of_organisation <= 3, "{of_organisation} writes");
}

#[tokio::test(start_paused = true)]
async fn a_busy_organisation_is_counted_too() {
    let cluster = Cluster::start().await;
    for number in 0..40 {
        cluster.create(&format!("t{number}"), json!({})).await;
        cluster.pass(Duration::from_millis(500)).await;
    }
    let active = counts(&cluster).await.active;
    assert!(active >= 35, "{active} counted");
}

/// A Personal token whose user stays no member, and whose Secret could not be written for so long that the next try is
/// minutes away.
async fn token_in_a_long_pause() -> Cluster {
    let cluster = Cluster::start().await;
    cluster
        .organisation(json!({ "members": [{ "kind": "User", "name": "ann", "role": "Admin" }] }))
        .await;
    cluster.idle().await;
    cluster.issue("web", json!({ "type": "Personal", "user": "ann" })).await;
    cluster.refuses();
    cluster.sandbox.faults().inject(
        Match::any().verb("update").resource("secrets").user(CONTROLLER),
        Fault::forbidden(),
    );
    let patch = json!({ "metadata": { "labels": { "tokenwright.dev/organisation": "x" } } });
    cluster
        .secrets()
        .patch("web", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
    cluster.pass(Duration::from_secs(1800)).await;
    cluster
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_organisation_ends_a_tokens_pause() {
    let cluster = token_in_a_long_pause().await;
    cluster.organisation(json!({})).await;
    cluster.pass(Duration::from_secs(1)).await;
    assert!(cluster.token("web").await.secret.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_change_that_only_a_new_list_shows_ends_a_tokens_pause_too() {
    let cluster = token_in_a_long_pause().await;
    cluster.sandbox.faults().pause_watches("organisations");
    cluster.organisation(json!({})).await;
    cluster.sandbox.faults().expire_watches("organisations");
    cluster.sandbox.faults().resume_watches("organisations");
    cluster.pass(Duration::from_secs(5)).await;
    assert!(cluster.token("web").await.secret.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_counts_does_not_end_a_pause() {
    let cluster = token_in_a_long_pause().await;
    cluster.writes();
    let tries = cluster.sandbox.faults().inject(
        Match::any().verb("get").resource("secrets").name("web"),
        Fault::Delay(Duration::ZERO),
    );
    // Just after a try, the next is minutes away.
    while tries.hits() == 0 {
        cluster.pass(Duration::from_secs(1)).await;
    }
    let before = tries.hits();
    cluster.issue("other", json!({})).await;
    cluster.pass(Duration::from_secs(5)).await;
    assert_eq!(counts(&cluster).await.total, 2);
    assert_eq!(tries.hits(), before);
}

#[tokio::test(start_paused = true)]
async fn an_organisation_that_cannot_be_read_says_so() {
    let cluster = Cluster::start().await;
    cluster.loosen_schema("organisations").await;
    let resource = ApiResource::erase::<Organisation>(&());
    let api: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &resource);
    let odd = DynamicObject::new("odd", &resource).data(json!({ "spec": { "tokenPrefix": 7 } }));
    api.create(&PostParams::default(), &odd).await.unwrap();
    cluster.pass(Duration::from_secs(3)).await;
    let odd = api.get("odd").await.unwrap();
    let status = &odd.data["status"];
    assert_eq!(status["observedGeneration"], json!(1), "{status}");
    let ready = &status["conditions"][0];
    assert_eq!(
        (&ready["type"], &ready["status"], &ready["reason"]),
        (&json!("Ready"), &json!("False"), &json!("InvalidSpec"))
    );
    let message = ready["message"].as_str().unwrap();
    assert!(message.starts_with("The Organisation cannot be read: "), "{message}");
    cluster.writes();
    cluster.pass_hours(24).await;
    assert_eq!(cluster.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn tokens_follow_their_organisation() {
    let cluster = Cluster::start().await;
    cluster.issue("web", json!({})).await;
    let steps = [
        (json!({ "suspended": true }), "OrganisationSuspended"),
        (json!({ "namespaces": {} }), "NamespaceNotAllowed"),
        (json!({ "roles": [{ "name": "Other" }] }), "RoleNotFound"),
        (json!({}), "Issued"),
    ];
    for (spec, reason) in steps {
        cluster.organisation(spec).await;
        cluster.idle().await;
        assert_eq!(cluster.token("web").await.ready().1, reason);
    }
    let organisations: Api<Organisation> = Api::all(cluster.client.clone());
    organisations.delete("acme", &DeleteParams::default()).await.unwrap();
    cluster.idle().await;
    let token = cluster.token("web").await;
    assert_eq!(
        (token.ready().1, token.secret.is_some()),
        ("OrganisationNotFound", true)
    );
    cluster.organisation(json!({})).await;
    cluster.idle().await;
    assert_eq!(cluster.token("web").await.ready(), ("True", "Issued"));
    assert_eq!(cluster.token("web").await.held(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_namespace_is_allowed_by_its_labels_as_they_change() {
    let cluster = Cluster::start().await;
    cluster
        .organisation(json!({ "namespaces": { "selector": { "matchLabels": { "tokens": "yes" } } } }))
        .await;
    let token = cluster.issue("web", json!({})).await;
    assert_eq!(token.ready().1, "NamespaceNotAllowed");
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    for (label, reason) in [
        (json!("yes"), "Issued"),
        (json!(null), "NamespaceNotAllowed"),
        (json!("yes"), "Issued"),
    ] {
        let patch = json!({ "metadata": { "labels": { "tokens": label } } });
        namespaces
            .patch("shop", &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
        cluster.idle().await;
        assert_eq!(cluster.token("web").await.ready().1, reason);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_namespace_goes_with_everything_in_it() {
    let cluster = Cluster::start().await;
    cluster.issue("web", json!({})).await;
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    namespaces.delete("shop", &DeleteParams::default()).await.unwrap();
    cluster.pass(Duration::from_secs(30)).await;
    assert!(namespaces.get_opt("shop").await.unwrap().is_none());
}
