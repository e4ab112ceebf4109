//! The chart: the same as the overlays where the values say the same, and a release that comes, changes and goes.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::{apps::v1::Deployment, rbac::v1::ClusterRoleBinding},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use serde_json::{Value, json};

use crate::{
    helm::{RELEASED, helm},
    manifests::POLICIES,
    pods,
    render::{Objects, file, identity, kustomize, kustomize_folder, shown},
    servers::{INSTALLING, PATIENCE, kubectl, stamps},
    support::{Server, until},
    traces::encrypted,
};

/// The policy that writes who creates a token, and its binding.
const STAMP: &str = "tokenwright-created-by";

/// What the chart makes of these values.
pub(crate) fn render(values: &Value) -> Objects {
    let files = helm("render", values, None).unwrap();
    let files = files.as_object().unwrap();
    let manifests = files.iter().filter(|(name, _)| name.ends_with(".yaml"));
    let texts: Vec<&str> = manifests.map(|(_, text)| text.as_str().unwrap()).collect();
    Objects::parse(&texts.join("\n---\n"))
}

/// The objects by kind and name, without what only one of the two ways to install adds.
fn comparable(objects: &Objects) -> BTreeMap<[String; 3], Value> {
    let all = objects.all().iter().filter(|object| object["kind"] != "Namespace");
    all.map(|object| {
        let mut object = object.clone();
        if object["kind"] == "CustomResourceDefinition" {
            // Long, and compared with their files.
            object["spec"].take();
        }
        let metadata = object["metadata"].as_object_mut().unwrap();
        if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
            labels.retain(|label, _| {
                let of_chart = ["helm.sh/chart", "instance", "managed-by", "version"];
                let common = ["/name", "/part-of"];
                !of_chart.iter().chain(&common).any(|suffix| label.ends_with(suffix))
            });
        }
        if metadata.get("labels") == Some(&json!({})) {
            metadata.remove("labels");
        }
        metadata.remove("annotations");
        if object["apiVersion"]
            .as_str()
            .unwrap()
            .starts_with("admissionregistration.k8s.io/")
        {
            // kubectl breaks the lines of an expression in other places, which means nothing to it.
            respace(&mut object);
        }
        // What both default to.
        for path in ["/spec/template/spec/containers/0", "/spec"] {
            if let Some(Value::Object(part)) = object.pointer_mut(path) {
                part.retain(|field, value| {
                    (field.as_str(), value.as_str()) != ("imagePullPolicy", Some("IfNotPresent"))
                        && (field.as_str(), value.as_str()) != ("type", Some("ClusterIP"))
                });
            }
        }
        (identity(&object), object)
    })
    .collect()
}

#[test]
fn the_chart_makes_what_the_overlays_make() {
    let many = shown("docs/install.md").pop().unwrap();
    assert!(
        many["verifier"].is_object(),
        "{many} are not the values that do what ha does"
    );
    let monitored = json!({
        "serviceMonitor": { "enabled": true }, "alerts": { "enabled": true }, "dashboard": { "enabled": true },
    });
    for (overlay, values) in [
        ("deploy/kustomize/overlays/all-namespaces", json!({})),
        (
            "deploy/kustomize/overlays/namespaced",
            json!({ "namespaces": ["shop"] }),
        ),
        ("deploy/kustomize/overlays/ha", many),
        ("tests/deploy/monitored", monitored),
        (
            "tests/deploy/traced",
            json!({ "traces": { "endpoint": "http://collector.monitoring:4318" } }),
        ),
        ("tests/deploy/encrypted", encrypted()),
        ("tests/deploy/stamped", stamped("v1")),
        ("tests/deploy/unguarded", json!({ "admission": { "enabled": false } })),
    ] {
        let (chart, kustomized) = (comparable(&render(&values)), comparable(&kustomize_folder(overlay)));
        let names = |objects: &BTreeMap<[String; 3], Value>| objects.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&chart), names(&kustomized), "{overlay}");
        for (name, object) in &kustomized {
            assert_eq!(&chart[name], object, "{overlay}: {name:?}");
        }
    }
}

fn respace(value: &mut Value) {
    match value {
        Value::String(text) => *text = text.split_whitespace().collect::<Vec<_>>().join(" "),
        Value::Array(items) => items.iter_mut().for_each(respace),
        Value::Object(fields) => fields.values_mut().for_each(respace),
        _ => {}
    }
}

fn stamped(stamp: &str) -> Value {
    json!({ "admission": { "stamp": stamp } })
}

#[test]
fn the_stamp_of_older_clusters_is_their_file() {
    let beta = std::fs::read_to_string(file("deploy/admission/stamp/v1beta1.yaml")).unwrap();
    let (beta, chart) = (Objects::parse(&beta), render(&stamped("v1beta1")));
    for kind in ["MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"] {
        let (made, wanted) = (chart.find(kind, STAMP), beta.find(kind, STAMP));
        assert_eq!(
            (&made["apiVersion"], &made["spec"]),
            (&wanted["apiVersion"], &wanted["spec"])
        );
    }
}

#[test]
fn bindings_of_another_release_are_of_its_own_policies() {
    let mut values = stamped("v1");
    values["name"] = json!("second");
    let objects = render(&values);
    let bindings = ["ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicyBinding"];
    let named: Vec<[&Value; 2]> = bindings
        .iter()
        .flat_map(|kind| objects.of(kind))
        .map(|binding| [&binding["metadata"]["name"], &binding["spec"]["policyName"]])
        .collect();
    let names = POLICIES.into_iter().chain(["created-by"]);
    let names: Vec<Value> = names.map(|name| json!(format!("second-{name}"))).collect();
    assert_eq!(named, names.iter().map(|name| [name, name]).collect::<Vec<_>>());
    for kind in ["ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"] {
        for policy in objects.of(kind) {
            assert_eq!(policy["metadata"]["labels"]["app.kubernetes.io/name"], "second");
            assert!(
                names.contains(&policy["metadata"]["name"]),
                "{}",
                policy["metadata"]["name"]
            );
        }
    }
}

#[test]
fn the_definitions_are_those_of_the_folder_crds_and_stay() {
    let chart = render(&json!({}));
    let mut count = 0;
    for mut made in chart.of("CustomResourceDefinition").cloned() {
        let kept = made["metadata"].as_object_mut().unwrap().remove("annotations");
        assert_eq!(kept, Some(json!({ "helm.sh/resource-policy": "keep" })));
        let plural = made["spec"]["names"]["plural"].as_str().unwrap();
        let text = std::fs::read_to_string(file(&format!("crds/{plural}.yaml"))).unwrap();
        assert!(Objects::parse(&text).all() == [made.clone()], "{plural}");
        count += 1;
    }
    assert_eq!(count, tokenwright::api::crds().len());
    assert_eq!(
        count,
        kustomize("all-namespaces").of("CustomResourceDefinition").count()
    );
}

#[test]
fn the_chart_is_in_order_and_its_version_is_this_one() {
    let report = helm("lint", &json!({}), None).unwrap();
    let severe = report["messages"].as_array().unwrap().iter();
    let severe: Vec<_> = severe
        .filter(|message| message["severity"].as_u64() > Some(1))
        .collect();
    assert_eq!((severe, &report["errors"]), (vec![], &json!([])));
    let metadata = &helm("defaults", &json!({}), None).unwrap()["metadata"];
    for version in ["version", "appVersion"] {
        assert_eq!(metadata[version], env!("CARGO_PKG_VERSION"), "{version}");
    }
}

#[test]
fn every_value_is_in_the_schema_and_every_other_is_refused() {
    let chart = helm("defaults", &json!({}), None).unwrap();
    assert_same_fields("", &chart["values"], &chart["schema"]);
    for (values, why) in [
        (
            json!({ "verifyer": {} }),
            "additional properties 'verifyer' not allowed",
        ),
        (
            json!({ "verifier": { "replica": 3 } }),
            "additional properties 'replica' not allowed",
        ),
        (json!({ "namespaces": ["Shop"] }), "'Shop' does not match pattern"),
        (
            json!({ "image": { "digest": "latest" } }),
            "'latest' does not match pattern",
        ),
        (
            json!({ "traces": { "endpoint": "collector:4318" } }),
            "'collector:4318' does not match pattern",
        ),
        (
            json!({ "traces": { "certificate": { "secret": "a", "configMap": "b" } } }),
            "'not' failed",
        ),
        (stamped("v2"), "value must be one of 'auto', 'v1', 'v1beta1', 'none'"),
    ] {
        let refused = helm("render", &values, None).map(|_| ()).unwrap_err();
        assert!(refused.contains(why), "{values}: {refused}");
    }
}

fn assert_same_fields(path: &str, values: &Value, schema: &Value) {
    let (Value::Object(values), Value::Object(known)) = (values, &schema["properties"]) else {
        return;
    };
    assert_eq!(schema["additionalProperties"], false, "{path}");
    let given: BTreeSet<&String> = values.keys().collect();
    // Helm adds it to every chart's values.
    let known: BTreeSet<&String> = known.keys().filter(|field| *field != "global").collect();
    assert_eq!(given, known, "{path}");
    for (field, value) in values {
        assert_same_fields(&format!("{path}/{field}"), value, &schema["properties"][field]);
    }
}

#[test]
fn whatever_the_values_say_pods_are_locked_down_and_reachable() {
    let values = json!({
        "image": { "digest": format!("sha256:{}", "0".repeat(64)) },
        "imagePullSecrets": [{ "name": "registry" }],
        "namespaces": ["shop", "blog"],
        "controller": { "arguments": ["--concurrency=8"], "priorityClassName": "system-cluster-critical" },
        "verifier": {
            "arguments": ["--max-staleness=5m"],
            "trustedProxies": ["10.0.0.0/8", "192.0.2.1"],
            "tls": { "secretName": "verifier-tls" },
            "nodeSelector": { "pool": "edge" },
            "tolerations": [{ "operator": "Exists" }],
            "podAnnotations": { "a": "b" },
            "podLabels": { "c": "d" },
        },
        "networkPolicy": { "dns": true, "apiServer": { "to": [{ "ipBlock": { "cidr": "192.0.2.7/32" } }] } },
    });
    let objects = render(&values);
    pods::assert_locked_down(&objects);
    pods::assert_reachable(&objects);
    let verifier = &objects.find("Deployment", "tokenwright-verifier")["spec"]["template"]["spec"];
    assert_eq!(
        verifier["volumes"],
        json!([{ "name": "tls", "secret": { "secretName": "verifier-tls" } }])
    );
    assert_eq!(verifier["nodeSelector"], json!({ "pool": "edge" }));
    let image = format!("ghcr.io/tokenwright/tokenwright@sha256:{}", "0".repeat(64));
    assert_eq!(verifier["containers"][0]["image"], image);
    let bound = objects.of("RoleBinding").map(identity);
    let bound: Vec<[String; 3]> = bound.filter(|[_, namespace, _]| namespace == "blog").collect();
    assert_eq!(bound.len(), 2, "{bound:?}");
    let egress = &objects.find("NetworkPolicy", "tokenwright-api-server")["spec"]["egress"];
    assert_eq!(egress.as_array().map(Vec::len), Some(2));
}

#[test]
fn two_releases_of_other_names_share_no_object() {
    let other = comparable(&render(
        &json!({ "name": "second", "namespaces": ["shop"], "crds": { "install": false } }),
    ));
    let first = comparable(&render(&json!({ "crds": { "install": false } })));
    let shared: Vec<_> = other.keys().filter(|name| first.contains_key(*name)).collect();
    assert_eq!(shared, Vec::<&[String; 3]>::new());
}

/// Helm applies on the server's side, which the sandbox does not do.
#[tokio::test]
async fn a_release_comes_changes_and_goes_on_a_real_server() {
    let Some(server) = Server::real().await else { return };
    let _alone = INSTALLING.lock().await;
    let client = server.client().await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), RELEASED);
    let act = |action, values| helm(action, &values, Some(server.kubeconfig())).unwrap();
    let replicas = async || {
        let verifier = deployments.get("tokenwright-verifier").await.unwrap();
        verifier.spec.unwrap().replicas
    };
    assert_eq!(act("install", json!({}))["status"], "deployed");
    assert_eq!(replicas().await, Some(2));
    assert_eq!(
        act("upgrade", json!({ "verifier": { "replicas": 5 } }))["status"],
        "deployed"
    );
    assert_eq!(replicas().await, Some(5));
    let (kubectl, _home) = kubectl(&server);
    let list = |kinds| {
        [
            "get",
            kinds,
            "--output=name",
            "--selector=app.kubernetes.io/name=tokenwright",
        ]
    };
    let stamps = if stamps(&kubectl).await {
        kubectl
            .ok(list("mutatingadmissionpolicies,mutatingadmissionpolicybindings"))
            .await
            .lines()
            .count()
    } else {
        2
    };
    let judged = kubectl
        .ok(list("validatingadmissionpolicies,validatingadmissionpolicybindings"))
        .await;
    assert_eq!((stamps, judged.lines().count()), (2, 2 * POLICIES.len()), "{judged}");
    let unguarded = json!({ "admission": { "enabled": false } });
    assert_eq!(act("upgrade", unguarded)["status"], "deployed");
    let judged = kubectl.ok(list("validatingadmissionpolicies")).await;
    assert_eq!(judged, "");
    assert_eq!(act("upgrade", json!({}))["status"], "deployed");
    act("uninstall", json!({}));
    let judged = kubectl.ok(list("validatingadmissionpolicies")).await;
    assert_eq!(judged, "");
    let left = deployments.list(&ListParams::default()).await.unwrap();
    let left: Vec<String> = left.iter().map(ResourceExt::name_any).collect();
    assert_eq!(left, [""; 0]);
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    assert!(bindings.get_opt("tokenwright-controller").await.unwrap().is_none());
    // With them would go every token.
    let definitions: Api<CustomResourceDefinition> = Api::all(client);
    let names = tokenwright::api::crds()
        .into_iter()
        .map(|definition| definition.name_any());
    for name in names.clone() {
        assert!(definitions.get_opt(&name).await.unwrap().is_some(), "{name}");
    }
    act("install", json!({}));
    act("uninstall", json!({}));
    for name in names {
        delete_and_wait(&definitions, &name).await;
    }
}

async fn delete_and_wait(definitions: &Api<CustomResourceDefinition>, name: &str) {
    definitions.delete(name, &DeleteParams::default()).await.unwrap();
    let gone = until(PATIENCE, async || match definitions.get_opt(name).await.unwrap() {
        None => Ok(()),
        Some(left) => Err(left.metadata),
    });
    gone.await.unwrap();
}
