//! Organisations, Namespaces and the clock: what becomes of tokens follows from them.

use std::{collections::HashSet, pin::pin, sync::Arc};

use futures::{
    StreamExt,
    future::{self, BoxFuture},
};
use jiff::SignedDuration;
use kube::{Api, Resource, ResourceExt};
use tokio::time::{Instant, sleep};

use super::{Context, Key, Listed, Queues, Requests, Tokens, follow, send};

pub(super) fn organisations(ctx: &Arc<Context>, mut listed: Listed, queues: Queues) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        let (api, store) = (Api::all(ctx.client.clone()), &ctx.stores.organisations);
        let mut stream = pin!(follow(ctx, "organisations", api, store));
        while let Some((changes, complete)) = stream.next().await {
            for change in &changes {
                send(&queues.organisations, Key::of(change.latest()));
                if let Some(gone) = change.gone() {
                    ctx.memory().forget_organisation(gone.meta());
                }
            }
            // Its own counts are in its status: they concern no token. Policies select by its labels.
            let concerning = changes.iter().filter(|change| {
                change.concerns(|organisation| {
                    (
                        organisation.0.as_ref().ok().map(|known| &known.spec),
                        organisation.labels(),
                    )
                })
            });
            let changed: HashSet<String> = concerning.map(|change| change.latest().name_any()).collect();
            if !changed.is_empty() {
                queues.reconsider(ctx, |token| changed.contains(&token.spec.organisation));
                queues.every_policy(ctx);
            }
            if complete {
                listed.done();
            }
        }
    })
}

pub(super) fn namespaces(ctx: &Arc<Context>, mut listed: Listed, queues: Queues) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        let (api, store) = (Api::all(ctx.client.clone()), &ctx.stores.namespaces);
        let mut stream = pin!(follow(ctx, "namespaces", api, store));
        while let Some((changes, complete)) = stream.next().await {
            let concerning = changes
                .iter()
                .filter(|change| change.concerns(|namespace| namespace.labels()));
            let changed: HashSet<String> = concerning.map(|change| change.latest().name_any()).collect();
            if !changed.is_empty() {
                queues.reconsider(ctx, |token| {
                    let namespace = token.metadata.namespace.as_ref();
                    namespace.is_some_and(|namespace| changed.contains(namespace))
                });
            }
            if complete {
                listed.done();
            }
        }
    })
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
                        send(queue, Key::of(&*token));
                    }
                }
            }
        }
    })
}
