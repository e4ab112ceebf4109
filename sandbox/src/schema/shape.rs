//! What a schema does to objects before they are judged: pruning, defaults, nulls.

use serde_json::Value;

use super::node::{Additional, Node};

const META_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Removes unknown fields of a resource and answers their paths, sorted.
pub(crate) fn prune(root: &Node, object: &mut Value) -> Vec<String> {
    let mut removed = Vec::new();
    prune_value(object, Some(root), true, false, "", &mut removed);
    removed.sort();
    removed
}

/// Removes the unknown fields of a part of a resource.
pub(crate) fn prune_part(node: &Node, value: &mut Value) {
    prune_value(value, Some(node), false, false, "", &mut Vec::new());
}

fn prune_value(
    value: &mut Value,
    node: Option<&Node>,
    is_resource: bool,
    in_preserved_list: bool,
    path: &str,
    removed: &mut Vec<String>,
) {
    let preserve = in_preserved_list || node.is_some_and(|node| node.preserve_unknown);
    match value {
        Value::Object(fields) => {
            let is_resource = is_resource || node.is_some_and(|node| node.embedded);
            fields.retain(|name, value| {
                if is_resource && META_FIELDS.contains(&name.as_str()) {
                    return true;
                }
                let child = child_path(path, name);
                let known = node.is_some_and(|node| node.properties.contains_key(name) || node.additional.is_some());
                if known {
                    prune_value(
                        value,
                        node.and_then(|node| node.field(name)),
                        false,
                        false,
                        &child,
                        removed,
                    );
                    return true;
                }
                if !preserve {
                    removed.push(child);
                }
                preserve
            });
        }
        Value::Array(items) => {
            let items_node = node.and_then(|node| node.items.as_deref());
            if preserve && items_node.is_none() {
                return;
            }
            for (index, item) in items.iter_mut().enumerate() {
                prune_value(item, items_node, false, preserve, &format!("{path}[{index}]"), removed);
            }
        }
        _ => {}
    }
}

/// `parent.name`, or just the name at the root.
pub(crate) fn child_path(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}.{name}")
    }
}

/// Fills in defaults, then drops the nulls that may not stay.
pub(crate) fn apply_defaults(root: &Node, object: &mut Value) {
    fill(root, object);
    drop_nulls(Some(root), object);
}

fn is_forbidden_null(value: &Value, node: &Node) -> bool {
    value.is_null() && !node.nullable
}

fn fill(node: &Node, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, property) in &node.properties {
                let Some(default) = &property.default else { continue };
                if fields.get(name).is_none_or(|value| is_forbidden_null(value, property)) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in fields.iter_mut() {
                if let Some(property) = node.properties.get(name) {
                    fill(property, value);
                } else if let Some(Additional::Schema(node)) = &node.additional {
                    if let Some(default) = node.default.as_ref().filter(|_| is_forbidden_null(value, node)) {
                        *value = default.clone();
                    }
                    fill(node, value);
                }
            }
        }
        Value::Array(items) => {
            let Some(node) = &node.items else { return };
            for item in items {
                if let Some(default) = node.default.as_ref().filter(|_| is_forbidden_null(item, node)) {
                    *item = default.clone();
                }
                fill(node, item);
            }
        }
        _ => {}
    }
}

fn drop_nulls(node: Option<&Node>, value: &mut Value) {
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            let node = node.and_then(|node| node.field(name));
            if node.is_some_and(|node| is_forbidden_null(value, node) && node.default.is_none()) {
                return false;
            }
            drop_nulls(node, value);
            true
        }),
        Value::Array(items) => {
            let node = node.and_then(|node| node.items.as_deref());
            items.iter_mut().for_each(|item| drop_nulls(node, item));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn root() -> Node {
        Node::read(
            &json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
                "name": {"type": "string", "default": "x"},
                "maybe": {"type": "string", "nullable": true},
                "plain": {"type": "string"},
                "nested": {"type": "object", "default": {}, "properties": {"deep": {"type": "integer", "default": 3}}},
                "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string", "default": "d"}}}},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "open": {"type": "object", "additionalProperties": true},
                "loose": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    "properties": {"known": {"type": "object", "properties": {"in": {"type": "string"}}}}},
                "embedded": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}},
            }}}}),
        )
    }

    #[test]
    fn unknown_fields_go() {
        let mut object = json!({
            "apiVersion": "a/v1", "kind": "K", "metadata": {"name": "n", "whatever": 1}, "status": {"x": 1},
            "spec": {
                "foo": 1,
                "list": [{"bar": 1, "a": "b"}],
                "labels": {"any": "thing"},
                "open": {"x": {"y": 1}},
                "loose": {"anything": {"a": 1}, "known": {"in": "x", "out": 1}},
                "embedded": {"apiVersion": "v1", "kind": "K", "metadata": {"name": "n"}, "spec": {"no": 1}},
            },
        });
        let removed = prune(&root(), &mut object);
        assert_eq!(
            removed,
            [
                "spec.embedded.spec.no",
                "spec.foo",
                "spec.list[0].bar",
                "spec.loose.known.out",
                "spec.open.x.y",
                "status"
            ]
        );
        assert_eq!(
            object,
            json!({
                "apiVersion": "a/v1", "kind": "K", "metadata": {"name": "n", "whatever": 1},
                "spec": {
                    "list": [{"a": "b"}],
                    "labels": {"any": "thing"},
                    "open": {"x": {}},
                    "loose": {"anything": {"a": 1}, "known": {"in": "x"}},
                    "embedded": {"apiVersion": "v1", "kind": "K", "metadata": {"name": "n"}, "spec": {}},
                },
            })
        );
    }

    #[test]
    fn defaults_are_filled_and_nulls_dropped() {
        let mut object = json!({"spec": {"name": null, "maybe": null, "plain": null, "list": [{"a": null}, {}]}});
        apply_defaults(&root(), &mut object);
        assert_eq!(
            object,
            json!({"spec": {"name": "x", "maybe": null, "nested": {"deep": 3}, "list": [{"a": "d"}, {"a": "d"}]}})
        );
    }

    #[test]
    fn defaults_do_not_make_their_parents() {
        let mut object = json!({"metadata": {}});
        apply_defaults(&root(), &mut object);
        assert_eq!(object, json!({"metadata": {}}));
    }
}
