//! What members and assignees may do, as `kubectl auth can-i` answers it.

use crate::{process::LIMIT, stage::Stage};

pub(crate) async fn members(stage: &Stage) {
    let organisation = format!("organisations.tokenwright.dev/{}", stage.name);
    stage
        .organisation("  members: [{kind: Group, name: ops, role: Admin}, {kind: User, name: zoe, role: Member}]\n")
        .await;
    can(stage, "zoe", "issue-personal", &organisation, true).await;
    can(stage, "zoe", "issue", &organisation, false).await;
    stage
        .organisation("  members: [{kind: User, name: zoe, role: Owner}]\n")
        .await;
    can(stage, "zoe", "issue", &organisation, true).await;

    let role = format!("clusterrole/tokenwright:{}:issuers", stage.name);
    stage.run(&["delete", &role]).await;
    stage.wait(&role, "create").await;
    can(stage, "zoe", "issue", &organisation, true).await;
    owned(stage, &[&role, &role.replacen("role", "rolebinding", 1)]).await;

    stage.organisation("").await;
    can(stage, "zoe", "issue", &organisation, false).await;
    can(stage, "zoe", "issue-personal", &organisation, false).await;
    stage.wait(&role, "delete").await;
}

pub(crate) async fn assignees(stage: &Stage) {
    stage
        .token(
            "  assignees: {subjects: [{kind: User, name: ann}, {kind: ServiceAccount, name: ci, namespace: build}]}\n",
        )
        .await;
    stage.wait("apitoken/t", "condition=Assigned").await;
    can(stage, "ann", "get", "secret/t", true).await;
    can(stage, "system:serviceaccount:build:ci", "get", "secret/t", true).await;
    for (verb, what) in [("get", "secret/other"), ("list", "secrets"), ("delete", "secret/t")] {
        can(stage, "ann", verb, what, false).await;
    }
    let read = ["get", "secret", "t", "--as", "ann", "--output", "name"];
    assert_eq!(stage.run(&read).await, "secret/t\n");
    let right = "tokenwright:t:assignees";
    owned(
        stage,
        &["secret/t", &format!("role/{right}"), &format!("rolebinding/{right}")],
    )
    .await;

    stage
        .organisation("  members: [{kind: User, name: zoe, role: Member}]\n")
        .await;
    stage.token("  assignees: {everyone: true}\n").await;
    can(stage, "zoe", "get", "secret/t", true).await;
    can(stage, "ann", "get", "secret/t", false).await;

    stage.token("").await;
    can(stage, "zoe", "get", "secret/t", false).await;
    stage.wait("role/tokenwright:t:assignees", "delete").await;
}

/// What belongs to something asks nobody to wait for it. Where OwnerReferencesPermissionEnforcement is in force, as on the
/// real server, the controller would need a right on the owner's finalizers for that.
async fn owned(stage: &Stage, objects: &[&str]) {
    for object in objects {
        let owners = stage.path(object, "{.metadata.ownerReferences}").await;
        let owners: serde_json::Value = serde_json::from_str(&owners).unwrap();
        assert_eq!(owners[0]["controller"], true, "{object}");
        assert!(owners[0].get("blockOwnerDeletion").is_none(), "{object}: {owners}");
    }
}

/// Asks until it is answered so: rights are in force a moment after they are granted.
pub(crate) async fn can(stage: &Stage, user: &str, verb: &str, what: &str, expected: bool) {
    let wanted = if expected { "yes" } else { "no" };
    let arguments = ["auth", "can-i", verb, what, "--as", user, "--namespace", &stage.name];
    let asking = async { while stage.kubectl.run(arguments).await.stdout.trim() != wanted {} };
    let in_time = tokio::time::timeout(LIMIT, asking).await;
    assert!(
        in_time.is_ok(),
        "whether {user} may {verb} {what} was never answered {wanted}"
    );
}
