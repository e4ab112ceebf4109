//! examples/workloads: what mounts a token, and that API servers take it as it is.

use std::fs;

use serde_json::{Value, json};

use crate::{
    render::{Objects, file},
    servers::{INSTALLING, install_crds, kubectl, remove_crds},
    support::{Server, on_every_server},
};

/// In the order in which they are applied.
const FILES: [&str; 5] = ["organisation", "file", "environment", "cronjob", "pipeline"];

fn path(name: &str) -> String {
    let path = file(&format!("examples/workloads/{name}.yaml"));
    path.to_str().unwrap().to_owned()
}

fn objects(name: &str) -> Objects {
    Objects::parse(&fs::read_to_string(path(name)).unwrap())
}

/// The Pod of a workload.
fn pod(workload: &Value) -> &Value {
    let template = match workload["kind"].as_str().unwrap() {
        "CronJob" => &workload["spec"]["jobTemplate"]["spec"]["template"],
        _ => &workload["spec"]["template"],
    };
    &template["spec"]
}

/// The Secret that a Pod has, and the key of it.
fn secret(pod: &Value) -> [&Value; 2] {
    let volume = &pod["volumes"][0]["secret"];
    if volume.is_null() {
        let from = &pod["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"];
        return [&from["name"], &from["key"]];
    }
    [&volume["secretName"], &volume["items"][0]["key"]]
}

#[test]
fn every_workload_has_the_key_that_its_token_writes() {
    for (name, kind) in [
        ("file", "Deployment"),
        ("environment", "Deployment"),
        ("cronjob", "CronJob"),
    ] {
        let objects = objects(name);
        let token = objects.of("ApiToken").next().unwrap();
        let workload = objects.of(kind).next().unwrap();
        let key = token["spec"]["secret"]["keys"]["token"].as_str().unwrap_or("token");
        let written = [&token["metadata"]["name"], &json!(key)];
        assert_eq!(secret(pod(workload)), written, "{name}");
        assert_eq!(token["metadata"]["namespace"], workload["metadata"]["namespace"]);
        // What reads a token once, and runs on, has to be restarted.
        let restarted = &token["spec"]["rotation"]["restart"][0];
        let expected = match name {
            "environment" => json!({ "kind": kind, "name": workload["metadata"]["name"] }),
            _ => Value::Null,
        };
        assert_eq!(restarted, &expected, "{name}");
    }
}

#[test]
fn a_file_is_mounted_so_that_it_changes() {
    let objects = objects("file");
    let pod = pod(objects.of("Deployment").next().unwrap());
    let mount = &pod["containers"][0]["volumeMounts"][0];
    assert_eq!(
        mount,
        &json!({ "name": "token", "mountPath": "/tokens", "readOnly": true })
    );
    let script = pod["containers"][0]["args"][0].as_str().unwrap();
    assert!(script.contains("cat /tokens/token"), "{script}");
}

#[test]
fn the_pipeline_reads_the_secret_that_its_account_may_read() {
    let objects = objects("pipeline");
    let account = &objects.of("ServiceAccount").next().unwrap()["metadata"];
    let token = objects.of("ApiToken").next().unwrap();
    let subject = json!({ "kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"] });
    assert_eq!(token["spec"]["assignees"]["subjects"], json!([subject]));
    let read = format!(
        "kubectl get secret {} --namespace {} --output jsonpath='{{.data.token}}'",
        token["metadata"]["name"].as_str().unwrap(),
        token["metadata"]["namespace"].as_str().unwrap(),
    );
    let text = fs::read_to_string(file("examples/workloads/README.md")).unwrap();
    assert_eq!(text.matches(&read).count(), 2, "{read}");
}

on_every_server!(workloads_are_taken_as_they_are);
async fn workloads_are_taken_as_they_are(server: Server) {
    let _alone = INSTALLING.lock().await;
    let (kubectl, _home) = kubectl(&server);
    install_crds(&kubectl).await;
    for name in FILES {
        let applied = kubectl.run(["apply", "--filename", &path(name)]).await;
        // Warnings are of Pod Security, and of what is deprecated.
        assert_eq!((applied.success, applied.stderr.as_str()), (true, ""), "{name}");
        let again = kubectl.ok(["apply", "--filename", &path(name)]).await;
        let changed: Vec<&str> = again.lines().filter(|line| !line.ends_with(" unchanged")).collect();
        assert_eq!(changed, [""; 0], "{name}");
    }
    for name in FILES.iter().rev() {
        kubectl.ok(["delete", "--filename", &path(name)]).await;
    }
    remove_crds(&kubectl).await;
}
