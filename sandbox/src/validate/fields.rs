//! Reading objects of builtin kinds as what they are: unknown fields and values of the wrong type.

use base64::Engine as _;
use serde_json::Value;

use crate::builtin::{self, OBJECT_META, REFERENCES, Schemas};

/// Removes the fields that a builtin kind does not have, and answers their paths, sorted. Kinds that are not known
/// here keep all of theirs.
///
/// # Errors
/// The first value of a wrong type, as the real API server (which answers 400) words it: what follows
/// `Secret in version "v1" cannot be handled as a Secret: `.
pub fn decode_builtin(group: &str, kind: &str, object: &mut Value) -> Result<Vec<String>, String> {
    // The schema of schemas refers to itself in ways that are checked where definitions are.
    let kinds = builtin::kinds();
    let name = kinds.name(group, kind).filter(|_| kind != "CustomResourceDefinition");
    let Some((name, schema)) = name.and_then(|name| Some((name, kinds.definition(name)?))) else {
        return decode_metadata(object);
    };
    let mut reader = Reader::new(kinds);
    reader.read(schema, short(name), object, "", "")?;
    reader.unknown.sort();
    Ok(reader.unknown)
}

/// Removes the fields that metadata does not have, of an object of any kind, and answers their paths, sorted.
///
/// # Errors
/// The first value of a wrong type, worded as by [`decode_builtin`].
pub fn decode_metadata(object: &mut Value) -> Result<Vec<String>, String> {
    let schemas = builtin::metadata();
    let mut reader = Reader::new(schemas);
    if let (Some(schema), Some(metadata)) = (schemas.definition(OBJECT_META), object.get_mut("metadata")) {
        reader.read(schema, "ObjectMeta", metadata, "metadata", "")?;
    }
    reader.unknown.sort();
    Ok(reader.unknown)
}

struct Reader {
    schemas: &'static Schemas,
    unknown: Vec<String>,
}

/// The last part of a schema's name: what the type is called.
fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

impl Reader {
    fn new(schemas: &'static Schemas) -> Self {
        let unknown = Vec::new();
        Self { schemas, unknown }
    }

    /// Reads a value: `path` names it with the positions in lists, `plain_path` without.
    fn read(
        &mut self,
        schema: &Value,
        owner: &str,
        value: &mut Value,
        path: &str,
        plain_path: &str,
    ) -> Result<(), String> {
        let reference = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
        if let Some(name) = reference.and_then(|reference| reference.strip_prefix(REFERENCES)) {
            // Quantities may be numbers, too.
            if short(name) == "Quantity" && value.is_number() {
                return Ok(());
            }
            return match self.schemas.definition(name) {
                Some(schema) if is_struct(schema) && value.is_object() => {
                    self.read(schema, short(name), value, path, plain_path)
                }
                Some(schema) => self.read(schema, owner, value, path, plain_path),
                None => Ok(()),
            };
        }
        if value.is_null() || schema["x-kubernetes-int-or-string"] == true {
            return Ok(());
        }
        let mistyped = |found: &str, wanted: &str| {
            Err(format!(
                "json: cannot unmarshal {found} into Go struct field {owner}.{plain_path} of type {wanted}"
            ))
        };
        let found = match &value {
            Value::Null => return Ok(()),
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        match (schema["type"].as_str().unwrap_or_default(), &mut *value) {
            ("object", Value::Object(fields)) => {
                let mut wrong = None;
                fields.retain(|name, value| {
                    let (child, plain_child) = (join(path, name), join(plain_path, name));
                    let result = match (schema["properties"].get(name), &schema["additionalProperties"]) {
                        (Some(property), _) => self.read(property, owner, value, &child, &plain_child),
                        (None, values) if values.is_object() => self.read(values, owner, value, &child, plain_path),
                        (None, _) if !is_struct(schema) => Ok(()),
                        (None, _) => {
                            self.unknown.push(child);
                            return false;
                        }
                    };
                    wrong = wrong.take().or(result.err());
                    true
                });
                wrong.map_or(Ok(()), Err)
            }
            ("array", Value::Array(items)) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.read(&schema["items"], owner, item, &format!("{path}[{index}]"), plain_path)?;
                }
                Ok(())
            }
            ("integer", Value::Number(number)) if number.is_f64() => mistyped(
                &format!("number {number}"),
                schema["format"].as_str().unwrap_or("int64"),
            ),
            ("string", Value::String(text)) if schema["format"] == "byte" => bad_base64(text).map_or(Ok(()), Err),
            ("string", Value::String(_))
            | ("boolean", Value::Bool(_))
            | ("integer" | "number", Value::Number(_))
            | ("", _) => Ok(()),
            ("string", _) => mistyped(found, "string"),
            ("boolean", _) => mistyped(found, "bool"),
            ("integer", _) => mistyped(found, schema["format"].as_str().unwrap_or("int64")),
            ("number", _) => mistyped(found, "float64"),
            ("array", _) => mistyped(found, &list_type(schema)),
            (_, _) => mistyped(found, &map_type(schema)),
        }
    }
}

fn bad_base64(text: &str) -> Option<String> {
    use base64::DecodeError::{InvalidByte, InvalidLastSymbol, InvalidLength, InvalidPadding};
    let text = text.replace(['\n', '\r'], "");
    let place = match base64::engine::general_purpose::STANDARD.decode(&text).err()? {
        InvalidByte(place, _) | InvalidLastSymbol(place, _) => place,
        InvalidLength(_) | InvalidPadding => text.len() / 4 * 4,
    };
    Some(format!("illegal base64 data at input byte {place}"))
}

/// Whether the schema is of a type with named fields.
fn is_struct(schema: &Value) -> bool {
    schema["properties"].is_object()
}

fn element_type(schema: &Value) -> String {
    let reference = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
    if let Some(reference) = reference {
        return format!("v1.{}", short(reference));
    }
    match schema["type"].as_str().unwrap_or_default() {
        "boolean" => "bool".to_owned(),
        "integer" => schema["format"].as_str().unwrap_or("int64").to_owned(),
        "number" => "float64".to_owned(),
        other => other.to_owned(),
    }
}

fn list_type(schema: &Value) -> String {
    format!("[]{}", element_type(&schema["items"]))
}

fn map_type(schema: &Value) -> String {
    match schema["additionalProperties"].is_object() {
        true => format!("map[string]{}", element_type(&schema["additionalProperties"])),
        false => "object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_fields_go() {
        let mut deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "d", "nickname": "x", "labels": {"a": "b"}, "managedFields": [{"fieldsV1": {"f:x": {}}}]},
            "spec": {"replica": 1, "selector": {"matchLabelz": {}}, "template": {"spec": {"containers": [
                {"name": "c", "imag": "x", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": 1, "memory": "1Gi"}},
                    "livenessProbe": {"httpGet": {"port": "http"}}}]}}}});
        assert_eq!(
            decode_builtin("apps", "Deployment", &mut deployment),
            Ok(vec![
                "metadata.nickname".to_owned(),
                "spec.replica".to_owned(),
                "spec.selector.matchLabelz".to_owned(),
                "spec.template.spec.containers[0].imag".to_owned(),
            ])
        );
        assert_eq!(
            deployment,
            json!({"apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "d", "labels": {"a": "b"}, "managedFields": [{"fieldsV1": {"f:x": {}}}]},
                "spec": {"selector": {}, "template": {"spec": {"containers": [
                    {"name": "c", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": 1, "memory": "1Gi"}},
                        "livenessProbe": {"httpGet": {"port": "http"}}}]}}}})
        );
    }

    #[test]
    fn mistyped_values_are_named() {
        let complaint =
            |group: &str, kind: &str, mut object: Value| decode_builtin(group, kind, &mut object).unwrap_err();
        assert_eq!(
            complaint(
                "apps",
                "Deployment",
                json!({"spec": {"template": {"spec": {"containers": [{"image": true}]}}}})
            ),
            "json: cannot unmarshal bool into Go struct field Container.spec.template.spec.containers.image of type string"
        );
        assert_eq!(
            complaint("apps", "Deployment", json!({"spec": {"replicas": "3"}})),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
        );
        assert_eq!(
            complaint("", "ConfigMap", json!({"data": {"a": 1}})),
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"
        );
        assert_eq!(
            complaint("", "Secret", json!({"metadata": {"labels": "x"}})),
            "json: cannot unmarshal string into Go struct field ObjectMeta.metadata.labels of type map[string]string"
        );
        assert_eq!(
            complaint("", "Secret", json!({"data": {"a": "*"}})),
            "illegal base64 data at input byte 0"
        );
    }

    #[test]
    fn metadata_of_any_kind() {
        let mut object = json!({"metadata": {"name": "x", "foo": 1}, "spec": {"foo": 1}});
        assert_eq!(decode_metadata(&mut object), Ok(vec!["metadata.foo".to_owned()]));
        assert_eq!(object, json!({"metadata": {"name": "x"}, "spec": {"foo": 1}}));
        assert_eq!(
            decode_metadata(&mut json!({"metadata": {"labels": {"a": 1}}})),
            Err("json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string".to_owned())
        );
    }
}
