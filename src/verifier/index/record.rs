//! A token as the index keeps it: a few dozen bytes.
//!
//! What many tokens share, their profile and their namespace, is a number here; names are written out; times are whole
//! seconds. Credentials come first: a decision reads them, mostly from memory that is far away, and their place does not
//! depend on what else is to be read.

use std::ops::Range;

use jiff::Timestamp;

use super::arena::ALIGNMENT;
use crate::{
    api::{ApiToken, CredentialState, Sighting},
    domain::credential::Digest,
};

/// Bytes before the fields of variable length: length, generation, last use, profile, namespace, flags.
const HEADER: usize = 2 + 4 + 4 + 4 + 4 + 1;
/// What changes without a change of the token's: the generation and the last use.
const NEWS: Range<usize> = 2..10;
const LAST_USED: usize = 2 + 4;
/// Where the fields begin that make two records of one token the same.
const CONTENT: usize = NEWS.end;
const FLAGS: usize = HEADER - 1;

const LIVE: u8 = 1;
const SUSPENDED: u8 = 1 << 1;
const HAS_NOT_BEFORE: u8 = 1 << 2;
const HAS_UUID: u8 = 1 << 3;
const HAS_LAST_REUSE: u8 = 1 << 4;
const VIOLATING: u8 = 1 << 5;

const STATE: u8 = 0b11;
const HAS_EXPIRY: u8 = 1 << 2;
const HAS_RETIREMENT: u8 = 1 << 3;

/// More credentials than any history keeps; the rest would be the oldest retired ones.
const MAX_CREDENTIALS: usize = 64;

/// One credential of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::verifier) struct CredentialRecord {
    pub(in crate::verifier) digest: Digest,
    pub(in crate::verifier) id: u64,
    pub(in crate::verifier) state: CredentialState,
    /// None: it is Retired, and when it was issued no longer matters.
    pub(in crate::verifier) issued_at: Option<u32>,
    pub(in crate::verifier) expires_at: Option<i64>,
    pub(in crate::verifier) retired_at: Option<i64>,
}

impl CredentialRecord {
    /// From where its times are counted.
    fn base(&self) -> i64 {
        self.issued_at.map_or(0, i64::from)
    }
}

/// A token's record, read where it lies.
#[derive(Clone, Copy, Debug)]
pub(in crate::verifier) struct Record<'a> {
    bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record at the start of `bytes`.
    pub(in crate::verifier) fn at(bytes: &'a [u8]) -> Option<Self> {
        let length = u16::from_le_bytes(*bytes.first_chunk()?);
        let bytes = bytes.get(..usize::from(length))?;
        (bytes.len() > HEADER).then_some(Self { bytes })
    }

    pub(super) fn length(self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_live(self) -> bool {
        self.flag(LIVE)
    }

    pub(super) fn generation(self) -> u32 {
        self.number(NEWS.start)
    }

    pub(super) fn profile(self) -> u32 {
        self.number(CONTENT)
    }

    pub(super) fn namespace(self) -> u32 {
        self.number(CONTENT + 4)
    }

    pub(in crate::verifier) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn same_content(self, other: &[u8]) -> bool {
        Some(&self.bytes[CONTENT..]) == other.get(CONTENT..)
    }

    pub(in crate::verifier) fn is_suspended(self) -> bool {
        self.flag(SUSPENDED)
    }

    /// Whether the controller found that a policy refuses what the token has.
    pub(in crate::verifier) fn is_violating(self) -> bool {
        self.flag(VIOLATING)
    }

    pub(in crate::verifier) fn name(self) -> &'a str {
        self.after_credentials().text()
    }

    pub(in crate::verifier) fn client_id(self) -> &'a str {
        let mut fields = self.after_credentials();
        fields.skip_text();
        fields.text()
    }

    pub(in crate::verifier) fn uid(self) -> String {
        let mut fields = self.after_credentials();
        fields.skip_text();
        fields.skip_text();
        match self.flag(HAS_UUID) {
            true => fields.uuid(),
            false => fields.text().to_owned(),
        }
    }

    pub(in crate::verifier) fn not_before(self) -> Option<i64> {
        self.flag(HAS_NOT_BEFORE).then(|| {
            let mut fields = self.after_credentials();
            self.skip_to_not_before(&mut fields);
            fields.signed()
        })
    }

    /// When the token was last used, by its status, in seconds.
    pub(in crate::verifier) fn last_used(self) -> Option<i64> {
        Some(self.number(LAST_USED)).filter(|&at| at != 0).map(i64::from)
    }

    /// Since when nobody has used the token, by its status, in seconds: its last use, or the issue of a credential after it.
    pub(in crate::verifier) fn idle_since(self) -> i64 {
        let issued = self.credentials().filter_map(|credential| credential.issued_at);
        i64::from(issued.chain([self.number(LAST_USED)]).max().unwrap_or_default())
    }

    /// When a replaced credential of the token was last presented, by its status, in seconds.
    pub(in crate::verifier) fn last_reuse(self) -> Option<i64> {
        self.flag(HAS_LAST_REUSE).then(|| {
            let mut fields = self.after_credentials();
            self.skip_to_not_before(&mut fields);
            if self.flag(HAS_NOT_BEFORE) {
                fields.signed();
            }
            fields.signed()
        })
    }

    pub(in crate::verifier) fn credentials(self) -> impl Iterator<Item = CredentialRecord> + use<'a> {
        let mut fields = self.fields();
        let count = fields.byte();
        (0..count).map(move |_| fields.credential())
    }

    fn skip_to_not_before(self, fields: &mut Fields<'a>) {
        fields.skip_text();
        fields.skip_text();
        match self.flag(HAS_UUID) {
            true => drop(fields.take(16)),
            false => fields.skip_text(),
        }
    }

    fn after_credentials(self) -> Fields<'a> {
        let mut fields = self.fields();
        for _ in 0..fields.byte() {
            fields.credential();
        }
        fields
    }

    fn fields(self) -> Fields<'a> {
        Fields(&self.bytes[HEADER..])
    }

    fn flag(self, flag: u8) -> bool {
        self.bytes[FLAGS] & flag != 0
    }

    fn number(self, at: usize) -> u32 {
        let bytes = self.bytes.get(at..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }
}

/// Marks the record at the start of `bytes` as dead.
pub(super) fn kill(bytes: &mut [u8]) {
    if let Some(flags) = bytes.get_mut(FLAGS) {
        *flags &= !LIVE;
    }
}

/// Takes over into the record at the start of `bytes` what is new in `newer`, a record of the same content.
pub(super) fn renew(bytes: &mut [u8], newer: &[u8]) {
    if let (Some(bytes), Some(newer)) = (bytes.get_mut(NEWS), newer.get(NEWS)) {
        bytes.copy_from_slice(newer);
    }
}

/// What is written of a token. None: it is no token that could ever be accepted or recognised.
pub(super) fn encode(token: &ApiToken, profile: u32, namespace: u32, generation: u32) -> Option<Vec<u8>> {
    let status = token.status.as_ref()?;
    let mut credentials: Vec<CredentialRecord> = status.credentials.iter().filter_map(credential).collect();
    if credentials.is_empty() {
        return None;
    }
    if credentials.len() > MAX_CREDENTIALS {
        credentials.sort_by_key(|one| (one.state == CredentialState::Retired, std::cmp::Reverse(one.id)));
        credentials.truncate(MAX_CREDENTIALS);
    }
    let uid = token.metadata.uid.as_deref().unwrap_or_default();
    let uuid = parse_uuid(uid);
    let not_before = token.spec.not_before.as_ref().map(|at| ceil(at.0));
    let seconds = |sighting: &Sighting| sighting.at.0.as_second();
    let last_used = status.last_used.as_ref().map_or(0, |used| short(used.at.0));
    let last_reuse = status.last_reuse.as_deref().map(seconds);

    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    let mut bytes = vec![0; NEWS.start];
    bytes.extend(generation.to_le_bytes());
    bytes.extend(last_used.to_le_bytes());
    bytes.extend(profile.to_le_bytes());
    bytes.extend(namespace.to_le_bytes());
    bytes.push(
        LIVE | flag(token.spec.suspended, SUSPENDED)
            | flag(not_before.is_some(), HAS_NOT_BEFORE)
            | flag(uuid.is_some(), HAS_UUID)
            | flag(last_reuse.is_some(), HAS_LAST_REUSE)
            | flag(status.violating, VIOLATING),
    );
    bytes.push(u8::try_from(credentials.len()).ok()?);
    for credential in &credentials {
        bytes.extend(credential.digest.as_bytes());
        bytes.push(
            state_number(credential.state)
                | flag(credential.expires_at.is_some(), HAS_EXPIRY)
                | flag(credential.retired_at.is_some(), HAS_RETIREMENT),
        );
        push_unsigned(&mut bytes, credential.id);
        bytes.extend(credential.issued_at.iter().flat_map(|at| at.to_le_bytes()));
        for at in [credential.expires_at, credential.retired_at].into_iter().flatten() {
            // Shorter than counted from 1970.
            push_signed(&mut bytes, at - credential.base());
        }
    }
    push_text(&mut bytes, token.metadata.name.as_deref()?)?;
    push_text(&mut bytes, status.client_id.as_deref().unwrap_or_default())?;
    match uuid {
        Some(uuid) => bytes.extend(uuid),
        None => push_text(&mut bytes, uid)?,
    }
    for at in [not_before, last_reuse].into_iter().flatten() {
        push_signed(&mut bytes, at);
    }
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    let length = u16::try_from(bytes.len()).ok()?;
    bytes[..2].copy_from_slice(&length.to_le_bytes());
    Some(bytes)
}

/// A credential whose digest is none is left out: nothing could match it.
fn credential(credential: &crate::api::Credential) -> Option<CredentialRecord> {
    Some(CredentialRecord {
        digest: Digest::parse(&credential.digest)?,
        id: credential.id,
        state: credential.state,
        issued_at: (credential.state != CredentialState::Retired).then(|| short(credential.issued_at.0)),
        expires_at: credential.expires_at.as_ref().map(|at| at.0.as_second()),
        retired_at: credential.retired_at.as_ref().map(|at| at.0.as_second()),
    })
}

/// Seconds in four bytes, which are enough until 2106; what is no such time is none, or the last.
fn short(at: Timestamp) -> u32 {
    u32::try_from(at.as_second().max(0)).unwrap_or(u32::MAX)
}

/// A beginning is rounded up and an end down: never a second too long.
fn ceil(at: Timestamp) -> i64 {
    at.as_second() + i64::from(at.subsec_nanosecond() > 0)
}

fn state_number(state: CredentialState) -> u8 {
    match state {
        CredentialState::Pending => 0,
        CredentialState::Active => 1,
        CredentialState::Retiring => 2,
        CredentialState::Retired => 3,
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &str) -> Option<()> {
    bytes.push(u8::try_from(text.len()).ok()?);
    bytes.extend(text.as_bytes());
    Some(())
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn push_unsigned(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn push_signed(bytes: &mut Vec<u8>, number: i64) {
    push_unsigned(bytes, (number << 1 ^ number >> 63).cast_unsigned());
}

/// The bytes of a UUID in its usual form, which is what the API server gives.
fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let mut digits = String::with_capacity(32);
    for (at, character) in text.char_indices() {
        match character {
            '-' if matches!(at, 8 | 13 | 18 | 23) => {}
            '0'..='9' | 'a'..='f' => digits.push(character),
            _ => return None,
        }
    }
    let bytes = u128::from_str_radix(&digits, 16).ok()?.to_be_bytes();
    (text.len() == 36 && digits.len() == 32).then_some(bytes)
}

/// The rest of a record. Reads as empty what is not there: a record is only ever written by [`encode`].
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(length).unwrap_or_default();
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    fn text(&mut self) -> &'a str {
        let length = usize::from(self.byte());
        std::str::from_utf8(self.take(length)).unwrap_or_default()
    }

    fn skip_text(&mut self) {
        let length = usize::from(self.byte());
        self.take(length);
    }

    fn unsigned(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte();
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        number
    }

    fn signed(&mut self) -> i64 {
        let number = self.unsigned();
        (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
    }

    fn uuid(&mut self) -> String {
        let mut text = String::with_capacity(36);
        for (at, byte) in self.take(16).iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            for digit in [byte >> 4, byte & 0xf] {
                text.extend(char::from_digit(u32::from(digit), 16));
            }
        }
        text
    }

    fn short(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap_or_default())
    }

    fn credential(&mut self) -> CredentialRecord {
        let digest = Digest::from_bytes(self.take(32).try_into().unwrap_or_default());
        let flags = self.byte();
        let state = match flags & STATE {
            0 => CredentialState::Pending,
            1 => CredentialState::Active,
            2 => CredentialState::Retiring,
            _ => CredentialState::Retired,
        };
        let mut credential = CredentialRecord {
            digest,
            id: self.unsigned(),
            state,
            issued_at: (state != CredentialState::Retired).then(|| self.short()),
            expires_at: None,
            retired_at: None,
        };
        let base = credential.base();
        credential.expires_at = (flags & HAS_EXPIRY != 0).then(|| self.signed() + base);
        credential.retired_at = (flags & HAS_RETIREMENT != 0).then(|| self.signed() + base);
        credential
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_uuid_is_kept_in_sixteen_bytes_and_any_other_uid_as_it_is() {
        let uuid = "0f8fad5b-d9cb-469f-a165-70867728950e";
        assert_eq!(Fields(&parse_uuid(uuid).unwrap()).uuid(), uuid);
        for other in [
            "",
            "u-1",
            &uuid.to_uppercase(),
            &uuid[1..],
            &uuid.replace('-', "0"),
            "é",
        ] {
            assert_eq!(parse_uuid(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_they_were_written(unsigned in any::<u64>(), signed in any::<i64>()) {
            let mut bytes = Vec::new();
            push_unsigned(&mut bytes, unsigned);
            push_signed(&mut bytes, signed);
            let mut fields = Fields(&bytes);
            prop_assert_eq!((fields.unsigned(), fields.signed(), fields.0.len()), (unsigned, signed, 0));
        }
    }
}
