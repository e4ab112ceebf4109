//! NGINX's `auth_request`: 2xx lets a request in, 401 and 403 refuse it, and everything else is an error to NGINX, which
//! refuses it with 500.
//!
//! Like forward authentication, at the URL that `proxy_pass` names. A verifier that knows nothing answers 503, and NGINX
//! makes 500 of it: refused too, and no client is told that its token is bad when nobody knows.

use http::StatusCode;

use super::reply::Reply;

/// What is wrong with the request or its route refuses it, in a way that NGINX knows.
pub(super) fn readable(mut reply: Reply) -> Reply {
    if reply.status().is_client_error() && reply.status() != StatusCode::UNAUTHORIZED {
        *reply.status_mut() = StatusCode::FORBIDDEN;
    }
    reply
}
