//! The watches that fill the index: ApiTokens, Organisations, TokenPolicies, and the labels of Namespaces. Never Secrets.
//!
//! An object is dropped once it is in the index. One that cannot be read is taken out of it: whatever it was before must
//! not be what counts. A [policy](self::policy) that cannot be read refuses.

mod policy;

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::future::{self, BoxFuture};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::watcher::Event,
};
use serde::de::DeserializeOwned;

use self::policy::Guarded;
use super::{Freshness, Index, List, Metrics, SecondLook};
use crate::{
    answer::describe,
    api::{ApiToken, Organisation},
    domain::credential::Digest,
    watch::{Update, Watch},
};

/// Fills an index.
pub(super) struct Feed {
    pub(super) client: Client,
    /// The namespaces whose ApiTokens are watched. Empty: all.
    pub(super) namespaces: Vec<String>,
    pub(super) index: Arc<Index>,
    pub(super) freshness: Arc<Freshness>,
    pub(super) metrics: Arc<Metrics>,
    /// Told of every change, and tells when to look again.
    pub(super) second_look: Arc<SecondLook>,
    /// After how long a watch that is quiet is taken up anew.
    pub(super) period: Duration,
}

/// How many watches it takes for these namespaces.
pub(super) fn watches(namespaces: &[String]) -> usize {
    3 + namespaces.len().max(1)
}

impl Feed {
    /// Watches until dropped.
    pub(super) async fn run(self) {
        let organisations = Api::<DeserializeGuard<Organisation>>::all(self.client.clone());
        let namespaces = Api::<PartialObjectMeta<Namespace>>::all(self.client.clone());
        let policies = Api::<Guarded>::all(self.client.clone());
        let mut feeds: Vec<BoxFuture<'_, ()>> = vec![
            Box::pin(self.keep(0, organisations, None)),
            Box::pin(self.keep(1, namespaces, None)),
            Box::pin(self.keep(2, policies, None)),
        ];
        let scopes: Vec<Option<&str>> = match self.namespaces.as_slice() {
            [] => vec![None],
            names => names.iter().map(|name| Some(name.as_str())).collect(),
        };
        for (number, scope) in (3..).zip(scopes) {
            let tokens: Api<DeserializeGuard<ApiToken>> = match scope {
                Some(namespace) => Api::namespaced(self.client.clone(), namespace),
                None => Api::all(self.client.clone()),
            };
            feeds.push(Box::pin(self.keep(number, tokens, scope)));
        }
        future::join_all(feeds).await;
    }

    async fn keep<K: Kept>(&self, number: usize, api: Api<K>, scope: Option<&str>) {
        let watch = Watch::new(api).period(Some(self.period));
        let mut watch = watch.renewals(self.second_look.renewals());
        // Until a list is complete, what is gone may still be in the index.
        let mut complete = false;
        let mut absent = false;
        let mut heard = false;
        loop {
            match watch.next().await {
                Ok(Update::Current) => {}
                Ok(Update::Change(change)) => {
                    complete = match change {
                        Event::Init => false,
                        Event::InitDone => true,
                        _ => complete,
                    };
                    self.enter(change, scope).await;
                }
                Err(error) => {
                    self.metrics.watch_failed(K::RESOURCE);
                    // What is not installed is said once, however long that takes.
                    let known = std::mem::replace(&mut absent, is_absent(&error));
                    let (resource, why, advice) = (K::RESOURCE, describe(&error), advice(&error));
                    if known && absent {
                        tracing::debug!(resource, "a watch failed, trying again: {why}{advice}");
                    } else {
                        tracing::warn!(resource, "a watch failed, trying again: {why}{advice}");
                    }
                    continue;
                }
            }
            absent = false;
            if complete {
                self.freshness.heard(number);
                // With the first list of the last of them there is a view.
                if !std::mem::replace(&mut heard, true) && self.freshness.age().is_some() {
                    let known = self.index.size();
                    let (tokens, organisations, policies) = (known.tokens, known.organisations, known.policies);
                    tracing::info!(tokens, organisations, policies, "ready");
                }
            }
            self.second_look.changed();
        }
    }

    async fn enter<K: Kept>(&self, change: Event<K>, scope: Option<&str>) {
        let index = &self.index;
        match change {
            Event::Init => index.begin(K::list(scope)),
            Event::Apply(object) | Event::InitApply(object) => {
                let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
                if let Err(error) = object.apply(index) {
                    let resource = K::RESOURCE;
                    let consequence = K::give_up(index, &namespace, &name);
                    tracing::warn!(resource, namespace, name, "cannot be read, and {consequence}: {error}");
                }
            }
            Event::Delete(object) => {
                self.second_look.spare(object.digests());
                K::delete(index, &object.namespace().unwrap_or_default(), &object.name_any());
            }
            Event::InitDone => {
                // Of a million tokens it takes long enough to keep requests waiting.
                let (index, scope) = (Arc::clone(index), scope.map(str::to_owned));
                let swept = tokio::task::spawn_blocking(move || index.complete(K::list(scope.as_deref())));
                // Fails only when the process ends.
                let _ = swept.await;
            }
        }
    }
}

/// Whether there is no such resource.
fn is_absent(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

fn advice(error: &kube::Error) -> &'static str {
    match error {
        _ if is_absent(error) => ". Are the CRDs installed? 'tokenwright crd | kubectl apply -f -' does it",
        kube::Error::Api(status) if status.code == 403 => ". The verifier needs the verbs list and watch",
        _ => "",
    }
}

/// A kind that the index knows.
trait Kept: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static {
    const RESOURCE: &'static str;

    fn list(scope: Option<&str>) -> List<'_>;

    /// Enters it as it is now, or says why it cannot be read.
    fn apply(self, index: &Index) -> Result<(), String>;

    fn delete(index: &Index, namespace: &str, name: &str);

    /// Enters that it cannot be read. Returns what follows from that, for the log.
    fn give_up(index: &Index, namespace: &str, name: &str) -> &'static str {
        Self::delete(index, namespace, name);
        "counts for nothing"
    }

    /// Of the credentials that end with it.
    fn digests(&self) -> Vec<Digest> {
        Vec::new()
    }
}

impl Kept for DeserializeGuard<ApiToken> {
    const RESOURCE: &'static str = "apitokens";

    fn list(scope: Option<&str>) -> List<'_> {
        List::Tokens(scope)
    }

    fn apply(self, index: &Index) -> Result<(), String> {
        let token = self.0.map_err(|invalid| invalid.error)?;
        index.apply_token(&token);
        Ok(())
    }

    fn delete(index: &Index, namespace: &str, name: &str) {
        index.delete_token(namespace, name);
    }

    fn digests(&self) -> Vec<Digest> {
        let status = self.0.as_ref().ok().and_then(|token| token.status.as_ref());
        let credentials = status.iter().flat_map(|status| &status.credentials);
        credentials
            .filter_map(|credential| Digest::parse(&credential.digest))
            .collect()
    }
}

impl Kept for DeserializeGuard<Organisation> {
    const RESOURCE: &'static str = "organisations";

    fn list(_: Option<&str>) -> List<'_> {
        List::Organisations
    }

    fn apply(self, index: &Index) -> Result<(), String> {
        let organisation = self.0.map_err(|invalid| invalid.error)?;
        index.apply_organisation(&organisation);
        Ok(())
    }

    fn delete(index: &Index, _: &str, name: &str) {
        index.delete_organisation(name);
    }
}

/// Its labels are asked for, and the rest of it is not.
impl Kept for PartialObjectMeta<Namespace> {
    const RESOURCE: &'static str = "namespaces";

    fn list(_: Option<&str>) -> List<'_> {
        List::Namespaces
    }

    fn apply(self, index: &Index) -> Result<(), String> {
        index.apply_namespace(&self.name_any(), self.labels());
        Ok(())
    }

    fn delete(index: &Index, _: &str, name: &str) {
        index.delete_namespace(name);
    }
}
