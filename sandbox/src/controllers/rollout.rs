//! Workloads that roll out at once: there are no nodes and no containers, only the status that says all is well.

use serde_json::{Map, Value, json};

use super::set_condition;
use crate::cluster::Cluster;
use crate::store::{Key, TableId, text};

const TABLES: &[&str] = &[
    "apps/deployments",
    "apps/statefulsets",
    "apps/daemonsets",
    "apps/replicasets",
];
const REVISION: &str = "deployment.kubernetes.io/revision";

/// Rolls everything out that was held back.
pub(super) fn catch_up(cluster: &mut Cluster) {
    for table in TABLES {
        let table: TableId = (*table).into();
        let keys: Vec<Key> = cluster
            .peek(&table)
            .into_iter()
            .flat_map(|it| it.all().map(|it| it.key.clone()))
            .collect();
        for key in keys {
            on_workload(cluster, &table, &key);
        }
    }
}

pub(super) fn on_workload(cluster: &mut Cluster, table: &TableId, key: &Key) {
    let Some(stored) = cluster.find(table, key).filter(|object| !object.deleting) else {
        return;
    };
    let before = stored.value();
    let mut workload = before.clone();
    let now = cluster.now_text();
    match &**table {
        "apps/deployments" => {
            if workload["spec"]["paused"] == true {
                workload["status"]["observedGeneration"] = workload["metadata"]["generation"].clone();
            } else {
                let revision = replica_sets(cluster, &workload);
                workload["metadata"]["annotations"][REVISION] = revision.to_string().into();
                deployment_status(&mut workload, &now);
            }
        }
        "apps/statefulsets" => stateful_set_status(&mut workload),
        "apps/daemonsets" => daemon_set_status(&mut workload),
        _ => replica_set_status(&mut workload),
    }
    if workload != before {
        cluster.put(table, workload);
    }
}

fn replicas(workload: &Value) -> i64 {
    workload["spec"]["replicas"].as_i64().unwrap_or(1)
}

fn set(workload: &mut Value, fields: &[(&str, Value)]) {
    let generation = workload["metadata"]["generation"].clone();
    let status = &mut workload["status"];
    if !status.is_object() {
        *status = Map::new().into();
    }
    status["observedGeneration"] = generation;
    let Some(status) = status.as_object_mut() else { return };
    for (field, value) in fields {
        // Counts of zero are left out, as omitempty does.
        if *value == 0 && *field != "replicas" {
            status.remove(*field);
        } else {
            status.insert((*field).to_owned(), value.clone());
        }
    }
}

fn deployment_status(deployment: &mut Value, now: &str) {
    let count = json!(replicas(deployment));
    let counts = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"];
    set(deployment, &counts.map(|field| (field, count.clone())));
    let name = text(&deployment["metadata"]["name"]).to_owned();
    let available = "Deployment has minimum availability.";
    set_condition(
        deployment,
        "Available",
        true,
        "MinimumReplicasAvailable",
        available,
        now,
    );
    let progressing = format!(
        "ReplicaSet \"{name}-{}\" has successfully progressed.",
        template_hash(deployment)
    );
    set_condition(
        deployment,
        "Progressing",
        true,
        "NewReplicaSetAvailable",
        &progressing,
        now,
    );
}

fn stateful_set_status(set_: &mut Value) {
    let count = json!(replicas(set_));
    let revision: Value = format!("{}-{}", text(&set_["metadata"]["name"]), template_hash(set_)).into();
    let counts = [
        "replicas",
        "currentReplicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
    ];
    set(set_, &counts.map(|field| (field, count.clone())));
    set(
        set_,
        &[("currentRevision", revision.clone()), ("updateRevision", revision)],
    );
}

fn daemon_set_status(set_: &mut Value) {
    let counts = [
        "currentNumberScheduled",
        "desiredNumberScheduled",
        "numberAvailable",
        "numberReady",
        "updatedNumberScheduled",
    ];
    // As on a cluster of one node.
    set(set_, &counts.map(|field| (field, json!(1))));
    set_["status"]["numberMisscheduled"] = 0.into();
}

fn replica_set_status(set_: &mut Value) {
    let count = json!(replicas(set_));
    let counts = ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
    set(set_, &counts.map(|field| (field, count.clone())));
}

/// A short name for a pod template: the same template has the same.
fn template_hash(workload: &Value) -> String {
    let template = workload["spec"]["template"].to_string();
    let hash = template.bytes().fold(0x811C_9DC5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    format!("{hash:x}")
}

/// Keeps one ReplicaSet per template that a Deployment has had, for `kubectl rollout history`; answers the revision.
fn replica_sets(cluster: &mut Cluster, deployment: &Value) -> u64 {
    let table: TableId = "apps/replicasets".into();
    let metadata = &deployment["metadata"];
    let hash = template_hash(deployment);
    let name = format!("{}-{hash}", text(&metadata["name"]));
    let namespace = text(&metadata["namespace"]);
    let uid = text(&metadata["uid"]);
    let revision_of = |set: &Value| text(&set["metadata"]["annotations"][REVISION]).parse().unwrap_or(0_u64);
    let owned: Vec<Value> = cluster
        .dependents_of(uid)
        .iter()
        .filter(|(of, _)| *of == table)
        .filter_map(|(_, key)| Some(cluster.find(&table, key)?.value()))
        .collect();
    let newest = owned.iter().map(revision_of).max().unwrap_or(0);
    let current = owned.iter().find(|set| text(&set["metadata"]["name"]) == name);
    let revision = current
        .map(revision_of)
        .filter(|revision| *revision == newest)
        .unwrap_or(newest + 1);
    for mut old in owned
        .iter()
        .filter(|set| text(&set["metadata"]["name"]) != name)
        .cloned()
    {
        if replicas(&old) != 0 {
            old["spec"]["replicas"] = 0.into();
            old["metadata"]["generation"] = (old["metadata"]["generation"].as_i64().unwrap_or(0) + 1).into();
            cluster.put(&table, old);
        }
    }
    let mut set = match current {
        Some(set) => set.clone(),
        None => new_replica_set(cluster, deployment, &name, namespace, &hash),
    };
    let before = set.clone();
    set["spec"]["replicas"] = replicas(deployment).into();
    set["metadata"]["annotations"][REVISION] = revision.to_string().into();
    if current.is_none() || set != before {
        cluster.put(&table, set);
    }
    revision
}

fn new_replica_set(cluster: &mut Cluster, deployment: &Value, name: &str, namespace: &str, hash: &str) -> Value {
    let mut template = deployment["spec"]["template"].clone();
    template["metadata"]["labels"]["pod-template-hash"] = hash.into();
    let mut selector = deployment["spec"]["selector"].clone();
    selector["matchLabels"]["pod-template-hash"] = hash.into();
    let mut annotations = deployment["metadata"]["annotations"].clone();
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": cluster.fresh.uid(),
            "generation": 1,
            "creationTimestamp": cluster.now_text(),
            "labels": template["metadata"]["labels"],
            "annotations": annotations,
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "Deployment", "name": deployment["metadata"]["name"],
                "uid": deployment["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {"replicas": replicas(deployment), "selector": selector, "template": template},
    })
}
