//! For how long this process leads, and that it sends nothing after.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use http::Request;
use tokio::time::Instant;
use tower::{BoxError, Service};

/// Until when this process leads. Clones share it; at first it does not lead.
#[derive(Clone, Debug, Default)]
pub struct Term(Arc<Mutex<Option<Instant>>>);

#[derive(Debug, thiserror::Error)]
#[error("this process does not lead")]
struct NotLeading;

impl Term {
    /// Passes requests on to `inner` while this process leads, and refuses them and what is under way when it does not.
    pub fn guard<S>(&self, inner: S) -> Guard<S> {
        let term = self.clone();
        Guard { inner, term }
    }

    pub(super) fn extend(&self, until: Instant) {
        *self.until() = Some(until);
    }

    /// From now on it does not lead.
    pub(super) fn end(&self) {
        *self.until() = None;
    }

    /// When it ends unless it is extended.
    pub(super) fn end_of_it(&self) -> Instant {
        self.until().unwrap_or_else(Instant::now)
    }

    fn check(&self) -> Result<(), NotLeading> {
        let leads = self.until().is_some_and(|until| Instant::now() < until);
        leads.then_some(()).ok_or(NotLeading)
    }

    fn until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Term::guard`].
#[derive(Clone, Debug)]
pub struct Guard<S> {
    inner: S,
    term: Term,
}

impl<S, B> Service<Request<B>> for Guard<S>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if let Err(error) = self.term.check() {
            return Box::pin(async { Err(error.into()) });
        }
        let (mut sending, term) = (Box::pin(self.inner.call(request)), self.term.clone());
        // A process can be stopped between any two steps, and go on when another leads: before the request is sent, as
        // while it waits for a connection, no step is made that is not in the term.
        Box::pin(std::future::poll_fn(move |context| {
            term.check()?;
            sending.as_mut().poll(context).map_err(Into::into)
        }))
    }
}
