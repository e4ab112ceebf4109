//! Strategic merge patch: lists of objects merge by a key of theirs, and directives delete, replace or retain.
//!
//! The real server reads the keys from its Go types; here a table by field name does, which is enough for the builtin
//! kinds that are served.

use serde_json::{Map, Value};

/// The key by which a list's items merge, or none when the list is replaced as a whole. `parent` is the field that
/// holds the list's object, to tell a Service's ports from a container's.
fn merge_key(field: &str, parent: &str, items: &[Value]) -> Option<&'static str> {
    match field {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "env"
        | "volumes"
        | "imagePullSecrets"
        | "secrets" => Some("name"),
        "ports" if parent == "spec" => Some("port"),
        "ports" => Some("containerPort"),
        "volumeMounts" => Some("mountPath"),
        "volumeDevices" => Some("devicePath"),
        "ownerReferences" => Some("uid"),
        "conditions" => Some("type"),
        "hostAliases" => Some("ip"),
        "addresses" => Some("type"),
        "topologySpreadConstraints" => Some("topologyKey"),
        "validations" | "matchConditions" | "variables" | "auditAnnotations" => {
            let named = items.iter().all(|item| item.get("name").is_some());
            named
                .then_some("name")
                .filter(|_| field == "matchConditions" || field == "variables")
        }
        _ => None,
    }
}

/// Lists of plain values that merge as sets.
fn is_set(field: &str) -> bool {
    field == "finalizers"
}

/// Applies a patch to an object of a builtin kind.
pub(crate) fn apply(target: &mut Value, patch: &Value) {
    merge_object(target, patch, "");
}

fn merge_object(target: &mut Value, patch: &Value, name: &str) {
    let Some(changes) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    match changes.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            let mut replaced = patch.clone();
            strip(&mut replaced);
            *target = replaced;
            return;
        }
        Some("delete") => {
            *target = Map::new().into();
            return;
        }
        _ => {}
    }
    if !target.is_object() {
        *target = Map::new().into();
    }
    let Some(fields) = target.as_object_mut() else { return };
    if let Some(retained) = changes.get("$retainKeys").and_then(Value::as_array) {
        fields.retain(|field, _| retained.iter().any(|it| it == field));
    }
    for (directive, values) in changes {
        if let Some(list) = directive.strip_prefix("$deleteFromPrimitiveList/")
            && let (Some(items), Some(values)) = (fields.get_mut(list).and_then(Value::as_array_mut), values.as_array())
        {
            items.retain(|item| !values.contains(item));
        }
    }
    for (field, change) in changes.iter().filter(|(field, _)| !field.starts_with('$')) {
        match change {
            Value::Null => {
                fields.remove(field);
            }
            Value::Array(items) => {
                let order = changes
                    .get(&format!("$setElementOrder/{field}"))
                    .and_then(Value::as_array);
                merge_list(
                    fields.entry(field.clone()).or_insert(Value::Null),
                    items,
                    field,
                    name,
                    order,
                );
            }
            Value::Object(inner) if inner.get("$patch").and_then(Value::as_str) == Some("delete") => {
                fields.remove(field);
            }
            Value::Object(_) => merge_object(fields.entry(field.clone()).or_insert(Value::Null), change, field),
            plain => {
                fields.insert(field.clone(), plain.clone());
            }
        }
    }
}

fn merge_list(target: &mut Value, changes: &[Value], field: &str, parent: &str, order: Option<&Vec<Value>>) {
    let replaces = changes
        .iter()
        .any(|item| item.get("$patch").and_then(Value::as_str) == Some("replace"));
    let existing = target.as_array().cloned().unwrap_or_default();
    let mut merged = existing;
    if let Some(key) = merge_key(field, parent, changes).filter(|_| !replaces) {
        for change in changes {
            let id = change.get(key);
            let at = merged.iter().position(|item| id.is_some() && item.get(key) == id);
            match (change.get("$patch").and_then(Value::as_str), at) {
                (Some("delete"), Some(at)) => {
                    merged.remove(at);
                }
                (Some("delete"), None) => {}
                (_, Some(at)) => merge_object(&mut merged[at], change, field),
                (_, None) => {
                    let mut added = Value::Null;
                    merge_object(&mut added, change, field);
                    merged.push(added);
                }
            }
        }
        if let Some(order) = order {
            sort(&mut merged, key, order);
        }
    } else if is_set(field) && !replaces {
        for change in changes {
            if !merged.contains(change) {
                merged.push(change.clone());
            }
        }
    } else {
        merged = changes
            .iter()
            .filter(|item| item.get("$patch").is_none())
            .cloned()
            .collect();
        merged.iter_mut().for_each(strip);
    }
    *target = merged.into();
}

/// Puts the items that the order names into that order; others keep their place behind those before them.
fn sort(items: &mut [Value], key: &str, order: &[Value]) {
    let rank = |item: &Value| order.iter().position(|it| it.get(key) == item.get(key));
    let mut last = 0;
    let ranks: Vec<(usize, usize)> = items
        .iter()
        .enumerate()
        .map(|(at, item)| {
            last = rank(item).unwrap_or(last);
            (last, at)
        })
        .collect();
    let mut sorted: Vec<usize> = (0..items.len()).collect();
    sorted.sort_by_key(|at| ranks[*at]);
    let before = items.to_vec();
    for (to, from) in sorted.into_iter().enumerate() {
        items[to] = before[from].clone();
    }
}

/// Removes directives from what is taken over as it is.
fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|field, _| !field.starts_with('$'));
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::apply;

    #[test]
    fn lists_merge_by_key() {
        let mut pod = json!({"spec": {
            "containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "1"}],
            "tolerations": [{"key": "old"}],
        }});
        apply(
            &mut pod,
            &json!({"spec": {
                "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
                "containers": [
                    {"name": "a", "image": "2", "env": [{"name": "Y", "value": "2"}]},
                    {"name": "b", "$patch": "delete"},
                    {"name": "c", "image": "3"},
                ],
                "tolerations": [{"key": "new"}],
            }}),
        );
        assert_eq!(
            pod,
            json!({"spec": {
                "containers": [
                    {"name": "c", "image": "3"},
                    {"name": "a", "image": "2", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
                ],
                "tolerations": [{"key": "new"}],
            }})
        );
    }

    #[test]
    fn directives() {
        let mut object = json!({
            "metadata": {"finalizers": ["a", "b"], "labels": {"x": "1"}},
            "spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}, "gone": {"a": 1}},
        });
        apply(
            &mut object,
            &json!({
                "metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "labels": {"$patch": "replace", "y": "2"}},
                "spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}, "gone": {"$patch": "delete"}},
            }),
        );
        assert_eq!(
            object,
            json!({"metadata": {"finalizers": ["b"], "labels": {"y": "2"}}, "spec": {"strategy": {"type": "Recreate"}}})
        );
    }
}
