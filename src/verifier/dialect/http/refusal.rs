//! Refusals.

use http::{
    HeaderValue, StatusCode,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
};

use super::reply::{self, Reply};
use crate::verifier::{Code, Requirements, dialect::challenge::challenge};

/// What comes to a client that is not let in. Whatever is wrong with a credential, the answer is the same.
pub(super) fn refusal(code: Code, requires: &Requirements) -> Reply {
    let (status, sentence) = match code {
        Code::Stale => return unavailable(),
        code if code.is_forbidden() => (StatusCode::FORBIDDEN, "This API token is not for that.\n"),
        _ => (StatusCode::UNAUTHORIZED, "A valid API token is needed.\n"),
    };
    let mut reply = reply::text(status, sentence);
    reply.headers_mut().insert(WWW_AUTHENTICATE, challenge(code, requires));
    reply
}

/// The verifier knows nothing for certain.
pub(super) fn unavailable() -> Reply {
    let mut reply = reply::text(StatusCode::SERVICE_UNAVAILABLE, "API tokens cannot be verified now.\n");
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    reply
}
