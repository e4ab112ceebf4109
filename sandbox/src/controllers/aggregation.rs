//! ClusterRoles that gather the rules of others by label.

use serde_json::Value;

use crate::auth::label_selector_matches;
use crate::cluster::Cluster;
use crate::store::{items, string_map};

const TABLE: &str = "rbac.authorization.k8s.io/clusterroles";

/// Brings every aggregating ClusterRole up to date.
pub(super) fn on_cluster_role(cluster: &mut Cluster) {
    let Some(table) = cluster.peek(TABLE) else { return };
    let roles: Vec<Value> = table.all().map(|role| role.value()).collect();
    for role in roles.iter().filter(|role| role["aggregationRule"].is_object()) {
        let selectors = items(&role["aggregationRule"]["clusterRoleSelectors"]);
        let mut rules: Vec<Value> = Vec::new();
        for other in roles
            .iter()
            .filter(|other| other["metadata"]["name"] != role["metadata"]["name"])
        {
            let labels = string_map(&other["metadata"]["labels"]);
            if selectors
                .iter()
                .any(|selector| label_selector_matches(selector, &labels))
            {
                for rule in items(&other["rules"]) {
                    if !rules.contains(rule) {
                        rules.push(rule.clone());
                    }
                }
            }
        }
        if items(&role["rules"]) != rules {
            let mut role = role.clone();
            role["rules"] = rules.into();
            cluster.put(&TABLE.into(), role);
        }
    }
}
