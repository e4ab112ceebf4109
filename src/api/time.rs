//! Times as people write them into a spec.
//!
//! An API server takes more than [`Timestamp`] does: any number of digits behind the second, and the whole of the year
//! 9999. An object that cannot be read is not acted on, and its token does not work; so what was let in is read.

use std::borrow::Cow;

use jiff::{Timestamp, fmt::temporal::Pieces};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Deserializer, de::Error};

/// A finer time than nanoseconds is cut off there.
const MOST_DIGITS: usize = 9;
const LAST_YEAR: i16 = 9999;

pub(super) fn not_before<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    read("spec.notBefore", deserializer)
}

pub(super) fn expiry_at<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    read("spec.expiry.at", deserializer)
}

/// Reads the time in a field, which an error names. What lies past the last [`Timestamp`] is that one.
fn read<'de, D: Deserializer<'de>>(field: &str, deserializer: D) -> Result<Option<Time>, D::Error> {
    let Some(text) = Option::<Cow<'de, str>>::deserialize(deserializer)? else {
        return Ok(None);
    };
    match parse(&text) {
        Some(at) => Ok(Some(Time(at))),
        None => Err(Error::custom(format_args!(
            "{field}: {text:?} is not a time: write one such as 2027-01-31T12:00:00Z"
        ))),
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let text = without_excess(text);
    let read: Option<Timestamp> = text.parse().ok();
    read.or_else(|| is_past_the_last(&text).then_some(Timestamp::MAX))
}

/// The text with no more digits behind the second than can be read.
fn without_excess(text: &str) -> Cow<'_, str> {
    let Some((seconds, rest)) = text.split_once('.') else {
        return text.into();
    };
    let zone = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let digits = &rest[..rest.len() - zone.len()];
    match digits.get(..MOST_DIGITS) {
        Some(kept) => format!("{seconds}.{kept}{zone}").into(),
        None => text.into(),
    }
}

/// Whether this is a time of the last year that there is, with its zone, and so late that there is no [`Timestamp`] for it.
fn is_past_the_last(text: &str) -> bool {
    let Ok(pieces) = Pieces::parse(text) else { return false };
    let (Some(time), Some(offset)) = (pieces.time(), pieces.to_numeric_offset()) else {
        return false;
    };
    let at = pieces.date().to_datetime(time);
    at.year() == LAST_YEAR && offset.to_timestamp(at).is_err()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::Expiry;

    fn read(text: &str) -> Result<Timestamp, String> {
        let expiry: Result<Expiry, _> = serde_json::from_value(json!({ "at": text }));
        expiry
            .map(|expiry| expiry.at.unwrap().0)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_the_api_server_lets_pass_is_a_time() {
        for (text, expected) in [
            ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z"),
            ("2027-01-31T12:00:00.5+01:00", "2027-01-31T11:00:00.5Z"),
            ("2027-01-31T12:00:00.1234567899Z", "2027-01-31T12:00:00.123456789Z"),
            ("2027-01-31T12:00:00.000000000000-08:00", "2027-01-31T20:00:00Z"),
            ("2027-01-31t12:00:00z", "2027-01-31T12:00:00Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
        ] {
            assert_eq!(read(text), Ok(expected.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn what_lies_beyond_the_calendar_is_its_last_moment() {
        for text in [
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59:59.9999999999Z",
            "9999-12-31T23:59:59-23:59",
        ] {
            assert_eq!(read(text), Ok(Timestamp::MAX), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_what_to_write() {
        for text in [
            "2027-01-01T00:00:00+99:99",
            "2027-01-01",
            "2027-01-01T00:00:00",
            "2027-13-01T00:00:00Z",
            "2027-01-01T00:00:00.Z",
            "9999-12-32T00:00:00Z",
            "tomorrow",
            "",
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains("such as 2027-01-31T12:00:00Z"), "{text}: {error}");
            assert!(error.contains(&format!("{text:?}")), "{text}: {error}");
        }
    }
}
