//! An embedded, in-memory Kubernetes API server (a documented subset) for trying and testing operators.
//!
//! ```
//! use kube_sandbox::Sandbox;
//!
//! let sandbox = Sandbox::new();
//! // In this process, without sockets: kube::Client::new(sandbox.service(), "default")
//! let service = sandbox.service();
//! # drop(service);
//! ```
//!
//! [`Sandbox::service`] is a transport for clients in this process; it works on a current-thread runtime with paused
//! time. [`Sandbox::serve`] listens on loopback with TLS, for kubectl and everybody else. [`Sandbox::faults`] makes
//! things go wrong. What is served and what is not stands in the README.
//!
//! # The map of this house
//!
//! - `sandbox`: what an embedding program holds; `faults`, `requests`: what it may do and see.
//! - `serve`: TLS on loopback, kubeconfigs.
//! - `rest`: from a request to its answer; `patch`: the three kinds of patches; `auth`: users, RBAC.
//! - `cluster`: all state, and the writes that change it; `controllers`: what follows from a write.
//! - `store`: tables, their history, selectors; `catalog`: which resources there are, discovery.
//! - `schema`, `validate`, `table`, `openapi`, `protobuf`: what objects must look like and how they are shown.

mod auth;
mod catalog;
mod cluster;
mod controllers;
pub mod faults;
pub mod openapi;
mod patch;
pub mod protobuf;
mod requests;
mod rest;
mod sandbox;
pub mod schema;
mod serve;
mod status;
mod store;
pub mod table;
#[cfg(feature = "testing")]
pub mod testing;
pub mod validate;

pub use auth::User;
pub use requests::{RequestLog, RequestRecord};
pub use rest::Body;
pub use sandbox::{Builder, Caller, Faults, Sandbox, SandboxService};
pub use serve::{ServeError, Server};
