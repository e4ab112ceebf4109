//! The credential a request presents: read from its headers, and from nothing else.
//!
//! A request carries one credential. Two that differ, a header that came twice, and a comma in `Authorization` (two of
//! them, joined on the way) are malformed: whichever of the two was judged, somebody else might take the other.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::api::CredentialHeaders;

/// The longest header that is looked at.
pub const MAX_HEADER: usize = 8 * 1024;

/// What a request presents.
#[derive(Debug, PartialEq, Eq)]
pub enum Presented<'h> {
    /// Nothing.
    Missing,
    /// Something, but not one credential.
    Malformed,
    /// A credential, of whatever worth.
    Credential(Credential<'h>),
}

/// A token, and the client ID that is said to belong to it. `Debug` never shows them.
#[derive(PartialEq, Eq)]
pub struct Credential<'h> {
    secret: Text<'h>,
    client_id: Option<Text<'h>>,
}

#[derive(PartialEq, Eq)]
enum Text<'h> {
    Header(&'h str),
    Decoded(Zeroizing<String>),
}

/// The names of the two request headers that carry a client ID and a secret key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderPair {
    /// The header of the client ID.
    pub client_id: Box<str>,
    /// The header of the secret key.
    pub secret_key: Box<str>,
}

impl HeaderPair {
    /// The pair that an organisation names.
    pub fn new(headers: &CredentialHeaders) -> Self {
        Self {
            client_id: headers.client_id.to_ascii_lowercase().into(),
            secret_key: headers.secret_key.to_ascii_lowercase().into(),
        }
    }
}

/// `x-client-id` and `x-secret-key`.
impl Default for HeaderPair {
    fn default() -> Self {
        Self {
            client_id: "x-client-id".into(),
            secret_key: "x-secret-key".into(),
        }
    }
}

impl<'h> Credential<'h> {
    /// A token by itself.
    pub fn token(secret: &'h str) -> Self {
        Self {
            secret: Text::Header(secret),
            client_id: None,
        }
    }

    /// A client ID and a secret key.
    pub fn pair(client_id: &'h str, secret: &'h str) -> Self {
        Self {
            secret: Text::Header(secret),
            client_id: Some(Text::Header(client_id)),
        }
    }

    pub(super) fn secret(&self) -> &str {
        self.secret.as_str()
    }

    pub(super) fn client_id(&self) -> Option<&str> {
        self.client_id.as_ref().map(Text::as_str)
    }

    /// This credential, when `other` does not contradict it.
    fn agree(mut self, other: Self) -> Option<Self> {
        let ids_differ = matches!((self.client_id(), other.client_id()), (Some(a), Some(b)) if a != b);
        if self.secret() != other.secret() || ids_differ {
            return None;
        }
        self.client_id = self.client_id.or(other.client_id);
        Some(self)
    }
}

impl Text<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::Header(text) => text,
            Self::Decoded(text) => text,
        }
    }
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(redacted)")
    }
}

/// Reads the credential from a request's headers: `Authorization` as Bearer or as Basic with client ID and secret key,
/// `X-API-Key`, and `pair`: the organisation's own where the route is one organisation's and it names one
/// ([`super::Index::headers`]), [`HeaderPair::default`] otherwise. Never the pairs of all organisations: any of them
/// could then name a header that the others' clients send.
pub fn extract<'h>(headers: impl IntoIterator<Item = (&'h str, &'h [u8])>, pair: &HeaderPair) -> Presented<'h> {
    read(headers, pair).map_or(Presented::Malformed, |credential| {
        credential.map_or(Presented::Missing, Presented::Credential)
    })
}

/// One of the headers above, found twice or unreadable, or credentials that differ.
struct Malformed;

fn read<'h>(
    headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    pair: &HeaderPair,
) -> Result<Option<Credential<'h>>, Malformed> {
    let (mut authorization, mut key, mut client_id, mut secret_key) = (None, None, None, None);
    for (name, value) in headers {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        // One header may play two parts, where an organisation chose its names so.
        for (wanted, slot) in [
            ("authorization", &mut authorization),
            ("x-api-key", &mut key),
            (&pair.client_id, &mut client_id),
            (&pair.secret_key, &mut secret_key),
        ] {
            if is(wanted) && slot.replace(text(value)?).is_some() {
                return Err(Malformed);
            }
        }
    }
    let present = |value: Option<&'h str>| value.filter(|value| !value.is_empty());
    let by_pair = match (present(client_id), present(secret_key)) {
        (Some(client_id), Some(secret)) => Some(Credential::pair(client_id, secret)),
        (None, None) => None,
        _ => return Err(Malformed),
    };
    let by_authorization = present(authorization).map(authorized).transpose()?.flatten();
    let by_key = present(key).map(Credential::token);
    let mut found = [by_authorization, by_key, by_pair].into_iter().flatten();
    let Some(first) = found.next() else { return Ok(None) };
    found.try_fold(first, Credential::agree).map(Some).ok_or(Malformed)
}

/// A header's value without the white space around it. What HTTP does not allow inside is no text: a line that was
/// folded, a control character, anything that is not ASCII.
fn text(value: &[u8]) -> Result<&str, Malformed> {
    if value.len() > MAX_HEADER {
        return Err(Malformed);
    }
    let text = std::str::from_utf8(value).map_err(|_| Malformed)?;
    let text = text.trim_matches([' ', '\t']);
    let printable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    printable.then_some(text).ok_or(Malformed)
}

/// None: a scheme that is not ours.
fn authorized(value: &str) -> Result<Option<Credential<'_>>, Malformed> {
    if value.contains(',') {
        return Err(Malformed);
    }
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    let rest = rest.trim_start_matches(' ');
    let is_one_word = !rest.is_empty() && !rest.contains(' ');
    if scheme.eq_ignore_ascii_case("bearer") {
        return is_one_word.then(|| Some(Credential::token(rest))).ok_or(Malformed);
    }
    if scheme.eq_ignore_ascii_case("basic") {
        return is_one_word.then(|| basic(rest)).flatten().map(Some).ok_or(Malformed);
    }
    Ok(None)
}

fn basic<'h>(encoded: &str) -> Option<Credential<'h>> {
    let decoded = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    let text = std::str::from_utf8(&decoded).ok()?;
    let (client_id, secret) = text.split_once(':')?;
    let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let owned = |text: &str| Text::Decoded(Zeroizing::new(text.to_owned()));
    (is_word(client_id) && is_word(secret)).then(|| Credential {
        secret: owned(secret),
        client_id: Some(owned(client_id)),
    })
}
