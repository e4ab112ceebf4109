//! Who may read a token's Secret.

use std::time::Duration;

use k8s_openapi::api::{
    core::v1::Secret,
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams, PropagationPolicy},
};
use kube_sandbox::faults::{Fault, Match};
use serde_json::{Value, json};
use tokenwright::api::condition;

use crate::cluster::Cluster;

fn user(name: &str) -> Value {
    json!({ "assignees": { "subjects": [{ "kind": "User", "name": name }] } })
}

async fn may_read(cluster: &Cluster, user: &str) -> bool {
    cluster.may(user, "get", "", "secrets", "web").await
}

/// Status, reason and message of Assigned; None where the token has no such condition.
async fn assigned(cluster: &Cluster) -> Option<(String, String, String)> {
    let token = cluster.token("web").await;
    let assigned = condition::find(&token.status().conditions, "Assigned")?.clone();
    Some((assigned.status, assigned.reason, assigned.message))
}

async fn reason(cluster: &Cluster) -> Option<String> {
    assigned(cluster).await.map(|(_, reason, _)| reason)
}

#[tokio::test(start_paused = true)]
async fn assignees_may_read_that_secret_and_no_other_until_they_are_unassigned() {
    let cluster = Cluster::start().await;
    cluster.issue("other", json!({})).await;
    cluster.issue("web", user("ann")).await;
    assert_eq!(reason(&cluster).await.as_deref(), Some("Assigned"));
    assert!(may_read(&cluster, "ann").await && !may_read(&cluster, "bob").await);
    for (verb, name) in [
        ("get", "other"),
        ("get", ""),
        ("list", ""),
        ("update", "web"),
        ("delete", "web"),
    ] {
        assert!(!cluster.may("ann", verb, "", "secrets", name).await, "{verb} {name}");
    }
    cluster.patch("web", user("bob")).await;
    assert!(!may_read(&cluster, "ann").await && may_read(&cluster, "bob").await);
    cluster.patch("web", json!({ "assignees": null })).await;
    assert_eq!(
        (
            may_read(&cluster, "bob").await,
            cluster.kept::<Role, RoleBinding>().await,
            reason(&cluster).await
        ),
        (false, vec![], None)
    );
}

#[tokio::test(start_paused = true)]
async fn everyone_is_every_member_as_they_come_and_go() {
    let cluster = Cluster::start().await;
    let member = |name: &str| json!({ "members": [{ "kind": "User", "name": name, "role": "Member" }] });
    cluster.issue("web", json!({ "assignees": { "everyone": true } })).await;
    let (status, reason, message) = assigned(&cluster).await.unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("False", "NobodyAssigned"));
    assert!(message.contains("organisation \"acme\" has no members"), "{message}");
    for (here, gone) in [("ann", "bob"), ("bob", "ann")] {
        cluster.organisation(member(here)).await;
        cluster.idle().await;
        assert!(may_read(&cluster, here).await && !may_read(&cluster, gone).await);
    }
    cluster.organisation(json!({})).await;
    cluster.idle().await;
    assert_eq!(
        (
            may_read(&cluster, "bob").await,
            cluster.kept::<Role, RoleBinding>().await
        ),
        (false, vec![])
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_while_nothing_changes() {
    let mut cluster = Cluster::start().await;
    cluster.issue("web", user("ann")).await;
    // The organisation is counted a second later.
    cluster.pass(Duration::from_secs(5)).await;
    let first = cluster.writes();
    let count = |what: &str| first.iter().filter(|write| *write == what).count();
    assert_eq!(
        (count("create roles"), count("create rolebindings")),
        (1, 1),
        "{first:?}"
    );
    cluster.pass_hours(24).await;
    cluster.stop().await;
    cluster.run_controller();
    cluster.pass(Duration::from_secs(5)).await;
    assert_eq!(cluster.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_right_goes_with_the_secret_and_is_there_for_the_next() {
    let cluster = Cluster::start().await;
    let mut spec = user("ann");
    spec["expiry"] = json!({ "after": "1h" });
    cluster.issue("web", spec).await;
    cluster.writes();
    cluster.delete_secret("web").await;
    assert!(may_read(&cluster, "ann").await && cluster.token("web").await.held() == Some(2));
    assert!(!cluster.writes().iter().any(|write| write.contains("roles")));
    cluster.pass_hours(2).await;
    assert_eq!(
        (
            may_read(&cluster, "ann").await,
            cluster.kept::<Role, RoleBinding>().await,
            reason(&cluster).await.as_deref()
        ),
        (false, vec![], Some("NothingToRead"))
    );
    cluster
        .patch("web", json!({ "rotation": { "trigger": "again" } }))
        .await;
    assert!(may_read(&cluster, "ann").await);
}

#[tokio::test(start_paused = true)]
async fn a_secret_of_somebody_elses_is_never_shown_to_assignees() {
    let cluster = Cluster::start().await;
    let theirs: Secret = serde_json::from_value(json!({ "metadata": {
        "name": "web", "labels": { "app.kubernetes.io/managed-by": "tokenwright" },
    } }))
    .unwrap();
    cluster.secrets().create(&PostParams::default(), &theirs).await.unwrap();
    let token = cluster.issue("web", user("eve")).await;
    assert_eq!(
        (token.ready().1, reason(&cluster).await.as_deref()),
        ("SecretConflict", Some("NothingToRead"))
    );
    assert_eq!(
        (
            may_read(&cluster, "eve").await,
            cluster.kept::<Role, RoleBinding>().await
        ),
        (false, vec![])
    );

    // Nor one that takes the place of the token's own.
    cluster.delete_secret("web").await;
    cluster.pass(Duration::from_secs(60)).await;
    assert!(may_read(&cluster, "eve").await);
    let disown = Patch::Merge(json!({ "metadata": { "ownerReferences": null } }));
    cluster
        .secrets()
        .patch("web", &PatchParams::default(), &disown)
        .await
        .unwrap();
    cluster.idle().await;
    assert!(!may_read(&cluster, "eve").await);
}

#[tokio::test(start_paused = true)]
async fn an_edit_by_hand_is_put_right() {
    let cluster = Cluster::start().await;
    cluster.issue("web", user("ann")).await;
    let roles: Api<Role> = Api::namespaced(cluster.client.clone(), "shop");
    let bindings: Api<RoleBinding> = Api::namespaced(cluster.client.clone(), "shop");
    let name = "tokenwright:web:assignees";
    let wider = Patch::Merge(json!({ "rules": [{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["*"] }] }));
    roles.patch(name, &PatchParams::default(), &wider).await.unwrap();
    cluster.idle().await;
    assert!(may_read(&cluster, "ann").await && !cluster.may("ann", "list", "", "secrets", "").await);
    bindings.delete(name, &DeleteParams::default()).await.unwrap();
    cluster.idle().await;
    assert!(may_read(&cluster, "ann").await);
    let disown = Patch::Merge(json!({ "metadata": { "ownerReferences": null } }));
    bindings.patch(name, &PatchParams::default(), &disown).await.unwrap();
    cluster.idle().await;
    let owners = bindings.get(name).await.unwrap().metadata.owner_references;
    assert_eq!(owners.map(|owners| owners[0].name.clone()).as_deref(), Some("web"));
}

#[tokio::test(start_paused = true)]
async fn the_right_goes_with_the_token() {
    let cluster = Cluster::start().await;
    cluster.issue("web", user("ann")).await;
    cluster.tokens().delete("web", &DeleteParams::default()).await.unwrap();
    cluster.pass(Duration::from_secs(3)).await;
    assert_eq!(
        (
            may_read(&cluster, "ann").await,
            cluster.kept::<Role, RoleBinding>().await
        ),
        (false, vec![])
    );
}

#[tokio::test(start_paused = true)]
async fn the_right_goes_before_a_token_that_a_finalizer_keeps() {
    let cluster = Cluster::start().await;
    cluster.issue("web", user("eve")).await;
    let hold = Patch::Merge(json!({ "metadata": { "finalizers": ["example.com/hold"] } }));
    let tokens = cluster.tokens();
    tokens.patch("web", &PatchParams::default(), &hold).await.unwrap();
    tokens.delete("web", &DeleteParams::default()).await.unwrap();
    cluster.idle().await;
    assert!(tokens.get("web").await.unwrap().metadata.deletion_timestamp.is_some());
    assert_eq!(
        (
            may_read(&cluster, "eve").await,
            cluster.kept::<Role, RoleBinding>().await
        ),
        (false, vec![])
    );
}

fn orphaning() -> DeleteParams {
    DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        ..DeleteParams::default()
    }
}

#[tokio::test(start_paused = true)]
async fn no_right_outlives_a_token_that_is_deleted_without_its_dependents() {
    let mut cluster = Cluster::start().await;
    for watched in [true, false] {
        cluster.issue("web", user("eve")).await;
        if !watched {
            cluster.stop().await;
        }
        cluster.tokens().delete("web", &orphaning()).await.unwrap();
        cluster.idle().await;
        assert_eq!(may_read(&cluster, "eve").await, !watched);
        if !watched {
            cluster.run_controller();
            cluster.idle().await;
        }
        assert_eq!(
            (
                may_read(&cluster, "eve").await,
                cluster.kept::<Role, RoleBinding>().await
            ),
            (false, vec![])
        );
        // The Secret is nobody's now, and not touched.
        let secret = cluster.secrets().get("web").await.unwrap();
        assert_eq!(secret.metadata.owner_references, None);
        cluster.delete_secret("web").await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_orphan_is_taken_away_however_often_that_fails_and_what_is_not_ours_is_left() {
    let mut cluster = Cluster::start().await;
    cluster.issue("web", user("eve")).await;
    cluster.stop().await;
    cluster.tokens().delete("web", &orphaning()).await.unwrap();
    let roles: Api<Role> = Api::namespaced(cluster.client.clone(), "shop");
    let theirs = json!({ "metadata": {
        "name": "tokenwright:other:assignees", "labels": { "app.kubernetes.io/managed-by": "tokenwright" },
    } });
    let theirs: Role = serde_json::from_value(theirs).unwrap();
    roles.create(&PostParams::default(), &theirs).await.unwrap();
    for resource in ["roles", "rolebindings"] {
        let refused = Match::any().verb("delete").resource(resource).times(5);
        cluster.refuses();
        cluster.sandbox.faults().inject(refused, Fault::forbidden());
    }
    cluster.run_controller();
    cluster.pass(Duration::from_secs(60)).await;
    assert_eq!(
        (
            may_read(&cluster, "eve").await,
            cluster.kept::<Role, RoleBinding>().await
        ),
        (false, vec!["tokenwright:other:assignees".to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn an_orphan_whose_owner_goes_later_is_taken_away_by_the_next_list() {
    let mut cluster = Cluster::start().await;
    cluster.issue("web", user("eve")).await;
    cluster.stop().await;
    let name = "tokenwright:web:assignees";
    let loose = Patch::Merge(json!({ "metadata": { "ownerReferences": null } }));
    let (roles, bindings): (Api<Role>, Api<RoleBinding>) = (
        Api::namespaced(cluster.client.clone(), "shop"),
        Api::namespaced(cluster.client.clone(), "shop"),
    );
    roles.patch(name, &PatchParams::default(), &loose).await.unwrap();
    bindings.patch(name, &PatchParams::default(), &loose).await.unwrap();
    // The owner is there, and cannot take them back.
    cluster.refuses();
    for resource in ["roles", "rolebindings"] {
        let refused = Match::any().verb("update").resource(resource).times(100);
        cluster.sandbox.faults().inject(refused, Fault::forbidden());
    }
    cluster.run_controller();
    cluster.pass(Duration::from_secs(10)).await;
    cluster.tokens().delete("web", &orphaning()).await.unwrap();
    cluster.pass(Duration::from_secs(10)).await;
    assert!(may_read(&cluster, "eve").await);
    for resource in ["roles", "rolebindings"] {
        cluster.sandbox.faults().expire_watches(resource);
    }
    cluster.pass(Duration::from_secs(70)).await;
    assert_eq!(
        (
            may_read(&cluster, "eve").await,
            cluster.kept::<Role, RoleBinding>().await
        ),
        (false, vec![])
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ours_or_not_allowed_is_said_and_the_token_works_on() {
    let cluster = Cluster::start().await;
    let bindings: Api<RoleBinding> = Api::namespaced(cluster.client.clone(), "shop");
    let name = "tokenwright:web:assignees";
    let theirs = json!({
        "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view" },
    });
    let theirs: RoleBinding = serde_json::from_value(theirs).unwrap();
    let theirs = bindings.create(&PostParams::default(), &theirs).await.unwrap();
    let token = cluster.issue("web", user("ann")).await;
    assert_eq!(token.ready(), ("True", "Issued"));
    assert_eq!(reason(&cluster).await.as_deref(), Some("RightsConflict"));
    assert!(cluster.events("web").await.contains(&"RightsConflict".to_owned()));
    assert_eq!(bindings.get(name).await.unwrap(), theirs);

    bindings.delete(name, &DeleteParams::default()).await.unwrap();
    cluster.refuses();
    let refusal = cluster
        .sandbox
        .faults()
        .inject(Match::any().verb("create").resource("rolebindings"), Fault::forbidden());
    cluster.pass(Duration::from_secs(310)).await;
    let (_, reason, message) = assigned(&cluster).await.unwrap();
    assert_eq!(reason, "RightsDenied");
    assert!(
        message.starts_with("The API server refused to grant a right: "),
        "{message}"
    );
    cluster.writes();
    cluster.pass_hours(5).await;
    assert_eq!(cluster.writes(), [""; 0]);
    refusal.remove();
    cluster.pass(Duration::from_secs(310)).await;
    assert!(may_read(&cluster, "ann").await);
}

#[tokio::test(start_paused = true)]
async fn a_controller_of_some_namespaces_keeps_the_assignees_there() {
    let mut cluster = Cluster::watching(&["lab", "shop"]).await;
    cluster.run_controller();
    cluster.issue("web", user("ann")).await;
    assert!(may_read(&cluster, "ann").await);
}
