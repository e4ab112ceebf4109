//! Replacement of objects, whole or by subresource.

use std::sync::Arc;

use serde_json::Value;

use super::prepare::{admit, counts_generations, decode, prune};
use super::{Cluster, WriteOptions};
use crate::admission::{Operation, Write};
use crate::catalog::Resource;
use crate::schema::{ErrorKind, FieldError};
use crate::status::{Answer, Refusal};
use crate::store::{Key, Stored, items, text};

/// Which part of an object a write may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Main,
    /// The number of replicas, which is somewhere in the object.
    Scale,
    Status,
    /// `spec.finalizers` of a namespace.
    Finalize,
}

impl Part {
    fn subresource(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Scale => "scale",
            Self::Status => "status",
            Self::Finalize => "finalize",
        }
    }
}

/// Where the new object comes from.
pub(crate) enum Origin<'a> {
    /// A whole object, put in place of the old one.
    Put(Value),
    /// A change to the old one.
    Patch {
        apply: &'a dyn Fn(&Value) -> Answer<Value>,
        /// How complaints show the patch; without it, they show what it makes of the object.
        shown: Option<String>,
    },
}

/// Replaces an object; the answer tells whether anything is left of it in the store by its key.
pub(crate) fn update(
    cluster: &mut Cluster,
    resource: &Resource,
    key: &Key,
    part: Part,
    origin: Origin<'_>,
    options: &mut WriteOptions,
) -> Answer<Arc<Stored>> {
    let current = cluster
        .find(&resource.table, key)
        .ok_or_else(|| Refusal::not_found(resource, &key.name))?;
    let old = resource.show(&current);
    let (mut new, is_patch, mut shown) = match origin {
        Origin::Put(new) => (new, false, None),
        Origin::Patch { apply, shown } => (apply(&old)?, true, shown),
    };
    if is_patch && shown.is_none() {
        shown = Some(new.to_string());
    }
    let shown = shown.as_deref();
    let mut problems = decode(resource, &mut new, shown)?;
    check_identity(resource, key, &old, &new, is_patch)?;
    keep_system_fields(resource, &old, &mut new);
    problems.extend(prune(resource, &mut new));
    options.strict(resource, problems, shown)?;
    let write = Write {
        resource,
        operation: Operation::Update,
        subresource: part.subresource(),
        namespace: &key.namespace,
        name: &key.name,
        old: Some(&old),
        orphans: false,
    };
    write.mutate(cluster, &mut new, options);
    let mut new = restrict(resource, part, &old, new);
    admit(cluster, resource, &mut new, Some(&old), options)?;
    write.validate(cluster, Some(&new), options)?;
    if counts_generations(resource) && spec_differs(resource, &old, &new) {
        new["metadata"]["generation"] = (old["metadata"]["generation"].as_i64().unwrap_or_default() + 1).into();
    }
    if new == old && !is_finished(&new) {
        return Ok(current);
    }
    resource.to_stored(&mut new);
    if options.dry_run {
        return Ok(Arc::new(Stored::new(new, current.revision)));
    }
    Ok(if is_finished(&new) {
        cluster.erase(&resource.table, new)
    } else {
        cluster.put(&resource.table, new)
    })
}

/// Whether nothing holds back an object that is being deleted any more.
pub(super) fn is_finished(object: &Value) -> bool {
    let metadata = &object["metadata"];
    let namespace_waits = object["kind"] == "Namespace"
        && object["apiVersion"] == "v1"
        && !items(&object["spec"]["finalizers"]).is_empty();
    metadata["deletionTimestamp"].is_string() && items(&metadata["finalizers"]).is_empty() && !namespace_waits
}

fn check_identity(resource: &Resource, key: &Key, old: &Value, new: &Value, is_patch: bool) -> Answer<()> {
    let metadata = &new["metadata"];
    let name = text(&metadata["name"]);
    if name.is_empty() {
        return Err(Refusal::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            key.name
        )));
    }
    if name != key.name {
        return Err(Refusal::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            key.name
        )));
    }
    let namespace = text(&metadata["namespace"]);
    if resource.namespaced && !namespace.is_empty() && namespace != key.namespace {
        return Err(Refusal::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let (uid, old_uid) = (text(&metadata["uid"]), text(&old["metadata"]["uid"]));
    // Validation says of a patch that the field is immutable.
    if !is_patch && !uid.is_empty() && uid != old_uid {
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: Precondition \
             failed: UID in precondition: {uid}, UID in object meta: {old_uid}",
            storage_key(resource, key)
        );
        return Err(Refusal::conflict(resource, &key.name, &why));
    }
    let revision = text(&metadata["resourceVersion"]);
    if revision.is_empty() || revision == "0" {
        if !is_patch && needs_revision(resource) {
            let error = FieldError {
                kind: ErrorKind::Invalid,
                field: "metadata.resourceVersion".to_owned(),
                value: Some(0.into()),
                detail: "must be specified for an update".to_owned(),
            };
            return Err(Refusal::invalid(&resource.group, &resource.plural, &key.name, &[error]));
        }
    } else if revision.parse::<u64>().is_err() {
        return Err(Refusal::unexpected(format!(
            "strconv.ParseUint: parsing \"{revision}\": invalid syntax"
        )));
    } else if *revision != *text(&old["metadata"]["resourceVersion"]) {
        return Err(Refusal::modified(resource, &key.name));
    }
    Ok(())
}

/// Where the real server keeps an object; one message tells.
fn storage_key(resource: &Resource, key: &Key) -> String {
    let parts = [
        "/registry",
        if resource.custom.is_some() { &resource.group } else { "" },
        &resource.plural,
    ];
    let parts = parts.into_iter().chain([key.namespace.as_str(), key.name.as_str()]);
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

/// Kinds that cannot be replaced blindly.
fn needs_revision(resource: &Resource) -> bool {
    resource.custom.is_some()
        || matches!(
            resource.group.as_str(),
            "coordination.k8s.io" | "apiextensions.k8s.io" | "admissionregistration.k8s.io"
        )
        || matches!(resource.plural.as_str(), "poddisruptionbudgets" | "priorityclasses")
}

/// What clients may leave out stays; what the server alone writes cannot be changed.
fn keep_system_fields(resource: &Resource, old: &Value, new: &mut Value) {
    new["apiVersion"] = resource.api_version().into();
    new["kind"] = resource.kind.clone().into();
    let before = &old["metadata"];
    let Some(metadata) = new["metadata"].as_object_mut() else {
        return;
    };
    let mut keep = |field: &str, always: bool| match before.get(field) {
        Some(value) if always || !metadata.contains_key(field) => {
            metadata.insert(field.to_owned(), value.clone());
        }
        None if always => {
            metadata.remove(field);
        }
        _ => {}
    };
    for field in ["uid", "namespace", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        keep(field, false);
    }
    for field in ["creationTimestamp", "resourceVersion", "generation"] {
        keep(field, true);
    }
}

/// Leaves of the new object what the endpoint may write, and takes the rest from the old one.
fn restrict(resource: &Resource, part: Part, old: &Value, mut new: Value) -> Value {
    match part {
        Part::Main | Part::Scale => {
            if resource.status {
                copy(old, &mut new, "status");
            }
            if resource.is("", "namespaces") {
                copy(old, &mut new, "spec");
            }
            new
        }
        Part::Status => {
            let mut kept = old.clone();
            copy(&new, &mut kept, "status");
            kept
        }
        Part::Finalize => {
            let mut kept = old.clone();
            copy(&new, &mut kept, "spec");
            kept
        }
    }
}

fn copy(from: &Value, to: &mut Value, field: &str) {
    let Some(fields) = to.as_object_mut() else { return };
    match from.get(field) {
        Some(value) => fields.insert(field.to_owned(), value.clone()),
        None => fields.remove(field),
    };
}

fn spec_differs(resource: &Resource, old: &Value, new: &Value) -> bool {
    if resource.custom.is_none() {
        return old["spec"] != new["spec"];
    }
    let counts = |field: &&String| *field != "metadata" && !(resource.status && *field == "status");
    let fields = |object: &Value| -> Vec<String> {
        object
            .as_object()
            .into_iter()
            .flat_map(|it| it.keys())
            .filter(counts)
            .cloned()
            .collect()
    };
    fields(old) != fields(new) || fields(old).iter().any(|field| old[field] != new[field])
}
