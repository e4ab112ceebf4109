//! The whole organisation or one project, a few lifetimes to choose from, and many deleted at once.

use jiff::ToSpan;

use super::set_up;
use crate::{members::can, stage::Stage};

pub(crate) async fn royaltyport(stage: &Stage) {
    set_up(stage, "ann@label.example").await;
    lets_admin_and_owner_manage(stage).await;
    lists(stage).await;
    offers_lifetimes(stage).await;
    keeps_to_the_project(stage).await;
    deletes_many(stage).await;
}

async fn lets_admin_and_owner_manage(stage: &Stage) {
    for (user, may) in [("olga", true), ("ann", true), ("mia", false)] {
        let user = format!("{user}@label.example");
        can(stage, &user, "issue", &stage.organisation_resource(), may).await;
        can(stage, &user, "list", "apitokens", may).await;
    }
}

async fn lists(stage: &Stage) {
    stage.bearer("spring-contracts").await.becomes("200").await;
    stage
        .wait("apitoken/spring-contracts", "jsonpath={.status.lastUsed.credential}=1")
        .await;
    let columns = "custom-columns=NAME:.metadata.name,SCOPE:.status.scope,EXPIRES:.status.expiresAt";
    let table = stage.run(&["get", "apitokens", "--output", columns]).await;
    let end = stage.path("apitoken/spring-contracts", "{.status.expiresAt}").await;
    for (name, scope, end) in [
        ("archive", "organisation", "<none>"),
        ("spring-contracts", "spring-release", &*end),
    ] {
        let line = table
            .lines()
            .find(|line| line.split_whitespace().eq([name, scope, end]));
        assert!(line.is_some(), "{name} {scope} {end}\n{table}");
    }
    let again = ["create", "--filename", "-"];
    let archive = "apiVersion: tokenwright.dev/v1alpha1\nkind: ApiToken\nmetadata: {name: archive, namespace: royaltyport}\nspec: {organisation: royaltyport, role: Member}\n";
    let refused = stage.kubectl.run_with(again, archive).await;
    assert!(
        refused.stderr.contains(r#""archive" already exists"#),
        "{}",
        refused.stderr
    );
}

async fn offers_lifetimes(stage: &Stage) {
    let lifetime = |days: u32| {
        format!(
            "apiVersion: tokenwright.dev/v1alpha1\nkind: ApiToken\nmetadata: {{name: chosen, namespace: royaltyport}}\nspec: {{organisation: royaltyport, role: Admin, expiry: {{after: {days}d}}}}\n"
        )
    };
    stage.apply_text(&lifetime(45)).await;
    let message = stage.not_ready("chosen", "PolicyViolation").await;
    for word in ["royaltyport-lifetimes", "expiry.allowed", "30d", "60d"] {
        assert!(message.contains(word), "{message}");
    }
    stage.apply_text(&lifetime(30)).await;
    stage.wait("apitoken/chosen", "condition=Ready").await;
    stage.ends_after("chosen", (30 * 24).hours()).await;
    // Nobody waits a day for a test.
    let seconds = r#"{"spec":{"expiry":{"allowed":["2s","1d","7d","30d","60d","90d"]}}}"#;
    stage.patch("tokenpolicy/royaltyport-lifetimes", seconds).await;
    stage
        .patch("apitoken/chosen", r#"{"spec":{"expiry":{"after":"2s"}}}"#)
        .await;
    stage.not_ready("chosen", "Expired").await;
    stage.wait("secret/chosen", "delete").await;
}

async fn keeps_to_the_project(stage: &Stage) {
    let contracts = stage.bearer("spring-contracts").await.permission("contracts:sign");
    contracts.clone().project("spring-release").becomes("200").await;
    contracts.project("back-catalogue").becomes("403").await;
    let statements = stage.bearer("royalty-statements").await.permission("statements:read");
    statements.project("back-catalogue").becomes("200").await;
}

async fn deletes_many(stage: &Stage) {
    let (archive, spring) = (stage.bearer("archive").await, stage.bearer("spring-contracts").await);
    let finance = stage.bearer("royalty-statements").await;
    archive.becomes("200").await;
    stage.run(&["delete", "apitokens", "--selector", "team=release"]).await;
    archive.becomes("401").await;
    spring.becomes("401").await;
    finance.becomes("200").await;
}
