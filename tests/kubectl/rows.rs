//! The rows: each is something a user does, and what they then see. All of them are played on the sandbox, and on a real
//! API server where one is at hand.

use std::{pin::Pin, sync::Arc};

use tempfile::TempDir;

use crate::{
    members::{assignees, members},
    process::Process,
    stage::{ROW_LIMIT, Stage},
    support::Server,
    verified::{last_used, verified},
};

type Row = (
    &'static str,
    for<'a> fn(&'a Stage) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
);

macro_rules! rows {
    ($($name:ident)*) => { &[$((stringify!($name), |stage| Box::pin($name(stage)))),*] };
}

const ROWS: &[Row] = rows![
    issue table_and_columns describe_and_events explain_and_discovery selectors no_drift
    trigger due_rotation deleted_secret edited_secret renamed_keys labels_of_the_secret
    expiry_delete expiry_retain cleanup not_before shown_once
    suspended refused_role unknown_field organisation_missing organisation_suspended namespace_not_allowed
    secret_in_the_way personal members assignees restart counts verified last_used deletion
];

/// Plays rows at the same time, each in a namespace of its own.
async fn play(
    home: &TempDir,
    kubeconfig: &str,
    rows: impl Iterator<Item = &'static Row>,
    rolls_out: bool,
    verifier: &str,
) {
    let (home, kubeconfig) = (Arc::new(home.path().to_owned()), Arc::new(kubeconfig.to_owned()));
    let verifier: Arc<str> = verifier.into();
    let mut playing = Vec::new();
    for (name, row) in rows {
        let (home, kubeconfig, verifier) = (home.clone(), kubeconfig.clone(), verifier.clone());
        let played = tokio::spawn(async move {
            let stage = Stage::set(&home, &kubeconfig, &name.replace('_', "-"), rolls_out, &verifier).await;
            tokio::time::timeout(ROW_LIMIT, row(&stage))
                .await
                .expect("the row took too long");
        });
        playing.push((name, played));
    }
    let mut failed = Vec::new();
    for (name, played) in playing {
        if played.await.is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "failed rows: {failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_holds_in_the_sandbox() {
    let home = TempDir::new().unwrap();
    let kubeconfig = home.path().join("sandbox/kubeconfig");
    let path = kubeconfig.to_str().unwrap();
    let any = "127.0.0.1:0";
    let arguments = [
        "sandbox",
        "--kubeconfig",
        path,
        "--http",
        any,
        "--grpc",
        any,
        "--log",
        "debug",
    ];
    let mut sandbox = Process::start(&arguments);
    let verifier = sandbox.word_after("The verifier answers on http://").await;
    sandbox.until("Ctrl-C ends it").await;
    let kubeconfig = std::fs::read_to_string(kubeconfig).unwrap();
    play(&home, &kubeconfig, ROWS.iter(), true, &verifier).await;
    let tokens = every_token(&home, &kubeconfig).await;
    sandbox.signal("-INT");
    let (code, said) = sandbox.end().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(tokens.len() > 10, "only {} tokens were seen", tokens.len());
    assert!(
        !tokens.iter().any(|token| said.contains(token.as_str())),
        "a token was printed or logged"
    );
}

/// The tokens in all Secrets.
async fn every_token(home: &TempDir, kubeconfig: &str) -> Vec<String> {
    let kubectl = kube_sandbox::testing::Kubectl::new(&home.path().join("all"), kubeconfig).unwrap();
    let template = "go-template={{range .items}}{{range .data}}{{. | base64decode}}\n{{end}}{{end}}";
    let values = kubectl
        .ok(["get", "secrets", "--all-namespaces", "--output", template])
        .await;
    values
        .lines()
        .filter(|value| value.starts_with("acme_"))
        .map(str::to_owned)
        .collect()
}

async fn issue(stage: &Stage) {
    stage.token("  description: For tests\n").await;
    stage.ready().await;
    let token = stage.secret().await;
    assert!(tokenwright::domain::credential::Token::parse(&token).is_some() && token.starts_with("acme_o"));
    let secret = |key: &str| format!("go-template={{{{index .data \"{key}\" | base64decode}}}}");
    assert_eq!(
        stage
            .run(&["get", "secret", "t", "--output", &secret("secret-key")])
            .await,
        token
    );
    let client_id = stage.path("apitoken/t", "{.status.clientId}").await;
    assert_eq!(
        stage
            .run(&["get", "secret", "t", "--output", &secret("client-id")])
            .await,
        client_id
    );
    let token_yaml = stage.run(&["get", "apitoken", "t", "--output", "yaml"]).await;
    assert!(!token_yaml.contains(&token) && token_yaml.contains("sha256:"));
}

async fn table_and_columns(stage: &Stage) {
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

async fn describe_and_events(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    stage.event("Issued").await;
    let described = stage.run(&["describe", "apitoken", "t"]).await;
    assert!(described.contains("Put credential 1 into Secret \"t\"."), "{described}");
    let events = stage.run(&["events", "--for", "apitoken/t"]).await;
    assert!(events.contains("Issued"), "{events}");
}

async fn explain_and_discovery(stage: &Stage) {
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
    let resources = stage
        .kubectl
        .ok(["api-resources", "--api-group", "tokenwright.dev"])
        .await;
    assert!(
        resources.contains("apitok") && resources.contains("org "),
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

async fn selectors(stage: &Stage) {
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

async fn no_drift(stage: &Stage) {
    let manifest = stage.manifest("  expiry: {after: 90d, action: Rotate}\n");
    stage.apply_text(&manifest).await;
    stage.ready().await;
    let diff = stage.kubectl.run_with(["diff", "--filename", "-"], &manifest).await;
    assert_eq!((diff.code, diff.stdout.as_str()), (Some(0), ""), "{}", diff.stderr);
    let again = stage.apply(&manifest).await;
    assert!(again.stdout.contains("unchanged"), "{}", again.stdout);
}

async fn trigger(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    let before = stage.secret().await;
    stage.token("  rotation: {trigger: \"2026-11-21\"}\n").await;
    stage.rotations(1).await;
    stage.ready().await;
    assert_ne!(stage.secret().await, before);
    assert_eq!(
        stage.path("apitoken/t", "{.status.credentials[*].state}").await,
        "Retiring Active"
    );
    stage
        .run(&[
            "patch",
            "apitoken",
            "t",
            "--type=merge",
            "--patch",
            r#"{"spec":{"rotation":{"trigger":"b","overlap":"0s"}}}"#,
        ])
        .await;
    stage.rotations(2).await;
    assert_eq!(
        stage.path("apitoken/t", "{.status.credentials[*].state}").await,
        "Retired Retired Active"
    );
}

async fn due_rotation(stage: &Stage) {
    stage
        .token("  expiry: {after: 8s, action: Rotate}\n  rotation: {renewBefore: 5s}\n")
        .await;
    stage.rotations(1).await;
    stage.ready().await;
    stage.rotations(2).await;
    stage.event("Rotated").await;
}

async fn deleted_secret(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    let before = stage.secret().await;
    stage.run(&["delete", "secret", "t"]).await;
    stage.rotations(1).await;
    assert_ne!(stage.secret().await, before);
    stage.event("SecretDeleted").await;
}

async fn edited_secret(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    let before = stage.secret().await;
    stage
        .run(&[
            "patch",
            "secret",
            "t",
            "--patch",
            r#"{"stringData":{"token":"mine","secret-key":"mine"}}"#,
        ])
        .await;
    stage.rotations(1).await;
    let after = stage.secret().await;
    assert!(after != "mine" && after != before);
    stage.event("SecretEdited").await;
}

async fn renamed_keys(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    let before = stage.path("secret/t", "{.data.token}").await;
    stage.token("  secret: {keys: {token: API_TOKEN}}\n").await;
    stage.wait("secret/t", "jsonpath={.data.API_TOKEN}").await;
    assert_eq!(stage.path("secret/t", "{.data.API_TOKEN}").await, before);
    assert_eq!(stage.path("secret/t", "{.data.token}").await, "");
}

async fn labels_of_the_secret(stage: &Stage) {
    stage
        .token("  secret: {name: key, labels: {team: a}, annotations: {note: x}}\n")
        .await;
    stage.ready().await;
    assert_eq!(
        stage
            .path("secret/key", "{.metadata.labels.team}{.metadata.annotations.note}")
            .await,
        "ax"
    );
    stage.run(&["label", "secret", "key", "team-", "theirs=1"]).await;
    stage.wait("secret/key", "jsonpath={.metadata.labels.team}=a").await;
    assert_eq!(stage.path("secret/key", "{.metadata.labels.theirs}").await, "1");
    assert_eq!(stage.path("apitoken/t", "{.status.rotations}").await, "0");
}

async fn expiry_delete(stage: &Stage) {
    stage.token("  expiry: {after: 6s}\n").await;
    stage.ready().await;
    let message = stage.refused("Expired").await;
    assert!(message.contains("Its Secret was deleted"), "{message}");
    stage.wait("secret/t", "delete").await;
    assert_eq!(
        stage.path("apitoken/t", "{.status.credentials[*].state}").await,
        "Retired"
    );
    stage.token("  expiry: {after: 90d}\n").await;
    stage.ready().await;
    assert_eq!(
        stage.path("apitoken/t", "{.status.credentials[*].state}").await,
        "Retired Active"
    );
}

async fn expiry_retain(stage: &Stage) {
    stage.token("  expiry: {after: 4s, action: Retain}\n").await;
    stage.refused("Expired").await;
    assert!(stage.secret().await.starts_with("acme_o"));
}

async fn cleanup(stage: &Stage) {
    stage.token("  expiry: {after: 3s, cleanupAfter: 2s}\n").await;
    stage.wait("apitoken/t", "delete").await;
}

async fn not_before(stage: &Stage) {
    stage.token("  notBefore: \"2099-01-01T00:00:00Z\"\n").await;
    let message = stage.refused("NotYetValid").await;
    assert!(message.contains("works from 2099-01-01T00:00:00Z on"), "{message}");
    assert!(stage.secret().await.starts_with("acme_o"));
}

async fn shown_once(stage: &Stage) {
    stage.token("  secret: {delivery: Once}\n").await;
    stage.ready().await;
    stage
        .run(&["annotate", "secret", "t", "tokenwright.dev/claimed=true"])
        .await;
    stage.wait("secret/t", "delete").await;
    stage.ready().await;
    stage
        .token("  secret: {delivery: Once}\n  rotation: {trigger: again}\n")
        .await;
    stage.rotations(1).await;
    assert!(stage.secret().await.starts_with("acme_o"));
}

async fn suspended(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    let before = stage.secret().await;
    stage.token("  suspended: true\n").await;
    stage.refused("Suspended").await;
    stage.wait("apitoken/t", "condition=Stalled").await;
    stage.token("").await;
    stage.ready().await;
    assert_eq!(stage.secret().await, before);
}

async fn refused_role(stage: &Stage) {
    stage.token("  role: Boss\n").await;
    let message = stage.refused("RoleNotFound").await;
    assert!(
        message.contains("has no role \"Boss\". Its roles: Owner, Admin, Member."),
        "{message}"
    );
    stage.event("RoleNotFound").await;
    stage.token("").await;
    stage.ready().await;
}

async fn unknown_field(stage: &Stage) {
    let answer = stage.apply(&stage.manifest("  expires: 30d\n")).await;
    assert!(
        !answer.success && answer.stderr.contains("unknown field \"spec.expires\""),
        "{}",
        answer.stderr
    );
}

async fn organisation_missing(stage: &Stage) {
    stage.kubectl.ok(["delete", "organisation", &stage.name]).await;
    stage.token("").await;
    let message = stage.refused("OrganisationNotFound").await;
    assert!(message.contains("kubectl get organisations"), "{message}");
    stage.organisation("").await;
    stage.ready().await;
}

async fn organisation_suspended(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    stage.organisation("  suspended: true\n").await;
    stage.refused("OrganisationSuspended").await;
    stage.organisation("").await;
    stage.ready().await;
}

async fn namespace_not_allowed(stage: &Stage) {
    stage
        .organisation("  namespaces: {selector: {matchLabels: {tokens: allowed}}}\n")
        .await;
    stage.token("").await;
    stage.refused("NamespaceNotAllowed").await;
    stage
        .kubectl
        .ok(["label", "namespace", &stage.name, "tokens=allowed"])
        .await;
    stage.ready().await;
    let before = stage.secret().await;
    stage.kubectl.ok(["label", "namespace", &stage.name, "tokens-"]).await;
    stage.refused("NamespaceNotAllowed").await;
    stage
        .kubectl
        .ok(["label", "namespace", &stage.name, "tokens=allowed"])
        .await;
    stage.ready().await;
    assert_eq!(stage.secret().await, before);
}

async fn secret_in_the_way(stage: &Stage) {
    stage
        .run(&["create", "secret", "generic", "t", "--from-literal=token=theirs"])
        .await;
    stage.token("").await;
    let message = stage.refused("SecretConflict").await;
    assert!(message.contains("nothing controls it"), "{message}");
    assert_eq!(stage.secret().await, "theirs");
    stage.run(&["delete", "secret", "t"]).await;
    stage.ready().await;
}

async fn personal(stage: &Stage) {
    let lines = "  type: Personal\n  user: ann\n";
    stage.token(lines).await;
    stage.refused("NotAMember").await;
    stage
        .organisation("  members: [{kind: User, name: ann, role: Member}]\n")
        .await;
    stage.ready().await;
    assert!(stage.secret().await.starts_with("acme_p"));
    stage.organisation("").await;
    stage.refused("MemberRemoved").await;
    stage.wait("secret/t", "delete").await;
}

async fn restart(stage: &Stage) {
    stage.run(&["create", "deployment", "web", "--image=web"]).await;
    let lines = "  rotation: {restart: [{kind: Deployment, name: web}], trigger: ";
    stage.token(&format!("{lines}a}}\n")).await;
    stage.ready().await;
    stage.token(&format!("{lines}b}}\n")).await;
    let stamp = r"{.spec.template.metadata.annotations.credential\.tokenwright\.dev/t}";
    stage.wait("deployment/web", &format!("jsonpath={stamp}")).await;
    assert!(stage.path("deployment/web", stamp).await.ends_with("/2"));
    if stage.rolls_out {
        stage
            .run(&["rollout", "status", "deployment/web", "--timeout=60s"])
            .await;
        stage
            .wait("apitoken/t", "jsonpath={.status.credentials[0].retiredAt}")
            .await;
    } else {
        assert_eq!(stage.path("apitoken/t", "{.status.credentials[0].retiredAt}").await, "");
    }
}

async fn counts(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    let organisation = format!("organisation/{}", stage.name);
    stage.wait(&organisation, "jsonpath={.status.tokens.active}=1").await;
    stage.wait(&organisation, "condition=Ready").await;
    stage.token("  suspended: true\n").await;
    stage.wait(&organisation, "jsonpath={.status.tokens.suspended}=1").await;
}

async fn deletion(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    stage.run(&["delete", "apitoken", "t", "--wait"]).await;
    stage.wait("secret/t", "delete").await;
    stage.token("").await;
    stage.ready().await;
    stage
        .kubectl
        .ok(["delete", "namespace", &stage.name, "--wait", "--timeout=60s"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_holds_on_a_real_api_server() {
    let Some(server) = Server::real().await else { return };
    let path = server.kubeconfig().to_str().unwrap();
    let home = TempDir::new().unwrap();
    let kubeconfig = std::fs::read_to_string(path).unwrap();
    let kubectl = kube_sandbox::testing::Kubectl::new(&home.path().join("setup"), &kubeconfig).unwrap();
    kubectl
        .ok(["apply", "--filename", concat!(env!("CARGO_MANIFEST_DIR"), "/crds")])
        .await;
    let mut controller = Process::start(&[
        "controller",
        "--kubeconfig",
        path,
        "--metrics",
        "127.0.0.1:0",
        "--log",
        "debug",
    ]);
    controller.until("starting").await;
    let any = "127.0.0.1:0";
    let verifier = [
        "verifier",
        "--kubeconfig",
        path,
        "--http",
        any,
        "--grpc",
        any,
        "--metrics",
        any,
    ];
    let settings = [
        "--trusted-proxies",
        "127.0.0.1",
        "--last-used-interval",
        "10s",
        "--log",
        "debug",
    ];
    let mut verifier = Process::start(&[&verifier[..], &settings[..]].concat());
    let address = verifier.word_after("http=").await;
    let cleans_up = server.cleans_up("the row of deletion");
    let rows = ROWS.iter().filter(|(name, _)| cleans_up || *name != "deletion");
    play(&home, &kubeconfig, rows, false, &address).await;
    let tokens = every_token(&home, &kubeconfig).await;
    for process in [controller, verifier] {
        process.signal("-INT");
        let (code, said) = process.end().await;
        assert_eq!(code, Some(0), "{said}");
        assert!(
            !tokens.iter().any(|token| said.contains(token.as_str())),
            "a token was logged"
        );
    }
}
