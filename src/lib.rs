//! tokenwright: an organisation's API tokens as Kubernetes resources.

pub mod api;
pub mod controller;
pub mod domain;
pub mod metrics;
pub mod telemetry;
