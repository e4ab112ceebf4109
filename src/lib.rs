//! tokenwright: an organisation's API tokens as Kubernetes resources.
//!
//! The map of this house; arrows run one way, `main → cli → controller, verifier, check → domain → api`.
//!
//! - [`api`]: the custom resources, their schema, conditions and reasons.
//! - [`domain`]: pure decisions. `domain::lifecycle::plan` is the heart: what is to be done about one token now.
//! - [`check`]: what is wrong with manifests before they are applied; pure, too.
//! - [`controller`]: watches, and carries out what `domain` decides.
//! - [`leader`]: which of several controllers works, and that the others do not.
//! - [`verifier`]: says whether a token is good. `verifier::decide` is its heart.
//! - [`clock`]: where the time is read.
//! - `watch`, `event`, `answer`, `pause`: a watch that never ends, Events, what the API server refused, and how long to
//!   wait after a failure, for both.
//! - [`args`], [`cli`]: the command line and its modes; [`telemetry`] (logs and traces) and [`metrics`]: what they
//!   say of themselves; `terminal`: whether that is coloured.

mod answer;
pub mod api;
pub mod args;
pub mod check;
pub mod cli;
pub mod clock;
pub mod controller;
pub mod domain;
mod event;
pub mod leader;
pub mod metrics;
mod pause;
pub mod telemetry;
mod terminal;
pub mod verifier;
mod watch;

/// What the binary and the benchmarks allocate with: the verifier allocates for every request, which costs it less than the
/// C library's allocator does. Without huge pages: they made the controller's memory half as large again.
pub use mimalloc::MiMalloc as Allocator;
