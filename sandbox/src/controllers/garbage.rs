//! Garbage collection by owner references: background, foreground, orphan.

use serde_json::Value;

use crate::cluster::{Cluster, DeleteOptions, FOREGROUND, ORPHAN, Place, Propagation, WriteOptions, delete};
use crate::store::{Change, ChangeKind, TableId, items, text};

pub(super) fn on_change(cluster: &mut Cluster, table: &TableId, change: &Change) {
    let object = &change.object;
    let before: &[String] = change.previous.as_ref().map_or(&[], |previous| &previous.owners);
    match change.kind {
        ChangeKind::Deleted => {
            for dependent in cluster.dependents_of(&object.uid) {
                collect(cluster, &dependent);
            }
        }
        ChangeKind::Added | ChangeKind::Modified => {
            let place = (table.clone(), object.key.clone());
            if object.deleting {
                release(cluster, &place);
            } else if !object.owners.is_empty() && object.owners != before {
                collect(cluster, &place);
            }
        }
    }
    // An owner that is deleted in the foreground may have waited for this one.
    for owner in before {
        let released = change.kind == ChangeKind::Deleted || !object.owners.contains(owner);
        if released && let Some(place) = cluster.place_of(owner).cloned() {
            release(cluster, &place);
        }
    }
}

#[derive(PartialEq, Eq)]
enum Owner {
    Absent,
    /// It is deleted in the foreground and waits for this dependent.
    Waiting,
    Solid,
}

fn state_of(cluster: &Cluster, reference: &Value, namespace: &str) -> Owner {
    let Some((table, key)) = cluster.place_of(text(&reference["uid"])) else {
        return Owner::Absent;
    };
    let right_kind = cluster
        .catalog()
        .of_kind(text(&reference["apiVersion"]), text(&reference["kind"]))
        .is_some_and(|resource| resource.table == *table);
    let reachable = key.namespace.is_empty() || key.namespace == namespace;
    if !right_kind || !reachable || key.name != text(&reference["name"]) {
        return Owner::Absent;
    }
    let Some(owner) = cluster.find(table, key) else {
        return Owner::Absent;
    };
    let waits = owner.deleting && reference["blockOwnerDeletion"] == true && has_finalizer(&owner.value(), FOREGROUND);
    if waits { Owner::Waiting } else { Owner::Solid }
}

fn has_finalizer(object: &Value, name: &str) -> bool {
    items(&object["metadata"]["finalizers"])
        .iter()
        .any(|it| text(it) == name)
}

/// Deletes an object when none of its owners is left; otherwise drops the references to those that are not.
fn collect(cluster: &mut Cluster, place: &Place) {
    let (table, key) = place;
    let Some(stored) = cluster.find(table, key).filter(|object| !object.deleting) else {
        return;
    };
    let mut object = stored.value();
    let references = items(&object["metadata"]["ownerReferences"]).to_vec();
    let states: Vec<Owner> = references
        .iter()
        .map(|it| state_of(cluster, it, &key.namespace))
        .collect();
    if states.is_empty() || states.iter().all(|state| *state == Owner::Solid) {
        return;
    }
    if states.contains(&Owner::Solid) {
        let solid = references
            .into_iter()
            .zip(states)
            .filter(|(_, state)| *state == Owner::Solid);
        object["metadata"]["ownerReferences"] = solid.map(|(reference, _)| reference).collect();
        cluster.put(table, object);
        return;
    }
    let Some(resource) = cluster.resource_of(table) else {
        return;
    };
    let in_turn = states.contains(&Owner::Waiting) && !cluster.dependents_of(&stored.uid).is_empty();
    let asked = DeleteOptions {
        propagation: in_turn.then_some(Propagation::Foreground),
        ..DeleteOptions::default()
    };
    // It was found a moment ago, under the same lock.
    let _ = delete(cluster, &resource, key, &asked, &WriteOptions::default());
}

/// Takes its own finalizers off an owner that is being deleted, once they have done their work.
fn release(cluster: &mut Cluster, place: &Place) {
    let (table, key) = place;
    let Some(stored) = cluster.find(table, key).filter(|object| object.deleting) else {
        return;
    };
    let object = stored.value();
    let dependents = cluster.dependents_of(&stored.uid);
    if has_finalizer(&object, ORPHAN) {
        for (table, key) in &dependents {
            orphan(cluster, table, key, &stored.uid);
        }
        drop_finalizer(cluster, place, ORPHAN);
    } else if has_finalizer(&object, FOREGROUND) {
        let blocking: Vec<&Place> = dependents
            .iter()
            .filter(|place| blocks(cluster, place, &stored.uid))
            .collect();
        if blocking.is_empty() {
            drop_finalizer(cluster, place, FOREGROUND);
        } else {
            for place in blocking {
                collect(cluster, place);
            }
        }
    }
}

fn blocks(cluster: &Cluster, (table, key): &Place, owner: &str) -> bool {
    cluster.find(table, key).is_some_and(|dependent| {
        let object = dependent.value();
        let mut references = items(&object["metadata"]["ownerReferences"]).iter();
        references.any(|it| text(&it["uid"]) == owner && it["blockOwnerDeletion"] == true)
    })
}

fn orphan(cluster: &mut Cluster, table: &TableId, key: &crate::store::Key, owner: &str) {
    let Some(stored) = cluster.find(table, key) else { return };
    let mut object = stored.value();
    let mut references = items(&object["metadata"]["ownerReferences"]).to_vec();
    references.retain(|it| text(&it["uid"]) != owner);
    let Some(metadata) = object["metadata"].as_object_mut() else {
        return;
    };
    if references.is_empty() {
        metadata.remove("ownerReferences");
    } else {
        metadata.insert("ownerReferences".to_owned(), references.into());
    }
    cluster.put_or_finish(table, object);
}

fn drop_finalizer(cluster: &mut Cluster, (table, key): &Place, name: &str) {
    let Some(stored) = cluster.find(table, key) else { return };
    let mut object = stored.value();
    let mut finalizers = items(&object["metadata"]["finalizers"]).to_vec();
    finalizers.retain(|it| text(it) != name);
    object["metadata"]["finalizers"] = finalizers.into();
    if items(&object["metadata"]["finalizers"]).is_empty()
        && let Some(metadata) = object["metadata"].as_object_mut()
    {
        metadata.remove("finalizers");
    }
    cluster.put_or_finish(table, object);
}
