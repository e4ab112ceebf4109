//! What is traced: every span, with all that it says.
//!
//! A span says nothing but what is named here, and no library's span or event is exported: texts of others can hold what
//! nobody may see.

use http::{HeaderMap, Response};
use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator},
    trace::TraceContextExt,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Metadata, Span, field::Empty, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::Operation;
use crate::controller::Error;

const TARGET: &str = "tokenwright::trace";

/// Whether this is one of the spans made here. They are for traces and not for logs.
pub(super) fn is_traced(metadata: &Metadata<'_>) -> bool {
    metadata.target() == TARGET
}

/// A question to the verifier. It costs a look at a flag where there are no traces.
#[derive(Debug)]
pub(crate) struct Verification(Span);

impl Verification {
    /// Begins with a question in this dialect, as part of the trace that its headers name.
    pub(crate) fn begin(dialect: &'static str, headers: &HeaderMap) -> Self {
        let span = info_span!(
            target: TARGET,
            "verify",
            otel.kind = "server",
            tokenwright.dialect = dialect,
            tokenwright.code = Empty,
            tokenwright.organisation = Empty,
        );
        if !span.is_disabled() {
            join(&span, headers);
        }
        Self(span)
    }

    /// Ends with the decision, and the organisation whose token it was.
    pub(crate) fn end(self, code: &'static str, organisation: Option<&str>) {
        if self.0.is_disabled() {
            return;
        }
        self.0.record("tokenwright.code", code);
        if let Some(organisation) = organisation {
            self.0.record("tokenwright.organisation", organisation);
        }
    }
}

/// Of the caller's headers only `traceparent` is read: `tracestate` is text that anybody can choose, and it is exported.
struct TraceParent<'h>(&'h HeaderMap);

impl Extractor for TraceParent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let mut lines = self.0.get_all(key).iter().filter(|_| key == "traceparent");
        let first = lines.next()?.to_str().ok();
        // Two of them are none, as W3C has it.
        first.filter(|_| lines.next().is_none())
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}

fn join(span: &Span, headers: &HeaderMap) {
    let caller = TraceContextPropagator::new().extract_with_context(&Context::new(), &TraceParent(headers));
    if caller.span().span_context().is_valid() {
        // Fails only where spans are not exported, and then there is nothing to join.
        let _ = span.set_parent(caller);
    }
}

/// Looking after one object.
pub(crate) fn reconcile(kind: &'static str, namespace: Option<&str>, name: &str) -> Span {
    info_span!(
        target: TARGET,
        "reconcile",
        otel.name = format_args!("reconcile {kind}"),
        otel.kind = "internal",
        otel.status_code = Empty,
        tokenwright.kind = kind,
        tokenwright.namespace = namespace,
        tokenwright.name = name,
        tokenwright.outcome = Empty,
    )
}

/// How it went. Why it failed is left to the log: that can be what the API server said.
pub(crate) fn reconciled(span: &Span, error: Option<&Error>) {
    span.record("tokenwright.outcome", error.map_or("ok", Error::category));
    if error.is_some_and(|error| !matches!(error, Error::Conflict { .. })) {
        span.record("otel.status_code", "ERROR");
    }
}

/// A request to the API server, where it is part of a span that was made here: not of a watch, which has no end.
pub(super) fn request(operation: &Operation<'_>, method: &str) -> Span {
    let current = Span::current();
    if !current.metadata().is_some_and(is_traced) {
        return Span::none();
    }
    info_span!(
        target: TARGET,
        "request",
        otel.name = %operation,
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = method,
        http.response.status_code = Empty,
        tokenwright.verb = operation.verb,
        tokenwright.resource = %operation.resource,
    )
}

/// What it was answered. None: nothing.
pub(super) fn answered<B>(span: &Span, response: Option<&Response<B>>) {
    let status = response.map(Response::status);
    if let Some(status) = status {
        span.record("http.response.status_code", status.as_u16());
    }
    if status.is_none_or(|status| status.is_client_error() || status.is_server_error()) {
        span.record("otel.status_code", "ERROR");
    }
}
