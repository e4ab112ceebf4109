//! What Argo CD and Flux make of the objects' conditions, by examples/gitops.

use std::fs;

use cel::{Context, Program, Value as CelValue};
use kube_sandbox::testing::Tool;
use serde_json::{Value, json};
use tokenwright::api::condition::Reason;

use crate::{
    python::python,
    render::{documents, file, kustomize_folder},
    servers::{INSTALLING, install_crds, kubectl, remove_crds},
    support::{Server, on_every_server},
};

/// Lua, as a library of Python's.
const LUA: Tool = Tool {
    name: "lupa",
    version: "2.8",
    package: "lupa",
    program: "lupa/__init__.py",
    variable: "LUPA",
};

/// Objects as the controller leaves them, and what is said of each: by Argo CD, and by Flux.
fn cases() -> Vec<(Value, &'static str, &'static str)> {
    let mut cases = vec![
        (object("ApiToken", 1, &[]), "Progressing", "InProgress"),
        (object("Organisation", 1, &[]), "Progressing", "InProgress"),
        (object("TokenPolicy", 1, &[]), "Healthy", "InProgress"),
        (
            object("ApiToken", 2, &[("Ready", "True", Reason::Issued)]),
            "Progressing",
            "InProgress",
        ),
        (
            object("ApiToken", 1, &[("Ready", "True", Reason::Issued)]),
            "Healthy",
            "Current",
        ),
        (
            object("ApiToken", 1, &[("Ready", "True", Reason::Rotating)]),
            "Healthy",
            "Current",
        ),
        (
            object("Organisation", 1, &[("Ready", "True", Reason::Accepted)]),
            "Healthy",
            "Current",
        ),
        (
            object("Organisation", 2, &[("Ready", "False", Reason::RightsConflict)]),
            "Progressing",
            "InProgress",
        ),
        (
            object("Organisation", 1, &[("Ready", "False", Reason::RightsConflict)]),
            "Degraded",
            "Failed",
        ),
        (
            object("Organisation", 1, &[("Ready", "False", Reason::Suspended)]),
            "Suspended",
            "Current",
        ),
        (
            object("TokenPolicy", 1, &[("Ready", "True", Reason::Accepted)]),
            "Healthy",
            "Current",
        ),
        (
            object("TokenPolicy", 1, &[("Ready", "False", Reason::InvalidSpec)]),
            "Degraded",
            "Failed",
        ),
    ];
    // Whatever keeps a token from working: Stalled holds where waiting is not enough.
    cases.extend(Reason::ALL.iter().map(|&reason| {
        let stalled = [("Ready", "False", reason), ("Stalled", "True", reason)];
        let conditions = if reason.passes_by_itself() {
            &stalled[..1]
        } else {
            &stalled
        };
        let (health, status) = match reason {
            Reason::Suspended | Reason::OrganisationSuspended | Reason::NotYetValid => ("Suspended", "Current"),
            _ if reason.passes_by_itself() => ("Progressing", "InProgress"),
            _ => ("Degraded", "Failed"),
        };
        (object("ApiToken", 1, conditions), health, status)
    }));
    cases
}

/// One of this generation with a status that speaks of the first, or none where there are no conditions.
fn object(kind: &str, generation: u64, conditions: &[(&str, &str, Reason)]) -> Value {
    let mut object = json!({ "kind": kind, "metadata": { "name": "t", "generation": generation } });
    if !conditions.is_empty() {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|(type_, status, reason)| {
                json!({ "type": type_, "status": status, "reason": reason.as_str(), "message": "why" })
            })
            .collect();
        object["status"] = json!({ "observedGeneration": 1, "conditions": conditions });
    }
    object
}

/// What a script says of objects.
fn run_lua(script: &Value, objects: &[&Value]) -> Vec<Value> {
    let said = python("lua.py", &LUA, &json!({ "script": script, "objects": objects }));
    serde_json::from_value(said).unwrap()
}

#[test]
fn argo_cd_tells_how_every_object_is() {
    let scripts = &documents("examples/gitops/argocd/health.yaml")[0]["data"];
    assert_eq!(scripts.as_object().unwrap().len(), tokenwright::api::crds().len());
    let cases = cases();
    for kind in ["ApiToken", "Organisation", "TokenPolicy"] {
        let cases: Vec<_> = cases.iter().filter(|(object, _, _)| object["kind"] == kind).collect();
        let objects: Vec<&Value> = cases.iter().map(|(object, _, _)| object).collect();
        let script = &scripts[format!("resource.customizations.health.tokenwright.dev_{kind}")];
        let said = run_lua(script, &objects);
        assert_eq!(said.len(), cases.len());
        for ((object, health, _), said) in cases.into_iter().zip(said) {
            assert_eq!(said["status"], *health, "{object}");
            // What the controller says is what is shown.
            let passed_on = object["status"]["observedGeneration"] == object["metadata"]["generation"];
            assert_eq!(said["message"] == "why", passed_on, "{object}: {said}");
        }
    }
}

#[test]
fn flux_waits_for_what_comes_and_not_for_what_is_meant() {
    let checks = documents("examples/gitops/flux/tokenwright.yaml")
        .into_iter()
        .find(|document| document["metadata"]["name"] == "tokens")
        .unwrap()["spec"]["healthCheckExprs"]
        .take();
    let mut asked = 0;
    for (object, _, expected) in cases() {
        let mut checks = checks.as_array().unwrap().iter();
        let check = checks.find(|check| check["kind"] == object["kind"]);
        let check = check.unwrap_or_else(|| panic!("what is refused is waited for: {object}"));
        assert_eq!(flux(check, &object), expected, "{object}");
        asked += 1;
    }
    assert!(asked > Reason::ALL.len());
}

/// What comes of the expressions, in the order in which Flux asks them.
fn flux(check: &Value, object: &Value) -> &'static str {
    let status = &object["status"];
    // This it asks itself; and what has no status it waits for.
    if status.is_null() || status["observedGeneration"] != object["metadata"]["generation"] {
        return "InProgress";
    }
    let mut context = Context::default();
    context.add_variable_from_value("status", cel::to_value(status).unwrap());
    let holds = |expression: &str| {
        let program = Program::compile(check[expression].as_str().unwrap()).unwrap();
        program.execute(&context).unwrap() == CelValue::Bool(true)
    };
    match (holds("failed"), holds("current")) {
        (true, _) => "Failed",
        (false, true) => "Current",
        (false, false) => "InProgress",
    }
}

/// What is on a branch may be ahead of every image.
#[test]
fn what_is_installed_is_of_this_version() {
    let tag = concat!("v", env!("CARGO_PKG_VERSION"));
    let flux = documents("examples/gitops/flux/tokenwright.yaml");
    assert_eq!(flux[0]["spec"]["ref"], json!({ "tag": tag }));
    for application in documents("examples/gitops/argocd/applications.yaml") {
        assert_eq!(application["spec"]["source"]["targetRevision"], tag);
    }
    let page = fs::read_to_string(file("examples/gitops/README.md")).unwrap();
    assert!(page.contains(&format!("the release {tag} and its image")));
}

/// Until there is a published one, and where the cluster reaches no registry but its own.
#[test]
fn an_image_of_ones_own_is_named_where_the_examples_say() {
    let own = "registry.example.com/tokenwright";
    let uncommented = |path: &str| -> Vec<Value> {
        let text = fs::read_to_string(file(path)).unwrap();
        let (before, after) = text.split_once("# An image of your own:\n").unwrap();
        let block = after.lines().take_while(|line| line.trim_start().starts_with("# "));
        let block: Vec<String> = block.map(|line| line.replacen("# ", "", 1)).collect();
        serde_saphyr::from_multiple(&format!("{before}\n{}\n", block.join("\n"))).unwrap()
    };
    let flux = uncommented("examples/gitops/flux/tokenwright.yaml");
    let image = &kustomize_folder("deploy/kustomize/overlays/all-namespaces");
    let image = &image.find("Deployment", "tokenwright-verifier")["spec"]["template"]["spec"]["containers"][0]["image"];
    let images = &flux[1]["spec"]["images"];
    assert_eq!(images[0]["newName"], own);
    let name = images[0]["name"].as_str().unwrap();
    assert!(image.as_str().unwrap().starts_with(&format!("{name}:")), "{image}");
    let argo = uncommented("examples/gitops/argocd/applications.yaml");
    let values = &argo[0]["spec"]["source"]["helm"]["valuesObject"];
    let objects = crate::chart::render(values);
    let pod = &objects.find("Deployment", "tokenwright-verifier")["spec"]["template"]["spec"];
    let image = pod["containers"][0]["image"].as_str().unwrap();
    assert_eq!(image, format!("{own}:{}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn policies_come_before_tokens_and_organisations_before_both() {
    let objects = kustomize_folder("examples/gitops/tokens");
    let wave = |kind: &str| -> i32 {
        let annotations = &objects.of(kind).next().unwrap()["metadata"]["annotations"];
        let wave = &annotations["argocd.argoproj.io/sync-wave"];
        wave.as_str().map_or(0, |wave| wave.parse().unwrap())
    };
    let waves = ["Namespace", "Organisation", "TokenPolicy", "ApiToken"].map(wave);
    assert_eq!(waves, [-2, -2, -1, 0]);
}

on_every_server!(what_git_says_is_taken_as_it_is);
async fn what_git_says_is_taken_as_it_is(server: Server) {
    let _alone = INSTALLING.lock().await;
    let (kubectl, _home) = kubectl(&server);
    install_crds(&kubectl).await;
    let folder = file("examples/gitops/tokens").to_str().unwrap().to_owned();
    let applied = kubectl.run(["apply", "--kustomize", &folder]).await;
    assert_eq!((applied.success, applied.stderr.as_str()), (true, ""));
    let again = kubectl.ok(["apply", "--kustomize", &folder]).await;
    let changed: Vec<&str> = again.lines().filter(|line| !line.ends_with(" unchanged")).collect();
    assert_eq!(changed, [""; 0]);
    // Its tokens go with the namespace.
    let delete = ["delete", "--ignore-not-found", "--kustomize", &folder];
    kubectl.ok(delete).await;
    remove_crds(&kubectl).await;
}
