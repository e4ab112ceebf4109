//! Paths to fields as rules and selectable fields write them: `.a.b['c.d']`.

use serde_json::Value;

/// Follows a path through a schema: the path as errors write it, and the schema it leads to.
pub(crate) fn resolve<'a>(path: &str, schema: &'a Value, allow_brackets: bool) -> Result<(String, &'a Value), String> {
    let mut rest = path;
    let mut schema = schema;
    let mut written = String::new();
    while !rest.is_empty() {
        let name;
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[', ']']).unwrap_or(after.len());
            if end == 0 {
                return Err("unexpected end of JSON path".to_owned());
            }
            name = after[..end].to_owned();
            rest = &after[end..];
        } else if let Some(after) = rest.strip_prefix('[') {
            if !allow_brackets {
                return Err("array notation is not allowed".to_owned());
            }
            let Some(quoted) = after.strip_prefix('\'') else {
                let token = after.split(['.', '[', ']']).next().unwrap_or_default();
                return Err(format!("expected single quoted string but got {token}"));
            };
            let Some(end) = quoted.find("']") else {
                return Err("unexpected end of JSON path".to_owned());
            };
            name = quoted[..end].replace("\\'", "'").replace("\\\\", "\\");
            rest = &quoted[end + 2..];
        } else {
            let token = rest.split(['.', '[', ']']).next().unwrap_or_default();
            return Err(format!("expected [ or . but got: {token}"));
        }
        let no_field = || "does not refer to a valid field".to_owned();
        if schema["properties"].is_object() {
            if !written.is_empty() {
                written.push('.');
            }
            written.push_str(&name);
            schema = schema["properties"].get(&name).ok_or_else(no_field)?;
        } else if schema["additionalProperties"].is_object() {
            written.push_str(&format!("[{name}]"));
            schema = &schema["additionalProperties"];
        } else {
            return Err(no_field());
        }
    }
    Ok((written, schema))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_through_the_schema() {
        let schema =
            json!({"properties": {"a": {"additionalProperties": {"type": "string"}}, "b.c": {"type": "integer"}}});
        let answer =
            |path: &str| resolve(path, &schema, true).map(|(written, schema)| (written, schema["type"].clone()));
        assert_eq!(answer(".a['k/x']"), Ok(("a[k/x]".to_owned(), json!("string"))));
        assert_eq!(answer("['b.c']"), Ok(("b.c".to_owned(), json!("integer"))));
        assert_eq!(answer(".x"), Err("does not refer to a valid field".to_owned()));
        assert_eq!(answer("a"), Err("expected [ or . but got: a".to_owned()));
        assert_eq!(answer("."), Err("unexpected end of JSON path".to_owned()));
        assert_eq!(
            resolve("['a']", &schema, false).map(|_| ()),
            Err("array notation is not allowed".to_owned())
        );
    }
}
