//! The watches, and which reconciles each of their events asks for.

mod policy;
mod right;
mod secret;
mod surroundings;
mod token;

use std::{fmt::Debug, sync::Arc};

use futures::{
    Stream,
    channel::mpsc,
    future::{self, BoxFuture},
    stream,
};
use k8s_openapi::api::{
    core::v1::Namespace,
    rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{DeserializeGuard, NamespaceResourceScope, PartialObjectMeta},
    runtime::{
        reflector::{ObjectRef, store, store::Writer},
        watcher::Event,
    },
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{
    Context,
    context::Stores,
    gate::{Gate, Listed},
    queue::Sender,
    rights::{self, View, Views},
};
use crate::{
    answer::describe,
    api::{ApiToken, Organisation, TokenPolicy},
    watch::{Update, Watch},
};

type Tokens = DeserializeGuard<ApiToken>;
type Organisations = DeserializeGuard<Organisation>;
type Policies = DeserializeGuard<TokenPolicy>;
type Namespaces = PartialObjectMeta<Namespace>;

/// Where to ask for reconciles.
type Requests<K> = Sender<ObjectRef<K>>;

/// The receiving ends, for the reconcilers, and the watches that feed them.
pub(super) struct Wiring {
    pub(super) token_requests: Vec<mpsc::UnboundedReceiver<ObjectRef<Tokens>>>,
    pub(super) organisation_requests: mpsc::UnboundedReceiver<ObjectRef<Organisations>>,
    pub(super) policy_requests: mpsc::UnboundedReceiver<ObjectRef<Policies>>,
    /// Opens when every watch has delivered its first list.
    pub(super) gate: Gate,
    pub(super) feeds: Feeds,
}

pub(super) struct Feeds {
    scopes: Vec<Scope>,
    organisations: (Writer<Organisations>, Listed),
    policies: (Writer<Policies>, Listed),
    namespaces: (Writer<Namespaces>, Listed),
    queues: Queues,
    /// None where some namespaces are looked after only.
    cluster_rights: Option<(Watched<ClusterRole>, Watched<ClusterRoleBinding>)>,
}

/// Where to ask for reconciles of every kind.
#[derive(Clone)]
struct Queues {
    /// One per watched scope, as the stores.
    tokens: Vec<Requests<Tokens>>,
    organisations: Requests<Organisations>,
    policies: Requests<Policies>,
}

/// A view, and where its watch writes to.
type Watched<K> = (View<K>, Writer<K>);

/// One namespace, or all of them.
struct Scope {
    namespace: Option<String>,
    tokens: (Writer<Tokens>, Listed),
    secrets: Listed,
    rights: (Watched<Role>, Watched<RoleBinding>),
}

/// Lays out stores and queues for these scopes; None is every namespace.
pub(super) fn wire(namespaces: &[Option<String>]) -> (Wiring, Stores) {
    let mut gate = Gate::default();
    let (organisations, organisation_writer) = store();
    let (namespace_store, namespace_writer) = store();
    let (policies, policy_writer) = store();
    let (organisation_queue, organisation_requests) = mpsc::unbounded();
    let (policy_queue, policy_requests) = mpsc::unbounded();
    let mut queues = Queues {
        tokens: Vec::new(),
        organisations: organisation_queue,
        policies: policy_queue,
    };
    let (mut scopes, mut token_requests, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
    let sees_all = namespaces.contains(&None);
    let cluster_rights = sees_all.then(|| (rights::view(None), rights::view(None)));
    let mut views = Views {
        cluster: cluster_rights.as_ref().map(views_of),
        scoped: Vec::new(),
    };
    for namespace in namespaces {
        let rights = (rights::view(namespace.clone()), rights::view(namespace.clone()));
        views.scoped.push(views_of(&rights));
        let (reader, writer) = store();
        let (queue, receiver) = mpsc::unbounded();
        scopes.push(Scope {
            namespace: namespace.clone(),
            tokens: (writer, gate.awaits()),
            secrets: gate.awaits(),
            rights,
        });
        queues.tokens.push(queue);
        token_requests.push(receiver);
        tokens.push(reader);
    }
    let feeds = Feeds {
        scopes,
        organisations: (organisation_writer, gate.awaits()),
        policies: (policy_writer, gate.awaits()),
        namespaces: (namespace_writer, gate.awaits()),
        queues,
        cluster_rights,
    };
    (
        Wiring {
            token_requests,
            organisation_requests,
            policy_requests,
            gate,
            feeds,
        },
        Stores {
            tokens,
            organisations,
            policies,
            namespaces: namespace_store,
            rights: views,
        },
    )
}

fn views_of<R: rights::Kind, B: rights::Kind>((roles, bindings): &(Watched<R>, Watched<B>)) -> (View<R>, View<B>) {
    (roles.0.clone(), bindings.0.clone())
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
            cluster_rights,
        } = self;
        let mut feeds: Vec<BoxFuture<'_, ()>> = vec![
            surroundings::organisations(&ctx, organisations, queues.clone()),
            surroundings::namespaces(&ctx, namespaces, queues.clone()),
            surroundings::clock(&ctx, queues.tokens.clone()),
            policy::feed(&ctx, policies, queues.clone()),
        ];
        if let Some((roles, bindings)) = cluster_rights {
            let queue = queues.organisations.clone();
            feeds.push(right::feed_members(&ctx, roles, queue.clone()));
            feeds.push(right::feed_members(&ctx, bindings, queue));
        }
        for (scope, queue) in scopes.into_iter().zip(queues.tokens.clone()) {
            let Scope {
                namespace,
                tokens,
                secrets,
                rights: (roles, bindings),
            } = scope;
            feeds.push(right::feed_assignees(&ctx, namespace.clone(), roles, queue.clone()));
            feeds.push(right::feed_assignees(&ctx, namespace.clone(), bindings, queue.clone()));
            feeds.push(secret::feed(&ctx, namespace.clone(), secrets, queue.clone()));
            feeds.push(token::feed(&ctx, namespace, tokens, queue, queues.clone()));
        }
        // The reconcilers end with the last of the senders.
        drop(queues);
        future::join_all(feeds).await;
    }
}

/// An object's namespace and name, without what `ObjectRef::from_obj` adds: thousands of these can wait in a queue.
fn reference<K>(object: &K) -> ObjectRef<K>
where
    K: Resource<DynamicType = ()>,
{
    let meta = object.meta();
    let mut reference = ObjectRef::new(meta.name.as_deref().unwrap_or_default());
    reference.namespace.clone_from(&meta.namespace);
    reference
}

impl Queues {
    /// Has every organisation counted again.
    fn every_organisation(&self, ctx: &Context) {
        for organisation in ctx.stores.organisations.state() {
            send(&self.organisations, reference(&*organisation));
        }
    }

    /// Has every policy look again at what it hits.
    fn every_policy(&self, ctx: &Context) {
        for policy in ctx.stores.policies.state() {
            send(&self.policies, reference(&*policy));
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
                    send(queue, reference(&*token));
                }
            }
        }
    }
}

fn send<K>(queue: &Requests<K>, reference: ObjectRef<K>)
where
    K: Resource<DynamicType = ()>,
{
    // Fails only when the reconciler has ended, and then nothing is to be reconciled.
    let _ = queue.unbounded_send(reference);
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
