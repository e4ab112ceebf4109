//! Envoy's side is played with the types that are generated from Envoy's own definitions.

mod answers;
mod calls;
mod property;
mod questions;
mod socket;

use envoy_types::pb::{
    envoy::{
        config::core::v3::{
            Address, HeaderMap, HeaderValue, HeaderValueOption, SocketAddress, address,
            header_value_option::HeaderAppendAction,
        },
        service::auth::v3::{
            AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse,
            attribute_context::{HttpRequest, Peer, Request as EnvoyRequest},
            check_response::HttpResponse,
        },
    },
    google::protobuf::{self, Struct, value::Kind},
};
use http_body_util::{BodyExt, Full};
use prost::{Message, bytes::Bytes};

use super::*;
use crate::verifier::dialect::grpc;

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// A judge of token 1, which is good, may be used from 203.0.113.0/24 only, and whose organisation has `headers`.
fn judge() -> Judge {
    let mut token = token("deploy", &[credential(1, "Active")]);
    token["status"]["grant"]["ipFilters"] = json!(["office"]);
    judge_of(&[token])
}

/// What Envoy asks about a request of `peer` with these headers, on a route with these `context_extensions`.
fn question(peer: &str, headers: &[(&str, &str)], extensions: &[(&str, &str)]) -> CheckRequest {
    let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    let socket = SocketAddress {
        address: peer.to_owned(),
        ..SocketAddress::default()
    };
    let http = HttpRequest {
        headers: headers.iter().map(owned).collect(),
        ..HttpRequest::default()
    };
    CheckRequest {
        attributes: Some(AttributeContext {
            source: Some(Peer {
                address: Some(Address {
                    address: Some(address::Address::SocketAddress(socket)),
                }),
                ..Peer::default()
            }),
            request: Some(EnvoyRequest {
                http: Some(http),
                ..EnvoyRequest::default()
            }),
            context_extensions: extensions.iter().map(owned).collect(),
            ..AttributeContext::default()
        }),
    }
}

/// The same, with the headers as Envoy sends them with `encode_raw_headers`.
fn raw_question(peer: &str, headers: &[(&str, &[u8])]) -> CheckRequest {
    let mut question = question(peer, &[], &[]);
    let raw = |&(key, value): &(&str, &[u8])| HeaderValue {
        key: key.to_owned(),
        raw_value: value.to_owned(),
        ..HeaderValue::default()
    };
    let map = HeaderMap {
        headers: headers.iter().map(raw).collect(),
    };
    http(&mut question).header_map = Some(map);
    question
}

fn http(question: &mut CheckRequest) -> &mut HttpRequest {
    let attributes = question.attributes.as_mut().unwrap();
    attributes.request.as_mut().unwrap().http.as_mut().unwrap()
}

fn bearer() -> String {
    format!("Bearer {}", plain(1))
}

/// What comes back for a call with this body: the HTTP status, the headers, the message and the trailers.
fn call(judge: &Judge, path: &str, body: Vec<u8>) -> (http::response::Parts, Bytes, Option<http::HeaderMap>) {
    let request = http::Request::post(path)
        .header("content-type", "application/grpc+proto")
        .body(Full::new(Bytes::from(body)));
    // Paused, as the verifier waits a moment for news of what it does not know.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let (head, body) = runtime.block_on(grpc::answer(judge, request.unwrap())).into_parts();
    let body = runtime.block_on(body.collect()).unwrap();
    let trailers = body.trailers().cloned();
    (head, body.to_bytes(), trailers)
}

fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat()
}

fn check(judge: &Judge, question: &CheckRequest) -> CheckResponse {
    check_bytes(judge, frame(&question.encode_to_vec()))
}

fn check_bytes(judge: &Judge, body: Vec<u8>) -> CheckResponse {
    let (head, body, trailers) = call(judge, CHECK, body);
    assert_eq!(
        (head.status.as_u16(), &head.headers["content-type"]),
        (200, &http::HeaderValue::from_static("application/grpc"))
    );
    assert_eq!(trailers.unwrap()["grpc-status"], "0");
    assert_eq!(body[..5], frame(&body[5..])[..5]);
    CheckResponse::decode(&body[5..]).unwrap()
}

/// The code that an answer gives, after making sure that only `valid` lets in.
fn code_of(judge: &Judge, question: &CheckRequest) -> String {
    let answer = check(judge, question);
    let status = answer.status.unwrap();
    let lets_in = status.code == 0 || matches!(answer.http_response, Some(HttpResponse::OkResponse(_)));
    assert_eq!(lets_in, status.message == "valid");
    status.message
}

/// All that an answer says.
fn shown(answer: CheckResponse) -> Value {
    let status = answer.status.unwrap();
    let (kind, response) = match answer.http_response.unwrap() {
        HttpResponse::OkResponse(ok) => (
            "ok",
            json!({ "set": headers(&ok.headers), "remove": ok.headers_to_remove }),
        ),
        HttpResponse::DeniedResponse(denied) => ("denied", shown_denial(&denied)),
        HttpResponse::ErrorResponse(error) => ("error", shown_denial(&error)),
    };
    json!({
        "status": [status.code, status.message], kind: response,
        "metadata": shown_struct(&answer.dynamic_metadata.unwrap()),
    })
}

fn shown_denial(denied: &DeniedHttpResponse) -> Value {
    json!({
        "status": denied.status.as_ref().unwrap().code, "set": headers(&denied.headers), "body": denied.body,
    })
}

fn headers(options: &[HeaderValueOption]) -> Value {
    let pair = |option: &HeaderValueOption| {
        assert_eq!(option.append_action(), HeaderAppendAction::OverwriteIfExistsOrAdd);
        let header = option.header.as_ref().unwrap();
        assert!(header.raw_value.is_empty());
        (header.key.clone(), json!(header.value))
    };
    Value::Object(options.iter().map(pair).collect())
}

fn shown_struct(fields: &Struct) -> Value {
    let field = |(key, value): (&String, &protobuf::Value)| (key.clone(), shown_value(value));
    Value::Object(fields.fields.iter().map(field).collect())
}

fn shown_value(value: &protobuf::Value) -> Value {
    match value.kind.as_ref().unwrap() {
        Kind::StringValue(text) => json!(text),
        Kind::ListValue(list) => list.values.iter().map(shown_value).collect(),
        other => panic!("{other:?}"),
    }
}
