//! What is known of Secrets without reading them: their metadata, watched by label, and what was read of them last.
//!
//! No data of a Secret is kept. A Secret is read only when its resourceVersion is not the one that was last seen to be
//! in order, or when what it should be has changed.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::Secret;
use kube::{core::PartialObjectMeta, runtime::watcher::Event};

/// Namespace and name.
pub(super) type Key = (String, String);

/// One Secret as the watch shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) uid: Box<str>,
    pub(super) version: Box<str>,
    pub(super) controller: Option<Controller>,
    pub(super) claimed: bool,
}

/// What controls a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Controller {
    pub(super) name: Box<str>,
    pub(super) uid: Box<str>,
}

/// What was last known of a Secret that was read, or written by this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verified {
    /// It was in order: held this credential and met the contract of this fingerprint.
    InOrder {
        version: Box<str>,
        credential: u64,
        masked: Box<str>,
        contract: u64,
    },
    /// There was none, when last looked.
    Gone,
    /// Something came up that only reading it can settle.
    Doubted,
}

/// Both of these for every Secret of which there is either.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// By namespace and name. There can be thousands in a namespace, which each would repeat, and a map has up to twice as
    /// many places as entries, so that what is in them is elsewhere.
    known: HashMap<Box<str>, HashMap<Box<str>, Box<Known>>>,
    /// How many lists have begun.
    lists: u32,
    /// The list of each scope that is coming in: what is not in it is gone when it is complete.
    coming: HashMap<Option<String>, u32>,
}

#[derive(Debug, Default)]
struct Known {
    seen: Option<Seen>,
    verified: Option<Verified>,
    /// The last list that had it.
    list: u32,
}

impl Secrets {
    pub(super) fn seen(&self, key: &Key) -> Option<&Seen> {
        self.get(key)?.seen.as_ref()
    }

    pub(super) fn verified(&self, key: &Key) -> Option<&Verified> {
        self.get(key)?.verified.as_ref()
    }

    fn get(&self, (namespace, name): &Key) -> Option<&Known> {
        Some(self.known.get(&**namespace)?.get(&**name)?)
    }

    fn get_mut(&mut self, (namespace, name): &Key) -> Option<&mut Known> {
        Some(self.known.get_mut(&**namespace)?.get_mut(&**name)?)
    }

    fn get_or_insert(&mut self, key: &Key) -> &mut Known {
        let (namespace, name) = (key.0.as_str().into(), key.1.as_str().into());
        self.known.entry(namespace).or_default().entry(name).or_default()
    }

    fn remove(&mut self, (namespace, name): &Key) {
        if let Some(names) = self.known.get_mut(&**namespace) {
            names.remove(&**name);
            if names.is_empty() {
                self.known.remove(&**namespace);
            }
        }
    }

    pub(super) fn verify(&mut self, key: &Key, verified: Verified) {
        self.get_or_insert(key).verified = Some(verified);
    }

    /// Has it read again.
    pub(super) fn doubt(&mut self, key: &Key) {
        self.verify(key, Verified::Doubted);
    }

    /// Forgets what was read of a Secret whose ApiToken is gone. The Secret itself may stay and be shown by the watch.
    pub(super) fn forget(&mut self, key: &Key) {
        if let Some(known) = self.get_mut(key) {
            known.verified = None;
            if known.seen.is_none() {
                self.remove(key);
            }
        }
    }

    /// Forgets what was read of the Secrets for which `wanted` does not hold.
    pub(super) fn forget_unless(&mut self, wanted: impl Fn(&Key) -> bool) {
        self.known.retain(|namespace, names| {
            names.retain(|name, known| {
                let is_wanted = || wanted(&(namespace.to_string(), name.to_string()));
                known.verified.take_if(|_| !is_wanted());
                known.seen.is_some() || known.verified.is_some()
            });
            !names.is_empty()
        });
    }

    /// Takes in an event of the watch of `scope`. Returns the Secrets that changed, as they were and as they are.
    pub(super) fn take_in(
        &mut self,
        event: Event<PartialObjectMeta<Secret>>,
        scope: &Option<String>,
    ) -> Vec<(Key, Seen)> {
        match event {
            Event::Init => {
                self.list_begins(scope);
                Vec::new()
            }
            Event::InitApply(secret) => told(&secret, |key, seen| self.list_item(scope, key, seen)),
            Event::InitDone => self.list_ends(scope),
            Event::Apply(secret) => told(&secret, |key, seen| self.observe(key, seen)),
            Event::Delete(secret) => told(&secret, |key, seen| {
                let before = self.gone(key, &seen.uid);
                before.into_iter().chain([seen]).collect()
            }),
        }
    }

    /// Takes in what the watch, or the answer to a write, shows; an older version than the known one is ignored, because
    /// the watch can lag behind the answers. Returns whom that concerns: nobody if it was known, and otherwise whose it
    /// was, and whose it is.
    pub(super) fn observe(&mut self, key: &Key, secret: Seen) -> Vec<Seen> {
        let known = self.get_or_insert(key);
        let before = known.seen.clone();
        if before.as_ref() == Some(&secret) {
            return Vec::new();
        }
        let newer = before
            .as_ref()
            .is_none_or(|before| before.uid != secret.uid || number(&secret.version) >= number(&before.version));
        if newer {
            known.seen = Some(secret.clone());
            known.verified.take_if(|verified| *verified == Verified::Gone);
        }
        before.into_iter().chain([secret]).collect()
    }

    /// Takes in a deletion. Returns what was known before.
    pub(super) fn gone(&mut self, key: &Key, uid: &str) -> Option<Seen> {
        let before = self.seen(key).cloned();
        if before.as_ref().is_some_and(|known| *known.uid == *uid) {
            self.remove(key);
        }
        before
    }

    /// A list of everything in `scope` begins.
    fn list_begins(&mut self, scope: &Option<String>) {
        self.lists += 1;
        self.coming.insert(scope.clone(), self.lists);
    }

    /// One Secret of that list. Returns whom it concerns, as [`observe`](Self::observe) does.
    fn list_item(&mut self, scope: &Option<String>, key: &Key, secret: Seen) -> Vec<Seen> {
        let concerned = self.observe(key, secret);
        if let Some(list) = self.coming.get(scope).copied()
            && let Some(known) = self.get_mut(key)
        {
            known.list = list;
        }
        concerned
    }

    /// The list is complete. Returns the Secrets that are gone since.
    fn list_ends(&mut self, scope: &Option<String>) -> Vec<(Key, Seen)> {
        let Some(list) = self.coming.remove(scope) else {
            return Vec::new();
        };
        let in_scope = |namespace: &str| scope.as_ref().is_none_or(|scope| scope == namespace);
        let mut all_gone = Vec::new();
        self.known.retain(|namespace, names| {
            if in_scope(namespace) {
                let gone = names.extract_if(|_, known| known.seen.is_some() && known.list != list);
                let gone = gone.filter_map(|(name, known)| Some(((namespace.to_string(), name.into()), known.seen?)));
                all_gone.extend(gone);
            }
            !names.is_empty()
        });
        all_gone
    }
}

/// Resource versions of one cluster grow; one that is not a number counts as newest.
fn number(version: &str) -> u128 {
    version.parse().unwrap_or(u128::MAX)
}

/// What `change` says of a Secret's metadata, each with the Secret's key.
fn told(secret: &PartialObjectMeta<Secret>, change: impl FnOnce(&Key, Seen) -> Vec<Seen>) -> Vec<(Key, Seen)> {
    let Some((key, seen)) = from_metadata(&secret.metadata) else {
        return Vec::new();
    };
    let changed = change(&key, seen).into_iter();
    changed.map(|seen| (key.clone(), seen)).collect()
}

/// What there is to see in a Secret's metadata.
pub(super) fn from_metadata(
    metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
) -> Option<(Key, Seen)> {
    let key = (metadata.namespace.clone()?, metadata.name.clone()?);
    let controller = metadata
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true));
    let seen = Seen {
        uid: metadata.uid.as_deref()?.into(),
        version: metadata.resource_version.as_deref()?.into(),
        controller: controller.map(|owner| Controller {
            name: owner.name.as_str().into(),
            uid: owner.uid.as_str().into(),
        }),
        claimed: crate::domain::secret::is_claimed(metadata),
    };
    Some((key, seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        ("shop".to_owned(), name.to_owned())
    }

    fn secret(uid: &str, version: &str) -> Seen {
        Seen {
            uid: uid.into(),
            version: version.into(),
            controller: None,
            claimed: false,
        }
    }

    #[test]
    fn a_watch_that_lags_behind_an_answer_does_not_turn_time_back() {
        let mut secrets = Secrets::default();
        secrets.observe(&key("a"), secret("1", "12"));
        secrets.observe(&key("a"), secret("1", "9"));
        assert_eq!(secrets.seen(&key("a")), Some(&secret("1", "12")));
        secrets.gone(&key("a"), "0");
        assert_eq!(secrets.seen(&key("a")), Some(&secret("1", "12")));
        secrets.gone(&key("a"), "1");
        assert_eq!(secrets.seen(&key("a")), None);
    }

    #[test]
    fn a_new_list_tells_what_went_while_nobody_watched() {
        let mut secrets = Secrets::default();
        let scope = Some("shop".to_owned());
        let list = |secrets: &mut Secrets, names: &[&str]| {
            secrets.list_begins(&scope);
            for name in names {
                secrets.list_item(&scope, &key(name), secret("1", "1"));
            }
            secrets.list_ends(&scope)
        };
        let elsewhere = ("other".to_owned(), "c".to_owned());
        secrets.observe(&elsewhere, secret("3", "3"));
        assert_eq!(list(&mut secrets, &["a", "b"]), []);
        assert_eq!(list(&mut secrets, &["b"]), [(key("a"), secret("1", "1"))]);
        assert_eq!(secrets.seen(&key("a")), None);
        assert_eq!(secrets.seen(&key("b")), Some(&secret("1", "1")));
        assert_eq!(secrets.seen(&elsewhere), Some(&secret("3", "3")));
    }

    #[test]
    fn what_a_list_lacks_is_not_what_was_never_there() {
        let mut secrets = Secrets::default();
        secrets.verify(&key("a"), Verified::Gone);
        secrets.list_begins(&None);
        assert_eq!(secrets.list_ends(&None), []);
        assert_eq!(secrets.verified(&key("a")), Some(&Verified::Gone));
    }

    #[test]
    fn what_is_shown_concerns_whose_it_was_and_is_and_nobody_when_it_is_known() {
        let mut secrets = Secrets::default();
        let (first, second) = (secret("1", "1"), secret("1", "2"));
        assert_eq!(secrets.observe(&key("a"), first.clone()), std::slice::from_ref(&first));
        assert_eq!(secrets.observe(&key("a"), first.clone()), []);
        secrets.list_begins(&None);
        assert_eq!(secrets.list_item(&None, &key("a"), first.clone()), []);
        assert_eq!(
            secrets.list_item(&None, &key("a"), second.clone()),
            [first, second.clone()]
        );
        assert_eq!(secrets.gone(&key("a"), "1"), Some(second));
        assert_eq!(secrets.gone(&key("a"), "1"), None);
    }

    #[test]
    fn what_appears_is_no_longer_verified_to_be_gone() {
        let mut secrets = Secrets::default();
        secrets.verify(&key("a"), Verified::Gone);
        secrets.observe(&key("a"), secret("1", "1"));
        assert_eq!(secrets.verified(&key("a")), None);
    }

    #[test]
    fn what_was_read_is_forgotten_and_what_is_watched_is_not() {
        let mut secrets = Secrets::default();
        for name in ["a", "b"] {
            secrets.doubt(&key(name));
        }
        secrets.observe(&key("b"), secret("1", "1"));
        secrets.forget(&key("a"));
        secrets.forget(&key("b"));
        assert_eq!((secrets.seen(&key("a")), secrets.verified(&key("a"))), (None, None));
        assert_eq!(
            (secrets.seen(&key("b")), secrets.verified(&key("b"))),
            (Some(&secret("1", "1")), None)
        );
    }
}
