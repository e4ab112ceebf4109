//! An HTTP/2 connection and the requests on it, carried on by one task.
//!
//! In tasks of their own, each request that is answered would wake the connection, which then writes that one answer. Here
//! the connection reads what has come, the requests are answered, and then it writes all answers: with one system call,
//! which costs more than a decision. Requests end with their connection, too.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures::{StreamExt, stream::FuturesUnordered};
use hyper::rt::Executor;

type Request = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a connection puts the requests that it has read.
#[derive(Clone, Default)]
pub(super) struct Requests(Arc<Mutex<Vec<Request>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Requests {
    fn execute(&self, request: F) {
        self.lock().push(Box::pin(request));
    }
}

impl Requests {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Request>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the [module documentation](self).
pub(super) struct Together<'c, C> {
    connection: Pin<&'c mut C>,
    read: Requests,
    in_flight: FuturesUnordered<Request>,
}

impl<'c, C> Together<'c, C> {
    /// `connection` puts its requests into `read`.
    pub(super) fn new(connection: Pin<&'c mut C>, read: Requests) -> Self {
        let in_flight = FuturesUnordered::new();
        Self {
            connection,
            read,
            in_flight,
        }
    }

    pub(super) fn connection(&mut self) -> Pin<&mut C> {
        self.connection.as_mut()
    }
}

impl<C: Future> Future for Together<'_, C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<C::Output> {
        loop {
            if let Poll::Ready(ended) = self.connection.as_mut().poll(context) {
                return Poll::Ready(ended);
            }
            let Self { read, in_flight, .. } = &mut *self;
            in_flight.extend(read.lock().drain(..));
            let mut answered = false;
            while let Poll::Ready(Some(())) = in_flight.poll_next_unpin(context) {
                answered = true;
            }
            if !answered {
                return Poll::Pending;
            }
        }
    }
}
