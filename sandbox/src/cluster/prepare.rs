//! What is done to every object before it is committed: system fields, pruning, defaults, validation.

use std::sync::Arc;

use serde_json::Value;

use super::Cluster;
use crate::auth::{User, check_escalation};
use crate::catalog::Resource;
use crate::schema::{ErrorKind, FieldError, crd};
use crate::status::{Answer, Refusal};
use crate::store::text;
use crate::validate;

/// What to do about unknown fields: `fieldValidation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Strictness {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// What a write was asked for besides the object.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteOptions {
    pub(crate) dry_run: bool,
    pub(crate) strictness: Strictness,
    /// What to tell the client in `Warning` headers.
    pub(crate) warnings: Vec<String>,
    /// Whose rights limit what roles and bindings may grant, and whom admission judges; nobody for what the cluster
    /// itself writes.
    pub(crate) author: Option<Arc<User>>,
}

impl WriteOptions {
    /// Refuses, warns of, or passes over what is wrong with the encoding of an object.
    pub(crate) fn strict(&mut self, resource: &Resource, problems: Vec<String>, patched: Option<&str>) -> Answer<()> {
        match self.strictness {
            _ if problems.is_empty() => Ok(()),
            Strictness::Ignore => Ok(()),
            Strictness::Warn => {
                self.warnings.extend(problems);
                Ok(())
            }
            Strictness::Strict => {
                let problem = format!("strict decoding error: {}", problems.join(", "));
                Err(match patched {
                    Some(patched) => bad_patch(patched, problem),
                    None => unreadable(resource, &problem),
                })
            }
        }
    }
}

/// What a body brings cannot be read as the resource's kind.
fn unreadable(resource: &Resource, why: &str) -> Box<Refusal> {
    let (kind, version) = (&resource.kind, &resource.version);
    Refusal::bad_request(format!(
        "{kind} in version \"{version}\" cannot be handled as a {kind}: {why}"
    ))
}

/// What a patch makes of an object cannot be read as its kind.
fn bad_patch(patched: &str, why: String) -> Box<Refusal> {
    let error = FieldError {
        kind: ErrorKind::Invalid,
        field: "patch".to_owned(),
        value: Some(patched.into()),
        detail: why,
    };
    Refusal::invalid("", "", "", &[error])
}

/// Reads an object as its kind: drops the fields that the kind does not have (metadata's, for custom resources, whose
/// schemas speak for the rest) and answers them, and refuses values of wrong types. `patched` is how complaints about a
/// patch show it.
pub(super) fn decode(resource: &Resource, object: &mut Value, patched: Option<&str>) -> Answer<Vec<String>> {
    let read = match &resource.custom {
        Some(_) => validate::decode_metadata(object),
        None => {
            drop_nulls(object, resource);
            validate::decode_builtin(&resource.group, &resource.kind, object)
        }
    };
    let unknown = read.map_err(|why| match patched {
        Some(patched) => bad_patch(patched, why),
        None => unreadable(resource, &why),
    })?;
    validate::tidy_metadata(object);
    Ok(unknown
        .into_iter()
        .map(|path| format!("unknown field \"{path}\""))
        .collect())
}

/// What is null is not there, in a Go struct. (Definitions carry schemas, in which a null may be a default.)
fn drop_nulls(object: &mut Value, resource: &Resource) {
    fn drop(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|_, value| !value.is_null());
                fields.values_mut().for_each(drop);
            }
            Value::Array(items) => items.iter_mut().for_each(drop),
            _ => {}
        }
    }
    if resource.group != "apiextensions.k8s.io" {
        drop(object);
    }
}

/// What Go calls the type of a JSON value.
pub(crate) fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Removes what the schema does not know, and answers it as strict decoding would name it.
pub(super) fn prune(resource: &Resource, object: &mut Value) -> Vec<String> {
    let Some(schema) = resource.custom.as_ref().and_then(|custom| custom.schema.as_ref()) else {
        return Vec::new();
    };
    schema
        .prune(object)
        .into_iter()
        .map(|path| format!("unknown field \"{path}\""))
        .collect()
}

/// Fills in defaults and validates; `old` is what the object replaces.
pub(super) fn admit(
    cluster: &mut Cluster,
    resource: &Resource,
    object: &mut Value,
    old: Option<&Value>,
    options: &WriteOptions,
) -> Answer<()> {
    let errors = match &resource.custom {
        Some(custom) => validate::custom(custom.schema.as_deref(), resource.namespaced, object, old),
        None if resource.is("apiextensions.k8s.io", "customresourcedefinitions") => {
            let rule = validate::name_rule(&resource.group, &resource.kind);
            let mut errors = validate::metadata(object, false, rule, old);
            if object["spec"]["conversion"]["strategy"] == "Webhook" {
                errors.push(FieldError {
                    kind: ErrorKind::Forbidden,
                    field: "spec.conversion.strategy".to_owned(),
                    value: None,
                    detail: "this sandbox calls no webhooks: versions can only differ in their apiVersion".to_owned(),
                });
            }
            match crd::validate_and_default(object) {
                Err(refused) => errors.extend(refused),
                Ok(()) => errors.extend(old.map(|old| crd::validate_update(object, old)).unwrap_or_default()),
            }
            errors
        }
        None => validate::builtin(&resource.group, &resource.kind, object, old, cluster.now())
            .err()
            .unwrap_or_default(),
    };
    if errors.is_empty() {
        return match &options.author {
            Some(author) if resource.group == "rbac.authorization.k8s.io" => {
                check_escalation(cluster, author, resource, object, old)
            }
            _ => Ok(()),
        };
    }
    let name = text(&object["metadata"]["name"]);
    Err(Refusal::invalid(&resource.group, &resource.kind, name, &errors))
}

/// Whether a kind counts the generations of its spec.
pub(super) fn counts_generations(resource: &Resource) -> bool {
    resource.custom.is_some()
        || resource.group == "apps" && resource.plural != "controllerrevisions"
        || resource.group == "batch"
        || matches!(
            resource.plural.as_str(),
            "customresourcedefinitions" | "networkpolicies" | "poddisruptionbudgets" | "pods" | "priorityclasses"
        )
        || resource.group == "admissionregistration.k8s.io"
}
