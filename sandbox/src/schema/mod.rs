//! Schemas of custom resources: what a CustomResourceDefinition may say, and what its schema then does to objects.

mod compiled;
mod correlation;
pub mod crd;
mod error;
mod field_path;
mod formats;
mod lists;
mod node;
mod openapi_rules;
mod pattern;
mod regex_functions;
mod rule;
mod rule_results;
mod rule_types;
mod rules;
mod shape;
mod structural;
pub(crate) mod text;
mod validation;
mod value;

pub use compiled::CompiledSchema;
pub use error::{ErrorKind, FieldError};
