//! Manifests of kinds that Kubernetes does not define: Prometheus' operator's, Argo CD's and Flux's. No schemas of these are
//! at hand that could be handed on, so each is written down here as far as it is used; a field that is not here is refused.

use serde_json::{Map, Value, json};

/// What a kind may have. A text names a type, `?` ends the name of a field that may be left out.
fn shape(api_version: &str, kind: &str) -> Option<Value> {
    let spec = match (api_version, kind) {
        ("monitoring.coreos.com/v1", "ServiceMonitor") => json!({
            "selector": { "matchLabels": "texts" },
            "endpoints": [{ "port": "text", "interval": "duration" }],
        }),
        ("monitoring.coreos.com/v1", "PrometheusRule") => json!({ "groups": [{
            "name": "text",
            "rules": [{ "alert": "text", "expr": "text", "for?": "duration", "labels": "texts", "annotations": "texts" }],
        }] }),
        ("argoproj.io/v1alpha1", "Application") => json!({
            "project": "text",
            "source": { "repoURL": "text", "targetRevision": "text", "path": "text", "helm?": { "valuesObject": "any" } },
            "destination": { "server": "text", "namespace?": "text" },
            "syncPolicy": {
                "automated": { "prune": "flag", "selfHeal": "flag" },
                "managedNamespaceMetadata?": { "labels": "texts" },
                "syncOptions": ["text"],
                "retry?": {
                    "limit": "number",
                    "backoff": { "duration": "duration", "factor": "number", "maxDuration": "duration" },
                },
            },
        }),
        ("source.toolkit.fluxcd.io/v1", "GitRepository") => json!({
            "interval": "duration", "url": "text", "ref": { "tag": "text" },
        }),
        ("kustomize.toolkit.fluxcd.io/v1", "Kustomization") => json!({
            "interval": "duration",
            "sourceRef": { "kind": "text", "name": "text" },
            "path": "text",
            "prune": "flag",
            "wait": "flag",
            "timeout": "duration",
            "components?": ["text"],
            "dependsOn?": [{ "name": "text" }],
            "images?": [{ "name": "text", "newName": "text" }],
            "healthCheckExprs?": [{ "apiVersion": "text", "kind": "text", "failed": "text", "current": "text" }],
        }),
        _ => return None,
    };
    let metadata = json!({ "name": "text", "namespace": "text", "labels?": "texts", "annotations?": "texts" });
    Some(json!({ "apiVersion": "text", "kind": "text", "metadata": metadata, "spec": spec }))
}

/// The shape as a schema.
fn schema(shape: &Value) -> Value {
    match shape {
        Value::Object(fields) => {
            let name = |field: &String| field.trim_end_matches('?').to_owned();
            let properties: Map<String, Value> = fields.iter().map(|(field, it)| (name(field), schema(it))).collect();
            let required: Vec<&String> = fields.keys().filter(|field| !field.ends_with('?')).collect();
            json!({ "type": "object", "additionalProperties": false, "properties": properties, "required": required })
        }
        Value::Array(items) => json!({ "type": "array", "minItems": 1, "items": schema(&items[0]) }),
        Value::String(name) => match name.as_str() {
            "text" => json!({ "type": "string", "minLength": 1 }),
            "flag" => json!({ "type": "boolean" }),
            "number" => json!({ "type": "integer" }),
            "duration" => json!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$" }),
            "texts" => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
            "any" => json!({ "type": "object" }),
            other => panic!("{other} is no type"),
        },
        other => panic!("{other} is no shape"),
    }
}

/// What is wrong with an object, each with its place; nothing where its kind is not here.
pub(crate) fn judge(object: &Value) -> Option<Vec<String>> {
    let [api_version, kind] = ["apiVersion", "kind"].map(|field| object[field].as_str().unwrap());
    let schema = jsonschema::validator_for(&schema(&shape(api_version, kind)?)).unwrap();
    let errors = schema.iter_errors(object);
    Some(
        errors
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect(),
    )
}

/// The paths of all fields, but of those that carry names of somebody else's.
fn fields(value: &Value, path: &str, found: &mut Vec<String>) {
    const FREE: [&str; 4] = ["labels", "annotations", "matchLabels", "valuesObject"];
    match value {
        Value::Object(fields_) => {
            for (field, value) in fields_ {
                let path = format!("{path}/{field}");
                if !FREE.contains(&field.as_str()) {
                    fields(value, &path, found);
                }
                found.push(path);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                fields(item, &format!("{path}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Every field of every object, misspelt in turn.
pub(crate) fn assert_found_when_misspelt(object: &Value) {
    let mut paths = Vec::new();
    fields(object, "", &mut paths);
    assert!(paths.len() > 8, "{paths:?}");
    // By these it is known what it is.
    paths.retain(|path| path != "/apiVersion" && path != "/kind");
    for path in paths {
        let (parent, field) = path.rsplit_once('/').unwrap();
        let mut misspelt = object.clone();
        let parent = misspelt.pointer_mut(parent).and_then(Value::as_object_mut).unwrap();
        let value = parent.remove(field).unwrap();
        parent.insert(format!("{field}s"), value);
        assert_ne!(judge(&misspelt), Some(vec![]), "{path} is {path}s");
    }
}
