//! What the members of an organisation may ask of the API server.

use std::time::Duration;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams, PropagationPolicy},
};
use kube_sandbox::faults::{Fault, Match};
use serde_json::{Value, json};
use tokenwright::api::{Organisation, condition};

use crate::cluster::Cluster;

const GROUP: &str = "tokenwright.dev";
/// Changes of an organisation are gathered for a second.
const GATHERED: Duration = Duration::from_secs(3);

fn members(of: &[(&str, &str)]) -> Value {
    let members: Vec<Value> = of
        .iter()
        .map(|(name, role)| json!({ "kind": "User", "name": name, "role": role }))
        .collect();
    json!({ "members": members })
}

/// Ann may issue tokens, zoe only her own.
async fn start() -> Cluster {
    let cluster = Cluster::start().await;
    change(&cluster, members(&[("ann", "Admin"), ("zoe", "Member")])).await;
    cluster
}

async fn change(cluster: &Cluster, spec: Value) {
    cluster.organisation(spec).await;
    cluster.pass(GATHERED).await;
}

/// Whether a user may issue the organisation's tokens, and their own.
async fn may(cluster: &Cluster, user: &str) -> (bool, bool) {
    let issue = cluster.may(user, "issue", GROUP, "organisations", "acme").await;
    let personal = cluster.may(user, "issue-personal", GROUP, "organisations", "acme");
    (issue, personal.await)
}

/// Status, reason and message of Ready of the organisation.
async fn ready(cluster: &Cluster) -> (String, String, String) {
    let organisations: Api<Organisation> = Api::all(cluster.client.clone());
    let status = organisations.get("acme").await.unwrap().status.unwrap();
    let ready = condition::find(&status.conditions, "Ready").unwrap().clone();
    (ready.status, ready.reason, ready.message)
}

fn roles(cluster: &Cluster) -> Api<ClusterRole> {
    Api::all(cluster.client.clone())
}

fn bindings(cluster: &Cluster) -> Api<ClusterRoleBinding> {
    Api::all(cluster.client.clone())
}

#[tokio::test(start_paused = true)]
async fn rights_follow_members_and_their_roles() {
    let cluster = start().await;
    assert_eq!(may(&cluster, "ann").await, (true, true));
    assert_eq!(may(&cluster, "zoe").await, (false, true));
    assert_eq!(may(&cluster, "bob").await, (false, false));
    assert!(!cluster.may("ann", "issue", GROUP, "organisations", "other").await);

    change(&cluster, members(&[("zoe", "Owner"), ("bob", "Member")])).await;
    assert_eq!(may(&cluster, "ann").await, (false, false));
    assert_eq!(may(&cluster, "zoe").await, (true, true));
    assert_eq!(may(&cluster, "bob").await, (false, true));

    let mut spec = members(&[("zoe", "Boss")]);
    spec["roles"] = json!([{ "name": "Boss" }]);
    change(&cluster, spec.clone()).await;
    assert_eq!(may(&cluster, "zoe").await, (false, true));
    spec["roles"] = json!([{ "name": "Boss", "managesTokens": true }]);
    change(&cluster, spec).await;
    assert_eq!(may(&cluster, "zoe").await, (true, true));

    change(&cluster, json!({})).await;
    assert_eq!(may(&cluster, "zoe").await, (false, false));
    assert_eq!(cluster.kept::<ClusterRole, ClusterRoleBinding>().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_while_nothing_changes() {
    let mut cluster = start().await;
    let first = cluster.writes();
    assert_eq!(
        first.iter().filter(|write| write.starts_with("create cluster")).count(),
        4
    );
    cluster.pass_hours(24).await;
    change(&cluster, members(&[("zoe", "Member"), ("ann", "Admin")])).await;
    // The test's own write, and the generation in the status.
    assert_eq!(
        cluster.writes(),
        ["update organisations", "update organisations/status"]
    );
    cluster.stop().await;
    cluster.run_controller();
    cluster.pass(GATHERED).await;
    assert_eq!((cluster.writes(), cluster.reads()), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn an_edit_by_hand_is_put_right() {
    let cluster = start().await;
    let all = json!([{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }]);
    let patch = Patch::Merge(json!({ "rules": all, "metadata": { "labels": null } }));
    let name = "tokenwright:acme:members";
    roles(&cluster)
        .patch(name, &PatchParams::default(), &patch)
        .await
        .unwrap();
    assert!(cluster.may("zoe", "get", "", "secrets", "any").await);
    let name = "tokenwright:acme:issuers";
    bindings(&cluster).delete(name, &DeleteParams::default()).await.unwrap();
    cluster.pass(GATHERED).await;
    assert!(!cluster.may("zoe", "get", "", "secrets", "any").await);
    assert_eq!(may(&cluster, "zoe").await, (false, true));
    assert_eq!(may(&cluster, "ann").await, (true, true));
}

#[tokio::test(start_paused = true)]
async fn an_edit_that_nobody_watched_is_put_right_at_the_next_start() {
    let mut cluster = start().await;
    cluster.stop().await;
    let patch = Patch::Merge(
        json!({ "subjects": [{ "kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io" }] }),
    );
    let name = "tokenwright:acme:issuers";
    bindings(&cluster)
        .patch(name, &PatchParams::default(), &patch)
        .await
        .unwrap();
    assert_eq!(may(&cluster, "eve").await, (true, false));
    cluster.run_controller();
    cluster.pass(GATHERED).await;
    assert_eq!(
        (may(&cluster, "eve").await, may(&cluster, "ann").await),
        ((false, false), (true, true))
    );
}

#[tokio::test(start_paused = true)]
async fn rights_go_with_their_organisation_and_come_back_with_another_of_its_name() {
    let cluster = start().await;
    let organisations: Api<Organisation> = Api::all(cluster.client.clone());
    organisations.delete("acme", &DeleteParams::default()).await.unwrap();
    cluster.pass(GATHERED).await;
    assert_eq!(
        (
            may(&cluster, "ann").await,
            cluster.kept::<ClusterRole, ClusterRoleBinding>().await
        ),
        ((false, false), vec![])
    );
    change(&cluster, members(&[("zoe", "Owner")])).await;
    assert_eq!(
        (may(&cluster, "ann").await, may(&cluster, "zoe").await),
        ((false, false), (true, true))
    );
}

#[tokio::test(start_paused = true)]
async fn no_right_outlives_an_organisation_that_is_deleted_without_its_dependents() {
    let mut cluster = start().await;
    let organisations: Api<Organisation> = Api::all(cluster.client.clone());
    let orphaning = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    organisations.delete("acme", &orphaning).await.unwrap();
    cluster.pass(GATHERED).await;
    assert_eq!(cluster.kept::<ClusterRole, ClusterRoleBinding>().await, [""; 0]);

    // Nor does another of its name inherit them.
    change(&cluster, members(&[("ann", "Admin")])).await;
    cluster.stop().await;
    organisations.delete("acme", &orphaning).await.unwrap();
    cluster.organisation(members(&[("zoe", "Owner")])).await;
    assert_eq!(may(&cluster, "ann").await, (true, true));
    cluster.run_controller();
    cluster.pass(Duration::from_secs(310)).await;
    assert_eq!(
        (may(&cluster, "ann").await, may(&cluster, "zoe").await),
        ((false, false), (true, true))
    );
}

#[tokio::test(start_paused = true)]
async fn a_role_that_is_not_ours_is_left_alone_and_said_so() {
    let cluster = Cluster::start().await;
    let theirs = serde_json::from_value(json!({ "metadata": { "name": "tokenwright:acme:issuers" } })).unwrap();
    roles(&cluster).create(&PostParams::default(), &theirs).await.unwrap();
    change(&cluster, members(&[("ann", "Admin")])).await;
    let (status, reason, message) = ready(&cluster).await;
    assert_eq!((status.as_str(), reason.as_str()), ("False", "RightsConflict"));
    assert!(
        message.starts_with("ClusterRole \"tokenwright:acme:issuers\" exists and is not the controller's"),
        "{message}"
    );
    let found = roles(&cluster).get("tokenwright:acme:issuers").await.unwrap();
    assert_eq!((found.rules, found.metadata.labels), (None, None));
    // What is not in the way is granted, and the binding of a role of somebody else's is not.
    assert_eq!(may(&cluster, "ann").await, (false, true));

    cluster.writes();
    cluster.pass_hours(10).await;
    assert_eq!(cluster.writes(), [""; 0]);
    let name = "tokenwright:acme:issuers";
    roles(&cluster).delete(name, &DeleteParams::default()).await.unwrap();
    cluster.pass(Duration::from_secs(310)).await;
    assert_eq!(
        (may(&cluster, "ann").await, ready(&cluster).await.0.as_str()),
        ((true, true), "True")
    );
}

/// What a controller without any right on rights may do.
async fn grant(cluster: &Cluster, user: &str, rules: Value) {
    let role = json!({ "metadata": { "name": user }, "rules": rules });
    let role: ClusterRole = serde_json::from_value(role).unwrap();
    let known = roles(cluster).get_opt(user).await.unwrap();
    if let Some(known) = known {
        let role = ClusterRole {
            metadata: known.metadata,
            ..role
        };
        roles(cluster)
            .replace(user, &PostParams::default(), &role)
            .await
            .unwrap();
        return;
    }
    roles(cluster).create(&PostParams::default(), &role).await.unwrap();
    let binding = json!({
        "metadata": { "name": user },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
    });
    let binding = serde_json::from_value(binding).unwrap();
    bindings(cluster)
        .create(&PostParams::default(), &binding)
        .await
        .unwrap();
}

fn usual_rules() -> Vec<Value> {
    vec![
        json!({ "apiGroups": [GROUP], "resources": ["*"], "verbs": ["get", "list", "watch", "update", "patch", "delete"] }),
        json!({ "apiGroups": [""], "resources": ["namespaces", "secrets"],
            "verbs": ["get", "list", "watch", "create", "update", "delete"] }),
        json!({ "apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"] }),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_controller_grants_no_more_than_it_holds_and_says_what_it_lacks() {
    let mut cluster = Cluster::without_controller().await;
    let mut rules = usual_rules();
    grant(&cluster, "operator", json!(rules)).await;
    cluster.run_controller_as("operator");
    change(&cluster, members(&[("ann", "Admin")])).await;
    let (status, reason, message) = ready(&cluster).await;
    assert_eq!((status.as_str(), reason.as_str()), ("False", "RightsDenied"));
    assert!(message.contains("refused to list clusterroles: "), "{message}");
    assert_eq!(cluster.issue("web", json!({})).await.ready(), ("True", "Issued"));

    rules.push(json!({
        "apiGroups": ["rbac.authorization.k8s.io"],
        "resources": ["clusterroles", "clusterrolebindings", "roles", "rolebindings"],
        "verbs": ["get", "list", "watch", "create", "update", "delete"],
    }));
    grant(&cluster, "operator", json!(rules)).await;
    cluster.pass(Duration::from_secs(310)).await;
    let (status, reason, message) = ready(&cluster).await;
    assert_eq!((status.as_str(), reason.as_str()), ("False", "RightsDenied"));
    assert!(
        message.contains("is attempting to grant RBAC permissions not currently held")
            && message.contains(r#"Verbs:["issue"]"#),
        "{message}"
    );
    assert_eq!(
        (
            may(&cluster, "ann").await,
            cluster.kept::<ClusterRole, ClusterRoleBinding>().await
        ),
        ((false, false), vec![])
    );

    rules.push(json!({ "apiGroups": [GROUP], "resources": ["organisations"], "verbs": ["issue", "issue-personal"] }));
    grant(&cluster, "operator", json!(rules)).await;
    cluster.pass(Duration::from_secs(310)).await;
    assert_eq!(
        (may(&cluster, "ann").await, ready(&cluster).await.1.as_str()),
        ((true, true), "Accepted")
    );
}

#[tokio::test(start_paused = true)]
async fn a_controller_of_some_namespaces_leaves_cluster_wide_rights_alone() {
    let mut cluster = Cluster::watching(&["shop"]).await;
    let touched = cluster
        .sandbox
        .faults()
        .inject(Match::any().resource("clusterroles"), Fault::Delay(Duration::ZERO));
    cluster.run_controller();
    change(&cluster, members(&[("ann", "Admin")])).await;
    assert_eq!(
        (cluster.kept::<ClusterRole, ClusterRoleBinding>().await, touched.hits()),
        (vec![], 1),
        "one is this test's own list"
    );
}

#[tokio::test(start_paused = true)]
async fn a_passing_fault_is_tried_again_and_keeps_nobody_from_being_counted() {
    let cluster = Cluster::start().await;
    let create = Match::any().verb("create").resource("clusterrolebindings").times(3);
    cluster.sandbox.faults().inject(create, Fault::internal_error());
    change(&cluster, members(&[("ann", "Admin")])).await;
    cluster.pass(Duration::from_secs(20)).await;
    assert_eq!(
        (may(&cluster, "ann").await, ready(&cluster).await.0.as_str()),
        ((true, true), "True")
    );
}

#[tokio::test(start_paused = true)]
async fn a_role_outside_the_catalogue_is_reported() {
    let cluster = Cluster::start().await;
    let role = |permission: &str| json!({ "permissions": ["orders:read"], "roles": [{ "name": "Reader", "permissions": [permission] }] });
    change(&cluster, role("orders:delete")).await;
    let (status, reason, message) = ready(&cluster).await;
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "PermissionNotInCatalogue")
    );
    assert!(
        message.contains("\"Reader\" names permission \"orders:delete\""),
        "{message}"
    );
    change(&cluster, role("orders:*")).await;
    assert_eq!(ready(&cluster).await.1, "Accepted");
}

#[tokio::test(start_paused = true)]
async fn a_member_who_comes_back_gets_a_new_credential() {
    let cluster = start().await;
    let personal = json!({ "type": "Personal", "user": "zoe" });
    assert_eq!(cluster.issue("own", personal).await.held(), Some(1));
    change(&cluster, members(&[("ann", "Admin")])).await;
    let token = cluster.token("own").await;
    assert_eq!(
        (token.ready(), token.secret.is_some(), token.accepted().len()),
        (("False", "MemberRemoved"), false, 0)
    );
    change(&cluster, members(&[("zoe", "Admin")])).await;
    let token = cluster.token("own").await;
    assert_eq!((token.ready(), token.held()), (("True", "Issued"), Some(2)));
    // One of another kind and the same name is somebody else.
    change(
        &cluster,
        json!({ "members": [{ "kind": "Group", "name": "zoe", "role": "Admin" }] }),
    )
    .await;
    assert_eq!(cluster.token("own").await.ready(), ("False", "MemberRemoved"));
}
