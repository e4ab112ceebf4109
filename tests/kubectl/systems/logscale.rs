//! Permissions picked one by one, named IP filters, and policies that hold for tokens that live already.

use jiff::ToSpan;

use super::set_up;
use crate::stage::Stage;

pub(crate) async fn logscale(stage: &Stage) {
    set_up(stage, "ann@logs.example").await;
    picks_permissions(stage).await;
    filters_addresses(stage).await;
    freezes_permissions(stage).await;
    cuts_lifetimes(stage).await;
    denies_a_kind(stage).await;
    revokes(stage).await;
}

fn other(spec: &str) -> String {
    format!(
        "apiVersion: tokenwright.dev/v1alpha1\nkind: ApiToken\nmetadata: {{name: other, namespace: logscale}}\nspec: {{organisation: logscale, {spec}}}\n"
    )
}

async fn picks_permissions(stage: &Stage) {
    let guard = stage.bearer("query-guard").await.from("192.168.0.7");
    guard.clone().permission("BlockQueries").becomes("200").await;
    guard.permission("ManageUsers").becomes("403").await;
    stage
        .apply_text(&other("permissions: [BlockEverything], expiry: {after: 5m}"))
        .await;
    let message = stage.not_ready("other", "PermissionNotInCatalogue").await;
    assert!(message.contains("BlockEverything"), "{message}");
    stage
        .apply_text(&other("permissions: [ViewUsage], expiry: {after: 5m}"))
        .await;
    stage.wait("apitoken/other", "condition=Ready").await;
    stage.ends_after("other", 5.minutes()).await;
    stage.run(&["delete", "apitoken", "other"]).await;
    // Without an end, which the policy does not allow.
    stage.apply_text(&other("permissions: [ViewUsage]")).await;
    let message = stage.not_ready("other", "PolicyViolation").await;
    assert!(message.contains("logscale-organisation-tokens"), "{message}");
    stage.run(&["delete", "apitoken", "other"]).await;
}

async fn filters_addresses(stage: &Stage) {
    let guard = stage.bearer("query-guard").await;
    for (address, code) in [
        ("192.168.0.7", "200"),
        ("192.168.0.80", "403"),
        ("192.168.1.7", "403"),
        ("10.1.2.3", "403"),
    ] {
        guard.clone().from(address).becomes(code).await;
    }
    // Its own filters are none; the policy's applies to it all the same.
    let shipper = stage.bearer("shipper").await;
    shipper.clone().from("10.1.2.3").becomes("200").await;
    shipper.from("203.0.113.9").becomes("403").await;
}

async fn freezes_permissions(stage: &Stage) {
    stage
        .patch(
            "apitoken/query-guard",
            r#"{"spec":{"permissions":["BlockQueries","ManageUsers"]}}"#,
        )
        .await;
    let message = stage.not_ready("query-guard", "PolicyViolation").await;
    assert!(message.contains("permissions.allowUpdates"), "{message}");
    let guard = stage.bearer("query-guard").await.from("192.168.0.7");
    guard.clone().permission("MonitorQueries").becomes("200").await;
    guard.permission("ManageUsers").becomes("403").await;
    stage
        .wait(
            "tokenpolicy/logscale-organisation-tokens",
            "jsonpath={.status.violations[0].name}=query-guard",
        )
        .await;
    stage
        .patch(
            "apitoken/query-guard",
            r#"{"spec":{"permissions":["BlockQueries","MonitorQueries"]}}"#,
        )
        .await;
    stage.wait("apitoken/query-guard", "condition=Ready").await;
}

async fn cuts_lifetimes(stage: &Stage) {
    let policy = "tokenpolicy/logscale-organisation-tokens";
    stage.ends_after("query-guard", 12.hours()).await;
    stage.patch(policy, r#"{"spec":{"expiry":{"max":"6h"}}}"#).await;
    stage.ends_after("query-guard", 6.hours()).await;
    stage.ends_after("shipper", 6.hours()).await;
    stage.patch(policy, r#"{"spec":{"expiry":{"max":"30d"}}}"#).await;
    stage.observed(policy).await;
    stage.ends_after("query-guard", 6.hours()).await;
    // A maximum that is past ends what lives.
    let shipper = stage.bearer("shipper").await.from("10.1.2.3");
    shipper.becomes("200").await;
    stage.patch(policy, r#"{"spec":{"expiry":{"max":"1s"}}}"#).await;
    shipper.becomes("401").await;
    stage.wait("secret/query-guard", "delete").await;
    let message = stage.not_ready("query-guard", "PolicyViolation").await;
    assert!(message.contains("expiry.max"), "{message}");
    stage.patch(policy, r#"{"spec":{"expiry":{"max":"30d"}}}"#).await;
}

async fn denies_a_kind(stage: &Stage) {
    let policy = "tokenpolicy/logscale-personal-tokens";
    let cli = stage.bearer("ben-cli").await;
    cli.becomes("200").await;
    stage.patch(policy, r#"{"spec":{"issuance":"Deny"}}"#).await;
    cli.becomes("401").await;
    stage.not_ready("ben-cli", "IssuanceDenied").await;
    stage.wait("secret/ben-cli", "delete").await;
    stage.patch(policy, r#"{"spec":{"issuance":"Allow"}}"#).await;
    stage.wait("apitoken/ben-cli", "condition=Ready").await;
    stage.bearer("ben-cli").await.becomes("200").await;
    cli.becomes("401").await;
}

async fn revokes(stage: &Stage) {
    stage.lists("ben-cli", &["Personal", "True"]).await;
    let cli = stage.bearer("ben-cli").await;
    cli.becomes("200").await;
    stage.run(&["delete", "apitoken", "ben-cli"]).await;
    cli.becomes("401").await;
    stage.wait("secret/ben-cli", "delete").await;
}
