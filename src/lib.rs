//! tokenwright: an organisation's API tokens as Kubernetes resources.

pub mod api;
pub mod domain;
