//! When tokens were used last, brought back on the resource.

use std::net::IpAddr;

use jiff::Timestamp;

use super::Decision;

/// What was seen and is not written yet.
#[derive(Debug, Default)]
pub struct Sightings {}

impl Sightings {
    /// Notes a use of a credential, or of one that has been replaced.
    pub fn note(&self, _decision: &Decision, _address: Option<IpAddr>, _now: Timestamp) {}
}
