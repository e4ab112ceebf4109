//! A collector that keeps what it is sent.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{Router, extract::State, http::HeaderMap, routing::post};
use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::span::SpanKind,
};
use prost::Message;
use tokio::net::TcpListener;

type Requests = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

pub(crate) struct Collector {
    pub(crate) url: String,
    requests: Requests,
}

/// A span, and who made it.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) events: usize,
    pub(crate) fails: bool,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Requests::default();
        let keep = async |State(requests): State<Requests>, headers: HeaderMap, body: Bytes| {
            requests.lock().unwrap().push((headers, body));
        };
        let router = Router::new()
            .route("/v1/traces", post(keep))
            .with_state(requests.clone());
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { url, requests }
    }

    /// Every byte that came, headers included.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let requests = self.requests.lock().unwrap();
        let all = requests.iter().flat_map(|(headers, body)| {
            let values = headers.iter().flat_map(|(_, value)| value.as_bytes());
            values.chain(body.iter()).copied().collect::<Vec<_>>()
        });
        all.collect()
    }

    /// The values of this header.
    pub(crate) fn header(&self, name: &str) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        let values = requests.iter().filter_map(|(headers, _)| headers.get(name));
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        let requests = self.requests.lock().unwrap();
        let decoded = requests
            .iter()
            .map(|(_, body)| ExportTraceServiceRequest::decode(body.clone()).unwrap());
        decoded
            .flat_map(|request| request.resource_spans)
            .flat_map(|of_resource| {
                let resource = attributes(&of_resource.resource.unwrap().attributes);
                let service = resource["service.name"].clone();
                let spans = of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans);
                spans.map(move |span| Span {
                    service: service.clone(),
                    kind: span.kind(),
                    attributes: attributes(&span.attributes),
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    events: span.events.len() + span.links.len(),
                    fails: span.status.is_some_and(|status| status.code == 2),
                    name: span.name,
                })
            })
            .collect()
    }
}

fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.clone().unwrap().value.unwrap() {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => panic!("{}: {other:?}", attribute.key),
    };
    attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), text(attribute)))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
