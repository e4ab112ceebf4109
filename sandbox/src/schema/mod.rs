//! Schemas of custom resources: what a CustomResourceDefinition may say, and what its schema then does to objects.

mod compiled;
pub mod crd;
mod error;

pub use compiled::CompiledSchema;
pub use error::{ErrorKind, FieldError};
