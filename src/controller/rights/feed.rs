//! The watch of one kind of rights, and whom its events wake.

use std::{collections::HashSet, fmt::Debug, sync::Arc};

use futures::{channel::mpsc, future};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Api, Resource, ResourceExt, runtime::watcher::Event};
use serde::de::DeserializeOwned;

use super::{
    super::{Context, feed::slim, store::Change},
    Kind, Places, Standing, View,
};
use crate::{
    answer::{describe, status},
    api::MANAGED_BY,
    domain::rights::orphaned_by,
    watch::{Update, Watch},
};

/// Whom to reconcile.
pub(in super::super) enum Wake<'a> {
    /// The owner of an object, by its namespace and reference.
    Owner(Option<&'a str>, &'a OwnerReference),
    /// What an object without an owner was made for, by its namespace and name.
    Named(Option<&'a str>, &'a str),
    /// Everything that has a right, or should have one.
    All,
}

/// Watches one kind until dropped, and takes away what its owner left behind.
pub(in super::super) async fn follow<K, O>(
    ctx: Arc<Context>,
    view: View<K>,
    api: Api<K>,
    places: Places<K, O>,
    wake: impl Fn(Wake<'_>),
) where
    K: Kind,
    O: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let (sender, orphans) = mpsc::unbounded();
    let orphaned = |object: K| {
        // Fails only when nobody sweeps any more.
        let _ = sender.unbounded_send(object);
    };
    let watching = watch(&ctx, &view, api, &orphaned, &wake);
    future::join(watching, places.sweep(orphans, &ctx, &wake)).await;
}

async fn watch<K: Kind>(ctx: &Context, view: &View<K>, api: Api<K>, orphaned: &impl Fn(K), wake: &impl Fn(Wake<'_>)) {
    let labels = format!("{}={}", MANAGED_BY.0, MANAGED_BY.1);
    let mut watch = Watch::new(api).labels(&labels).period(ctx.settings.watch_period);
    loop {
        match watch.next().await {
            Ok(Update::Change(event)) => take(view, slim(event), orphaned, wake),
            Ok(Update::Current) => {}
            Err(error) => fails(view, &error, ctx, wake),
        }
    }
}

fn take<K: Kind>(view: &View<K>, event: Event<K>, orphaned: &impl Fn(K), wake: &impl Fn(Wake<'_>)) {
    let complete = matches!(event, Event::InitDone);
    let changes = view.store.take_in(event);
    let first = complete && view.stands(Standing::Listed);
    let mut woken = HashSet::new();
    for object in changes.iter().flat_map(Change::both) {
        for owner in object.owner_references() {
            if woken.insert((object.namespace(), &owner.uid)) {
                wake(Wake::Owner(object.meta().namespace.as_deref(), owner));
            }
        }
    }
    // All of them with every list: one whose owner was there when it was looked at may have lost it since.
    let shown = if complete {
        view.store.state()
    } else {
        changes.iter().filter_map(|change| change.after().cloned()).collect()
    };
    for object in shown {
        if orphaned_by(object.meta()).is_some() {
            orphaned(K::clone(&object));
        }
    }
    if first {
        wake(Wake::All);
    }
}

/// A list that is refused is worth a condition on what needs it. What happens to the watch later passes, and the store
/// goes on holding what was seen last.
fn fails<K: Kind>(view: &View<K>, error: &kube::Error, ctx: &Context, wake: &impl Fn(Wake<'_>)) {
    let resource = K::plural(&()).into_owned();
    ctx.metrics.watch_failed(match resource.as_str() {
        "clusterroles" => "clusterroles",
        "clusterrolebindings" => "clusterrolebindings",
        "roles" => "roles",
        _ => "rolebindings",
    });
    let refused = status(error).is_some_and(|status| status.code == 403);
    let news = refused
        && view.standing() != Standing::Listed
        && view.stands(Standing::Refused(format!("list {resource}: {}", describe(error))));
    if news {
        tracing::warn!(
            resource,
            error = describe(error),
            "the rights of members and assignees cannot be kept"
        );
        wake(Wake::All);
    } else {
        tracing::debug!(resource, error = describe(error), "a watch failed; trying again");
    }
}
