//! Faults: what goes wrong between a client and its API server, on purpose.
//!
//! A fault is a [`Match`] (which requests) and a [`Fault`] (what happens to them). The first fault that matches, in the
//! order of injection, acts. [`FaultHandle`] tells how often it did, and ends it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::auth::{Attempt, User};

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused, and nothing is committed.
    Fail(Failure),
    /// It is committed and answered after this long (of tokio's time, which a test may pause).
    Delay(Duration),
    /// It is committed, and the connection breaks before the answer: an ambiguous outcome.
    DropAnswer,
    /// The connection breaks, and nothing is committed.
    DropRequest,
    /// It waits, before anything is committed, until the fault is removed; then it goes on as if nothing had been.
    HangBefore,
    /// It is committed at once, and its answer waits until the fault is removed.
    HangAfter,
    /// A watch tells each of its events this long after the one before.
    Trickle(Duration),
    /// A get or list is answered from the past: as of this resourceVersion (see
    /// [`Sandbox::revision`](crate::Sandbox::revision)).
    Stale(u64),
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status code.
    pub code: u16,
    /// The reason in the Status.
    pub reason: String,
    /// The message in the Status.
    pub message: String,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
}

impl Fault {
    /// A refusal with this code and reason.
    pub fn fail(code: u16, reason: &str) -> Self {
        Self::Fail(Failure {
            code,
            reason: reason.to_owned(),
            message: format!("injected fault: {reason}"),
            retry_after: None,
        })
    }

    /// 409: somebody else has changed the object.
    pub fn conflict() -> Self {
        Self::fail(409, "Conflict")
    }

    /// 409: it is there already.
    pub fn already_exists() -> Self {
        Self::fail(409, "AlreadyExists")
    }

    /// 403.
    pub fn forbidden() -> Self {
        Self::fail(403, "Forbidden")
    }

    /// 410: the resourceVersion or continue token is too old.
    pub fn gone() -> Self {
        Self::fail(410, "Expired")
    }

    /// 429, with `Retry-After`.
    pub fn too_many_requests(retry_after: u32) -> Self {
        Self::Fail(Failure {
            code: 429,
            reason: "TooManyRequests".to_owned(),
            message: "the server has received too many requests and has asked us to try again later".to_owned(),
            retry_after: Some(retry_after),
        })
    }

    /// 500.
    pub fn internal_error() -> Self {
        Self::fail(500, "InternalError")
    }

    /// 503.
    pub fn unavailable() -> Self {
        Self::fail(503, "ServiceUnavailable")
    }

    /// 504: the server gave up waiting for itself.
    pub fn timeout() -> Self {
        Self::fail(504, "Timeout")
    }
}

/// Which requests. Every method narrows; [`Match::any`] is all of them.
#[derive(Clone, Debug, Default)]
pub struct Match {
    verbs: Vec<String>,
    group: Option<String>,
    resource: Option<String>,
    subresource: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    user: Option<String>,
    writes: bool,
    skip: u64,
    times: Option<u64>,
}

impl Match {
    /// Every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests with one of `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub fn writes() -> Self {
        Self {
            writes: true,
            ..Self::default()
        }
    }

    /// Requests with this verb; called again, also with that one.
    #[must_use]
    pub fn verb(mut self, verb: &str) -> Self {
        self.verbs.push(verb.to_owned());
        self
    }

    /// Requests of this API group; the core group is empty.
    #[must_use]
    pub fn group(mut self, group: &str) -> Self {
        self.group = Some(group.to_owned());
        self
    }

    /// Requests of the resource with this plural name, and unless [`subresource`](Self::subresource) says otherwise,
    /// of all of its subresources.
    #[must_use]
    pub fn resource(mut self, plural: &str) -> Self {
        self.resource = Some(plural.to_owned());
        self
    }

    /// Requests of this subresource; the empty one is the object itself.
    #[must_use]
    pub fn subresource(mut self, subresource: &str) -> Self {
        self.subresource = Some(subresource.to_owned());
        self
    }

    /// Requests in this namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// Requests for the object of this name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Requests of this user.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    /// Lets the first matching requests pass: `skip(2)` begins with the third.
    #[must_use]
    pub fn skip(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// Acts on so many requests and then no more; without it, on all.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.times = Some(count);
        self
    }

    fn holds(&self, user: &User, attempt: &Attempt) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|wanted| wanted == value);
        let write = matches!(
            attempt.verb.as_str(),
            "create" | "update" | "patch" | "delete" | "deletecollection"
        );
        (!self.writes || write)
            && (self.verbs.is_empty() || self.verbs.contains(&attempt.verb))
            && is(&self.group, &attempt.group)
            && is(&self.resource, &attempt.resource)
            && is(&self.subresource, &attempt.subresource)
            && is(&self.namespace, &attempt.namespace)
            && is(&self.name, &attempt.name)
            && is(&self.user, &user.name)
    }
}

#[derive(Debug)]
struct Injected {
    on: Match,
    fault: Fault,
    seen: u64,
    hits: watch::Sender<u64>,
    removed: watch::Sender<bool>,
}

/// The faults in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultBook {
    injected: Arc<Mutex<Vec<Injected>>>,
}

/// A fault that takes hold of a request.
pub(crate) struct Hit {
    pub(crate) fault: Fault,
    removed: watch::Receiver<bool>,
}

impl Hit {
    /// Waits until the fault is removed.
    pub(crate) async fn removal(mut self) {
        // The sender going away is a removal too.
        let _ = self.removed.wait_for(|removed| *removed).await;
    }
}

impl FaultBook {
    fn lock(&self) -> MutexGuard<'_, Vec<Injected>> {
        self.injected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn inject(&self, on: Match, fault: Fault) -> FaultHandle {
        let hits = watch::Sender::new(0);
        let removed = watch::Sender::new(false);
        let handle = FaultHandle {
            book: self.clone(),
            hits: hits.clone(),
            awaited: 0,
        };
        self.lock().push(Injected {
            on,
            fault,
            seen: 0,
            hits,
            removed,
        });
        handle
    }

    pub(crate) fn clear(&self) {
        for injected in self.lock().drain(..) {
            injected.removed.send_replace(true);
        }
    }

    /// The fault that takes hold of a request, if any.
    pub(crate) fn strike(&self, user: &User, attempt: &Attempt) -> Option<Hit> {
        let mut all = self.lock();
        for injected in all.iter_mut().filter(|injected| injected.on.holds(user, attempt)) {
            injected.seen += 1;
            let spent = injected.on.times.is_some_and(|times| *injected.hits.borrow() >= times);
            if injected.seen <= injected.on.skip || spent {
                continue;
            }
            injected.hits.send_modify(|hits| *hits += 1);
            return Some(Hit {
                fault: injected.fault.clone(),
                removed: injected.removed.subscribe(),
            });
        }
        None
    }
}

/// One injected fault. Dropping the handle leaves the fault in force.
#[derive(Debug)]
pub struct FaultHandle {
    book: FaultBook,
    hits: watch::Sender<u64>,
    awaited: u64,
}

impl FaultHandle {
    /// On how many requests it has acted.
    pub fn hits(&self) -> u64 {
        *self.hits.borrow()
    }

    /// Waits until it acts on a request; called again, on one more.
    pub async fn hit(&mut self) {
        self.awaited += 1;
        let wanted = self.awaited;
        // A fault that was removed will not act any more: there is nothing to wait for.
        let _ = self.hits.subscribe().wait_for(|hits| *hits >= wanted).await;
    }

    /// Ends the fault. Requests that it holds go on.
    pub fn remove(self) {
        let mut all = self.book.lock();
        if let Some(at) = all.iter().position(|injected| injected.hits.same_channel(&self.hits)) {
            all.remove(at).removed.send_replace(true);
        }
    }
}
