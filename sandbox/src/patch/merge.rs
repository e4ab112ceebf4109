//! JSON merge patch (RFC 7396).

use serde_json::{Map, Value};

pub(crate) fn apply(target: &mut Value, patch: &Value) {
    let Some(changes) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Map::new().into();
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (field, change) in changes {
        if change.is_null() {
            fields.remove(field);
        } else {
            apply(fields.entry(field.clone()).or_insert(Value::Null), change);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::apply;

    #[test]
    fn merges_removes_and_replaces() {
        let mut target = json!({"a": {"b": 1, "c": 2}, "list": [1, 2], "gone": true});
        apply(
            &mut target,
            &json!({"a": {"b": null, "d": {"e": null}}, "list": [3], "gone": null}),
        );
        assert_eq!(target, json!({"a": {"c": 2, "d": {}}, "list": [3]}));
    }
}
