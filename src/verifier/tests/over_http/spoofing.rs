//! What clients write into their requests to be taken for somebody else. Gateways pass most of it on.

use super::*;

/// The status for the token that may be used from the office only, asked about by `peer`.
async fn from(peer: &str, url: &str, headers: &[(&str, &str)]) -> u16 {
    let bearer = bearer(OFFICE);
    let headers = [&[("authorization", &*bearer)], headers].concat();
    ask_judge(judge(), get(url, &headers), peer).await.status
}

const INSIDE: &str = "203.0.113.7";
const OUTSIDE: &str = "198.51.100.1";

#[tokio::test(start_paused = true)]
async fn a_trusted_gateway_tells_the_clients_address() {
    for url in urls("") {
        for (forwarded, expected) in [
            (&[("x-forwarded-for", INSIDE)][..], 200),
            (&[("x-forwarded-for", OUTSIDE)], 403),
            // Envoy adds its own.
            (&[("x-forwarded-for", "203.0.113.7, 10.0.0.1")], 200),
            (&[("x-forwarded-for", "198.51.100.1, 10.0.0.1")], 403),
            // Two lines are one list.
            (&[("x-forwarded-for", OUTSIDE), ("x-forwarded-for", INSIDE)], 200),
            (&[("x-forwarded-for", INSIDE), ("x-forwarded-for", OUTSIDE)], 403),
            // What the client brought stands before what its gateway adds.
            (&[("x-forwarded-for", "203.0.113.7, 198.51.100.1")], 403),
            (&[("x-forwarded-for", "garbage, 203.0.113.7")], 200),
            (&[("x-forwarded-for", "203.0.113.7, garbage")], 403),
            (&[("x-forwarded-for", "")], 403),
        ] {
            assert_eq!(from(GATEWAY, &url, forwarded).await, expected, "{url} {forwarded:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_else_tells_it_and_the_gateways_own_is_not_the_clients() {
    for url in urls("") {
        // Even where the filter would allow the gateway itself.
        for peer in [OUTSIDE, INSIDE, "::ffff:203.0.113.7"] {
            assert_eq!(
                from(peer, &url, &[("x-forwarded-for", INSIDE)]).await,
                403,
                "{peer} {url}"
            );
            assert_eq!(from(peer, &url, &[]).await, 403, "{peer} {url}");
        }
        assert_eq!(
            from("::ffff:10.0.0.1", &url, &[("x-forwarded-for", INSIDE)]).await,
            200,
            "{url}"
        );
    }
}

/// A trusted gateway in the office, asking for a client that it does not name.
#[tokio::test(start_paused = true)]
async fn a_gateway_that_names_nobody_speaks_for_nobody() {
    let asked = async |url: &str, forwarded: Option<&str>| {
        let mut judge = judge();
        judge.trusted_proxies = "203.0.113.0/24".parse().unwrap();
        let bearer = bearer(OFFICE);
        let mut headers = vec![("authorization", &*bearer)];
        headers.extend(forwarded.map(|forwarded| ("x-forwarded-for", forwarded)));
        ask_judge(judge, get(url, &headers), INSIDE).await.status
    };
    for url in urls("") {
        assert_eq!(asked(&url, None).await, 403, "{url}");
        assert_eq!(asked(&url, Some("203.0.113.8")).await, 200, "{url}");
    }
    let [envoy, forward_auth, auth_request] = urls("");
    // Envoy adds its own address where it passes on nothing of the client's.
    assert_eq!(asked(&envoy, Some(INSIDE)).await, 403);
    assert_eq!(asked(&envoy, Some("203.0.113.8, 203.0.113.7")).await, 200);
    assert_eq!(asked(&forward_auth, Some(INSIDE)).await, 200);
    assert_eq!(asked(&auth_request, Some(INSIDE)).await, 200);
}

#[tokio::test(start_paused = true)]
async fn no_other_header_tells_an_address_or_a_route() {
    for url in urls("organisation=acme") {
        for spoofed in [
            ("x_forwarded_for", INSIDE),
            ("x-real-ip", INSIDE),
            ("x-envoy-external-address", INSIDE),
            ("x-client-ip", INSIDE),
            ("forwarded", "for=203.0.113.7"),
            ("true-client-ip", INSIDE),
        ] {
            assert_eq!(from(GATEWAY, &url, &[spoofed]).await, 403, "{url} {spoofed:?}");
            let both = [("x-forwarded-for", OUTSIDE), spoofed];
            assert_eq!(from(GATEWAY, &url, &both).await, 403, "{url} {spoofed:?}");
            // Nor do they take away what the gateway tells.
            let both = [("x-forwarded-for", INSIDE), (spoofed.0, OUTSIDE)];
            assert_eq!(from(GATEWAY, &url, &both).await, 200, "{url} {spoofed:?}");
        }
        for spoofed in [
            ("x-original-uri", "/?organisation=acme-evil"),
            ("x-forwarded-uri", "/?organisation=acme-evil"),
            ("x-original-url", "/healthz"),
            ("x-rewrite-url", "/healthz"),
            ("x-envoy-original-path", "/healthz"),
            ("x-forwarded-host", "acme-evil"),
            ("x-http-method-override", "OPTIONS"),
            ("x-tokenwright-organisation", "acme"),
        ] {
            let evil = bearer(EVIL);
            assert_eq!(
                status(&url, &[("authorization", &evil), spoofed]).await,
                403,
                "{url} {spoofed:?}"
            );
            assert_eq!(status(&url, &[spoofed]).await, 401, "{url} {spoofed:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn connection_cannot_take_out_what_counts() {
    let good = bearer(GOOD);
    for url in urls("") {
        for options in [
            "X-Forwarded-For",
            "close, x-forwarded-for",
            "Authorization",
            "keep-alive,\tx-api-key",
            "x-client-id",
        ] {
            let headers = [
                ("authorization", &*good),
                ("x-forwarded-for", INSIDE),
                ("connection", options),
            ];
            assert_eq!(status(&url, &headers).await, 401, "{url} {options}");
        }
        for options in ["close", "keep-alive", "Upgrade, HTTP2-Settings", "TE"] {
            let headers = [("authorization", &*good), ("connection", options)];
            assert_eq!(status(&url, &headers).await, 200, "{url} {options}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_credentials_are_none() {
    let (good, evil) = (bearer(GOOD), bearer(EVIL));
    let joined = format!("{good}, {evil}");
    let key = plain(EVIL);
    for url in urls("") {
        for headers in [
            &[("authorization", &*good), ("authorization", &*evil)][..],
            &[("authorization", &good), ("authorization", &good)],
            &[("authorization", &joined)],
            &[("authorization", &good), ("x-api-key", &key)],
        ] {
            assert_eq!(status(&url, headers).await, 401, "{url}");
        }
        // A name that some servers take for the same is another header here.
        for alias in ["x_api_key", "x.api.key", "authorization_"] {
            assert_eq!(status(&url, &[(alias, &*key)]).await, 401, "{url} {alias}");
            assert_eq!(
                status(&url, &[("authorization", &*good), (alias, &*key)]).await,
                200,
                "{url} {alias}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn identity_that_a_client_brings_is_overwritten() {
    let good = bearer(GOOD);
    for url in urls("") {
        let honest = ask_http(get(&url, &[("authorization", &good)])).await;
        let forged = ask_http(get(
            &url,
            &[
                ("authorization", &*good),
                ("x-tokenwright-user", "root"),
                ("x-tokenwright-role", "Boss"),
                ("x_tokenwright_permissions", "*"),
            ],
        ))
        .await;
        assert_eq!(forged, honest, "{url}");
    }
}
