//! What kubectl shows of it.

use crate::stage::Stage;

pub(super) async fn table_and_columns(stage: &Stage) {
    stage.token("  expiry: {at: \"2099-01-01T00:00:00Z\"}\n").await;
    stage.ready().await;
    let table = stage.run(&["get", "apitok"]).await;
    let header: Vec<&str> = table
        .lines()
        .next()
        .unwrap()
        .split("  ")
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(
        header,
        [
            "NAME",
            "ORGANISATION",
            "TYPE",
            "ROLE",
            "SCOPE",
            "TOKEN",
            "EXPIRES",
            "LAST USED",
            "READY",
            "AGE"
        ]
    );
    let row = table.lines().nth(1).unwrap();
    assert!(
        row.contains("acme_…") && row.contains("2099-01-01T00:00:00Z") && row.contains("True"),
        "{row}"
    );
    let wide = stage.run(&["get", "apitoken", "t", "--output", "wide"]).await;
    assert!(
        wide.contains("CREATED BY") && wide.contains("REASON") && wide.contains("Issued"),
        "{wide}"
    );
}

pub(super) async fn describe_and_events(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    stage.event("Issued").await;
    let described = stage.run(&["describe", "apitoken", "t"]).await;
    assert!(described.contains("Put credential 1 into Secret \"t\"."), "{described}");
    let events = stage.run(&["events", "--for", "apitoken/t"]).await;
    assert!(events.contains("Issued"), "{events}");
}

pub(super) async fn explain_and_discovery(stage: &Stage) {
    let explained = stage.run(&["explain", "apitoken.spec.expiry.after"]).await;
    assert!(
        explained.contains("How long one credential works, such as 90d"),
        "{explained}"
    );
    let explained = stage.run(&["explain", "organisation.spec", "--recursive"]).await;
    assert!(
        explained.contains("ipFilters") && explained.contains("managesTokens"),
        "{explained}"
    );
    let explained = stage.run(&["explain", "tpol.spec.idle.action"]).await;
    assert!(explained.contains("Suspend: the token is refused"), "{explained}");
    let resources = stage
        .kubectl
        .ok(["api-resources", "--api-group", "tokenwright.dev"])
        .await;
    assert!(
        ["apitok ", "org ", "tpol "].iter().all(|name| resources.contains(name)),
        "{resources}"
    );
    stage.token("").await;
    assert!(
        stage
            .run(&["get", "tokenwright"])
            .await
            .contains("apitoken.tokenwright.dev/t")
    );
}

pub(super) async fn selectors(stage: &Stage) {
    stage.token("").await;
    let mine = format!("spec.organisation={}", stage.name);
    let found = stage
        .run(&["get", "apitokens", "--field-selector", &mine, "--output", "name"])
        .await;
    assert_eq!(found, "apitoken.tokenwright.dev/t\n");
    let none = stage
        .run(&[
            "get",
            "apitokens",
            "--field-selector",
            "spec.organisation=other",
            "--output",
            "name",
        ])
        .await;
    assert_eq!(none, "");
    stage.ready().await;
    let secrets = format!(
        "tokenwright.dev/organisation={},app.kubernetes.io/managed-by=tokenwright",
        stage.name
    );
    assert_eq!(
        stage
            .run(&["get", "secrets", "--selector", &secrets, "--output", "name"])
            .await,
        "secret/t\n"
    );
}

pub(super) async fn no_drift(stage: &Stage) {
    let manifest = stage.manifest("  expiry: {after: 90d, action: Rotate}\n");
    stage.apply_text(&manifest).await;
    stage.ready().await;
    let diff = stage.kubectl.run_with(["diff", "--filename", "-"], &manifest).await;
    assert_eq!((diff.code, diff.stdout.as_str()), (Some(0), ""), "{}", diff.stderr);
    let again = stage.apply(&manifest).await;
    assert!(again.stdout.contains("unchanged"), "{}", again.stdout);
}

pub(super) async fn counts(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    let organisation = format!("organisation/{}", stage.name);
    stage.wait(&organisation, "jsonpath={.status.tokens.active}=1").await;
    stage.wait(&organisation, "condition=Ready").await;
    stage.token("  suspended: true\n").await;
    stage.wait(&organisation, "jsonpath={.status.tokens.suspended}=1").await;
}
