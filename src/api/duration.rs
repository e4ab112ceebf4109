use std::{borrow::Cow, cmp::Ordering, fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time as written in a manifest: whole days, hours, minutes and seconds, such as `30d` or `1d12h`.
///
/// Parsed once, kept as written. Zero is a value of its own ([`Duration::is_zero`]): only `rotation.overlap` may be zero,
/// and the schema refuses it elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duration {
    text: String,
    seconds: u64,
}

/// Why a text is not a [`Duration`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration: write days, hours, minutes and seconds such as 30d, 12h, 90m or 1d12h, {LIMIT}")]
pub struct InvalidDuration(String);

const LIMIT: &str = "each number at most 999999, 20 characters in all";
const MAX_LENGTH: usize = 20;
const MAX_DIGITS: usize = 6;

impl Duration {
    /// How long this is, in seconds.
    pub fn seconds(&self) -> u64 {
        self.seconds
    }

    /// Whether this is no time at all.
    pub fn is_zero(&self) -> bool {
        self.seconds == 0
    }

    /// This as a signed duration, for arithmetic on timestamps.
    pub fn signed(&self) -> SignedDuration {
        // Twenty characters of six-digit numbers stay far below i64::MAX seconds.
        SignedDuration::from_secs(i64::try_from(self.seconds).unwrap_or(i64::MAX))
    }

    /// The moment this long after `start`; the last representable moment where that lies beyond the calendar.
    ///
    /// A duration that overflows must never come out as "for ever": a bounded far future still expires.
    pub fn after(&self, start: Timestamp) -> Timestamp {
        start.checked_add(self.signed()).unwrap_or(Timestamp::MAX)
    }

    /// A duration of whole seconds.
    pub fn from_seconds(seconds: u32) -> Self {
        Self {
            text: format!("{seconds}s"),
            seconds: u64::from(seconds),
        }
    }
}

impl FromStr for Duration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidDuration(text.to_owned());
        if text.is_empty() || text.len() > MAX_LENGTH {
            return Err(invalid());
        }
        let mut seconds = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let unit = match rest.as_bytes().get(digits) {
                Some(b'd') => 86_400,
                Some(b'h') => 3_600,
                Some(b'm') => 60,
                Some(b's') => 1,
                _ => return Err(invalid()),
            };
            if digits == 0 || digits > MAX_DIGITS {
                return Err(invalid());
            }
            let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
            seconds += number * unit;
            rest = &rest[digits + 1..];
        }
        Ok(Self {
            text: text.to_owned(),
            seconds,
        })
    }
}

/// By length; two spellings of one length have an order too, so that the least of several is always the same.
impl Ord for Duration {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.seconds, &self.text).cmp(&(other.seconds, &other.text))
    }
}

impl PartialOrd for Duration {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // A CEL rule rather than `pattern`, because it can say what to write instead.
        json_schema!({
            "type": "string",
            "maxLength": MAX_LENGTH,
            "x-kubernetes-validations": [{
                "rule": format!("self.matches('^([0-9]{{1,{MAX_DIGITS}}}[dhms])+$')"),
                "message": "must be days, hours, minutes and seconds such as 30d, 12h, 90m or 1d12h, each number at most 999999"
            }]
        })
    }
}

/// The schema of a [`Duration`] that may not be zero.
pub(super) fn positive(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = Duration::json_schema(generator);
    if let Some(rules) = schema
        .get_mut("x-kubernetes-validations")
        .and_then(|rules| rules.as_array_mut())
    {
        rules.push(serde_json::json!({
            "rule": "self.matches('[1-9]')",
            "message": "must not be zero; leave the field out instead"
        }));
    }
    schema
}

/// A CEL expression for the seconds of the duration that `path` names; for rules that compare two of them.
pub(super) fn cel_seconds(path: &str) -> String {
    [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)]
        .map(|(unit, factor)| {
            format!("{path}.findAll('[0-9]+{unit}').map(n, int(n.substring(0, n.size() - 1)) * {factor}).sum()")
        })
        .join(" + ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_schema_allows() {
        for (text, seconds) in [
            ("30d", 2_592_000),
            ("12h", 43_200),
            ("90m", 5_400),
            ("1d12h", 129_600),
            ("0s", 0),
            ("5s5s", 10),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!((duration.seconds(), duration.to_string()), (seconds, text.to_owned()));
        }
    }

    #[test]
    fn refuses_everything_else_with_what_to_write() {
        for text in [
            "",
            "d",
            "30",
            "1w",
            "-1d",
            "1.5h",
            " 1d",
            "1d ",
            "1000000d",
            "1d1d1d1d1d1d1d1d1d1d1d",
        ] {
            let error = text.parse::<Duration>().unwrap_err().to_string();
            assert!(error.contains("30d, 12h, 90m or 1d12h"), "{text}: {error}");
        }
    }

    #[test]
    fn the_longest_duration_does_not_wrap_round() {
        let longest: Duration = "999999d999999d99999d".parse().unwrap();
        let now: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        assert!(longest.after(now) > now);
        assert_eq!(longest.after(Timestamp::MAX), Timestamp::MAX);
    }
}
