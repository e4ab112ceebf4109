//! Namespaces that are being deleted take their content with them.

use serde_json::Value;

use super::set_condition;
use crate::cluster::{Cluster, DeleteOptions, Place, WriteOptions, delete};
use crate::store::{Change, ChangeKind, Key, items, text};

const TABLE: &str = "/namespaces";

pub(super) fn on_namespace(cluster: &mut Cluster, change: &Change) {
    if change.kind != ChangeKind::Deleted && change.object.deleting {
        finalize(cluster, &change.object.key);
    }
}

/// Something has gone from a namespace; it may have been the last that the namespace waited for.
pub(super) fn on_content(cluster: &mut Cluster, change: &Change) {
    if change.kind != ChangeKind::Deleted || change.object.key.namespace.is_empty() {
        return;
    }
    let key = Key::new("", &change.object.key.namespace);
    if cluster.find(TABLE, &key).is_some_and(|namespace| namespace.deleting) {
        finalize(cluster, &key);
    }
}

fn content(cluster: &Cluster, namespace: &str) -> Vec<Place> {
    let mut places = Vec::new();
    for id in cluster.table_ids() {
        let objects = cluster
            .peek(&id)
            .into_iter()
            .flat_map(|table| table.within(namespace, None));
        places.extend(objects.map(|object| (id.clone(), object.key.clone())));
    }
    places
}

fn finalize(cluster: &mut Cluster, key: &Key) {
    for (table, place) in content(cluster, &key.name) {
        if let Some(resource) = cluster.resource_of(&table) {
            // What is being deleted already, or has gone meanwhile, is not an error.
            let _ = delete(
                cluster,
                &resource,
                &place,
                &DeleteOptions::default(),
                &WriteOptions::default(),
            );
        }
    }
    let left = content(cluster, &key.name);
    let Some(stored) = cluster.find(TABLE, key) else { return };
    let before = stored.value();
    let mut namespace = before.clone();
    if left.is_empty() {
        let mut finalizers = items(&namespace["spec"]["finalizers"]).to_vec();
        finalizers.retain(|it| text(it) != "kubernetes");
        namespace["spec"]["finalizers"] = finalizers.into();
        drop_empty_finalizers(&mut namespace);
    } else {
        describe(cluster, &mut namespace, &left);
    }
    if namespace != before {
        cluster.put_or_finish(&TABLE.into(), namespace);
    }
}

fn drop_empty_finalizers(namespace: &mut Value) {
    if items(&namespace["spec"]["finalizers"]).is_empty()
        && let Some(spec) = namespace["spec"].as_object_mut()
    {
        spec.remove("finalizers");
    }
}

/// Says in the conditions what the namespace waits for.
fn describe(cluster: &Cluster, namespace: &mut Value, left: &[Place]) {
    let now = cluster.now_text();
    let mut resources: Vec<(String, usize)> = Vec::new();
    let mut finalizers: Vec<(String, usize)> = Vec::new();
    let count = |counts: &mut Vec<(String, usize)>, name: String| match counts.iter_mut().find(|(it, _)| *it == name) {
        Some((_, count)) => *count += 1,
        None => counts.push((name, 1)),
    };
    for (table, key) in left {
        if let Some(resource) = cluster.resource_of(table) {
            count(&mut resources, format!("{}.{}", resource.plural, resource.group));
        }
        if let Some(object) = cluster.find(table, key) {
            for finalizer in items(&object.value()["metadata"]["finalizers"]) {
                count(&mut finalizers, text(finalizer).to_owned());
            }
        }
    }
    let list = |counts: &[(String, usize)], has: &str| -> String {
        counts
            .iter()
            .map(|(name, count)| format!("{name} {has} {count} resource instances"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let remaining = format!("Some resources are remaining: {}", list(&resources, "has"));
    set_condition(
        namespace,
        "NamespaceContentRemaining",
        true,
        "SomeResourcesRemain",
        &remaining,
        &now,
    );
    if !finalizers.is_empty() {
        let remaining = format!(
            "Some content in the namespace has finalizers remaining: {}",
            list(&finalizers, "in")
        );
        set_condition(
            namespace,
            "NamespaceFinalizersRemaining",
            true,
            "SomeFinalizersRemain",
            &remaining,
            &now,
        );
    }
}
