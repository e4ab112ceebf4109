//! Request bodies.

use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::Value;

use crate::catalog::{Resource, group_and_version};
use crate::protobuf;
use crate::schema::{ErrorKind, FieldError};
use crate::status::{Answer, Refusal};
use crate::store::text;

/// The media type of a request's body, without its parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// Reads a body as what its media type says it is.
pub(crate) fn read(headers: &HeaderMap, body: &Bytes) -> Answer<Value> {
    let media_type = media_type(headers);
    match media_type {
        "" | "application/json" | "*/*" => parse_json(body),
        "application/yaml" => {
            serde_saphyr::from_slice(body).map_err(|error| Refusal::bad_request(format!("yaml parse error: {error}")))
        }
        "application/vnd.kubernetes.protobuf" => protobuf::decode(body).map_err(|error| match error {
            protobuf::DecodeError::UnknownKind { .. } => Refusal::unsupported_media_type(error.to_string()),
            other => Refusal::bad_request(other.to_string()),
        }),
        _ => Err(Refusal::unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: application/json, \
             application/yaml, application/vnd.kubernetes.protobuf",
        )),
    }
}

pub(crate) fn parse_json(body: &Bytes) -> Answer<Value> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::bad_request(format!("couldn't get version/kind; json parse error: {error}")))
}

/// Reads the object that a create or update brings, and checks that it is of the right kind.
pub(crate) fn read_object(resource: &Resource, headers: &HeaderMap, body: &Bytes) -> Answer<Value> {
    let object = read(headers, body).map_err(|mut refusal| {
        if refusal.message.starts_with("couldn't get version/kind") {
            let (kind, text) = (&resource.kind, String::from_utf8_lossy(body));
            refusal.message = format!(
                "the object provided is unrecognized (must be of type {kind}): {} ({text})",
                refusal.message
            );
        }
        refusal
    })?;
    if !object.is_object() {
        return Err(Refusal::bad_request(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal into Go value of type {}",
            resource.kind
        )));
    }
    check_kind(resource, &object, body)?;
    Ok(object)
}

/// Checks that an object says that it is of the resource's version and kind; builtin ones may leave both out.
fn check_kind(resource: &Resource, object: &Value, body: &Bytes) -> Answer<()> {
    let (kind, version) = (text(&object["kind"]), text(&object["apiVersion"]));
    let expected = resource.api_version();
    if resource.custom.is_some() {
        if kind.is_empty() {
            let text = String::from_utf8_lossy(body);
            let start: String = text.chars().take(35).collect();
            return Err(Refusal::bad_request(format!(
                "the object provided is unrecognized (must be of type {}): Object 'Kind' is missing in '{text}' ({start} ...)",
                resource.kind
            )));
        }
        if version != expected {
            return Err(Refusal::bad_request(format!(
                "the API version in the data ({version}) does not match the expected API version ({expected})"
            )));
        }
        return same_kind(resource, object);
    }
    let mismatch = |why: String| {
        let (_, version) = group_and_version(if version.is_empty() { &expected } else { version });
        let found = if kind.is_empty() { &resource.kind } else { kind };
        Refusal::bad_request(format!(
            "{found} in version \"{version}\" cannot be handled as a {}: {why}",
            resource.kind
        ))
    };
    if !version.is_empty() && version != expected {
        return Err(mismatch(format!(
            "no kind \"{kind}\" is registered for version \"{version}\" in scheme \"pkg/api/legacyscheme/scheme.go:30\""
        )));
    }
    if !kind.is_empty() && kind != resource.kind {
        let internal = match resource.group.split('.').next() {
            None | Some("") => "core",
            Some(group) => group,
        };
        let (version, wanted) = (&resource.version, &resource.kind);
        return Err(mismatch(format!(
            "converting ({version}.{kind}) to ({internal}.{wanted}): unknown conversion"
        )));
    }
    Ok(())
}

/// Checks that a custom resource, patched perhaps, still is of its version and kind.
pub(crate) fn same_kind(resource: &Resource, object: &Value) -> Answer<()> {
    let (kind, version) = (text(&object["kind"]), text(&object["apiVersion"]));
    let wrong = |field: &str, value: &str, wanted: &str| FieldError {
        kind: ErrorKind::Invalid,
        field: field.to_owned(),
        value: Some(value.into()),
        detail: format!("must be {wanted}"),
    };
    let expected = resource.api_version();
    let (group, _) = group_and_version(version);
    let mut errors = Vec::new();
    if kind != resource.kind {
        errors.push(wrong("kind", kind, &resource.kind));
    }
    if version != expected {
        errors.push(wrong("apiVersion", version, &expected));
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Refusal::invalid(
        if version.contains('/') { group } else { "" },
        kind,
        text(&object["metadata"]["name"]),
        &errors,
    ))
}
