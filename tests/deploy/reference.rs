//! docs/reference.md, made from the definitions.

use std::{env, fmt::Write, fs};

use serde_json::{Map, Value};

use crate::render::file;

const PATH: &str = "docs/reference.md";
/// With it the document is written, and not compared.
const WRITE: &str = "WRITE_REFERENCE";
const HEAD: &str = "# Reference

Every field of the resources of `tokenwright.dev/v1alpha1`, made from their definitions. `kubectl explain apitoken.spec` says the
same. **Bold** fields are required. What does not fit is refused by the API server with the sentence that stands under *Rules*;
[examples/invalid](../examples/invalid) has a manifest for each.
";

#[test]
fn the_reference_is_what_the_definitions_say() {
    let made = document();
    if env::var_os(WRITE).is_some() {
        fs::write(file(PATH), made).unwrap();
        return;
    }
    let committed = fs::read_to_string(file(PATH)).unwrap_or_default();
    assert!(committed == made, "{PATH} is out of date: run 'just reference'");
}

#[test]
fn every_rule_of_the_definitions_is_in_the_reference() {
    let document = document();
    let mut rules = 0;
    for definition in tokenwright::api::crds() {
        let definition = serde_json::to_value(definition).unwrap();
        for message in messages(&definition) {
            assert!(document.contains(&cell(message)), "{message}");
            rules += 1;
        }
    }
    assert!(rules > 50, "{rules}");
}

fn messages(value: &Value) -> Vec<&str> {
    let within: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => vec![],
    };
    let own = value["x-kubernetes-validations"].as_array().into_iter().flatten();
    let own = own.filter_map(|rule| rule["message"].as_str());
    own.chain(within.into_iter().flat_map(messages)).collect()
}

fn document() -> String {
    let mut document = HEAD.to_owned();
    for definition in tokenwright::api::crds() {
        let definition = serde_json::to_value(definition).unwrap();
        let spec = &definition["spec"];
        let schema = &spec["versions"][0]["schema"]["openAPIV3Schema"];
        let names = &spec["names"];
        writeln!(
            document,
            "\n## {}\n\n{} {}; short name `{}`.",
            text(&names["kind"]),
            paragraph(text(&schema["description"])),
            if spec["scope"] == "Cluster" {
                "In the whole cluster"
            } else {
                "In a namespace"
            },
            text(&names["shortNames"][0])
        )
        .unwrap();
        for part in ["spec", "status"] {
            let schema = &schema["properties"][part];
            writeln!(document, "\n### {}: {part}\n", text(&names["kind"])).unwrap();
            if let Some(description) = schema["description"].as_str() {
                writeln!(document, "{}\n", paragraph(description)).unwrap();
            }
            document.push_str("| Field | Type | Default | Meaning |\n|---|---|---|---|\n");
            let mut rules = rules(part, schema);
            fields(&mut document, &mut rules, "", schema);
            if !rules.is_empty() {
                writeln!(document, "\n*Rules*\n\n{}", rules.join("\n")).unwrap();
            }
        }
    }
    document
}

/// A row for each field, those within it below it, and what rules there are for them.
fn fields(rows: &mut String, found: &mut Vec<String>, path: &str, schema: &Value) {
    let none = Map::new();
    let required = schema["required"].as_array().into_iter().flatten();
    let required: Vec<&str> = required.filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().unwrap_or(&none) {
        let full = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let shown = if required.contains(&name.as_str()) {
            format!("**`{full}`**")
        } else {
            format!("`{full}`")
        };
        let default = match &field["default"] {
            Value::Null => String::new(),
            default => format!("`{default}`"),
        };
        let meaning = field["description"].as_str().unwrap_or_default();
        writeln!(rows, "| {shown} | {} | {default} | {} |", kind(field), cell(meaning)).unwrap();
        // Kubernetes' own, and described there.
        if name == "conditions" || name == "selector" {
            continue;
        }
        found.extend(rules(&full, field));
        let (within, inner) = match field["type"].as_str() {
            Some("array") => (format!("{full}[]"), &field["items"]),
            _ => (full, field),
        };
        if within.ends_with("[]") {
            found.extend(rules(&within, inner));
        }
        fields(rows, found, &within, inner);
    }
}

fn rules(path: &str, schema: &Value) -> Vec<String> {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    rules
        .filter_map(|rule| rule["message"].as_str())
        .map(|message| format!("- `{path}`: {}", cell(message)))
        .collect()
}

/// The type of a field, with its bounds.
fn kind(schema: &Value) -> String {
    let values = schema["enum"].as_array().into_iter().flatten();
    let values: Vec<String> = values.map(|value| format!("`{}`", text(value))).collect();
    if !values.is_empty() {
        return values.join(", ");
    }
    let bounds = |least: &str, most: &str, unit: &str| match (schema[least].as_f64(), schema[most].as_f64()) {
        (None, None) => String::new(),
        (Some(least), None) => format!(", at least {least}{unit}"),
        (None, Some(most)) => format!(", at most {most}{unit}"),
        (Some(least), Some(most)) => format!(", {least} to {most}{unit}"),
    };
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (_, Some("date-time")) => "time".to_owned(),
        (Some("string"), _) => format!("text{}", bounds("minLength", "maxLength", " characters")),
        (Some("integer"), _) => format!("number{}", bounds("minimum", "maximum", "")),
        (Some("boolean"), _) => "true or false".to_owned(),
        (Some("array"), _) => format!(
            "list{}, of {}",
            bounds("minItems", "maxItems", ""),
            kind(&schema["items"])
        ),
        _ if schema["additionalProperties"].is_object() => {
            format!("map{}", bounds("minProperties", "maxProperties", " entries"))
        }
        _ => "object".to_owned(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn paragraph(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// As it can stand in a table.
fn cell(text: &str) -> String {
    paragraph(text)
        .replace('|', "\\|")
        .replace('<', "&lt;")
        .replace('*', "\\*")
}
