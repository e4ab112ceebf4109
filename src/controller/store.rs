//! What a watch has shown of one kind.
//!
//! kube's reflector keeps every name a second time beside the object, and of each new list a second copy of everything. With
//! thousands of tokens that is a good part of the memory; here a key is taken from the object itself, and what a new list
//! shows unchanged stays the object that is there.

use std::{
    hash::{BuildHasher, RandomState},
    mem,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use hashbrown::{HashTable, hash_table::Entry};
use kube::{Resource, runtime::watcher::Event};

use super::key::Key;

/// The objects, for whoever has a clone of this.
pub(super) struct Store<K>(Arc<RwLock<Objects<K>>>);

/// What became of one object.
#[derive(Debug)]
pub(super) enum Change<K> {
    Came(Arc<K>),
    Changed { before: Arc<K>, after: Arc<K> },
    Gone(Arc<K>),
}

struct Objects<K> {
    known: Table<K>,
    /// The list that is coming in, if one is.
    coming: Option<Table<K>>,
}

/// Objects by namespace and name.
struct Table<K> {
    objects: HashTable<Arc<K>>,
    hasher: RandomState,
}

impl<K: Resource> Store<K> {
    /// The object of this name, and in this namespace if it is of a kind that is.
    pub(super) fn find(&self, namespace: Option<&str>, name: &str) -> Option<Arc<K>> {
        self.read().known.find((namespace, name)).cloned()
    }

    pub(super) fn get(&self, key: &Key<K>) -> Option<Arc<K>> {
        self.find(key.namespace(), key.name())
    }

    /// Everything there is, in no order.
    pub(super) fn state(&self) -> Vec<Arc<K>> {
        self.read().known.objects.iter().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.read().known.objects.len()
    }

    /// Takes in what the watch tells, and returns what changed by it. Of a list that is when it is complete: until then
    /// what was before it is shown, and what it lacks is gone. What changes while it comes in, changes it too.
    pub(super) fn take_in(&self, event: Event<K>) -> Vec<Change<K>> {
        let mut objects = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Apply(object) => {
                let after = Arc::new(object);
                if let Some(coming) = &mut objects.coming {
                    coming.put(after.clone());
                }
                let before = objects.known.put(after.clone());
                vec![Change::of(before, after)]
            }
            Event::Delete(object) => {
                if let Some(coming) = &mut objects.coming {
                    coming.remove(id(&object));
                }
                let before = objects.known.remove(id(&object)).unwrap_or_else(|| Arc::new(object));
                vec![Change::Gone(before)]
            }
            Event::Init => {
                objects.coming = Some(Table::default());
                Vec::new()
            }
            Event::InitApply(object) => {
                let known = objects
                    .known
                    .find(id(&object))
                    .filter(|known| is_same(&***known, &object));
                let object = known.cloned().unwrap_or_else(|| Arc::new(object));
                objects.coming.get_or_insert_default().put(object);
                Vec::new()
            }
            Event::InitDone => {
                let coming = objects.coming.take().unwrap_or_default();
                let mut gone = mem::replace(&mut objects.known, coming);
                let mut changes = Vec::new();
                for after in &objects.known.objects {
                    let before = gone.remove(id(&**after));
                    if !before.as_ref().is_some_and(|before| Arc::ptr_eq(before, after)) {
                        changes.push(Change::of(before, after.clone()));
                    }
                }
                changes.extend(gone.objects.into_iter().map(Change::Gone));
                changes
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Objects<K>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Change<K> {
    fn of(before: Option<Arc<K>>, after: Arc<K>) -> Self {
        match before {
            Some(before) => Self::Changed { before, after },
            None => Self::Came(after),
        }
    }

    /// The object as it was.
    pub(super) fn before(&self) -> Option<&Arc<K>> {
        match self {
            Self::Changed { before, .. } | Self::Gone(before) => Some(before),
            Self::Came(_) => None,
        }
    }

    /// The object as it is.
    pub(super) fn after(&self) -> Option<&Arc<K>> {
        match self {
            Self::Came(after) | Self::Changed { after, .. } => Some(after),
            Self::Gone(_) => None,
        }
    }

    /// The object as it was, if there is none of its name any more, or another one.
    pub(super) fn gone(&self) -> Option<&Arc<K>>
    where
        K: Resource,
    {
        match self {
            Self::Changed { before, after } => (before.meta().uid != after.meta().uid).then_some(before),
            Self::Gone(before) => Some(before),
            Self::Came(_) => None,
        }
    }

    /// The object as it was and as it is, as far as there is either.
    pub(super) fn both(&self) -> impl Iterator<Item = &Arc<K>> {
        self.before().into_iter().chain(self.after())
    }

    /// The object as it is, or as it was when it went.
    pub(super) fn latest(&self) -> &K {
        match self {
            Self::Came(object) | Self::Changed { after: object, .. } | Self::Gone(object) => object,
        }
    }

    /// Whether what `part` takes of the object is another than before. It is of one that came or went.
    pub(super) fn concerns<'a, P: PartialEq>(&'a self, part: impl Fn(&'a K) -> P) -> bool {
        match self {
            Self::Changed { before, after } => part(before) != part(after),
            Self::Came(_) | Self::Gone(_) => true,
        }
    }
}

impl<K: Resource> Table<K> {
    fn find(&self, wanted: Id<'_>) -> Option<&Arc<K>> {
        self.objects
            .find(self.hasher.hash_one(wanted), |known| id(&**known) == wanted)
    }

    /// Returns what was there before.
    fn put(&mut self, object: Arc<K>) -> Option<Arc<K>> {
        let wanted = id(&*object);
        let hash_of = |known: &Arc<K>| self.hasher.hash_one(id(&**known));
        match self
            .objects
            .entry(hash_of(&object), |known| id(&**known) == wanted, hash_of)
        {
            Entry::Occupied(mut known) => Some(mem::replace(known.get_mut(), object)),
            Entry::Vacant(place) => {
                place.insert(object);
                None
            }
        }
    }

    fn remove(&mut self, wanted: Id<'_>) -> Option<Arc<K>> {
        let found = self
            .objects
            .find_entry(self.hasher.hash_one(wanted), |known| id(&**known) == wanted);
        Some(found.ok()?.remove().0)
    }
}

/// An object's namespace and name.
type Id<'a> = (Option<&'a str>, &'a str);

fn id<K: Resource>(object: &K) -> Id<'_> {
    let meta = object.meta();
    (meta.namespace.as_deref(), meta.name.as_deref().unwrap_or_default())
}

/// Whether both are one object that nobody has written in between.
fn is_same<K: Resource>(known: &K, listed: &K) -> bool {
    let (known, listed) = (known.meta(), listed.meta());
    known.resource_version.is_some() && (&known.uid, &known.resource_version) == (&listed.uid, &listed.resource_version)
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        let objects = Objects {
            known: Table::default(),
            coming: None,
        };
        Self(Arc::new(RwLock::new(objects)))
    }
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self {
            objects: HashTable::new(),
            hasher: RandomState::new(),
        }
    }
}

impl<K> Clone for Store<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(namespace: &str, name: &str, version: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.namespace = Some(namespace.to_owned());
        object.metadata.name = Some(name.to_owned());
        object.metadata.uid = Some(format!("uid of {name}"));
        object.metadata.resource_version = Some(version.to_owned());
        object
    }

    fn a(version: &str) -> ConfigMap {
        object("shop", "a", version)
    }

    fn b(version: &str) -> ConfigMap {
        object("shop", "b", version)
    }

    /// What changed, by name, from which version to which.
    type Told = Vec<(String, Option<String>, Option<String>)>;

    fn tell(store: &Store<ConfigMap>, event: Event<ConfigMap>) -> Told {
        let version = |object: Option<&Arc<ConfigMap>>| object?.metadata.resource_version.clone();
        let changes = store.take_in(event);
        let mut told: Told = changes
            .iter()
            .map(|change| {
                let name = change.latest().metadata.name.clone().unwrap();
                (name, version(change.before()), version(change.after()))
            })
            .collect();
        told.sort();
        told
    }

    fn list(store: &Store<ConfigMap>, objects: impl IntoIterator<Item = ConfigMap>) -> Told {
        assert_eq!(tell(store, Event::Init), []);
        for object in objects {
            assert_eq!(tell(store, Event::InitApply(object)), []);
        }
        tell(store, Event::InitDone)
    }

    fn change(name: &str, before: Option<&str>, after: Option<&str>) -> (String, Option<String>, Option<String>) {
        (name.to_owned(), before.map(str::to_owned), after.map(str::to_owned))
    }

    #[test]
    fn what_comes_changes_and_goes_is_told_with_what_it_was() {
        let store = Store::default();
        assert_eq!(tell(&store, Event::Apply(a("1"))), [change("a", None, Some("1"))]);
        assert_eq!(tell(&store, Event::Apply(a("2"))), [change("a", Some("1"), Some("2"))]);
        assert_eq!(store.find(Some("shop"), "a").as_deref(), Some(&a("2")));
        assert_eq!(store.get(&Key::of(&a("2"))).as_deref(), Some(&a("2")));
        assert_eq!(tell(&store, Event::Delete(a("3"))), [change("a", Some("2"), None)]);
        assert_eq!(store.find(Some("shop"), "a"), None);
        // One that nobody knew.
        assert_eq!(tell(&store, Event::Delete(b("4"))), [change("b", Some("4"), None)]);
    }

    #[test]
    fn objects_of_one_name_are_told_apart_by_their_namespaces() {
        let store = Store::default();
        store.take_in(Event::Apply(object("shop", "a", "1")));
        store.take_in(Event::Apply(object("office", "a", "2")));
        assert_eq!(store.len(), 2);
        store.take_in(Event::Delete(object("shop", "a", "1")));
        assert_eq!(store.find(Some("shop"), "a"), None);
        assert_eq!(store.state().len(), 1);
        assert_eq!(store.find(None, "a"), None);
    }

    #[test]
    fn a_list_is_shown_when_it_is_complete_and_what_it_lacks_is_gone() {
        let store = Store::default();
        assert_eq!(
            list(&store, [a("1"), b("1")]),
            [change("a", None, Some("1")), change("b", None, Some("1"))]
        );
        store.take_in(Event::Init);
        store.take_in(Event::InitApply(a("2")));
        assert_eq!(store.find(Some("shop"), "a").as_deref(), Some(&a("1")));
        let told = [change("a", Some("1"), Some("2")), change("b", Some("1"), None)];
        assert_eq!(tell(&store, Event::InitDone), told);
        assert_eq!(store.state(), [Arc::new(a("2"))]);
    }

    #[test]
    fn what_changes_while_a_list_comes_in_is_not_undone_by_it() {
        let store = Store::default();
        store.take_in(Event::Init);
        store.take_in(Event::InitApply(a("1")));
        store.take_in(Event::InitApply(b("1")));
        assert_eq!(tell(&store, Event::Apply(a("2"))), [change("a", None, Some("2"))]);
        assert_eq!(tell(&store, Event::Delete(b("3"))), [change("b", Some("3"), None)]);
        assert_eq!(tell(&store, Event::InitDone), []);
        assert_eq!(store.state(), [Arc::new(a("2"))]);
    }

    #[test]
    fn one_that_was_made_anew_under_its_name_is_another() {
        let store = Store::default();
        let gone = |changes: Vec<Change<ConfigMap>>| changes[0].gone().cloned();
        assert_eq!(gone(store.take_in(Event::Apply(a("1")))), None);
        assert_eq!(gone(store.take_in(Event::Apply(a("2")))), None);
        let mut other = a("3");
        other.metadata.uid = Some("other".to_owned());
        assert_eq!(
            gone(store.take_in(Event::Apply(other.clone()))).as_deref(),
            Some(&a("2"))
        );
        assert_eq!(gone(store.take_in(Event::Delete(a("4")))).as_deref(), Some(&other));
    }

    #[test]
    fn a_list_that_breaks_off_leaves_nothing() {
        let store = Store::default();
        store.take_in(Event::Init);
        store.take_in(Event::InitApply(b("1")));
        assert_eq!(list(&store, [a("1")]), [change("a", None, Some("1"))]);
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn what_a_list_shows_unchanged_is_not_kept_twice() {
        let store = Store::default();
        store.take_in(Event::Apply(a("1")));
        let known = store.find(Some("shop"), "a").unwrap();
        assert_eq!(list(&store, [a("1")]), []);
        assert!(Arc::ptr_eq(&known, &store.find(Some("shop"), "a").unwrap()));
        // Another one of its name, in a cluster that begins to count anew.
        let mut other = a("1");
        other.metadata.uid = Some("other".to_owned());
        assert_eq!(list(&store, [other]), [change("a", Some("1"), Some("1"))]);
    }

    #[test]
    fn a_change_concerns_who_goes_by_a_part_that_is_another_or_new_or_gone() {
        let uid = |object: &ConfigMap| object.metadata.uid.clone();
        let store = Store::default();
        assert!(store.take_in(Event::Apply(a("1")))[0].concerns(uid));
        assert!(!store.take_in(Event::Apply(a("2")))[0].concerns(uid));
        assert!(store.take_in(Event::Delete(a("3")))[0].concerns(uid));
    }
}
