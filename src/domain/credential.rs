//! Tokens: their format, checksum, digest, and how they are shown.
//!
//! A token is `<prefix>_<kind><R><C>`: an organisation's prefix, `o` or `p` for the type, 43 random base62 characters
//! (256 bits) and 6 characters of CRC-32 over `<kind><R>`. The checksum lets scanners tell a leaked token from a random
//! string without asking anybody; the shape follows GitHub's, whose published example is a test vector below.

use std::fmt;

use rand::CryptoRng;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::api::TokenType;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 6;
const CLIENT_ID_LENGTH: usize = 20;

/// A token in plain text. Wiped from memory when dropped; `Debug` and `Display` never show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// A new token for an organisation's prefix.
    pub fn generate(prefix: &str, type_: TokenType, entropy: &mut dyn CryptoRng) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(
            prefix.len() + 2 + RANDOM_LENGTH + CHECKSUM_LENGTH,
        ));
        text.push_str(prefix);
        text.push('_');
        text.push(kind(type_));
        push_random(&mut text, RANDOM_LENGTH, entropy);
        let checksum = checksum(&text[prefix.len() + 1..]);
        text.extend(checksum.map(char::from));
        Self(text)
    }

    /// The token that a Secret or a request carries, when it has the shape and the checksum of one.
    pub fn parse(text: &str) -> Option<Self> {
        is_well_formed(text).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The plain text, for the Secret and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored instead of the token.
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    /// The token as people may see it: `acme_…x7Qf`.
    pub fn masked(&self) -> String {
        let prefix = self.0.rsplit_once('_').map_or("", |(prefix, _)| prefix);
        format!("{prefix}_…{}", &self.0[self.0.len() - 4..])
    }
}

/// Whether `text` has the shape and the checksum of a token. Copies nothing, so that every request can be asked.
pub fn is_well_formed(text: &str) -> bool {
    let Some((prefix, body)) = text.rsplit_once('_') else {
        return false;
    };
    let prefix_ok = (2..=16).contains(&prefix.len())
        && prefix
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        && prefix.as_bytes()[0].is_ascii_lowercase();
    let body_ok = body.len() == 1 + RANDOM_LENGTH + CHECKSUM_LENGTH
        && body.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && matches!(body.as_bytes()[0], b'o' | b'p');
    if !prefix_ok || !body_ok {
        return false;
    }
    let (checked, sum) = body.split_at(body.len() - CHECKSUM_LENGTH);
    checksum(checked) == sum.as_bytes()
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

/// The SHA-256 of a token, written `sha256:<hex>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest that was kept as these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes themselves.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest that a status carries, `sha256:` and 64 hexadecimal digits in lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:")?.as_bytes();
        let mut bytes = [0; 32];
        if hex.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self(bytes))
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A client ID: public, fixed for an ApiToken's life.
pub fn client_id(prefix: &str, entropy: &mut dyn CryptoRng) -> String {
    let mut text = format!("{prefix}-");
    push_random(&mut text, CLIENT_ID_LENGTH, entropy);
    text
}

fn kind(type_: TokenType) -> char {
    match type_ {
        TokenType::Organisation => 'o',
        TokenType::Personal => 'p',
    }
}

/// Appends `length` base62 characters, each equally likely: a byte that would favour the first ones is drawn again.
fn push_random(text: &mut String, length: usize, entropy: &mut dyn CryptoRng) {
    const FAIR: u8 = (256 / ALPHABET.len() * ALPHABET.len()) as u8;
    let mut remaining = length;
    let mut bytes = Zeroizing::new([0_u8; 64]);
    while remaining > 0 {
        entropy.fill_bytes(&mut *bytes);
        for &byte in bytes.iter().filter(|&&byte| byte < FAIR).take(remaining) {
            text.push(char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
            remaining -= 1;
        }
    }
}

/// CRC-32 of `text` in base62, padded with zeros to six characters.
fn checksum(text: &str) -> [u8; CHECKSUM_LENGTH] {
    let mut rest = crc32fast::hash(text.as_bytes()) as usize;
    let mut digits = [b'0'; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[rest % ALPHABET.len()];
        rest /= ALPHABET.len();
    }
    digits
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn token(seed: u64) -> Token {
        Token::generate("acme", TokenType::Organisation, &mut StdRng::seed_from_u64(seed))
    }

    #[test]
    fn the_checksum_is_that_of_the_published_example() {
        let (body, sum) = "qkJaB6MffYVzZXWqmcoF49yrUxP3wf0LsakP".split_at(30);
        assert_eq!(checksum(body), sum.as_bytes());
    }

    #[test]
    fn a_generated_token_has_the_documented_shape_and_parses() {
        let token = token(1);
        let text = token.expose();
        assert_eq!((text.len(), &text[..6]), ("acme_".len() + 50, "acme_o"));
        assert_eq!(Token::parse(text), Some(token));
        let personal = Token::generate("tw", TokenType::Personal, &mut StdRng::seed_from_u64(1));
        assert!(personal.expose().starts_with("tw_p"));
    }

    #[test]
    fn one_changed_character_anywhere_is_noticed() {
        let text = token(2).expose().to_owned();
        for at in "acme_".len()..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
            assert_eq!(Token::parse(&String::from_utf8(bytes).unwrap()), None, "position {at}");
        }
    }

    #[test]
    fn what_is_not_a_token_does_not_parse() {
        let valid = token(3).expose().to_owned();
        let body = valid.split_once('_').unwrap().1;
        for text in [
            "",
            "_",
            "acme_",
            &format!("a_{body}"),
            &format!("Acme_{body}"),
            &format!("1cme_{body}"),
            body,
            "ü_o",
        ] {
            assert_eq!(Token::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_character_comes_up_about_equally_often() {
        let mut entropy = StdRng::seed_from_u64(4);
        let mut text = String::new();
        push_random(&mut text, 62_000, &mut entropy);
        for &letter in ALPHABET {
            let count = text.bytes().filter(|&byte| byte == letter).count();
            assert!(
                (800..1200).contains(&count),
                "{} came up {count} times of 1000",
                char::from(letter)
            );
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        let token = token(5);
        let last = &token.expose()[token.expose().len() - 4..];
        assert_eq!(format!("{token:?}"), "Token(redacted)");
        assert_eq!(token.masked(), format!("acme_…{last}"));
    }

    #[test]
    fn a_digest_is_written_with_its_algorithm() {
        assert_eq!(
            Digest::of(b"abc").to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_digest_is_read_as_it_is_written_and_in_no_other_way() {
        let digest = Digest::of(b"abc");
        let text = digest.to_string();
        assert_eq!(Digest::parse(&text), Some(digest));
        let upper = text.to_uppercase();
        for other in [
            "",
            "sha256:",
            &text[1..],
            &text[..70],
            &format!("{text}0"),
            &upper,
            "sha256:é",
        ] {
            assert_eq!(Digest::parse(other), None, "{other}");
        }
    }
}
