//! A token's way from its Secret to the gateway's question.

use crate::{http::get_with, process::LIMIT, stage::Stage};

const REFUSED: &str = "401 A valid API token is needed.\n";

pub(crate) async fn verified(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    let token = stage.secret().await;
    assert_eq!(ask(stage, &token).await, "200 ");

    stage.token("  suspended: true\n").await;
    until(stage, &token, REFUSED).await;
    stage.token("  suspended: false\n").await;
    until(stage, &token, "200 ").await;

    stage.run(&["delete", "apitoken", "t"]).await;
    until(stage, &token, REFUSED).await;
}

pub(crate) async fn last_used(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    let token = stage.secret().await;
    until(stage, &token, "200 ").await;
    stage
        .wait("apitoken/t", "jsonpath={.status.lastUsed.credential}=1")
        .await;
    assert_eq!(stage.path("apitoken/t", "{.status.lastUsed.from}").await, "203.0.113.9");
    let table = stage.run(&["get", "apitoken", "t"]).await;
    let (header, row) = table.split_once('\n').unwrap();
    let column = row.chars().nth(header.find("LAST USED").unwrap());
    assert!(column.is_some_and(|first| first.is_ascii_digit()), "{table}");

    stage.token("  rotation: {trigger: now, overlap: 0s}\n").await;
    stage.rotations(1).await;
    until(stage, &token, REFUSED).await;
    stage.wait("apitoken/t", "condition=ReuseDetected").await;
    stage.event("ReuseDetected").await;
    let described = stage.run(&["describe", "apitoken", "t"]).await;
    let sentence = "Credential 1, which has been replaced, was presented from 203.0.113.9 at ";
    assert_eq!(described.matches(sentence).count(), 2, "{described}");
    let successor = stage.secret().await;
    until(stage, &successor, "200 ").await;
}

async fn ask(stage: &Stage, token: &str) -> String {
    let path = format!("/forward-auth?organisation={}", stage.name);
    let headers = format!("Authorization: Bearer {token}\r\nX-Forwarded-For: 203.0.113.9\r\n");
    get_with(&stage.verifier, &path, &headers).await
}

/// Asks until it is answered so.
async fn until(stage: &Stage, token: &str, answer: &str) {
    let asking = async { while ask(stage, token).await != answer {} };
    let in_time = tokio::time::timeout(LIMIT, asking).await;
    assert!(in_time.is_ok(), "never answered {answer:?}");
}
