use super::*;

#[tokio::test(start_paused = true)]
async fn a_good_token_is_let_in_and_told_of_in_every_header() {
    for url in urls("organisation=acme&permission=logs:read&project=web") {
        let answer = ask_http(get(&url, &[("authorization", &bearer(GOOD))])).await;
        assert_eq!((answer.status, &*answer.body), (200, ""), "{url}");
        assert_eq!(
            answer.identity(),
            [
                "x-tokenwright-organisation: acme",
                "x-tokenwright-token: web/deploy",
                "x-tokenwright-client-id: acme-01234567890123456789",
                "x-tokenwright-type: Organisation",
                "x-tokenwright-user: ",
                "x-tokenwright-role: Reader",
                "x-tokenwright-permissions: logs:*,queries:block,users:read",
                "x-tokenwright-projects: *",
            ]
        );
        let answer = ask_http(get(&url, &[("x-api-key", &plain(PERSONAL))])).await;
        assert_eq!(answer.status, 200, "{url}");
        assert_eq!(
            answer.identity(),
            [
                "x-tokenwright-organisation: acme",
                "x-tokenwright-token: web/personal",
                "x-tokenwright-client-id: acme-01234567890123456789",
                "x-tokenwright-type: Personal",
                "x-tokenwright-user: ann",
                "x-tokenwright-role: ",
                "x-tokenwright-permissions: logs:read,queries:block",
                "x-tokenwright-projects: web",
            ]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn any_method_is_asked_about() {
    for url in urls("") {
        for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PROPFIND"] {
            let request = Request::builder()
                .method(method)
                .uri(&url)
                .header("authorization", bearer(GOOD));
            assert_eq!(
                ask_http(request.body(Full::default()).unwrap()).await.status,
                200,
                "{method} {url}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_wrong_with_a_credential_the_answer_is_the_same() {
    for url in urls("organisation=acme") {
        let unauthorized = ask_http(get(&url, &[("authorization", "Bearer nonsense")])).await;
        assert_eq!(
            (unauthorized.status, &*unauthorized.body),
            (401, "A valid API token is needed.\n")
        );
        assert_eq!(
            unauthorized.header("www-authenticate"),
            "Bearer realm=\"tokenwright\", error=\"invalid_token\""
        );
        assert!(unauthorized.identity().is_empty());
        for (number, reason) in REFUSED {
            let answer = ask_http(get(&url, &[("authorization", &bearer(number))])).await;
            assert_eq!(answer, unauthorized, "{reason}");
        }
        let mut missing = ask_http(get(&url, &[])).await;
        assert_eq!(missing.header("www-authenticate"), "Bearer realm=\"tokenwright\"");
        missing
            .headers
            .insert("www-authenticate", unauthorized.headers["www-authenticate"].clone());
        assert_eq!(missing, unauthorized);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_for_that_is_forbidden() {
    let plainly = "Bearer realm=\"tokenwright\"";
    for (number, requires, challenge) in [
        (
            GOOD,
            "permission=users:write&permission=logs:read",
            "Bearer realm=\"tokenwright\", error=\"insufficient_scope\", scope=\"users:write logs:read\"",
        ),
        (GOOD, "project=none", plainly),
        (EVIL, "organisation=acme", plainly),
        (OFFICE, "organisation=acme", plainly),
    ] {
        for url in urls(requires) {
            let answer = ask_http(get(&url, &[("authorization", &bearer(number))])).await;
            assert_eq!(
                (answer.status, &*answer.body, answer.header("www-authenticate")),
                (403, "This API token is not for that.\n", challenge),
                "{url}"
            );
            assert!(answer.identity().is_empty());
        }
    }
    // A list of permissions that is longer than a header is not spelled out.
    let many = (0..200)
        .map(|number| format!("permission=users:write{number}"))
        .collect::<Vec<_>>()
        .join("&");
    for url in urls(&many) {
        let answer = ask_http(get(&url, &[("authorization", &bearer(GOOD))])).await;
        let challenge = "Bearer realm=\"tokenwright\", error=\"insufficient_scope\"";
        assert_eq!(answer.header("www-authenticate"), challenge);
    }
}

#[tokio::test(start_paused = true)]
async fn a_verifier_that_knows_nothing_says_so() {
    for url in urls("") {
        let unheard = Judge::new(Arc::default(), Arc::new(Freshness::new(1)));
        let answer = ask_judge(unheard, get(&url, &[("authorization", &bearer(GOOD))]), GATEWAY).await;
        assert_eq!(
            (answer.status, &*answer.body, answer.header("retry-after")),
            (503, "API tokens cannot be verified now.\n", "5")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_that_makes_no_sense_lets_nobody_in() {
    for requires in [
        "permision=logs:read",
        "organisation=acme&organisation=acme",
        "organisation=",
        "permission=logs:",
        "acme",
    ] {
        let statuses = [400, 400, 403];
        for (url, expected) in urls(requires).into_iter().zip(statuses) {
            let judge = judge();
            let metrics = judge.metrics.clone();
            let answer = ask_judge(judge, get(&url, &[("authorization", &bearer(GOOD))]), GATEWAY).await;
            assert_eq!(answer.status, expected, "{url}");
            assert!(
                answer
                    .body
                    .starts_with("The gateway asks at a URL that makes no sense: "),
                "{}",
                answer.body
            );
            let counted = |line: &str| line.contains("routes_refused_total{") && line.ends_with(" 1");
            assert!(metrics.encode().lines().any(counted));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_of_more_than_8_kib_is_refused() {
    let cookie = "a".repeat(8 * 1024 + 1);
    let headers = [("authorization", &*bearer(GOOD)), ("cookie", &cookie)];
    for (url, expected) in urls("").into_iter().zip([431, 431, 403]) {
        assert_eq!(status(&url, &headers).await, expected, "{url}");
        assert_eq!(
            status(&url, &[headers[0], ("cookie", &cookie[1..])]).await,
            200,
            "{url}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_organisations_own_headers_count_on_its_routes_only() {
    let judge = |_: ()| {
        let judge = judge();
        let mut acme = organisation();
        acme["spec"]["headers"] = json!({ "clientId": "X-Acme-Id", "secretKey": "X-Acme-Key" });
        judge.index.apply_organisation(&parse::<Organisation>(&acme));
        judge
    };
    let secret = plain(GOOD);
    let pair = [("x-acme-id", "acme-01234567890123456789"), ("x-acme-key", &secret)];
    for (own, other) in urls("organisation=acme").into_iter().zip(urls("")) {
        assert_eq!(
            ask_judge(judge(()), get(&own, &pair), GATEWAY).await.status,
            200,
            "{own}"
        );
        assert_eq!(
            ask_judge(judge(()), get(&other, &pair), GATEWAY).await.status,
            401,
            "{other}"
        );
    }
}

/// What the client writes comes after the mark, and changes nothing.
#[tokio::test(start_paused = true)]
async fn envoys_client_has_no_say_in_what_its_route_requires() {
    let prefix = "/ext-authz/organisation=acme&permission=logs:read/path";
    for path in [
        "/",
        "/?permission=users:write",
        "/?organisation=acme-evil",
        "/..",
        "/../../path/",
        "/../../organisation=acme-evil/path/",
        "/%2e%2e/%2e%2e/path/x",
        "/..%2f..%2fpath%2fx",
        "//ext-authz/path/",
        "/organisation=acme-evil/path/",
        "/path/path/?&organisation=acme-evil",
        "/;organisation=acme-evil",
    ] {
        let url = format!("{prefix}{path}");
        let asked = async |number| status(&url, &[("authorization", &bearer(number))]).await;
        assert_eq!((asked(GOOD).await, asked(EVIL).await), (200, 403), "{path}");
        // Without the permission, whatever the query says.
        assert_eq!(asked(CALLER).await, 200, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn envoys_prefix_must_end_where_the_clients_path_begins() {
    let evil = bearer(EVIL);
    for url in [
        // A prefix that was not marked, and paths of clients that would complete it.
        "/ext-authz/organisation=acme/orders",
        "/ext-authz/organisation=acme-evil/orders",
        "/ext-authz/organisation=acme",
        // The path of `OPTIONS *`.
        "/ext-authz/organisation=acme-evil/path*",
        "/ext-authz/organisation=acme-evil/path?x",
        "/ext-authz/organisation=acme-evil/pathology/",
        "/ext-authz/organisation=acme-evil%2fpath/",
        "/ext-authz/path",
        "/ext-authz/orders/1",
        "/ext-authz/",
    ] {
        assert_eq!(status(url, &[("authorization", &evil)]).await, 400, "{url}");
    }
    let answer = ask_http(get("/ext-authz/organisation=acme/orders", &[])).await;
    assert_eq!(
        answer.body,
        "The gateway asks at a URL that makes no sense: end path_prefix with /path, as in \
         /ext-authz/organisation=acme/path.\n"
    );
}
