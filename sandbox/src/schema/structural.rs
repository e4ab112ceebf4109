//! Whether a schema is one that the API server takes.

use serde_json::Value;

use super::error::FieldError;

/// Everything wrong with a schema.
pub(crate) fn validate(path: &str, schema: &Value) -> Vec<FieldError> {
    let _ = (path, schema);
    Vec::new()
}
