//! Manifests, judged by Kubernetes' own schemas: by those of every version that is promised, and strictly, so that a field
//! is found which a version does not know.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::RangeInclusive,
    path::Path,
};

use jsonschema::Registry;
use kube_sandbox::testing::Tool;
use serde_json::{Value, json};

use crate::{
    chart::render,
    custom,
    helm::helm,
    render::{OVERLAYS, documents, file, identity, kustomize, kustomize_folder},
};

/// The schemas that each version of Kubernetes publishes, closed against fields that they do not name.
const SCHEMAS: Tool = Tool {
    name: "kubernetes-validate",
    version: "1.37.0",
    package: "kubernetes-validate",
    program: "kubernetes_validate/__init__.py",
    variable: "KUBERNETES_VALIDATE",
};

/// The minor versions from the oldest that docs/install.md promises to the newest that there are schemas of.
const VERSIONS: RangeInclusive<u32> = 30..=37;

/// The project's own kinds, which `tests/check` judges.
const OWN: [[&str; 2]; 3] = [
    ["tokenwright.dev/v1alpha1", "ApiToken"],
    ["tokenwright.dev/v1alpha1", "Organisation"],
    ["tokenwright.dev/v1alpha1", "TokenPolicy"],
];

/// What is no object among the examples: what gateways read, what kustomize does, and a patch.
const NO_OBJECTS: [&str; 3] = ["examples/gateways/", "/kustomization.yaml", "argocd/health.yaml"];

/// The schemas of one version.
struct Version {
    registry: Registry<'static>,
    /// The name of each kind's definition.
    definitions: BTreeMap<[String; 2], String>,
}

impl Version {
    const DOCUMENT: &str = "https://kubernetes.io/api/_definitions.json";

    fn new(minor: u32) -> Self {
        let package = SCHEMAS.locate().unwrap();
        let path = format!("kubernetes-json-schema/v1.{minor}.0-local-strict/_definitions.json");
        let document = fs::read(package.with_file_name(path)).unwrap();
        let document: Value = serde_json::from_slice(&document).unwrap();
        let mut definitions = BTreeMap::new();
        for (name, schema) in document["$defs"].as_object().unwrap() {
            let kinds = schema["x-kubernetes-group-version-kind"].as_array();
            for kind in kinds.into_iter().flatten() {
                let [group, version, kind] = ["group", "version", "kind"].map(|part| kind[part].as_str().unwrap());
                let api_version = format!("{group}/{version}").trim_start_matches('/').to_owned();
                definitions.insert([api_version, kind.to_owned()], name.clone());
            }
        }
        let registry = Registry::new().add(Self::DOCUMENT, document).unwrap();
        Self {
            registry: registry.prepare().unwrap(),
            definitions,
        }
    }

    /// What is wrong with an object, each with its place; nothing where the version does not define the kind.
    fn judge(&self, object: &Value) -> Option<Vec<String>> {
        let definition = self.definitions.get(&kind(object).map(str::to_owned))?;
        let schema = json!({ "$ref": format!("{}#/$defs/{definition}", Self::DOCUMENT) });
        let options = jsonschema::options().offline().with_registry(&self.registry);
        let schema = options.build(&schema).unwrap();
        let errors = schema.iter_errors(object);
        Some(
            errors
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect(),
        )
    }
}

fn kind(object: &Value) -> [&str; 2] {
    ["apiVersion", "kind"].map(|field| {
        object[field]
            .as_str()
            .unwrap_or_else(|| panic!("it has no {field}: {object}"))
    })
}

/// Objects, where they are from and which minor versions they are for.
type Handed = (String, RangeInclusive<u32>, Vec<Value>);

/// All that is handed out.
fn handed_out() -> Vec<Handed> {
    let mut all: Vec<Handed> = OVERLAYS
        .map(|overlay| (overlay.to_owned(), VERSIONS, kustomize(overlay).into()))
        .into();
    // Which stamp a version knows says docs/admission.md.
    let last = *VERSIONS.end();
    for (folder, versions) in [
        ("tests/deploy/monitored", VERSIONS),
        ("tests/deploy/traced", VERSIONS),
        ("tests/deploy/encrypted", VERSIONS),
        ("tests/deploy/stamped", 36..=last),
        ("tests/deploy/unguarded", VERSIONS),
        ("deploy/admission", VERSIONS),
        ("deploy/admission/stamp", 36..=last),
    ] {
        all.push((folder.to_owned(), versions, kustomize_folder(folder).into()));
    }
    for (stamp, versions) in [("none", VERSIONS), ("v1beta1", 34..=35), ("v1", 36..=last)] {
        let place = format!("the chart with everything and the stamp {stamp}");
        all.push((place, versions, render(&everything(stamp)).into()));
    }
    all.push(("the chart".to_owned(), VERSIONS, render(&json!({})).into()));
    let mut examples = Vec::new();
    collect(&file("examples"), &mut examples);
    all.extend(examples.into_iter().map(|path| {
        let objects = documents(&path);
        (path, VERSIONS, objects)
    }));
    all
}

/// The paths of all manifests of a folder, as seen from the repository.
fn collect(folder: &Path, paths: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
            continue;
        }
        let path = path.strip_prefix(file("")).unwrap().to_str().unwrap();
        if path.ends_with(".yaml") && !NO_OBJECTS.iter().any(|part| path.contains(part)) {
            paths.push(path.to_owned());
        }
    }
}

/// Every value of the chart, as what has the most made of it.
pub(crate) fn everything(stamp: &str) -> Value {
    let settings = json!({
        "podLabels": { "a": "b" },
        "podAnnotations": { "c": "d" },
        "nodeSelector": { "kubernetes.io/os": "linux" },
        "tolerations": [{ "key": "edge", "operator": "Exists", "effect": "NoSchedule" }],
        "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [{
            "matchExpressions": [{ "key": "pool", "operator": "In", "values": ["edge"] }],
        }] } } },
        "resources": { "requests": { "cpu": 1, "memory": "1Gi" }, "limits": { "cpu": "2", "memory": "2Gi" } },
    });
    let peers = json!([{ "namespaceSelector": {}, "podSelector": { "matchLabels": { "app": "gateway" } } }]);
    let monitored = json!({ "enabled": true, "labels": { "release": "prometheus" } });
    let mut values = json!({
        "name": "second",
        "image": {
            "repository": "registry.example.com/tokenwright", "tag": "1", "digest": format!("sha256:{}", "0".repeat(64)),
            "pullPolicy": "Always",
        },
        "imagePullSecrets": [{ "name": "registry" }],
        "namespaces": ["shop", "blog"],
        "crds": { "install": true },
        "controller": settings,
        "verifier": settings,
        "userRoles": { "create": true, "aggregate": true },
        "admission": { "enabled": true, "stamp": stamp },
        "networkPolicy": {
            "enabled": true, "dns": true, "metricsFrom": peers, "verifierFrom": peers, "tracesTo": peers,
            "apiServer": { "ports": [6443], "to": [{ "ipBlock": { "cidr": "192.0.2.0/24", "except": ["192.0.2.7/32"] } }] },
        },
        "traces": {
            "endpoint": "https://collector.example.com:4318/otlp", "sampler": "parentbased_traceidratio",
            "samplerArgument": "0.01", "headersSecret": "collector",
            "certificate": { "secret": "", "configMap": "collector-ca", "key": "bundle.pem" },
        },
        "serviceMonitor": monitored,
        "alerts": monitored,
        "dashboard": monitored,
    });
    values["serviceMonitor"]["interval"] = "1m".into();
    values["dashboard"]["labels"] = json!({ "grafana_dashboard": "true" });
    let controller = json!({ "replicas": 3, "arguments": ["--concurrency=8"], "priorityClassName": "high" });
    let verifier = json!({
        "replicas": 3,
        "autoscaling": { "enabled": true, "minReplicas": 4, "maxReplicas": 20, "targetCPUUtilization": 50 },
        "spread": "DoNotSchedule",
        "maxUnavailable": "50%",
        "trustedProxies": ["10.0.0.0/8"],
        "arguments": ["--max-staleness=5m"],
        "tls": { "secretName": "verifier-tls" },
        "service": { "type": "LoadBalancer", "annotations": { "e": "f" } },
        "priorityClassName": "",
        "priorityClass": { "create": true, "value": 2000 },
    });
    for (component, more) in [("controller", controller), ("verifier", verifier)] {
        let more = more.as_object().unwrap().clone();
        values[component].as_object_mut().unwrap().extend(more);
    }
    values
}

/// The paths of all that can be set.
fn paths(values: &Value, path: &str, found: &mut BTreeSet<String>) {
    match values.as_object().filter(|fields| !fields.is_empty()) {
        Some(fields) => fields
            .iter()
            .for_each(|(field, value)| paths(value, &format!("{path}/{field}"), found)),
        None => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn everything_of_the_chart_is_everything() {
    let defaults = &helm("defaults", &json!({}), None).unwrap()["values"];
    let mut known = BTreeSet::new();
    paths(defaults, "", &mut known);
    let values = everything("v1");
    let forgotten: Vec<&String> = known.iter().filter(|path| values.pointer(path).is_none()).collect();
    assert_eq!(forgotten, [""; 0]);
}

#[test]
fn the_promised_versions_are_those_that_are_judged_by() {
    let promised = format!(" Kubernetes 1.{} or later", VERSIONS.start());
    assert!(
        fs::read_to_string(file("docs/install.md")).unwrap().contains(&promised),
        "{promised}"
    );
    let metadata = &helm("defaults", &json!({}), None).unwrap()["metadata"];
    assert_eq!(metadata["kubeVersion"], format!(">=1.{}.0-0", VERSIONS.start()));
    let newest = format!("1.{}.", VERSIONS.end());
    assert!(SCHEMAS.version.starts_with(&newest), "{newest}");
}

#[test]
fn every_version_takes_what_is_handed_out() {
    let all = handed_out();
    let (mut judged, mut own) = (BTreeSet::new(), BTreeSet::new());
    for minor in VERSIONS {
        let version = Version::new(minor);
        for (place, _, objects) in all.iter().filter(|(_, versions, _)| versions.contains(&minor)) {
            for object in objects {
                match version.judge(object).or_else(|| custom::judge(object)) {
                    Some(errors) => {
                        assert_eq!(errors, [""; 0], "1.{minor}: {place}: {:?}", identity(object));
                        judged.insert(kind(object));
                    }
                    None => {
                        let kind = kind(object);
                        assert!(OWN.contains(&kind), "1.{minor}: {place}: {kind:?} is not there");
                        own.insert(kind);
                    }
                }
            }
        }
    }
    assert_eq!(own, BTreeSet::from(OWN));
    assert!(judged.len() > 20, "{judged:?}");
}

#[test]
fn what_is_wrong_is_found() {
    let good = kustomize("ha");
    let deployment = |change: &dyn Fn(&mut Value)| {
        let mut object = good.find("Deployment", "tokenwright-verifier").clone();
        change(&mut object["spec"]["template"]["spec"]["containers"][0]);
        object
    };
    let newest = Version::new(*VERSIONS.end());
    let judge = |object: &Value| newest.judge(object).unwrap();
    assert_eq!(judge(&deployment(&|_| {})), [""; 0]);
    let container = "/spec/template/spec/containers/0";
    for (object, why) in [
        (
            deployment(&|container| container["readinesProbe"] = json!({})),
            format!("{container}: Additional properties are not allowed ('readinesProbe' was unexpected)"),
        ),
        (
            deployment(&|container| container["lifecycle"]["preStop"]["sleep"]["seconds"] = "5".into()),
            format!(r#"{container}/lifecycle/preStop/sleep/seconds: "5" is not of type "integer""#),
        ),
        (
            deployment(&|container| container["ports"][0] = json!({ "name": "http" })),
            format!(r#"{container}/ports/0: "containerPort" is a required property"#),
        ),
    ] {
        assert_eq!(judge(&object), [why]);
    }
    // What a later version brought is found in the versions before it.
    let stamp = kustomize_folder("deploy/admission/stamp");
    let stamp = stamp.find("MutatingAdmissionPolicy", "tokenwright-created-by");
    assert_eq!(judge(stamp), [""; 0]);
    assert_eq!(Version::new(35).judge(stamp), None);
}

#[test]
fn what_is_misspelt_in_others_kinds_is_found() {
    let all = handed_out();
    let objects = all.iter().flat_map(|(_, _, objects)| objects);
    let mut kinds = BTreeSet::new();
    for object in objects.filter(|object| custom::judge(object).is_some()) {
        custom::assert_found_when_misspelt(object);
        kinds.insert(kind(object)[1]);
    }
    let expected = [
        "Application",
        "GitRepository",
        "Kustomization",
        "PrometheusRule",
        "ServiceMonitor",
    ];
    assert_eq!(kinds, BTreeSet::from(expected));
}
