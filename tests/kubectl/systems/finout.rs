//! A client ID and a secret key in the organisation's own headers; a user's tokens go with the user.

use super::set_up;
use crate::{members::can, question::Question, stage::Stage};

pub(crate) async fn finout(stage: &Stage) {
    set_up(stage, "ann@bill.example").await;
    lets_only_admins_issue(stage).await;
    shows_the_secret_once(stage).await;
    carries_the_users_role(stage).await;
}

async fn pair(stage: &Stage, token: &str) -> Question {
    let (id, key) = (
        stage.value(token, "client-id").await,
        stage.value(token, "secret-key").await,
    );
    with(stage, &id, &key)
}

fn with(stage: &Stage, id: &str, key: &str) -> Question {
    Question::of(stage)
        .header("x-finout-client-id", id)
        .header("x-finout-secret-key", key)
}

async fn lets_only_admins_issue(stage: &Stage) {
    can(
        stage,
        "ben@bill.example",
        "issue-personal",
        &stage.organisation_resource(),
        true,
    )
    .await;
    let ben = "ben@bill.example";
    let create = |name: &'static str, more: &str| {
        let manifest = format!(
            "apiVersion: tokenwright.dev/v1alpha1\nkind: ApiToken\nmetadata: {{name: {name}, namespace: finout}}\nspec: {{organisation: finout, role: Viewer{more}}}\n"
        );
        async move {
            stage
                .kubectl
                .run_with(["create", "--filename", "-", "--as", ben], &manifest)
                .await
        }
    };
    let refused = create("account", "").await;
    assert!(
        refused
            .stderr
            .contains("may not create API tokens of organisation \"finout\""),
        "{}",
        refused.stderr
    );
    let refused = create("anns", ", type: Personal, user: ann@bill.example").await;
    assert!(
        refused.stderr.contains("may not create the Personal tokens of user"),
        "{}",
        refused.stderr
    );
    let own = create("own", ", type: Personal, user: ben@bill.example").await;
    assert!(own.success, "{}", own.stderr);
    let own = stage.run_as(ben, &["delete", "apitoken", "own"]).await;
    assert!(own.success, "{}", own.stderr);
}

async fn shows_the_secret_once(stage: &Stage) {
    let export = pair(stage, "cost-export").await;
    export.clone().permission("costs:read").becomes("200").await;
    export.clone().permission("budgets:write").becomes("403").await;
    let id = stage.value("cost-export", "client-id").await;
    let others_key = stage.value("ben-notebook", "secret-key").await;
    with(stage, &id, &others_key).becomes("401").await;

    stage
        .run(&["annotate", "secret", "cost-export", "tokenwright.dev/claimed=true"])
        .await;
    stage.wait("secret/cost-export", "delete").await;
    export.becomes("200").await;
    assert_eq!(stage.path("apitoken/cost-export", "{.status.clientId}").await, id);

    stage.expire("cost-export").await;
    export.becomes("401").await;
    stage
        .patch(
            "apitoken/cost-export",
            r#"{"spec":{"expiry":{"at":null,"after":"90d"}}}"#,
        )
        .await;
    stage.wait("secret/cost-export", "create").await;
    stage.wait("apitoken/cost-export", "condition=Ready").await;
    let successor = pair(stage, "cost-export").await;
    successor.becomes("200").await;
    export.becomes("401").await;
    let masked = stage.path("apitoken/cost-export", "{.status.maskedToken}").await;
    stage.lists("cost-export", &["Organisation", "Viewer", &masked]).await;
    stage.run(&["delete", "apitoken", "cost-export"]).await;
    successor.becomes("401").await;
}

async fn carries_the_users_role(stage: &Stage) {
    let notebook = pair(stage, "ben-notebook").await;
    let (costs, budgets) = (
        notebook.clone().permission("costs:read"),
        notebook.clone().permission("budgets:write"),
    );
    costs.becomes("200").await;
    budgets.becomes("200").await;
    notebook.clone().permission("accounts:delete").becomes("403").await;
    let ann = r#"{"kind":"User","name":"ann@bill.example","role":"Admin"}"#;
    let viewer = r#"{"kind":"User","name":"ben@bill.example","role":"Viewer"}"#;
    stage
        .patch(
            "organisation/finout",
            &format!(r#"{{"spec":{{"members":[{ann},{viewer}]}}}}"#),
        )
        .await;
    budgets.becomes("403").await;
    costs.becomes("200").await;
    stage
        .patch("organisation/finout", &format!(r#"{{"spec":{{"members":[{ann}]}}}}"#))
        .await;
    costs.becomes("401").await;
    stage.not_ready("ben-notebook", "MemberRemoved").await;
    stage.wait("secret/ben-notebook", "delete").await;
}
