//! The verifier: whether a request's token is good, asked by gateways and programs.
//!
//! Its heart is here, without sockets, clients and clocks: [`Index`], [`credential::extract`] and [`decide`].
//!
//! # How a dialect uses it
//!
//! ```
//! use std::time::Duration;
//! use tokenwright::{
//!     domain::client_address::{self, TrustedProxies},
//!     verifier::{Code, Index, Moment, Request, Requirements, credential::{HeaderPair, extract}, decide},
//! };
//!
//! // From the gateway's configuration.
//! let requires = Requirements { organisation: Some("acme".into()), ..Requirements::default() };
//! let trusted: TrustedProxies = "10.0.0.0/8".parse()?;
//!
//! // Of each request.
//! let index = Index::new();
//! let own = requires.organisation.as_deref().and_then(|organisation| index.headers(organisation));
//! let headers = [("authorization", b"Bearer not-a-token".as_slice())];
//! let presented = extract(headers, &own.unwrap_or_default());
//! let address = client_address::resolve("10.0.0.1".parse()?, ["203.0.113.9"], &trusted);
//! let request = Request { presented: &presented, address, requires: &requires };
//! let moment = Moment { now: "2026-01-01T00:00:00Z".parse()?, age: Some(Duration::ZERO), max_age: Duration::from_secs(600), sightings: None };
//!
//! let decision = decide(&index, &request, &moment);
//! assert_eq!(decision.code, Code::Malformed);
//! assert!(decision.identity().is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An answer is made from [`Decision::identity`], which only a valid credential has; [`Decision::subject`] is for logs and
//! the detection of reuse. Codes that are not [`Code::is_forbidden`] must look alike from outside.
//!
//! # How the feed uses it
//!
//! [`Index::begin`], `apply_*` for each object listed, [`Index::complete`]; then `apply_*` and `delete_*` as events come.
//! An object that cannot be read is deleted by its name.

pub mod credential;
mod decision;
pub mod dialect;
mod feed;
mod freshness;
mod identity;
mod index;
mod judge;
mod last_used;
mod metrics;
mod second_look;
pub mod server;
mod service;
mod unread;

#[cfg(test)]
mod tests;

pub use decision::{Code, Decision, Moment, Request, Requirements, decide};
pub use freshness::Freshness;
pub use identity::{Identity, Scope};
pub use index::{Index, List, Size};
pub use judge::{Dialect, Judge, Origin};
pub use last_used::{Sightings, Writer};
pub use metrics::Metrics;
pub use second_look::SecondLook;
pub use server::Tls;
pub use service::{Listeners, Settings, Verifier};
pub use unread::Unread;
