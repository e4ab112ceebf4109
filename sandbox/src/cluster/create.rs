//! Creation of objects.

use std::sync::Arc;

use serde_json::{Value, json};

use super::prepare::{admit, counts_generations, decode, prune};
use super::{Cluster, WriteOptions};
use crate::admission::{Operation, Write};
use crate::catalog::Resource;
use crate::status::{Answer, Refusal};
use crate::store::{Key, Stored, text};

/// Kubernetes cuts what a name is generated from, so that the whole fits into a label.
const LONGEST_BASE: usize = 63 - 5;

/// Creates an object of a resource, in a namespace unless that is empty.
pub(crate) fn create(
    cluster: &mut Cluster,
    resource: &Resource,
    namespace: &str,
    mut object: Value,
    options: &mut WriteOptions,
) -> Answer<Arc<Stored>> {
    let mut problems = decode(resource, &mut object, None)?;
    problems.extend(prune(resource, &mut object));
    options.strict(resource, problems, None)?;
    let metadata = &mut object["metadata"];
    if resource.namespaced {
        let own = text(&metadata["namespace"]);
        if !own.is_empty() && own != namespace {
            return Err(Refusal::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        metadata["namespace"] = namespace.into();
    } else if let Some(fields) = metadata.as_object_mut() {
        fields.remove("namespace");
    }
    if !text(&metadata["resourceVersion"]).is_empty() {
        return Err(Refusal::unexpected(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    name(cluster, resource, namespace, &mut object)?;
    if resource.namespaced {
        check_namespace(cluster, resource, namespace, text(&object["metadata"]["name"]))?;
    }
    let name = text(&object["metadata"]["name"]).to_owned();
    let write = Write {
        resource,
        operation: Operation::Create,
        subresource: "",
        namespace,
        name: &name,
        old: None,
        orphans: false,
    };
    write.mutate(cluster, &mut object, options);
    fill_system_fields(cluster, resource, &mut object);
    admit(cluster, resource, &mut object, None, options)?;
    write.validate(cluster, Some(&object), options)?;
    resource.to_stored(&mut object);
    let key = Key::of(&object);
    if cluster.find(&resource.table, &key).is_some() {
        return Err(Refusal::already_exists(resource, &key.name));
    }
    if options.dry_run {
        return Ok(Arc::new(Stored::new(object, 0)));
    }
    Ok(cluster.put(&resource.table, object))
}

fn name(cluster: &mut Cluster, resource: &Resource, namespace: &str, object: &mut Value) -> Answer<()> {
    let metadata = &mut object["metadata"];
    if !text(&metadata["name"]).is_empty() {
        return Ok(());
    }
    let base = text(&metadata["generateName"]);
    if base.is_empty() {
        // The validation that follows says that name or generateName is required.
        return Ok(());
    }
    let base: String = base.chars().take(LONGEST_BASE).collect();
    loop {
        let name = format!("{base}{}", cluster.fresh.suffix());
        if cluster.find(&resource.table, &Key::new(namespace, &name)).is_none() {
            metadata["name"] = name.into();
            return Ok(());
        }
    }
}

fn check_namespace(cluster: &Cluster, resource: &Resource, namespace: &str, name: &str) -> Answer<()> {
    match cluster.namespace_phase(namespace) {
        None => Err(Refusal::namespace_not_found(namespace)),
        Some(true) => Ok(()),
        Some(false) => {
            let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
            let mut refusal = Refusal::forbidden(resource, name, &why);
            if let Some(details) = &mut refusal.details {
                details["causes"] = json!([{
                    "reason": "NamespaceTerminating",
                    "message": format!("namespace {namespace} is being terminated"),
                    "field": "metadata.namespace",
                }]);
            }
            Err(refusal)
        }
    }
}

fn fill_system_fields(cluster: &mut Cluster, resource: &Resource, object: &mut Value) {
    let uid = cluster.fresh.uid();
    let now = cluster.now_text();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "generation"] {
            metadata.remove(field);
        }
        metadata.insert("uid".to_owned(), uid.into());
        metadata.insert("creationTimestamp".to_owned(), now.into());
        if counts_generations(resource) {
            metadata.insert("generation".to_owned(), 1.into());
        }
    }
    object["apiVersion"] = resource.api_version().into();
    object["kind"] = resource.kind.clone().into();
    if resource.status
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("status");
    }
    if resource.is("apiextensions.k8s.io", "customresourcedefinitions") {
        object["status"]["acceptedNames"] = json!({"plural": "", "kind": ""});
    }
    if resource.is("", "namespaces") {
        let name = object["metadata"]["name"].clone();
        object["status"] = json!({"phase": "Active"});
        object["spec"] = json!({"finalizers": ["kubernetes"]});
        object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
    }
}
