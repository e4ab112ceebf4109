//! The `CheckResponse` that says what was decided.

use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use prost::bytes::Bytes;

use super::{
    messages::{
        self, AppendAction, CheckResponse, DeniedHttpResponse, Field, HeaderValueOption, HttpResponse, HttpStatus,
        Kind, ListValue, OkHttpResponse, Status as RpcStatus, Struct, Value,
    },
    unary::Status,
};
use crate::verifier::{
    Code, Identity, Requirements,
    credential::HeaderPair,
    dialect::{identity, refusal::Refusal, requirements::InvalidRequirements},
};

/// Lets a request in. `pair` are the headers that the credential may have come in, `names` those of all headers of the
/// request.
pub(super) fn admission<'r>(
    identity: &Identity,
    pair: &HeaderPair,
    names: impl Iterator<Item = &'r str>,
) -> CheckResponse {
    let mut ok = OkHttpResponse::default();
    for (name, value) in identity::HEADERS.into_iter().zip(identity::values(identity)) {
        match value.is_empty() {
            true => ok.headers_to_remove.push(name.into()),
            false => ok.headers.push(overwrite(name.into(), value.into())),
        }
    }
    let copy = |name: &str| Bytes::copy_from_slice(name.as_bytes());
    ok.headers_to_remove
        .extend(names.filter(|name| is_alias(name)).map(copy));
    ok.headers_to_remove
        .extend([AUTHORIZATION.as_str().into(), "x-api-key".into()]);
    ok.headers_to_remove
        .extend([copy(&pair.client_id), copy(&pair.secret_key)]);
    respond(
        Status::Ok,
        Code::Valid.as_str(),
        HttpResponse::Ok(ok),
        metadata(identity),
    )
}

/// Lets a request not in.
pub(super) fn refusal(code: Code, requires: &Requirements) -> CheckResponse {
    let refusal = Refusal::new(code, requires);
    let denied = denied(refusal.status, Some(refusal.header), refusal.sentence.into());
    let (status, response) = match refusal.status {
        // Envoy counts this as a failure of ours. One that does not know it yet takes it for a denial without words.
        StatusCode::SERVICE_UNAVAILABLE => (Status::Unavailable, HttpResponse::Error(denied)),
        StatusCode::FORBIDDEN => (Status::PermissionDenied, HttpResponse::Denied(denied)),
        _ => (Status::Unauthenticated, HttpResponse::Denied(denied)),
    };
    respond(status, code.as_str(), response, Vec::new())
}

/// Answers on a route whose configuration cannot be understood. That is a denial, too: after an error Envoy may be told
/// to let requests in, and this one is for an operator to mend.
pub(super) fn misconfigured(error: &InvalidRequirements) -> CheckResponse {
    let sentence = format!("The route's context_extensions make no sense: {error}.\n");
    let denied = denied(StatusCode::INTERNAL_SERVER_ERROR, None, sentence.into());
    respond(
        Status::Internal,
        "misconfigured",
        HttpResponse::Denied(denied),
        Vec::new(),
    )
}

/// The code is for Envoy's logs, by the status' message and `%DYNAMIC_METADATA%`. It does not reach the client.
fn respond(status: Status, code: &'static str, response: HttpResponse, mut metadata: Vec<Field>) -> CheckResponse {
    metadata.push(text("code", code.into()));
    CheckResponse {
        status: Some(RpcStatus {
            code: status as i32,
            message: code.into(),
        }),
        http_response: Some(response),
        dynamic_metadata: Some(Struct { fields: metadata }),
    }
}

fn denied(status: StatusCode, header: Option<(HeaderName, HeaderValue)>, body: Bytes) -> DeniedHttpResponse {
    let text = (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    let option = |(name, value): (HeaderName, HeaderValue)| {
        let copy = Bytes::copy_from_slice;
        overwrite(copy(name.as_str().as_bytes()), copy(value.as_bytes()))
    };
    DeniedHttpResponse {
        status: Some(HttpStatus {
            code: status.as_u16().into(),
        }),
        headers: header.into_iter().chain([text]).map(option).collect(),
        body,
    }
}

/// Said outright: what Envoy does with a header that is there already has changed from version to version.
fn overwrite(key: Bytes, value: Bytes) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(messages::HeaderValue {
            key,
            value,
            raw_value: Bytes::new(),
        }),
        append_action: AppendAction::OverwriteIfExistsOrAdd.into(),
    }
}

/// Whether this would be taken for a header that says who was let in by servers that read all punctuation in a name as
/// the same, as those do that make an environment variable of it.
fn is_alias(name: &str) -> bool {
    let is_read_as = |(one, other): (u8, u8)| match other {
        b'-' => !one.is_ascii_alphanumeric(),
        _ => one.eq_ignore_ascii_case(&other),
    };
    let is_alias_of = |known: &&str| known.len() == name.len() && name.bytes().zip(known.bytes()).all(is_read_as);
    let known = identity::HEADERS.iter();
    known.clone().any(is_alias_of) && !known.clone().any(|known| known.eq_ignore_ascii_case(name))
}

fn metadata(identity: &Identity) -> Vec<Field> {
    let token = identity::token(identity);
    let texts = [
        ("organisation", Some(identity.organisation())),
        ("token", Some(&*token)),
        ("clientId", identity.client_id()),
        ("type", Some(identity::type_(identity))),
        ("user", identity.user()),
        ("role", identity.role()),
    ];
    let owned = |value: &str| Bytes::copy_from_slice(value.as_bytes());
    let texts = texts
        .into_iter()
        .filter_map(|(key, value)| Some(text(key, owned(value?))));
    let lists = [
        list("permissions", identity.permissions().iter().map(owned)),
        list("projects", identity::projects(identity).into_iter().map(owned)),
    ];
    texts.chain(lists).collect()
}

fn text(key: &'static str, text: Bytes) -> Field {
    field(key, Kind::Text(text))
}

fn list(key: &'static str, texts: impl Iterator<Item = Bytes>) -> Field {
    let value = |text| Value {
        kind: Some(Kind::Text(text)),
    };
    let values = texts.map(value).collect();
    field(key, Kind::List(ListValue { values }))
}

fn field(key: &'static str, kind: Kind) -> Field {
    Field {
        key: key.into(),
        value: Some(Value { kind: Some(kind) }),
    }
}
