//! The watches, and which reconciles each of their events asks for.

mod policy;
mod right;
mod secret;
mod surroundings;
mod token;

use std::{fmt::Debug, sync::Arc};

use futures::{
    Stream, StreamExt,
    channel::mpsc,
    future::{self, BoxFuture},
    stream,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{DeserializeGuard, NamespaceResourceScope},
    runtime::watcher::Event,
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{
    Context,
    context::Stores,
    gate::{Gate, Listed},
    key::Key,
    rights::{self, View},
    store::{Change, Store},
};
use crate::{
    answer::describe,
    api::{ApiToken, Organisation, TokenPolicy},
    watch::{Update, Watch},
};

type Tokens = DeserializeGuard<ApiToken>;
type Organisations = DeserializeGuard<Organisation>;
type Policies = DeserializeGuard<TokenPolicy>;

/// Where to ask for reconciles.
type Requests<K> = mpsc::UnboundedSender<Key<K>>;

/// The receiving ends, for the reconcilers, and the watches that feed them.
pub(super) struct Wiring {
    pub(super) token_requests: Vec<mpsc::UnboundedReceiver<Key<Tokens>>>,
    pub(super) organisation_requests: mpsc::UnboundedReceiver<Key<Organisations>>,
    pub(super) policy_requests: mpsc::UnboundedReceiver<Key<Policies>>,
    /// Opens when every watch has delivered its first list.
    pub(super) gate: Gate,
    pub(super) feeds: Feeds,
}

pub(super) struct Feeds {
    scopes: Vec<Scope>,
    organisations: Listed,
    policies: Listed,
    namespaces: Listed,
    queues: Queues,
}

/// Where to ask for reconciles of every kind.
#[derive(Clone)]
struct Queues {
    /// One per watched scope, as the stores.
    tokens: Vec<Requests<Tokens>>,
    organisations: Requests<Organisations>,
    policies: Requests<Policies>,
}

/// One namespace, or all of them.
struct Scope {
    namespace: Option<String>,
    tokens: Listed,
    secrets: Listed,
}

/// Lays out stores and queues for these scopes; None is every namespace.
pub(super) fn wire(namespaces: &[Option<String>]) -> (Wiring, Stores) {
    let mut gate = Gate::default();
    let (organisation_queue, organisation_requests) = mpsc::unbounded();
    let (policy_queue, policy_requests) = mpsc::unbounded();
    let mut queues = Queues {
        tokens: Vec::new(),
        organisations: organisation_queue,
        policies: policy_queue,
    };
    let (mut scopes, mut token_requests) = (Vec::new(), Vec::new());
    let mut stores = Stores::default();
    if namespaces.contains(&None) {
        stores.rights.cluster = Some((View::new(None), View::new(None)));
    }
    for namespace in namespaces {
        let (queue, receiver) = mpsc::unbounded();
        queues.tokens.push(queue);
        token_requests.push(receiver);
        stores.tokens.push(Store::default());
        let rights = (View::new(namespace.clone()), View::new(namespace.clone()));
        stores.rights.scoped.push(rights);
        scopes.push(Scope {
            namespace: namespace.clone(),
            tokens: gate.awaits(),
            secrets: gate.awaits(),
        });
    }
    let feeds = Feeds {
        scopes,
        organisations: gate.awaits(),
        policies: gate.awaits(),
        namespaces: gate.awaits(),
        queues,
    };
    let wiring = Wiring {
        token_requests,
        organisation_requests,
        policy_requests,
        gate,
        feeds,
    };
    (wiring, stores)
}

impl Feeds {
    /// Watches until dropped.
    pub(super) async fn run(self, ctx: Arc<Context>) {
        let Self {
            scopes,
            organisations,
            policies,
            namespaces,
            queues,
        } = self;
        let mut feeds: Vec<BoxFuture<'_, ()>> = vec![
            surroundings::organisations(&ctx, organisations, queues.clone()),
            surroundings::namespaces(&ctx, namespaces, queues.clone()),
            surroundings::clock(&ctx, queues.tokens.clone()),
            policy::feed(&ctx, policies, queues.clone()),
        ];
        let stores = ctx.stores.clone();
        if let Some((roles, bindings)) = stores.rights.cluster {
            let queue = queues.organisations.clone();
            feeds.push(right::feed_members(&ctx, roles, queue.clone()));
            feeds.push(right::feed_members(&ctx, bindings, queue));
        }
        let stores = stores.tokens.into_iter().zip(stores.rights.scoped);
        for ((scope, queue), (tokens, (roles, bindings))) in scopes.into_iter().zip(queues.tokens.clone()).zip(stores) {
            let Scope {
                namespace,
                tokens: listed,
                secrets,
            } = scope;
            feeds.push(right::feed_assignees(&ctx, namespace.clone(), roles, queue.clone()));
            feeds.push(right::feed_assignees(&ctx, namespace.clone(), bindings, queue.clone()));
            feeds.push(secret::feed(&ctx, namespace.clone(), secrets, queue.clone()));
            feeds.push(token::feed(&ctx, namespace, (tokens, listed), queue, queues.clone()));
        }
        // The reconcilers end with the last of the senders.
        drop(queues);
        future::join_all(feeds).await;
    }
}

impl Queues {
    /// Has every organisation counted again.
    fn every_organisation(&self, ctx: &Context) {
        for organisation in ctx.stores.organisations.state() {
            send(&self.organisations, Key::of(&*organisation));
        }
    }

    /// Has every policy look again at what it hits.
    fn every_policy(&self, ctx: &Context) {
        for policy in ctx.stores.policies.state() {
            send(&self.policies, Key::of(&*policy));
        }
    }

    /// Has every token that `concerns` looked at again, and ends its pauses: what it failed at may go well now.
    fn reconsider(&self, ctx: &Context, mut concerns: impl FnMut(&ApiToken) -> bool) {
        let now = Instant::now();
        for (store, queue) in ctx.stores.tokens.iter().zip(&self.tokens) {
            for token in store.state() {
                if token.0.as_ref().is_ok_and(&mut concerns) {
                    let (uid, mut memory) = (token.uid().unwrap_or_default(), ctx.memory());
                    memory.backoffs.lift(&uid, now);
                    memory.rights.lift(&uid, now);
                    send(queue, Key::of(&*token));
                }
            }
        }
    }
}

fn send<K>(queue: &Requests<K>, key: Key<K>) {
    // Fails only when the reconciler has ended, and then nothing is to be reconciled.
    let _ = queue.unbounded_send(key);
}

fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// What a watch changes in its store, and whether a list is complete by that.
fn follow<'a, K>(
    ctx: &'a Arc<Context>,
    resource: &'static str,
    api: Api<K>,
    store: &'a Store<K>,
) -> impl Stream<Item = (Vec<Change<K>>, bool)> + Send + 'a
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    changes_of(ctx, resource, Watch::new(api)).map(|event| {
        let complete = matches!(event, Event::InitDone);
        (store.take_in(slim(event)), complete)
    })
}

/// The changes that a watch tells. What goes wrong with it is reported and counted.
fn changes_of<'a, K>(
    ctx: &'a Arc<Context>,
    resource: &'static str,
    watch: Watch<K>,
) -> impl Stream<Item = Event<K>> + Send + 'a
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    stream::unfold(watch.period(ctx.settings.watch_period), move |mut watch| async move {
        loop {
            match watch.next().await {
                Ok(Update::Change(change)) => return Some((change, watch)),
                Ok(Update::Current) => {}
                Err(error) => {
                    ctx.metrics.watch_failed(resource);
                    tracing::warn!(resource, error = describe(&error), "a watch failed; trying again");
                }
            }
        }
    })
}

/// Leaves out what nobody here reads and what fills the memory.
pub(super) fn slim<K: Resource>(event: Event<K>) -> Event<K> {
    event.modify(|object| {
        object.meta_mut().managed_fields = None;
        if let Some(annotations) = &mut object.meta_mut().annotations {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    })
}
