//! How much of requests that are not complete is kept, in the whole process: who sends them decides how long.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
};

use http_body::{Body, Frame};

use super::Metrics;

/// How many bytes are kept at most.
const MOST: usize = 64 * 1024 * 1024;
/// What a request counts for besides its body: its head, and the buffer that a first small piece was read into.
const REQUEST: usize = 16 * 1024;

/// The bytes of requests whose bodies are not complete, of all connections.
#[derive(Debug, Default)]
pub struct Unread(AtomicUsize);

/// There are too many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

/// What one request has a share of, until it is dropped.
#[derive(Debug)]
pub(super) struct Share<'u> {
    unread: &'u Unread,
    metrics: &'u Metrics,
    bytes: usize,
}

impl Unread {
    /// A share for a request. It is nothing yet.
    pub(super) fn share<'u>(&'u self, metrics: &'u Metrics) -> Share<'u> {
        Share {
            unread: self,
            metrics,
            bytes: 0,
        }
    }
}

impl Share<'_> {
    /// The next frame of a body of which so many bytes are kept. One that has to be waited for takes a share, and
    /// one that is there already, as in a sound gateway's requests, costs nothing.
    ///
    /// # Errors
    /// When it has to be waited for and too much is kept as it is.
    pub(super) async fn frame<B: Body>(
        &mut self,
        mut body: Pin<&mut B>,
        kept: usize,
    ) -> Result<Option<Result<Frame<B::Data>, B::Error>>, Exhausted> {
        poll_fn(|context| match body.as_mut().poll_frame(context) {
            Poll::Pending if !self.grow(REQUEST + kept) => {
                self.metrics.requests_refused.inc();
                Poll::Ready(Err(Exhausted))
            }
            Poll::Pending => Poll::Pending,
            Poll::Ready(frame) => Poll::Ready(Ok(frame)),
        })
        .await
    }

    /// Whether there is room for so many bytes, which are then its own.
    fn grow(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return true;
        }
        let fits = self.unread.0.fetch_add(more, Ordering::Relaxed) + more <= MOST;
        if fits {
            self.bytes = bytes;
        } else {
            self.unread.0.fetch_sub(more, Ordering::Relaxed);
        }
        fits
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.unread.0.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}
