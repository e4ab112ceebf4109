use proptest::prelude::*;

use super::super::credential::{HeaderPair, MAX_HEADER, extract};
use super::*;

/// `missing`, `malformed`, or the client ID and the secret.
fn read(headers: &[(&str, &[u8])]) -> String {
    match extract(headers.iter().copied(), &HeaderPair::default()) {
        Presented::Missing => "missing".to_owned(),
        Presented::Malformed => "malformed".to_owned(),
        Presented::Credential(credential) => {
            format!("{} {}", credential.client_id().unwrap_or("-"), credential.secret())
        }
    }
}

#[test]
fn every_way_to_present_a_credential_is_read() {
    let basic = b"Basic YzpzZWNyZXQ="; // c:secret
    for (headers, expected) in [
        (&[("authorization", b"Bearer secret".as_slice())][..], "- secret"),
        (&[("Authorization", b"\t bEARER   secret ")], "- secret"),
        (&[("AUTHORIZATION", basic)], "c secret"),
        (&[("X-API-Key", b"secret")], "- secret"),
        (&[("x-client-id", b"c"), ("X-Secret-Key", b"secret")], "c secret"),
        (
            &[("authorization", b"Bearer secret"), ("x-api-key", b"secret")],
            "- secret",
        ),
        (
            &[
                ("authorization", b"Bearer secret"),
                ("x-secret-key", b"secret"),
                ("x-client-id", b"c"),
            ],
            "c secret",
        ),
        (&[], "missing"),
        (
            &[
                ("accept", b"\xff\r\n"),
                ("x_api_key", b"secret"),
                ("x-forwarded-authorization", b"Bearer a"),
            ],
            "missing",
        ),
        (
            &[
                ("authorization", b""),
                ("x-api-key", b" "),
                ("x-client-id", b""),
                ("x-secret-key", b""),
            ],
            "missing",
        ),
        (&[("authorization", b"Negotiate abc")], "missing"),
        (
            &[("authorization", b"Negotiate abc"), ("x-api-key", b"secret")],
            "- secret",
        ),
    ] {
        assert_eq!(read(headers), expected, "{headers:?}");
    }
}

#[test]
fn what_is_not_one_credential_is_malformed() {
    let long = [b"Bearer ".as_slice(), &[b'a'; MAX_HEADER]].concat();
    for headers in [
        &[("authorization", b"Bearer".as_slice())][..],
        &[("authorization", b"Bearer a b")],
        &[("authorization", b"Bearer a,b")],
        &[("authorization", b"Bearer a, Bearer a")],
        &[("authorization", b"Digest username=\"a\", realm=\"b\"")],
        &[("authorization", b"Bearer a\r\n b")],
        &[("authorization", b"Bearer\ta")],
        &[("authorization", b"Bearer \xff")],
        &[("authorization", "Bearer ü".as_bytes())],
        &[("authorization", b"Bearer a\0")],
        &[("authorization", &long)],
        &[("authorization", b"Bearer a"), ("Authorization", b"Bearer a")],
        &[("authorization", b"Bearer a"), ("x-api-key", b"b")],
        &[("x-api-key", b"a"), ("x-api-key", b"a")],
        &[("x-client-id", b"c")],
        &[("x-secret-key", b"a")],
        &[
            ("x-client-id", b"d"),
            ("x-secret-key", b"secret"),
            ("authorization", b"Basic YzpzZWNyZXQ="),
        ],
        &[("authorization", b"Basic")],
        &[("authorization", b"Basic !!")],
        &[("authorization", b"Basic YzpzZWNyZXQ")],
        &[("authorization", b"Basic OnNlY3JldA==")],
        &[("authorization", b"Basic c2VjcmV0")],
        &[("authorization", b"Basic /zo=")],
        &[("x-api-key", b"\xff")],
    ] {
        assert_eq!(read(headers), "malformed", "{headers:?}");
    }
}

#[test]
fn an_organisations_own_pair_takes_the_place_of_the_usual_one() {
    let own = HeaderPair {
        client_id: "x-acme-id".into(),
        secret_key: "x-acme-key".into(),
    };
    let given = [
        ("X-Acme-Id", b"c".as_slice()),
        ("X-Acme-Key", b"s"),
        ("x-client-id", b"other"),
    ];
    let Presented::Credential(credential) = extract(given, &own) else {
        panic!("not read")
    };
    assert_eq!((credential.client_id(), credential.secret()), (Some("c"), "s"));
    assert_eq!(format!("{credential:?}"), "Credential(redacted)");
}

fn header() -> impl Strategy<Value = (String, Vec<u8>)> {
    let name = prop_oneof![
        "authorization",
        "Authorization",
        "x-api-key",
        "x-client-id",
        "X-Secret-Key",
        "accept"
    ];
    let value = prop_oneof![
        4 => "(Bearer|bearer|Basic|) ?[ab]{0,2}".prop_map(String::into_bytes),
        1 => Just(b"Basic YTpi".to_vec()),
        1 => "[ab]".prop_map(String::into_bytes),
        2 => proptest::collection::vec(any::<u8>(), 0..12),
    ];
    (name, value)
}

proptest! {
    /// Whatever is read was written in one of the headers, and each of those that carry a secret carries this one.
    #[test]
    fn only_what_every_header_says_is_read(headers in proptest::collection::vec(header(), 0..5)) {
        let given: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        if let Presented::Credential(credential) = extract(given.iter().copied(), &HeaderPair::default()) {
            let secret = credential.secret().as_bytes();
            prop_assert!(!secret.is_empty() && secret.is_ascii());
            for (name, value) in given {
                let value = value.trim_ascii();
                let carries = match name.to_ascii_lowercase().as_str() {
                    "authorization" if value.len() > 7 && value[..7].eq_ignore_ascii_case(b"bearer ") => value.ends_with(secret),
                    "authorization" if value == b"Basic YTpi" => secret == b"b",
                    "x-api-key" | "x-secret-key" => value.is_empty() || value == secret,
                    _ => true,
                };
                prop_assert!(carries);
            }
        }
    }
}
