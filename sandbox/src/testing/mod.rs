//! Support for tests: a real kubectl (feature `testing`).

mod kubectl;

pub use kubectl::{FetchError, Kubectl, Outcome, VERSION, locate};
