use super::*;

const FORM: &str = "application/x-www-form-urlencoded";

async fn introspect(caller: u64, form: impl Into<bytes::Bytes>) -> Answer {
    ask_http(post("/introspect", FORM, &[("authorization", &bearer(caller))], form)).await
}

#[tokio::test(start_paused = true)]
async fn an_active_token_is_described() {
    let answer = introspect(
        CALLER,
        format!("token_type_hint=refresh_token&token={}&more=1", plain(GOOD)),
    )
    .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({
            "active": true, "scope": "logs:* queries:block users:read", "client_id": "acme-01234567890123456789",
            "token_type": "Bearer", "sub": "web/deploy", "organisation": "acme", "type": "Organisation",
            "role": "Reader", "projects": ["*"],
        })
    );
    let answer = introspect(CALLER, format!("token={}", plain(PERSONAL))).await;
    assert_eq!(
        answer.json(),
        json!({
            "active": true, "scope": "logs:read queries:block", "client_id": "acme-01234567890123456789",
            "username": "ann", "token_type": "Bearer", "exp": 1_780_401_600, "sub": "web/personal",
            "organisation": "acme", "type": "Personal", "projects": ["web"],
        })
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_active_is_nothing_more() {
    let others = [plain(EVIL), plain(OFFICE), "nonsense".to_owned(), String::new()];
    for token in REFUSED.iter().map(|(number, _)| plain(*number)).chain(others) {
        let answer = introspect(CALLER, format!("token={token}")).await;
        assert_eq!((answer.status, &*answer.body), (200, "{\"active\":false}"));
    }
    let active = async |address: &str| {
        introspect(CALLER, format!("token={}&address={address}", plain(OFFICE)))
            .await
            .json()
    };
    assert_eq!(active("203.0.113.7").await["active"], true);
    assert_eq!(active("198.51.100.1").await, json!({ "active": false }));
}

#[tokio::test(start_paused = true)]
async fn a_caller_shows_a_token_that_may_introspect() {
    let form = format!("token={}", plain(GOOD));
    let asked = async |headers: &[(&str, &str)]| ask_http(post("/introspect", FORM, headers, form.clone())).await;
    let plainly = "Bearer realm=\"tokenwright\"";
    let invalid = "Bearer realm=\"tokenwright\", error=\"invalid_token\"";
    let insufficient = "Bearer realm=\"tokenwright\", error=\"insufficient_scope\", scope=\"tokenwright:introspect\"";
    let numbered = |number| format!("Bearer {}", plain(number));
    for (authorization, challenge) in [
        (None, plainly),
        (Some("Bearer nonsense".to_owned()), invalid),
        (Some(numbered(3)), invalid),
        (Some(numbered(GOOD)), insufficient),
        (Some(numbered(OFFICE)), plainly),
    ] {
        let headers: Vec<_> = authorization.iter().map(|value| ("authorization", &**value)).collect();
        let answer = asked(&headers).await;
        assert_eq!(
            (answer.status, answer.header("www-authenticate"), &*answer.body),
            (
                401,
                challenge,
                "An API token with the permission tokenwright:introspect is needed.\n"
            )
        );
    }
    let basic = {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        format!(
            "Basic {}",
            STANDARD.encode(format!("acme-01234567890123456789:{}", plain(CALLER)))
        )
    };
    assert_eq!(asked(&[("authorization", &basic)]).await.json()["active"], true);
    assert_eq!(asked(&[("x-api-key", &plain(CALLER))]).await.json()["active"], true);

    let unheard = Judge::new(Arc::default(), Arc::new(Freshness::new(1)));
    let caller = bearer(CALLER);
    let request = post("/introspect", FORM, &[("authorization", &caller)], form.clone());
    assert_eq!(ask_judge(unheard, request, GATEWAY).await.status, 503);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_understood_is_told_as_the_rfc_wants_it() {
    for (form, description) in [
        ("", "token is missing"),
        ("tokens=a", "token is missing"),
        ("token=a&token=a", "token and address can each be given once"),
        ("token=a&address=here", "address is not an IP address"),
    ] {
        let answer = introspect(CALLER, form).await;
        let error = json!({ "error": "invalid_request", "error_description": description });
        assert_eq!((answer.status, answer.json()), (400, error), "{form}");
    }
    let caller = bearer(CALLER);
    let json = post("/introspect", "application/json", &[("authorization", &caller)], "{}");
    assert_eq!(ask_http(json).await.status, 415);
    assert_eq!(introspect(CALLER, "a".repeat(64 * 1024 + 1)).await.status, 413);
}
