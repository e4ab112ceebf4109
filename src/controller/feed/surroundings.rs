//! Organisations, Namespaces and the clock: what becomes of tokens follows from them.

use std::{collections::HashMap, sync::Arc};

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

use super::{Context, Listed, Namespaces, Organisations, Queues, Requests, Tokens, changes_of, reference, send, slim};
use crate::{api::OrganisationSpec, watch::Watch};

pub(super) fn organisations<'a>(
    ctx: &'a Arc<Context>,
    (mut store, mut listed): (Writer<Organisations>, Listed),
    queues: Queues,
) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let stream = changes_of(ctx, "organisations", Watch::new(Api::all(ctx.client.clone())));
        let mut stream = std::pin::pin!(stream.map(slim::<Organisations>));
        while let Some(event) = stream.next().await {
            if let Event::Apply(touched) | Event::Delete(touched) = &event {
                send(&queues.organisations, reference(touched));
            }
            if let Event::Delete(gone) = &event {
                ctx.memory().forget_organisation(gone.meta());
            }
            // Its own counts are in its status: they concern no token. Policies select by its labels.
            let part = |organisation: &Organisations| (spec_of(organisation).cloned(), organisation.labels().clone());
            let changed = changes(&mut store, &event, part);
            if !changed.is_empty() {
                queues.reconsider(ctx, |token| changed.contains_key(&token.spec.organisation));
                queues.every_policy(ctx);
            }
            if matches!(event, Event::InitDone) {
                queues.every_organisation(ctx);
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
    queues: Queues,
) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let stream = changes_of(ctx, "namespaces", Watch::new(Api::all(ctx.client.clone())));
        let mut stream = std::pin::pin!(stream.map(slim::<Namespaces>));
        while let Some(event) = stream.next().await {
            let changed = changes(&mut store, &event, |namespace| namespace.labels().clone());
            if !changed.is_empty() {
                queues.reconsider(ctx, |token| {
                    let namespace = token.metadata.namespace.as_ref();
                    namespace.is_some_and(|namespace| changed.contains_key(namespace))
                });
            }
            if matches!(event, Event::InitDone) {
                listed.done();
            }
        }
    })
}

/// Takes an event of a cluster-wide resource into its store. Returns the objects whose `part` is another than before, by
/// name, with what it was and is; of a list they come with its end, as what it lacks is gone.
pub(super) fn changes<K, P: PartialEq>(
    store: &mut Writer<K>,
    event: &Event<K>,
    part: impl Fn(&K) -> P,
) -> HashMap<String, (Option<P>, Option<P>)>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let reader = store.as_reader();
    let parts = || -> HashMap<String, P> {
        let found = match event {
            Event::Apply(object) | Event::Delete(object) => reader.get(&reference(object)).into_iter().collect(),
            Event::InitDone => reader.state(),
            Event::Init | Event::InitApply(_) => Vec::new(),
        };
        found.iter().map(|object| (object.name_any(), part(object))).collect()
    };
    let mut before = parts();
    store.apply_watcher_event(event);
    let after = parts();
    let still = after.into_iter().map(|(name, after)| {
        let before = before.remove(&name);
        (name, (before, Some(after)))
    });
    let mut changed: HashMap<_, _> = still.collect();
    changed.extend(before.into_iter().map(|(name, before)| (name, (Some(before), None))));
    changed.retain(|_, (before, after)| before != after);
    changed
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
