use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Namespace, Secret},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Client, ResourceExt,
    core::{DeserializeGuard, PartialObjectMeta},
};
use rand::CryptoRng;
use tokio::time::Instant;

use super::{
    Clock, Settings,
    backoff::Backoffs,
    key::Key,
    rights::{self, Views},
    secrets::Secrets,
    store::{Change, Store},
};
use crate::{
    api::{ApiToken, Organisation, TokenPolicy, TokenPolicySpec, TokenType},
    domain::{
        credential::Token,
        policy::{Policy, Seniority, Told},
    },
    event::Recorder,
    metrics::Metrics,
};

/// What reconciling needs besides the object.
pub struct Context {
    pub(super) client: Client,
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) events: Recorder,
    pub(super) stores: Stores,
    entropy: Mutex<Box<dyn CryptoRng + Send>>,
    memory: Mutex<Memory>,
}

/// The objects that are watched.
#[derive(Clone, Default)]
pub(super) struct Stores {
    /// One per watched scope.
    pub(super) tokens: Vec<Store<DeserializeGuard<ApiToken>>>,
    pub(super) organisations: Store<DeserializeGuard<Organisation>>,
    pub(super) policies: Store<DeserializeGuard<TokenPolicy>>,
    pub(super) namespaces: Store<PartialObjectMeta<Namespace>>,
    pub(super) rights: Views,
}

impl Stores {
    /// The ApiTokens of all scopes.
    pub(super) fn all_tokens(&self) -> Vec<Arc<DeserializeGuard<ApiToken>>> {
        self.tokens.iter().flat_map(Store::state).collect()
    }
}

/// What saves requests and can be lost at any time.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) secrets: Secrets,
    pub(super) backoffs: Backoffs,
    /// Tokens that are recorded as pending and not yet in their Secret, by the ApiToken's UID.
    pub(super) minted: HashMap<String, (u64, Token)>,
    /// The resourceVersion this process wrote last, by the ApiToken's UID, until the watch shows it: an older view is
    /// not acted on.
    pub(super) written: HashMap<String, String>,
    /// What the API server last refused to do, and why, by the ApiToken's UID.
    pub(super) denied: HashMap<String, String>,
    /// When the organisations and policies that something happened to are to be counted, by kind and name.
    pub(super) counts_due: HashMap<(Cow<'static, str>, String), Instant>,
    /// What was told of the tokens that violate a policy, by its name.
    pub(super) told: HashMap<String, Told>,
    /// The order of the tokens in the stores, while a policy limits how many there may be.
    pub(super) seniority: Option<Seniority>,
    pub(super) rights: rights::Memory,
}

impl Memory {
    /// Whether this process has written a newer version of an ApiToken than this one: acting on the old one would only
    /// meet a conflict.
    pub(super) fn is_outdated(&self, token: &ObjectMeta) -> bool {
        let number = |version: &String| version.parse::<u128>().ok();
        let uid = token.uid.as_deref().unwrap_or_default();
        let written = self.written.get(uid).and_then(number);
        let seen = token.resource_version.as_ref().and_then(number);
        matches!((written, seen), (Some(written), Some(seen)) if seen < written)
    }

    /// Forgets what was written once the watch shows it, or something newer. Returns whether it does.
    pub(super) fn catches_up(&mut self, token: &ObjectMeta) -> bool {
        let outdated = self.is_outdated(token);
        if !outdated {
            self.written.remove(token.uid.as_deref().unwrap_or_default());
        }
        !outdated
    }

    /// Forgets what a change of an ApiToken makes pointless: everything, when it is gone or another has its name.
    pub(super) fn follow(&mut self, change: &Change<DeserializeGuard<ApiToken>>) {
        if let Some(gone) = change.gone() {
            self.forget(gone);
        } else if let Change::Changed { before, after } = change
            // One that cannot be read keeps its Secret.
            && let (Some(known), Some(wanted)) = (secret_key(before), secret_key(after))
            && known != wanted
        {
            self.secrets.forget(&known);
        }
    }

    /// Forgets everything about an ApiToken that is gone.
    pub(super) fn forget(&mut self, token: &DeserializeGuard<ApiToken>) {
        let uid = token.uid().unwrap_or_default();
        self.backoffs.reset(&uid);
        self.minted.remove(&uid);
        self.written.remove(&uid);
        self.denied.remove(&uid);
        self.rights.forget(&uid);
        if let Some(key) = secret_key(token) {
            self.secrets.forget(&key);
        }
    }

    /// The same of an Organisation.
    pub(super) fn forget_organisation(&mut self, organisation: &ObjectMeta) {
        let uid = organisation.uid.as_deref().unwrap_or_default();
        self.backoffs.reset(uid);
        self.rights.forget(uid);
    }

    /// The same of a TokenPolicy.
    pub(super) fn forget_policy(&mut self, policy: &ObjectMeta) {
        self.backoffs.reset(policy.uid.as_deref().unwrap_or_default());
        self.told.remove(policy.name.as_deref().unwrap_or_default());
    }
}

/// The namespace and name of a token's Secret, if the token can be read.
fn secret_key(token: &DeserializeGuard<ApiToken>) -> Option<Key<Secret>> {
    let token = token.0.as_ref().ok()?;
    Some(Key::namespaced(
        token.metadata.namespace.as_deref()?,
        &token.secret_name(),
    ))
}

impl Context {
    pub(super) fn new(
        client: Client,
        settings: Settings,
        clock: Clock,
        entropy: Box<dyn CryptoRng + Send>,
        metrics: Arc<Metrics>,
        events: Recorder,
        stores: Stores,
    ) -> Self {
        let (entropy, memory) = (Mutex::new(entropy), Mutex::default());
        Self {
            client,
            settings,
            clock,
            metrics,
            events,
            stores,
            entropy,
            memory,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Never held across an await. A panic elsewhere leaves nothing half-written in it that a request would not mend.
    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn entropy(&self) -> MutexGuard<'_, Box<dyn CryptoRng + Send>> {
        self.entropy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The organisation of that name, as far as the watch has shown it and it can be read.
    pub(super) fn organisation(&self, name: &str) -> Option<Arc<DeserializeGuard<Organisation>>> {
        self.stores
            .organisations
            .find(None, name)
            .filter(|found| found.0.is_ok())
    }

    /// The policies for tokens of this organisation and type, as far as the watch has shown them.
    pub(super) fn policies_for(&self, organisation: &str, type_: TokenType) -> Policies {
        let known = self.stores.organisations.find(None, organisation);
        let none = BTreeMap::new();
        let labels = known.as_ref().map_or(&none, |known| known.labels());
        let is_for = |spec: &TokenPolicySpec| spec.is_for(type_) && spec.selects(organisation, labels);
        let mut policies = Policies::default();
        for policy in self.stores.policies.state() {
            match &policy.0 {
                Ok(known) if is_for(&known.spec) => policies.readable.push(policy),
                Ok(_) => {}
                Err(_) => policies.unreadable.push(policy.name_any()),
            }
        }
        policies.unreadable.sort_unstable();
        policies
    }

    /// Whether a policy limits how many tokens there may be, as far as the watch has shown them and they can be read.
    pub(super) fn limits_tokens(&self) -> bool {
        let policies = self.stores.policies.state();
        policies
            .iter()
            .any(|policy| policy.0.as_ref().is_ok_and(|policy| policy.spec.max_tokens.is_some()))
    }

    /// All ApiTokens, as far as the watches have shown them.
    pub(super) fn tokens(&self) -> Vec<Arc<DeserializeGuard<ApiToken>>> {
        self.stores.all_tokens()
    }

    /// Where they stand.
    pub(super) fn seniority(&self) -> Seniority {
        Seniority::of(self.tokens().iter().filter_map(|token| token.0.as_ref().ok()))
    }

    /// The labels of an organisation, by which policies select it.
    pub(super) fn organisation_labels(&self, organisation: &str) -> BTreeMap<String, String> {
        let known = self.stores.organisations.find(None, organisation);
        known.map_or_else(BTreeMap::new, |known| known.labels().clone())
    }

    /// The labels of a namespace.
    pub(super) fn labels(&self, namespace: &str) -> BTreeMap<String, String> {
        self.stores
            .namespaces
            .find(None, namespace)
            .map(|found| found.labels().clone())
            .unwrap_or_default()
    }
}

/// The policies for one kind of tokens.
#[derive(Debug, Default)]
pub(super) struct Policies {
    readable: Vec<Arc<DeserializeGuard<TokenPolicy>>>,
    unreadable: Vec<String>,
}

impl Policies {
    pub(super) fn readable(&self) -> Vec<Policy<'_>> {
        let known = self.readable.iter().filter_map(|policy| policy.0.as_ref().ok());
        known
            .filter_map(|policy| {
                let name = policy.metadata.name.as_deref()?;
                Some(Policy {
                    name,
                    spec: &policy.spec,
                })
            })
            .collect()
    }

    /// The name of one that cannot be read. Nobody knows whom it is for.
    pub(super) fn unreadable(&self) -> Option<&str> {
        self.unreadable.first().map(|name| &**name)
    }
}

#[cfg(test)]
mod tests {
    use kube::{Resource, runtime::watcher::Event};
    use serde_json::json;
    use tokio::time::Instant;

    use super::{
        super::{
            backoff::{Failure, State},
            secrets::Verified,
        },
        *,
    };

    fn token(name: &str) -> Arc<DeserializeGuard<ApiToken>> {
        let token: ApiToken = serde_json::from_value(json!({
            "apiVersion": "tokenwright.dev/v1alpha1", "kind": "ApiToken",
            "metadata": { "name": name, "namespace": "shop", "uid": format!("uid of {name}") },
            "spec": { "organisation": "acme", "role": "Admin", "secret": { "name": format!("{name}-key") } },
        }))
        .unwrap();
        Arc::new(DeserializeGuard(Ok(token)))
    }

    fn key(name: &str) -> Key<Secret> {
        Key::namespaced("shop", &format!("{name}-key"))
    }

    /// What is remembered of tokens a and b.
    fn memory() -> Memory {
        let mut memory = Memory::default();
        for name in ["a", "b"] {
            let uid = format!("uid of {name}");
            memory
                .backoffs
                .failed(State::of(token(name).meta()), Failure::Passing, Instant::now(), 1.0);
            let plain = Token::generate(
                "acme",
                TokenType::default(),
                &mut <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(1),
            );
            memory.minted.insert(uid.clone(), (1, plain));
            memory.written.insert(uid.clone(), "1".to_owned());
            memory.denied.insert(uid, "no".to_owned());
            memory.secrets.verify(&key(name), Verified::Gone);
        }
        memory
    }

    /// Whether anything, and whether everything, is remembered of a token.
    fn remembers(memory: &Memory, name: &str) -> (bool, bool) {
        let uid = format!("uid of {name}");
        let found = [
            memory.backoffs.failures(&uid) > 0,
            memory.minted.contains_key(&uid),
            memory.written.contains_key(&uid),
            memory.denied.contains_key(&uid),
            memory.secrets.verified(&key(name)).is_some(),
        ];
        (found.contains(&true), !found.contains(&false))
    }

    #[test]
    fn nothing_is_remembered_of_a_token_that_was_deleted() {
        let mut memory = memory();
        memory.forget(&token("a"));
        assert_eq!(remembers(&memory, "a"), (false, false));
        assert_eq!(remembers(&memory, "b"), (true, true));
    }

    #[test]
    fn nothing_is_remembered_of_a_token_that_a_new_list_lacks_or_has_another_of() {
        let store = Store::default();
        let list = |tokens: [Arc<DeserializeGuard<ApiToken>>; 2]| {
            store.take_in(Event::Init);
            for token in tokens {
                store.take_in(Event::InitApply(DeserializeGuard::clone(&token)));
            }
            store.take_in(Event::InitDone)
        };
        let mut other = DeserializeGuard::clone(&token("b"));
        other.meta_mut().uid = Some("another".to_owned());
        for (tokens, gone) in [([token("b"), token("c")], "a"), ([token("a"), Arc::new(other)], "b")] {
            let mut memory = memory();
            list([token("a"), token("b")])
                .iter()
                .for_each(|change| memory.follow(change));
            assert_eq!(remembers(&memory, gone), (true, true));
            list(tokens).iter().for_each(|change| memory.follow(change));
            assert_eq!(remembers(&memory, gone), (false, false));
            assert_eq!(remembers(&memory, if gone == "a" { "b" } else { "a" }), (true, true));
        }
    }

    #[test]
    fn what_was_read_of_a_secret_is_forgotten_when_the_token_has_another() {
        let mut memory = memory();
        let mut renamed = DeserializeGuard::clone(&token("a"));
        renamed.0.as_mut().unwrap().spec.secret.as_mut().unwrap().name = Some("other".to_owned());
        let change = Change::Changed {
            before: token("a"),
            after: Arc::new(renamed),
        };
        memory.follow(&change);
        assert_eq!(memory.secrets.verified(&key("a")), None);
        assert!(memory.minted.contains_key("uid of a"));
    }

    #[test]
    fn what_was_written_is_forgotten_once_it_is_shown() {
        let mut memory = Memory::default();
        memory.written.insert("uid of a".to_owned(), "10".to_owned());
        let shown = |version: &str| {
            let mut metadata = token("a").meta().clone();
            metadata.resource_version = Some(version.to_owned());
            metadata
        };
        assert!(!memory.catches_up(&shown("9")));
        assert!(memory.is_outdated(&shown("9")));
        assert!(memory.catches_up(&shown("10")));
        assert!(memory.written.is_empty());
    }
}
