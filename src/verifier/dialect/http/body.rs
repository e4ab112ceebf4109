//! Bodies of requests: those that are read, and those that nobody asked for.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use bytes::{Buf, Bytes};
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body::Body;
use http_body_util::BodyExt;

use super::reply::{self, Reply};
use crate::verifier::{Judge, unread::Exhausted};

/// The longest body that is read.
pub(super) const MAX_BODY: usize = 64 * 1024;
/// How often the connection is asked for more of a body that may have come with its head.
const LOOKS: usize = 3;
/// How much more of a body is taken in, and how long, after it was answered: a connection that is closed on data that
/// nobody read can take the answer with it.
const MAX_REST: usize = 1024 * 1024;
const REST: Duration = Duration::from_secs(5);

/// Reads a body of this type, or says what is wrong with it.
pub(super) async fn read<B>(
    judge: &Judge,
    body: &mut B,
    headers: &HeaderMap,
    content_type: &str,
) -> Result<Vec<u8>, Reply>
where
    B: Body<Data = Bytes> + Unpin,
{
    if !is_of_type(headers, content_type) {
        let sentence = format!("The body must be of type {content_type}.\n");
        return Err(reply::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence));
    }
    if announced(headers).is_some_and(|length| length > MAX_BODY as u64) {
        return Err(too_large());
    }
    let mut share = judge.unread.share(&judge.metrics);
    let mut read = Vec::new();
    while let Some(frame) = share.frame(Pin::new(&mut *body), read.len()).await.map_err(exhausted)? {
        let frame = frame.map_err(|_| reply::text(StatusCode::BAD_REQUEST, "The body ended early.\n"))?;
        let data = frame.into_data().unwrap_or_default();
        if read.len() + data.len() > MAX_BODY {
            return Err(too_large());
        }
        read.extend_from_slice(&data);
    }
    Ok(read)
}

fn is_of_type(headers: &HeaderMap, wanted: &str) -> bool {
    let mut given = headers.get_all(CONTENT_TYPE).iter();
    let (Some(given), None) = (given.next(), given.next()) else {
        return false;
    };
    let essence = given.to_str().ok().and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(wanted))
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn exhausted(_: Exhausted) -> Reply {
    let sentence = "Too many requests are not complete.\n";
    reply::text(StatusCode::SERVICE_UNAVAILABLE, sentence)
}

fn too_large() -> Reply {
    reply::text(StatusCode::PAYLOAD_TOO_LARGE, "The body is longer than 64 KiB.\n")
}

/// Whether all of the body has come, so that what comes next on the connection is a request.
///
/// A body is not waited for: a gateway may pass on the length of one that it keeps to itself. Then the connection must
/// not be used again, or the next request, of another client, would be taken for that body.
pub(super) async fn is_spent<B>(mut body: B) -> bool
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    if body.is_end_stream() {
        return true;
    }
    let mut taken = 0;
    for _ in 0..LOOKS {
        match take(&mut body, &mut taken, MAX_BODY).await {
            Poll::Ready(spent) => return spent,
            Poll::Pending => tokio::task::yield_now().await,
        }
    }
    tokio::spawn(tokio::time::timeout(REST, async move {
        while let Some(Ok(frame)) = body.frame().await
            && taken < MAX_REST
        {
            taken += frame.data_ref().map_or(0, Buf::remaining);
        }
    }));
    false
}

/// Takes what has come of a body. Ready: whether that was all of it, and not too much.
async fn take<B>(body: &mut B, taken: &mut usize, at_most: usize) -> Poll<bool>
where
    B: Body<Data = Bytes> + Unpin,
{
    poll_fn(|context| {
        while *taken <= at_most {
            match Pin::new(&mut *body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => *taken += frame.data_ref().map_or(0, Buf::remaining),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Poll::Ready(false)),
                Poll::Ready(None) => return Poll::Ready(Poll::Ready(true)),
                Poll::Pending => return Poll::Ready(Poll::Pending),
            }
        }
        Poll::Ready(Poll::Ready(false))
    })
    .await
}
