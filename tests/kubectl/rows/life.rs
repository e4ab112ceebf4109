//! A token's life: it is issued, replaced, ends.

use crate::stage::Stage;

pub(super) async fn issue(stage: &Stage) {
    stage.token("  description: For tests\n").await;
    stage.ready().await;
    let token = stage.secret().await;
    assert!(tokenwright::domain::credential::Token::parse(&token).is_some() && token.starts_with("acme_o"));
    let secret = |key: &str| format!("go-template={{{{index .data \"{key}\" | base64decode}}}}");
    assert_eq!(
        stage
            .run(&["get", "secret", "t", "--output", &secret("secret-key")])
            .await,
        token
    );
    let client_id = stage.path("apitoken/t", "{.status.clientId}").await;
    assert_eq!(
        stage
            .run(&["get", "secret", "t", "--output", &secret("client-id")])
            .await,
        client_id
    );
    let token_yaml = stage.run(&["get", "apitoken", "t", "--output", "yaml"]).await;
    assert!(!token_yaml.contains(&token) && token_yaml.contains("sha256:"));
}

pub(super) async fn trigger(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    let before = stage.secret().await;
    stage.token("  rotation: {trigger: \"2026-11-21\"}\n").await;
    stage.rotations(1).await;
    stage.ready().await;
    assert_ne!(stage.secret().await, before);
    assert_eq!(
        stage.path("apitoken/t", "{.status.credentials[*].state}").await,
        "Retiring Active"
    );
    stage
        .run(&[
            "patch",
            "apitoken",
            "t",
            "--type=merge",
            "--patch",
            r#"{"spec":{"rotation":{"trigger":"b","overlap":"0s"}}}"#,
        ])
        .await;
    stage.rotations(2).await;
    assert_eq!(
        stage.path("apitoken/t", "{.status.credentials[*].state}").await,
        "Retired Retired Active"
    );
}

pub(super) async fn due_rotation(stage: &Stage) {
    stage
        .token("  expiry: {after: 8s, action: Rotate}\n  rotation: {renewBefore: 5s}\n")
        .await;
    stage.rotations_or_more(1).await;
    stage.ready().await;
    stage.rotations_or_more(2).await;
    stage.event("Rotated").await;
}

pub(super) async fn deleted_secret(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    let before = stage.secret().await;
    stage.run(&["delete", "secret", "t"]).await;
    stage.rotations(1).await;
    assert_ne!(stage.secret().await, before);
    stage.event("SecretDeleted").await;
}

pub(super) async fn edited_secret(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    let before = stage.secret().await;
    stage
        .run(&[
            "patch",
            "secret",
            "t",
            "--patch",
            r#"{"stringData":{"token":"mine","secret-key":"mine"}}"#,
        ])
        .await;
    stage.rotations(1).await;
    let after = stage.secret().await;
    assert!(after != "mine" && after != before);
    stage.event("SecretEdited").await;
}

pub(super) async fn renamed_keys(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    let before = stage.path("secret/t", "{.data.token}").await;
    stage.token("  secret: {keys: {token: API_TOKEN}}\n").await;
    stage.wait("secret/t", "jsonpath={.data.API_TOKEN}").await;
    assert_eq!(stage.path("secret/t", "{.data.API_TOKEN}").await, before);
    assert_eq!(stage.path("secret/t", "{.data.token}").await, "");
}

pub(super) async fn labels_of_the_secret(stage: &Stage) {
    stage
        .token("  secret: {name: key, labels: {team: a}, annotations: {note: x}}\n")
        .await;
    stage.ready().await;
    assert_eq!(
        stage
            .path("secret/key", "{.metadata.labels.team}{.metadata.annotations.note}")
            .await,
        "ax"
    );
    stage.run(&["label", "secret", "key", "team-", "theirs=1"]).await;
    stage.wait("secret/key", "jsonpath={.metadata.labels.team}=a").await;
    assert_eq!(stage.path("secret/key", "{.metadata.labels.theirs}").await, "1");
    assert_eq!(stage.path("apitoken/t", "{.status.rotations}").await, "0");
}

pub(super) async fn expiry_delete(stage: &Stage) {
    stage.token("  expiry: {after: 6s}\n").await;
    stage.ready().await;
    let message = stage.refused("Expired").await;
    assert!(message.contains("Its Secret was deleted"), "{message}");
    stage.wait("secret/t", "delete").await;
    assert_eq!(
        stage.path("apitoken/t", "{.status.credentials[*].state}").await,
        "Retired"
    );
    stage.token("  expiry: {after: 90d}\n").await;
    stage.ready().await;
    assert_eq!(
        stage.path("apitoken/t", "{.status.credentials[*].state}").await,
        "Retired Active"
    );
}

pub(super) async fn expiry_retain(stage: &Stage) {
    stage.token("  expiry: {after: 4s, action: Retain}\n").await;
    stage.refused("Expired").await;
    assert!(stage.secret().await.starts_with("acme_o"));
}

pub(super) async fn cleanup(stage: &Stage) {
    stage.token("  expiry: {after: 3s, cleanupAfter: 2s}\n").await;
    stage.wait("apitoken/t", "delete").await;
}

pub(super) async fn not_before(stage: &Stage) {
    stage.token("  notBefore: \"2099-01-01T00:00:00Z\"\n").await;
    let message = stage.refused("NotYetValid").await;
    assert!(message.contains("works from 2099-01-01T00:00:00Z on"), "{message}");
    assert!(stage.secret().await.starts_with("acme_o"));
}

pub(super) async fn shown_once(stage: &Stage) {
    stage.token("  secret: {delivery: Once}\n").await;
    stage.ready().await;
    stage
        .run(&["annotate", "secret", "t", "tokenwright.dev/claimed=true"])
        .await;
    stage.wait("secret/t", "delete").await;
    stage.ready().await;
    stage
        .token("  secret: {delivery: Once}\n  rotation: {trigger: again}\n")
        .await;
    stage.rotations(1).await;
    assert!(stage.secret().await.starts_with("acme_o"));
}

pub(super) async fn restart(stage: &Stage) {
    let create = [
        "create",
        "deployment",
        "web",
        "--image=web",
        "--dry-run=client",
        "--output=yaml",
    ];
    let deployment = stage.run(&create).await;
    stage.apply_text(&deployment).await;
    let lines = "  rotation: {overlap: 1s, restart: [{kind: Deployment, name: web}], trigger: ";
    stage.token(&format!("{lines}a}}\n")).await;
    stage.ready().await;
    stage.token(&format!("{lines}b}}\n")).await;
    let stamp = r"{.spec.template.metadata.annotations.credential\.tokenwright\.dev/t}";
    stage.wait("deployment/web", &format!("jsonpath={stamp}")).await;
    assert!(stage.path("deployment/web", stamp).await.ends_with("/2"));
    // Whoever keeps the Deployment in Git sees no change, and takes none back.
    let diff = stage.kubectl.run_with(["diff", "--filename", "-"], &deployment).await;
    assert_eq!((diff.code, diff.stdout.as_str()), (Some(0), ""), "{}", diff.stderr);
    stage.apply_text(&deployment).await;
    assert!(stage.path("deployment/web", stamp).await.ends_with("/2"));
    if stage.rolls_out {
        stage
            .run(&["rollout", "status", "deployment/web", "--timeout=60s"])
            .await;
        stage
            .wait("apitoken/t", "jsonpath={.status.credentials[0].state}=Retired")
            .await;
    } else {
        assert_eq!(
            stage.path("apitoken/t", "{.status.credentials[0].state}").await,
            "Retiring"
        );
    }
}

pub(super) async fn deletion(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    stage.run(&["delete", "apitoken", "t", "--wait"]).await;
    stage.wait("secret/t", "delete").await;
    stage.token("").await;
    stage.ready().await;
    stage
        .kubectl
        .ok(["delete", "namespace", &stage.name, "--wait", "--timeout=60s"])
        .await;
}
