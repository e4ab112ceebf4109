//! Traefik's and Caddy's forward authentication: 2xx lets a request in, other answers go to the client as they are.
//!
//! Both ask at the very URL of their configuration, and tell of the client's own in headers, which are of no interest
//! here. So what the route requires stands in the query.

use crate::verifier::{
    Requirements,
    dialect::requirements::{self, InvalidRequirements},
};

/// What the URL requires.
pub(super) fn requirements(query: Option<&str>) -> Result<Requirements, InvalidRequirements> {
    requirements::parse(query.unwrap_or_default())
}
