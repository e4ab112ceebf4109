//! A token's way from its Secret to the gateway's question.

use crate::{question::Question, stage::Stage};

const REFUSED: &str = "401 A valid API token is needed.\n";

pub(crate) async fn verified(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    let token = stage.secret().await;
    let question = Question::of(stage).bearer(&token);
    assert_eq!(question.answer().await, "200 ");

    stage.token("  suspended: true\n").await;
    question.becomes("401").await;
    assert_eq!(question.answer().await, REFUSED);
    stage.token("  suspended: false\n").await;
    question.becomes("200").await;

    stage.run(&["delete", "apitoken", "t"]).await;
    question.becomes("401").await;
    assert_eq!(question.answer().await, REFUSED);
}

pub(crate) async fn last_used(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    let token = stage.secret().await;
    Question::of(stage).bearer(&token).becomes("200").await;
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
    Question::of(stage).bearer(&token).becomes("401").await;
    stage.wait("apitoken/t", "condition=ReuseDetected").await;
    stage.event("ReuseDetected").await;
    let described = stage.run(&["describe", "apitoken", "t"]).await;
    let sentence = "Credential 1, which has been replaced, was presented from 203.0.113.9 at ";
    assert_eq!(described.matches(sentence).count(), 2, "{described}");
    let successor = stage.secret().await;
    Question::of(stage).bearer(&successor).becomes("200").await;
}
