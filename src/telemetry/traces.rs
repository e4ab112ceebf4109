//! Whether traces are exported, and where to: as the variables of OpenTelemetry say, and `--otlp-endpoint`.

use std::{fmt, path::PathBuf, str::FromStr};

use http::Uri;

/// The URL of a collector that takes OTLP by HTTP: what `/v1/traces` is appended to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Uri);

/// Why a setting makes no sense. What it says is not repeated: it can hold a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTraces {
    /// Not a URL, or one of something else.
    #[error(transparent)]
    Endpoint(#[from] InvalidEndpoint),
    /// A variable says what is not known here.
    #[error("{variable} {says}")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// What is wrong with it, and what to write instead.
        says: String,
    },
    /// The exporter cannot be made of them.
    #[error("traces cannot be exported: {0}")]
    Exporter(String),
}

/// What is wrong with a collector's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// Not a URL that begins with http:// or https://.
    #[error("must be the URL of a collector that takes OTLP by HTTP, such as http://collector.monitoring:4318")]
    NotAUrl,
    /// It has a user in it, or a query.
    #[error(
        "must be without user, password and query: what the collector is to be told goes into OTEL_EXPORTER_OTLP_HEADERS"
    )]
    Credentials,
}

/// What is exported, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// What is posted to.
    pub(super) url: Uri,
    /// Certificates to verify the collector by (PEM). None: those of the machine.
    pub(super) certificate: Option<PathBuf>,
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let url: Uri = text.trim().parse().map_err(|_| InvalidEndpoint::NotAUrl)?;
        let host = url.authority().filter(|authority| !authority.host().is_empty());
        let is_http = matches!(url.scheme_str(), Some("http" | "https"));
        let Some(host) = host.filter(|_| is_http) else {
            return Err(InvalidEndpoint::NotAUrl);
        };
        if host.as_str().contains('@') || url.query().is_some() {
            return Err(InvalidEndpoint::Credentials);
        }
        Ok(Self(url))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Endpoint {
    /// Where traces go, when this is the collector.
    fn traces(&self) -> Result<Uri, InvalidEndpoint> {
        let text = self.0.to_string();
        let url = format!("{}/v1/traces", text.trim_end_matches('/'));
        url.parse().map_err(|_| InvalidEndpoint::NotAUrl)
    }
}

const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";

/// Those that the SDK knows. Of another it would take all traces without a word.
const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

impl Settings {
    /// What the option and the variables say. None: nothing is exported.
    ///
    /// # Errors
    /// When one of them makes no sense.
    pub(super) fn read(
        option: Option<&Endpoint>,
        variable: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Option<Self>, InvalidTraces> {
        // An empty variable is none, as the specification has it.
        let variable = |name| variable(name).filter(|value| !value.trim().is_empty());
        let is = |name, wanted: &str| variable(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(wanted));
        if is(DISABLED, "true") || is(EXPORTER, "none") {
            return Ok(None);
        }
        let url = match (option, variable(TRACES_ENDPOINT), variable(ENDPOINT)) {
            (Some(endpoint), _, _) => endpoint.traces()?,
            // This one is taken as it is.
            (None, Some(url), _) => parse(TRACES_ENDPOINT, &url)?.0,
            (None, None, Some(url)) => parse(ENDPOINT, &url)?.traces()?,
            (None, None, None) => return Ok(None),
        };
        for name in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
            if variable(name).is_some() {
                known(name, is(name, "http/protobuf"), || {
                    "must be http/protobuf, or not set: the port for it is 4318 as a rule".to_owned()
                })?;
                break;
            }
        }
        known(EXPORTER, variable(EXPORTER).is_none() || is(EXPORTER, "otlp"), || {
            "must be otlp, none, or not set".to_owned()
        })?;
        let sampler = variable(SAMPLER);
        let sampler = sampler.as_deref().unwrap_or("parentbased_always_on");
        known(SAMPLER, SAMPLERS.contains(&sampler), || {
            format!("must be one of {}, or not set", SAMPLERS.join(", "))
        })?;
        let ratio = variable(SAMPLER_ARGUMENT).and_then(|ratio| ratio.parse::<f64>().ok());
        let is_ratio = ratio.is_some_and(|ratio| (0.0..=1.0).contains(&ratio));
        known(SAMPLER_ARGUMENT, is_ratio || !sampler.ends_with("traceidratio"), || {
            format!("must be the share of traces to take, from 0 to 1, such as 0.05, where {SAMPLER} is {sampler}")
        })?;
        let certificate = variable("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE")
            .or_else(|| variable("OTEL_EXPORTER_OTLP_CERTIFICATE"))
            .map(PathBuf::from);
        Ok(Some(Self { url, certificate }))
    }
}

fn parse(variable: &'static str, url: &str) -> Result<Endpoint, InvalidTraces> {
    url.parse().map_err(|error: InvalidEndpoint| InvalidTraces::Variable {
        variable,
        says: error.to_string(),
    })
}

fn known(variable: &'static str, is_known: bool, says: impl FnOnce() -> String) -> Result<(), InvalidTraces> {
    match is_known {
        true => Ok(()),
        false => Err(InvalidTraces::Variable { variable, says: says() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(option: Option<&str>, variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let option = option.map(|url| url.parse().unwrap());
        let found = |name| variables.iter().find(|(known, _)| *known == name);
        let settings = Settings::read(option.as_ref(), |name| {
            found(name).map(|(_, value)| (*value).to_owned())
        });
        let settings = settings.map_err(|error| error.to_string())?;
        Ok(settings.map(|settings| settings.url.to_string()))
    }

    #[test]
    fn traces_go_where_the_option_says_then_their_own_variable_then_the_common_one() {
        let (common, own) = (
            (ENDPOINT, "http://common:4318"),
            (TRACES_ENDPOINT, "https://own/in/traces"),
        );
        let url = |option, variables: &[_]| read(option, variables).unwrap();
        assert_eq!(url(None, &[]), None);
        assert_eq!(url(None, &[(ENDPOINT, " ")]), None);
        assert_eq!(url(None, &[common]).unwrap(), "http://common:4318/v1/traces");
        assert_eq!(url(None, &[common, own]).unwrap(), "https://own/in/traces");
        assert_eq!(
            url(Some("http://[::1]:9/otlp/"), &[common, own]).unwrap(),
            "http://[::1]:9/otlp/v1/traces"
        );
        assert_eq!(url(Some("http://a"), &[(DISABLED, "TRUE")]), None);
        assert_eq!(url(Some("http://a"), &[(EXPORTER, "none")]), None);
        assert!(url(Some("http://a"), &[(DISABLED, "false"), (EXPORTER, "otlp")]).is_some());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_to_write_and_without_what_it_says() {
        let endpoint = (ENDPOINT, "http://a:4318");
        for (variables, expected) in [
            (
                &[(ENDPOINT, "collector:4318")][..],
                "OTEL_EXPORTER_OTLP_ENDPOINT must be the URL",
            ),
            (&[(ENDPOINT, "/v1/traces")], "such as http://collector.monitoring:4318"),
            (&[(ENDPOINT, "grpc://a:4317")], "takes OTLP by HTTP"),
            (&[(ENDPOINT, "http://:4318")], "must be the URL"),
            (
                &[(TRACES_ENDPOINT, "http://me:hunter2@a/")],
                "OTEL_EXPORTER_OTLP_HEADERS",
            ),
            (&[(ENDPOINT, "http://a/?key=hunter2")], "OTEL_EXPORTER_OTLP_HEADERS"),
            (
                &[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
                "must be http/protobuf",
            ),
            (
                &[endpoint, ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json")],
                "TRACES_PROTOCOL must be http/protobuf",
            ),
            (&[endpoint, (EXPORTER, "zipkin")], "must be otlp, none"),
            (&[endpoint, (SAMPLER, "xray")], "parentbased_traceidratio"),
            (
                &[endpoint, (SAMPLER, "traceidratio")],
                "OTEL_TRACES_SAMPLER_ARG must be the share",
            ),
            (
                &[
                    endpoint,
                    (SAMPLER, "parentbased_traceidratio"),
                    (SAMPLER_ARGUMENT, "5%"),
                ],
                "such as 0.05",
            ),
            (
                &[endpoint, (SAMPLER, "parentbased_traceidratio"), (SAMPLER_ARGUMENT, "5")],
                "from 0 to 1",
            ),
        ] {
            let said = read(None, variables).unwrap_err();
            assert!(said.contains(expected), "{variables:?}: {said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
        let sampled = [
            endpoint,
            (SAMPLER, "parentbased_traceidratio"),
            (SAMPLER_ARGUMENT, "0.05"),
        ];
        assert!(read(None, &sampled).unwrap().is_some());
    }
}
