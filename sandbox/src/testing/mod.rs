//! Support for tests (feature `testing`): a real kubectl, and other programs from PyPI.

mod kubectl;
mod tool;

pub use kubectl::{KUBECTL, Kubectl, Outcome};
pub use tool::{FetchError, Tool};
