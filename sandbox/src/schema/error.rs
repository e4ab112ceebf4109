//! What is wrong with one field, in the words of the real API server.

use std::fmt;

use serde_json::{Value, json};

/// The category of a [`FieldError`]; it decides the wording and the `reason` of the status cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A value that must be given is not.
    Required,
    /// A value that is malformed or out of bounds.
    Invalid,
    /// A value of the wrong JSON type.
    TypeInvalid,
    /// A value outside of an enumeration.
    NotSupported,
    /// A value that may not be given here.
    Forbidden,
    /// A string or a collection of bytes over its limit.
    TooLong,
    /// A list over its limit.
    TooMany,
    /// A list or map under its least size.
    TooFew,
    /// A value that is there twice.
    Duplicate,
    /// A reference to something that is not there.
    NotFound,
    /// A failure of the server's own.
    Internal,
}

/// What is wrong with one field of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// The category.
    pub kind: ErrorKind,
    /// The path of the field: `spec.list[0].name`.
    pub field: String,
    /// The offending value; `None` where the wording leaves it out.
    pub value: Option<Value>,
    /// What is wrong with it.
    pub detail: String,
}

impl FieldError {
    /// `field: Required value[: detail]`
    pub fn required(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Required,
            field: field.into(),
            value: None,
            detail: detail.into(),
        }
    }

    /// The metav1.StatusCause that tells a client of this error.
    pub fn cause(&self) -> Value {
        json!({})
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.detail)
    }
}
