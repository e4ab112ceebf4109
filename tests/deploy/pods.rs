//! What the Pods are allowed, and that they run what the binary is.

use std::collections::BTreeMap;

use clap::Parser;
use serde_json::{Value, json};
use tokenwright::args::{Arguments, Command};

use crate::render::{NAMESPACE, OVERLAYS, Objects, kustomize};

fn pods(objects: &Objects) -> impl Iterator<Item = (&str, &Value)> {
    objects.of("Deployment").map(|deployment| {
        let name = deployment["metadata"]["name"].as_str().unwrap();
        (name, &deployment["spec"]["template"]["spec"])
    })
}

/// What Pod Security asks for at level restricted, and more.
pub(crate) fn assert_locked_down(objects: &Objects) {
    let mut count = 0;
    for (name, pod) in pods(objects) {
        count += 1;
        assert_eq!(
            pod["securityContext"],
            json!({
                "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
                "seccompProfile": { "type": "RuntimeDefault" },
            }),
            "{name}"
        );
        for field in ["hostNetwork", "hostPID", "hostIPC", "initContainers"] {
            assert!(pod[field].is_null(), "{name} has {field}");
        }
        assert_eq!(pod["serviceAccountName"], name, "an account of its own");
        let containers = pod["containers"].as_array().unwrap();
        assert_eq!(containers.len(), 1, "{name}");
        assert_eq!(
            containers[0]["securityContext"],
            json!({
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
            }),
            "{name}"
        );
        let resources = &containers[0]["resources"];
        for path in ["/requests/cpu", "/requests/memory", "/limits/memory"] {
            assert!(resources.pointer(path).is_some(), "{name} has no {path}");
        }
    }
    assert_eq!(count, 2);
}

#[test]
fn pods_are_locked_down() {
    for overlay in OVERLAYS {
        assert_locked_down(&kustomize(overlay));
    }
}

/// The containers' arguments as the binary reads them, by Deployment.
fn commands(objects: &Objects) -> BTreeMap<String, Command> {
    let read = |(name, pod): (&str, &Value)| {
        let arguments = pod["containers"][0]["args"].as_array().unwrap().iter();
        let arguments = arguments.map(|argument| argument.as_str().unwrap());
        let arguments = Arguments::try_parse_from(["tokenwright"].into_iter().chain(arguments));
        (
            name.to_owned(),
            arguments.unwrap_or_else(|error| panic!("{name}: {error}")).command,
        )
    };
    pods(objects).map(read).collect()
}

/// Has the ports that the binary listens on by these arguments, and the Services that lead there.
pub(crate) fn assert_reachable(objects: &Objects) {
    let commands = commands(objects);
    for (name, pod) in pods(objects) {
        let listens: BTreeMap<&str, u16> = match &commands[name] {
            Command::Controller(controller) => BTreeMap::from([("metrics", controller.observed.metrics.port())]),
            Command::Verifier(verifier) => BTreeMap::from([
                ("metrics", verifier.observed.metrics.port()),
                ("http", verifier.http.port()),
                ("grpc", verifier.grpc.port()),
            ]),
            other => panic!("{name} runs {other:?}"),
        };
        let container = &pod["containers"][0];
        let ports = container["ports"].as_array().unwrap().iter();
        let ports: BTreeMap<&str, u16> = ports
            .map(|port| {
                let number = port["containerPort"].as_u64().unwrap();
                (port["name"].as_str().unwrap(), u16::try_from(number).unwrap())
            })
            .collect();
        assert_eq!(ports, listens, "{name}");
        for (probe, path) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
            let expected = json!({ "path": path, "port": "metrics" });
            assert_eq!(container[probe]["httpGet"], expected, "{name}");
        }
    }
    let verifier = &objects.find("Deployment", "tokenwright-verifier")["spec"];
    let serves = |service: &str| -> Vec<&str> {
        let spec = &objects.find("Service", service)["spec"];
        let ports = spec["ports"].as_array().unwrap().iter();
        ports.map(|port| port["targetPort"].as_str().unwrap()).collect()
    };
    assert_eq!(serves("tokenwright-verifier"), ["http", "grpc"]);
    assert_eq!(serves("tokenwright-verifier-metrics"), ["metrics"]);
    assert_eq!(serves("tokenwright-controller"), ["metrics"]);
    let selector = &verifier["selector"]["matchLabels"];
    assert_eq!(
        selector,
        &objects.find("Service", "tokenwright-verifier")["spec"]["selector"]
    );
    assert_eq!(
        selector,
        &objects.find("PodDisruptionBudget", "tokenwright-verifier")["spec"]["selector"]["matchLabels"]
    );
}

#[test]
fn pods_run_what_the_binary_is_and_are_reached_where_it_listens() {
    for overlay in OVERLAYS {
        assert_reachable(&kustomize(overlay));
    }
}

#[test]
fn of_controllers_one_works_and_may_hold_the_lease_that_it_asks_for() {
    for overlay in OVERLAYS {
        let objects = kustomize(overlay);
        let controller = &objects.find("Deployment", "tokenwright-controller")["spec"];
        let expected = if overlay == "ha" { 2 } else { 1 };
        assert_eq!(controller["replicas"], json!(expected), "{overlay}");
        let Command::Controller(arguments) = &commands(&objects)["tokenwright-controller"] else {
            panic!("it is no controller");
        };
        assert!(arguments.election.leader_elect);
        // The Pod's own namespace.
        assert_eq!(arguments.election.leader_election_namespace, None);
        let role = objects.find("Role", "tokenwright-controller-lease");
        assert_eq!(role["metadata"]["namespace"], NAMESPACE);
        assert_eq!(
            role["rules"][1]["resourceNames"],
            json!([arguments.election.lease_name])
        );
        let budget = &objects.find("PodDisruptionBudget", "tokenwright-controller")["spec"];
        assert_eq!(budget["selector"], controller["selector"]);
    }
}

#[test]
fn verifiers_are_as_many_as_the_autoscaler_says_where_there_is_one() {
    for overlay in OVERLAYS {
        let objects = kustomize(overlay);
        let replicas = &objects.find("Deployment", "tokenwright-verifier")["spec"]["replicas"];
        let scaled = objects.of("HorizontalPodAutoscaler").count() == 1;
        assert_eq!(
            (replicas.is_null(), scaled),
            (overlay == "ha", overlay == "ha"),
            "{overlay}"
        );
    }
}

#[test]
fn the_image_is_of_this_version() {
    for overlay in OVERLAYS {
        for (_, pod) in pods(&kustomize(overlay)) {
            let image = concat!("ghcr.io/tokenwright/tokenwright:", env!("CARGO_PKG_VERSION"));
            assert_eq!(pod["containers"][0]["image"], image);
        }
    }
}
