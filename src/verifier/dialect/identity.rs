//! The headers that tell a service whose token let a request in.
//!
//! All of them are set on every request that is let in, empty where there is nothing to tell: a gateway that copies them
//! over the client's own leaves none of those. Values that stand for "all" are `*`, so that a header that is empty or
//! went missing never means more than one that is there.

use crate::{
    api::TokenType,
    verifier::{Identity, Scope},
};

/// Their names.
pub(in crate::verifier) const HEADERS: [&str; 8] = [
    "x-tokenwright-organisation",
    "x-tokenwright-token",
    "x-tokenwright-client-id",
    "x-tokenwright-type",
    "x-tokenwright-user",
    "x-tokenwright-role",
    "x-tokenwright-permissions",
    "x-tokenwright-projects",
];

/// The longest list. NGINX by default takes no more than 4 KiB of headers in an answer. What does not fit is left out,
/// whole entries only: a service then sees less of what the token may do, never more.
const LONGEST_LIST: usize = 1536;

/// The headers' values, in the order of their names.
pub(in crate::verifier) fn values(identity: &Identity) -> [String; 8] {
    [
        encoded(identity.organisation()),
        token(identity),
        encoded(identity.client_id().unwrap_or_default()),
        type_(identity).to_owned(),
        encoded(identity.user().unwrap_or_default()),
        encoded(identity.role().unwrap_or_default()),
        list(identity.permissions().iter()),
        list(projects(identity)),
    ]
}

/// The ApiToken as `namespace/name`.
pub(in crate::verifier) fn token(identity: &Identity) -> String {
    format!("{}/{}", identity.namespace(), identity.name())
}

/// To whom the token belongs, as its manifest says it.
pub(in crate::verifier) fn type_(identity: &Identity) -> &'static str {
    match identity.type_() {
        TokenType::Organisation => "Organisation",
        TokenType::Personal => "Personal",
    }
}

/// The projects that the token reaches, `*` for the whole organisation.
pub(in crate::verifier) fn projects(identity: &Identity) -> Vec<&str> {
    match identity.scope() {
        Scope::Organisation => vec!["*"],
        Scope::Projects(projects) => projects,
    }
}

fn list<'a>(entries: impl IntoIterator<Item = &'a str>) -> String {
    let mut list = String::new();
    for entry in entries {
        let before = list.len();
        if before > 0 {
            list.push(',');
        }
        encode(entry, &mut list);
        if list.len() > LONGEST_LIST {
            list.truncate(before);
            break;
        }
    }
    list
}

fn encoded(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    encode(text, &mut value);
    value
}

/// Percent-encodes what a header cannot carry or might not keep, and what would make two different names look alike.
fn encode(text: &str, value: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'%' | b',' => escape(byte, value),
            byte if byte.is_ascii_graphic() => value.push(char::from(byte)),
            byte => escape(byte, value),
        }
    }
}

fn escape(byte: u8, value: &mut String) {
    const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
    let digit = |number: u8| char::from(DIGITS[usize::from(number & 0xf)]);
    value.extend(['%', digit(byte >> 4), digit(byte)]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_a_header_cannot_carry_are_encoded() {
        for (name, value) in [
            ("", ""),
            ("ann@example.com", "ann@example.com"),
            ("system:serviceaccount:web:ci", "system:serviceaccount:web:ci"),
            ("Zoë", "Zo%C3%AB"),
            (" ann\r\nx-role: Owner", "%20ann%0D%0Ax-role:%20Owner"),
            ("50%,25%", "50%25%2C25%25"),
        ] {
            assert_eq!(encoded(name), value);
        }
    }

    #[test]
    fn a_list_is_cut_between_entries() {
        let entry = "a".repeat(500);
        assert_eq!(list([&*entry; 9]), [&*entry; 3].join(","));
        assert_eq!(list([&*entry.repeat(4), "b"]), "");
        assert_eq!(list([]), "");
    }

    proptest! {
        #[test]
        fn two_names_never_look_alike(one in any::<String>(), other in any::<String>()) {
            prop_assert_eq!(one == other, encoded(&one) == encoded(&other));
            prop_assert!(http::HeaderValue::from_str(&encoded(&one)).is_ok());
        }
    }
}
