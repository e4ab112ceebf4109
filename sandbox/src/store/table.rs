//! The objects of one resource and the history of their changes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::watch;

use super::{Key, Stored};

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

/// One committed change; a deletion carries the object's last state under the deletion's own revision.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) kind: ChangeKind,
    pub(crate) object: Arc<Stored>,
    pub(crate) previous: Option<Arc<Stored>>,
    /// No watch is to hear of it.
    pub(crate) lost: bool,
}

/// How running watches of a table are being treated; watches hold the numbers they started with and compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// Events are withheld for now.
    pub(crate) paused: bool,
    /// Changes that are committed now are lost for watches.
    pub(crate) losing: bool,
    /// Watches that started under a smaller number end without a word.
    pub(crate) closed: u64,
    /// Watches that started under a smaller number end with 410.
    pub(crate) expired: u64,
    /// Watches that started under a smaller number stay open and never say anything again.
    pub(crate) hung: u64,
}

/// The objects of one resource.
#[derive(Debug)]
pub(crate) struct Table {
    objects: BTreeMap<Key, Arc<Stored>>,
    history: VecDeque<Change>,
    capacity: usize,
    /// Changes up to this revision have left the history.
    forgotten: u64,
    delivery: Delivery,
    signal: watch::Sender<()>,
}

impl Table {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            capacity,
            forgotten: 0,
            delivery: Delivery::default(),
            signal: watch::Sender::new(()),
        }
    }

    pub(crate) fn find(&self, key: &Key) -> Option<&Arc<Stored>> {
        self.objects.get(key)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Stored>> {
        self.objects.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    /// The objects of one namespace, or of all when it is empty, behind `after`, by name.
    pub(crate) fn within<'a>(
        &'a self,
        namespace: &'a str,
        after: Option<&Key>,
    ) -> impl Iterator<Item = &'a Arc<Stored>> + 'a {
        within(&self.objects, namespace, after)
    }

    /// Puts an object, and answers the change.
    pub(crate) fn put(&mut self, object: Arc<Stored>) -> Change {
        let previous = self.objects.insert(object.key.clone(), object.clone());
        let kind = if previous.is_some() {
            ChangeKind::Modified
        } else {
            ChangeKind::Added
        };
        self.record(Change {
            revision: object.revision,
            kind,
            object,
            previous,
            lost: self.delivery.losing,
        })
    }

    /// Takes an object out; `last` is its last state.
    pub(crate) fn remove(&mut self, last: Arc<Stored>) -> Change {
        let previous = self.objects.remove(&last.key);
        self.record(Change {
            revision: last.revision,
            kind: ChangeKind::Deleted,
            object: last,
            previous,
            lost: self.delivery.losing,
        })
    }

    /// Shows every object in another way from now on: no change, no event. Decoding what an older schema let be stored
    /// does that on a real server.
    pub(crate) fn reshape(&mut self, shape: impl Fn(&Stored) -> Option<Stored>) {
        for object in self.objects.values_mut() {
            if let Some(shaped) = shape(object) {
                *object = Arc::new(shaped);
            }
        }
    }

    fn record(&mut self, change: Change) -> Change {
        self.history.push_back(change.clone());
        while self.history.len() > self.capacity {
            if let Some(oldest) = self.history.pop_front() {
                self.forgotten = oldest.revision;
            }
        }
        self.wake();
        change
    }

    /// The changes after `revision`, or the oldest revision that can still be asked for.
    pub(crate) fn since(&self, revision: u64) -> Result<impl Iterator<Item = &Change>, u64> {
        if revision < self.forgotten {
            return Err(self.forgotten);
        }
        let first = self.history.partition_point(|change| change.revision <= revision);
        Ok(self.history.range(first..))
    }

    /// The objects as they were at `revision`, or the oldest revision that can still be asked for.
    pub(crate) fn at(&self, revision: u64) -> Result<BTreeMap<Key, Arc<Stored>>, u64> {
        let later: Vec<&Change> = self.since(revision)?.collect();
        let mut objects = self.objects.clone();
        for change in later.into_iter().rev() {
            match &change.previous {
                Some(previous) => objects.insert(previous.key.clone(), previous.clone()),
                None => objects.remove(&change.object.key),
            };
        }
        Ok(objects)
    }

    /// Whether anything has changed after `revision`.
    pub(crate) fn changed_since(&self, revision: u64) -> bool {
        self.history.back().is_some_and(|change| change.revision > revision)
    }

    pub(crate) fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// Changes how running watches are treated, and wakes them to notice.
    pub(crate) fn redirect(&mut self, change: impl FnOnce(&mut Delivery)) {
        change(&mut self.delivery);
        self.wake();
    }

    /// What wakes a watch.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.signal.subscribe()
    }

    fn wake(&self) {
        self.signal.send_replace(());
    }
}

/// The same as [`Table::within`], for a past state.
pub(crate) fn within<'a>(
    objects: &'a BTreeMap<Key, Arc<Stored>>,
    namespace: &'a str,
    after: Option<&Key>,
) -> impl Iterator<Item = &'a Arc<Stored>> + 'a {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let start = match after {
        Some(after) => Excluded(after.clone()),
        None if namespace.is_empty() => Unbounded,
        None => Included(Key::new(namespace, "")),
    };
    let range = objects.range((start, Unbounded));
    range
        .map(|(_, object)| object)
        .take_while(move |object| namespace.is_empty() || object.key.namespace == namespace)
}
