//! Custom kinds without a server: what an API server would say of an object, as a function.

use serde_json::{Map, Value, json};

use crate::{
    schema::{CompiledSchema, FieldError},
    validate,
};

/// One served version of a custom kind.
#[derive(Clone, Debug)]
pub struct Kind {
    /// `example.dev/v1`
    pub api_version: String,
    /// The kind's name.
    pub kind: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    schema: CompiledSchema,
    source: Value,
    has_status: bool,
}

/// Something that an API server would refuse an object for.
#[derive(Clone, Debug, PartialEq)]
pub enum Problem {
    /// The metadata cannot be read, in the API server's words. Nothing else was looked at.
    Unreadable(String),
    /// A field that the kind does not have, such as `spec.list[0].bar`.
    UnknownField(String),
    /// A field that is not as the kind demands.
    Invalid(FieldError),
}

impl Kind {
    /// The served versions of a CustomResourceDefinition.
    ///
    /// # Errors
    /// What is wrong with a version's schema.
    pub fn read(definition: &Value) -> Result<Vec<Self>, Vec<FieldError>> {
        let spec = &definition["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let versions = spec["versions"].as_array().into_iter().flatten();
        versions
            .filter(|version| version["served"] == true)
            .map(|version| {
                let source = version["schema"]["openAPIV3Schema"].clone();
                Ok(Self {
                    api_version: format!("{}/{}", text(&spec["group"]), text(&version["name"])),
                    kind: text(&spec["names"]["kind"]),
                    namespaced: spec["scope"] == "Namespaced",
                    schema: CompiledSchema::compile(&source)?,
                    source,
                    has_status: version["subresources"]["status"].is_object(),
                })
            })
            .collect()
    }

    /// What an API server with strict field validation would refuse the creation of `object` for; and with `old` what
    /// it would refuse the change from that to `object` for besides, as far as the schema says so.
    ///
    /// The object becomes what would be stored: defaults are filled in, unknown fields and the status are gone. An object
    /// of a kind that lives in namespaces needs its own filled in before.
    pub fn judge(&self, object: &mut Value, old: Option<&Value>) -> Vec<Problem> {
        let mut unknown = match validate::decode_metadata(object) {
            Ok(unknown) => unknown,
            Err(why) => return vec![Problem::Unreadable(why)],
        };
        validate::tidy_metadata(object);
        unknown.extend(self.schema.prune(object));
        if let Some(fields) = object.as_object_mut().filter(|_| self.has_status) {
            fields.remove("status");
        }
        let generated = self.prepare_metadata(&mut object["metadata"]);
        let mut errors = validate::custom(Some(&self.schema), self.namespaced, object, None);
        if let Some(metadata) = object["metadata"].as_object_mut().filter(|_| generated) {
            metadata.remove("name");
        }
        if let Some(old) = old {
            let of_change = self.schema.validate(object, Some(old));
            errors.extend(
                of_change
                    .into_iter()
                    .filter(|error| !errors.contains(error))
                    .collect::<Vec<_>>(),
            );
        }
        let unknown = unknown.into_iter().map(Problem::UnknownField);
        unknown.chain(errors.into_iter().map(Problem::Invalid)).collect()
    }

    /// Gives it the name that would be generated, and takes out the namespace where there is none. Answers whether it
    /// has such a name.
    fn prepare_metadata(&self, metadata: &mut Value) -> bool {
        if let Some(fields) = metadata.as_object_mut().filter(|_| !self.namespaced) {
            fields.remove("namespace");
        }
        let given = |field: &str| metadata[field].as_str().filter(|text| !text.is_empty());
        match (given("name"), given("generateName")) {
            (None, Some(base)) => {
                metadata["name"] = json!(format!("{base}00000"));
                true
            }
            _ => false,
        }
    }

    /// The names of the fields that there are beside one that is unknown: of `spec.expires`, those of `spec`.
    pub fn siblings(&self, field: &str) -> Vec<&str> {
        let parent = field.rsplit_once('.').map_or("", |(parent, _)| parent);
        let mut node = &self.source;
        for part in parent.split('.').filter(|part| !part.is_empty()) {
            let (name, indices) = part
                .split_once('[')
                .map_or((part, 0), |(name, rest)| (name, rest.split('[').count()));
            node = &node["properties"][name];
            for _ in 0..indices {
                node = &node["items"];
            }
        }
        let properties = node["properties"].as_object();
        properties.into_iter().flat_map(Map::keys).map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widget() -> Kind {
        let schema = json!({ "type": "object", "required": ["spec"], "properties": {
            "spec": { "type": "object", "required": ["size"], "properties": {
                "size": { "type": "integer", "x-kubernetes-validations": [{ "rule": "self == oldSelf", "message": "stays" }] },
                "colour": { "type": "string", "default": "red" },
                "parts": { "type": "array", "items": { "type": "object", "properties": { "name": { "type": "string" } } } },
            } },
            "status": { "type": "object", "properties": { "done": { "type": "boolean" } } },
        } });
        let definition = json!({ "spec": {
            "group": "example.dev", "scope": "Namespaced", "names": { "kind": "Widget" },
            "versions": [{ "name": "v1", "served": true, "schema": { "openAPIV3Schema": schema }, "subresources": { "status": {} } }],
        } });
        Kind::read(&definition).unwrap().remove(0)
    }

    fn object(metadata: Value, spec: Value) -> Value {
        json!({ "apiVersion": "example.dev/v1", "kind": "Widget", "metadata": metadata, "spec": spec })
    }

    fn judge(object: &mut Value, old: Option<&Value>) -> Vec<String> {
        let told = |problem: Problem| match problem {
            Problem::Unreadable(why) => why,
            Problem::UnknownField(field) => format!("unknown {field}"),
            Problem::Invalid(error) => error.to_string(),
        };
        widget().judge(object, old).into_iter().map(told).collect()
    }

    #[test]
    fn a_sound_object_becomes_what_would_be_stored() {
        let mut given = object(
            json!({ "generateName": "a-", "namespace": "n", "labels": {} }),
            json!({ "size": 1 }),
        );
        given["status"] = json!({ "done": true });
        assert_eq!(judge(&mut given, None), [""; 0]);
        assert_eq!(
            given,
            object(
                json!({ "generateName": "a-", "namespace": "n" }),
                json!({ "size": 1, "colour": "red" })
            )
        );
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let mut given = object(
            json!({ "name": "A", "namespace": "n", "lables": {} }),
            json!({ "parts": [{ "nam": "x" }] }),
        );
        let told = judge(&mut given, None);
        assert_eq!(told[..2], ["unknown metadata.lables", "unknown spec.parts[0].nam"]);
        assert!(told[2].starts_with("metadata.name: Invalid value: \"A\""), "{told:?}");
        assert_eq!(told[3], "spec.size: Required value");
        let mut unreadable = object(json!({ "name": 1, "namespace": "n" }), json!({}));
        assert_eq!(
            judge(&mut unreadable, None),
            ["json: cannot unmarshal number into Go struct field ObjectMeta.name of type string"]
        );
    }

    #[test]
    fn a_change_is_held_to_the_rules_on_changes() {
        let metadata = json!({ "name": "a", "namespace": "n" });
        let old = object(metadata.clone(), json!({ "size": 1 }));
        let mut same = object(metadata.clone(), json!({ "size": 1 }));
        assert_eq!(judge(&mut same, Some(&old)), [""; 0]);
        let mut other = object(metadata, json!({ "size": 2 }));
        assert_eq!(judge(&mut other, Some(&old)), ["spec.size: Invalid value: 2: stays"]);
    }

    #[test]
    fn beside_an_unknown_field_there_are_known_ones() {
        let widget = widget();
        assert_eq!(widget.siblings("spec.expires"), ["colour", "parts", "size"]);
        assert_eq!(widget.siblings("spec.parts[0].nam"), ["name"]);
        assert_eq!(widget.siblings("spec.nothing.here"), [""; 0]);
    }
}
