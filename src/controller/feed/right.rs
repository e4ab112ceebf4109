//! Roles and bindings: what they were is put right by the object that they are for.

use std::sync::Arc;

use futures::future::BoxFuture;
use kube::{Api, Resource, ResourceExt, core::NamespaceResourceScope};
use tokio::time::Instant;

use super::{
    Context, Key, Organisations, Requests, Tokens, View,
    rights::{self, Places, Wake},
    scoped, send,
};
use crate::api::{ApiToken, Organisation};

/// What members may do, which concerns the organisations.
pub(super) fn feed_members<'a, K>(
    ctx: &'a Arc<Context>,
    view: View<K>,
    queue: Requests<Organisations>,
) -> BoxFuture<'a, ()>
where
    K: rights::Kind,
{
    let wake = move |wake: Wake<'_>| match wake {
        Wake::Owner(_, owner) if owner.kind == Organisation::kind(&()) => send(&queue, Key::cluster_wide(&owner.name)),
        Wake::Owner(..) => {}
        Wake::Named(_, name) => send(&queue, Key::cluster_wide(name)),
        Wake::All => {
            ctx.memory().rights.lift_all(Instant::now());
            for organisation in ctx.stores.organisations.state() {
                send(&queue, Key::of(&*organisation));
            }
        }
    };
    let places = Places::<K, Organisation> {
        rights: |client, _| Api::all(client),
        owners: |client, _| Api::all(client),
    };
    let api = Api::all(ctx.client.clone());
    Box::pin(rights::follow(ctx.clone(), view, api, places, wake))
}

/// What assignees may read, which concerns the tokens.
pub(super) fn feed_assignees<'a, K>(
    ctx: &'a Arc<Context>,
    namespace: Option<String>,
    view: View<K>,
    queue: Requests<Tokens>,
) -> BoxFuture<'a, ()>
where
    K: rights::Kind + Resource<Scope = NamespaceResourceScope>,
{
    let api = scoped(&ctx.client, namespace.as_deref());
    let wake = move |wake: Wake<'_>| match wake {
        Wake::Owner(Some(namespace), owner) if owner.kind == ApiToken::kind(&()) => {
            send(&queue, Key::namespaced(namespace, &owner.name));
        }
        Wake::Named(Some(namespace), name) => send(&queue, Key::namespaced(namespace, name)),
        Wake::Owner(..) | Wake::Named(..) => {}
        Wake::All => {
            ctx.memory().rights.lift_all(Instant::now());
            for token in ctx.tokens() {
                let assigned = |token: &ApiToken| token.spec.assignees.is_some();
                let covered = namespace.is_none() || token.namespace() == namespace;
                if covered && token.0.as_ref().is_ok_and(assigned) {
                    send(&queue, Key::of(&*token));
                }
            }
        }
    };
    let places = Places::<K, ApiToken> {
        rights: |client, namespace| Api::namespaced(client, namespace),
        owners: |client, namespace| Api::namespaced(client, namespace),
    };
    Box::pin(rights::follow(ctx.clone(), view, api, places, wake))
}
