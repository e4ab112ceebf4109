//! The state of the whole cluster, and the commits that change it.
//!
//! Everything here is synchronous and runs under one lock: a request is one transaction, and what controllers do about
//! it (garbage collection, namespaces, rollouts) is done before the lock is given back. So a run is reproducible.

mod create;
mod delete;
mod fresh;
mod prepare;
mod update;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

pub(crate) use create::create;
pub(crate) use delete::{DeleteOptions, Deletion, FOREGROUND, ORPHAN, Propagation, delete};
pub(crate) use fresh::Fresh;
pub(crate) use prepare::{Strictness, WriteOptions, json_type};
pub(crate) use update::{Origin, Part, update};

use crate::admission::Admission;
use crate::auth::RuleCache;
use crate::catalog::{Catalog, Definition, Resource, table_id};
use crate::controllers::{self, Held};
use crate::store::{Change, ChangeKind, Key, Stored, Table, TableId, text};

/// How long events live after their last write.
const EVENT_LIFE: SignedDuration = SignedDuration::from_hours(1);

/// The clock that timestamps come from.
pub(crate) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Where an object is.
pub(crate) type Place = (TableId, Key);

/// All state of one sandbox.
pub(crate) struct Cluster {
    revision: u64,
    /// Revisions below this one are answered with 410.
    compacted: u64,
    history: usize,
    tables: HashMap<TableId, Table>,
    catalog: Arc<Catalog>,
    definitions: BTreeMap<String, Arc<Definition>>,
    places: HashMap<String, Place>,
    dependents: HashMap<String, BTreeSet<Place>>,
    expiring: VecDeque<(Timestamp, Place, u64)>,
    pub(crate) pending: VecDeque<(TableId, Change)>,
    pub(crate) held: Held,
    pub(crate) rules: RuleCache,
    pub(crate) fresh: Fresh,
    pub(crate) admission: Option<Arc<dyn Admission>>,
    clock: Clock,
}

impl Cluster {
    pub(crate) fn new(clock: Clock, history: usize, fresh: Fresh) -> Self {
        Self {
            revision: 1,
            compacted: 0,
            history,
            tables: HashMap::new(),
            catalog: Arc::new(Catalog::new([])),
            definitions: BTreeMap::new(),
            places: HashMap::new(),
            dependents: HashMap::new(),
            expiring: VecDeque::new(),
            pending: VecDeque::new(),
            held: Held::default(),
            rules: RuleCache::default(),
            fresh,
            admission: None,
            clock,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The moment as `metav1.Time` writes it.
    pub(crate) fn now_text(&self) -> String {
        self.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn compacted(&self) -> u64 {
        self.compacted
    }

    /// Forgets the past: whoever asks for an older revision gets 410.
    pub(crate) fn compact(&mut self) {
        // A revision of its own, so that even a client that is up to date must list anew.
        self.revision += 1;
        self.compacted = self.revision;
    }

    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.catalog.clone()
    }

    pub(crate) fn table(&mut self, id: &TableId) -> &mut Table {
        let history = self.history;
        self.tables.entry(id.clone()).or_insert_with(|| Table::new(history))
    }

    pub(crate) fn peek(&self, id: &str) -> Option<&Table> {
        self.tables.get(id)
    }

    pub(crate) fn table_ids(&self) -> Vec<TableId> {
        let mut ids: Vec<_> = self.tables.keys().cloned().collect();
        ids.sort();
        ids
    }

    pub(crate) fn find(&self, table: &str, key: &Key) -> Option<Arc<Stored>> {
        self.tables.get(table)?.find(key).cloned()
    }

    pub(crate) fn find_named(&self, group: &str, plural: &str, key: &Key) -> Option<Arc<Stored>> {
        self.find(&table_id(group, plural), key)
    }

    /// Where the object with this uid is, as long as it is.
    pub(crate) fn place_of(&self, uid: &str) -> Option<&Place> {
        self.places.get(uid)
    }

    /// What names the object with this uid as an owner.
    pub(crate) fn dependents_of(&self, uid: &str) -> Vec<Place> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    /// Commits an object.
    pub(crate) fn put(&mut self, table: &TableId, object: Value) -> Arc<Stored> {
        self.revision += 1;
        let expires = (&**table == "/events").then(|| self.now() + EVENT_LIFE);
        let stored = Arc::new(Stored::new(object, self.revision));
        if let Some(expires) = expires {
            self.expiring
                .push_back((expires, (table.clone(), stored.key.clone()), stored.revision));
        }
        let change = self.table(table).put(stored.clone());
        self.index(table, change);
        stored
    }

    /// Commits the end of an object; `last` is its last state.
    pub(crate) fn erase(&mut self, table: &TableId, last: Value) -> Arc<Stored> {
        self.revision += 1;
        let stored = Arc::new(Stored::new(last, self.revision));
        let change = self.table(table).remove(stored.clone());
        self.index(table, change);
        stored
    }

    /// Commits an object, or its end when it was being deleted and nothing holds it back any more.
    pub(crate) fn put_or_finish(&mut self, table: &TableId, object: Value) {
        if update::is_finished(&object) {
            self.erase(table, object);
        } else {
            self.put(table, object);
        }
    }

    fn index(&mut self, table: &TableId, change: Change) {
        let place = (table.clone(), change.object.key.clone());
        if let Some(previous) = &change.previous {
            for owner in &previous.owners {
                if let Some(dependents) = self.dependents.get_mut(owner) {
                    dependents.remove(&place);
                    if dependents.is_empty() {
                        self.dependents.remove(owner);
                    }
                }
            }
        }
        if change.kind == ChangeKind::Deleted {
            self.places.remove(&change.object.uid);
        } else {
            for owner in &change.object.owners {
                self.dependents.entry(owner.clone()).or_default().insert(place.clone());
            }
            self.places.insert(change.object.uid.clone(), place);
        }
        if &**table == "apiextensions.k8s.io/customresourcedefinitions" {
            self.redefine(&change);
        }
        self.rules.note(table);
        self.pending.push_back((table.clone(), change));
    }

    /// A CustomResourceDefinition has changed: serve what is established now.
    fn redefine(&mut self, change: &Change) {
        let name = &change.object.key.name;
        let object = change.object.value();
        let established = controllers::has_condition(&object, "Established");
        let changed = if change.kind == ChangeKind::Deleted || !established {
            self.definitions.remove(name).is_some()
        } else if change
            .previous
            .as_ref()
            .is_some_and(|it| it.value()["spec"] == object["spec"])
            && self.definitions.contains_key(name)
        {
            false
        } else {
            self.definitions
                .insert(name.clone(), Arc::new(Definition::read(&object)));
            true
        };
        if change.kind == ChangeKind::Deleted {
            // Nobody will hear of the resource again.
            let spec = &object["spec"];
            let table = table_id(text(&spec["group"]), text(&spec["names"]["plural"]));
            self.table(&table).redirect(|delivery| delivery.closed += 1);
        }
        if changed {
            self.catalog = Arc::new(Catalog::new(self.definitions.values()));
            self.reshape(name);
        }
    }

    /// Prunes and defaults the objects of a definition by the schema that it has now.
    fn reshape(&mut self, definition: &str) {
        let Some(definition) = self.definitions.get(definition) else {
            return;
        };
        let resources = definition.resources.iter();
        let stored_as = |resource: &&Arc<Resource>| {
            resource
                .custom
                .as_ref()
                .is_some_and(|custom| custom.storage_version == resource.version)
        };
        let Some(resource) = resources.clone().find(stored_as).cloned() else {
            return;
        };
        let Some(schema) = resource.custom.as_ref().and_then(|custom| custom.schema.clone()) else {
            return;
        };
        self.table(&resource.table).reshape(|stored| {
            let before = stored.value();
            let mut object = before.clone();
            object["apiVersion"] = resource.api_version().into();
            schema.prune(&mut object);
            schema.apply_defaults(&mut object);
            (object != before).then(|| Stored::new(object, stored.revision))
        });
    }

    /// Lets events whose time is up go, then lets the controllers do what follows from the commits so far.
    pub(crate) fn settle(&mut self) {
        self.expire();
        controllers::settle(self);
    }

    pub(crate) fn expire(&mut self) {
        let now = self.now();
        while self.expiring.front().is_some_and(|(at, _, _)| *at <= now) {
            let Some((_, (table, key), revision)) = self.expiring.pop_front() else {
                return;
            };
            if let Some(object) = self.find(&table, &key).filter(|object| object.revision == revision) {
                self.erase(&table, object.value());
            }
        }
    }

    /// Whether objects can be created in the namespace.
    pub(crate) fn namespace_phase(&self, name: &str) -> Option<bool> {
        let namespace = self.find_named("", "namespaces", &Key::new("", name))?;
        Some(!namespace.deleting)
    }

    /// Every object, for fingerprints and for searching what must not be there.
    pub(crate) fn dump(&self) -> Vec<Value> {
        let objects = self.table_ids().into_iter().filter_map(|id| self.tables.get(&id));
        objects
            .flat_map(|table| table.all().map(|object| object.value()).collect::<Vec<_>>())
            .collect()
    }

    /// The resource as which a table's objects are stored.
    pub(crate) fn resource_of(&self, table: &str) -> Option<Arc<Resource>> {
        self.catalog.of_table(table).cloned()
    }
}
