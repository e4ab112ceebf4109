//! Create, update and patch.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::accept::Wanted;
use super::answer::{Reply, warn};
use super::read::unsupported;
use super::{Incoming, body, read};
use crate::auth::User;
use crate::catalog::{Resource, creates_on_update};
use crate::cluster::{self, Cluster, Origin, Part, Strictness, WriteOptions, json_type};
use crate::patch;
use crate::status::{Answer, Refusal};

/// Reads what all writes have in common.
pub(super) fn options(user: &User, incoming: &Incoming) -> Answer<WriteOptions> {
    let query = &incoming.call.query;
    let kind = match incoming.call.attempt.verb.as_str() {
        "create" => "CreateOptions",
        "update" => "UpdateOptions",
        _ => "PatchOptions",
    };
    let dry_run = match query.text("dryRun") {
        "" => false,
        "All" => true,
        other => {
            return Err(Refusal::invalid_options(
                kind,
                unsupported("dryRun", json!([other]), &["All"]),
            ));
        }
    };
    let strictness = match query.text("fieldValidation") {
        "" | "Warn" => Strictness::Warn,
        "Ignore" => Strictness::Ignore,
        "Strict" => Strictness::Strict,
        other => {
            let error = unsupported("fieldValidation", other.into(), &["", "Ignore", "Strict", "Warn"]);
            return Err(Refusal::invalid_options(kind, error));
        }
    };
    Ok(WriteOptions {
        dry_run,
        strictness,
        warnings: Vec::new(),
        author: Some(Arc::new(user.clone())),
    })
}

pub(super) fn create(
    cluster: &mut Cluster,
    user: &User,
    resource: &Resource,
    incoming: &Incoming,
    wanted: Wanted,
) -> Answer<Reply> {
    let call = &incoming.call;
    if !call.name().is_empty() {
        return Err(Refusal::method_not_allowed());
    }
    let mut options = options(user, incoming)?;
    let object = body::read_object(resource, &incoming.headers, &incoming.body)?;
    let namespace = read::namespace(resource, call);
    if resource.namespaced && namespace.is_empty() {
        return Err(Refusal::method_not_allowed());
    }
    let created = cluster::create(cluster, resource, namespace, object, &mut options)?;
    let mut reply = read::one(cluster, resource, call, wanted, StatusCode::CREATED, &created)?;
    warn(&mut reply, &options.warnings);
    Ok(reply)
}

/// Update and patch, of an object or of its status.
pub(super) fn change(
    cluster: &mut Cluster,
    user: &User,
    resource: &Resource,
    incoming: &Incoming,
    wanted: Wanted,
) -> Answer<Reply> {
    let call = &incoming.call;
    let mut options = options(user, incoming)?;
    let key = read::key(resource, call);
    if key.name.is_empty() || resource.namespaced && key.namespace.is_empty() {
        return Err(Refusal::method_not_allowed());
    }
    let part = match call.attempt.subresource.as_str() {
        "status" => Part::Status,
        "finalize" => Part::Finalize,
        _ => Part::Main,
    };
    let mut code = StatusCode::OK;
    let changed = if call.attempt.verb == "patch" {
        let patch = Patch::read(resource, incoming)?;
        let apply = |current: &Value| {
            let patched = patch.applied(current)?;
            if resource.custom.is_some() {
                body::same_kind(resource, &patched)?;
            }
            Ok(patched)
        };
        cluster::update(
            cluster,
            resource,
            &key,
            part,
            Origin::Patch {
                apply: &apply,
                shown: patch.shown(),
            },
            &mut options,
        )?
    } else {
        let object = body::read_object(resource, &incoming.headers, &incoming.body)?;
        let absent = part == Part::Main && cluster.find(&resource.table, &key).is_none();
        if absent && creates_on_update(&resource.group, &resource.plural) {
            code = StatusCode::CREATED;
            cluster::create(cluster, resource, &key.namespace, object, &mut options)?
        } else {
            cluster::update(cluster, resource, &key, part, Origin::Put(object), &mut options)?
        }
    };
    let mut reply = read::one(cluster, resource, call, wanted, code, &changed)?;
    warn(&mut reply, &options.warnings);
    Ok(reply)
}

/// A patch of one of the three kinds.
pub(super) enum Patch {
    Json(Value),
    Merge(Value),
    Strategic(Value),
}

impl Patch {
    pub(super) fn read(resource: &Resource, incoming: &Incoming) -> Answer<Self> {
        let builtin = resource.custom.is_none();
        let parse = || body::parse_json(&incoming.body);
        match body::media_type(&incoming.headers) {
            "application/json-patch+json" => match parse()? {
                patch @ Value::Array(_) => Ok(Self::Json(patch)),
                other => Err(Self::wrong_type(&other, "[]handlers.jsonPatchOp")),
            },
            "application/merge-patch+json" => Self::object(parse()?).map(Self::Merge),
            "application/strategic-merge-patch+json" if builtin => Self::object(parse()?).map(Self::Strategic),
            "application/apply-patch+yaml" | "application/apply-patch+cbor" => Err(Refusal::unsupported_media_type(
                "this sandbox does not do server-side apply: use client-side apply (kubectl apply without \
                 --server-side), an update, or a merge patch",
            )),
            "application/strategic-merge-patch+json" => Err(Refusal::unsupported_media_type(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
            )),
            _ => Err(Refusal::unsupported_media_type("415: Unsupported Media Type")),
        }
    }

    fn object(patch: Value) -> Answer<Value> {
        match patch {
            Value::Object(_) => Ok(patch),
            other => Err(Self::wrong_type(&other, "map[string]interface {}")),
        }
    }

    fn wrong_type(found: &Value, wanted: &str) -> Box<Refusal> {
        let found = json_type(found);
        Refusal::bad_request(format!(
            "error decoding patch: json: cannot unmarshal {found} into Go value of type {wanted}"
        ))
    }

    pub(super) fn applied(&self, current: &Value) -> Answer<Value> {
        let mut changed = current.clone();
        match self {
            Self::Json(patch) => patch::apply_json(&mut changed, patch).map_err(|why| {
                tracing::debug!(why, "a JSON patch does not apply");
                Refusal::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "Invalid",
                    "the server rejected our request due to an error in our request",
                )
            })?,
            Self::Merge(patch) => patch::apply_merge(&mut changed, patch),
            Self::Strategic(patch) => patch::apply_strategic(&mut changed, patch),
        }
        Ok(changed)
    }

    /// A strategic merge patch is shown as it is, in the way Go prints it; of others, complaints show the outcome.
    fn shown(&self) -> Option<String> {
        match self {
            Self::Strategic(patch) => Some(go_text(patch)),
            Self::Json(_) | Self::Merge(_) => None,
        }
    }
}

/// A value as Go prints it.
fn go_text(value: &Value) -> String {
    let join = |parts: Vec<String>| parts.join(" ");
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", join(items.iter().map(go_text).collect())),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name}:{}", go_text(value)));
            format!("map[{}]", join(fields.collect()))
        }
        plain => plain.to_string(),
    }
}
