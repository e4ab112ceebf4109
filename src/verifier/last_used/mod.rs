//! When tokens were used last, and that replaced ones still are, brought back on the resource.
//!
//! ```text
//!  requests ──► Sightings::note ──► (waits a little) ──► Writer ──► status.lastUsed, status.lastReuse
//! ```
//!
//! # Guarantees
//!
//! - Both only move forward, and each is written at most once in an interval, whatever the number of requests and of
//!   verifiers: see [`is_due`]. What is written was read just before, and nobody wrote in between.
//! - Of a token that a policy wants used it is told often enough for that policy: the interval is shorter there.
//! - A token made anew under the name of the one that was used is not written to.
//! - No answer waits for any of it or depends on it.
//! - Where nothing is used nothing is asked and nothing is written.
//!
//! # Caveats
//!
//! A verifier whose clock runs ahead is believed: its time stays until it has passed. What is noted and not written when
//! the process dies is lost.

mod due;
mod sightings;
mod writer;

pub(super) use due::is_due;
pub use sightings::Sightings;
pub(super) use sightings::{LAST_USED_INTERVAL, Note};
pub use writer::Writer;

use crate::api::{ApiTokenStatus, Sighting};

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A credential that has been replaced: first, as somebody may have stolen it.
    Reuse,
    /// A credential that was let in.
    Use,
}

impl Kind {
    /// The field of the status that tells of it.
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::Reuse => "lastReuse",
            Self::Use => "lastUsed",
        }
    }

    /// What the status tells of it.
    pub(super) fn told(self, status: &ApiTokenStatus) -> Option<&Sighting> {
        match self {
            Self::Reuse => status.last_reuse.as_deref(),
            Self::Use => status.last_used.as_deref(),
        }
    }
}
