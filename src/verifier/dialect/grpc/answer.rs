//! The `CheckResponse` that says what was decided.

use prost::bytes::Bytes;

use super::{
    local::{IDENTITY, identity as identity_headers, refusal},
    messages::{
        AppendAction, CheckResponse, DeniedHttpResponse, Field, HeaderValue, HeaderValueOption, HttpResponse,
        HttpStatus, Kind, ListValue, OkHttpResponse, Status as RpcStatus, Struct, Value,
    },
    unary::Status,
};
use crate::verifier::{Code, Decision, Identity, Scope, credential::HeaderPair};

/// Answers with a decision. `pair` are the headers that the credential may have come in, `names` those of all headers
/// of the request.
pub(super) fn answer<'r>(
    decision: &Decision,
    pair: &HeaderPair,
    names: impl Iterator<Item = &'r str>,
) -> CheckResponse {
    match decision.identity() {
        Some(identity) => allow(identity, pair, names),
        None => refuse(decision.code),
    }
}

/// Answers on a route whose configuration cannot be understood. That is a denial, too: after an error Envoy may be told
/// to let requests in, and this one is for an operator to mend.
pub(super) fn misconfigured() -> CheckResponse {
    let (status, body) = (500, "{\"error\":\"misconfigured\"}");
    let denied = denied(status, None, body);
    respond(
        Status::Internal,
        "misconfigured",
        HttpResponse::Denied(denied),
        Vec::new(),
    )
}

fn allow<'r>(identity: &Identity, pair: &HeaderPair, names: impl Iterator<Item = &'r str>) -> CheckResponse {
    let mut ok = OkHttpResponse::default();
    for (name, value) in IDENTITY.into_iter().zip(identity_headers(identity)) {
        match value {
            Some(value) => ok.headers.push(overwrite(name, value.into())),
            None => ok.headers_to_remove.push(name.into()),
        }
    }
    let copy = |name: &str| Bytes::copy_from_slice(name.as_bytes());
    ok.headers_to_remove
        .extend(names.filter(|name| is_alias(name)).map(copy));
    ok.headers_to_remove
        .extend(["authorization".into(), "x-api-key".into()]);
    ok.headers_to_remove
        .extend([copy(&pair.client_id), copy(&pair.secret_key)]);
    respond(
        Status::Ok,
        Code::Valid.as_str(),
        HttpResponse::Ok(ok),
        metadata(identity),
    )
}

fn refuse(code: Code) -> CheckResponse {
    let (status, challenge, body) = refusal(code);
    let denied = denied(status, challenge, body);
    let (grpc, response) = match status {
        // Envoy counts this as a failure of ours. One that does not know it yet takes it for a denial without words.
        503 => (Status::Unavailable, HttpResponse::Error(denied)),
        403 => (Status::PermissionDenied, HttpResponse::Denied(denied)),
        _ => (Status::Unauthenticated, HttpResponse::Denied(denied)),
    };
    respond(grpc, code.as_str(), response, Vec::new())
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

fn denied(status: u16, challenge: Option<&'static str>, body: &'static str) -> DeniedHttpResponse {
    let json = ("content-type", "application/json");
    let challenge = challenge.map(|challenge| ("www-authenticate", challenge));
    let headers = challenge.into_iter().chain([json]);
    DeniedHttpResponse {
        status: Some(HttpStatus { code: status.into() }),
        headers: headers.map(|(name, value)| overwrite(name, value.into())).collect(),
        body: body.into(),
    }
}

/// Said outright: what Envoy does with a header that is there already has changed from version to version.
fn overwrite(name: &'static str, value: Bytes) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue {
            key: name.into(),
            value,
            raw_value: Bytes::new(),
        }),
        append_action: AppendAction::OverwriteIfExistsOrAdd.into(),
    }
}

/// Whether servers that read `_` as `-` would take this header for one that says who was let in.
fn is_alias(name: &str) -> bool {
    let same = |(one, other): (u8, u8)| one.eq_ignore_ascii_case(&other) || one == b'_' && other == b'-';
    let stands_for = |known: &&str| known.len() == name.len() && name.bytes().zip(known.bytes()).all(same);
    name.contains('_') && IDENTITY.iter().any(stands_for)
}

fn metadata(identity: &Identity) -> Vec<Field> {
    let permissions = identity.permissions();
    let projects = match identity.scope() {
        Scope::Organisation => vec!["*"],
        Scope::Projects(projects) => projects,
    };
    let owned = |value: &str| Bytes::copy_from_slice(value.as_bytes());
    let texts = [
        ("organisation", Some(identity.organisation())),
        ("namespace", Some(identity.namespace())),
        ("token", Some(identity.name())),
        ("clientId", identity.client_id()),
        ("user", identity.user()),
        ("role", identity.role()),
    ];
    let texts = texts
        .into_iter()
        .filter_map(|(key, value)| Some(text(key, owned(value?))));
    let lists = [
        list("permissions", permissions.iter().map(owned)),
        list("projects", projects.into_iter().map(owned)),
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
