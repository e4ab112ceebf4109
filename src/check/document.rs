//! Documents of YAML or JSON that know the line of each of their fields.

use std::{fmt, io::Cursor};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use serde_saphyr::{RenderOptions, SnippetMode, Spanned};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Counted from 1.
    pub line: u32,
    content: Content,
}

#[derive(Clone, Debug, PartialEq)]
enum Content {
    Plain(Value),
    List(Vec<Node>),
    Map(Vec<Field>),
}

#[derive(Clone, Debug, PartialEq)]
struct Field {
    name: String,
    line: u32,
    value: Node,
}

/// Why something is no YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Counted from 1.
    pub line: u32,
    /// What is wrong.
    pub message: String,
}

/// The documents of a text, but for those with nothing in them, and why others cannot be read.
pub fn read(text: &str) -> Vec<Result<Node, Unreadable>> {
    let mut bytes = Cursor::new(text.as_bytes());
    let documents = serde_saphyr::read::<_, Node>(&mut bytes);
    documents
        .map(|document| document.map_err(|error| unreadable(&error)))
        .collect()
}

fn unreadable(error: &serde_saphyr::Error) -> Unreadable {
    let line = error.location().map_or(1, |location| line_number(location.line()));
    Unreadable {
        line,
        message: explain(error),
    }
}

fn explain(error: &serde_saphyr::Error) -> String {
    match error {
        serde_saphyr::Error::WithSnippet { error, .. } => explain(error),
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("{key:?} is there twice. Keep one of the two, or begin another object with a line ---")
        }
        other => {
            let mut options = RenderOptions::default();
            options.snippets = SnippetMode::Off;
            other.render_with_options(options)
        }
    }
}

fn line_number(line: u64) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX).max(1)
}

impl Node {
    /// The value without its places.
    pub fn to_value(&self) -> Value {
        match &self.content {
            Content::Plain(value) => value.clone(),
            Content::List(items) => items.iter().map(Self::to_value).collect(),
            Content::Map(fields) => fields
                .iter()
                .map(|field| (field.name.clone(), field.value.to_value()))
                .collect::<Map<_, _>>()
                .into(),
        }
    }

    /// The items of a List, as `kubectl get --output yaml` writes them; any other object itself.
    pub fn flatten(self) -> Vec<Self> {
        let is = |name, text: &str| self.field(name).is_some_and(|node| node.as_str() == Some(text));
        if !(is("kind", "List") && is("apiVersion", "v1")) {
            return vec![self];
        }
        let Content::Map(fields) = self.content else {
            return Vec::new();
        };
        let items = fields.into_iter().find(|field| field.name == "items");
        match items.map(|items| items.value.content) {
            Some(Content::List(items)) => items.into_iter().flat_map(Self::flatten).collect(),
            _ => Vec::new(),
        }
    }

    fn field(&self, name: &str) -> Option<&Self> {
        let Content::Map(fields) = &self.content else {
            return None;
        };
        fields.iter().find(|field| field.name == name).map(|field| &field.value)
    }

    fn as_str(&self) -> Option<&str> {
        match &self.content {
            Content::Plain(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The line of a field by its path, such as `spec.roles[0].name`; where it is missing, that of what it would stand in.
    pub fn line_of(&self, path: &str) -> u32 {
        let (mut node, mut line, mut rest) = (self, self.line, path);
        while let Some((next, at, remains)) = node.step(rest) {
            (node, line, rest) = (next, at, remains);
        }
        line
    }

    /// The first part of the path: what it leads to, its line, and the rest of the path.
    fn step<'a>(&self, path: &'a str) -> Option<(&Self, u32, &'a str)> {
        let path = path.strip_prefix('.').unwrap_or(path);
        match &self.content {
            Content::List(items) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                let item = items.get(index.parse::<usize>().ok()?)?;
                Some((item, item.line, rest))
            }
            // Keys may have dots in them: the longest that fits is meant.
            Content::Map(fields) => {
                let fitting = fields
                    .iter()
                    .filter_map(|field| Some((field, after_key(path, &field.name)?)));
                let (field, rest) = fitting.max_by_key(|(field, _)| field.name.len())?;
                Some((&field.value, field.line, rest))
            }
            Content::Plain(_) => None,
        }
    }
}

/// What is left of a path that starts with this key, which stands in brackets where a map has any keys.
fn after_key<'a>(path: &'a str, key: &str) -> Option<&'a str> {
    if let Some(rest) = path.strip_prefix('[') {
        return rest.strip_prefix(key)?.strip_prefix(']');
    }
    let rest = path.strip_prefix(key)?;
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content>::deserialize(deserializer)?;
        Ok(Self {
            line: line_number(spanned.referenced.line()),
            content: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyContent)
    }
}

struct AnyContent;

impl<'de> Visitor<'de> for AnyContent {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Plain(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Plain(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Plain(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Plain(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Plain(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Plain(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Plain(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut fields = Vec::new();
        while let Some((name, value)) = map.next_entry::<Spanned<String>, Node>()? {
            fields.push(Field {
                line: line_number(name.referenced.line()),
                name: name.value,
                value,
            });
        }
        Ok(Content::Map(fields))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn documents(text: &str) -> Vec<Node> {
        read(text).into_iter().map(Result::unwrap).collect()
    }

    const MANIFEST: &str = "\
# A comment.
kind: A
spec:
  roles:
    - name: Reader
      permissions: [a,
        b]
    - name: Writer
  labels:
    example.com/a.b: c
---
---
{\"kind\": \"B\",
 \"spec\": {\"size\": 1.5, \"none\": null, \"yes\": true}}
";

    #[test]
    fn values_are_what_they_are_without_places() {
        let values: Vec<Value> = documents(MANIFEST).iter().map(Node::to_value).collect();
        let plain: Vec<Value> = serde_saphyr::from_multiple(MANIFEST).unwrap();
        assert_eq!(values, plain);
        assert_eq!(values.len(), 2);
    }

    #[test]
    fn every_field_has_its_line() {
        let documents = documents(MANIFEST);
        for (path, line) in [
            ("", 2),
            ("spec", 3),
            ("spec.roles", 4),
            ("spec.roles[0]", 5),
            ("spec.roles[0].permissions", 6),
            ("spec.roles[0].permissions[1]", 7),
            ("spec.roles[1].name", 8),
            ("spec.labels.example.com/a.b", 10),
            ("spec.labels[example.com/a.b]", 10),
            // What is not there, where it would be.
            ("spec.organisation", 3),
            ("spec.roles[7].name", 4),
            ("spec.rolesX", 3),
            ("<nil>", 2),
        ] {
            assert_eq!((path, documents[0].line_of(path)), (path, line));
        }
        assert_eq!(documents[1].line_of("spec.size"), 14);
    }

    #[test]
    fn what_is_referred_to_stands_where_it_is_used() {
        let text = "base: &base\n  a: 1\nother:\n  <<: *base\n  b: *base\n";
        let document = &documents(text)[0];
        assert_eq!(
            document.to_value(),
            json!({ "base": { "a": 1 }, "other": { "a": 1, "b": { "a": 1 } } })
        );
        assert_eq!(document.line_of("other.b"), 5);
    }

    #[test]
    fn what_cannot_be_read_has_its_line_and_the_rest_is_read() {
        let read = read("kind: A\n---\nkind: B\nkind: B\n---\nkind: C\n---\n{{ if .Values.on }}\nkind: D\n");
        let kinds: Vec<Result<Value, u32>> = read
            .iter()
            .map(|document| match document {
                Ok(node) => Ok(node.to_value()["kind"].clone()),
                Err(unreadable) => Err(unreadable.line),
            })
            .collect();
        assert_eq!(kinds, [Ok(json!("A")), Err(4), Ok(json!("C")), Err(8)]);
    }

    #[test]
    fn the_items_of_a_list_are_objects_of_their_own() {
        let text = "apiVersion: v1\nkind: List\nitems: [{ kind: A }, { kind: List, apiVersion: v1, items: [{ kind: B }] }]\n---\nkind: C\n";
        let kinds: Vec<Value> = documents(text)
            .into_iter()
            .flat_map(Node::flatten)
            .map(|node| node.to_value()["kind"].clone())
            .collect();
        assert_eq!(kinds, ["A", "B", "C"]);
    }
}
