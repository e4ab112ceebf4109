//! What a real cluster's controllers would do about a commit, done at once.

mod aggregation;
mod definitions;
mod garbage;
mod namespaces;
mod rollout;

use serde_json::{Value, json};

pub(crate) use definitions::CLEANUP;

use crate::cluster::Cluster;
use crate::store::{Change, TableId, items, text};

/// Controllers that a test has stopped for a while.
#[derive(Debug, Default)]
pub(crate) struct Held {
    rollouts: bool,
    collector: Option<Vec<(TableId, Change)>>,
}

/// Works off everything that the commits so far ask for.
pub(crate) fn settle(cluster: &mut Cluster) {
    while let Some((table, change)) = cluster.pending.pop_front() {
        match &*table {
            "/namespaces" => namespaces::on_namespace(cluster, &change),
            "apiextensions.k8s.io/customresourcedefinitions" => definitions::on_definition(cluster, &change),
            "rbac.authorization.k8s.io/clusterroles" => aggregation::on_cluster_role(cluster),
            "apps/deployments" | "apps/statefulsets" | "apps/daemonsets" | "apps/replicasets"
                if !cluster.held.rollouts =>
            {
                rollout::on_workload(cluster, &table, &change.object.key);
            }
            _ => {}
        }
        namespaces::on_content(cluster, &change);
        definitions::on_object(cluster, &table, &change);
        match &mut cluster.held.collector {
            Some(waiting) => waiting.push((table, change)),
            None => garbage::on_change(cluster, &table, &change),
        }
    }
}

/// Stops rollouts, or lets them go on.
pub(crate) fn hold_rollouts(cluster: &mut Cluster, hold: bool) {
    cluster.held.rollouts = hold;
    if !hold {
        rollout::catch_up(cluster);
        settle(cluster);
    }
}

/// Stops the garbage collector, or lets it go on with what has come up meanwhile.
pub(crate) fn hold_collector(cluster: &mut Cluster, hold: bool) {
    if hold {
        cluster.held.collector.get_or_insert_default();
    } else if let Some(waiting) = cluster.held.collector.take() {
        for (table, change) in waiting {
            garbage::on_change(cluster, &table, &change);
        }
        settle(cluster);
    }
}

/// Whether an object has a condition that is true.
pub(crate) fn has_condition(object: &Value, kind: &str) -> bool {
    items(&object["status"]["conditions"])
        .iter()
        .any(|it| it["type"] == kind && it["status"] == "True")
}

/// Sets a condition; its lastTransitionTime moves only when the status changes.
pub(crate) fn set_condition(object: &mut Value, kind: &str, status: bool, reason: &str, message: &str, now: &str) {
    let status = if status { "True" } else { "False" };
    let mut conditions = items(&object["status"]["conditions"]).to_vec();
    let old = conditions.iter().position(|condition| text(&condition["type"]) == kind);
    let since = old
        .map(|at| &conditions[at])
        .filter(|condition| condition["status"] == status);
    let since = since.map_or(now, |condition| text(&condition["lastTransitionTime"]));
    let condition = json!({
        "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since,
    });
    match old {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
    object["status"]["conditions"] = conditions.into();
}
