//! The `format` keyword for strings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use base64::Engine as _;
use regex::Regex;

use super::pattern;

/// A format of strings that the API server checks; others are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Uri,
    Email,
    Hostname,
    Ipv4,
    Ipv6,
    Cidr,
    Mac,
    Uuid,
    Uuid3,
    Uuid4,
    Uuid5,
    HexColor,
    Byte,
    Password,
    Date,
    Duration,
    DateTime,
    ShortName,
    LongName,
}

impl Format {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name.replace('-', "").as_str() {
            "uri" => Self::Uri,
            "email" => Self::Email,
            "hostname" => Self::Hostname,
            "ipv4" => Self::Ipv4,
            "ipv6" => Self::Ipv6,
            "cidr" => Self::Cidr,
            "mac" => Self::Mac,
            "uuid" => Self::Uuid,
            "uuid3" => Self::Uuid3,
            "uuid4" => Self::Uuid4,
            "uuid5" => Self::Uuid5,
            "hexcolor" => Self::HexColor,
            "byte" => Self::Byte,
            "password" => Self::Password,
            "date" => Self::Date,
            "duration" => Self::Duration,
            "datetime" => Self::DateTime,
            "k8sshortname" => Self::ShortName,
            "k8slongname" => Self::LongName,
            _ => return None,
        })
    }

    pub(crate) fn accepts(self, text: &str) -> bool {
        match self {
            Self::Uri => is_uri(text),
            Self::Email => is_email(text),
            Self::Hostname => is_hostname(text),
            Self::Ipv4 => lenient_ip(text).is_some_and(|ip| ip.is_ipv4() && !text.contains(':')),
            Self::Ipv6 => text.contains(':') && text.parse::<Ipv6Addr>().is_ok(),
            Self::Cidr => is_cidr(text),
            Self::Mac => is_mac(text),
            Self::Uuid => matches(&UUID, text),
            Self::Uuid3 => matches(&UUID3, text),
            Self::Uuid4 => matches(&UUID4, text),
            Self::Uuid5 => matches(&UUID5, text),
            Self::HexColor => matches(&HEX_COLOR, text),
            Self::Byte => base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
            Self::Password => true,
            Self::Date => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
            Self::Duration => duration_nanoseconds(text).is_some(),
            Self::DateTime => is_date_time(text),
            Self::ShortName => text.len() <= 63 && matches(&SHORT_NAME, text),
            Self::LongName => text.len() <= 253 && matches(&LONG_NAME, text),
        }
    }
}

type Pattern = LazyLock<Option<Regex>>;

static UUID: Pattern =
    LazyLock::new(|| pattern::compile("(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$").ok());
static UUID3: Pattern =
    LazyLock::new(|| pattern::compile("(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$").ok());
static UUID4: Pattern = LazyLock::new(|| {
    pattern::compile("(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$").ok()
});
static UUID5: Pattern = LazyLock::new(|| {
    pattern::compile("(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$").ok()
});
static HEX_COLOR: Pattern = LazyLock::new(|| pattern::compile("^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$").ok());
static SHORT_NAME: Pattern = LazyLock::new(|| pattern::compile("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$").ok());
static LONG_NAME: Pattern =
    LazyLock::new(|| pattern::compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$").ok());
static DATE_TIME: Pattern = LazyLock::new(|| {
    pattern::compile(
        r"(?i)^([0-9]{4})-([0-9]{2})-([0-9]{2})[t ]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)(\.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})$",
    )
    .ok()
});
static DURATION_PARTS: Pattern = LazyLock::new(|| pattern::compile(r"(\d+)\s*([A-Za-zµ]+)").ok());

fn matches(pattern: &Pattern, text: &str) -> bool {
    pattern.as_ref().is_some_and(|regex| regex.is_match(text))
}

fn is_date_time(text: &str) -> bool {
    matches(&DATE_TIME, text)
        && text
            .get(..10)
            .is_some_and(|date| date.parse::<jiff::civil::Date>().is_ok())
}

fn is_uri(text: &str) -> bool {
    if text.is_empty() || text.chars().any(|c| c.is_ascii_control() || c == ' ') {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    !rest.is_empty()
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let atom = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let dotted =
        |part: &str| !part.is_empty() && part.split('.').all(|piece| !piece.is_empty()) && part.chars().all(atom);
    dotted(local) && dotted(domain)
}

fn is_hostname(text: &str) -> bool {
    text.len() <= 255
        && !text.is_empty()
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '-' || !c.is_ascii())
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

/// An IP address; octets may have leading zeros, as the API server still lets them.
fn lenient_ip(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    let octets: Vec<u8> = text
        .split('.')
        .map(|octet| {
            octet
                .chars()
                .all(|c| c.is_ascii_digit())
                .then(|| octet.parse().ok())
                .flatten()
        })
        .collect::<Option<_>>()?;
    let octets: [u8; 4] = octets.try_into().ok()?;
    Some(IpAddr::V4(Ipv4Addr::from(octets)))
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    if bits.is_empty() || !bits.chars().all(|c| c.is_ascii_digit()) {
        return false;
    }
    match (lenient_ip(address), bits.parse::<u8>()) {
        (Some(IpAddr::V4(_)), Ok(bits)) => bits <= 32,
        (Some(IpAddr::V6(_)), Ok(bits)) => bits <= 128,
        _ => false,
    }
}

fn is_mac(text: &str) -> bool {
    let separated = |separator: char, width: usize, counts: &[usize]| {
        let groups: Vec<&str> = text.split(separator).collect();
        counts.contains(&groups.len())
            && groups
                .iter()
                .all(|group| group.len() == width && group.chars().all(|c| c.is_ascii_hexdigit()))
    };
    separated(':', 2, &[6, 8, 20]) || separated('-', 2, &[6, 8, 20]) || separated('.', 4, &[3, 4, 10])
}

/// The length of a duration: `1h30m` and also `2 days`.
pub(crate) fn duration_nanoseconds(text: &str) -> Option<i128> {
    if let Some(plain) = plain_duration(text) {
        return Some(plain);
    }
    let regex = DURATION_PARTS.as_ref()?;
    let mut total = None;
    for part in regex.captures_iter(text) {
        let count: i128 = part[1].parse().ok()?;
        let unit = part[2].to_lowercase();
        let seconds = 1_000_000_000;
        let nanoseconds = match unit.as_str() {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => seconds,
            "m" => 60 * seconds,
            "h" | "hr" => 3_600 * seconds,
            "d" => 86_400 * seconds,
            "w" | "wk" => 604_800 * seconds,
            long if long.starts_with("nano") => 1,
            long if long.starts_with("micro") => 1_000,
            long if long.starts_with("milli") => 1_000_000,
            long if long.starts_with("sec") => seconds,
            long if long.starts_with("min") => 60 * seconds,
            long if long.starts_with("hour") => 3_600 * seconds,
            long if long.starts_with("day") => 86_400 * seconds,
            long if long.starts_with("week") => 604_800 * seconds,
            _ => continue,
        };
        total = Some(total.unwrap_or(0) + count * nanoseconds);
    }
    total
}

fn plain_duration(text: &str) -> Option<i128> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned == "0" {
        return Some(0);
    }
    if unsigned.is_empty() {
        return None;
    }
    let mut rest = unsigned;
    let mut total = 0_f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let (unit, nanoseconds) = [
            ("ns", 1.0),
            ("us", 1e3),
            ("µs", 1e3),
            ("ms", 1e6),
            ("s", 1e9),
            ("m", 60e9),
            ("h", 3600e9),
        ]
        .into_iter()
        .find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        total += number * nanoseconds;
    }
    let total = total as i128;
    Some(if text.starts_with('-') { -total } else { total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_accepts_and_refuses() {
        let cases = [
            ("uri", "https://a.example/x?y", "no scheme"),
            ("email", "a.b@example.org", "a@@b"),
            ("hostname", "a.example.org", "-a"),
            ("ipv4", "10.0.0.1", "10.0.0.256"),
            ("ipv6", "fd00::1", "10.0.0.1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0"),
            ("cidr", "fd00::/64", "fd00::/129"),
            ("mac", "00:11:22:33:44:55", "00:11"),
            ("uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7"),
            (
                "uuid4",
                "6ba7b810-9dad-41d1-80b4-00c04fd430c8",
                "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            ),
            ("byte", "YWJj", "a*c"),
            ("date", "2026-11-21", "2026-13-21"),
            ("date-time", "2026-11-21T10:00:00Z", "2026-11-21"),
            ("date-time", "2026-11-21T10:00:00.5+01:00", "tomorrow"),
            ("duration", "1h30m", "soon"),
            ("duration", "2 days", ""),
            ("k8s-short-name", "abc", "a.b"),
            ("k8s-long-name", "a.b", "A"),
            ("hexcolor", "#ffffff", "white"),
        ];
        for (name, good, bad) in cases {
            let format = Format::named(name).unwrap();
            assert!(format.accepts(good), "{name} {good}");
            assert!(!format.accepts(bad), "{name} {bad}");
        }
        assert_eq!(Format::named("something"), None);
    }

    #[test]
    fn durations_are_measured() {
        assert_eq!(duration_nanoseconds("1m30s"), Some(90_000_000_000));
        assert_eq!(duration_nanoseconds("-1s"), Some(-1_000_000_000));
        assert_eq!(duration_nanoseconds("1 week"), Some(604_800_000_000_000));
    }
}
