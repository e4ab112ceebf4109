//! What the verifier knows: a synchronous index, fed with the changes of objects, asked by the digest of a token.
//!
//! # Guarantees
//!
//! - A change is visible to every decision that begins after the call that entered it returned.
//! - A decision sees one state of all objects, never half a change.
//! - Of two ApiTokens that claim the same digest neither is found.
//!
//! # Assumptions
//!
//! Changes come in the order in which the API server made them, from one feed per list: an object that was read apart
//! from the watch may be older than what the index has, and must not be entered.
//!
//! # Shape
//!
//! One lock around tables of 32-bit positions and an arena of packed records. A lock-free map needs an allocation for
//! every entry, which alone takes more than the whole of a record here; a reader holds this lock for less than a
//! microsecond and a writer for a few, and tables come in parts, so that growing one is no pause.

mod arena;
mod intern;
mod names;
mod organisation;
mod policy;
mod record;
mod rules;
mod store;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

pub(super) use organisation::Charter;
pub(super) use record::Record;
pub(super) use store::{Found, Profile, Store};

use super::credential::HeaderPair;
use crate::api::{ApiToken, Organisation, TokenPolicy, TokenPolicySpec};
use policy::Policy;

/// What the verifier knows of the cluster, asked by the digest of a token.
#[derive(Debug)]
pub struct Index(RwLock<Store>);

/// A list that the feed reads from beginning to end, after which what was not in it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List<'a> {
    /// The ApiTokens of one namespace, or of all that have no list of their own.
    Tokens(Option<&'a str>),
    /// The Organisations.
    Organisations,
    /// The Namespaces.
    Namespaces,
    /// The TokenPolicies.
    Policies,
}

/// How much the index holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Tokens.
    pub tokens: usize,
    /// Their credentials, retired ones too.
    pub credentials: usize,
    /// Organisations that exist.
    pub organisations: usize,
    /// Namespaces whose labels are known.
    pub namespaces: usize,
    /// Policies that exist.
    pub policies: usize,
    /// Those of them that cannot be read.
    pub unreadable_policies: usize,
    /// Bytes of tables and records, without what tokens share.
    pub bytes: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self(RwLock::new(Store::new()))
    }
}

impl Index {
    /// An index that knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Enters an ApiToken as it is now. One that is being deleted, or was never granted anything, is taken out.
    pub fn apply_token(&self, token: &ApiToken) {
        self.write().put(token);
    }

    /// Takes an ApiToken out: it was deleted, or what came under its name cannot be read.
    pub fn delete_token(&self, namespace: &str, name: &str) {
        self.write().remove(namespace, name);
    }

    /// Enters an Organisation as it is now.
    pub fn apply_organisation(&self, organisation: &Organisation) {
        if let Some(name) = &organisation.metadata.name {
            let charter = Arc::new(Charter::new(&organisation.spec));
            let labels = organisation.metadata.labels.clone().unwrap_or_default();
            let before = self.write().put_organisation(name, charter, labels);
            drop(before);
        }
    }

    /// Takes an Organisation out: it was deleted, or what came under its name cannot be read.
    pub fn delete_organisation(&self, name: &str) {
        self.write().organisations.unset(name);
    }

    /// Enters a TokenPolicy as it is now.
    pub fn apply_policy(&self, policy: &TokenPolicy) {
        if let Some(name) = &policy.metadata.name {
            self.write().put_policy(name, Policy::new(&policy.spec, true));
        }
    }

    /// Enters a TokenPolicy that cannot be read: `refusing` is what [`crate::domain::policy::refusing`] makes of it.
    pub fn apply_unreadable_policy(&self, name: &str, refusing: &TokenPolicySpec) {
        self.write().put_policy(name, Policy::new(refusing, false));
    }

    /// Takes a TokenPolicy out.
    pub fn delete_policy(&self, name: &str) {
        self.write().remove_policy(name);
    }

    /// Enters a Namespace's labels as they are now.
    pub fn apply_namespace(&self, name: &str, labels: &BTreeMap<String, String>) {
        self.write().namespaces.set(name, labels.clone());
    }

    /// Takes a Namespace out.
    pub fn delete_namespace(&self, name: &str) {
        self.write().namespaces.unset(name);
    }

    /// A list begins. What was known stays known until it is complete; a list that begins anew replaces the one before.
    pub fn begin(&self, list: List<'_>) {
        match list {
            List::Tokens(scope) => self.write().begin(scope),
            List::Organisations => self.write().organisations.begin(),
            List::Namespaces => self.write().namespaces.begin(),
            List::Policies => self.write().policies.begin(),
        }
    }

    /// A list is complete: what it did not have is taken out, a part at a time, so that decisions go on meanwhile.
    pub fn complete(&self, list: List<'_>) {
        match list {
            List::Tokens(scope) => (0..store::PARTS).for_each(|part| self.write().sweep(scope, part)),
            List::Organisations => drop(self.write().organisations.sweep()),
            List::Namespaces => drop(self.write().namespaces.sweep()),
            List::Policies => self.write().sweep_policies(),
        }
    }

    /// The request headers that carry a client ID and a secret key for this organisation, where it names its own.
    pub fn headers(&self, organisation: &str) -> Option<HeaderPair> {
        let store = self.read();
        store.organisations.find(organisation)?.charter.headers.clone()
    }

    /// How much there is. Counts through the tables: not for every request.
    pub fn size(&self) -> Size {
        let store = self.read();
        Size {
            tokens: store.tokens(),
            credentials: store.credentials(),
            organisations: store.organisations.known(),
            namespaces: store.namespaces.known(),
            policies: store.policies.known(),
            unreadable_policies: store.policies.iter().filter(|(_, policy)| !policy.readable).count(),
            bytes: store.allocated(),
        }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Store> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Store> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
