//! Uniqueness of the items of set-like and map-like lists.

use serde_json::{Map, Value};

use super::error::FieldError;
use super::node::{Additional, ListType, Node};
use super::shape::child_path;

/// The items that are there twice; each is reported once, however often it is repeated.
pub(crate) fn validate(node: &Node, path: &str, value: &Value, errors: &mut Vec<FieldError>) {
    if !node.has_unique_items {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(property) = node.properties.get(name) {
                    validate(property, &child_path(path, name), value, errors);
                } else if let Some(Additional::Schema(node)) = &node.additional {
                    validate(node, &format!("{path}[{name}]"), value, errors);
                }
            }
        }
        Value::Array(items) => {
            match node.list_type {
                ListType::Set => {
                    for index in repeated(items.iter().cloned()) {
                        errors.push(FieldError::duplicate(format!("{path}[{index}]"), items[index].clone()));
                    }
                }
                ListType::Map => validate_keys(node, path, items, errors),
                ListType::Atomic => {}
            }
            if let Some(node) = &node.items {
                for (index, item) in items.iter().enumerate() {
                    validate(node, &format!("{path}[{index}]"), item, errors);
                }
            }
        }
        _ => {}
    }
}

fn validate_keys(node: &Node, path: &str, items: &[Value], errors: &mut Vec<FieldError>) {
    if let Some((index, item)) = items
        .iter()
        .enumerate()
        .find(|(_, item)| !item.is_object() && !item.is_null())
    {
        let detail = "must be an object for an array of list-type map";
        errors.push(FieldError::invalid(format!("{path}[{index}]"), item.clone(), detail));
        return;
    }
    let keys: Vec<Value> = items
        .iter()
        .map(|item| {
            let known = node
                .map_keys
                .iter()
                .filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
            Value::Object(known.collect::<Map<_, _>>())
        })
        .collect();
    for index in repeated(keys.iter().cloned()) {
        errors.push(FieldError::duplicate(format!("{path}[{index}]"), keys[index].clone()));
    }
}

fn repeated(values: impl Iterator<Item = Value>) -> Vec<usize> {
    let mut seen: Vec<(Value, usize)> = Vec::new();
    let mut repeated = Vec::new();
    for (index, value) in values.enumerate() {
        match seen.iter_mut().find(|(other, _)| *other == value) {
            Some((_, times)) => {
                *times += 1;
                if *times == 2 {
                    repeated.push(index);
                }
            }
            None => seen.push((value, 1)),
        }
    }
    repeated
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn repeated_items_are_reported_once() {
        let node = Node::read(&json!({"type": "object", "properties": {
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
        }}));
        let mut errors = Vec::new();
        let object = json!({"set": ["a", "b", "a", "a"], "map": [{"name": "x"}, {"name": "x", "v": 1}, {}, {}]});
        validate(&node, "spec", &object, &mut errors);
        assert_eq!(
            errors,
            [
                FieldError::duplicate("spec.map[1]", json!({"name": "x"})),
                FieldError::duplicate("spec.map[3]", json!({})),
                FieldError::duplicate("spec.set[2]", "a"),
            ]
        );
    }
}
