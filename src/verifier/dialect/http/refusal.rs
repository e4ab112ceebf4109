//! Refusals as answers of HTTP.

use super::reply::{self, Reply};
use crate::verifier::{Code, Requirements, dialect::refusal::Refusal};

/// What comes to a client that is not let in.
pub(super) fn refusal(code: Code, requires: &Requirements) -> Reply {
    answer(Refusal::new(code, requires))
}

/// The verifier knows nothing for certain.
pub(super) fn unavailable() -> Reply {
    answer(Refusal::unavailable())
}

fn answer(refusal: Refusal) -> Reply {
    let (name, value) = refusal.header;
    let mut reply = reply::text(refusal.status, refusal.sentence);
    reply.headers_mut().insert(name, value);
    reply
}
