//! One role, an end as a date, assigned to people or to everyone; personal tokens beside.

use super::set_up;
use crate::{members::can, stage::Stage};

pub(crate) async fn fingoti(stage: &Stage) {
    set_up(stage, "ann@fleet.example").await;
    lists_and_uses(stage).await;
    assigns(stage).await;
    changes(stage).await;
    ends(stage).await;
    keeps_personal_ones_to_their_user(stage).await;
}

async fn lists_and_uses(stage: &Stage) {
    stage
        .lists("dashboard", &["fingoti", "Viewer", "2099-12-31T23:59:00Z", "True"])
        .await;
    let dashboard = stage.bearer("dashboard").await;
    dashboard.clone().permission("devices:read").becomes("200").await;
    dashboard.permission("devices:command").becomes("403").await;
    let gateway = stage.bearer("gateway").await;
    gateway.permission("devices:command").becomes("200").await;
}

async fn assigns(stage: &Stage) {
    can(stage, "ben@fleet.example", "get", "secret/dashboard", true).await;
    can(stage, "cleo@fleet.example", "get", "secret/dashboard", false).await;
    can(stage, "cleo@fleet.example", "get", "secret/gateway", true).await;
    stage
        .patch(
            "apitoken/dashboard",
            r#"{"spec":{"assignees":{"subjects":[{"kind":"User","name":"cleo@fleet.example"}]}}}"#,
        )
        .await;
    can(stage, "cleo@fleet.example", "get", "secret/dashboard", true).await;
    can(stage, "ben@fleet.example", "get", "secret/dashboard", false).await;
    stage
        .patch("apitoken/dashboard", r#"{"spec":{"assignees":null}}"#)
        .await;
    can(stage, "cleo@fleet.example", "get", "secret/dashboard", false).await;
}

async fn changes(stage: &Stage) {
    let before = stage.value("dashboard", "token").await;
    let dashboard = stage.bearer("dashboard").await;
    stage
        .patch("apitoken/dashboard", r#"{"spec":{"suspended":true}}"#)
        .await;
    dashboard.becomes("401").await;
    let everything = r#"{"spec":{"suspended":false,"role":"Operator","description":"Dashboard at the door","expiry":{"at":"2098-06-30T12:00:00Z"}}}"#;
    stage.patch("apitoken/dashboard", everything).await;
    dashboard.permission("devices:command").becomes("200").await;
    stage
        .wait(
            "apitoken/dashboard",
            "jsonpath={.status.expiresAt}=2098-06-30T12:00:00Z",
        )
        .await;
    stage.patch("apitoken/dashboard", r#"{"spec":{"expiry":null}}"#).await;
    stage.observed("apitoken/dashboard").await;
    assert_eq!(stage.path("apitoken/dashboard", "{.status.expiresAt}").await, "");
    // None of that is a reason for a new token.
    assert_eq!(stage.value("dashboard", "token").await, before);
}

async fn ends(stage: &Stage) {
    let dashboard = stage.bearer("dashboard").await;
    stage.expire("dashboard").await;
    dashboard.becomes("401").await;
    let gateway = stage.bearer("gateway").await;
    gateway.becomes("200").await;
    stage.run(&["delete", "apitoken", "gateway"]).await;
    gateway.becomes("401").await;
    stage.wait("secret/gateway", "delete").await;
}

async fn keeps_personal_ones_to_their_user(stage: &Stage) {
    let laptop = stage.bearer("ben-laptop").await;
    laptop.clone().permission("devices:command").becomes("200").await;
    laptop.clone().permission("users:invite").becomes("403").await;
    let members = |ben: &str| {
        format!(
            r#"{{"spec":{{"members":[{{"kind":"User","name":"ann@fleet.example","role":"Administrator"}}{ben}]}}}}"#
        )
    };
    stage.patch("organisation/fingoti", &members("")).await;
    laptop.becomes("401").await;
    stage.not_ready("ben-laptop", "MemberRemoved").await;
    stage.wait("secret/ben-laptop", "delete").await;
    let ben = r#",{"kind":"User","name":"ben@fleet.example","role":"Viewer"}"#;
    stage.patch("organisation/fingoti", &members(ben)).await;
    stage.wait("apitoken/ben-laptop", "condition=Ready").await;
    let again = stage.bearer("ben-laptop").await;
    again.clone().permission("devices:read").becomes("200").await;
    again.permission("devices:command").becomes("403").await;
    laptop.becomes("401").await;
}
