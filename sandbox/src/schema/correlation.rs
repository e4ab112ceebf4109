//! Which part of the old object a part of the new one stems from.

use serde_json::Value;

use super::node::{ListType, Node};

/// The old value of a field of an object.
pub(crate) fn field<'a>(old: Option<&'a Value>, name: &str) -> Option<&'a Value> {
    old?.as_object()?.get(name)
}

/// The old value of an item of a list; only the items of a map-like list are known again, by their keys.
pub(crate) fn item<'a>(node: &Node, old: Option<&'a Value>, item: &Value) -> Option<&'a Value> {
    if node.list_type != ListType::Map || !item.is_object() {
        return None;
    }
    let same = |other: &&Value| {
        other.is_object()
            && node
                .map_keys
                .iter()
                .all(|key| is_equal_option(other.get(key), item.get(key)))
    };
    old?.as_array()?.iter().find(same)
}

fn is_equal_option(one: Option<&Value>, other: Option<&Value>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one == other,
        (None, None) => true,
        _ => false,
    }
}

/// Whether a value is what it was. Items of a map-like list may have moved.
pub(crate) fn is_unchanged(node: &Node, new: &Value, old: Option<&Value>) -> bool {
    let Some(old) = old else { return false };
    match (new, old) {
        (Value::Null, Value::Null) => true,
        (Value::Array(new_items), Value::Array(old_items)) if node.list_type == ListType::Map => {
            new_items.len() == old_items.len()
                && node.items.as_deref().is_some_and(|items| {
                    new_items
                        .iter()
                        .all(|new| is_unchanged(items, new, item(node, Some(old), new)))
                })
        }
        (Value::Object(new_fields), Value::Object(old_fields)) => {
            new_fields.len() == old_fields.len()
                && new_fields.iter().all(|(name, new)| match node.field(name) {
                    Some(node) => is_unchanged(node, new, old_fields.get(name)),
                    None => old_fields.get(name) == Some(new),
                })
        }
        _ => new == old,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keyed() -> Node {
        Node::read(&json!({
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "properties": {"name": {"type": "string"}, "v": {"type": "integer"}}},
        }))
    }

    #[test]
    fn items_are_known_by_their_key() {
        let old = json!([{"name": "a", "v": 1}, {"name": "b", "v": 2}]);
        assert_eq!(
            item(&keyed(), Some(&old), &json!({"name": "b", "v": 3})),
            Some(&json!({"name": "b", "v": 2}))
        );
        assert_eq!(item(&keyed(), Some(&old), &json!({"name": "c"})), None);
        assert_eq!(item(&Node::default(), Some(&old), &json!({"name": "b"})), None);
    }

    #[test]
    fn moved_items_are_unchanged() {
        let old = json!([{"name": "a", "v": 1}, {"name": "b", "v": 2}]);
        assert!(is_unchanged(
            &keyed(),
            &json!([{"name": "b", "v": 2}, {"name": "a", "v": 1}]),
            Some(&old)
        ));
        assert!(!is_unchanged(
            &keyed(),
            &json!([{"name": "b", "v": 3}, {"name": "a", "v": 1}]),
            Some(&old)
        ));
        assert!(!is_unchanged(&keyed(), &old, None));
    }
}
