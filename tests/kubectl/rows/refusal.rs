//! What is refused, why, and that it goes on once the cause is gone.

use crate::stage::Stage;

pub(super) async fn suspended(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    let before = stage.secret().await;
    stage.token("  suspended: true\n").await;
    stage.refused("Suspended").await;
    stage.wait("apitoken/t", "condition=Stalled").await;
    stage.token("").await;
    stage.ready().await;
    assert_eq!(stage.secret().await, before);
}

pub(super) async fn refused_role(stage: &Stage) {
    stage.token("  role: Boss\n").await;
    let message = stage.refused("RoleNotFound").await;
    assert!(
        message.contains("has no role \"Boss\". Its roles: Owner, Admin, Member."),
        "{message}"
    );
    stage.event("RoleNotFound").await;
    stage.token("").await;
    stage.ready().await;
}

pub(super) async fn unknown_field(stage: &Stage) {
    let answer = stage.apply(&stage.manifest("  expires: 30d\n")).await;
    assert!(
        !answer.success && answer.stderr.contains("unknown field \"spec.expires\""),
        "{}",
        answer.stderr
    );
}

pub(super) async fn organisation_missing(stage: &Stage) {
    stage.kubectl.ok(["delete", "organisation", &stage.name]).await;
    stage.token("").await;
    let message = stage.refused("OrganisationNotFound").await;
    assert!(message.contains("kubectl get organisations"), "{message}");
    stage.organisation("").await;
    stage.ready().await;
}

pub(super) async fn organisation_suspended(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    stage.organisation("  suspended: true\n").await;
    stage.refused("OrganisationSuspended").await;
    stage.organisation("").await;
    stage.ready().await;
}

pub(super) async fn namespace_not_allowed(stage: &Stage) {
    stage
        .organisation("  namespaces: {selector: {matchLabels: {tokens: allowed}}}\n")
        .await;
    stage.token("").await;
    stage.refused("NamespaceNotAllowed").await;
    stage
        .kubectl
        .ok(["label", "namespace", &stage.name, "tokens=allowed"])
        .await;
    stage.ready().await;
    let before = stage.secret().await;
    stage.kubectl.ok(["label", "namespace", &stage.name, "tokens-"]).await;
    stage.refused("NamespaceNotAllowed").await;
    stage
        .kubectl
        .ok(["label", "namespace", &stage.name, "tokens=allowed"])
        .await;
    stage.ready().await;
    assert_eq!(stage.secret().await, before);
}

pub(super) async fn secret_in_the_way(stage: &Stage) {
    stage
        .run(&["create", "secret", "generic", "t", "--from-literal=token=theirs"])
        .await;
    stage.token("").await;
    let message = stage.refused("SecretConflict").await;
    assert!(message.contains("nothing controls it"), "{message}");
    assert_eq!(stage.secret().await, "theirs");
    stage.run(&["delete", "secret", "t"]).await;
    stage.ready().await;
}

pub(super) async fn personal(stage: &Stage) {
    let lines = "  type: Personal\n  user: ann\n";
    stage.token(lines).await;
    stage.refused("NotAMember").await;
    stage
        .organisation("  members: [{kind: User, name: ann, role: Member}]\n")
        .await;
    stage.ready().await;
    assert!(stage.secret().await.starts_with("acme_p"));
    stage.organisation("").await;
    stage.refused("MemberRemoved").await;
    stage.wait("secret/t", "delete").await;
}
