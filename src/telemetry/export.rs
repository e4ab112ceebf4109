//! Spans on their way to a collector, by OTLP over HTTP.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Uri, uri::PathAndQuery};
use http_body_util::{BodyExt, Limited};
use kube::{Client, Config, client::Body};
use opentelemetry::{Key, trace::TracerProvider};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::{runtime::Handle, time::timeout};
use tracing::Subscriber;
use tracing_subscriber::{Layer, filter::FilterFn, registry::LookupSpan};

use super::{
    span,
    traces::{Endpoint, InvalidTraces, Settings},
};

/// How long an export may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What a collector says at most.
const LONGEST_ANSWER: usize = 64 * 1024;
/// How long the end waits for the last spans.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// The traces of this process, while they are exported.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    health: Arc<Health>,
}

impl Traces {
    /// Has spans exported where the option or the variables of OpenTelemetry say. None: they do not say. Is called on a
    /// runtime, on which exports take place.
    ///
    /// # Errors
    /// When one of them makes no sense.
    pub fn begin(service: &'static str, endpoint: Option<&Endpoint>) -> Result<Option<Self>, InvalidTraces> {
        let settings = Settings::read(endpoint, |name| std::env::var(name).ok())?;
        settings.map(|settings| Self::export(service, &settings)).transpose()
    }

    fn export(service: &'static str, settings: &Settings) -> Result<Self, InvalidTraces> {
        let health = Arc::new(Health {
            collector: settings.url.clone(),
            fails: AtomicBool::default(),
        });
        let invalid = |error: &dyn fmt::Display| InvalidTraces::Exporter(error.to_string());
        let client = Client::try_from(config(settings)?).map_err(|error| {
            invalid(&format_args!(
                "{}. OTEL_EXPORTER_OTLP_CERTIFICATE can name a PEM file to verify the collector by",
                chain(&error)
            ))
        })?;
        let client = Posting {
            client,
            runtime: Handle::current(),
            health: health.clone(),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(settings.url.to_string())
            .build()
            .map_err(|error| invalid(&error))?;
        // The sampler is what OTEL_TRACES_SAMPLER says: by default the caller decides, and all that has none is taken.
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource(service))
            .build();
        Ok(Self { provider, health })
    }

    /// Takes up the spans that are made here, and nothing else.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let ours = FilterFn::new(|metadata| metadata.is_span() && span::is_traced(metadata));
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(env!("CARGO_PKG_NAME")))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(ours.with_max_level_hint(tracing::Level::INFO))
    }

    /// Where they go.
    pub(super) fn collector(&self) -> &Uri {
        &self.health.collector
    }

    /// Exports what is left, which is waited for briefly.
    pub async fn end(self) {
        let provider = self.provider;
        let ending = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_SPANS));
        if !matches!(ending.await, Ok(Ok(()))) {
            self.health.failed(&"it did not take the last ones in time");
        }
    }
}

/// How the client for the API server reaches the collector: another client would be as large once more.
fn config(settings: &Settings) -> Result<Config, InvalidTraces> {
    let mut origin = settings.url.clone().into_parts();
    origin.path_and_query = Some(PathAndQuery::from_static("/"));
    let origin = Uri::from_parts(origin).map_err(|error| InvalidTraces::Exporter(error.to_string()))?;
    let mut config = Config::new(origin);
    // The exporter tries again by itself.
    config.default_retry = false;
    config.root_cert = match &settings.certificate {
        // Not asked for, and the machine may have none.
        _ if settings.url.scheme_str() == Some("http") => Some(Vec::new()),
        None => None,
        Some(path) => {
            let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let certificates = certificates.ok().filter(|found| !found.is_empty());
            let certificates = certificates.ok_or_else(|| InvalidTraces::Variable {
                variable: "OTEL_EXPORTER_OTLP_CERTIFICATE",
                says: format!("must name a PEM file with certificates; {} is none", path.display()),
            })?;
            Some(certificates.iter().map(|certificate| certificate.to_vec()).collect())
        }
    };
    Ok(config)
}

/// Who this is: what the variables of OpenTelemetry say, or the mode.
fn resource(service: &'static str) -> Resource {
    let said = Resource::builder().build();
    let name = said.get(&Key::from_static_str("service.name"));
    let is_said = name.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let builder = Resource::builder().with_attribute(opentelemetry::KeyValue::new(
        "service.version",
        env!("CARGO_PKG_VERSION"),
    ));
    match is_said {
        true => builder.build(),
        false => builder.with_service_name(service).build(),
    }
}

/// Whether the collector takes what it is sent. It is said when that changes, not for every export.
#[derive(Debug)]
struct Health {
    collector: Uri,
    fails: AtomicBool,
}

impl Health {
    fn failed(&self, reason: &dyn fmt::Display) {
        if !self.fails.swap(true, Ordering::Relaxed) {
            tracing::warn!(collector = %self.collector, %reason, "traces cannot be exported, and are lost until they can");
        }
    }

    fn succeeded(&self) {
        if self.fails.swap(false, Ordering::Relaxed) {
            tracing::info!(collector = %self.collector, "traces are exported again");
        }
    }
}

/// A client whose requests are made on a runtime, wherever they are asked for, and whose failures are told.
struct Posting {
    client: Client,
    runtime: Handle,
    health: Arc<Health>,
}

impl fmt::Debug for Posting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Posting")
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}

impl HttpClient for Posting {
    fn send_bytes<'client, 'sending>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'sending>>
    where
        'client: 'sending,
        Self: 'sending,
    {
        let client = self.client.clone();
        let posting = self
            .runtime
            .spawn(async move { timeout(TIMEOUT, post(client, request)).await? });
        Box::pin(async move {
            let answer = posting.await?;
            match &answer {
                Ok(response) if response.status().is_success() => self.health.succeeded(),
                Ok(response) => self.health.failed(&format_args!("it answered {}", response.status())),
                Err(error) => self.health.failed(&chain(error.as_ref())),
            }
            answer
        })
    }
}

async fn post(client: Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let (head, body) = client.send(request.map(Body::from)).await?.into_parts();
    let body = Limited::new(body, LONGEST_ANSWER).collect().await?.to_bytes();
    Ok(Response::from_parts(head, body))
}

/// An error with what brought it about, as far as it does not say that itself.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes
        .map(ToString::to_string)
        .fold(error.to_string(), |said, cause| match said.contains(&cause) {
            true => said,
            false => format!("{said}: {cause}"),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Failure {
        #[error("it is broken")]
        Broken,
        #[error("cannot connect")]
        Silent(#[source] Box<Self>),
        #[error("failed: {0}")]
        Telling(#[source] Box<Self>),
    }

    #[test]
    fn what_brought_an_error_about_is_said_once() {
        let silent = Failure::Silent(Failure::Broken.into());
        assert_eq!(chain(&silent), "cannot connect: it is broken");
        let telling = Failure::Telling(silent.into());
        assert_eq!(chain(&telling), "failed: cannot connect: it is broken");
    }
}
