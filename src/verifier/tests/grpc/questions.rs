use super::*;

const INSIDE: &str = "203.0.113.9";
const OUTSIDE: &str = "192.0.2.1";
const PROXY: &str = "10.0.0.1";

/// The code for a request of `peer` with the good token and these headers.
fn code(peer: &str, headers: &[(&str, &str)]) -> String {
    let bearer = bearer();
    let headers = [headers, &[("authorization", &*bearer)]].concat();
    code_of(&judge(), &question(peer, &headers, &[]))
}

/// The same, with the headers apart.
fn raw_code(peer: &str, headers: &[(&str, &[u8])]) -> String {
    code_of(&judge(), &raw_question(peer, headers))
}

#[test]
fn the_peer_is_the_client_unless_it_is_a_trusted_proxy() {
    for (peer, forwarded, expected) in [
        (INSIDE, None, "valid"),
        ("::ffff:203.0.113.9", None, "valid"),
        (OUTSIDE, None, "ip_denied"),
        (OUTSIDE, Some(INSIDE), "ip_denied"),
        (PROXY, None, "ip_denied"),
        (PROXY, Some(INSIDE), "valid"),
        (PROXY, Some("203.0.113.9,192.0.2.1"), "ip_denied"),
        (PROXY, Some("192.0.2.1, 203.0.113.9, 10.0.0.2"), "valid"),
        (PROXY, Some("nonsense"), "ip_denied"),
        // With `use_remote_address` Envoy adds the peer itself.
        (PROXY, Some("203.0.113.9,10.0.0.1"), "valid"),
        (INSIDE, Some("192.0.2.1,203.0.113.9"), "valid"),
        (OUTSIDE, Some("203.0.113.9,192.0.2.1"), "ip_denied"),
        // What it makes of a peer that is a Unix socket.
        ("/run/gateway.sock", Some(INSIDE), "ip_denied"),
        ("", Some(INSIDE), "ip_denied"),
        ("gateway.example", Some(INSIDE), "ip_denied"),
    ] {
        let headers: Vec<_> = forwarded.map(|value| ("x-forwarded-for", value)).into_iter().collect();
        assert_eq!(code(peer, &headers), expected, "{peer} {forwarded:?}");
    }
}

/// A trusted proxy in the office, before an Envoy that does not pass on what it says, or to whom it says nothing.
#[test]
fn a_proxy_that_names_nobody_speaks_for_nobody() {
    let mut judge = judge();
    judge.trusted_proxies = "203.0.113.0/24".parse().unwrap();
    let bearer = bearer();
    for (forwarded, expected) in [
        (None, "ip_denied"),
        // With `use_remote_address` Envoy adds the proxy.
        (Some(INSIDE), "ip_denied"),
        (Some("192.0.2.1,203.0.113.9"), "ip_denied"),
        (Some("203.0.113.8,203.0.113.9"), "valid"),
        (Some("203.0.113.8"), "valid"),
    ] {
        let forwarded = forwarded.map(|value| ("x-forwarded-for", value));
        let headers: Vec<_> = forwarded.into_iter().chain([("authorization", &*bearer)]).collect();
        assert_eq!(
            code_of(&judge, &question(INSIDE, &headers, &[])),
            expected,
            "{forwarded:?}"
        );
    }
}

#[test]
fn without_an_ip_address_at_the_other_end_the_client_is_unknown() {
    let mut pipe = question(PROXY, &[("authorization", &bearer()), ("x-forwarded-for", INSIDE)], &[]);
    let attributes = pipe.attributes.as_mut().unwrap();
    attributes.source.as_mut().unwrap().address = Some(Address {
        address: Some(address::Address::Pipe(envoy_types::pb::envoy::config::core::v3::Pipe {
            path: "/run/gateway.sock".to_owned(),
            mode: 0,
        })),
    });
    assert_eq!(code_of(&judge(), &pipe), "ip_denied");
    let attributes = pipe.attributes.as_mut().unwrap();
    attributes.source = None;
    assert_eq!(code_of(&judge(), &pipe), "ip_denied");
}

#[test]
fn no_other_header_names_the_client() {
    for name in [
        "x_forwarded_for",
        "x-forwarded_for",
        "x-real-ip",
        "x-envoy-external-address",
        "x-client-ip",
        "true-client-ip",
        "forwarded",
    ] {
        assert_eq!(code(OUTSIDE, &[(name, INSIDE)]), "ip_denied", "{name}");
        assert_eq!(code(PROXY, &[(name, INSIDE)]), "ip_denied", "{name}");
        assert_eq!(
            code(PROXY, &[(name, OUTSIDE), ("x-forwarded-for", INSIDE)]),
            "valid",
            "{name}"
        );
    }
    assert_eq!(
        code(INSIDE, &[("connection", "x-forwarded-for, authorization")]),
        "valid"
    );
}

#[test]
fn headers_that_come_apart_are_read_in_their_order() {
    let bearer = bearer();
    let with = |peer, lines: &[&'static [u8]]| {
        let mut headers = vec![("authorization", bearer.as_bytes())];
        headers.extend(lines.iter().map(|&line| ("x-forwarded-for", line)));
        raw_code(peer, &headers)
    };
    assert_eq!(with(PROXY, &[b"192.0.2.1", b"203.0.113.9"]), "valid");
    assert_eq!(with(PROXY, &[b"203.0.113.9", b"192.0.2.1"]), "ip_denied");
    // A line that is no text still has its place.
    assert_eq!(with(PROXY, &[b"203.0.113.9", b"\xff", b"10.0.0.2"]), "ip_denied");
    assert_eq!(with(PROXY, &[b"\xff", b"203.0.113.9", b"10.0.0.2"]), "valid");
}

#[test]
fn two_credentials_are_malformed_however_they_arrive() {
    let judge = judge();
    let (good, other) = (bearer(), format!("Bearer {}", plain(2)));
    for pair in [[&good, &other], [&good, &good], [&other, &good]] {
        let joined = pair.map(|value| &**value).join(",");
        assert_eq!(
            code_of(&judge, &question(INSIDE, &[("authorization", &joined)], &[])),
            "malformed"
        );
        let apart = pair.map(|value| ("authorization", value.as_bytes()));
        assert_eq!(raw_code(INSIDE, &apart), "malformed");
    }
    let two_ways = [("authorization", &*good), ("x-api-key", &plain(2))];
    assert_eq!(code_of(&judge, &question(INSIDE, &two_ways, &[])), "malformed");
    let joined = format!("{0},{0}", plain(1));
    assert_eq!(
        code_of(&judge, &question(INSIDE, &[("x-api-key", &joined)], &[])),
        "malformed"
    );
}

#[test]
fn headers_in_both_forms_are_malformed() {
    let judge = judge();
    let bearer = bearer();
    let mut both = raw_question(INSIDE, &[("authorization", bearer.as_bytes())]);
    assert_eq!(code_of(&judge, &both), "valid");
    http(&mut both).headers.insert("accept".to_owned(), "*/*".to_owned());
    assert_eq!(code_of(&judge, &both), "malformed");

    let mut both = raw_question(INSIDE, &[("authorization", bearer.as_bytes())]);
    http(&mut both).header_map.as_mut().unwrap().headers[0].value = bearer.clone();
    assert_eq!(code_of(&judge, &both), "malformed");

    let mut text = raw_question(INSIDE, &[("authorization", b"")]);
    http(&mut text).header_map.as_mut().unwrap().headers[0].value = bearer;
    assert_eq!(code_of(&judge, &text), "valid");
}

#[test]
fn nothing_of_the_clients_request_is_a_requirement() {
    let judge = judge();
    let mut asking = question(
        INSIDE,
        &[
            ("authorization", &bearer()),
            ("organisation", "evil"),
            ("permission", "*"),
        ],
        &[],
    );
    http(&mut asking).path = "/?organisation=evil&permission=nothing".to_owned();
    assert_eq!(code_of(&judge, &asking), "valid");
}

#[test]
fn a_question_without_a_request_has_no_credential() {
    let judge = judge();
    assert_eq!(code_of(&judge, &CheckRequest::default()), "missing");
    let mut network = question(INSIDE, &[], &[]);
    network.attributes.as_mut().unwrap().request = None;
    assert_eq!(code_of(&judge, &network), "missing");
}
