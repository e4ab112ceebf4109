//! An HTTP/2 connection and the requests on it, carried on by one task.
//!
//! In tasks of their own, each request that is answered would wake the connection, which then writes that one answer. Here
//! the connection reads what has come, the requests are answered, and then it writes all answers: with one system call,
//! which costs more than a decision. Requests end with their connection, too.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    fn lock(&self) -> MutexGuard<'_, Vec<Request>> {
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

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, poll_fn},
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use tokio::sync::Notify;

    use super::*;

    /// A connection that reads these requests at once and ends when they are answered. Returns how many were, each time
    /// it went on.
    async fn carried_on(requests: Vec<Request>, answered: &AtomicUsize) -> Vec<usize> {
        let (read, count) = (Requests::default(), requests.len());
        let (mut unread, mut seen) = (requests, Vec::new());
        let connection = poll_fn(|_| {
            seen.push(answered.load(Ordering::Relaxed));
            unread.drain(..).for_each(|request| read.execute(request));
            match seen.last() == Some(&count) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        });
        Together::new(pin!(connection), read.clone()).await;
        seen
    }

    #[tokio::test]
    async fn a_connection_goes_on_when_all_are_answered_that_can_be() {
        let (answered, news) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let request = |waits: bool| -> Request {
            let (answered, news) = (answered.clone(), news.clone());
            Box::pin(async move {
                if waits {
                    news.notified().await;
                }
                answered.fetch_add(1, Ordering::Relaxed);
            })
        };
        let requests = vec![request(false), request(true), request(false), request(false)];
        let connection = carried_on(requests, &answered);
        let (seen, ()) = futures::join!(connection, async { news.notify_one() });
        assert_eq!(seen, [0, 3, 3, 4]);
    }

    #[tokio::test]
    async fn requests_end_with_their_connection() {
        let read = Requests::default();
        let alive = Arc::new(());
        let held = alive.clone();
        read.execute(async move {
            pending::<()>().await;
            drop(held);
        });
        let mut together = Box::pin(async {
            let connection = pin!(pending::<()>());
            Together::new(connection, read).await;
        });
        assert!(futures::poll!(&mut together).is_pending());
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(together);
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
