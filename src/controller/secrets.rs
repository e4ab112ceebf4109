//! What is known of Secrets without reading them: their metadata, watched by label, and what was read of them last.
//!
//! No data of a Secret is kept. A Secret is read only when its resourceVersion is not the one that was last seen to be
//! in order, or when what it should be has changed.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;

/// Namespace and name.
pub(super) type Key = (String, String);

/// One Secret as the watch shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) uid: String,
    pub(super) version: String,
    pub(super) controller: Option<Controller>,
    pub(super) claimed: bool,
}

/// What controls a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Controller {
    pub(super) name: String,
    pub(super) uid: String,
}

/// What was last known of a Secret that was read, or written by this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verified {
    /// It was in order: held this credential and met the contract of this fingerprint.
    InOrder {
        version: String,
        credential: u64,
        masked: String,
        contract: u64,
    },
    /// There was none, when last looked.
    Gone,
    /// Something came up that only reading it can settle.
    Doubted,
}

#[derive(Debug, Default)]
pub(super) struct Secrets {
    seen: HashMap<Key, Seen>,
    verified: HashMap<Key, Verified>,
    /// Secrets of a list that is still coming in, by scope: those not in it are gone when it is complete.
    listed: HashMap<Option<String>, HashMap<Key, Seen>>,
}

impl Secrets {
    pub(super) fn seen(&self, key: &Key) -> Option<&Seen> {
        self.seen.get(key)
    }

    pub(super) fn verified(&self, key: &Key) -> Option<&Verified> {
        self.verified.get(key)
    }

    pub(super) fn verify(&mut self, key: &Key, verified: Verified) {
        self.verified.insert(key.clone(), verified);
    }

    /// Has it read again.
    pub(super) fn doubt(&mut self, key: &Key) {
        self.verified.insert(key.clone(), Verified::Doubted);
    }

    /// Forgets what was read of a Secret whose ApiToken is gone. The Secret itself may stay and be shown by the watch.
    pub(super) fn forget(&mut self, key: &Key) {
        self.verified.remove(key);
    }

    /// Forgets what was read of the Secrets for which `wanted` does not hold.
    pub(super) fn forget_unless(&mut self, wanted: impl Fn(&Key) -> bool) {
        self.verified.retain(|key, _| wanted(key));
    }

    /// Takes in what the watch, or the answer to a write, shows; an older version than the known one is ignored, because
    /// the watch can lag behind the answers. Returns what was known before.
    pub(super) fn observe(&mut self, key: Key, secret: Seen) -> Option<Seen> {
        let before = self.seen.get(&key).cloned();
        let newer = before
            .as_ref()
            .is_none_or(|known| known.uid != secret.uid || number(&secret.version) >= number(&known.version));
        if newer {
            if self.verified.get(&key) == Some(&Verified::Gone) {
                self.verified.remove(&key);
            }
            self.seen.insert(key, secret);
        }
        before
    }

    /// Takes in a deletion. Returns what was known before.
    pub(super) fn gone(&mut self, key: &Key, uid: &str) -> Option<Seen> {
        let before = self.seen.get(key).cloned();
        if before.as_ref().is_some_and(|known| known.uid == uid) {
            self.seen.remove(key);
            self.verified.remove(key);
        }
        before
    }

    /// A list of everything in `scope` begins.
    pub(super) fn list_begins(&mut self, scope: &Option<String>) {
        self.listed.insert(scope.clone(), HashMap::new());
    }

    pub(super) fn list_item(&mut self, scope: &Option<String>, key: Key, secret: Seen) {
        self.listed.entry(scope.clone()).or_default().insert(key, secret);
    }

    /// The list is complete. Returns the Secrets that are gone since, and those that are new or have changed, these as
    /// they were and as they are.
    pub(super) fn list_ends(&mut self, scope: &Option<String>) -> Vec<(Key, Seen)> {
        let listed = self.listed.remove(scope).unwrap_or_default();
        let in_scope = |key: &Key| scope.as_ref().is_none_or(|namespace| *namespace == key.0);
        let gone: Vec<Key> = self
            .seen
            .keys()
            .filter(|key| in_scope(key) && !listed.contains_key(*key))
            .cloned()
            .collect();
        let mut concerned: Vec<_> = gone
            .into_iter()
            .filter_map(|key| {
                self.verified.remove(&key);
                self.seen.remove(&key).map(|seen| (key, seen))
            })
            .collect();
        for (key, secret) in listed {
            let before = self.observe(key.clone(), secret.clone());
            if before.as_ref() != Some(&secret) {
                concerned.extend(before.map(|before| (key.clone(), before)));
                concerned.push((key, secret));
            }
        }
        concerned
    }
}

/// Resource versions of one cluster grow; one that is not a number counts as newest.
fn number(version: &str) -> u128 {
    version.parse().unwrap_or(u128::MAX)
}

/// What the watch shows of a Secret.
pub(super) fn seen(secret: &PartialObjectMeta<Secret>) -> Option<(Key, Seen)> {
    from_metadata(&secret.metadata)
}

/// The same from any Secret's metadata.
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
        uid: metadata.uid.clone()?,
        version: metadata.resource_version.clone()?,
        controller: controller.map(|owner| Controller {
            name: owner.name.clone(),
            uid: owner.uid.clone(),
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
            uid: uid.to_owned(),
            version: version.to_owned(),
            controller: None,
            claimed: false,
        }
    }

    #[test]
    fn a_watch_that_lags_behind_an_answer_does_not_turn_time_back() {
        let mut secrets = Secrets::default();
        secrets.observe(key("a"), secret("1", "12"));
        secrets.observe(key("a"), secret("1", "9"));
        assert_eq!(secrets.seen(&key("a")), Some(&secret("1", "12")));
        secrets.gone(&key("a"), "0");
        assert_eq!(secrets.seen(&key("a")), Some(&secret("1", "12")));
        secrets.gone(&key("a"), "1");
        assert_eq!(secrets.seen(&key("a")), None);
    }

    #[test]
    fn a_new_list_tells_what_went_while_nobody_watched() {
        let mut secrets = Secrets::default();
        secrets.observe(key("a"), secret("1", "1"));
        secrets.observe(key("b"), secret("2", "2"));
        secrets.observe(("other".to_owned(), "c".to_owned()), secret("3", "3"));
        let scope = Some("shop".to_owned());
        secrets.list_begins(&scope);
        secrets.list_item(&scope, key("b"), secret("2", "5"));
        let concerned = secrets.list_ends(&scope);
        assert_eq!(
            concerned,
            [
                (key("a"), secret("1", "1")),
                (key("b"), secret("2", "2")),
                (key("b"), secret("2", "5"))
            ]
        );
        assert_eq!(secrets.seen(&key("b")), Some(&secret("2", "5")));
        assert!(secrets.seen(&("other".to_owned(), "c".to_owned())).is_some());
    }

    #[test]
    fn a_new_list_concerns_only_what_is_new_or_has_changed() {
        let mut secrets = Secrets::default();
        let list = |secrets: &mut Secrets, version: &str| {
            secrets.list_begins(&None);
            secrets.list_item(&None, key("a"), secret("1", "1"));
            secrets.list_item(&None, key("b"), secret("2", version));
            let mut names: Vec<_> = secrets.list_ends(&None).into_iter().map(|(key, _)| key.1).collect();
            names.sort();
            names
        };
        assert_eq!(list(&mut secrets, "2"), ["a", "b"]);
        assert_eq!(list(&mut secrets, "2"), [""; 0]);
        assert_eq!(list(&mut secrets, "3"), ["b", "b"]);
    }

    #[test]
    fn what_was_known_before_is_told_to_whom_it_belonged() {
        let mut secrets = Secrets::default();
        assert_eq!(secrets.observe(key("a"), secret("1", "1")), None);
        assert_eq!(secrets.observe(key("a"), secret("1", "2")), Some(secret("1", "1")));
        assert_eq!(secrets.gone(&key("a"), "1"), Some(secret("1", "2")));
        assert_eq!(secrets.gone(&key("a"), "1"), None);
    }

    #[test]
    fn what_appears_is_no_longer_verified_to_be_gone() {
        let mut secrets = Secrets::default();
        secrets.verify(&key("a"), Verified::Gone);
        secrets.observe(key("a"), secret("1", "1"));
        assert_eq!(secrets.verified(&key("a")), None);
    }
}
