use std::convert::Infallible;

use futures::{FutureExt, StreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;

use super::*;

fn status_of(path: &str, body: Vec<u8>) -> (u16, Option<String>) {
    let (head, body, trailers) = call(&judge(), path, body);
    assert!(body.is_empty() && trailers.is_none());
    let status = head
        .headers
        .get("grpc-status")
        .map(|status| status.to_str().unwrap().to_owned());
    (head.status.as_u16(), status)
}

fn failed(status: &str) -> (u16, Option<String>) {
    (200, Some(status.to_owned()))
}

#[test]
fn what_a_client_may_have_caused_is_a_denial_and_no_failure() {
    let judge = judge();
    let good = frame(&question("203.0.113.9", &[("authorization", &bearer())], &[]).encode_to_vec());
    assert_eq!(check_bytes(&judge, good.clone()).status.unwrap().message, "valid");
    let large = vec![b'a'; grpc::MAX_MESSAGE];
    for bytes in [
        Vec::new(),
        vec![0, 0, 0],
        good[..good.len() - 1].to_vec(),
        [&*good, b"\0"].concat(),
        [&*good, &good].concat(),
        frame(b"\xff\xff\xff"),
        frame(&[&large[..], b"b"].concat()),
        [&[2], &good[1..]].concat(),
    ] {
        let answer = check_bytes(&judge, bytes);
        let denied = matches!(answer.http_response, Some(HttpResponse::DeniedResponse(_)));
        assert!(denied && answer.status.unwrap().message == "malformed");
    }
    let text = judge.metrics.encode();
    assert!(text.contains("decisions_total{dialect=\"ext_authz_grpc\",code=\"malformed\"} 8\n"));
}

#[test]
fn fields_that_nobody_asks_for_may_be_anything() {
    let mut message = question("203.0.113.9", &[("authorization", &bearer())], &[]).encode_to_vec();
    // attributes.request.http.path, which Envoy has sent as the client wrote it
    let path = b"\x0a\x07\x22\x05\x12\x03\x22\x01\xff";
    message.extend(path);
    assert!(CheckRequest::decode(&*message).is_err());
    assert_eq!(check_bytes(&judge(), frame(&message)).status.unwrap().message, "valid");
}

#[test]
fn what_is_no_call_of_ours_is_said_to_be_none() {
    let compressed = [1, 0, 0, 0, 1, 0].to_vec();
    assert_eq!(status_of(CHECK, compressed), failed("12"));
    assert_eq!(
        status_of("/envoy.service.auth.v2.Authorization/Check", frame(b"")),
        failed("12")
    );
    assert_eq!(status_of("/grpc.health.v1.Health/Watch", frame(b"")), failed("12"));

    let request = http::Request::post(CHECK).header("content-type", "application/json");
    let request = request.body(Full::new(Bytes::new())).unwrap();
    let answer = grpc::answer(&judge(), request).now_or_never().unwrap();
    assert_eq!(answer.status().as_u16(), 415);
}

#[test]
fn calls_that_do_not_end_are_kept_up_to_a_bound_of_them_all() {
    let judge = judge();
    let sent = Bytes::from(vec![0; 30_000]);
    let endless = || {
        let piece = Ok::<_, Infallible>(Frame::data(sent.clone()));
        let body = StreamBody::new(stream::iter([piece]).chain(stream::pending()));
        let request = http::Request::post(CHECK).header("content-type", "application/grpc");
        let mut call = Box::pin(grpc::answer(&judge, request.body(body).unwrap()));
        match (&mut call).now_or_never() {
            Some(answer) => Err(answer.headers()["grpc-status"].clone()),
            None => Ok(call),
        }
    };
    let mut waiting = Vec::new();
    let refused = loop {
        match endless() {
            Ok(call) => waiting.push(call),
            Err(status) => break status,
        }
        assert!(waiting.len() * sent.len() <= 64 << 20, "{} calls wait", waiting.len());
    };
    assert!(
        refused == "8" && waiting.len() > 1000,
        "{refused:?} after {}",
        waiting.len()
    );
    // What is complete needs no room, and what has ended makes room.
    let good = question("203.0.113.9", &[("authorization", &bearer())], &[]);
    assert_eq!(code_of(&judge, &good), "valid");
    drop(waiting.pop());
    let taken = endless();
    assert!(taken.is_ok() && endless().is_err());
}

#[test]
fn health_is_whether_the_view_is_fresh() {
    const HEALTH: &str = "/grpc.health.v1.Health/Check";
    let mut judge = judge();
    let serving = |judge: &Judge, service: &str| {
        let length = u8::try_from(service.len()).unwrap();
        let (_, body, _) = call(judge, HEALTH, frame(&[&[0x0a, length], service.as_bytes()].concat()));
        body.to_vec()
    };
    for service in ["", "envoy.service.auth.v3.Authorization"] {
        assert_eq!(serving(&judge, service), frame(&[0x08, 1]));
    }
    assert_eq!(serving(&judge, "other"), Vec::<u8>::new());
    judge.freshness = Arc::new(Freshness::new(1));
    assert_eq!(serving(&judge, ""), frame(&[0x08, 2]));
    assert_eq!(status_of(HEALTH, frame(b"\x0a\x01x")), failed("5"));
    assert_eq!(status_of(HEALTH, vec![7]), failed("3"));
}
