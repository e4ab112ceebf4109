//! `/openapi/v3`: the documents behind `kubectl explain` and client-side validation.

mod paths;

use serde_json::{Map, Value, json};

use crate::builtin::{self, OBJECT_META, REFERENCES};

const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

/// A resource as the documents describe it.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind.
    pub kind: String,
    /// The resource's name in paths.
    pub plural: String,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// What can be done with it (`get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`).
    pub verbs: Vec<String>,
    /// The subresources it has (`status`, `scale`).
    pub subresources: Vec<String>,
    /// The schema of a custom resource's version; builtin kinds have none here.
    pub schema: Option<Value>,
}

impl Resource {
    fn group_version_kind(&self, suffix: &str) -> Value {
        json!({"group": self.group, "version": self.version, "kind": format!("{}{suffix}", self.kind)})
    }

    /// The name of its schema: `dev.example.v1.Widget` for a custom resource of `example.dev`.
    fn schema_name(&self) -> String {
        if let Some(name) = builtin::kinds().name(&self.group, &self.kind) {
            return name.to_owned();
        }
        let mut parts: Vec<&str> = self.group.split('.').rev().collect();
        parts.extend([self.version.as_str(), self.kind.as_str()]);
        parts.join(".")
    }
}

/// Where a group version is served: `api/v1`, `apis/apps/v1`.
fn root(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

/// The answer to `/openapi/v3`: `group_versions` are (group, version, hash of what the document depends on).
pub fn index<'a>(group_versions: impl IntoIterator<Item = (&'a str, &'a str, String)>) -> Value {
    let paths: Map<String, Value> = group_versions
        .into_iter()
        .map(|(group, version, hash)| {
            let root = root(group, version);
            let url = format!("/openapi/v3/{root}?hash={hash}");
            (root, json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

/// The answer to `/openapi/v3/apis/<group>/<version>` (or `/openapi/v3/api/v1`), for the given resources of it.
///
/// The schemas of builtin kinds are made on first use and kept.
pub fn group_version_document(group: &str, version: &str, resources: &[Resource]) -> Value {
    let mut components = Map::new();
    let mut described = Map::new();
    for resource in resources {
        add_schemas(resource, &mut components);
        paths::add(resource, &format!("/{}", root(group, version)), &mut described);
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": described,
        "components": {"schemas": components},
    })
}

fn add_schemas(resource: &Resource, components: &mut Map<String, Value>) {
    let name = resource.schema_name();
    let kinds = json!([resource.group_version_kind("")]);
    match &resource.schema {
        Some(schema) => {
            components.insert(name.clone(), custom_schema(schema));
            add_with_references(OBJECT_META, components);
        }
        None => add_with_references(&name, components),
    }
    if let Some(schema) = components.get_mut(&name) {
        schema["x-kubernetes-group-version-kind"] = kinds;
    }
    if resource.verbs.iter().any(|verb| verb == "list") {
        add_with_references(LIST_META, components);
        components.insert(format!("{name}List"), list_schema(resource, &name));
    }
}

fn reference(name: &str, description: &str) -> Value {
    json!({"description": description, "allOf": [{"$ref": format!("{REFERENCES}{name}")}]})
}

fn type_properties() -> [(&'static str, Value); 2] {
    [
        (
            "apiVersion",
            json!({"type": "string", "description": "The group and version of the object's schema, as in group/version."}),
        ),
        (
            "kind",
            json!({"type": "string", "description": "What the object is, in CamelCase."}),
        ),
    ]
}

/// The schema of a custom resource with the fields that all objects have.
fn custom_schema(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    for (name, property) in type_properties() {
        let given = &mut schema["properties"][name];
        if given["description"].is_null() {
            *given = property;
        }
    }
    schema["properties"]["metadata"] = reference(OBJECT_META, "Names, labels and what else all objects have.");
    schema
}

fn list_schema(resource: &Resource, item: &str) -> Value {
    let mut properties: Map<String, Value> = type_properties()
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    properties.insert("metadata".to_owned(), reference(LIST_META, "What all lists have."));
    properties.insert(
        "items".to_owned(),
        json!({"type": "array", "description": "The objects.", "items": {"allOf": [{"$ref": format!("{REFERENCES}{item}")}]}}),
    );
    json!({
        "type": "object",
        "description": format!("A list of objects of kind {}.", resource.kind),
        "required": ["items"],
        "properties": properties,
        "x-kubernetes-group-version-kind": [resource.group_version_kind("List")],
    })
}

/// Adds a schema and everything it refers to.
fn add_with_references(name: &str, components: &mut Map<String, Value>) {
    if components.contains_key(name) {
        return;
    }
    let Some(schema) = builtin::kinds().definition(name) else {
        return;
    };
    components.insert(name.to_owned(), schema.clone());
    let mut named = Vec::new();
    references(schema, &mut named);
    for name in named {
        add_with_references(&name, components);
    }
}

fn references(schema: &Value, named: &mut Vec<String>) {
    match schema {
        Value::Object(keywords) => {
            for (keyword, value) in keywords {
                match value.as_str().and_then(|text| text.strip_prefix(REFERENCES)) {
                    Some(name) if keyword == "$ref" => named.push(name.to_owned()),
                    _ => references(value, named),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, named)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widget() -> Resource {
        Resource {
            group: "example.dev".to_owned(),
            version: "v1".to_owned(),
            kind: "Widget".to_owned(),
            plural: "widgets".to_owned(),
            namespaced: true,
            verbs: ["get", "list", "watch", "create", "update", "patch", "delete"]
                .map(str::to_owned)
                .to_vec(),
            subresources: vec!["status".to_owned()],
            schema: Some(json!({"type": "object", "description": "A widget.",
                "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}})),
        }
    }

    #[test]
    fn the_index_names_every_document() {
        assert_eq!(
            index([("", "v1", "a".to_owned()), ("example.dev", "v1", "b".to_owned())]),
            json!({"paths": {
                "api/v1": {"serverRelativeURL": "/openapi/v3/api/v1?hash=a"},
                "apis/example.dev/v1": {"serverRelativeURL": "/openapi/v3/apis/example.dev/v1?hash=b"},
            }})
        );
    }

    #[test]
    fn a_custom_resource_is_described() {
        let document = group_version_document("example.dev", "v1", &[widget()]);
        let schemas = &document["components"]["schemas"];
        assert_eq!(
            schemas["dev.example.v1.Widget"],
            json!({
                "type": "object", "description": "A widget.",
                "properties": {
                    "apiVersion": type_properties()[0].1,
                    "kind": type_properties()[1].1,
                    "metadata": {"description": "Names, labels and what else all objects have.",
                        "allOf": [{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}]},
                    "spec": {"type": "object", "properties": {"size": {"type": "integer"}}},
                },
                "x-kubernetes-group-version-kind": [{"group": "example.dev", "version": "v1", "kind": "Widget"}],
            })
        );
        let names: Vec<&String> = schemas
            .as_object()
            .unwrap()
            .keys()
            .filter(|name| name.starts_with("dev"))
            .collect();
        assert_eq!(names, ["dev.example.v1.Widget", "dev.example.v1.WidgetList"]);
        let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
        assert_eq!(
            paths,
            [
                "/apis/example.dev/v1/namespaces/{namespace}/widgets",
                "/apis/example.dev/v1/namespaces/{namespace}/widgets/{name}",
                "/apis/example.dev/v1/namespaces/{namespace}/widgets/{name}/status",
                "/apis/example.dev/v1/widgets",
            ]
        );
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let deployment = Resource {
            group: "apps".to_owned(),
            kind: "Deployment".to_owned(),
            plural: "deployments".to_owned(),
            schema: None,
            ..widget()
        };
        let document = group_version_document("apps", "v1", &[deployment]);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let text = document.to_string();
        let missing: Vec<&str> = text
            .split("#/components/schemas/")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .filter(|name| !schemas.contains_key(*name))
            .collect();
        assert_eq!(missing, Vec::<&str>::new());
        let spec = &schemas["io.k8s.api.apps.v1.Deployment"]["properties"]["spec"]["allOf"];
        assert_eq!(
            *spec,
            json!([{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec"}])
        );
    }
}
