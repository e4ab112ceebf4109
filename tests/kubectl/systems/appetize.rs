//! A label and one of two roles; shown once and masked afterwards; it belongs to the organisation.

use super::set_up;
use crate::{members::can, question::Question, stage::Stage};

pub(crate) async fn appetize(stage: &Stage) {
    set_up(stage, "ann@app.example").await;
    shows_it_once_and_masks_it(stage).await;
    survives_its_creator(stage).await;
    replaces_and_revokes(stage).await;
}

fn key(stage: &Stage, token: &str) -> Question {
    Question::of(stage).header("X-API-KEY", token)
}

async fn shows_it_once_and_masks_it(stage: &Stage) {
    let token = stage.value("ci-upload", "token").await;
    let upload = key(stage, &token);
    upload.clone().permission("apps:upload").becomes("200").await;
    upload.clone().permission("accounts:write").becomes("403").await;
    let creator = stage.path("apitoken/ci-upload", "{.status.createdBy}").await;
    assert_eq!(creator, "ann@app.example");
    let (_, end) = token.split_at(token.len() - 4);
    let masked = stage.path("apitoken/ci-upload", "{.status.maskedToken}").await;
    assert_eq!(masked, format!("app_…{end}"));
    stage.lists("ci-upload", &["Developer", &masked, &creator]).await;
    stage
        .run(&["annotate", "secret", "ci-upload", "tokenwright.dev/claimed=true"])
        .await;
    stage.wait("secret/ci-upload", "delete").await;
    upload.becomes("200").await;
    stage
        .wait("apitoken/ci-upload", "jsonpath={.status.lastUsed.from}=203.0.113.9")
        .await;
}

async fn survives_its_creator(stage: &Stage) {
    let sync = key(stage, &stage.value("account-sync", "token").await);
    stage
        .patch(
            "organisation/appetize",
            r#"{"spec":{"members":[{"kind":"User","name":"dan@app.example","role":"Developer"}]}}"#,
        )
        .await;
    stage.observed("organisation/appetize").await;
    can(stage, "ann@app.example", "issue", &stage.organisation_resource(), false).await;
    let denied = stage
        .run_as("ann@app.example", &["delete", "apitoken", "account-sync"])
        .await;
    assert!(denied.stderr.contains("may not delete API tokens"), "{}", denied.stderr);
    sync.permission("accounts:write").becomes("200").await;
}

async fn replaces_and_revokes(stage: &Stage) {
    let first = key(stage, &stage.value("account-sync", "token").await);
    stage
        .patch("apitoken/account-sync", r#"{"spec":{"rotation":{"trigger":"leaked"}}}"#)
        .await;
    stage
        .wait("apitoken/account-sync", "jsonpath={.status.rotations}=1")
        .await;
    first.becomes("401").await;
    let second = key(stage, &stage.value("account-sync", "token").await);
    second.becomes("200").await;
    stage.run(&["delete", "apitoken", "account-sync"]).await;
    second.becomes("401").await;
}
