//! The descriptions of messages, read from a table.
//!
//! A line of the table is a message: its name, and its fields as `number:name=type`. A `!` after the name keeps a
//! field that is zero (it is optional, so its being there means something), `*` for a name puts the field's own fields
//! in its place. `[x]` is a list, `{x}` a map by strings. Lines before the first empty one are kinds: apiVersion, kind
//! and message.

use std::collections::HashMap;
use std::sync::LazyLock;

const TABLE: &str = include_str!("messages.txt");

/// What a field holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    Text,
    Bool,
    Int,
    Float,
    Bytes,
    Time,
    MicroTime,
    Duration,
    Quantity,
    IntOrString,
    /// JSON in bytes.
    Json,
    /// A message that is nothing but a list of strings.
    Strings,
    Message(&'static str),
    List(Box<Type>),
    Map(Box<Type>),
}

/// One field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) keep_zero: bool,
    pub(super) kind: Type,
}

/// All messages and the kinds they stand for.
pub(super) struct Messages {
    kinds: HashMap<(&'static str, &'static str), &'static str>,
    fields: HashMap<&'static str, HashMap<u32, Field>>,
}

pub(super) static MESSAGES: LazyLock<Messages> = LazyLock::new(read);

impl Messages {
    pub(super) fn message_of(&self, api_version: &str, kind: &str) -> Option<&'static str> {
        self.kinds
            .iter()
            .find(|((version, name), _)| *version == api_version && *name == kind)
            .map(|(_, message)| *message)
    }

    pub(super) fn field(&self, message: &str, number: u32) -> Option<&Field> {
        self.fields.get(message)?.get(&number)
    }
}

fn read() -> Messages {
    let (kinds, messages) = TABLE.split_once("\n\n").unwrap_or((TABLE, ""));
    let kinds = kinds.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some(((words.next()?, words.next()?), words.next()?))
    });
    let fields = messages.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?, words.filter_map(read_field).collect()))
    });
    Messages {
        kinds: kinds.collect(),
        fields: fields.collect(),
    }
}

fn read_field(word: &'static str) -> Option<(u32, Field)> {
    let (number, rest) = word.split_once(':')?;
    let (name, kind) = rest.split_once('=')?;
    let (name, keep_zero) = name.strip_suffix('!').map_or((name, false), |name| (name, true));
    Some((
        number.parse().ok()?,
        Field {
            name,
            keep_zero,
            kind: read_type(kind),
        },
    ))
}

fn read_type(word: &'static str) -> Type {
    if let Some(item) = word.strip_prefix('[').and_then(|word| word.strip_suffix(']')) {
        return Type::List(Box::new(read_type(item)));
    }
    if let Some(value) = word.strip_prefix('{').and_then(|word| word.strip_suffix('}')) {
        return Type::Map(Box::new(read_type(value)));
    }
    match word {
        "str" => Type::Text,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "f64" => Type::Float,
        "bytes" => Type::Bytes,
        "Time" => Type::Time,
        "MicroTime" => Type::MicroTime,
        "Duration" => Type::Duration,
        "Quantity" => Type::Quantity,
        "IntOrString" => Type::IntOrString,
        "FieldsV1" | "RawExtension" => Type::Json,
        "Items" => Type::Strings,
        message => Type::Message(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages_in(kind: &Type) -> Option<&'static str> {
        match kind {
            Type::Message(name) => Some(name),
            Type::List(inner) | Type::Map(inner) => messages_in(inner),
            _ => None,
        }
    }

    #[test]
    fn every_message_that_is_named_is_described() {
        let named = MESSAGES
            .fields
            .values()
            .flat_map(HashMap::values)
            .filter_map(|field| messages_in(&field.kind));
        let missing: Vec<&str> = named
            .chain(MESSAGES.kinds.values().copied())
            .filter(|name| !MESSAGES.fields.contains_key(name))
            .collect();
        assert_eq!(missing, Vec::<&str>::new());
    }
}
