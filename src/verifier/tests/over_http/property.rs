use proptest::prelude::*;

use super::{super::super::credential::extract, *};
use crate::domain::client_address;

/// A request of a gateway as its parts, so that what it asks can be worked out without reading its URL again.
#[derive(Clone, Debug)]
struct Asking {
    requires: Vec<(&'static str, String)>,
    client_path: String,
    headers: Vec<(String, Vec<u8>)>,
    peer: &'static str,
}

fn asking() -> impl Strategy<Value = Asking> {
    let requirement = prop_oneof![
        Just(("organisation", "acme".to_owned())),
        Just(("permission", "logs:read".to_owned())),
        Just(("permission", "users:write".to_owned())),
        Just(("project", "web".to_owned())),
        ("(organisation|permission|project)", "[a-z:*]{0,3}").prop_map(|(key, value)| {
            let known = ["organisation", "permission", "project"];
            (
                known.into_iter().find(|known| *known == key).unwrap_or("project"),
                value,
            )
        }),
    ];
    let token = prop_oneof![Just(GOOD), Just(OFFICE), Just(EVIL), 3..9_u64].prop_map(bearer);
    let header = prop_oneof![
        4 => token.prop_map(|token| ("authorization".to_owned(), token.into_bytes())),
        2 => "(203\\.0\\.113\\.7|10\\.0\\.0\\.1|, ?){0,3}".prop_map(|value| ("x-forwarded-for".to_owned(), value.into_bytes())),
        1 => Just(("connection".to_owned(), b"x-forwarded-for".to_vec())),
        1 => ("(authorization|x-api-key|x-client-id|x_forwarded_for|x-tokenwright-role)", "[ -~\t\u{80}-\u{ff}]{0,9}")
            .prop_map(|(name, value)| (name, value.into_bytes())),
    ];
    let path = "(/|/\\.\\.|/%2[ef]|/path|/organisation=acme-evil|\\?permission=a|&|[a-z*]){0,5}";
    (
        proptest::collection::vec(requirement, 0..3),
        path,
        proptest::collection::vec(header, 0..4),
        prop_oneof![Just(GATEWAY), Just("203.0.113.7"), Just("::1")],
    )
        .prop_map(|(requires, client_path, headers, peer)| Asking {
            requires,
            client_path,
            headers,
            peer,
        })
}

impl Asking {
    fn urls(&self) -> [String; 3] {
        let pairs: Vec<_> = self
            .requires
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let [_, forward_auth, auth_request] = urls(&pairs.join("&"));
        [
            format!("/ext-authz/{}/path{}", pairs.join("&"), self.client_path),
            forward_auth,
            auth_request,
        ]
    }

    /// Whether the pure decision lets it in, whose client's address is what any gateway could tell of it at best.
    fn is_let_in(&self, judge: &Judge) -> bool {
        let values = |wanted: &str| -> Vec<String> {
            let of = self.requires.iter().filter(|(key, _)| *key == wanted);
            of.map(|(_, value)| value.clone()).collect()
        };
        let organisations = values("organisation");
        let requires = Requirements {
            organisation: organisations.first().cloned(),
            permissions: values("permission"),
            projects: values("project"),
        };
        let forwarded = self.headers.iter().filter(|(name, _)| name == "x-forwarded-for");
        let forwarded = forwarded.map(|(_, value)| std::str::from_utf8(value).unwrap());
        let lines: Vec<&str> = forwarded.collect();
        let peer = self.peer.parse().unwrap();
        let address = client_address::resolve(peer, lines.iter().copied(), &judge.trusted_proxies);
        let headers = self.headers.iter().map(|(name, value)| (&**name, &**value));
        let presented = extract(headers, &judge.header_pair(requires.organisation.as_deref()));
        let request = super::super::Request {
            presented: &presented,
            address,
            requires: &requires,
        };
        decide(&judge.index, &request, &fresh()).identity().is_some() && organisations.len() < 2
    }
}

fn answered(url: &str, headers: &[(String, Vec<u8>)], peer: &str) -> Option<Answer> {
    let named = headers.iter().fold(Request::post(url), |request, (name, value)| {
        request.header(name, &value[..])
    });
    // What HTTP itself does not carry never comes here.
    let request = named.body(Full::new("{}".into())).ok()?;
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    Some(runtime.block_on(ask_judge(judge(), request, peer)))
}

proptest! {
    #[test]
    fn nobody_is_let_in_whom_the_decision_did_not_let_in(asking in asking()) {
        let expected = asking.is_let_in(&judge());
        for url in asking.urls() {
            if let Some(answer) = answered(&url, &asking.headers, asking.peer) {
                prop_assert!(answer.status != 200 || expected, "{}", url);
                prop_assert_eq!(answer.status == 200, !answer.identity().is_empty());
            }
        }
    }

    #[test]
    fn no_request_is_too_odd(
        url in "/(ext-authz/|forward-auth|auth-request|v1/verify|introspect|healthz)?[ -~\u{80}-\u{ff}]{0,20}",
        name in "[!-~]{1,12}",
        value in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let headers = [(name, value), ("content-type".to_owned(), b"application/json".to_vec())];
        if let Some(answer) = answered(&url, &headers, GATEWAY) {
            // Nothing that is asked without a credential is let in.
            prop_assert!(answer.identity().is_empty());
            let refused = answer.body == "{\"valid\":false,\"code\":\"missing\"}";
            prop_assert!(answer.status != 200 || refused, "{}", url);
        }
    }

    #[test]
    fn no_body_is_too_odd(body in proptest::collection::vec(any::<u8>(), 0..64), text in "[{}\\[\\]\",:a-z=&%]{0,40}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        for body in [body, text.into_bytes()] {
            let request = post("/v1/verify", "application/json", &[], body.clone());
            let answer = runtime.block_on(ask_http(request));
            let is_valid = answer.body.contains("\"valid\":true");
            prop_assert!(matches!(answer.status, 200 | 400) && !is_valid);
            let caller = bearer(CALLER);
            let form = "application/x-www-form-urlencoded";
            let request = post("/introspect", form, &[("authorization", &caller)], body);
            let answer = runtime.block_on(ask_http(request));
            let inactive = answer.body == "{\"active\":false}";
            prop_assert!(answer.status == 400 || inactive);
        }
    }
}
