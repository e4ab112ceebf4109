//! A token's way from its Secret to the gateway's question.

use crate::{http::get_with, process::LIMIT, stage::Stage};

const REFUSED: &str = "401 A valid API token is needed.\n";

pub(crate) async fn verified(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    let token = stage.secret().await;
    assert_eq!(ask(stage, &token).await, "200 ");

    // The use comes back.
    stage
        .wait("apitoken/t", "jsonpath={.status.lastUsed.credential}=1")
        .await;
    assert_eq!(stage.path("apitoken/t", "{.status.lastUsed.from}").await, "203.0.113.9");

    stage.token("  suspended: true\n").await;
    until(stage, &token, REFUSED).await;
    stage.token("  suspended: false\n").await;
    until(stage, &token, "200 ").await;

    stage.run(&["delete", "apitoken", "t"]).await;
    until(stage, &token, REFUSED).await;
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
