use std::borrow::Cow;

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::{
    domain::client_address,
    verifier::credential::{HeaderPair, extract},
};

/// A request as the client sent it to the gateway.
#[derive(Clone, Debug)]
struct Sent {
    peer: String,
    headers: Vec<(String, String)>,
    permissions: Vec<String>,
}

fn sent() -> impl Strategy<Value = Sent> {
    let names = [
        "authorization",
        "x-api-key",
        "x-client-id",
        "x-secret-key",
        "x-forwarded-for",
        "x-real-ip",
        "cookie",
    ];
    let values = [
        bearer(),
        format!("bearer {}", plain(2)),
        format!("{}, Basic eDp5", bearer()),
        plain(1),
        plain(2),
        "acme-01234567890123456789".to_owned(),
        "203.0.113.9".to_owned(),
        "192.0.2.1, 10.0.0.7".to_owned(),
    ];
    let value = prop_oneof![8 => select(values.to_vec()), 1 => "[ -~]{0,12}"];
    let header = (select(names.to_vec()).prop_map(str::to_owned), value);
    let peer = prop_oneof![
        select(vec!["203.0.113.9", "10.0.0.1", "192.0.2.1", "::1", ""]).prop_map(str::to_owned),
        any::<String>()
    ];
    let permissions = select(vec!["users:read", "logs:write", "queries:block", "users:write", "*"]);
    (peer, vec(header, 0..4), vec(permissions.prop_map(str::to_owned), 0..3)).prop_map(
        |(peer, headers, permissions)| Sent {
            peer,
            headers,
            permissions,
        },
    )
}

impl Sent {
    /// What Envoy makes of it in its usual way.
    fn merged(&self) -> CheckRequest {
        let permissions = self.permissions.join(" ");
        let extensions = [("permission", &*permissions)];
        let mut question = question(&self.peer, &[], if permissions.is_empty() { &[] } else { &extensions });
        for (name, value) in &self.headers {
            let merged = http(&mut question).headers.entry(name.clone());
            merged
                .and_modify(|merged| *merged = format!("{merged},{value}"))
                .or_insert_with(|| value.clone());
        }
        question
    }

    /// What it makes of it with `encode_raw_headers`.
    fn raw(&self) -> CheckRequest {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (&**name, value.as_bytes()))
            .collect();
        let mut raw = raw_question(&self.peer, &headers);
        let extensions = self.merged().attributes.unwrap().context_extensions;
        raw.attributes.as_mut().unwrap().context_extensions = extensions;
        raw
    }

    fn code(&self, judge: &Judge) -> &'static str {
        let headers = self.headers.iter().map(|(name, value)| (&**name, value.as_bytes()));
        let presented = extract(headers, &HeaderPair::default());
        let forwarded = self
            .headers
            .iter()
            .filter(|(name, _)| name == "x-forwarded-for")
            .map(|(_, value)| &**value);
        let forwarded: Vec<&str> = forwarded.collect();
        let resolve = |peer| client_address::resolve(peer, forwarded, &judge.trusted_proxies);
        let requires = Requirements {
            permissions: self.permissions.clone(),
            ..Requirements::default()
        };
        let request = Request {
            presented: &presented,
            address: self.peer.parse().ok().and_then(resolve),
            requires: &requires,
        };
        decide(&judge.index, &request, &fresh()).code.as_str()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_request_is_decided_as_the_client_sent_it(sent in sent()) {
        let judge = judge();
        let expected = sent.code(&judge);
        prop_assert_eq!(code_of(&judge, &sent.raw()), expected);
        // A credential header that came twice may be joined to what is just no token, or not the right client ID.
        let joined = match expected {
            "malformed" => Cow::Owned(code_of(&judge, &sent.merged())),
            _ => Cow::Borrowed(expected),
        };
        prop_assert_ne!(&*joined, if expected == "malformed" { "valid" } else { "" });
        prop_assert_eq!(code_of(&judge, &sent.merged()), joined);
    }

    #[test]
    fn no_message_is_too_odd_and_none_lets_in(bytes in vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), flip in 1..=u8::MAX) {
        let judge = judge();
        prop_assert_ne!(check_bytes(&judge, frame(&bytes)).status.unwrap().code, 0);
        let mut message = question("203.0.113.9", &[("authorization", &format!("Bearer {}", plain(2)))], &[]).encode_to_vec();
        let at = at.index(message.len());
        message[at] ^= flip;
        prop_assert_ne!(check_bytes(&judge, frame(&message)).status.unwrap().code, 0);
    }
}
