//! Deletion of objects.

use std::sync::Arc;

use serde_json::Value;

use super::update::is_finished;
use super::{Cluster, WriteOptions};
use crate::admission::{Operation, Write};
use crate::catalog::Resource;
use crate::controllers::{CLEANUP, set_condition};
use crate::schema::{ErrorKind, FieldError};
use crate::status::{Answer, Refusal, details};
use crate::store::{Key, Stored, items, text};

/// What a deletion was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) uid: Option<String>,
    pub(crate) revision: Option<String>,
    pub(crate) propagation: Option<Propagation>,
}

/// What becomes of an object's dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagation {
    Orphan,
    Background,
    Foreground,
}

/// The two finalizers that the garbage collector works off.
pub(crate) const ORPHAN: &str = "orphan";
pub(crate) const FOREGROUND: &str = "foregroundDeletion";

impl DeleteOptions {
    /// Reads a `DeleteOptions` body.
    pub(crate) fn read(body: &Value) -> Answer<Self> {
        let given = |value: &Value| value.as_str().map(str::to_owned);
        let propagation = match (body["propagationPolicy"].as_str(), body["orphanDependents"].as_bool()) {
            (None | Some(""), None) => None,
            (None | Some(""), Some(true)) | (Some("Orphan"), _) => Some(Propagation::Orphan),
            (None | Some(""), Some(false)) | (Some("Background"), _) => Some(Propagation::Background),
            (Some("Foreground"), _) => Some(Propagation::Foreground),
            (Some(other), _) => {
                let supported = ["Foreground", "Background", "Orphan", "nil"].map(|policy| format!("\"{policy}\""));
                let error = FieldError {
                    kind: ErrorKind::NotSupported,
                    field: "propagationPolicy".to_owned(),
                    value: Some(other.into()),
                    detail: format!("supported values: {}", supported.join(", ")),
                };
                return Err(Refusal::invalid_options("DeleteOptions", error));
            }
        };
        Ok(Self {
            uid: given(&body["preconditions"]["uid"]),
            revision: given(&body["preconditions"]["resourceVersion"]),
            propagation,
        })
    }
}

/// What came of a deletion.
pub(crate) enum Deletion {
    /// The object is gone; this was its last state.
    Gone(Arc<Stored>),
    /// Something holds it back: this is what it looks like now.
    Waiting(Arc<Stored>),
}

/// Deletes an object, or marks it as being deleted when it has finalizers.
pub(crate) fn delete(
    cluster: &mut Cluster,
    resource: &Resource,
    key: &Key,
    asked: &DeleteOptions,
    options: &WriteOptions,
) -> Answer<Deletion> {
    let current = cluster
        .find(&resource.table, key)
        .ok_or_else(|| Refusal::not_found(resource, &key.name))?;
    check_preconditions(resource, &current, asked)?;
    if cluster.admission.is_some() {
        let shown = resource.show(&current);
        let write = Write {
            resource,
            operation: Operation::Delete,
            subresource: "",
            namespace: &key.namespace,
            name: &key.name,
            old: Some(&shown),
            orphans: asked.propagation == Some(Propagation::Orphan),
        };
        write.validate(cluster, None, options)?;
    }
    let mut object = current.value();
    let before = object.clone();
    mark(cluster, &mut object, asked.propagation);
    if is_finished(&object) {
        if options.dry_run {
            return Ok(Deletion::Gone(current));
        }
        // The last state of an object that goes at once carries no deletionTimestamp: it never had one.
        return Ok(Deletion::Gone(cluster.erase(&resource.table, before)));
    }
    if object == before {
        return Ok(Deletion::Waiting(current));
    }
    if options.dry_run {
        return Ok(Deletion::Waiting(Arc::new(Stored::new(object, current.revision))));
    }
    Ok(Deletion::Waiting(cluster.put(&resource.table, object)))
}

fn check_preconditions(resource: &Resource, current: &Stored, asked: &DeleteOptions) -> Answer<()> {
    let failed = |why: String| {
        let qualified = match resource.group.as_str() {
            "" => resource.kind.clone(),
            group => format!("{}.{group}", resource.kind),
        };
        let mut refusal = Refusal::conflict(resource, &current.key.name, "");
        refusal.message = format!(
            "Operation cannot be fulfilled on {qualified} \"{}\": {why}",
            current.key.name
        );
        refusal.details = Some(details(&resource.group, &resource.kind, &current.key.name));
        refusal
    };
    if let Some(uid) = asked.uid.as_ref().filter(|uid| **uid != current.uid) {
        return Err(failed(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been \
             deleted and then recreated",
            current.uid
        )));
    }
    let revision = current.revision.to_string();
    if let Some(asked) = asked.revision.as_ref().filter(|asked| **asked != revision) {
        return Err(failed(format!(
            "the ResourceVersion in the precondition ({asked}) does not match the ResourceVersion in record \
             ({revision}). The object might have been modified"
        )));
    }
    Ok(())
}

/// Sets the deletion timestamp and the garbage collector's finalizers.
fn mark(cluster: &Cluster, object: &mut Value, propagation: Option<Propagation>) {
    let mut finalizers: Vec<Value> = items(&object["metadata"]["finalizers"]).to_vec();
    let has = |finalizers: &[Value], name: &str| finalizers.iter().any(|it| text(it) == name);
    let wanted = match propagation {
        Some(Propagation::Orphan) => Some(ORPHAN),
        Some(Propagation::Foreground) => Some(FOREGROUND),
        Some(Propagation::Background) => None,
        // Without a wish, finalizers that are there already decide.
        None => [ORPHAN, FOREGROUND].into_iter().find(|name| has(&finalizers, name)),
    };
    finalizers.retain(|it| !matches!(text(it), ORPHAN | FOREGROUND) || Some(text(it)) == wanted);
    if let Some(wanted) = wanted.filter(|wanted| !has(&finalizers, wanted)) {
        finalizers.push(wanted.into());
    }
    if object["metadata"]["deletionTimestamp"].is_null() {
        object["metadata"]["deletionTimestamp"] = cluster.now_text().into();
        match (text(&object["apiVersion"]), text(&object["kind"])) {
            ("v1", "Namespace") => object["status"]["phase"] = "Terminating".into(),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition") => {
                // Definitions wait for their objects, which the controller deletes.
                finalizers.push(CLEANUP.into());
                let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
                let now = cluster.now_text();
                set_condition(object, "Terminating", true, "InstanceDeletionPending", message, &now);
            }
            _ => {
                object["metadata"]["deletionGracePeriodSeconds"] = 0.into();
                if let Some(generation) = object["metadata"]["generation"].as_i64() {
                    object["metadata"]["generation"] = (generation + 1).into();
                }
            }
        }
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        if finalizers.is_empty() {
            metadata.remove("finalizers");
        } else {
            metadata.insert("finalizers".to_owned(), finalizers.into());
        }
    }
}
