//! The scale subresource.

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::accept::Wanted;
use super::answer::{self, Reply};
use super::write::{Patch, options};
use super::{Incoming, body, read};
use crate::auth::User;
use crate::catalog::{Resource, Scale};
use crate::cluster::{self, Cluster, Origin, Part};
use crate::schema::{ErrorKind, FieldError};
use crate::status::{Answer, Refusal};
use crate::store::{items, text};

pub(super) fn answer(
    cluster: &mut Cluster,
    user: &User,
    resource: &Resource,
    incoming: &Incoming,
    wanted: Wanted,
) -> Answer<Reply> {
    let Some(paths) = &resource.scale else {
        return Err(Refusal::no_such_path());
    };
    let key = read::key(resource, &incoming.call);
    let current = cluster
        .find(&resource.table, &key)
        .ok_or_else(|| Refusal::not_found(resource, &key.name))?;
    let shown = scale_of(paths, &resource.show(&current));
    if incoming.call.attempt.verb == "get" {
        return Ok(answer::value(StatusCode::OK, &shown, wanted.yaml));
    }
    let new = if incoming.call.attempt.verb == "patch" {
        Patch::read(resource, incoming)?.applied(&shown)?
    } else {
        read_scale(&incoming.headers, incoming)?
    };
    let replicas = replicas(&key.name, &new)?;
    let revision = text(&new["metadata"]["resourceVersion"]).to_owned();
    if !revision.is_empty() && revision != current.revision.to_string() {
        return Err(Refusal::modified(resource, &key.name));
    }
    let mut options = options(user, incoming)?;
    let change = |object: &Value| {
        let mut object = object.clone();
        set(&mut object, &paths.spec_replicas, replicas.into());
        Ok(object)
    };
    let changed = cluster::update(
        cluster,
        resource,
        &key,
        Part::Scale,
        Origin::Patch {
            apply: &change,
            shown: None,
        },
        &mut options,
    )?;
    let shown = scale_of(paths, &resource.show(&changed));
    Ok(answer::value(StatusCode::OK, &shown, wanted.yaml))
}

fn read_scale(headers: &HeaderMap, incoming: &Incoming) -> Answer<Value> {
    let scale = body::read(headers, &incoming.body)?;
    if text(&scale["kind"]) != "Scale" {
        return Err(Refusal::bad_request(format!(
            "wrong object passed to Scale update: {} {}",
            scale["apiVersion"], scale["kind"]
        )));
    }
    Ok(scale)
}

fn replicas(name: &str, scale: &Value) -> Answer<i64> {
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or_default();
    if replicas >= 0 {
        return Ok(replicas);
    }
    let error = FieldError {
        kind: ErrorKind::Invalid,
        field: "spec.replicas".to_owned(),
        value: Some(replicas.into()),
        detail: "must be greater than or equal to 0".to_owned(),
    };
    Err(Refusal::invalid("autoscaling", "Scale", name, &[error]))
}

fn scale_of(paths: &Scale, object: &Value) -> Value {
    let metadata = &object["metadata"];
    let count = |path: &str| object.pointer(path).and_then(Value::as_i64).unwrap_or_default();
    let mut scale = json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {},
        "spec": {},
        "status": {"replicas": count(&paths.status_replicas)},
    });
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if !metadata[field].is_null() {
            scale["metadata"][field] = metadata[field].clone();
        }
    }
    if count(&paths.spec_replicas) != 0 {
        scale["spec"]["replicas"] = count(&paths.spec_replicas).into();
    }
    let selector = match &paths.selector {
        Some(path) => object.pointer(path).map(|selector| text(selector).to_owned()),
        None => Some(selector_text(&object["spec"]["selector"])),
    };
    if let Some(selector) = selector.filter(|selector| !selector.is_empty()) {
        scale["status"]["selector"] = selector.into();
    }
    scale
}

/// A `metav1.LabelSelector` as a selector string.
fn selector_text(selector: &Value) -> String {
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let mut parts: Vec<String> = equal.map(|(key, value)| format!("{key}={}", text(value))).collect();
    for expression in items(&selector["matchExpressions"]) {
        let key = text(&expression["key"]);
        let values: Vec<&str> = items(&expression["values"]).iter().map(text).collect();
        parts.push(match text(&expression["operator"]) {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    parts.join(",")
}

/// Sets what a JSON pointer names, and the objects on the way to it.
fn set(object: &mut Value, pointer: &str, value: Value) {
    let mut place = object;
    for part in pointer.split('/').skip(1) {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[part];
    }
    *place = value;
}
