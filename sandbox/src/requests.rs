//! The log of requests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many requests the log keeps; older ones leave it.
const KEPT: usize = 1 << 17;

/// One request as it was answered. Bodies are not kept: they hold secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestRecord {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; the lower-case method for
    /// paths that are no resources.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The plural name of the resource; empty for other paths.
    pub resource: String,
    /// The subresource, or nothing.
    pub subresource: String,
    /// The namespace, or nothing.
    pub namespace: String,
    /// The object's name, or nothing.
    pub name: String,
    /// The path, for what is no resource.
    pub path: String,
    /// The query, as it came.
    pub query: String,
    /// Who asked.
    pub user: String,
    /// The `User-Agent`.
    pub user_agent: String,
    /// The status code; 0 where a fault left the client without an answer.
    pub code: u16,
    /// Whether it was accepted and not a dry run, of a verb that changes objects. (Reviews are no writes, and an
    /// update that changes nothing still counts.)
    pub write: bool,
}

impl RequestRecord {
    /// `secrets`, or `secrets/status`.
    pub fn full_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

type Observer = Arc<dyn Fn(&RequestRecord) + Send + Sync>;

/// The requests that were answered, in the order of their answers. Cheap to clone; clones share the log.
#[derive(Clone, Default)]
pub struct RequestLog {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    records: VecDeque<RequestRecord>,
    observers: Vec<Observer>,
}

impl RequestLog {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every request since the start or the last [`clear`](Self::clear), at most the last 131,072.
    pub fn all(&self) -> Vec<RequestRecord> {
        self.lock().records.iter().cloned().collect()
    }

    /// Those that changed objects: see [`RequestRecord::write`].
    pub fn writes(&self) -> Vec<RequestRecord> {
        self.lock()
            .records
            .iter()
            .filter(|record| record.write)
            .cloned()
            .collect()
    }

    /// How many requests the test lets through.
    pub fn count(&self, test: impl Fn(&RequestRecord) -> bool) -> usize {
        self.lock().records.iter().filter(|record| test(record)).count()
    }

    /// Forgets them.
    pub fn clear(&self) {
        self.lock().records.clear();
    }

    pub(crate) fn observe(&self, observer: Observer) {
        self.lock().observers.push(observer);
    }

    pub(crate) fn add(&self, record: RequestRecord) {
        let observers = {
            let mut inner = self.lock();
            if inner.records.len() == KEPT {
                inner.records.pop_front();
            }
            inner.records.push_back(record.clone());
            inner.observers.clone()
        };
        // Without the lock: an observer may look at the log.
        for observer in observers {
            observer(&record);
        }
    }
}

impl std::fmt::Debug for RequestLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestLog")
            .field("records", &self.lock().records.len())
            .finish_non_exhaustive()
    }
}
