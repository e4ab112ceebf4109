//! Creating many objects, and watching a controller fill them.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Resource, ResourceExt,
    api::PostParams,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use serde::{Serialize, de::DeserializeOwned};
use tokenwright::api::{ApiToken, ApiTokenSpec, condition::READY};
use tokio::{sync::oneshot, time::Instant};

use crate::{Result, cluster::Cluster};

/// How long nothing may happen before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How fast objects were filled.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Filled {
    /// From the first creation to the last that was filled.
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// From a creation's answer until the watch showed it filled.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

/// Creates ApiTokens and waits until they are Ready.
pub(crate) async fn issue_tokens(cluster: &Cluster, count: u32, creators: u16) -> Result<Filled> {
    let spec = ApiTokenSpec {
        organisation: cluster.name.clone(),
        role: Some("Reader".to_owned()),
        ..ApiTokenSpec::default()
    };
    let tokens: Api<ApiToken> = Api::namespaced(cluster.client.clone(), &cluster.name);
    let make = |name: String| ApiToken::new(&name, spec.clone());
    fill(tokens, count, creators, make, is_ready).await
}

fn is_ready(token: &ApiToken) -> bool {
    let conditions = token.status.iter().flat_map(|status| &status.conditions);
    conditions
        .into_iter()
        .any(|condition| condition.type_ == READY && condition.status == "True")
}

/// Creates Secrets for the token of a service account, and waits until they have it.
pub(crate) async fn fill_secrets(cluster: &Cluster, count: u32, creators: u16) -> Result<Filled> {
    let namespace = cluster.peer_name();
    cluster.create_namespace(&namespace).await?;
    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), &namespace);
    let make = |name: String| {
        let mut secret = Secret::default();
        let account = ("kubernetes.io/service-account.name".to_owned(), namespace.clone());
        secret.metadata.name = Some(name);
        secret.metadata.annotations = Some(BTreeMap::from([account]));
        secret.type_ = Some("kubernetes.io/service-account-token".to_owned());
        secret
    };
    let has_token = |secret: &Secret| secret.data.as_ref().is_some_and(|data| data.contains_key("token"));
    fill(secrets, count, creators, make, has_token).await.map_err(|error| {
        format!("the service-account token controller (is kube-controller-manager running?): {error}").into()
    })
}

async fn fill<K>(
    api: Api<K>,
    count: u32,
    creators: u16,
    make: impl Fn(String) -> K,
    is_filled: impl Fn(&K) -> bool + Send + 'static,
) -> Result<Filled>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (listening, began) = oneshot::channel();
    let watching = tokio::spawn(watch(api.clone(), count, is_filled, listening));
    // Fails when the watch does, and then that says why.
    let _ = began.await;

    let params = PostParams::default();
    let start = Instant::now();
    let answered: HashMap<String, Instant> = stream::iter(0..count)
        .map(|number| {
            let (object, api, params) = (make(format!("{number:07}")), &api, &params);
            async move {
                let created = api.create(params, &object).await?;
                kube::Result::<_>::Ok((created.name_any(), Instant::now()))
            }
        })
        .buffer_unordered(usize::from(creators))
        .try_collect()
        .await?;
    let filled = watching.await??;

    let last = filled.values().max().copied().unwrap_or(start);
    let mut latencies: Vec<Duration> = filled
        .iter()
        .filter_map(|(name, at)| Some(at.saturating_duration_since(*answered.get(name)?)))
        .collect();
    latencies.sort_unstable();
    let share = |share: f64| {
        let rank = (latencies.len() as f64 * share).ceil() as usize;
        let latency = latencies.get(rank.saturating_sub(1)).copied().unwrap_or_default();
        latency.as_secs_f64() * 1000.0
    };
    let seconds = (last - start).as_secs_f64();
    Ok(Filled {
        seconds,
        per_second: f64::from(count) / seconds,
        p50_ms: share(0.5),
        p99_ms: share(0.99),
        max_ms: share(1.0),
    })
}

/// When the watch first showed each object filled.
async fn watch<K>(
    api: Api<K>,
    count: u32,
    is_filled: impl Fn(&K) -> bool,
    listening: oneshot::Sender<()>,
) -> Result<HashMap<String, Instant>>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let events = kube::runtime::watcher(api, watcher::Config::default()).default_backoff();
    let (mut events, mut listening, mut filled) = (std::pin::pin!(events), Some(listening), HashMap::new());
    while filled.len() < count as usize {
        let next = tokio::time::timeout(PATIENCE, events.try_next()).await;
        match next.map_err(|_| format!("{} of {count} after a minute without change", filled.len()))?? {
            Some(Event::Apply(object) | Event::InitApply(object)) if is_filled(&object) => {
                filled.entry(object.name_any()).or_insert_with(Instant::now);
            }
            Some(Event::InitDone) => drop(listening.take().map(|listening| listening.send(()))),
            Some(_) => {}
            None => return Err("the watch ended".into()),
        }
    }
    Ok(filled)
}
