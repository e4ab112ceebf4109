//! Traces: what leads them to a collector, and what the collector is verified by.

use serde_json::{Value, json};

use crate::{
    chart::render,
    helm::helm,
    pods,
    render::{Objects, file, kustomize_folder},
};

const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";

/// The values that do what `tests/deploy/encrypted` does.
pub(crate) fn encrypted() -> Value {
    json!({
        "verifier": { "tls": { "secretName": "tokenwright-verifier-tls" } },
        "traces": { "endpoint": "https://collector.monitoring:4318", "certificate": { "secret": "tokenwright-traces" } },
    })
}

/// Where each Deployment finds the PEM file, which has to be what one of its volumes has.
fn certificates(objects: &Objects) -> Vec<Value> {
    let deployments = objects.of("Deployment");
    let found = deployments.map(|deployment| {
        let pod = &deployment["spec"]["template"]["spec"];
        let find = |list: &Value, field: &str, value: &Value| -> Value {
            let mut items = list.as_array().unwrap().iter();
            items.find(|item| &item[field] == value).unwrap().clone()
        };
        let container = &pod["containers"][0];
        let variable = find(&container["env"], "name", &CERTIFICATE.into());
        let (folder, key) = variable["value"].as_str().unwrap().rsplit_once('/').unwrap();
        let mount = find(&container["volumeMounts"], "mountPath", &folder.into());
        assert_eq!(mount["readOnly"], true);
        let mut volume = find(&pod["volumes"], "name", &mount["name"]);
        volume["key"] = key.into();
        volume
    });
    found.collect()
}

#[test]
fn a_collector_with_https_is_verified_by_what_is_mounted() {
    let secret = json!({ "name": "traces", "secret": { "secretName": "tokenwright-traces" }, "key": "ca.crt" });
    for objects in [render(&encrypted()), kustomize_folder("tests/deploy/encrypted")] {
        pods::assert_locked_down(&objects);
        pods::assert_reachable(&objects);
        assert_eq!(certificates(&objects), [secret.clone(), secret.clone()]);
    }
    let mut bundle = encrypted();
    bundle["traces"]["certificate"] = json!({ "configMap": "cluster-ca", "key": "bundle.pem" });
    let bundled = json!({ "name": "traces", "configMap": { "name": "cluster-ca" }, "key": "bundle.pem" });
    assert_eq!(certificates(&render(&bundle)), [bundled.clone(), bundled]);
}

/// The image is `FROM scratch`: both would end at once, again and again.
#[test]
fn a_collector_with_https_is_refused_without_its_certificate() {
    let https = json!({ "traces": { "endpoint": "https://collector.monitoring:4318" } });
    let refused = helm("render", &https, None).unwrap_err();
    let why = "name the Secret or the ConfigMap with its CA's PEM in traces.certificate";
    assert!(refused.contains(why), "{refused}");
    let open = render(&json!({ "traces": { "endpoint": "http://collector.monitoring:4318" } }));
    for deployment in open.of("Deployment") {
        let pod = &deployment["spec"]["template"]["spec"];
        assert!(
            pod["volumes"].is_null() && !pod.to_string().contains(CERTIFICATE),
            "{pod}"
        );
    }
}

/// What the head of a component says to write is what the tests apply.
#[test]
fn the_components_say_what_overlays_write() {
    let written = std::fs::read_to_string(file("tests/deploy/encrypted/kustomization.yaml")).unwrap();
    let written: Value = serde_saphyr::from_str(&written).unwrap();
    for component in ["tls", "traces-certificate"] {
        let path = format!("deploy/kustomize/components/{component}/kustomization.yaml");
        let text = std::fs::read_to_string(file(&path)).unwrap();
        let shown = text.lines().filter_map(|line| line.strip_prefix("#   "));
        let shown: Value = serde_saphyr::from_str(&shown.collect::<Vec<_>>().join("\n")).unwrap();
        for url in shown["components"].as_array().unwrap() {
            let folder = url
                .as_str()
                .unwrap()
                .strip_prefix("https://github.com/tokenwright/tokenwright//");
            let folder = folder.unwrap().split_once('?').unwrap().0;
            let local = Value::from(format!("../../../{folder}"));
            assert!(written["components"].as_array().unwrap().contains(&local), "{folder}");
        }
        assert!(
            shown["patches"].is_null() || shown["patches"] == written["patches"],
            "{component}"
        );
    }
}

#[test]
fn traces_go_to_the_collector_and_nothing_else_is_let_out_for_them() {
    let tracing = |endpoint: &str| {
        render(&json!({ "traces": {
            "endpoint": endpoint, "sampler": "parentbased_traceidratio", "samplerArgument": "0.01", "headersSecret": "collector",
            "certificate": { "configMap": "collector-ca" },
        } }))
    };
    let secret = json!({ "name": "collector", "key": "headers" });
    for (endpoint, port) in [
        ("http://collector.monitoring:4318", 4318),
        ("https://collector.example.com/otlp", 443),
        ("http://[fd00::1]/", 80),
    ] {
        let objects = tracing(endpoint);
        for deployment in objects.of("Deployment") {
            let env = &deployment["spec"]["template"]["spec"]["containers"][0]["env"];
            let expected = json!([
                { "name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": endpoint },
                { "name": "OTEL_TRACES_SAMPLER", "value": "parentbased_traceidratio" },
                { "name": "OTEL_TRACES_SAMPLER_ARG", "value": "0.01" },
                { "name": "OTEL_EXPORTER_OTLP_HEADERS", "valueFrom": { "secretKeyRef": secret } },
                { "name": CERTIFICATE, "value": "/traces/ca.crt" },
            ]);
            assert_eq!(env, &expected);
        }
        let egress = &objects.find("NetworkPolicy", "tokenwright-traces")["spec"]["egress"];
        assert_eq!(
            egress[0]["ports"],
            json!([{ "port": port, "protocol": "TCP" }]),
            "{endpoint}"
        );
        assert_eq!(egress[0]["to"], json!([{ "namespaceSelector": {} }]));
    }
}
