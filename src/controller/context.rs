use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Client, ResourceExt,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::reflector::{ObjectRef, Store},
};
use rand::CryptoRng;
use tokio::time::Instant;

use super::{Clock, Settings, backoff::Backoffs, event::Recorder, secrets::Secrets};
use crate::{
    api::{ApiToken, Organisation},
    domain::credential::Token,
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
#[derive(Clone)]
pub(super) struct Stores {
    /// One per watched scope.
    pub(super) tokens: Vec<Store<DeserializeGuard<ApiToken>>>,
    pub(super) organisations: Store<DeserializeGuard<Organisation>>,
    pub(super) namespaces: Store<PartialObjectMeta<Namespace>>,
}

/// What saves requests and can be lost at any time.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) secrets: Secrets,
    pub(super) backoffs: Backoffs,
    /// Tokens that are recorded as pending and not yet in their Secret, by the ApiToken's UID.
    pub(super) minted: HashMap<String, (u64, Token)>,
    /// The resourceVersion this process wrote last, by the ApiToken's UID: an older view is not acted on.
    pub(super) written: HashMap<String, String>,
    /// Why the API server last refused a write of the Secret, by the ApiToken's UID.
    pub(super) denied: HashMap<String, String>,
    /// When the organisations that something happened to are to be counted, by name.
    pub(super) counts_due: HashMap<String, Instant>,
}

impl Memory {
    /// Forgets everything about an ApiToken that is gone.
    pub(super) fn forget(&mut self, uid: &str) {
        self.backoffs.reset(uid);
        self.minted.remove(uid);
        self.written.remove(uid);
        self.denied.remove(uid);
    }
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
            .get(&ObjectRef::new(name))
            .filter(|found| found.0.is_ok())
    }

    /// The labels of a namespace.
    pub(super) fn labels(&self, namespace: &str) -> BTreeMap<String, String> {
        self.stores
            .namespaces
            .get(&ObjectRef::new(namespace))
            .map(|found| found.labels().clone())
            .unwrap_or_default()
    }
}
