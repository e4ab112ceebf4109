//! One node of a structural schema, read once.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use super::formats::Format;
use super::pattern;
use super::rule::Rule;

/// The JSON types of schemas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Type {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// How the items of a list are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListType {
    #[default]
    Atomic,
    Set,
    Map,
}

/// What `additionalProperties` says.
#[derive(Debug)]
pub(crate) enum Additional {
    Any,
    Nothing,
    Schema(Box<Node>),
}

/// One node of a schema.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) kind: Option<Type>,
    pub(crate) nullable: bool,
    /// The format as written; kept only where the API server knows it for the type.
    pub(crate) format: Option<String>,
    pub(crate) string_format: Option<Format>,
    pub(crate) default: Option<Value>,
    pub(crate) choices: Vec<Value>,
    pub(crate) maximum: Option<f64>,
    pub(crate) exclusive_maximum: bool,
    pub(crate) minimum: Option<f64>,
    pub(crate) exclusive_minimum: bool,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) max_length: Option<i64>,
    pub(crate) min_length: Option<i64>,
    pub(crate) pattern: Option<(String, Regex)>,
    pub(crate) max_items: Option<i64>,
    pub(crate) min_items: Option<i64>,
    pub(crate) max_properties: Option<i64>,
    pub(crate) min_properties: Option<i64>,
    pub(crate) required: Vec<String>,
    pub(crate) properties: BTreeMap<String, Node>,
    pub(crate) additional: Option<Additional>,
    pub(crate) items: Option<Box<Node>>,
    pub(crate) all_of: Vec<Node>,
    pub(crate) any_of: Vec<Node>,
    pub(crate) one_of: Vec<Node>,
    pub(crate) not: Option<Box<Node>>,
    pub(crate) preserve_unknown: bool,
    pub(crate) embedded: bool,
    pub(crate) int_or_string: bool,
    pub(crate) list_type: ListType,
    pub(crate) map_keys: Vec<String>,
    pub(crate) rules: Vec<Rule>,
    /// Whether a rule stands here or further down.
    pub(crate) has_rules: bool,
    /// Whether a list whose items have to differ stands here or further down.
    pub(crate) has_unique_items: bool,
}

impl Node {
    /// Reads a node. What is malformed is left out: the checks of a schema come before, see [`super::structural`].
    pub(crate) fn read(schema: &Value) -> Self {
        let flag = |name: &str| schema[name].as_bool().unwrap_or(false);
        let kind = schema["type"].as_str().and_then(Type::named);
        let int_or_string = flag("x-kubernetes-int-or-string");
        let format = schema["format"]
            .as_str()
            .filter(|format| is_known_format(kind, int_or_string, format));
        let nodes = |name: &str| {
            schema[name]
                .as_array()
                .map(|all| all.iter().map(Self::read).collect())
                .unwrap_or_default()
        };
        let mut node = Self {
            kind,
            nullable: flag("nullable"),
            format: format.map(str::to_owned),
            string_format: format.and_then(Format::named),
            default: schema.get("default").filter(|default| !default.is_null()).cloned(),
            choices: schema["enum"].as_array().cloned().unwrap_or_default(),
            maximum: schema["maximum"].as_f64(),
            exclusive_maximum: flag("exclusiveMaximum"),
            minimum: schema["minimum"].as_f64(),
            exclusive_minimum: flag("exclusiveMinimum"),
            multiple_of: schema["multipleOf"].as_f64(),
            max_length: schema["maxLength"].as_i64(),
            min_length: schema["minLength"].as_i64(),
            pattern: schema["pattern"]
                .as_str()
                .filter(|text| !text.is_empty())
                .and_then(|text| Some((text.to_owned(), pattern::compile(text).ok()?))),
            max_items: schema["maxItems"].as_i64(),
            min_items: schema["minItems"].as_i64(),
            max_properties: schema["maxProperties"].as_i64(),
            min_properties: schema["minProperties"].as_i64(),
            required: strings(&schema["required"]),
            properties: schema["properties"]
                .as_object()
                .map(|all| {
                    all.iter()
                        .map(|(name, schema)| (name.clone(), Self::read(schema)))
                        .collect()
                })
                .unwrap_or_default(),
            additional: match &schema["additionalProperties"] {
                Value::Bool(true) => Some(Additional::Any),
                Value::Bool(false) => Some(Additional::Nothing),
                Value::Object(_) => Some(Additional::Schema(Box::new(Self::read(
                    &schema["additionalProperties"],
                )))),
                _ => None,
            },
            items: schema
                .get("items")
                .filter(|items| items.is_object())
                .map(|items| Box::new(Self::read(items))),
            all_of: nodes("allOf"),
            any_of: nodes("anyOf"),
            one_of: nodes("oneOf"),
            not: schema
                .get("not")
                .filter(|not| not.is_object())
                .map(|not| Box::new(Self::read(not))),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            int_or_string,
            list_type: match schema["x-kubernetes-list-type"].as_str() {
                Some("set") => ListType::Set,
                Some("map") => ListType::Map,
                _ => ListType::Atomic,
            },
            map_keys: strings(&schema["x-kubernetes-list-map-keys"]),
            rules: schema["x-kubernetes-validations"]
                .as_array()
                .map(|rules| rules.iter().map(Rule::read).collect())
                .unwrap_or_default(),
            has_rules: false,
            has_unique_items: false,
        };
        node.has_rules = !node.rules.is_empty() || node.parts().any(|part| part.has_rules);
        node.has_unique_items = node.list_type != ListType::Atomic || node.parts().any(|part| part.has_unique_items);
        node
    }

    /// What its fields and items are.
    fn parts(&self) -> impl Iterator<Item = &Self> {
        let additional = match &self.additional {
            Some(Additional::Schema(node)) => Some(&**node),
            _ => None,
        };
        self.properties.values().chain(self.items.as_deref()).chain(additional)
    }

    /// The node of a field: a property, or what a map's values are.
    pub(crate) fn field(&self, name: &str) -> Option<&Node> {
        self.properties.get(name).or(match &self.additional {
            Some(Additional::Schema(node)) => Some(node),
            _ => None,
        })
    }

    /// The names of the types that a value may have, as messages list them.
    pub(crate) fn type_names(&self) -> String {
        if self.int_or_string {
            return "integer,string".to_owned();
        }
        self.kind.map(|kind| kind.name().to_owned()).unwrap_or_default()
    }

    pub(crate) fn allows_type(&self, kind: Type) -> bool {
        match self.int_or_string {
            true => matches!(kind, Type::Integer | Type::String),
            false => self.kind == Some(kind),
        }
    }
}

fn is_known_format(kind: Option<Type>, int_or_string: bool, format: &str) -> bool {
    match kind {
        _ if int_or_string => false,
        None | Some(Type::String) => Format::named(format).is_some(),
        Some(Type::Integer) => matches!(format, "int32" | "int64"),
        Some(Type::Number) => matches!(format, "float" | "double"),
        Some(Type::Object | Type::Array | Type::Boolean) => false,
    }
}

fn strings(value: &Value) -> Vec<String> {
    value
        .as_array()
        .map(|all| all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect())
        .unwrap_or_default()
}
