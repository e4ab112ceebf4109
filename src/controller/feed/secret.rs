//! Secrets, of which only the metadata is watched.

use std::sync::Arc;

use futures::{StreamExt, future::BoxFuture};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, core::PartialObjectMeta, runtime::watcher::Event};
use tokio::time::Instant;

use super::{super::secrets::Seen, Context, Key, Listed, Requests, Tokens, changes_of, scoped, send};
use crate::{api::MANAGED_BY, watch::Watch};

pub(super) fn feed<'a>(
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
            for (secret, seen) in changed {
                if let Some(controller) = &seen.controller {
                    ctx.memory().backoffs.catch_up(&controller.uid, Instant::now());
                }
                for token in concerns(secret.name(), &seen) {
                    send(&queue, Key::namespaced(secret.namespace().unwrap_or_default(), token));
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
