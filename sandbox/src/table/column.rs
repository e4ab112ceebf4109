//! One column: its definition, and how its cells come about.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age;
use super::json_path::JsonPath;
use crate::schema::text as wording;

/// How a cell comes about.
#[derive(Clone)]
enum Cell {
    Code(fn(&Value, Timestamp) -> Value),
    Number(fn(&Value) -> &Value),
    Path(JsonPath),
}

/// One column of a table.
#[derive(Clone)]
pub struct Column {
    name: String,
    kind: String,
    format: String,
    description: String,
    priority: i64,
    cell: Cell,
}

impl fmt::Debug for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Column")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// A column of text that code makes.
pub(crate) fn text(name: &str, description: &str, cell: fn(&Value, Timestamp) -> Value) -> Column {
    Column {
        name: name.to_owned(),
        kind: "string".to_owned(),
        format: String::new(),
        description: description.to_owned(),
        priority: 0,
        cell: Cell::Code(cell),
    }
}

/// A column of whole numbers; what is missing is zero.
pub(crate) fn number(name: &str, description: &str, field: fn(&Value) -> &Value) -> Column {
    Column {
        kind: "integer".to_owned(),
        cell: Cell::Number(field),
        ..text(name, description, |_, _| Value::Null)
    }
}

impl Column {
    pub(crate) fn name() -> Self {
        let name = |object: &Value, _: Timestamp| object["metadata"]["name"].as_str().unwrap_or_default().into();
        Self {
            format: "name".to_owned(),
            ..text("Name", "The name, unique among its kind in its namespace", name)
        }
    }

    pub(crate) fn age() -> Self {
        text("Age", "How long ago it was created", |object, now| {
            let created = object["metadata"]["creationTimestamp"].as_str();
            created
                .and_then(|time| age::since(time, now))
                .unwrap_or_else(|| "<unknown>".to_owned())
                .into()
        })
    }

    pub(crate) fn created_at() -> Self {
        let created = text("Created At", "When it was created", |object, _| {
            object["metadata"]["creationTimestamp"].clone()
        });
        Self {
            kind: "date".to_owned(),
            ..created
        }
    }

    /// Said to be of another type than text.
    pub(crate) fn of_type(self, kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            ..self
        }
    }

    /// Shown only when more is asked for.
    pub(crate) fn wide(self) -> Self {
        Self { priority: 1, ..self }
    }

    /// A column as a CustomResourceDefinition defines it; `None` where its path is not understood.
    pub(crate) fn custom(definition: &Value) -> Option<Self> {
        let field = |name: &str| definition[name].as_str().unwrap_or_default();
        let json_path = field("jsonPath");
        let description = match field("description") {
            "" => format!("Custom resource definition column (in JSONPath format): {json_path}"),
            description => description.to_owned(),
        };
        Some(Self {
            name: field("name").to_owned(),
            kind: field("type").to_owned(),
            format: field("format").to_owned(),
            description,
            priority: definition["priority"].as_i64().unwrap_or_default(),
            cell: Cell::Path(JsonPath::parse(json_path).ok()?),
        })
    }

    /// The column's definition in a Table.
    pub(crate) fn definition(&self) -> Value {
        json!({
            "name": self.name, "type": self.kind, "format": self.format, "description": self.description,
            "priority": self.priority,
        })
    }

    /// The column's cell for an object.
    pub(crate) fn cell(&self, object: &Value, now: Timestamp) -> Value {
        match &self.cell {
            Cell::Code(code) => code(object, now),
            Cell::Number(field) => field(object).as_i64().unwrap_or_default().into(),
            Cell::Path(path) => path
                .first(object)
                .map_or(Value::Null, |value| typed(&self.kind, value, now)),
        }
    }
}

/// A value as a column of a type shows it; one that does not fit the type is not shown.
fn typed(kind: &str, value: &Value, now: Timestamp) -> Value {
    match (kind, value) {
        (_, Value::Null) => Value::Null,
        ("integer", Value::Number(number)) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().map_or(Value::Null, |float| Value::from(float as i64)),
        },
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("string", Value::String(_)) => value.clone(),
        ("string", Value::Bool(flag)) => flag.to_string().into(),
        ("string", Value::Number(number)) => wording::number(number).into(),
        ("string", compound) => wording::json(compound).into(),
        ("date", Value::String(time)) => age::since(time, now).unwrap_or_else(|| "<invalid>".to_owned()).into(),
        _ => Value::Null,
    }
}
