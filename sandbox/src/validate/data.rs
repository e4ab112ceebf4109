//! Secrets, ConfigMaps and Namespaces.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::defaults::default_to;
use super::names;
use crate::schema::FieldError;

const SIZE_LIMIT: usize = 1024 * 1024;

/// `stringData` becomes data, and the type is given.
pub(crate) fn default_secret(secret: &mut Value) {
    default_to(secret, "type", || "Opaque".into());
    let Some(fields) = secret.as_object_mut() else { return };
    let Some(Value::Object(plain)) = fields.remove("stringData") else {
        return;
    };
    if plain.is_empty() {
        return;
    }
    let data = fields.entry("data").or_insert_with(|| json!({}));
    if !data.is_object() {
        *data = json!({});
    }
    for (key, value) in plain {
        data[key] = STANDARD.encode(value.as_str().unwrap_or_default()).into();
    }
}

/// Checks a Secret, and with `old` what of it may change.
pub(crate) fn validate_secret(secret: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    if let Some(old) = old {
        if secret["type"] != old["type"] {
            errors.push(FieldError::invalid(
                "type",
                secret["type"].clone(),
                "field is immutable",
            ));
        }
        keep_immutable(secret, old, &["data"], errors);
    }
    let empty = Map::new();
    let data = secret["data"].as_object().unwrap_or(&empty);
    let size: usize = data.values().map(decoded_length).sum();
    for key in data.keys() {
        check_key("data", key, errors);
    }
    if size > SIZE_LIMIT {
        errors.push(FieldError::too_long("data", SIZE_LIMIT as i64));
    }
    let mut require = |key: &str| {
        if !data.contains_key(key) {
            errors.push(FieldError::required(format!("data[{key}]"), ""));
        }
    };
    match secret["type"].as_str().unwrap_or_default() {
        "kubernetes.io/service-account-token" => {
            let key = "kubernetes.io/service-account.name";
            if secret["metadata"]["annotations"][key]
                .as_str()
                .unwrap_or_default()
                .is_empty()
            {
                errors.push(FieldError::required(format!("metadata.annotations[{key}]"), ""));
            }
        }
        "kubernetes.io/tls" => ["tls.crt", "tls.key"].into_iter().for_each(require),
        "kubernetes.io/basic-auth" if !data.contains_key("username") && !data.contains_key("password") => {
            ["username", "password"].into_iter().for_each(require);
        }
        "kubernetes.io/ssh-auth" => require("ssh-privatekey"),
        "kubernetes.io/dockercfg" => check_docker_config(data, ".dockercfg", errors),
        "kubernetes.io/dockerconfigjson" => check_docker_config(data, ".dockerconfigjson", errors),
        _ => {}
    }
}

fn check_docker_config(data: &Map<String, Value>, key: &str, errors: &mut Vec<FieldError>) {
    let field = format!("data[{key}]");
    let Some(config) = data.get(key) else {
        errors.push(FieldError::required(field, ""));
        return;
    };
    let bytes = STANDARD.decode(config.as_str().unwrap_or_default()).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<Map<String, Value>>(&bytes) {
        errors.push(FieldError::invalid(
            field,
            "<secret contents redacted>",
            error.to_string(),
        ));
    }
}

/// Checks a ConfigMap, and with `old` what of it may change.
pub(crate) fn validate_config_map(map: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    if let Some(old) = old {
        keep_immutable(map, old, &["data", "binaryData"], errors);
    }
    let empty = Map::new();
    let (data, binary) = (
        map["data"].as_object().unwrap_or(&empty),
        map["binaryData"].as_object().unwrap_or(&empty),
    );
    let mut size = 0;
    for (key, value) in data {
        check_key("data", key, errors);
        if binary.contains_key(key) {
            let detail = "duplicate of key present in binaryData";
            errors.push(FieldError::invalid(format!("data[{key}]"), key.as_str(), detail));
        }
        size += value.as_str().map_or(0, str::len);
    }
    for (key, value) in binary {
        check_key("binaryData", key, errors);
        size += decoded_length(value);
    }
    if size > SIZE_LIMIT {
        let mut error = FieldError::too_long("data", SIZE_LIMIT as i64);
        error.field = "[]".to_owned();
        errors.push(error);
    }
}

fn check_key(field: &str, key: &str, errors: &mut Vec<FieldError>) {
    for what in names::config_key(key) {
        errors.push(FieldError::invalid(format!("{field}[{key}]"), key, what));
    }
}

fn decoded_length(value: &Value) -> usize {
    value
        .as_str()
        .and_then(|text| STANDARD.decode(text).ok())
        .map_or(0, |bytes| bytes.len())
}

fn keep_immutable(new: &Value, old: &Value, fields: &[&str], errors: &mut Vec<FieldError>) {
    if old["immutable"].as_bool() != Some(true) {
        return;
    }
    let detail = "field is immutable when `immutable` is set";
    if new["immutable"].as_bool() != Some(true) {
        errors.push(FieldError::forbidden("immutable", detail));
    }
    for field in fields.iter().filter(|field| new[**field] != old[**field]) {
        errors.push(FieldError::forbidden(*field, detail));
    }
}

/// A namespace is labelled with its name, held by its finalizer and active.
pub(crate) fn default_namespace(namespace: &mut Value, is_new: bool) {
    let name = namespace["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if !name.is_empty() {
        let labels = &mut namespace["metadata"]["labels"];
        if !labels.is_object() {
            *labels = json!({});
        }
        labels["kubernetes.io/metadata.name"] = name.into();
    }
    if is_new && namespace["spec"]["finalizers"].as_array().is_none_or(Vec::is_empty) {
        namespace["spec"] = json!({"finalizers": ["kubernetes"]});
    }
    let status = namespace["status"]["phase"].as_str().unwrap_or_default().is_empty();
    if status {
        namespace["status"]["phase"] = "Active".into();
    }
}
