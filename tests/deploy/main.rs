//! The manifests of `deploy/`: what they make, and that API servers take them as they are.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod chart;
mod helm;
mod image;
mod manifests;
mod monitoring;
mod pods;
mod render;
mod servers;
