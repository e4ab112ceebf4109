//! The tables behind the index, and how one change of an object changes them.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use hashbrown::HashTable;

use super::{
    arena::{Arena, Position},
    intern::Interner,
    names::Names,
    organisation::Charter,
    policy::{Governed, Policy},
    record::{self, CredentialRecord, Record},
    rules::Rules,
};
use crate::{
    api::{ApiToken, Grant, TokenType},
    domain::{credential::Digest, permission::Permissions},
};

/// Each table comes in this many parts, so that one that has to grow does not hold up readers for long.
pub(super) const PARTS: usize = 256;

/// What many tokens have in common: all of a token that is neither its name nor its credentials.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::verifier) struct Profile {
    /// The number of the organisation.
    organisation: u32,
    pub(in crate::verifier) type_: TokenType,
    pub(in crate::verifier) user: Option<Box<str>>,
    pub(in crate::verifier) role: Option<Box<str>>,
    pub(in crate::verifier) permissions: Permissions,
    pub(in crate::verifier) projects: Option<Box<[Box<str>]>>,
    pub(in crate::verifier) ip_filters: Box<[Box<str>]>,
    pub(in crate::verifier) asks_for_an_end: bool,
}

pub(super) type Labels = BTreeMap<String, String>;

#[derive(Debug)]
pub(in crate::verifier) struct Store {
    arena: Arena,
    /// One entry for each credential.
    digests: Vec<HashTable<Position>>,
    /// One entry for each token, by namespace and name.
    names: Vec<HashTable<Position>>,
    hasher: RandomState,
    profiles: Interner<Profile, ()>,
    pub(super) organisations: Names<Governed>,
    pub(super) policies: Names<Policy>,
    pub(super) namespaces: Names<Labels>,
    /// How often the lists of tokens began, in all namespaces and in each that is listed by itself.
    generation: u32,
    scopes: HashMap<Box<str>, u32>,
    everywhere: u32,
}

/// A token that was found by the digest of one of its credentials.
pub(in crate::verifier) struct Found<'a> {
    pub(in crate::verifier) record: Record<'a>,
    pub(in crate::verifier) credential: CredentialRecord,
    pub(in crate::verifier) profile: &'a Arc<Profile>,
    pub(in crate::verifier) namespace: &'a Arc<str>,
    pub(in crate::verifier) labels: Option<&'a Labels>,
    pub(in crate::verifier) organisation: &'a Arc<str>,
    pub(in crate::verifier) charter: Option<&'a Arc<Charter>>,
    /// What policies leave to such tokens of the organisation. None: everything.
    pub(in crate::verifier) rules: Option<&'a Rules>,
}

impl Found<'_> {
    /// When the credential expires: by its record, or earlier as a policy has it, also one that came a moment ago.
    pub(in crate::verifier) fn expires_at(&self) -> Option<i64> {
        let CredentialRecord {
            issued_at, expires_at, ..
        } = self.credential;
        match self.rules {
            Some(rules) => rules.cut(issued_at.map(i64::from), expires_at),
            None => expires_at,
        }
    }
}

impl Store {
    pub(super) fn new() -> Self {
        Self {
            arena: Arena::default(),
            digests: vec![HashTable::new(); PARTS],
            names: vec![HashTable::new(); PARTS],
            hasher: RandomState::new(),
            profiles: Interner::default(),
            organisations: Names::default(),
            policies: Names::default(),
            namespaces: Names::default(),
            generation: 0,
            scopes: HashMap::new(),
            everywhere: 0,
        }
    }

    /// The token that has a credential of this digest. None, too, when two tokens claim it: nobody could say whose it is.
    pub(in crate::verifier) fn find(&self, digest: &Digest) -> Option<Found<'_>> {
        let (part, hash) = spread(digest);
        let mut claims = self.digests[part].iter_hash(hash).filter_map(|&position| {
            let record = self.record(position)?;
            let credential = record.credentials().find(|credential| credential.digest == *digest)?;
            Some((record, credential))
        });
        let (record, credential) = claims.next()?;
        if claims.next().is_some() {
            return None;
        }
        let profile = &self.profiles.get(record.profile())?.key;
        let namespace = self.namespaces.interner.get(record.namespace())?;
        let organisation = self.organisations.interner.get(profile.organisation)?;
        let governed = organisation.value.value.as_ref();
        Some(Found {
            record,
            credential,
            profile,
            namespace: &namespace.key,
            labels: namespace.value.value.as_ref(),
            organisation: &organisation.key,
            charter: governed.map(|governed| &governed.charter),
            rules: governed.and_then(|governed| governed.rules(profile.type_)),
        })
    }

    /// Enters a token as it is now. One that cannot be accepted, or never could be, is taken out.
    pub(super) fn put(&mut self, token: &ApiToken) {
        let (Some(namespace), Some(name)) = (&token.metadata.namespace, &token.metadata.name) else {
            return;
        };
        let grant = token.status.as_ref().and_then(|status| status.grant.as_ref());
        let stored = match grant {
            Some(grant) if token.metadata.deletion_timestamp.is_none() => self.replace(token, grant, namespace, name),
            _ => None,
        };
        if stored.is_none() {
            self.remove(namespace, name);
        }
    }

    fn replace(&mut self, token: &ApiToken, grant: &Grant, namespace: &str, name: &str) -> Option<()> {
        let namespace_number = self.namespaces.interner.acquire(namespace);
        let profile_number = self.acquire_profile(token, grant);
        let generation = self.generation_of(namespace);
        let old = self.position(namespace_number, name);
        let known = old.and_then(|old| self.record(old));
        let bytes = record::encode(token, profile_number, namespace_number, generation);
        let unchanged = known
            .zip(bytes.as_ref())
            .is_some_and(|(known, bytes)| known.same_content(bytes));
        if let (Some(old), Some(bytes), true) = (old, &bytes, unchanged) {
            // Most changes of a token are of its conditions and last use. They cost the index next to nothing.
            record::renew(self.arena.get_mut(old), bytes);
            self.release(namespace_number, profile_number);
            return Some(());
        }
        let Some(new) = bytes.and_then(|bytes| self.arena.insert(&bytes)) else {
            self.release(namespace_number, profile_number);
            return None;
        };
        if let Some(old) = old {
            self.remove_at(old);
        }
        self.link(new);
        Some(())
    }

    /// Takes a token out.
    pub(super) fn remove(&mut self, namespace: &str, name: &str) {
        let number = self.namespaces.interner.number(namespace);
        if let Some(position) = number.and_then(|number| self.position(number, name)) {
            self.remove_at(position);
        }
    }

    /// A list of the tokens of a namespace, or of all, begins.
    pub(super) fn begin(&mut self, scope: Option<&str>) {
        self.generation = self.generation.wrapping_add(1);
        match scope {
            Some(namespace) => drop(self.scopes.insert(namespace.into(), self.generation)),
            None => self.everywhere = self.generation,
        }
    }

    /// Takes out of one part of the table what the list that began last did not have.
    pub(super) fn sweep(&mut self, scope: Option<&str>, part: usize) {
        let number = scope.map(|namespace| self.namespaces.interner.number(namespace));
        let absent = |&position: &Position| {
            let record = self.record(position)?;
            let in_scope = number.is_none_or(|number| number == Some(record.namespace()));
            let namespace = &self.namespaces.interner.get(record.namespace())?.key;
            // A namespace that is listed by itself is not in the list of all.
            let listed_here = scope.is_some() || !self.scopes.contains_key(&**namespace);
            (in_scope && listed_here && record.generation() != self.generation_of(namespace)).then_some(position)
        };
        let absent: Vec<Position> = self.names[part].iter().filter_map(absent).collect();
        for position in absent {
            self.remove_at(position);
        }
        let Self {
            names,
            digests,
            arena,
            hasher,
            ..
        } = self;
        let spacious = |table: &HashTable<Position>| table.capacity() > 4 * table.len();
        if spacious(&names[part]) {
            names[part].shrink_to_fit(|&position| name_hash_at(arena, hasher, position));
        }
        if spacious(&digests[part]) {
            digests[part].shrink_to_fit(|&entry| digest_hash_at(arena, part, entry));
        }
    }

    pub(super) fn tokens(&self) -> usize {
        self.names.iter().map(HashTable::len).sum()
    }

    pub(super) fn credentials(&self) -> usize {
        self.digests.iter().map(HashTable::len).sum()
    }

    pub(super) fn allocated(&self) -> usize {
        let tables = self.names.iter().chain(&self.digests);
        self.arena.allocated() + tables.map(HashTable::allocation_size).sum::<usize>()
    }

    fn acquire_profile(&mut self, token: &ApiToken, grant: &Grant) -> u32 {
        let boxed = |texts: &[String]| {
            texts
                .iter()
                .map(|text| text.as_str().into())
                .collect::<Box<[Box<str>]>>()
        };
        let organisation = self.organisations.interner.acquire(token.spec.organisation.as_str());
        let profile = Profile {
            organisation,
            type_: token.spec.type_,
            user: token.spec.user.as_deref().map(Into::into),
            role: grant.role.as_deref().map(Into::into),
            permissions: grant.permissions.iter().map(|permission| &**permission).collect(),
            projects: grant.projects.as_deref().map(boxed),
            ip_filters: boxed(&grant.ip_filters),
            asks_for_an_end: grant.asks_for_an_end(),
        };
        let known = self.profiles.number(&profile).is_some();
        let number = self.profiles.acquire(profile);
        if known {
            // A profile uses its organisation once, however many tokens have it.
            self.organisations.interner.release(organisation);
        }
        number
    }

    fn release(&mut self, namespace: u32, profile: u32) {
        self.namespaces.interner.release(namespace);
        if let Some(profile) = self.profiles.release(profile) {
            self.organisations.interner.release(profile.key.organisation);
        }
    }

    fn record(&self, position: Position) -> Option<Record<'_>> {
        Record::at(self.arena.get(position))
    }

    fn position(&self, namespace: u32, name: &str) -> Option<Position> {
        let hash = name_hash(&self.hasher, namespace, name);
        let is_it = |&position: &Position| {
            self.record(position)
                .is_some_and(|record| record.namespace() == namespace && record.name() == name)
        };
        self.names[part_of(hash)].find(hash, is_it).copied()
    }

    /// Enters a record that lies in the arena into the tables.
    fn link(&mut self, position: Position) {
        let Self {
            arena,
            digests,
            names,
            hasher,
            ..
        } = self;
        let Some(record) = Record::at(arena.get(position)) else {
            return;
        };
        let hash = name_hash(hasher, record.namespace(), record.name());
        names[part_of(hash)].insert_unique(hash, position, |&other| name_hash_at(arena, hasher, other));
        let mut entered = Vec::new();
        for credential in record.credentials() {
            let (part, hash) = spread(&credential.digest);
            let ordinal = entered.iter().filter(|&&other| other == part).count();
            entered.push(part);
            // Five digests of one token in one part do not come about by chance, and the fifth is just not found.
            if let Some(entry) = position.with_ordinal(ordinal) {
                digests[part].insert_unique(hash, entry, |&other| digest_hash_at(arena, part, other));
            }
        }
    }

    /// Takes a record out of the tables.
    fn unlink(&mut self, position: Position) {
        let Self {
            arena,
            digests,
            names,
            hasher,
            ..
        } = self;
        let Some(record) = Record::at(arena.get(position)) else {
            return;
        };
        let take = |table: &mut HashTable<Position>, hash| {
            let leads_here = |&entry: &Position| entry.with_ordinal(0) == Some(position);
            if let Ok(entry) = table.find_entry(hash, leads_here) {
                entry.remove();
            }
        };
        let hash = name_hash(hasher, record.namespace(), record.name());
        take(&mut names[part_of(hash)], hash);
        for credential in record.credentials() {
            let (part, hash) = spread(&credential.digest);
            take(&mut digests[part], hash);
        }
    }

    fn remove_at(&mut self, position: Position) {
        let Some((namespace, profile, length)) = self
            .record(position)
            .map(|record| (record.namespace(), record.profile(), record.length()))
        else {
            return;
        };
        self.unlink(position);
        record::kill(self.arena.get_mut(position));
        self.release(namespace, profile);
        if self.arena.give_up(position, length) {
            self.empty(position.page());
        }
    }

    /// Moves the living records of a page elsewhere.
    fn empty(&mut self, page: usize) {
        let mut offset = 0;
        while let Some(position) = self.arena.position(page, offset) {
            let Some(record) = self.record(position) else { break };
            offset += record.length();
            if record.is_live() {
                let bytes = record.bytes().to_vec();
                let Some(new) = self.arena.insert(&bytes) else { return };
                self.unlink(position);
                self.link(new);
                record::kill(self.arena.get_mut(position));
            }
        }
        self.arena.clear(page);
    }

    fn generation_of(&self, namespace: &str) -> u32 {
        self.scopes.get(namespace).copied().unwrap_or(self.everywhere)
    }
}

/// A digest is as good as random already: some of its bytes choose the part, others the place in it.
fn spread(digest: &Digest) -> (usize, u64) {
    let [part, rest @ ..] = digest.as_bytes();
    let hash = rest.first_chunk().copied().unwrap_or_default();
    (usize::from(*part), u64::from_le_bytes(hash))
}

fn part_of(hash: u64) -> usize {
    // Neither the bits that choose the place in a table nor the seven that tag it.
    (hash >> 40) as usize % PARTS
}

fn name_hash(hasher: &RandomState, namespace: u32, name: &str) -> u64 {
    hasher.hash_one((namespace, name))
}

fn name_hash_at(arena: &Arena, hasher: &RandomState, position: Position) -> u64 {
    Record::at(arena.get(position)).map_or(0, |record| name_hash(hasher, record.namespace(), record.name()))
}

/// The hash of the digest that an entry of this part stands for.
fn digest_hash_at(arena: &Arena, part: usize, entry: Position) -> u64 {
    let record = Record::at(arena.get(entry));
    let in_part = |credential: CredentialRecord| Some(spread(&credential.digest)).filter(|spread| spread.0 == part);
    record
        .and_then(|record| record.credentials().filter_map(in_part).nth(entry.ordinal()))
        .map_or(0, |(_, hash)| hash)
}
