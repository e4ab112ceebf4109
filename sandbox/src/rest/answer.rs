//! Responses and their bodies.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use serde_json::Value;

use crate::status::Refusal;

/// The body of a response: a whole one, or the events of a watch.
pub struct Body(Inner);

enum Inner {
    Whole(Option<Bytes>),
    Events(BoxStream<'static, Bytes>),
}

impl Body {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self(Inner::Whole(Some(bytes)))
    }

    pub(crate) fn events(events: BoxStream<'static, Bytes>) -> Self {
        Self(Inner::Events(events))
    }

    /// With a pause before each event.
    pub(crate) fn trickling(self, pause: Duration) -> Self {
        match self.0 {
            Inner::Events(events) => Self::events(
                events
                    .then(move |event| async move {
                        tokio::time::sleep(pause).await;
                        event
                    })
                    .boxed(),
            ),
            whole @ Inner::Whole(_) => Self(whole),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Inner::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Inner::Events(events) => Pin::new(events)
                .poll_next(context)
                .map(|event| event.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Inner::Whole(None))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match &self.0 {
            Inner::Whole(bytes) => {
                http_body::SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Inner::Events(_) => http_body::SizeHint::default(),
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Inner::Whole(_) => "Body::Whole",
            Inner::Events(_) => "Body::Events",
        })
    }
}

pub(crate) type Reply = Response<Body>;

/// A JSON response.
pub(crate) fn json(code: StatusCode, bytes: Bytes) -> Reply {
    typed(code, "application/json", Body::whole(bytes))
}

pub(crate) fn typed(code: StatusCode, media_type: &'static str, body: Body) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = code;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    reply
}

/// A value as JSON or YAML.
pub(crate) fn value(code: StatusCode, value: &Value, yaml: bool) -> Reply {
    if yaml && let Ok(text) = serde_saphyr::to_string(value) {
        return typed(code, "application/yaml", Body::whole(text.into()));
    }
    json(code, value.to_string().into())
}

/// A refusal, as its Status.
pub(crate) fn refusal(refusal: &Refusal) -> Reply {
    let mut reply = json(refusal.code, refusal.status().to_string().into());
    if let Some(seconds) = refusal.retry_after {
        reply.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    reply
}

/// Adds `Warning` headers.
pub(crate) fn warn(reply: &mut Reply, warnings: &[String]) {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(header) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            reply.headers_mut().append(header::WARNING, header);
        }
    }
}
