use std::convert::Infallible;

use futures::{StreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::time::timeout;

use super::*;

async fn verify(question: &Value) -> Value {
    let request = post("/v1/verify", "application/json", &[], question.to_string());
    let answer = ask_http(request).await;
    assert_eq!(answer.status, 200);
    answer.json()
}

#[tokio::test(start_paused = true)]
async fn a_good_token_is_described() {
    let question = json!({
        "token": plain(GOOD), "organisation": "acme", "permissions": ["logs:read"], "projects": ["web"], "address": "::1",
    });
    let good = json!({
        "valid": true, "code": "valid", "organisation": "acme", "token": "web/deploy", "type": "Organisation",
        "user": null, "role": "Reader", "permissions": ["logs:*", "queries:block", "users:read"], "projects": ["*"],
        "expiresAt": null,
    });
    assert_eq!(verify(&question).await, good);
    let pair = json!({ "clientId": "acme-01234567890123456789", "secretKey": plain(GOOD) });
    assert_eq!(verify(&pair).await, good);
    assert_eq!(
        verify(&json!({ "token": plain(PERSONAL) })).await,
        json!({
            "valid": true, "code": "valid", "organisation": "acme", "token": "web/personal", "type": "Personal",
            "user": "ann", "role": null, "permissions": ["logs:read", "queries:block"], "projects": ["web"],
            "expiresAt": "2026-06-02T12:00:00Z",
        })
    );
}

/// Where a token is used from, as the status will say after a question by `peer`.
async fn noted(number: u64, peer: &str) -> Option<String> {
    let mut judge = judge();
    judge.trusted_proxies = "10.0.0.0/8".parse().unwrap();
    let sightings = Arc::clone(&judge.sightings);
    let question = json!({ "token": plain(number), "address": "203.0.113.7" });
    ask_judge(
        judge,
        post("/v1/verify", "application/json", &[], question.to_string()),
        peer,
    )
    .await;
    let note = sightings.next().await;
    note.seen.from
}

/// Whoever reaches the port may ask, and say what he likes.
#[tokio::test(start_paused = true)]
async fn an_address_that_anybody_claims_is_no_evidence() {
    assert_eq!(noted(OFFICE, "198.51.100.1").await, None);
    assert_eq!(noted(OFFICE, "203.0.113.7").await, None);
    assert_eq!(noted(OFFICE, GATEWAY).await.as_deref(), Some("203.0.113.7"));
}

#[tokio::test(start_paused = true)]
async fn bodies_that_do_not_end_are_kept_up_to_a_bound_of_them_all() {
    let http = Http::new(Arc::new(judge()));
    let sent = bytes::Bytes::from(vec![b' '; 60_000]);
    let endless = || {
        let piece = Ok::<_, Infallible>(Frame::data(sent.clone()));
        let body = StreamBody::new(stream::iter([piece]).chain(stream::pending()));
        let request = Request::post("/v1/verify").header("content-type", "application/json");
        let request = request.body(body).unwrap();
        let http = http.clone();
        Box::pin(async move {
            http.answer(request, "198.51.100.1".parse().unwrap())
                .await
                .status()
                .as_u16()
        })
    };
    let mut waiting = Vec::new();
    let refused = loop {
        let mut asking = endless();
        match timeout(Duration::from_millis(1), &mut asking).await {
            Ok(status) => break status,
            Err(_) => waiting.push(asking),
        }
        assert!(waiting.len() * sent.len() <= 64 << 20, "{} wait", waiting.len());
    };
    assert!(
        refused == 503 && waiting.len() > 500,
        "{refused} after {}",
        waiting.len()
    );
}

#[tokio::test(start_paused = true)]
async fn of_any_other_nothing_is_told_but_the_code() {
    let refused = |code: &str| json!({ "valid": false, "code": code });
    for (number, code) in REFUSED {
        assert_eq!(verify(&json!({ "token": plain(number) })).await, refused(code));
    }
    for (question, code) in [
        (json!({}), "missing"),
        (json!({ "token": "" }), "missing"),
        (json!({ "token": "nonsense" }), "malformed"),
        (json!({ "token": "t\u{f6}ken" }), "malformed"),
        (json!({ "clientId": "acme-01234567890123456789" }), "malformed"),
        (json!({ "secretKey": plain(GOOD) }), "malformed"),
        (json!({ "clientId": "another", "secretKey": plain(GOOD) }), "unknown"),
        (
            json!({ "token": plain(EVIL), "clientId": "c", "secretKey": plain(GOOD) }),
            "malformed",
        ),
        (
            json!({ "token": plain(GOOD), "organisation": "acme-evil" }),
            "wrong_organisation",
        ),
        (
            json!({ "token": plain(GOOD), "projects": ["web", "none"] }),
            "wrong_project",
        ),
        (
            json!({ "token": plain(GOOD), "permissions": ["users:write"] }),
            "insufficient_permission",
        ),
        (json!({ "token": plain(OFFICE) }), "ip_denied"),
        (
            json!({ "token": plain(OFFICE), "address": "198.51.100.1" }),
            "ip_denied",
        ),
    ] {
        assert_eq!(verify(&question).await, refused(code), "{question}");
    }
    let office = json!({ "token": plain(OFFICE), "address": "203.0.113.7" });
    assert_eq!(verify(&office).await["valid"], true);

    let unheard = Judge::new(Arc::default(), Arc::new(Freshness::new(1)));
    let request = post(
        "/v1/verify",
        "application/json",
        &[],
        json!({ "token": plain(GOOD) }).to_string(),
    );
    let answer = ask_judge(unheard, request, GATEWAY).await;
    assert_eq!((answer.status, answer.json()), (200, refused("stale")));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_understood_is_refused_without_repeating_it() {
    let token = plain(GOOD);
    let shape = |line, column| {
        format!(
            "The body must be one JSON object of token, clientId, secretKey, address, organisation, permissions and \
             projects; see line {line}, column {column}."
        )
    };
    for (body, sentence) in [
        (String::new(), shape(1, 1)),
        ("[]".to_owned(), shape(1, 1)),
        (format!("[\"{token}\"]"), shape(1, 1)),
        (format!("{{\"{token}\": 1}}"), shape(1, 58)),
        (format!("{{\"permissions\": \"{token}\"}}"), shape(1, 73)),
        ("{\"tokens\": []}".to_owned(), shape(1, 9)),
        ("{\"token\": \"a\",\n\"token\": \"b\"}".to_owned(), shape(2, 7)),
        ("{} {}".to_owned(), shape(1, 4)),
        ("{\"address\": \"here\"}".to_owned(), shape(1, 18)),
        (
            "{\"organisation\": \"\"}".to_owned(),
            "This cannot be asked: organisation has no value.".to_owned(),
        ),
        (
            "{\"permissions\": [\"logs\", \"logs:\"]}".to_owned(),
            "This cannot be asked: \"logs:\" is not a permission such as queries:block or queries:*.".to_owned(),
        ),
    ] {
        let answer = ask_http(post("/v1/verify", "application/json", &[], body.clone())).await;
        assert_eq!(
            (answer.status, answer.json()),
            (400, json!({ "error": sentence })),
            "{body}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn only_json_of_a_bounded_size_is_read() {
    for (content_type, expected) in [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ] {
        assert_eq!(
            ask_http(post("/v1/verify", content_type, &[], "{}")).await.status,
            expected,
            "{content_type}"
        );
    }
    let twice = post(
        "/v1/verify",
        "application/json",
        &[("content-type", "application/json")],
        "{}",
    );
    assert_eq!(ask_http(twice).await.status, 415);
    let spaces = |length: usize| format!("{{{}}}", " ".repeat(length - 2));
    for (length, announced, expected) in [
        (64 * 1024, None, 200),
        (64 * 1024 + 1, None, 413),
        (2, Some("65537"), 413),
        (2, Some("65536"), 200),
    ] {
        let announced: Vec<_> = announced.map(|length| ("content-length", length)).into_iter().collect();
        let request = post("/v1/verify", "application/json", &announced, spaces(length));
        assert_eq!(ask_http(request).await.status, expected, "{length}");
    }
}
