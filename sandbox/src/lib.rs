//! An embedded, in-memory Kubernetes API server (a documented subset) for trying and testing operators.
//!
//! ```
//! # #[cfg(feature = "server")] {
//! use kube_sandbox::Sandbox;
//!
//! let sandbox = Sandbox::new();
//! // In this process, without sockets: kube::Client::new(sandbox.service(), "default")
//! let service = sandbox.service();
//! # drop(service);
//! # }
//! ```
//!
//! `Sandbox::service` is a transport for clients in this process; it works on a current-thread runtime with paused
//! time. `Sandbox::serve` listens on loopback with TLS, for kubectl and everybody else. `Sandbox::faults` makes
//! things go wrong. What is served and what is not stands in the README.
//!
//! Without the feature `server` there is neither, nor anything that needs a network: what is left judges objects of
//! custom kinds as an API server would; see [`kind`].
//!
//! # The map of this house
//!
//! - `sandbox`: what an embedding program holds; `faults`, `requests`: what it may do and see.
//! - `serve`: TLS on loopback, kubeconfigs.
//! - `admission`: rules about writes that an embedding program brings along.
//! - `rest`: from a request to its answer; `patch`: the three kinds of patches; `auth`: users, RBAC.
//! - `cluster`: all state, and the writes that change it; `controllers`: what follows from a write.
//! - `store`: tables, their history, selectors; `catalog`: which resources there are, discovery.
//! - `schema`, `validate`, `builtin`: what objects must look like; `kind`: the same without a server.
//! - `table`, `openapi`, `protobuf`: how they are shown.

#[cfg(feature = "server")]
pub mod admission;
#[cfg(feature = "server")]
mod auth;
mod builtin;
#[cfg(feature = "server")]
mod catalog;
#[cfg(feature = "server")]
mod cluster;
#[cfg(feature = "server")]
mod controllers;
#[cfg(feature = "server")]
pub mod faults;
pub mod kind;
#[cfg(feature = "server")]
pub mod openapi;
#[cfg(feature = "server")]
mod patch;
#[cfg(feature = "server")]
pub mod protobuf;
#[cfg(feature = "server")]
mod requests;
#[cfg(feature = "server")]
mod rest;
#[cfg(feature = "server")]
mod sandbox;
pub mod schema;
#[cfg(feature = "server")]
mod serve;
#[cfg(feature = "server")]
mod status;
#[cfg(feature = "server")]
mod store;
#[cfg(feature = "server")]
pub mod table;
#[cfg(feature = "testing")]
pub mod testing;
pub mod validate;

#[cfg(feature = "server")]
pub use self::{
    auth::User,
    requests::{RequestLog, RequestRecord},
    rest::Body,
    sandbox::{Builder, Caller, Faults, Sandbox, SandboxService},
    serve::{ServeError, Server},
};
