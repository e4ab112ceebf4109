//! Delete and deletecollection.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::accept::Wanted;
use super::answer::{self, Reply};
use super::{Incoming, body, read};
use crate::auth::User;
use crate::catalog::Resource;
use crate::cluster::{self, Cluster, DeleteOptions, Deletion, WriteOptions};
use crate::status::{Answer, Refusal, details};
use crate::store::Key;

fn asked(user: &User, incoming: &Incoming) -> Answer<(DeleteOptions, WriteOptions)> {
    let mut asked = if incoming.body.is_empty() {
        json!({})
    } else {
        body::read(&incoming.headers, &incoming.body)?
    };
    let query = &incoming.call.query;
    if let Some(policy) = query.find("propagationPolicy") {
        asked["propagationPolicy"] = policy.into();
    }
    if let Some(orphan) = query.find("orphanDependents") {
        asked["orphanDependents"] = (orphan == "true").into();
    }
    let dry_run = match (query.text("dryRun"), asked["dryRun"].as_array().map(Vec::as_slice)) {
        ("All", _) => true,
        (_, Some([only])) if only == "All" => true,
        ("", None | Some([])) => false,
        _ => {
            return Err(Refusal::bad_request(
                "dryRun: Unsupported value: supported values: \"All\"",
            ));
        }
    };
    let write = WriteOptions {
        dry_run,
        author: Some(Arc::new(user.clone())),
        ..WriteOptions::default()
    };
    Ok((DeleteOptions::read(&asked)?, write))
}

pub(super) fn one(
    cluster: &mut Cluster,
    user: &User,
    resource: &Resource,
    incoming: &Incoming,
    wanted: Wanted,
) -> Answer<Reply> {
    let (asked, write) = asked(user, incoming)?;
    let key = read::key(resource, &incoming.call);
    protect(resource, &key)?;
    match cluster::delete(cluster, resource, &key, &asked, &write)? {
        Deletion::Waiting(object) => read::one(cluster, resource, &incoming.call, wanted, StatusCode::OK, &object),
        Deletion::Gone(object) => {
            let mut details = details(&resource.group, &resource.plural, &object.key.name);
            details["uid"] = object.uid.clone().into();
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
            });
            Ok(answer::value(StatusCode::OK, &status, false))
        }
    }
}

/// The namespaces that a cluster cannot do without.
fn protect(resource: &Resource, key: &Key) -> Answer<()> {
    let immortal = resource.is("", "namespaces") && matches!(&*key.name, "default" | "kube-system" | "kube-public");
    if immortal {
        return Err(Refusal::forbidden(
            resource,
            &key.name,
            "this namespace may not be deleted",
        ));
    }
    Ok(())
}

pub(super) fn collection(
    cluster: &mut Cluster,
    user: &User,
    resource: &Resource,
    incoming: &Incoming,
) -> Answer<Reply> {
    let (asked, write) = asked(user, incoming)?;
    let selector = read::selector(resource, &incoming.call)?;
    let namespace = read::namespace(resource, &incoming.call);
    let table = cluster.table(&resource.table);
    let keys: Vec<Key> = table
        .within(namespace, None)
        .filter(|it| selector.matches(it))
        .map(|it| it.key.clone())
        .collect();
    let mut objects: Vec<Value> = Vec::new();
    for key in keys {
        let (Deletion::Gone(object) | Deletion::Waiting(object)) =
            cluster::delete(cluster, resource, &key, &asked, &write)?;
        objects.push(resource.item(&object));
    }
    let list = json!({
        "kind": resource.list_kind, "apiVersion": resource.api_version(),
        "metadata": {"resourceVersion": cluster.revision().to_string()}, "items": objects,
    });
    Ok(answer::value(StatusCode::OK, &list, false))
}
