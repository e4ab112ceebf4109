//! The paths of a resource, and what can be done there.

use serde_json::{Map, Value, json};

use super::{REFERENCES, Resource};

/// Adds the paths of a resource below the root of its group version.
pub(super) fn add(resource: &Resource, root: &str, paths: &mut Map<String, Value>) {
    let plural = &resource.plural;
    let collection = match resource.namespaced {
        true => format!("{root}/namespaces/{{namespace}}/{plural}"),
        false => format!("{root}/{plural}"),
    };
    let can = |verb: &str| resource.verbs.iter().any(|known| known == verb);
    let mut operations = Map::new();
    if can("list") {
        operations.insert("get".to_owned(), operation(resource, "list", "List", &[]));
    }
    if can("create") {
        operations.insert("post".to_owned(), operation(resource, "post", "", &WRITE));
    }
    if can("deletecollection") {
        operations.insert(
            "delete".to_owned(),
            operation(resource, "deletecollection", "", &["dryRun"]),
        );
    }
    insert(paths, collection.clone(), operations, resource.namespaced, false);
    let item = format!("{collection}/{{name}}");
    insert(
        paths,
        item.clone(),
        item_operations(resource, &can),
        resource.namespaced,
        true,
    );
    for subresource in &resource.subresources {
        // Only what is of the resource's own kind: a reader takes the kind from the path.
        if subresource == "status" {
            let update = |verb: &str| matches!(verb, "get" | "update" | "patch") && can(verb);
            insert(
                paths,
                format!("{item}/{subresource}"),
                item_operations(resource, &update),
                resource.namespaced,
                true,
            );
        }
    }
    if resource.namespaced && can("list") {
        let everywhere = Map::from_iter([("get".to_owned(), operation(resource, "list", "List", &[]))]);
        insert(paths, format!("{root}/{plural}"), everywhere, false, false);
    }
}

const WRITE: [&str; 3] = ["dryRun", "fieldManager", "fieldValidation"];

fn item_operations(resource: &Resource, can: &dyn Fn(&str) -> bool) -> Map<String, Value> {
    let mut operations = Map::new();
    if can("get") {
        operations.insert("get".to_owned(), operation(resource, "get", "", &[]));
    }
    if can("update") {
        operations.insert("put".to_owned(), operation(resource, "put", "", &WRITE));
    }
    if can("delete") {
        operations.insert("delete".to_owned(), operation(resource, "delete", "", &["dryRun"]));
    }
    if can("patch") {
        let mut patch = operation(resource, "patch", "", &WRITE);
        // A strategic merge patch is understood, but not offered here: a client that is offered one takes the keys of
        // lists from these schemas, which do not have them, instead of from its own types, which do.
        let body = json!({"schema": {"type": "object"}});
        patch["requestBody"] =
            json!({"content": {"application/json-patch+json": body, "application/merge-patch+json": body}});
        operations.insert("patch".to_owned(), patch);
    }
    operations
}

fn insert(paths: &mut Map<String, Value>, path: String, operations: Map<String, Value>, namespaced: bool, named: bool) {
    if operations.is_empty() {
        return;
    }
    let parameter = |name: &str, what: &str| json!({"name": name, "in": "path", "required": true, "description": what, "schema": {"type": "string"}});
    let mut parameters = Vec::new();
    if named {
        parameters.push(parameter("name", "The object's name."));
    }
    if namespaced {
        parameters.push(parameter("namespace", "The object's namespace."));
    }
    let mut described = Value::Object(operations);
    described["parameters"] = parameters.into();
    paths.insert(path, described);
}

fn operation(resource: &Resource, action: &str, suffix: &str, parameters: &[&str]) -> Value {
    let parameters: Vec<Value> = parameters
        .iter()
        .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}}))
        .collect();
    let schema = json!({"$ref": format!("{REFERENCES}{}{suffix}", resource.schema_name())});
    let mut operation = json!({
        "parameters": parameters,
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": resource.group_version_kind(""),
    });
    if matches!(action, "post" | "put") {
        operation["requestBody"] = json!({"required": true, "content": {"*/*": {"schema": schema}}});
    }
    operation
}
