//! ApiTokens.

use std::sync::Arc;

use futures::{StreamExt, future::BoxFuture};
use kube::{
    Resource,
    runtime::{
        reflector::{ObjectRef, Store, store::Writer},
        watcher::Event,
    },
};

use super::{Context, Listed, Organisations, Requests, Tokens, changes_of, reference, scoped, send, slim};
use crate::{api::ApiToken, watch::Watch};

pub(super) fn feed<'a>(
    ctx: &'a Arc<Context>,
    namespace: Option<String>,
    (mut store, mut listed): (Writer<Tokens>, Listed),
    queue: Requests<Tokens>,
    organisations: Requests<Organisations>,
) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let watch = Watch::new(scoped::<Tokens>(&ctx.client, namespace.as_deref()));
        let stream = changes_of(ctx, "apitokens", watch);
        let mut stream = std::pin::pin!(stream.map(slim::<Tokens>));
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
