//! Rules for tokens, as their author sees whom they hit.

use crate::stage::Stage;

/// Applies a policy of the row's name for the row's organisation, with these lines in its spec.
async fn policy(stage: &Stage, lines: &str) {
    let name = &stage.name;
    let manifest = format!(
        "apiVersion: tokenwright.dev/v1alpha1\nkind: TokenPolicy\nmetadata: {{name: {name}}}\nspec:\n  organisations: {{names: [{name}]}}\n{lines}"
    );
    stage.apply_text(&manifest).await;
}

pub(super) async fn policy_previewed(stage: &Stage) {
    stage.token("  expiry: {after: 90d}\n").await;
    stage.ready().await;
    policy(stage, "  enforcement: Warn\n  expiry: {max: 30d}\n").await;
    let this = format!("tokenpolicy/{}", stage.name);
    stage.wait(&this, "condition=Ready").await;
    stage.wait(&this, "jsonpath={.status.tokens.violating}=1").await;
    let table = stage.run(&["get", "tpol", &stage.name]).await;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        rows[0],
        [
            "NAME",
            "TYPES",
            "ISSUANCE",
            "MAX",
            "EXPIRY",
            "ENFORCEMENT",
            "MATCHED",
            "VIOLATING",
            "READY",
            "AGE"
        ]
    );
    assert_eq!(
        rows[1][1..8],
        [
            r#"["Organisation","Personal"]"#,
            "Allow",
            "30d",
            "Warn",
            "1",
            "1",
            "True"
        ]
    );
    let described = stage.run(&["describe", "tpol", &stage.name]).await;
    let says = "spec.expiry.after is 90d, and a token may live for 30d at most. Write 30d or less.";
    assert!(described.contains(says), "{described}");
    stage.ready().await;

    // Then in earnest.
    policy(stage, "  expiry: {max: 30d}\n").await;
    let message = stage.refused("PolicyViolation").await;
    assert!(message.contains(says), "{message}");
    stage.event("PolicyViolation").await;
    let organisation = format!("organisation/{}", stage.name);
    stage.wait(&organisation, "jsonpath={.status.tokens.violating}=1").await;
    stage.token("  expiry: {after: 7d}\n").await;
    stage.ready().await;
    stage.wait(&this, "jsonpath={.status.tokens.violating}=0").await;
    stage.wait("apitoken/t", "condition=PolicyCompliant").await;
    stage.run(&["delete", "tpol", &stage.name]).await;
}

pub(super) async fn policy_denying(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    policy(stage, "  issuance: Deny\n").await;
    stage.refused("IssuanceDenied").await;
    stage.wait("secret/t", "delete").await;
    stage.run(&["delete", "tpol", &stage.name]).await;
    stage.ready().await;
    assert!(stage.secret().await.starts_with("acme_"));
}

pub(super) async fn policy_in_error(stage: &Stage) {
    policy(stage, "  roles: {allowed: [Onwer]}\n").await;
    let this = format!("tokenpolicy/{}", stage.name);
    stage.wait(&this, "condition=Ready=false").await;
    let cluster_wide = [
        "get",
        "events",
        "--namespace",
        "default",
        "--field-selector",
        "reason=RoleNotFound",
    ];
    let looking = async {
        loop {
            let events = stage.kubectl.ok(cluster_wide).await;
            if events.contains(&format!("tokenpolicy/{}", stage.name)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::process::LIMIT, looking)
        .await
        .expect("no Event");
    let described = stage.kubectl.ok(["describe", "tpol", &stage.name]).await;
    assert!(described.contains("spec.roles.allowed has \"Onwer\""), "{described}");
    assert!(described.contains("Warning  RoleNotFound"), "{described}");
    stage.run(&["delete", "tpol", &stage.name]).await;
}
