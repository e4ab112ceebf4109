//! What is known of Secrets without reading them: their metadata, watched by label, and what was read of them last.
//!
//! No data of a Secret is kept. A Secret is read only when its resourceVersion is not the one that was last seen to be
//! in order, or when what it should be has changed.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::Secret;
use kube::{core::PartialObjectMeta, runtime::watcher::Event};

use super::key::Key;

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
    /// Boxed, as a map has up to twice as many places as entries.
    known: HashMap<Key<Secret>, Box<Known>>,
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
    pub(super) fn seen(&self, key: &Key<Secret>) -> Option<&Seen> {
        self.known.get(key)?.seen.as_ref()
    }

    pub(super) fn verified(&self, key: &Key<Secret>) -> Option<&Verified> {
        self.known.get(key)?.verified.as_ref()
    }

    pub(super) fn verify(&mut self, key: &Key<Secret>, verified: Verified) {
        self.known.entry(key.clone()).or_default().verified = Some(verified);
    }

    /// Has it read again.
    pub(super) fn doubt(&mut self, key: &Key<Secret>) {
        self.verify(key, Verified::Doubted);
    }

    /// Forgets what was read of a Secret whose ApiToken is gone. The Secret itself may stay and be shown by the watch.
    pub(super) fn forget(&mut self, key: &Key<Secret>) {
        if let Some(known) = self.known.get_mut(key) {
            known.verified = None;
            if known.seen.is_none() {
                self.known.remove(key);
            }
        }
    }

    /// Takes in an event of the watch of `scope`. Returns the Secrets that changed, as they were and as they are.
    pub(super) fn take_in(
        &mut self,
        event: Event<PartialObjectMeta<Secret>>,
        scope: &Option<String>,
    ) -> Vec<(Key<Secret>, Seen)> {
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
    pub(super) fn observe(&mut self, key: &Key<Secret>, secret: Seen) -> Vec<Seen> {
        let known = self.known.entry(key.clone()).or_default();
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
    pub(super) fn gone(&mut self, key: &Key<Secret>, uid: &str) -> Option<Seen> {
        let before = self.seen(key).cloned();
        if before.as_ref().is_some_and(|known| *known.uid == *uid) {
            self.known.remove(key);
        }
        before
    }

    /// A list of everything in `scope` begins.
    fn list_begins(&mut self, scope: &Option<String>) {
        self.lists += 1;
        self.coming.insert(scope.clone(), self.lists);
    }

    /// One Secret of that list. Returns whom it concerns, as [`observe`](Self::observe) does.
    fn list_item(&mut self, scope: &Option<String>, key: &Key<Secret>, secret: Seen) -> Vec<Seen> {
        let concerned = self.observe(key, secret);
        if let Some(list) = self.coming.get(scope).copied()
            && let Some(known) = self.known.get_mut(key)
        {
            known.list = list;
        }
        concerned
    }

    /// The list is complete. Returns the Secrets that are gone since.
    fn list_ends(&mut self, scope: &Option<String>) -> Vec<(Key<Secret>, Seen)> {
        let Some(list) = self.coming.remove(scope) else {
            return Vec::new();
        };
        let in_scope = |key: &Key<Secret>| scope.is_none() || scope.as_deref() == key.namespace();
        let is_gone =
            |key: &Key<Secret>, known: &mut Box<Known>| in_scope(key) && known.seen.is_some() && known.list != list;
        let gone = self.known.extract_if(is_gone);
        gone.filter_map(|(key, known)| Some((key, known.seen?))).collect()
    }
}

/// Resource versions of one cluster grow; one that is not a number counts as newest.
fn number(version: &str) -> u128 {
    version.parse().unwrap_or(u128::MAX)
}

/// What `change` says of a Secret's metadata, each with the Secret's key.
fn told(
    secret: &PartialObjectMeta<Secret>,
    change: impl FnOnce(&Key<Secret>, Seen) -> Vec<Seen>,
) -> Vec<(Key<Secret>, Seen)> {
    let Some((key, seen)) = from_metadata(&secret.metadata) else {
        return Vec::new();
    };
    let changed = change(&key, seen).into_iter();
    changed.map(|seen| (key.clone(), seen)).collect()
}

/// What there is to see in a Secret's metadata.
pub(super) fn from_metadata(
    metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
) -> Option<(Key<Secret>, Seen)> {
    let key = Key::namespaced(metadata.namespace.as_deref()?, metadata.name.as_deref()?);
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

    fn key(name: &str) -> Key<Secret> {
        Key::namespaced("shop", name)
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
        let elsewhere = Key::namespaced("other", "c");
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
