//! Pure decisions: no Kubernetes client, no async runtime, no clock and no randomness of its own.
//!
//! Time and random bytes come in as arguments, so that a whole life can be played through in a test.

pub mod admission;
pub mod client_address;
pub mod counts;
pub mod credential;
pub mod ip_filter;
pub mod lifecycle;
pub mod organisation;
pub mod outlook;
pub mod owner;
pub mod permission;
pub mod policy;
pub mod restart;
pub mod rights;
pub mod secret;

use jiff::Timestamp;

/// The first whole second that does not come before `at`.
pub(crate) fn whole_second_from(at: Timestamp) -> Timestamp {
    let whole = whole_seconds(at);
    if whole >= at {
        return whole;
    }
    Timestamp::from_second(whole.as_second() + 1).unwrap_or(at)
}

/// Times in a status have whole seconds, as Kubernetes writes them; a finer one would differ when read back.
pub fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
