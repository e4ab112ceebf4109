//! JSON as CEL sees it: with the types, formats and names that a schema gives.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use kube_cel::KubeCelExt as _;
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{Context, Program, Value as Cel};
use serde_json::Value;

use super::formats::{self, Format};
use super::node::{Additional, Node, Type};
use super::regex_functions;

/// The functions of Kubernetes' CEL, without variables.
pub(crate) static FUNCTIONS: LazyLock<Context<'static>> = LazyLock::new(|| {
    let mut functions = Context::default().with_all();
    regex_functions::register(&mut functions);
    functions
});
/// How CEL itself makes values of its own types of a text `x`.
static AS_TIMESTAMP: LazyLock<Option<Program>> = LazyLock::new(|| Program::compile("timestamp(x)").ok());
static AS_DURATION: LazyLock<Option<Program>> = LazyLock::new(|| Program::compile("duration(x)").ok());

const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// A field's name as rules write it; names that no rule can write answer `None`.
pub(crate) fn escape(name: &str) -> Option<String> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-/".contains(c)) {
        return None;
    }
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(character) = rest.chars().next() {
        let (escaped, taken) = match character {
            '_' if rest.starts_with("__") => ("__underscores__", 2),
            '.' => ("__dot__", 1),
            '-' => ("__dash__", 1),
            '/' => ("__slash__", 1),
            _ => (&rest[..1], 1),
        };
        out.push_str(escaped);
        rest = &rest[taken..];
    }
    Some(out)
}

/// Whether a rule can select a field by its own name although that is a reserved word: all but those that mean something
/// in the language itself.
pub(crate) fn is_readable_as_is(name: &str) -> bool {
    RESERVED.contains(&name) && !matches!(name, "true" | "false" | "null" | "in")
}

/// A value of an object as rules see it. Of a struct they see the fields that its schema declares, of a resource also
/// the type and the names.
pub(crate) fn to_cel(node: &Node, value: &Value, is_resource: bool) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(flag) => Cel::Bool(*flag),
        Value::Number(number) => match node.kind {
            Some(Type::Number) => Cel::Float(number.as_f64().unwrap_or_default()),
            _ => plain_number(number),
        },
        Value::String(text) => string_to_cel(node, text),
        Value::Array(items) => {
            let items = items.iter().map(|item| match &node.items {
                Some(node) => to_cel(node, item, node.embedded),
                None => plain(item),
            });
            Cel::List(Arc::new(items.collect()))
        }
        Value::Object(fields) => {
            let mut seen = HashMap::with_capacity(fields.len());
            for (name, value) in fields {
                if let Some(property) = node.properties.get(name)
                    && !(is_resource && name == "metadata")
                {
                    let value = to_cel(property, value, property.embedded);
                    if is_readable_as_is(name) {
                        seen.insert(key(name), value.clone());
                    }
                    if let Some(name) = escape(name) {
                        seen.insert(key(&name), value);
                    }
                } else if is_resource && matches!(name.as_str(), "apiVersion" | "kind") {
                    seen.insert(key(name), plain(value));
                } else if is_resource && name == "metadata" {
                    seen.insert(key(name), visible_metadata(value));
                } else if let Some(Additional::Schema(node)) = &node.additional {
                    seen.insert(key(name), to_cel(node, value, node.embedded));
                }
            }
            Cel::Map(Map { map: Arc::new(seen) })
        }
    }
}

fn key(name: &str) -> Key {
    Key::String(Arc::new(name.to_owned()))
}

fn visible_metadata(metadata: &Value) -> Cel {
    let names = ["name", "generateName"];
    let seen: HashMap<Key, Cel> = names
        .iter()
        .filter_map(|name| Some((key(name), plain(metadata.get(name)?))))
        .collect();
    Cel::Map(Map { map: Arc::new(seen) })
}

fn string_to_cel(node: &Node, text: &str) -> Cel {
    let plain = || Cel::String(Arc::new(text.to_owned()));
    match node.string_format {
        Some(Format::DateTime) => convert(AS_TIMESTAMP.as_ref(), text).unwrap_or_else(plain),
        Some(Format::Date) => convert(AS_TIMESTAMP.as_ref(), &format!("{text}T00:00:00Z")).unwrap_or_else(plain),
        Some(Format::Duration) => formats::duration_nanoseconds(text)
            .and_then(|nanoseconds| convert(AS_DURATION.as_ref(), &format!("{nanoseconds}ns")))
            .unwrap_or_else(plain),
        Some(Format::Byte) => match base64::engine::general_purpose::STANDARD.decode(text) {
            Ok(bytes) => Cel::Bytes(Arc::new(bytes)),
            Err(_) => plain(),
        },
        _ => plain(),
    }
}

/// Has CEL itself make a value of one of its types.
fn convert(conversion: Option<&Program>, text: &str) -> Option<Cel> {
    let mut scope = FUNCTIONS.new_inner_scope();
    scope.add_variable_from_value("x", text.to_owned());
    conversion?.execute(&scope).ok()
}

fn plain_number(number: &serde_json::Number) -> Cel {
    match (number.as_i64(), number.as_u64()) {
        (Some(int), _) => Cel::Int(int),
        (None, Some(uint)) => Cel::UInt(uint),
        _ => Cel::Float(number.as_f64().unwrap_or_default()),
    }
}

/// A value without a schema.
fn plain(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(flag) => Cel::Bool(*flag),
        Value::Number(number) => plain_number(number),
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(items) => Cel::List(Arc::new(items.iter().map(plain).collect())),
        Value::Object(fields) => {
            let seen: HashMap<Key, Cel> = fields.iter().map(|(name, value)| (key(name), plain(value))).collect();
            Cel::Map(Map { map: Arc::new(seen) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        let names = [
            "plain",
            "snake_case",
            "dunder__name",
            "a.b-c/d",
            "namespace",
            "1st",
            "a b",
        ];
        assert_eq!(
            names.map(escape),
            [
                Some("plain".to_owned()),
                Some("snake_case".to_owned()),
                Some("dunder__underscores__name".to_owned()),
                Some("a__dot__b__dash__c__slash__d".to_owned()),
                Some("__namespace__".to_owned()),
                None,
                None,
            ]
        );
    }
}
