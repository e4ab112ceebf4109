//! Who may create, change and delete tokens, and who is said to have created them: by deploy/admission on a real API
//! server, by the sandbox's own rules there.

use kube_sandbox::testing::{Kubectl, Outcome};

use crate::{members::can, process::LIMIT, stage::Stage};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/admission");
/// May issue tokens of the row's organisation.
const ANN: &str = "ann";
/// Is a member and may not.
const ZOE: &str = "zoe";
/// Is no member.
const CAROL: &str = "carol";

/// Applies the policies, and waits until they are in force. Returns whether they stamp who creates a token, which takes
/// Kubernetes 1.36.
pub(crate) async fn install(kubectl: &Kubectl) -> bool {
    let served = kubectl
        .ok(["get", "--raw", "/apis/admissionregistration.k8s.io/v1"])
        .await;
    let stamps = served.contains("mutatingadmissionpolicies");
    kubectl.ok(["apply", "--kustomize", FOLDER]).await;
    if stamps {
        kubectl.ok(["apply", "--kustomize", &format!("{FOLDER}/stamp")]).await;
    }
    kubectl
        .ok(["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"])
        .await;
    kubectl.ok(["create", "namespace", "admission-probe"]).await;
    let space = ["--namespace", "admission-probe"];
    let resources = "--resource=apitokens,apitokens/status";
    let role = ["create", "role", "probe", "--verb=get,create,patch", resources];
    kubectl.ok(role.into_iter().chain(space)).await;
    let binding = ["create", "rolebinding", "probe", "--role=probe", "--user=probe"];
    kubectl.ok(binding.into_iter().chain(space)).await;

    let manifest = "apiVersion: tokenwright.dev/v1alpha1\nkind: ApiToken\nmetadata: {name: t, namespace: admission-probe}\nspec: {organisation: acme, role: Admin}\n";
    // The stamp holds up everything until the API server has learnt the kind by itself, a moment after the definition.
    let created = async {
        loop {
            let made = kubectl.run_with(["create", "--filename", "-"], manifest).await;
            if !made
                .stderr
                .contains("There can be a delay between when CustomResourceDefinitions are created")
            {
                break made;
            }
        }
    };
    let made = tokio::time::timeout(LIMIT, created).await;
    allowed(&made.expect("the API server never learns the kind"));
    let used = r#"{"status":{"rotations":7}}"#;
    let status = || {
        let probe = ["--dry-run=server", "--as", "probe"];
        kubectl.run(patch_status("merge", used).into_iter().chain(probe).chain(space))
    };
    let dry = ["create", "--dry-run=server", "--output=yaml", "--filename", "-"];
    let enforced = async {
        let stranger = || kubectl.run_with(dry.into_iter().chain(["--as", "probe"]), manifest);
        while !stranger().await.stderr.contains("'tokenwright-issue'") {}
        while !status().await.stderr.contains("'tokenwright-status'") {}
        let another = manifest.replace("name: t,", "name: u,");
        while stamps
            && !kubectl
                .run_with(dry, &another)
                .await
                .stdout
                .contains("tokenwright.dev/created-by")
        {}
    };
    tokio::time::timeout(LIMIT, enforced)
        .await
        .expect("the policies are never in force");
    kubectl.ok(["delete", "apitoken", "t"].into_iter().chain(space)).await;
    stamps
}

pub(crate) async fn issuing(stage: &Stage) {
    cast(stage).await;
    let (token, name) = (stage.manifest(""), &stage.name);
    let needed = "that is for members whose role has managesTokens (Owner and Admin, where the organisation has no \
                  roles of its own). Whoever looks after the organisation can add the user to its spec.members, with such a role.";
    let own = "A member without such a role can set spec.type to Personal and spec.user to their own name.";
    for user in [CAROL, ZOE] {
        let why = format!("user \"{user}\" may not create API tokens of organisation \"{name}\": {needed} {own}");
        refused(&apply(stage, user, &[], &token).await, &why);
        refused(&apply(stage, user, &["--dry-run=server"], &token).await, &why);
    }
    allowed(&apply(stage, ANN, &[], &token).await);
    stage.ready().await;

    let change = ["--type=merge", "--patch", r#"{"spec":{"suspended":true}}"#];
    for user in [CAROL, ZOE] {
        let why = format!("user \"{user}\" may not change API tokens of organisation \"{name}\": {needed}");
        refused(&run(stage, user, &["label", "apitoken", "t", "a=b"]).await, &why);
        refused(&run(stage, user, &["annotate", "apitoken", "t", "a=b"]).await, &why);
        let patch = [&["patch", "apitoken", "t"], &change[..]].concat();
        refused(&run(stage, user, &patch).await, &why);
        let why = format!("user \"{user}\" may not delete API tokens of organisation \"{name}\": {needed}");
        refused(&run(stage, user, &["delete", "apitoken", "t"]).await, &why);
        refused(&run(stage, user, &["delete", "apitokens", "--all"]).await, &why);
    }
    allowed(&run(stage, ANN, &["label", "apitoken", "t", "a=b"]).await);

    stage.organisation("").await;
    let organisation = format!("organisations.tokenwright.dev/{name}");
    can(stage, ANN, "issue", &organisation, false).await;
    let why = format!("user \"{ANN}\" may not delete API tokens of organisation \"{name}\": {needed}");
    refused(&run(stage, ANN, &["delete", "apitoken", "t"]).await, &why);
    stage.run(&["delete", "apitoken", "t"]).await;
}

/// Who may delete a token may not leave behind what belongs to it.
pub(crate) async fn orphans(stage: &Stage) {
    cast(stage).await;
    allowed(&apply(stage, ANN, &[], &stage.manifest("")).await);
    stage.ready().await;
    let why = "an ApiToken cannot be orphaned: its Secret, and the right of its assignees to read that, go with it. Leave \
               out --cascade=orphan (propagationPolicy Orphan) and the finalizer \"orphan\".";
    let orphan = "--cascade=orphan";
    refused(&run(stage, ANN, &["delete", "apitoken", "t", orphan]).await, why);
    refused(&run(stage, ANN, &["delete", "apitokens", "--all", orphan]).await, why);
    let path = format!("/apis/tokenwright.dev/v1alpha1/namespaces/{}/apitokens/t", stage.name);
    let older = format!("{path}?orphanDependents=true");
    refused(&stage.kubectl.run(["delete", "--raw", &older, "--as", ANN]).await, why);
    let finalizer = r#"{"metadata":{"finalizers":["orphan"]}}"#;
    let patch = ["patch", "apitoken", "t", "--type=merge", "--patch", finalizer];
    refused(&run(stage, ANN, &patch).await, why);
    let named = format!("namespace: {}", stage.name);
    let manifest = stage
        .manifest("")
        .replacen(&named, &format!("{named}, finalizers: [orphan]"), 1)
        .replacen("name: t,", "name: u,", 1);
    let outcome = apply(stage, ANN, &[], &manifest).await;
    assert!(!outcome.success && outcome.stderr.contains(why), "{}", outcome.stderr);

    let patch = [
        "patch",
        "apitoken",
        "t",
        "--type=merge",
        "--patch",
        r#"{"metadata":{"finalizers":["example.com/hold"]}}"#,
    ];
    allowed(&run(stage, ANN, &patch).await);
    let patch = [
        "patch",
        "apitoken",
        "t",
        "--type=json",
        "--patch",
        r#"[{"op":"remove","path":"/metadata/finalizers"}]"#,
    ];
    allowed(&run(stage, ANN, &patch).await);
    allowed(&run(stage, ANN, &["delete", "apitoken", "t"]).await);
}

/// Who has workloads restarted could do it themselves.
pub(crate) async fn restarts(stage: &Stage) {
    cast(stage).await;
    let name = &stage.name;
    let why = |kind: &str, resource: &str| {
        format!(
            "user \"{ANN}\" may not have a {kind} restarted by spec.rotation.restart: that takes the right to patch \
             {resource} of namespace \"{name}\"."
        )
    };
    let kinds = [
        ("Deployment", "deployments"),
        ("StatefulSet", "statefulsets"),
        ("DaemonSet", "daemonsets"),
    ];
    let with = |workloads: &str| stage.manifest(&format!("  rotation: {{restart: [{workloads}]}}\n"));
    for (kind, resource) in kinds {
        let manifest = with(&format!("{{kind: {kind}, name: web}}"));
        refused(&apply(stage, ANN, &[], &manifest).await, &why(kind, resource));
    }
    allowed(&apply(stage, ANN, &[], &stage.manifest("")).await);
    stage.ready().await;
    let deployment = with("{kind: Deployment, name: web}");
    refused(
        &apply(stage, ANN, &[], &deployment).await,
        &why("Deployment", "deployments"),
    );

    // What is named already, by somebody who may, is asked about no more.
    stage.apply_text(&deployment).await;
    allowed(&run(stage, ANN, &["label", "apitoken", "t", "a=b"]).await);
    let both = with("{kind: Deployment, name: web}, {kind: DaemonSet, name: web}");
    refused(&apply(stage, ANN, &[], &both).await, &why("DaemonSet", "daemonsets"));
    let another = with("{kind: Deployment, name: web}, {kind: Deployment, name: other}");
    refused(
        &apply(stage, ANN, &[], &another).await,
        &why("Deployment", "deployments"),
    );

    let resources = "--resource=deployments,statefulsets,daemonsets";
    grant(stage, "restarts", resources, "--verb=patch", &format!("--user={ANN}")).await;
    can(stage, ANN, "patch", "daemonsets", true).await;
    // As many as there can be, of every kind.
    let many: Vec<String> = (0..32)
        .map(|index| format!("{{kind: {}, name: web-{index}}}", kinds[index % 3].0))
        .collect();
    allowed(&apply(stage, ANN, &[], &with(&many.join(", "))).await);
    allowed(&run(stage, ANN, &["delete", "apitoken", "t"]).await);
}

pub(crate) async fn personal_tokens(stage: &Stage) {
    cast(stage).await;
    let name = &stage.name;
    let personal = |user: &str| stage.manifest(&format!("  type: Personal\n  user: {user}\n"));
    let why = format!(
        "user \"{CAROL}\" may not create Personal tokens of organisation \"{name}\", not being one of its members. \
         Whoever looks after the organisation can add the user to its spec.members, with any role."
    );
    refused(&apply(stage, CAROL, &[], &personal(CAROL)).await, &why);
    let others = |user: &str, act: &str| {
        format!(
            "user \"{user}\" may not {act} the Personal tokens of user \"{ZOE}\" of organisation \"{name}\": that is for \
             that user and for members whose role has managesTokens (Owner and Admin, where the organisation has no \
             roles of its own). Whoever looks after the organisation can add the user to its spec.members, with such a role."
        )
    };
    let own = "A member without such a role can set spec.type to Personal and spec.user to their own name.";
    let why = format!("{} {own}", others(CAROL, "create"));
    refused(&apply(stage, CAROL, &[], &personal(ZOE)).await, &why);

    allowed(&apply(stage, ZOE, &[], &personal(ZOE)).await);
    stage.ready().await;
    allowed(&run(stage, ZOE, &["label", "apitoken", "t", "a=b"]).await);
    let deletion = ["delete", "apitoken", "t"];
    refused(&run(stage, CAROL, &deletion).await, &others(CAROL, "delete"));
    refused(
        &run(stage, CAROL, &["label", "apitoken", "t", "b=c"]).await,
        &others(CAROL, "change"),
    );
    allowed(&run(stage, ZOE, &deletion).await);

    allowed(&apply(stage, ANN, &[], &personal(ZOE)).await);
    stage.ready().await;
    allowed(&run(stage, ANN, &deletion).await);
}

pub(crate) async fn created_by(stage: &Stage) {
    cast(stage).await;
    let forged = format!(
        "namespace: {}, annotations: {{tokenwright.dev/created-by: root}}",
        stage.name
    );
    let manifest = stage
        .manifest("")
        .replacen(&format!("namespace: {}", stage.name), &forged, 1);
    allowed(&apply(stage, ANN, &[], &manifest).await);
    stage.ready().await;
    let annotation = r"{.metadata.annotations.tokenwright\.dev/created-by}";
    assert_eq!(stage.path("apitoken/t", annotation).await, ANN);
    assert_eq!(stage.path("apitoken/t", "{.status.createdBy}").await, ANN);

    for change in ["tokenwright.dev/created-by=root", "tokenwright.dev/created-by-"] {
        allowed(&run(stage, ANN, &["annotate", "--overwrite", "apitoken", "t", change]).await);
        stage.run(&["annotate", "--overwrite", "apitoken", "t", change]).await;
        assert_eq!(stage.path("apitoken/t", annotation).await, ANN);
    }
    let whole = stage.run(&["get", "apitoken", "t", "--output", "yaml"]).await;
    let other = whole.replace("tokenwright.dev/created-by: ann", "tokenwright.dev/created-by: root");
    assert_ne!(whole, other);
    let replace = ["replace", "--filename", "-", "--as", ANN];
    allowed(&stage.kubectl.run_with(replace, &other).await);
    assert_eq!(stage.path("apitoken/t", annotation).await, ANN);
    let wide = stage.run(&["get", "apitoken", "t", "--output", "wide"]).await;
    let (header, row) = wide.split_once('\n').unwrap();
    let column = header.find("CREATED BY").unwrap();
    let shown: String = row.chars().skip(column).take(4).collect();
    assert_eq!(shown, "ann ", "{wide}");
}

/// What is not a user's doing goes through: what the control plane deletes for others, the operator, the status.
pub(crate) async fn bystanders(stage: &Stage) {
    cast(stage).await;
    let name = &stage.name;
    stage.run(&["create", "configmap", "owner"]).await;
    let uid = stage.path("configmap/owner", "{.metadata.uid}").await;
    let reference =
        format!("namespace: {name}, ownerReferences: [{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {uid}}}]");
    let owned = stage
        .manifest("")
        .replacen(&format!("namespace: {name}"), &reference, 1);
    allowed(&apply(stage, ANN, &[], &owned).await);
    stage.ready().await;
    stage.run(&["delete", "configmap", "owner"]).await;
    stage.wait("apitoken/t", "delete").await;

    // The rights that the operator has by its roles: one account looks after tokens, one writes when they were used.
    let account = |suffix: &str| format!("system:serviceaccount:{name}:{suffix}");
    let (controller, verifier) = (account("controller"), account("verifier"));
    let to = format!("--serviceaccount={name}:verifier");
    grant(
        stage,
        "verifier",
        "--resource=apitokens/status",
        "--verb=get,patch",
        &to,
    )
    .await;
    let to = format!("--serviceaccount={name}:controller");
    grant(stage, "controller", "--resource=apitokens", "--verb=get,delete", &to).await;
    let role = format!("{name}-issue");
    let all = [
        "create",
        "clusterrole",
        &role,
        "--verb=issue",
        "--resource=organisations",
    ];
    stage.kubectl.ok(all).await;
    let of = format!("--clusterrole={role}");
    stage
        .kubectl
        .ok(["create", "clusterrolebinding", &role, &of, &to])
        .await;
    // The verifier's right was granted first: it is in force when the controller's is.
    can(stage, &controller, "delete", "apitokens", true).await;
    can(stage, &controller, "issue", "organisations.tokenwright.dev", true).await;

    allowed(&apply(stage, ZOE, &[], &stage.manifest("  type: Personal\n  user: zoe\n")).await);
    stage.ready().await;
    let used = r#"{"status":{"lastUsed":{"at":"2026-01-01T00:00:00Z"}}}"#;
    allowed(&run(stage, &verifier, &patch_status("merge", used)).await);
    allowed(&run(stage, &controller, &["delete", "apitoken", "t"]).await);
    stage.kubectl.ok(["delete", "clusterrole", &role]).await;
    stage.kubectl.ok(["delete", "clusterrolebinding", &role]).await;

    allowed(&apply(stage, ANN, &[], &stage.manifest("")).await);
    stage.ready().await;
    stage
        .kubectl
        .ok(["delete", "namespace", name, "--wait", "--timeout=60s"])
        .await;
}

/// Whoever may patch the status, as the verifier, says when a token was used, and makes no credential. Whoever may update
/// it, as the controller, says all of it.
pub(crate) async fn status(stage: &Stage) {
    stage.token("").await;
    stage.ready().await;
    let account = |suffix: &str| format!("system:serviceaccount:{}:{suffix}", stage.name);
    for (suffix, verbs) in [
        ("verifier", "--verb=get,patch"),
        ("controller", "--verb=get,patch,update"),
    ] {
        let to = format!("--serviceaccount={}:{suffix}", stage.name);
        grant(stage, suffix, "--resource=apitokens,apitokens/status", verbs, &to).await;
        can(stage, &account(suffix), "patch", "apitokens/status", true).await;
    }
    let (controller, verifier) = (account("controller"), account("verifier"));
    can(stage, &controller, "update", "apitokens/status", true).await;
    let write = async |user: &str, type_: &str, patch: &str| run(stage, user, &patch_status(type_, patch)).await;
    let before = stage.path("apitoken/t", "{.status.credentials}").await;
    let forged = format!(
        r#"[{{"op":"replace","path":"/status/credentials/0/digest","value":"sha256:{}"}}]"#,
        "0".repeat(64)
    );
    let why = format!(
        "user \"{verifier}\" may write only lastUsed and lastReuse in the status of an ApiToken: the rest is for whoever \
         holds the verb update on apitokens/status, such as the controller."
    );
    for (type_, patch) in [
        ("json", forged.as_str()),
        ("json", r#"[{"op":"remove","path":"/status/credentials"}]"#),
        ("json", r#"[{"op":"remove","path":"/status"}]"#),
        ("merge", r#"{"status":{"grant":null}}"#),
        (
            "merge",
            r#"{"status":{"lastUsed":{"at":"2026-01-01T00:00:00Z"},"rotations":7}}"#,
        ),
    ] {
        refused_by("tokenwright-status", &write(&verifier, type_, patch).await, &why);
    }
    assert_eq!(stage.path("apitoken/t", "{.status.credentials}").await, before);
    for patch in [
        r#"{"status":{"lastUsed":{"at":"2026-01-01T00:00:00Z"}}}"#,
        r#"{"status":{"lastUsed":{"at":"2026-01-02T00:00:00Z"},"lastReuse":{"at":"2026-01-02T00:00:00Z"}}}"#,
        r#"{"status":{"lastReuse":null}}"#,
    ] {
        allowed(&write(&verifier, "merge", patch).await);
    }
    allowed(&write(&controller, "merge", r#"{"status":{"grant":null}}"#).await);
    stage.ready().await;
}

/// Makes Ann and Zoe members of the row's organisation, and lets them and Carol do with tokens what RBAC can let them do.
async fn cast(stage: &Stage) {
    stage
        .organisation("  members: [{kind: User, name: ann, role: Admin}, {kind: User, name: zoe, role: Member}]\n")
        .await;
    for user in [ANN, ZOE, CAROL] {
        grant(
            stage,
            user,
            "--resource=apitokens",
            "--verb=*",
            &format!("--user={user}"),
        )
        .await;
        can(stage, user, "create", "apitokens", true).await;
    }
    let organisation = format!("organisations.tokenwright.dev/{}", stage.name);
    can(stage, ANN, "issue", &organisation, true).await;
    can(stage, ZOE, "issue-personal", &organisation, true).await;
}

async fn grant(stage: &Stage, name: &str, resource: &str, verbs: &str, to: &str) {
    stage.run(&["create", "role", name, verbs, resource]).await;
    let role = format!("--role={name}");
    stage.run(&["create", "rolebinding", name, &role, to]).await;
}

async fn run(stage: &Stage, user: &str, arguments: &[&str]) -> Outcome {
    let more = ["--as", user, "--namespace", &stage.name];
    stage.kubectl.run(arguments.iter().copied().chain(more)).await
}

async fn apply(stage: &Stage, user: &str, arguments: &[&str], manifest: &str) -> Outcome {
    let apply = ["apply", "--filename", "-", "--as", user];
    let arguments = apply.into_iter().chain(arguments.iter().copied());
    stage.kubectl.run_with(arguments, manifest).await
}

/// The arguments that patch the status of the ApiToken.
fn patch_status<'a>(type_: &'a str, patch: &'a str) -> [&'a str; 8] {
    let status = "--subresource=status";
    ["patch", "apitoken", "t", status, "--type", type_, "--patch", patch]
}

fn allowed(outcome: &Outcome) {
    assert!(outcome.success, "{}", outcome.stderr);
}

fn refused(outcome: &Outcome, why: &str) {
    refused_by("tokenwright-issue", outcome, why);
}

fn refused_by(policy: &str, outcome: &Outcome, why: &str) {
    let policy = format!("ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request");
    let words = format!("apitokens.tokenwright.dev \"t\" is forbidden: {policy}: {why}\n");
    assert!(
        !outcome.success && outcome.stderr.ends_with(&words),
        "{}\nis not\n{words}",
        outcome.stderr
    );
}
