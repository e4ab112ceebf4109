//! Which object is meant.

use std::{
    cmp::Ordering,
    fmt::{self, Debug, Display, Formatter},
    hash::{Hash, Hasher},
    marker::PhantomData,
    sync::Arc,
};

use kube::Resource;

/// An object's name, and its namespace if it is in one: `namespace/name`, as client-go's keys are. In one piece, which
/// copies share, because thousands of objects can wait for their turn or for their time.
pub(super) struct Key<K>(Arc<str>, PhantomData<fn() -> K>);

impl<K> Key<K> {
    /// The object of this name that is in no namespace.
    pub(super) fn cluster_wide(name: &str) -> Self {
        Self(name.into(), PhantomData)
    }

    /// The object of this name in a namespace.
    pub(super) fn namespaced(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}/{name}").into(), PhantomData)
    }

    pub(super) fn namespace(&self) -> Option<&str> {
        self.0.split_once('/').map(|(namespace, _)| namespace)
    }

    pub(super) fn name(&self) -> &str {
        // A name has no slash in it: it is a segment of a path.
        self.0.split_once('/').map_or(&self.0, |(_, name)| name)
    }
}

impl<K: Resource> Key<K> {
    pub(super) fn of(object: &K) -> Self {
        let meta = object.meta();
        let name = meta.name.as_deref().unwrap_or_default();
        match &meta.namespace {
            Some(namespace) => Self::namespaced(namespace, name),
            None => Self::cluster_wide(name),
        }
    }
}

// What a derived implementation would ask of K.

impl<K> Clone for Key<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

impl<K> PartialEq for Key<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<K> Eq for Key<K> {}

impl<K> PartialOrd for Key<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Key<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl<K> Hash for Key<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<K> Display for Key<K> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<K> Debug for Key<K> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}
