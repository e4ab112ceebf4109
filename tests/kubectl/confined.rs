//! What an account with the controller's rights cannot do with them: by deploy/admission on a real API server, by the
//! sandbox's own rules there.

use kube_sandbox::testing::Outcome;

use crate::{members::can, process::LIMIT, stage::Stage};

/// What the controller may do, as far as others' objects are within its reach.
const RULES: &str = "
- {apiGroups: [tokenwright.dev], resources: [organisations], verbs: [issue, issue-personal, confined]}
- {apiGroups: [''], resources: [secrets], verbs: [get, create, update, patch, delete]}
- {apiGroups: [apps], resources: [deployments], verbs: [get, patch]}
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings, clusterroles, clusterrolebindings]
  verbs: [get, create, update, patch, delete]
";
const RIGHTS: (&str, &str) = (
    "tokenwright-confined-rights",
    "of roles and bindings it writes only those that tokenwright makes, called tokenwright:… and about one object.",
);
const SECRETS: (&str, &str) = (
    "tokenwright-confined-secrets",
    "of Secrets it writes only those that an ApiToken controls, of type Opaque.",
);
const WORKLOADS: (&str, &str) = (
    "tokenwright-confined-workloads",
    "of workloads it changes only annotations credential.tokenwright.dev/… of their Pods, which restarts them.",
);

/// An account that holds `RULES` in the whole cluster, once it does.
async fn operator(stage: &Stage) -> String {
    let name = &stage.name;
    let manifest = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {name}-operator}}\nrules:{RULES}"
    );
    stage.apply_text(&manifest).await;
    bind(
        stage,
        "operator",
        &format!("{name}-operator"),
        &format!("--serviceaccount={name}:operator"),
    )
    .await;
    let operator = format!("system:serviceaccount:{name}:operator");
    can(stage, &operator, "confined", "organisations.tokenwright.dev", true).await;
    operator
}

async fn bind(stage: &Stage, name: &str, role: &str, to: &str) {
    let (name, role) = (format!("{}-{name}", stage.name), format!("--clusterrole={role}"));
    let bind = ["create", "clusterrolebinding", &name, &role, to];
    stage.kubectl.ok(bind).await;
}

/// What is not the row's namespace's is left to no other row.
async fn dismiss(stage: &Stage) {
    let (operator, root) = (format!("{}-operator", stage.name), format!("{}-root", stage.name));
    stage.kubectl.ok(["delete", "clusterrole", &operator]).await;
    let bindings = ["delete", "clusterrolebinding", "--ignore-not-found", &operator, &root];
    stage.kubectl.ok(bindings).await;
}

async fn run(stage: &Stage, user: &str, command: &str) -> Outcome {
    let more = ["--as", user, "--namespace", &stage.name];
    stage.kubectl.run(command.split(' ').chain(more)).await
}

fn is_refused(outcome: &Outcome, user: &str, (policy, only): (&str, &str)) -> bool {
    let why = format!("denied request: user \"{user}\" holds the verb confined: {only}");
    let by = format!("ValidatingAdmissionPolicy '{policy}' with binding '{policy}' {why}");
    !outcome.success && outcome.stderr.contains(&by)
}

/// A policy is in force a moment after it is applied.
async fn in_force(stage: &Stage, user: &str, command: &str, policy: (&str, &str)) {
    let asking = async { while !is_refused(&run(stage, user, command).await, user, policy) {} };
    let in_time = tokio::time::timeout(LIMIT, asking).await;
    assert!(in_time.is_ok(), "{} is never in force", policy.0);
}

async fn refused(stage: &Stage, user: &str, command: &str, policy: (&str, &str)) {
    let outcome = run(stage, user, command).await;
    assert!(
        is_refused(&outcome, user, policy),
        "{command}: {}{}",
        outcome.stdout,
        outcome.stderr
    );
}

async fn allowed(stage: &Stage, user: &str, command: &str) {
    let outcome = run(stage, user, command).await;
    assert!(outcome.success, "{command}: {}", outcome.stderr);
}

pub(crate) async fn confined_rights(stage: &Stage) {
    let operator = &operator(stage).await;
    stage
        .run(&["create", "role", "other", "--verb=get", "--resource=secrets"])
        .await;
    in_force(stage, operator, "delete role other --dry-run=server", RIGHTS).await;
    for command in [
        "delete role other",
        "delete clusterrole view --dry-run=server",
        "delete clusterrolebinding cluster-admin --dry-run=server",
        "label role other a=b",
        "create role another --verb=get --resource=secrets --resource-name=t",
        "create rolebinding another --role=other --user=ann",
        // Its name alone makes none of these tokenwright's.
        "create role tokenwright:x:assignees --verb=get --resource=secrets",
        "create role tokenwright:x:assignees --verb=get,delete --resource=secrets --resource-name=t",
        "create rolebinding tokenwright:x:assignees --role=other --user=ann",
    ] {
        refused(stage, operator, command, RIGHTS).await;
    }
    for command in [
        "create role tokenwright:x:assignees --verb=get --resource=secrets --resource-name=t",
        "create rolebinding tokenwright:x:assignees --role=tokenwright:x:assignees --user=ann",
        "label role tokenwright:x:assignees a=b",
        "delete rolebinding tokenwright:x:assignees",
        "delete role tokenwright:x:assignees",
    ] {
        allowed(stage, operator, command).await;
    }
    // Whoever holds everything holds the verb too.
    let root = &format!("{}-root", stage.name);
    bind(stage, "root", "cluster-admin", &format!("--user={root}")).await;
    can(stage, root, "delete", "roles", true).await;
    allowed(stage, root, "delete role other").await;
    dismiss(stage).await;
}

pub(crate) async fn confined_secrets(stage: &Stage) {
    let operator = &operator(stage).await;
    stage.token("").await;
    stage.ready().await;
    stage.run(&["create", "secret", "generic", "other"]).await;
    in_force(stage, operator, "delete secret other --dry-run=server", SECRETS).await;
    for command in [
        "delete secret other",
        "label secret other a=b",
        "create secret generic another",
        r#"patch secret t --type=json --patch=[{"op":"remove","path":"/metadata/ownerReferences"}]"#,
    ] {
        refused(stage, operator, command, SECRETS).await;
    }
    // The token of another account.
    let token = format!(
        "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/service-account-token\nmetadata:\n  name: another\n  \
         namespace: {}\n  annotations: {{kubernetes.io/service-account.name: default}}\n",
        stage.name
    );
    let create = ["create", "--filename", "-", "--as", operator];
    let created = stage.kubectl.run_with(create, &token).await;
    assert!(is_refused(&created, operator, SECRETS), "{}", created.stderr);
    let uid = stage.path("apitoken/t", "{.metadata.uid}").await;
    let owner = format!(
        r#"[{{"apiVersion":"tokenwright.dev/v1alpha1","kind":"ApiToken","name":"t","uid":"{uid}","controller":true}}]"#
    );
    let adopt = format!(r#"patch secret other --type=merge --patch={{"metadata":{{"ownerReferences":{owner}}}}}"#);
    refused(stage, operator, &adopt, SECRETS).await;
    allowed(stage, operator, "label secret t a=b").await;
    allowed(stage, operator, "delete secret t").await;
    dismiss(stage).await;
}

pub(crate) async fn confined_workloads(stage: &Stage) {
    let operator = &operator(stage).await;
    stage.run(&["create", "deployment", "web", "--image=i"]).await;
    let patch = |type_: &str, patch: &str| format!("patch deployment web --type={type_} --patch={patch}");
    let note = |key: &str| {
        let template = format!(r#"{{"metadata":{{"annotations":{{"{key}":"1"}}}}}}"#);
        patch("merge", &format!(r#"{{"spec":{{"template":{template}}}}}"#))
    };
    let scale = patch("merge", r#"{"spec":{"replicas":0}}"#);
    in_force(stage, operator, &format!("{scale} --dry-run=server"), WORKLOADS).await;
    for command in [
        scale,
        note("sidecar.istio.io/inject"),
        patch(
            "json",
            r#"[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"j"}]"#,
        ),
        patch(
            "json",
            r#"[{"op":"add","path":"/spec/template/spec/serviceAccountName","value":"other"}]"#,
        ),
        patch("merge", r#"{"spec":{"template":{"metadata":{"labels":{"a":"b"}}}}}"#),
        patch("merge", r#"{"metadata":{"finalizers":["example.com/hold"]}}"#),
        "label deployment web a=b".to_owned(),
        "annotate deployment web a=b".to_owned(),
    ] {
        refused(stage, operator, &command, WORKLOADS).await;
    }
    allowed(stage, operator, &note("credential.tokenwright.dev/t")).await;
    // Nobody else is asked about.
    stage.run(&["label", "deployment", "web", "a=b"]).await;
    dismiss(stage).await;
}
