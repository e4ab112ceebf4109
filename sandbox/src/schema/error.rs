//! What is wrong with one field, in the words of the real API server.

use std::fmt;

use serde_json::{Value, json};

use super::text;

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

impl ErrorKind {
    /// The machine-readable name: `FieldValueRequired`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TooFew => "FieldValueTooFew",
            Self::Duplicate => "FieldValueDuplicate",
            Self::NotFound => "FieldValueNotFound",
            Self::Internal => "InternalError",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::TooFew => "Too few",
            Self::Duplicate => "Duplicate value",
            Self::NotFound => "Not found",
            Self::Internal => "Internal error",
        }
    }

    fn shows_value(self) -> bool {
        !matches!(self, Self::Required | Self::Forbidden | Self::TooLong | Self::Internal)
    }
}

/// What is wrong with one field of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// The category.
    pub kind: ErrorKind,
    /// The path of the field: `spec.list[0].name`; `<nil>` for the object as a whole.
    pub field: String,
    /// The offending value; `None` where the wording leaves it out.
    pub value: Option<Value>,
    /// What is wrong with it; empty where the category says it all.
    pub detail: String,
}

impl FieldError {
    fn new(kind: ErrorKind, field: impl Into<String>, value: Option<Value>, detail: impl Into<String>) -> Self {
        let mut field = field.into();
        if field.is_empty() {
            field.push_str("<nil>");
        }
        Self {
            kind,
            field,
            value,
            detail: detail.into(),
        }
    }

    /// `field: Required value[: detail]`
    pub fn required(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Required, field, None, detail)
    }

    /// `field: Invalid value: value: detail`
    pub fn invalid(field: impl Into<String>, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, field, Some(value.into()), detail)
    }

    /// `field: Invalid value: detail`, for values that are too large to repeat.
    pub fn invalid_whole(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, field, None, detail)
    }

    /// `field: Invalid value: value: detail`, for a value of the wrong type.
    pub fn type_invalid(field: impl Into<String>, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::TypeInvalid, field, Some(value.into()), detail)
    }

    /// `field: Unsupported value: value: supported values: "A", "B"`, in the order given.
    pub fn not_supported<S: AsRef<str>>(field: impl Into<String>, value: impl Into<Value>, supported: &[S]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|value| text::quote(value.as_ref())).collect();
        let detail = if quoted.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", quoted.join(", "))
        };
        Self::new(ErrorKind::NotSupported, field, Some(value.into()), detail)
    }

    /// `field: Forbidden: detail`
    pub fn forbidden(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, field, None, detail)
    }

    /// `field: Too long: may not be more than N bytes`
    pub fn too_long(field: impl Into<String>, limit: i64) -> Self {
        let bytes = if limit == 1 { "byte" } else { "bytes" };
        Self::new(
            ErrorKind::TooLong,
            field,
            None,
            format!("may not be more than {limit} {bytes}"),
        )
    }

    /// `field: Too many: actual: must have at most N items`
    pub fn too_many(field: impl Into<String>, actual: i64, limit: i64) -> Self {
        let items = if limit == 1 { "item" } else { "items" };
        Self::new(
            ErrorKind::TooMany,
            field,
            Some(actual.into()),
            format!("must have at most {limit} {items}"),
        )
    }

    /// `field: Duplicate value: value`
    pub fn duplicate(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::new(ErrorKind::Duplicate, field, Some(value.into()), "")
    }

    /// `field: Not found: value`
    pub fn not_found(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::new(ErrorKind::NotFound, field, Some(value.into()), "")
    }

    /// `field: Internal error: detail`
    pub fn internal(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, field, None, detail)
    }

    /// The error without the field: what a status cause says.
    pub fn body(&self) -> String {
        let mut body = self.kind.words().to_owned();
        if let Some(value) = self.value.as_ref().filter(|_| self.kind.shows_value()) {
            body.push_str(": ");
            body.push_str(&text::value(value));
        }
        if !self.detail.is_empty() {
            body.push_str(": ");
            body.push_str(&self.detail);
        }
        body
    }

    /// The metav1.StatusCause that tells a client of this error.
    pub fn cause(&self) -> Value {
        json!({"reason": self.kind.reason(), "message": self.body(), "field": self.field})
    }

    /// Several errors in one sentence, as the message of a status has it: each once, in brackets unless it is alone.
    pub fn join(errors: &[FieldError]) -> String {
        let mut sentences: Vec<String> = Vec::with_capacity(errors.len());
        for error in errors {
            let sentence = error.to_string();
            if !sentences.contains(&sentence) {
                sentences.push(sentence);
            }
        }
        match sentences.as_slice() {
            [only] => only.clone(),
            _ => format!("[{}]", sentences.join(", ")),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wording_of_each_kind() {
        let errors = [
            (FieldError::required("spec.x", ""), "spec.x: Required value"),
            (
                FieldError::required("spec.x", "say it"),
                "spec.x: Required value: say it",
            ),
            (
                FieldError::invalid("spec.x", "y\"", "no"),
                r#"spec.x: Invalid value: "y\"": no"#,
            ),
            (
                FieldError::invalid("spec.x", 1.5, "no"),
                "spec.x: Invalid value: 1.5: no",
            ),
            (
                FieldError::invalid("spec.x", json!({"b": "<", "a": [1]}), "no"),
                r#"spec.x: Invalid value: {"a":[1],"b":"\u003c"}: no"#,
            ),
            (
                FieldError::invalid("", Value::Null, "no"),
                "<nil>: Invalid value: null: no",
            ),
            (FieldError::invalid_whole("spec", "no"), "spec: Invalid value: no"),
            (
                FieldError::type_invalid("spec.x", "string", "no"),
                r#"spec.x: Invalid value: "string": no"#,
            ),
            (
                FieldError::not_supported("spec.type", "Foo", &["B", "A"]),
                r#"spec.type: Unsupported value: "Foo": supported values: "B", "A""#,
            ),
            (FieldError::forbidden("spec.x", "never"), "spec.x: Forbidden: never"),
            (
                FieldError::too_long("spec.x", 128),
                "spec.x: Too long: may not be more than 128 bytes",
            ),
            (
                FieldError::too_long("spec.x", 1),
                "spec.x: Too long: may not be more than 1 byte",
            ),
            (
                FieldError::too_many("spec.l", 5, 3),
                "spec.l: Too many: 5: must have at most 3 items",
            ),
            (
                FieldError::duplicate("spec.l[1]", json!({"name": "a"})),
                r#"spec.l[1]: Duplicate value: {"name":"a"}"#,
            ),
            (FieldError::not_found("spec.x", "y"), r#"spec.x: Not found: "y""#),
            (
                FieldError::internal("spec.x", "broken"),
                "spec.x: Internal error: broken",
            ),
        ];
        for (error, words) in errors {
            assert_eq!(error.to_string(), words);
        }
    }

    #[test]
    fn cause_has_reason_message_and_field() {
        assert_eq!(
            FieldError::type_invalid("spec.x", "string", "must be an integer").cause(),
            json!({"reason": "FieldValueTypeInvalid", "message": "Invalid value: \"string\": must be an integer", "field": "spec.x"})
        );
    }

    #[test]
    fn several_in_one_sentence() {
        let one = FieldError::required("a", "");
        let other = FieldError::required("b", "");
        assert_eq!(FieldError::join(std::slice::from_ref(&one)), "a: Required value");
        assert_eq!(
            FieldError::join(&[one.clone(), other, one]),
            "[a: Required value, b: Required value]"
        );
    }
}
