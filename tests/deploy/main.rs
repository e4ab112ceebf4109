//! What is installed, and what leads there: the manifests of `deploy/` and examples of their use, which API servers take as
//! they are, and the documents that are made.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod alerts;
mod chart;
mod custom;
mod dashboard;
mod documents;
mod gitops;
mod helm;
mod image;
mod manifests;
mod monitoring;
mod pods;
mod promql;
mod python;
mod reference;
mod render;
mod schemas;
mod servers;
mod traces;
mod workflows;
mod workloads;
