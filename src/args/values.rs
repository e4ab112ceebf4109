//! What the values of options are read by: each says what to write instead.

use std::net::SocketAddr;

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::api::{Duration, InvalidDuration};

/// A duration that is not zero.
pub(super) fn positive(text: &str) -> Result<Duration, String> {
    let duration: Duration = text.parse().map_err(|error: InvalidDuration| error.to_string())?;
    if duration.is_zero() {
        return Err("must be longer than zero, such as 10m".to_owned());
    }
    Ok(duration)
}

/// How long a leader may be silent.
pub(super) fn lease_duration(text: &str) -> Result<Duration, String> {
    let duration: Duration = text.parse().map_err(|error: InvalidDuration| error.to_string())?;
    if !(3..=3600).contains(&duration.seconds()) {
        return Err("must be between 3s and 1h, such as 12s".to_owned());
    }
    Ok(duration)
}

/// An address to listen on.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let instead = "write IP address and port, such as 127.0.0.1:9000";
    text.parse().map_err(|_| instead.to_owned())
}

/// The same of this machine only.
#[cfg(feature = "sandbox")]
pub(super) fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = address(text)?;
    if !address.ip().is_loopback() {
        let port = address.port();
        return Err(format!(
            "is not a loopback address, and the sandbox is for this machine only: write 127.0.0.1:{port}"
        ));
    }
    Ok(address)
}

/// What is logged. A word that is no level would silence everything but a module of that name.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    const INSTEAD: &str = "write error, warn, info, debug, trace or off, or module=level pairs, separated by commas";
    for directive in text.split(',').map(str::trim) {
        let has_level = directive.contains('=') || directive.parse::<LevelFilter>().is_ok();
        if !has_level || directive.is_empty() {
            return Err(format!("{directive:?} is no level: {INSTEAD}"));
        }
        if EnvFilter::builder().parse(directive).is_err() {
            return Err(format!("{directive:?} is no level of a module: {INSTEAD}"));
        }
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port() {
        assert_eq!(
            address("127.0.0.1:9000").map(|address| address.to_string()),
            Ok("127.0.0.1:9000".to_owned())
        );
        for wrong in ["9000", "localhost:9100", ":9000", ""] {
            let why = address(wrong).unwrap_err();
            assert_eq!((wrong, why.ends_with("such as 127.0.0.1:9000")), (wrong, true));
        }
    }

    #[test]
    fn what_is_logged_is_said_by_levels() {
        for right in [
            "info",
            "DEBUG",
            "warn, tokenwright::verifier=debug",
            "off,[reconcile{kind=a}]=trace",
        ] {
            assert_eq!(log_filter(right), Ok(right.to_owned()));
        }
        for (wrong, said) in [
            ("inof", "\"inof\" is no level: "),
            ("warn,tokenwright", "\"tokenwright\" is no level: "),
            ("", "\"\" is no level: "),
            ("a=b=c", "\"a=b=c\" is no level of a module: "),
            (
                "info,tokenwright=loud",
                "\"tokenwright=loud\" is no level of a module: ",
            ),
        ] {
            let why = log_filter(wrong).unwrap_err();
            assert!(why.starts_with(said), "{wrong:?}: {why}");
        }
    }
}
