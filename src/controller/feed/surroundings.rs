//! Organisations, Namespaces and the clock: what becomes of tokens follows from them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use futures::{
    StreamExt,
    future::{self, BoxFuture},
};
use jiff::SignedDuration;
use kube::{
    Api, Resource, ResourceExt,
    runtime::{reflector::store::Writer, watcher::Event},
};
use tokio::time::{Instant, sleep};

use super::{Context, Listed, Namespaces, Organisations, Requests, Tokens, changes_of, reference, send, slim};
use crate::{
    api::{ApiToken, OrganisationSpec},
    watch::Watch,
};

pub(super) fn organisations<'a>(
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
            reconsider(ctx, &tokens, &changed, |token| Some(&token.spec.organisation));
            if matches!(event, Event::InitDone) {
                listed.done();
            }
        }
    })
}

fn spec_of(organisation: &Organisations) -> Option<&OrganisationSpec> {
    organisation.0.as_ref().ok().map(|organisation| &organisation.spec)
}

pub(super) fn namespaces<'a>(
    ctx: &'a Arc<Context>,
    (mut store, mut listed): (Writer<Namespaces>, Listed),
    tokens: Vec<Requests<Tokens>>,
) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let stream = changes_of(ctx, "namespaces", Watch::new(Api::all(ctx.client.clone())));
        let mut stream = std::pin::pin!(stream.map(slim::<Namespaces>));
        while let Some(event) = stream.next().await {
            let changed = changes(&mut store, &event, |namespace| Some(namespace.labels().clone()));
            reconsider(ctx, &tokens, &changed, |token| token.metadata.namespace.as_deref());
            if matches!(event, Event::InitDone) {
                listed.done();
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
                let found = reader.get(&reference(object));
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

/// A wall clock that jumps moves what is due without any timer noticing: compare it with the monotonic one.
pub(super) fn clock<'a>(ctx: &'a Arc<Context>, tokens: Vec<Requests<Tokens>>) -> BoxFuture<'a, ()> {
    const TOLERANCE: SignedDuration = SignedDuration::from_secs(2);
    Box::pin(async move {
        let Some(period) = ctx.settings.clock_check else {
            return future::pending().await;
        };
        loop {
            let (wall, monotonic) = (ctx.now(), Instant::now());
            sleep(period).await;
            let elapsed = SignedDuration::try_from(monotonic.elapsed()).unwrap_or(SignedDuration::MAX);
            let jump = ctx.now().duration_since(wall) - elapsed;
            if jump.abs() > TOLERANCE {
                tracing::warn!(
                    seconds = jump.as_secs(),
                    "the clock jumped: looking at every token again"
                );
                for (store, queue) in ctx.stores.tokens.iter().zip(&tokens) {
                    for token in store.state() {
                        send(queue, reference(&*token));
                    }
                }
            }
        }
    })
}

/// Ends the pauses of the tokens whose organisation or namespace, by `name`, has changed, and asks for their reconciles:
/// what they failed at may go well now.
fn reconsider(
    ctx: &Context,
    queues: &[Requests<Tokens>],
    changed: &HashSet<String>,
    name: impl Fn(&ApiToken) -> Option<&str>,
) {
    if changed.is_empty() {
        return;
    }
    let now = Instant::now();
    for (store, queue) in ctx.stores.tokens.iter().zip(queues) {
        for token in store.state() {
            let known = token.0.as_ref().ok();
            if known.and_then(&name).is_some_and(|name| changed.contains(name)) {
                let (uid, mut memory) = (token.uid().unwrap_or_default(), ctx.memory());
                memory.backoffs.lift(&uid, now);
                memory.rights.lift(&uid, now);
                send(queue, reference(&*token));
            }
        }
    }
}
