//! What comes to a client that is not let in.

use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
};

use super::challenge::challenge;
use crate::verifier::{Code, Requirements};

/// What a refused client is told.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) header: (HeaderName, HeaderValue),
    /// Plain text.
    pub(super) sentence: &'static str,
}

impl Refusal {
    /// Whatever is wrong with a credential, the answer is the same.
    pub(super) fn new(code: Code, requires: &Requirements) -> Self {
        let (status, sentence) = match code {
            Code::Stale => return Self::unavailable(),
            code if code.is_forbidden() => (StatusCode::FORBIDDEN, "This API token is not for that.\n"),
            _ => (StatusCode::UNAUTHORIZED, "A valid API token is needed.\n"),
        };
        Self {
            status,
            header: (WWW_AUTHENTICATE, challenge(code, requires)),
            sentence,
        }
    }

    /// The verifier knows nothing for certain.
    pub(super) fn unavailable() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            header: (RETRY_AFTER, HeaderValue::from_static("5")),
            sentence: "API tokens cannot be verified now.\n",
        }
    }
}
