//! What is done to every object before it is committed: system fields, pruning, defaults, validation.

use std::sync::Arc;

use serde_json::{Map, Value};

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
    /// Whose rights limit what roles and bindings may grant; nobody's for what the cluster itself writes.
    pub(crate) author: Option<Arc<User>>,
}

impl WriteOptions {
    /// Refuses, warns of, or passes over what is wrong with the encoding of an object.
    pub(crate) fn strict(&mut self, resource: &Resource, problems: Vec<String>, patched: Option<&Value>) -> Answer<()> {
        match self.strictness {
            _ if problems.is_empty() => Ok(()),
            Strictness::Ignore => Ok(()),
            Strictness::Warn => {
                self.warnings.extend(problems);
                Ok(())
            }
            Strictness::Strict => {
                let problem = format!("strict decoding error: {}", problems.join(", "));
                let (kind, version) = (&resource.kind, &resource.version);
                Err(match patched {
                    Some(patched) => {
                        let error = FieldError {
                            kind: ErrorKind::Invalid,
                            field: "patch".to_owned(),
                            value: Some(patched.to_string().into()),
                            detail: problem,
                        };
                        Refusal::invalid("", "", "", &[error])
                    }
                    None => Refusal::bad_request(format!(
                        "{kind} in version \"{version}\" cannot be handled as a {kind}: {problem}"
                    )),
                })
            }
        }
    }
}

/// Metadata that the server alone writes.
const METADATA: &[&str] = &[
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Brings an object's metadata into shape: only known fields, of the right types; answers what was dropped.
pub(super) fn tidy_metadata(resource: &Resource, object: &mut Value) -> Answer<Vec<String>> {
    let mismatch = |what: &str| {
        let (kind, version) = (&resource.kind, &resource.version);
        Refusal::bad_request(format!(
            "{kind} in version \"{version}\" cannot be handled as a {kind}: json: {what}"
        ))
    };
    let Some(fields) = object.as_object_mut() else {
        return Err(mismatch("cannot unmarshal into Go value: expected an object"));
    };
    let metadata = fields.entry("metadata").or_insert_with(|| Map::new().into());
    if metadata.is_null() {
        *metadata = Map::new().into();
    }
    let Some(metadata) = metadata.as_object_mut() else {
        return Err(mismatch(
            "cannot unmarshal metadata into Go struct field of type v1.ObjectMeta",
        ));
    };
    let mut unknown = Vec::new();
    metadata.retain(|field, value| {
        let known = METADATA.contains(&field.as_str());
        if !known {
            unknown.push(format!("unknown field \"metadata.{field}\""));
        }
        known && !is_empty(value)
    });
    metadata.remove("managedFields");
    metadata.remove("selfLink");
    for field in ["labels", "annotations"] {
        let Some(map) = metadata.get_mut(field) else { continue };
        let Some(entries) = map.as_object_mut() else {
            return Err(mismatch(&format!(
                "cannot unmarshal {} into Go struct field ObjectMeta.metadata.{field} of type map[string]string",
                json_type(map)
            )));
        };
        for value in entries.values_mut() {
            if value.is_null() {
                *value = "".into();
            } else if !value.is_string() {
                return Err(mismatch(&format!(
                    "cannot unmarshal {} into Go struct field ObjectMeta.metadata.{field} of type string",
                    json_type(value)
                )));
            }
        }
    }
    for field in ["name", "namespace", "generateName", "uid", "resourceVersion"] {
        if let Some(value) = metadata.get(field).filter(|value| !value.is_string()) {
            return Err(mismatch(&format!(
                "cannot unmarshal {} into Go struct field ObjectMeta.metadata.{field} of type string",
                json_type(value)
            )));
        }
    }
    let list_of = |field: &str, test: fn(&Value) -> bool| {
        metadata
            .get(field)
            .is_some_and(|list| !list.as_array().is_some_and(|items| items.iter().all(test)))
    };
    if list_of("finalizers", Value::is_string) || list_of("ownerReferences", Value::is_object) {
        return Err(mismatch(
            "cannot unmarshal metadata: finalizers and ownerReferences must be lists",
        ));
    }
    Ok(unknown)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
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
        Some(custom) => {
            if let Some(schema) = &custom.schema {
                schema.apply_defaults(object);
            }
            let rule = validate::name_rule(&resource.group, &resource.kind);
            let mut errors = validate::metadata(object, resource.namespaced, rule, old);
            if let Some(schema) = &custom.schema {
                errors.extend(schema.validate(object, old));
            }
            errors
        }
        None if resource.is("apiextensions.k8s.io", "customresourcedefinitions") => {
            let rule = validate::name_rule(&resource.group, &resource.kind);
            let mut errors = validate::metadata(object, false, rule, old);
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
        || matches!(
            resource.plural.as_str(),
            "customresourcedefinitions" | "networkpolicies" | "poddisruptionbudgets" | "pods"
        )
        || resource.group == "admissionregistration.k8s.io"
}
