//! Logs and traces.

mod export;
mod operation;
pub(crate) mod span;
mod traces;

pub use export::Traces;
pub(crate) use operation::Traced;
pub use operation::{Operation, Resource};
pub use traces::{Endpoint, InvalidEndpoint, InvalidTraces};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::{EnvFilter, Layer, fmt::MakeWriter, layer::SubscriberExt, registry::LookupSpan};

use crate::terminal::is_coloured;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// A subscriber that writes text lines to `writer`, as much as `filter` (the syntax of `RUST_LOG`) lets through.
pub fn subscriber<W>(filter: &str, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
    tracing_subscriber::registry().with(guarded(layer, filter))
}

/// Logs to standard error in this format, and exports traces if there are any; `RUST_LOG` overrides `filter`.
pub fn init(format: LogFormat, filter: &str, traces: Option<&Traces>) {
    // Not a layer that does nothing: with one there, spans that nobody wants would be looked at each time.
    match traces {
        None => log(tracing_subscriber::registry(), format, filter),
        Some(traces) => {
            log(tracing_subscriber::registry().with(traces.layer()), format, filter);
            tracing::info!(collector = %traces.collector(), "exporting traces");
        }
    }
}

fn log<S>(registry: S, format: LogFormat, filter: &str)
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync + 'static,
{
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| filter.to_owned());
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // Fails when a subscriber is set already, and then that one is what was wanted.
    let _ = match format {
        LogFormat::Json => tracing::subscriber::set_global_default(registry.with(guarded(layer.json(), &filter))),
        LogFormat::Text => {
            let colours = is_coloured(&std::io::stderr());
            tracing::subscriber::set_global_default(registry.with(guarded(layer.with_ansi(colours), &filter)))
        }
    };
}

fn guarded<S, L>(layer: L, filter: &str) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    L: Layer<S> + Send + Sync,
{
    let safe =
        tracing_subscriber::filter::filter_fn(|metadata| cannot_carry_a_secret(metadata) && !span::is_traced(metadata));
    layer.with_filter(tracing_subscriber::filter::FilterExt::and(EnvFilter::new(filter), safe))
}

/// kube's client logs an answer that it cannot parse, all of it, and the answer can be a Secret. No setting brings
/// those lines back.
fn cannot_carry_a_secret(metadata: &Metadata<'_>) -> bool {
    !metadata.target().starts_with("kube_client::client")
}
