//! Every overlay, applied unchanged.

use std::time::Duration;

use k8s_openapi::api::{authorization::v1::SubjectAccessReview, core::v1::Pod};
use kube::{Api, api::PostParams};
use kube_sandbox::testing::Kubectl;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::{
    chart::render,
    render::{NAMESPACE, OVERLAYS, Objects, file, kustomize, overlay},
    schemas::everything,
    support::{Server, on_every_server, until},
};

/// Held by a test that installs, as there is one real server and the names are the same.
pub(crate) static INSTALLING: Mutex<()> = Mutex::const_new(());
/// Far above what it takes, so that a busy machine fails no test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// kubectl as an administrator of the server, for as long as its home is kept.
pub(crate) fn kubectl(server: &Server) -> (Kubectl, TempDir) {
    let home = tempfile::tempdir().unwrap();
    let kubeconfig = std::fs::read_to_string(server.kubeconfig()).unwrap();
    (Kubectl::new(home.path(), &kubeconfig).unwrap(), home)
}

/// Whether the server has policies that stamp, which takes Kubernetes 1.36.
pub(crate) async fn stamps(kubectl: &Kubectl) -> bool {
    let served = kubectl.ok(["get", "--raw", "/apis/admissionregistration.k8s.io/v1"]);
    served.await.contains("mutatingadmissionpolicies")
}

fn crds() -> String {
    file("crds").to_str().unwrap().to_owned()
}

/// Installs the CRDs by themselves, and waits until they are served.
pub(crate) async fn install_crds(kubectl: &Kubectl) {
    kubectl.ok(["apply", "--kustomize", &crds()]).await;
    let established = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"];
    kubectl.ok(established).await;
}

/// Removes them: another test installs them by Helm, which takes over none that are there.
pub(crate) async fn remove_crds(kubectl: &Kubectl) {
    kubectl.ok(["delete", "--kustomize", &crds()]).await;
}

on_every_server!(every_overlay_is_taken_as_it_is);
async fn every_overlay_is_taken_as_it_is(server: Server) {
    let _alone = INSTALLING.lock().await;
    let (kubectl, _home) = kubectl(&server);
    let _ = kubectl.run(["create", "namespace", "shop"]).await;
    for name in OVERLAYS {
        let folder = overlay(name);
        let apply = ["apply", "--kustomize", &folder];
        let applied = kubectl.run(apply).await;
        // Warnings are of Pod Security, and of what is deprecated.
        assert_eq!(
            (applied.success, applied.stderr.as_str()),
            (true, ""),
            "{name}: {}",
            applied.stdout
        );
        let again = kubectl.ok(apply).await;
        // kubectl sends the selector of a budget every time, which changes nothing.
        let same = |line: &str| line.ends_with(" unchanged") || line.starts_with("poddisruptionbudget.policy/");
        let changed: Vec<&str> = again.lines().filter(|line| !same(line)).collect();
        assert_eq!(changed, [""; 0], "{name} is not the same when it is applied again");
        pods_are_admitted(&server, &kustomize(name)).await;
        people_have_what_their_roles_say(&server, &kubectl).await;
        remove(&kubectl, name).await;
    }
}

on_every_server!(the_stamp_is_taken_as_it_is);
async fn the_stamp_is_taken_as_it_is(server: Server) {
    let _alone = INSTALLING.lock().await;
    let (kubectl, _home) = kubectl(&server);
    if !stamps(&kubectl).await {
        return;
    }
    let folder = file("tests/deploy/stamped").to_str().unwrap().to_owned();
    let applied = kubectl.run(["apply", "--kustomize", &folder]).await;
    assert_eq!((applied.success, applied.stderr.as_str()), (true, ""));
    let again = kubectl.ok(["apply", "--kustomize", &folder]).await;
    let policies = again.lines().filter(|line| line.contains("admissionpolic"));
    let changed: Vec<&str> = policies.filter(|line| !line.ends_with(" unchanged")).collect();
    assert_eq!(changed, [""; 0]);
    let all = "--selector=app.kubernetes.io/name=tokenwright,!pod-security.kubernetes.io/enforce";
    kubectl.ok(["delete", "--kustomize", &folder, all]).await;
}

// Helm's own way is another test's: this is about what the values become.
on_every_server!(what_the_chart_makes_of_every_value_is_taken);
async fn what_the_chart_makes_of_every_value_is_taken(server: Server) {
    let _alone = INSTALLING.lock().await;
    let (kubectl, _home) = kubectl(&server);
    for namespace in [NAMESPACE, "shop", "blog"] {
        let _ = kubectl.run(["create", "namespace", namespace]).await;
    }
    let objects = render(&everything("none"));
    let of_kubernetes = |object: &&Value| {
        !object["apiVersion"]
            .as_str()
            .unwrap()
            .starts_with("monitoring.coreos.com/")
    };
    let items: Vec<&Value> = objects.all().iter().filter(of_kubernetes).collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string();
    let applied = kubectl.run_with(["apply", "--filename=-"], &list).await;
    assert_eq!(
        (applied.success, applied.stderr.as_str()),
        (true, ""),
        "{}",
        applied.stdout
    );
    assert_eq!(applied.stdout.lines().count(), items.len(), "{}", applied.stdout);
    pods_are_admitted(&server, &objects).await;
    let deleted = kubectl.run_with(["delete", "--filename=-"], &list).await;
    assert!(deleted.success, "{}", deleted.stderr);
}

/// All but the namespace, which the next overlay needs.
async fn remove(kubectl: &Kubectl, overlay: &str) {
    let folder = self::overlay(overlay);
    let all = "--selector=app.kubernetes.io/part-of=tokenwright,!pod-security.kubernetes.io/enforce";
    kubectl.ok(["delete", "--kustomize", &folder, all]).await;
}

/// Deployments are taken whatever their Pods are: whether these are is seen where they are made.
async fn pods_are_admitted(server: &Server, objects: &Objects) {
    let pods: Api<Pod> = Api::namespaced(server.client().await, NAMESPACE);
    for deployment in objects.of("Deployment") {
        let template = &deployment["spec"]["template"];
        let mut pod = json!({ "metadata": template["metadata"], "spec": template["spec"] });
        pod["metadata"]["name"] = deployment["metadata"]["name"].clone();
        // It need not exist before it is asked for.
        pod["spec"]["priorityClassName"].take();
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        pods.create(&dry, &pod).await.unwrap();
    }
}

/// What holders of Kubernetes' own roles have, everywhere, once the project's are aggregated into them.
async fn people_have_what_their_roles_say(server: &Server, kubectl: &Kubectl) {
    const TOKENS: &str = "apitokens";
    let cases = [
        ("view", "list", TOKENS, false),
        ("edit", "list", TOKENS, true),
        ("edit", "create", TOKENS, true),
        ("edit", "update", "apitokens/status", false),
        ("edit", "get", "organisations", true),
        ("edit", "update", "organisations", false),
        ("admin", "delete", TOKENS, true),
        ("admin", "update", "organisations", true),
        ("admin", "create", "tokenpolicies", true),
        ("admin", "patch", "apitokens/status", false),
        ("admin", "patch", "organisations/status", false),
        ("admin", "issue", "organisations", false),
    ];
    for role in ["view", "edit", "admin"] {
        let user = format!("--user=holder-of-{role}");
        let role = format!("--clusterrole={role}");
        let _ = kubectl
            .run(["create", "clusterrolebinding", &user[7..], &role, &user])
            .await;
    }
    for (role, verb, resource, expected) in cases {
        until(PATIENCE, async || {
            let may = may(server, &format!("holder-of-{role}"), verb, resource).await;
            if may == expected { Ok(()) } else { Err(()) }
        })
        .await
        .unwrap_or_else(|()| panic!("whether {role} may {verb} {resource} is not {expected}"));
    }
}

async fn may(server: &Server, user: &str, verb: &str, resource: &str) -> bool {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let review: Value = json!({ "spec": { "user": user, "resourceAttributes": {
        "verb": verb, "group": "tokenwright.dev", "resource": resource, "subresource": subresource,
    } } });
    let reviews: Api<SubjectAccessReview> = Api::all(server.client().await);
    let review = serde_json::from_value(review).unwrap();
    let answer = reviews.create(&PostParams::default(), &review).await.unwrap();
    answer.status.unwrap().allowed
}
