//! The sandbox itself: what a program that embeds it holds.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use jiff::Timestamp;
use serde_json::Value;

use crate::admission::Admission;
use crate::auth::{self, User};
use crate::cluster::{Clock, Cluster, Fresh};
use crate::controllers;
use crate::faults::{Fault, FaultBook, FaultHandle, Match};
use crate::requests::{RequestLog, RequestRecord};
use crate::rest::{self, BODY_LIMIT, Body, Incoming};
use crate::serve::{ServeError, Server};
use crate::store::Delivery;

/// How many changes of a resource watches can look back on.
const HISTORY: usize = 16_384;

/// An API server in memory. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

/// What requests share.
pub(crate) struct Shared {
    cluster: Mutex<Cluster>,
    users: HashMap<String, User>,
    pub(crate) faults: FaultBook,
    pub(crate) log: RequestLog,
    pub(crate) watch_timeouts: bool,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn user_of_token(&self, token: &str) -> Option<User> {
        self.users.get(token).cloned()
    }

    /// A bearer token of the user with this name.
    pub(crate) fn token_of(&self, name: &str) -> Option<&str> {
        self.users
            .iter()
            .find(|(_, user)| user.name == name)
            .map(|(token, _)| token.as_str())
    }

    pub(crate) fn user_named(&self, name: &str) -> Option<User> {
        self.users.values().find(|user| user.name == name).cloned()
    }
}

/// How a [`Sandbox`] is to be.
#[must_use]
pub struct Builder {
    clock: Clock,
    users: HashMap<String, User>,
    watch_timeouts: bool,
    history: usize,
    seed: u64,
    admission: Option<Arc<dyn Admission>>,
}

impl Builder {
    /// Where timestamps come from; by default the wall clock. It decides `creationTimestamp`s and when events expire,
    /// not when watches time out: that is tokio's time.
    pub fn clock(mut self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Adds a user with a bearer token. The user `admin`, who may do everything, is always there.
    pub fn user(mut self, token: impl Into<String>, user: User) -> Self {
        self.users.insert(token.into(), user);
        self
    }

    /// Whether watches end after their `timeoutSeconds` and send bookmarks from time to time, as they really do (the
    /// default). Without, they stay open for ever and set no timers, so that a paused clock can leap over years.
    pub fn watch_timeouts(mut self, honoured: bool) -> Self {
        self.watch_timeouts = honoured;
        self
    }

    /// How many changes each resource remembers (16,384 by default). A watch that falls behind further gets 410.
    pub fn history(mut self, changes: usize) -> Self {
        self.history = changes.max(1);
        self
    }

    /// What uids and generated names are made from: with the same seed and the same requests they are the same. By
    /// default it is the same always; a server that outlives one test wants one of its own.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Rules that every write of a user is put before: see [`admission`](crate::admission). By default there are none.
    pub fn admission(mut self, admission: impl Admission + 'static) -> Self {
        self.admission = Some(Arc::new(admission));
        self
    }

    /// Makes the sandbox: no sockets, threads or timers.
    pub fn build(mut self) -> Sandbox {
        let mut fresh = Fresh::new(self.seed);
        if !self.users.values().any(|user| user.name == "admin") {
            self.users
                .insert(format!("{:016x}{:016x}", unguessable(), unguessable()), User::admin());
        }
        // The uids of what is there from the start do not depend on the tokens above.
        let mut cluster = Cluster::new(self.clock, self.history, Fresh::new(fresh.next()));
        cluster.admission = self.admission;
        auth::install(&mut cluster);
        Sandbox {
            shared: Arc::new(Shared {
                cluster: Mutex::new(cluster),
                users: self.users,
                faults: FaultBook::default(),
                log: RequestLog::default(),
                watch_timeouts: self.watch_timeouts,
            }),
        }
    }
}

/// A number that another process cannot know, for bearer tokens.
fn unguessable() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// A sandbox with the wall clock and no users but `admin`.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Begins to describe a sandbox.
    pub fn builder() -> Builder {
        Builder {
            clock: Arc::new(Timestamp::now),
            users: HashMap::new(),
            watch_timeouts: true,
            history: HISTORY,
            seed: 0,
            admission: None,
        }
    }

    /// A transport for clients in this process, as the user `admin`: `kube::Client::new(sandbox.service(), "default")`.
    pub fn service(&self) -> SandboxService {
        self.service_as(User::admin())
    }

    /// A transport as another user, by name or by value. A name that no token was given for is a user of no group.
    pub fn service_as(&self, user: impl Into<Caller>) -> SandboxService {
        let user = match user.into() {
            Caller::User(user) => user,
            Caller::Name(name) => self.shared.user_named(&name).unwrap_or_else(|| User::new(name)),
        };
        SandboxService {
            shared: self.shared.clone(),
            user: Some(user),
        }
    }

    /// Serves HTTPS on a loopback address; port 0 picks a free one.
    ///
    /// # Errors
    /// An address that is not loopback is refused: nothing here is meant for a network. Otherwise what the operating
    /// system refuses.
    pub async fn serve(&self, address: std::net::SocketAddr) -> Result<Server, ServeError> {
        Server::start(self.clone(), address).await
    }

    pub(crate) fn anonymous_service(&self) -> SandboxService {
        SandboxService {
            shared: self.shared.clone(),
            user: None,
        }
    }

    /// A bearer token of the user with this name.
    pub fn token(&self, user: &str) -> Option<String> {
        self.shared.token_of(user).map(str::to_owned)
    }

    /// Faults: see [`faults`](crate::faults).
    pub fn faults(&self) -> Faults {
        Faults {
            shared: self.shared.clone(),
        }
    }

    /// The requests that were answered.
    pub fn requests(&self) -> RequestLog {
        self.shared.log.clone()
    }

    /// Calls the observer after every request, before the client has the answer. It must not block.
    pub fn on_request(&self, observer: impl Fn(&RequestRecord) + Send + Sync + 'static) {
        self.shared.log.observe(Arc::new(observer));
    }

    /// The resourceVersion of the last commit.
    pub fn revision(&self) -> u64 {
        self.shared.lock().revision()
    }

    /// Forgets the past: lists with a continue token and watches from before now get 410. Running watches go on, as
    /// they do on a real server; [`Faults::expire_watches`] ends them.
    pub fn compact(&self) {
        self.shared.lock().compact();
    }

    /// Every object, as stored: by group and plural, namespace and name.
    pub fn dump(&self) -> Vec<Value> {
        let mut cluster = self.shared.lock();
        cluster.settle();
        cluster.dump()
    }

    /// Keeps workloads from rolling out: their status stays as it is.
    pub fn hold_rollouts(&self) {
        controllers::hold_rollouts(&mut self.shared.lock(), true);
    }

    /// Lets workloads roll out again, at once.
    pub fn release_rollouts(&self) {
        controllers::hold_rollouts(&mut self.shared.lock(), false);
    }

    /// Stops the garbage collector: dependents stay, and owners that are deleted in the foreground wait.
    pub fn hold_garbage_collector(&self) {
        controllers::hold_collector(&mut self.shared.lock(), true);
    }

    /// Lets the garbage collector do, at once, what has come up meanwhile.
    pub fn release_garbage_collector(&self) {
        controllers::hold_collector(&mut self.shared.lock(), false);
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox")
            .field("revision", &self.revision())
            .finish_non_exhaustive()
    }
}

/// Who a transport speaks for.
#[derive(Clone, Debug)]
pub enum Caller {
    /// This user.
    User(User),
    /// The user of this name.
    Name(String),
}

impl From<User> for Caller {
    fn from(user: User) -> Self {
        Self::User(user)
    }
}

impl From<&str> for Caller {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

/// What can be made to go wrong: see [`faults`](crate::faults).
#[derive(Clone)]
pub struct Faults {
    shared: Arc<Shared>,
}

impl Faults {
    /// Makes something happen to the requests that match.
    pub fn inject(&self, on: Match, fault: Fault) -> FaultHandle {
        self.shared.faults.inject(on, fault)
    }

    /// Ends every injected fault. (Paused watches are another matter: [`resume_watches`](Self::resume_watches).)
    pub fn clear(&self) {
        self.shared.faults.clear();
    }

    /// Withholds events from all watches of a resource, by its plural name; `*` is all resources.
    pub fn pause_watches(&self, resource: &str) {
        self.redirect(resource, |delivery| delivery.paused = true);
    }

    /// Delivers what was withheld, and what comes.
    pub fn resume_watches(&self, resource: &str) {
        self.redirect(resource, |delivery| delivery.paused = false);
    }

    /// Loses the events of what changes from now on: watches never hear of it, though they go on. Later events, and
    /// lists, show that something was missed.
    pub fn lose_events(&self, resource: &str) {
        self.redirect(resource, |delivery| delivery.losing = true);
    }

    /// Stops losing events. What was lost stays lost.
    pub fn stop_losing_events(&self, resource: &str) {
        self.redirect(resource, |delivery| delivery.losing = false);
    }

    /// Ends all running watches of a resource, as a server does that restarts.
    pub fn close_watches(&self, resource: &str) {
        self.redirect(resource, |delivery| delivery.closed += 1);
    }

    /// Ends all running watches of a resource with 410: they must list anew.
    pub fn expire_watches(&self, resource: &str) {
        self.redirect(resource, |delivery| delivery.expired += 1);
    }

    /// Lets all running watches of a resource stay open and never say anything again. New ones work.
    pub fn hang_watches(&self, resource: &str) {
        self.redirect(resource, |delivery| delivery.hung += 1);
    }

    fn redirect(&self, resource: &str, change: impl Fn(&mut Delivery)) {
        let mut cluster = self.shared.lock();
        let catalog = cluster.catalog();
        let mut tables: Vec<_> = catalog
            .all()
            .filter(|it| resource == "*" || it.plural == resource)
            .map(|it| it.table.clone())
            .collect();
        tables.sort();
        tables.dedup();
        for table in tables {
            cluster.table(&table).redirect(&change);
        }
    }
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faults")
    }
}

/// A transport to a sandbox: a [`tower::Service`] for requests with any body.
#[derive(Clone)]
pub struct SandboxService {
    shared: Arc<Shared>,
    /// Without one, the bearer token decides.
    user: Option<User>,
}

impl std::fmt::Debug for SandboxService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SandboxService")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl<B> tower::Service<Request<B>> for SandboxService
where
    B: http_body::Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<tower::BoxError>,
{
    type Response = Response<Body>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Response<Body>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (shared, user) = (self.shared.clone(), self.user.clone());
        Box::pin(async move {
            let (head, body) = request.into_parts();
            // One byte beyond the limit is enough to see that it is exceeded.
            let limited = Limited::new(body, BODY_LIMIT + 1).collect().await;
            let body: Bytes = match limited {
                Ok(body) => body.to_bytes(),
                Err(error) if error.is::<http_body_util::LengthLimitError>() => Bytes::from(vec![0; BODY_LIMIT + 1]),
                Err(error) => return Err(io::Error::other(error)),
            };
            rest::serve(shared, user, Incoming::new(&head, body)).await
        })
    }
}
