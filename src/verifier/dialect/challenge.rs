//! How a refusal tells a client what it lacks, by RFC 6750.

use http::HeaderValue;

use crate::verifier::{Code, Requirements};

/// The value of `WWW-Authenticate`. A request without a credential is told of no error.
pub(in crate::verifier) fn challenge(code: Code, requires: &Requirements) -> HeaderValue {
    match code {
        Code::InsufficientPermission => insufficient_scope(requires),
        code if code == Code::Missing || code.is_forbidden() => {
            HeaderValue::from_static(r#"Bearer realm="tokenwright""#)
        }
        _ => HeaderValue::from_static(r#"Bearer realm="tokenwright", error="invalid_token""#),
    }
}

/// Which permissions would do, as far as one header should carry them.
fn insufficient_scope(requires: &Requirements) -> HeaderValue {
    const LONGEST: usize = 1024;
    let scope = requires.permissions.join(" ");
    let named = (scope.len() <= LONGEST)
        .then(|| format!(r#"Bearer realm="tokenwright", error="insufficient_scope", scope="{scope}""#));
    named
        .and_then(|challenge| challenge.try_into().ok())
        .unwrap_or(HeaderValue::from_static(
            r#"Bearer realm="tokenwright", error="insufficient_scope""#,
        ))
}
