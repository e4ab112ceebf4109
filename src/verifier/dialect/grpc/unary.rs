//! gRPC calls that bring one message and take one back.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderName, HeaderValue, Response, header::CONTENT_TYPE};
use http_body::{Body, Frame};
use prost::{
    Message,
    bytes::{BufMut, Bytes, BytesMut},
};

use crate::verifier::unread::{Exhausted, Share};

/// The largest message that is read: as much as the head of a request may be that a gateway asks about by HTTP. Envoy sends
/// the headers of a request that it is told to.
pub const MAX_MESSAGE: usize = 32 * 1024;

/// Before each message: whether it is compressed, and its length.
const PREFIX: usize = 1 + 4;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The statuses of gRPC that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok = 0,
    InvalidArgument = 3,
    NotFound = 5,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

/// Why a call brought no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is compressed, which was not offered.
    Compressed,
    /// It is too large, it is none, or there is more than one.
    Malformed,
    /// It is not complete, and too many others are not.
    Exhausted,
}

impl From<Exhausted> for Unreadable {
    fn from(_: Exhausted) -> Self {
        Self::Exhausted
    }
}

/// Reads a call's message.
pub(super) async fn read<B>(body: B, share: Share<'_>) -> Result<Bytes, Unreadable>
where
    B: Body<Data = Bytes>,
{
    let mut bytes = whole(body, share).await?;
    let Some(&[compressed, ref length @ ..]) = bytes.first_chunk::<PREFIX>() else {
        return Err(Unreadable::Malformed);
    };
    let length = u32::from_be_bytes(*length);
    match (compressed, bytes.len() - PREFIX == length as usize) {
        (0, true) => Ok(bytes.split_off(PREFIX)),
        (1, true) => Err(Unreadable::Compressed),
        _ => Err(Unreadable::Malformed),
    }
}

/// All of a body that is not too large. Mostly it comes as one piece, which is not copied.
async fn whole<B: Body<Data = Bytes>>(body: B, mut share: Share<'_>) -> Result<Bytes, Unreadable> {
    let mut body = pin!(body);
    let mut whole = Bytes::new();
    while let Some(frame) = share.frame(body.as_mut(), whole.len()).await? {
        let frame = frame.map_err(|_| Unreadable::Malformed)?;
        let Ok(piece) = frame.into_data() else { continue };
        if whole.len() + piece.len() > PREFIX + MAX_MESSAGE {
            return Err(Unreadable::Malformed);
        }
        whole = match whole.is_empty() {
            true => piece,
            false => {
                let mut joined = BytesMut::from(whole);
                joined.extend_from_slice(&piece);
                joined.freeze()
            }
        };
    }
    Ok(whole)
}

/// Answers a call with a message.
pub(super) fn reply(message: &impl Message) -> Response<Reply> {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX + length);
    bytes.put_u8(0);
    bytes.put_u32(length as u32);
    message.encode_raw(&mut bytes);
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
    respond(Reply {
        message: Some(bytes.freeze()),
        trailers: Some(trailers),
    })
}

/// Answers a call with an error.
pub(super) fn fail(status: Status, message: &'static str) -> Response<Reply> {
    let mut response = respond(Reply::default());
    let headers = response.headers_mut();
    headers.insert(GRPC_STATUS, (status as i32).into());
    headers.insert(GRPC_MESSAGE, HeaderValue::from_static(message));
    response
}

fn respond(body: Reply) -> Response<Reply> {
    let mut response = Response::new(body);
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, grpc);
    response
}

/// The body of an answer: the message and how the call ended, or nothing when that is in the headers already.
#[derive(Debug, Default)]
pub struct Reply {
    message: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let message = self.message.take().map(Frame::data);
        Poll::Ready(message.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none() && self.trailers.is_none()
    }
}
