//! A watch that goes on for ever, and says when it is up to date.
//!
//! kube's `watcher` keeps bookmarks and clean ends to itself, so that whoever listens cannot tell a quiet cluster from a
//! connection that hangs; and it does not fall back where the API server has no streaming lists.

use std::{collections::VecDeque, fmt::Debug, future, io, time::Duration};

use futures::{StreamExt, stream::BoxStream};
use kube::{
    Api, Resource,
    api::{ListParams, WatchParams},
    core::WatchEvent,
    runtime::watcher::Event,
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::watch::Receiver,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::pause::growing_pause;

/// The annotation of the bookmark after which a streaming list is complete.
const LIST_ENDS: &str = "k8s.io/initial-events-end";
/// How many objects a page of a list has, where lists cannot be streamed.
const PAGE: u32 = 500;
/// The API server ends a watch in time; how much later it is taken for hung.
const GRACE: Duration = Duration::from_secs(5);
/// A watch that was asked to be renewed is not renewed more often than this.
const RENEWAL: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a watch tells.
#[derive(Debug)]
pub enum Update<K> {
    /// The list begins, goes on or is complete, or an object has changed.
    Change(Event<K>),
    /// All that was committed until a moment ago has been told.
    Current,
}

/// A watch of all objects of one kind, or of those with a label.
pub struct Watch<K> {
    api: Api<K>,
    labels: Option<String>,
    period: Option<Duration>,
    renewals: Option<Receiver<()>>,
    streaming: bool,
    /// Up to where everything has been told. None: a list is needed.
    version: Option<String>,
    state: State<K>,
    opened: Option<Instant>,
    /// In a row, so far.
    failures: u32,
}

enum State<K> {
    Closed,
    Listing {
        page: VecDeque<K>,
        more: Option<String>,
        version: String,
    },
    Open {
        events: BoxStream<'static, kube::Result<WatchEvent<K>>>,
        /// The list that the stream began with is not complete yet.
        listing: bool,
    },
}

impl<K> Watch<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    /// Watches all that `api` reaches.
    pub fn new(api: Api<K>) -> Self {
        Self {
            api,
            labels: None,
            period: None,
            renewals: None,
            streaming: true,
            version: None,
            state: State::Closed,
            opened: None,
            failures: 0,
        }
    }

    /// Only objects with this label selector.
    pub fn labels(self, selector: &str) -> Self {
        Self {
            labels: Some(selector.to_owned()),
            ..self
        }
    }

    /// After this long the watch is taken up anew where it was, which costs one request and shows that the API server
    /// still answers. None: it stays for as long as the API server lets it, and a connection that hangs is not noticed.
    pub fn period(self, period: Option<Duration>) -> Self {
        Self { period, ..self }
    }

    /// The watch is taken up anew also when this changes, if not within a second of the last time.
    pub fn renewals(self, renewals: Receiver<()>) -> Self {
        Self {
            renewals: Some(renewals),
            ..self
        }
    }

    /// The next thing it has to tell.
    ///
    /// # Errors
    /// What went wrong, for a log: the call after it tries again, after a pause that grows.
    pub async fn next(&mut self) -> kube::Result<Update<K>> {
        if let Some(before) = self.failures.checked_sub(1) {
            sleep(growing_pause(before, LONGEST_PAUSE, rand::random())).await;
        }
        let result = self.advance().await;
        self.failures = if result.is_ok() {
            0
        } else {
            self.failures.saturating_add(1)
        };
        result
    }

    async fn advance(&mut self) -> kube::Result<Update<K>> {
        loop {
            let told = match &mut self.state {
                State::Closed => Some(self.open().await?),
                State::Listing { .. } => self.list().await?,
                State::Open { .. } => self.read().await?,
            };
            if let Some(update) = told {
                return Ok(update);
            }
        }
    }

    async fn open(&mut self) -> kube::Result<Update<K>> {
        let Some(version) = self.version.clone() else {
            return self.begin().await;
        };
        let seconds = |period: Duration| u32::try_from(period.as_secs()).unwrap_or(u32::MAX).max(1);
        let parameters = WatchParams {
            timeout: self.period.map(seconds),
            ..self.parameters()
        };
        let events = self.watch(&parameters, &version).await;
        let events = events.inspect_err(|error| {
            if is_gone(error) {
                self.version = None;
            }
        })?;
        self.state = State::Open { events, listing: false };
        Ok(Update::Current)
    }

    async fn begin(&mut self) -> kube::Result<Update<K>> {
        if self.streaming {
            // Without a time of its own: a long list must not be cut off.
            match self.watch(&self.parameters().initial_events(), "").await {
                Ok(events) => self.state = State::Open { events, listing: true },
                Err(error) if is_refused(&error) => self.streaming = false,
                Err(error) => return Err(error),
            }
        }
        if !self.streaming {
            self.state = State::Listing {
                page: VecDeque::new(),
                more: Some(String::new()),
                version: String::new(),
            };
        }
        Ok(Update::Change(Event::Init))
    }

    fn parameters(&self) -> WatchParams {
        WatchParams {
            label_selector: self.labels.clone(),
            ..WatchParams::default()
        }
    }

    async fn watch(
        &mut self,
        parameters: &WatchParams,
        version: &str,
    ) -> kube::Result<BoxStream<'static, kube::Result<WatchEvent<K>>>> {
        self.opened = Some(Instant::now());
        let events = in_time(self.period, self.api.watch(parameters, version)).await??;
        Ok(events.boxed())
    }

    /// The next object of a list that comes in pages.
    async fn list(&mut self) -> kube::Result<Option<Update<K>>> {
        let State::Listing { page, more, version } = &mut self.state else {
            return Ok(None);
        };
        if let Some(object) = page.pop_front() {
            return Ok(Some(Update::Change(Event::InitApply(object))));
        }
        let Some(token) = more else {
            self.version = Some(std::mem::take(version));
            self.state = State::Closed;
            return Ok(Some(Update::Change(Event::InitDone)));
        };
        let parameters = ListParams {
            label_selector: self.labels.clone(),
            ..ListParams::default().limit(PAGE)
        };
        let parameters = match token.as_str() {
            "" => parameters,
            token => parameters.continue_token(token),
        };
        match self.api.list(&parameters).await {
            Ok(found) => {
                *version = found.metadata.resource_version.unwrap_or_default();
                *more = found.metadata.continue_.filter(|token| !token.is_empty());
                page.extend(found.items);
                Ok(None)
            }
            Err(error) => {
                if is_gone(&error) {
                    // The rest of this list is no longer to be had.
                    self.state = State::Closed;
                }
                Err(error)
            }
        }
    }

    /// The next event of an open watch. None: it has ended as it should.
    async fn read(&mut self) -> kube::Result<Option<Update<K>>> {
        let State::Open { events, listing } = &mut self.state else {
            return Ok(None);
        };
        let may_renew = self.opened.map_or_else(Instant::now, |opened| opened + RENEWAL);
        let renewals = &mut self.renewals;
        let renewed = async {
            sleep_until(may_renew).await;
            let changed = match renewals {
                Some(renewals) => renewals.changed().await.is_ok(),
                None => false,
            };
            if !changed {
                future::pending::<()>().await;
            }
        };
        let next = tokio::select! {
            biased;
            next = in_time(self.period, events.next()) => next,
            () = renewed, if !*listing => Ok(None),
        };
        let event = match next {
            Ok(Some(Ok(event))) => event,
            Ok(None) => {
                self.state = State::Closed;
                return Ok(None);
            }
            Ok(Some(Err(error))) => return Err(self.broken(error)),
            Err(hung) => return Err(self.broken(hung)),
        };
        let change = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) if *listing => Event::InitApply(object),
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                self.version = object.meta().resource_version.clone();
                Event::Apply(object)
            }
            WatchEvent::Deleted(object) => {
                self.version = object.meta().resource_version.clone();
                Event::Delete(object)
            }
            WatchEvent::Bookmark(bookmark) => {
                let ends = bookmark.metadata.annotations.contains_key(LIST_ENDS);
                if *listing && !ends {
                    return Ok(None);
                }
                self.version = Some(bookmark.metadata.resource_version);
                if !*listing {
                    return Ok(Some(Update::Current));
                }
                // From here on in watches that end in time.
                self.state = State::Closed;
                Event::InitDone
            }
            WatchEvent::Error(status) => return Err(self.broken(kube::Error::Api(status))),
        };
        Ok(Some(Update::Change(change)))
    }

    /// Closes the watch. A list that was not complete begins anew.
    fn broken(&mut self, error: kube::Error) -> kube::Error {
        let listing = matches!(self.state, State::Open { listing: true, .. });
        if listing || is_gone(&error) {
            self.version = None;
        }
        self.state = State::Closed;
        error
    }
}

/// The history that a version leads to has been forgotten.
fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 410)
}

/// The API server does not stream lists: it calls the parameter forbidden.
fn is_refused(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 422))
}

/// What takes longer than the API server was asked to take hangs.
async fn in_time<F: Future>(period: Option<Duration>, future: F) -> kube::Result<F::Output> {
    let Some(period) = period else {
        return Ok(future.await);
    };
    timeout(period + GRACE, future).await.map_err(|_| {
        let why = "the watch has not been answered in time";
        kube::Error::ReadEvents(io::Error::new(io::ErrorKind::TimedOut, why))
    })
}
