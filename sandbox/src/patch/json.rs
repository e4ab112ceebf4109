//! JSON patch (RFC 6902), with the real server's leniency: a missing value equals null in a test.

use serde_json::Value;

/// Applies the operations in turn.
pub(crate) fn apply(target: &mut Value, patch: &Value) -> Result<(), String> {
    let operations = patch.as_array().ok_or("a JSON patch is a list of operations")?;
    operations.iter().try_for_each(|operation| one(target, operation))
}

fn one(target: &mut Value, operation: &Value) -> Result<(), String> {
    let field = |name: &str| {
        let value = operation.get(name).and_then(Value::as_str);
        value.ok_or_else(|| format!("operation without {name}: {operation}"))
    };
    let path = field("path")?;
    match field("op")? {
        "add" => add(target, path, value(operation)?),
        "remove" => remove(target, path).map(|_| ()),
        "replace" => {
            let place = find(target, path).ok_or_else(|| missing("replace", path))?;
            *place = value(operation)?;
            Ok(())
        }
        "move" => {
            let moved = remove(target, field("from")?)?;
            add(target, path, moved)
        }
        "copy" => {
            let from = field("from")?;
            let copied = find(target, from).ok_or_else(|| missing("copy", from))?.clone();
            add(target, path, copied)
        }
        "test" => {
            let wanted = operation.get("value").unwrap_or(&Value::Null);
            if find(target, path).unwrap_or(&mut Value::Null) == wanted {
                Ok(())
            } else {
                Err(format!("testing value {path} failed: test failed"))
            }
        }
        other => Err(format!("Unexpected kind: {other}")),
    }
}

fn value(operation: &Value) -> Result<Value, String> {
    operation
        .get("value")
        .cloned()
        .ok_or_else(|| format!("operation without value: {operation}"))
}

fn missing(operation: &str, path: &str) -> String {
    format!("{operation} operation does not apply: doc is missing path: {path}: missing value")
}

fn find<'a>(target: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    target.pointer_mut(path)
}

fn split(path: &str) -> Result<(&str, String), String> {
    let (parent, last) = path
        .rsplit_once('/')
        .ok_or_else(|| format!("a path begins with /: {path}"))?;
    Ok((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), String> {
    if path.is_empty() {
        *target = value;
        return Ok(());
    }
    let (parent, last) = split(path)?;
    match find(target, parent).ok_or_else(|| missing("add", path))? {
        Value::Object(fields) => {
            fields.insert(last, value);
        }
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => {
            let at = last.parse().ok().filter(|at| *at <= items.len());
            items.insert(
                at.ok_or_else(|| format!("add operation does not apply: {path}: invalid index"))?,
                value,
            );
        }
        _ => return Err(missing("add", path)),
    }
    Ok(())
}

fn remove(target: &mut Value, path: &str) -> Result<Value, String> {
    let (parent, last) = split(path)?;
    let removed = match find(target, parent) {
        Some(Value::Object(fields)) => fields.remove(&last),
        Some(Value::Array(items)) => {
            let at = last.parse().ok().filter(|at: &usize| *at < items.len());
            at.map(|at| items.remove(at))
        }
        _ => None,
    };
    removed.ok_or_else(|| format!("remove operation does not apply: doc is missing path: {path}: missing value"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::apply;

    fn patched(mut target: Value, patch: Value) -> Result<Value, String> {
        apply(&mut target, &patch).map(|()| target)
    }

    #[test]
    fn operations() {
        let patch = json!([
            {"op": "test", "path": "/a", "value": 1},
            {"op": "add", "path": "/list/-", "value": 3},
            {"op": "add", "path": "/list/0", "value": 0},
            {"op": "move", "from": "/a", "path": "/b"},
            {"op": "copy", "from": "/b", "path": "/x~1y"},
            {"op": "replace", "path": "/b", "value": 2},
            {"op": "remove", "path": "/list/1"},
        ]);
        assert_eq!(
            patched(json!({"a": 1, "list": [1]}), patch).unwrap(),
            json!({"b": 2, "x/y": 1, "list": [0, 3]})
        );
    }

    #[test]
    fn a_missing_value_equals_null_in_a_test() {
        assert!(
            patched(
                json!({}),
                json!([{"op": "test", "path": "/metadata/finalizers", "value": null}])
            )
            .is_ok()
        );
        assert!(patched(json!({"a": 1}), json!([{"op": "test", "path": "/a", "value": null}])).is_err());
    }

    #[test]
    fn what_is_missing_is_an_error() {
        for patch in [
            json!([{"op": "remove", "path": "/a"}]),
            json!([{"op": "replace", "path": "/a", "value": 1}]),
            json!([{"op": "add", "path": "/a/b", "value": 1}]),
            json!([{"op": "add", "path": "/list/5", "value": 1}]),
            json!([{"op": "dance", "path": "/a"}]),
            json!({"op": "add"}),
        ] {
            assert!(patched(json!({"list": []}), patch.clone()).is_err(), "{patch}");
        }
    }
}
