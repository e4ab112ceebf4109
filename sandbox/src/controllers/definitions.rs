//! CustomResourceDefinitions: names are accepted, the resource is established, and its objects go before it goes.

use serde_json::json;

use super::{has_condition, set_condition};
use crate::catalog::{Names, names_conflict, table_id};
use crate::cluster::{Cluster, DeleteOptions, WriteOptions, delete};
use crate::store::{Change, ChangeKind, Key, TableId, items, text};

const TABLE: &str = "apiextensions.k8s.io/customresourcedefinitions";
/// Held by definitions that are being deleted until their objects are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

pub(super) fn on_definition(cluster: &mut Cluster, change: &Change) {
    if change.kind == ChangeKind::Deleted {
        return;
    }
    if change.object.deleting {
        return clean_up(cluster, &change.object.key);
    }
    let Some(stored) = cluster.find(TABLE, &change.object.key) else {
        return;
    };
    let before = stored.value();
    let mut definition = before.clone();
    let now = cluster.now_text();
    let conflict = names_conflict(&cluster.catalog(), &Names::of(&definition));
    match conflict {
        None => {
            definition["status"]["acceptedNames"] = definition["spec"]["names"].clone();
            set_condition(
                &mut definition,
                "NamesAccepted",
                true,
                "NoConflicts",
                "no conflicts found",
                &now,
            );
            if !has_condition(&definition, "Established") {
                let message = "the initial names have been accepted";
                set_condition(
                    &mut definition,
                    "Established",
                    true,
                    "InitialNamesAccepted",
                    message,
                    &now,
                );
            }
        }
        Some((reason, message)) => {
            set_condition(&mut definition, "NamesAccepted", false, reason, &message, &now);
            if !has_condition(&definition, "Established") {
                let message = "not all names are accepted";
                set_condition(&mut definition, "Established", false, "NotAccepted", message, &now);
            }
        }
    }
    let mut stored_versions = items(&definition["status"]["storedVersions"]).to_vec();
    for version in items(&definition["spec"]["versions"]) {
        if version["storage"] == true && !stored_versions.contains(&version["name"]) {
            stored_versions.push(version["name"].clone());
        }
    }
    definition["status"]["storedVersions"] = stored_versions.into();
    if definition != before {
        cluster.put(&TABLE.into(), definition);
    }
}

/// An object of a definition that is being deleted has gone.
pub(super) fn on_object(cluster: &mut Cluster, table: &TableId, change: &Change) {
    if change.kind != ChangeKind::Deleted {
        return;
    }
    let Some((group, plural)) = table.split_once('/').filter(|(group, _)| group.contains('.')) else {
        return;
    };
    let key = Key::new("", &format!("{plural}.{group}"));
    if cluster.find(TABLE, &key).is_some_and(|definition| definition.deleting) {
        clean_up(cluster, &key);
    }
}

fn clean_up(cluster: &mut Cluster, key: &Key) {
    let Some(stored) = cluster.find(TABLE, key) else { return };
    let mut definition = stored.value();
    let names = Names::of(&definition);
    let table = table_id(names.group, names.plural);
    let objects: Vec<Key> = cluster
        .peek(&table)
        .into_iter()
        .flat_map(|it| it.all().map(|it| it.key.clone()))
        .collect();
    if let Some(resource) = cluster.resource_of(&table) {
        for key in &objects {
            // An object that is being deleted already is not an error.
            let _ = delete(
                cluster,
                &resource,
                key,
                &DeleteOptions::default(),
                &WriteOptions::default(),
            );
        }
    }
    let left = cluster.peek(&table).is_some_and(|table| table.len() > 0);
    let mut finalizers = items(&definition["metadata"]["finalizers"]).to_vec();
    if !left && finalizers.iter().any(|it| text(it) == CLEANUP) {
        finalizers.retain(|it| text(it) != CLEANUP);
        definition["metadata"]["finalizers"] = json!(finalizers);
        cluster.put_or_finish(&TABLE.into(), definition);
    }
}
