//! An embedded, in-memory Kubernetes API server for trying and testing.

pub mod openapi;
pub mod protobuf;
pub mod schema;
pub mod table;
pub mod validate;
