//! The watches, and which reconciles each of their events asks for.

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
    sync::Arc,
};

use futures::{
    Stream, StreamExt,
    channel::mpsc,
    future::{self, BoxFuture},
    stream,
};
use k8s_openapi::api::{
    core::v1::{Namespace, Secret},
    rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{DeserializeGuard, NamespaceResourceScope, PartialObjectMeta},
    runtime::{
        reflector::{ObjectRef, Store, store, store::Writer},
        watcher::Event,
    },
};
use serde::de::DeserializeOwned;

use super::{
    Context,
    context::Stores,
    gate::{Gate, Listed},
    queue::Sender,
    rights::{self, View, Views, Wake},
    secrets::Seen,
};
use crate::{
    api::{ApiToken, MANAGED_BY, Organisation},
    watch::{Update, Watch},
};

type Tokens = DeserializeGuard<ApiToken>;
type Organisations = DeserializeGuard<Organisation>;
type Namespaces = PartialObjectMeta<Namespace>;

/// Where to ask for reconciles.
type Requests<K> = Sender<ObjectRef<K>>;

/// The receiving ends, for the reconcilers, and the watches that feed them.
pub(super) struct Wiring {
    pub(super) token_requests: Vec<mpsc::UnboundedReceiver<ObjectRef<Tokens>>>,
    pub(super) organisation_requests: mpsc::UnboundedReceiver<ObjectRef<Organisations>>,
    /// Opens when every watch has delivered its first list.
    pub(super) gate: Gate,
    pub(super) feeds: Feeds,
}

pub(super) struct Feeds {
    scopes: Vec<Scope>,
    organisations: (Writer<Organisations>, Listed),
    namespaces: (Writer<Namespaces>, Listed),
    organisation_queue: Requests<Organisations>,
    /// None where some namespaces are looked after only.
    cluster_rights: Option<(Watched<ClusterRole>, Watched<ClusterRoleBinding>)>,
}

/// A view, and where its watch writes to.
type Watched<K> = (View<K>, Writer<K>);

/// One namespace, or all of them.
struct Scope {
    namespace: Option<String>,
    tokens: (Writer<Tokens>, Listed),
    secrets: Listed,
    rights: (Watched<Role>, Watched<RoleBinding>),
    queue: Requests<Tokens>,
}

/// Lays out stores and queues for these scopes; None is every namespace.
pub(super) fn wire(namespaces: &[Option<String>]) -> (Wiring, Stores) {
    let mut gate = Gate::default();
    let (organisations, organisation_writer) = store();
    let (namespace_store, namespace_writer) = store();
    let (organisation_sender, organisation_requests) = mpsc::unbounded();
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
            queue,
        });
        token_requests.push(receiver);
        tokens.push(reader);
    }
    let feeds = Feeds {
        scopes,
        organisations: (organisation_writer, gate.awaits()),
        namespaces: (namespace_writer, gate.awaits()),
        organisation_queue: organisation_sender,
        cluster_rights,
    };
    (
        Wiring {
            token_requests,
            organisation_requests,
            gate,
            feeds,
        },
        Stores {
            tokens,
            organisations,
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
            namespaces,
            organisation_queue,
            cluster_rights,
        } = self;
        let everyone: Vec<_> = scopes.iter().map(|scope| scope.queue.clone()).collect();
        let mut feeds: Vec<BoxFuture<'_, ()>> = vec![
            feed_organisations(&ctx, organisations, organisation_queue.clone(), everyone.clone()),
            feed_namespaces(&ctx, namespaces, everyone.clone()),
            watch_clock(&ctx, everyone),
        ];
        if let Some((roles, bindings)) = cluster_rights {
            let queue = organisation_queue.clone();
            feeds.push(feed_cluster_rights(&ctx, roles, queue.clone()));
            feeds.push(feed_cluster_rights(&ctx, bindings, queue));
        }
        for Scope {
            namespace,
            tokens,
            secrets,
            rights: (roles, bindings),
            queue,
        } in scopes
        {
            feeds.push(feed_rights(&ctx, namespace.clone(), roles, queue.clone()));
            feeds.push(feed_rights(&ctx, namespace.clone(), bindings, queue.clone()));
            feeds.push(feed_secrets(&ctx, namespace.clone(), secrets, queue.clone()));
            feeds.push(feed_tokens(&ctx, namespace, tokens, queue, organisation_queue.clone()));
        }
        future::join_all(feeds).await;
    }
}

fn feed_tokens<'a>(
    ctx: &'a Arc<Context>,
    namespace: Option<String>,
    (mut store, mut listed): (Writer<Tokens>, Listed),
    queue: Requests<Tokens>,
    organisations: Requests<Organisations>,
) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let watch = Watch::new(scoped::<Tokens>(&ctx.client, namespace.as_deref()));
        let stream = changes_of(ctx, "apitokens", watch);
        let mut stream = std::pin::pin!(stream.map(slim_token));
        let known = store.as_reader();
        while let Some(event) = stream.next().await {
            let was_only_used = matches!(&event, Event::Apply(token) if was_only_used(&known, token));
            store.apply_watcher_event(&event);
            match event {
                // Nothing follows from it, and it is what happens most where many tokens are in use.
                Event::Apply(_) if was_only_used => {}
                Event::Apply(token) | Event::InitApply(token) => {
                    // What this process has written meanwhile is on its way.
                    if ctx.memory().catches_up(token.meta()) {
                        send(&queue, reference(&token));
                    }
                    send_organisation(&organisations, &token);
                }
                Event::Delete(token) => {
                    ctx.memory().forget(&token);
                    send_organisation(&organisations, &token);
                }
                Event::Init => {}
                Event::InitDone => {
                    // What the list no longer has is only seen in its absence: forget it and count anew. The stores of
                    // the other scopes are complete, or nothing of theirs has been worked on yet.
                    let tokens: Vec<_> = ctx.stores.tokens.iter().flat_map(|store| store.state()).collect();
                    ctx.memory().forget_others(&tokens);
                    for organisation in ctx.stores.organisations.state() {
                        send(&organisations, reference(&*organisation));
                    }
                    listed.done();
                }
            }
        }
    })
}

/// Whether nothing of a token changed but when it was used last.
fn was_only_used(known: &Store<Tokens>, token: &Tokens) -> bool {
    let before = known.get(&reference(token));
    let (Some(Ok(before)), Ok(after)) = (before.as_ref().map(|before| &before.0), &token.0) else {
        return false;
    };
    let last_used = |token: &ApiToken| token.status.as_ref()?.last_used.clone();
    if last_used(before) == last_used(after) {
        return false;
    }
    let mut unused = after.clone();
    unused.metadata.resource_version = before.metadata.resource_version.clone();
    if let Some(status) = &mut unused.status {
        status.last_used = last_used(before);
    }
    unused == *before
}

fn send_organisation(queue: &Requests<Organisations>, token: &Tokens) {
    if let Ok(token) = &token.0 {
        send(queue, ObjectRef::new(&token.spec.organisation));
    }
}

fn feed_secrets<'a>(
    ctx: &'a Arc<Context>,
    namespace: Option<String>,
    mut listed: Listed,
    queue: Requests<Tokens>,
) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let api: Api<PartialObjectMeta<Secret>> = scoped(&ctx.client, namespace.as_deref());
        let watch = Watch::new(api).labels(&format!("{}={}", MANAGED_BY.0, MANAGED_BY.1));
        let mut stream = std::pin::pin!(changes_of(ctx, "secrets", watch));
        while let Some(event) = stream.next().await {
            let complete = matches!(event, Event::InitDone);
            let changed = ctx.memory().secrets.take_in(event, &namespace);
            for ((namespace, name), seen) in changed {
                for token in concerns(&name, &seen) {
                    send(&queue, ObjectRef::new(token).within(&namespace));
                }
            }
            if complete {
                listed.done();
            }
        }
    })
}

/// The names of the ApiTokens that a Secret's change concerns: its controller, and the one that may wait for the name.
fn concerns<'a>(name: &'a str, seen: &'a Seen) -> impl Iterator<Item = &'a str> {
    let controller = seen.controller.as_ref().map(|controller| &*controller.name);
    [controller, Some(name).filter(|name| controller != Some(name))]
        .into_iter()
        .flatten()
}

fn feed_organisations<'a>(
    ctx: &'a Arc<Context>,
    (mut store, mut listed): (Writer<Organisations>, Listed),
    queue: Requests<Organisations>,
    tokens: Vec<Requests<Tokens>>,
) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let stream = changes_of(ctx, "organisations", Watch::new(Api::all(ctx.client.clone())));
        let mut stream = std::pin::pin!(stream.map(slim::<Organisations>));
        while let Some(event) = stream.next().await {
            if let Event::Apply(touched) | Event::InitApply(touched) | Event::Delete(touched) = &event {
                send(&queue, reference(touched));
            }
            if let Event::Delete(gone) = &event {
                ctx.memory().rights.forget(&gone.uid().unwrap_or_default());
            }
            // Its own counts are in its status: they concern no token.
            let changed = changes(&mut store, &event, |organisation| spec_of(organisation).cloned());
            let concerned = |token: &ApiToken| changed.contains(&token.spec.organisation);
            if !changed.is_empty() {
                lift_pauses(ctx, concerned);
            }
            if matches!(event, Event::InitDone) {
                reconcile_tokens(ctx, &tokens, |_| true);
                listed.done();
            } else if !changed.is_empty() {
                reconcile_tokens(ctx, &tokens, concerned);
            }
        }
    })
}

fn spec_of(organisation: &Organisations) -> Option<&crate::api::OrganisationSpec> {
    organisation.0.as_ref().ok().map(|organisation| &organisation.spec)
}

fn feed_namespaces<'a>(
    ctx: &'a Arc<Context>,
    (mut store, mut listed): (Writer<Namespaces>, Listed),
    tokens: Vec<Requests<Tokens>>,
) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let stream = changes_of(ctx, "namespaces", Watch::new(Api::all(ctx.client.clone())));
        let mut stream = std::pin::pin!(stream.map(slim::<Namespaces>));
        while let Some(event) = stream.next().await {
            let changed = changes(&mut store, &event, |namespace| Some(namespace.labels().clone()));
            let concerned = |token: &ApiToken| token.namespace().is_some_and(|name| changed.contains(&name));
            if !changed.is_empty() {
                lift_pauses(ctx, concerned);
            }
            if matches!(event, Event::InitDone) {
                reconcile_tokens(ctx, &tokens, |_| true);
                listed.done();
            } else if !changed.is_empty() {
                reconcile_tokens(ctx, &tokens, concerned);
            }
        }
    })
}

/// Takes an event of a cluster-wide resource into its store. Returns the names of the objects whose `part` is another
/// than before; of a list they come with its end, as what it lacks is gone.
fn changes<K, P: PartialEq>(store: &mut Writer<K>, event: &Event<K>, part: impl Fn(&K) -> Option<P>) -> HashSet<String>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let reader = store.as_reader();
    let parts = || -> HashMap<String, Option<P>> {
        match event {
            Event::Apply(object) | Event::Delete(object) => {
                let found = reader.get(&ObjectRef::from_obj(object));
                HashMap::from([(object.name_any(), found.and_then(|found| part(&found)))])
            }
            Event::InitDone => {
                let all = reader.state().into_iter();
                all.map(|object| (object.name_any(), part(&object))).collect()
            }
            Event::Init | Event::InitApply(_) => HashMap::new(),
        }
    };
    let before = parts();
    store.apply_watcher_event(event);
    let after = parts();
    let names = before.keys().chain(after.keys());
    names
        .filter(|name| before.get(*name) != after.get(*name))
        .cloned()
        .collect()
}

/// What members may do, which concerns the organisations.
fn feed_cluster_rights<'a, K>(
    ctx: &'a Arc<Context>,
    watched: Watched<K>,
    queue: Requests<Organisations>,
) -> BoxFuture<'a, ()>
where
    K: rights::Kind,
{
    let wake = move |wake: Wake<'_>| match wake {
        Wake::Owner(_, owner) if owner.kind == Organisation::kind(&()) => send(&queue, ObjectRef::new(&owner.name)),
        Wake::Owner(..) => {}
        Wake::All => {
            ctx.memory().rights.lift_all(tokio::time::Instant::now());
            for organisation in ctx.stores.organisations.state() {
                send(&queue, reference(&*organisation));
            }
        }
    };
    Box::pin(rights::follow(ctx.clone(), watched, Api::all(ctx.client.clone()), wake))
}

/// What assignees may read, which concerns the tokens.
fn feed_rights<'a, K>(
    ctx: &'a Arc<Context>,
    namespace: Option<String>,
    watched: Watched<K>,
    queue: Requests<Tokens>,
) -> BoxFuture<'a, ()>
where
    K: rights::Kind + Resource<Scope = NamespaceResourceScope>,
{
    let api = scoped(&ctx.client, namespace.as_deref());
    let wake = move |wake: Wake<'_>| match wake {
        Wake::Owner(Some(namespace), owner) if owner.kind == ApiToken::kind(&()) => {
            send(&queue, ObjectRef::new(&owner.name).within(namespace));
        }
        Wake::Owner(..) => {}
        Wake::All => {
            ctx.memory().rights.lift_all(tokio::time::Instant::now());
            for token in ctx.stores.tokens.iter().flat_map(|store| store.state()) {
                let assigned = |token: &ApiToken| token.spec.assignees.is_some();
                let covered = namespace.is_none() || token.namespace() == namespace;
                if covered && token.0.as_ref().is_ok_and(assigned) {
                    send(&queue, reference(&*token));
                }
            }
        }
    };
    Box::pin(rights::follow(ctx.clone(), watched, api, wake))
}

/// A wall clock that jumps moves what is due without any timer noticing: compare it with the monotonic one.
fn watch_clock<'a>(ctx: &'a Arc<Context>, tokens: Vec<Requests<Tokens>>) -> BoxFuture<'a, ()> {
    const TOLERANCE: jiff::SignedDuration = jiff::SignedDuration::from_secs(2);
    Box::pin(async move {
        let Some(period) = ctx.settings.clock_check else {
            return future::pending().await;
        };
        loop {
            let (wall, monotonic) = (ctx.now(), tokio::time::Instant::now());
            tokio::time::sleep(period).await;
            let elapsed = jiff::SignedDuration::try_from(monotonic.elapsed()).unwrap_or(jiff::SignedDuration::MAX);
            let jump = ctx.now().duration_since(wall) - elapsed;
            if jump.abs() > TOLERANCE {
                tracing::warn!(
                    seconds = jump.as_secs(),
                    "the clock jumped: looking at every token again"
                );
                reconcile_tokens(ctx, &tokens, |_| true);
            }
        }
    })
}

/// Ends the pauses of the tokens for which `concerned` holds: what they failed at may go well now.
fn lift_pauses(ctx: &Context, concerned: impl Fn(&ApiToken) -> bool) {
    let now = tokio::time::Instant::now();
    for token in ctx.stores.tokens.iter().flat_map(|store| store.state()) {
        if let (Ok(known), Some(uid)) = (&token.0, token.uid())
            && concerned(known)
        {
            let mut memory = ctx.memory();
            memory.backoffs.lift(&uid, now);
            memory.rights.lift(&uid, now);
        }
    }
}

/// Asks for a reconcile of every token for which `concerned` holds.
fn reconcile_tokens(ctx: &Context, queues: &[Requests<Tokens>], concerned: impl Fn(&ApiToken) -> bool) {
    for (store, queue) in ctx.stores.tokens.iter().zip(queues) {
        for token in store.state() {
            if token.0.as_ref().map_or(true, &concerned) {
                send(queue, reference(&*token));
            }
        }
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
                    tracing::warn!(resource, %error, "a watch failed; trying again");
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

fn slim_token(event: Event<Tokens>) -> Event<Tokens> {
    slim(event)
}
