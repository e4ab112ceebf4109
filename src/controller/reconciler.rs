//! Reconciling the objects of one store as a queue hands them out, and trying again what fails.

use std::{convert::Infallible, future::Future, sync::Arc};

use futures::{
    FutureExt, StreamExt,
    future::{self, BoxFuture},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Resource,
    runtime::{
        controller::{self, Action},
        reflector::{ObjectRef, Store},
    },
};
use tokio::time::Instant;
use tracing::Instrument;

use super::{
    Context, Error,
    backoff::{Failure, State},
    context::Memory,
    queue::{self, Queue},
};
use crate::telemetry::span;

/// From how many failures in a row on an object that is never as it was thought to be is worth a warning.
const LASTING: u32 = 5;

/// What is reconciled.
pub(super) trait Reconcile: Resource<DynamicType = ()> + Clone + Send + Sync + 'static {
    /// Its kind, as metrics and the log have it.
    const KIND: &'static str;

    /// What to do instead of looking at it now, if anything.
    fn put_off(&self, ctx: &Context) -> Option<Action>;

    /// Makes the cluster what the object says. Returns when to look at it again.
    fn reconcile(&self, ctx: &Context) -> impl Future<Output = Result<Action, Error>> + Send;

    /// Forgets what is remembered of it: it is gone.
    fn forget(&self, memory: &mut Memory);
}

/// Reconciles the objects of one store as the queue hands them out, until it ends.
pub(super) fn run<K, O>(
    ctx: &Arc<Context>,
    store: Store<K>,
    (queue, finished): (Queue<ObjectRef<K>, O>, queue::Sender<ObjectRef<K>>),
) -> BoxFuture<'static, ()>
where
    K: Reconcile,
    O: Future<Output = bool> + Send + Unpin + 'static,
{
    let config = controller::Config::default().concurrency(ctx.settings.concurrency);
    let queue = queue.map(Ok::<_, Infallible>);
    let current = store.clone();
    let reconcile = move |object: Arc<K>, ctx: Arc<Context>| {
        let current = current.clone();
        async move { Ok(look_at(&ObjectRef::from_obj(&*object), &current, &ctx).await) }.boxed()
    };
    // What fails is tried again by the action that `look_at` returns.
    let never = |_, never: &Infallible, _| match *never {};
    let finish = move |object: ObjectRef<K>| {
        // Fails only when the queue has ended.
        let _ = finished.unbounded_send(object);
        future::ready(())
    };
    controller::applier(reconcile, never, ctx.clone(), store, queue, config)
        .filter_map(|result| future::ready(done_with(result)))
        .for_each(finish)
        .boxed()
}

/// Which object was done with, however it went.
fn done_with<K>(
    result: Result<(ObjectRef<K>, Action), controller::Error<Infallible, Infallible>>,
) -> Option<ObjectRef<K>>
where
    K: Resource<DynamicType = ()>,
{
    match result {
        Ok((object, _)) => Some(object),
        Err(controller::Error::ObjectNotFound(object) | controller::Error::ReconcilerFailed(_, object)) => {
            Some(object.into_kind_unchecked(()))
        }
        Err(controller::Error::QueueError(_) | controller::Error::RunnerError(_)) => None,
    }
}

async fn look_at<K: Reconcile>(reference: &ObjectRef<K>, store: &Store<K>, ctx: &Context) -> Action {
    // The watch may have shown a newer one since this was handed out, and acting on the old one would meet a conflict.
    let Some(object) = store.get(reference) else {
        return Action::await_change();
    };
    let pause = ctx
        .memory()
        .backoffs
        .remaining(State::of(object.meta()), Instant::now());
    if let Some(left) = pause {
        return Action::requeue(left);
    }
    if let Some(action) = object.put_off(ctx) {
        return action;
    }
    let (started, meta) = (Instant::now(), object.meta());
    let span = span::reconcile(
        K::KIND,
        meta.namespace.as_deref(),
        meta.name.as_deref().unwrap_or_default(),
    );
    let result = object.reconcile(ctx).instrument(span.clone()).await;
    let is_there = store.get(reference).is_some_and(|known| known.meta().uid == meta.uid);
    // Whoever deletes an object need not wait for those who are at it.
    let is_failure = |error: &&Error| is_there && !matches!(error, Error::Gone { .. });
    let failure = result.as_ref().err().filter(is_failure);
    span::reconciled(&span, failure);
    ctx.metrics.reconciled(K::KIND, failure, started.elapsed());
    let action = match (failure, &result) {
        (Some(error), _) => try_again::<K>(meta, error, ctx),
        (None, Ok(action)) => {
            ctx.memory().backoffs.reset(meta.uid.as_deref().unwrap_or_default());
            action.clone()
        }
        (None, Err(error)) => {
            let (kind, namespace, name) = (K::KIND, &meta.namespace, &meta.name);
            tracing::debug!(kind, namespace, name, %error, "the object was deleted meanwhile");
            Action::await_change()
        }
    };
    if !is_there {
        // The news of it came in between, and what has been remembered since would stay.
        object.forget(&mut ctx.memory());
    }
    action
}

/// When to try again what failed, and what to say of it.
fn try_again<K: Reconcile>(object: &ObjectMeta, error: &Error, ctx: &Context) -> Action {
    let mut state = State::of(object);
    if let Error::Conflict { version, .. } = error {
        state.version = version.as_deref().or(state.version);
    }
    let (wait, failures) = {
        let mut memory = ctx.memory();
        let jitter = rand::random::<f64>();
        let wait = memory.backoffs.failed(state, error.failure(), Instant::now(), jitter);
        (wait, memory.backoffs.failures(state.uid))
    };
    let (kind, namespace, name) = (K::KIND, &object.namespace, &object.name);
    if error.failure() == Failure::Outdated && failures < LASTING {
        tracing::debug!(kind, namespace, name, %error, retry_in = ?wait, "somebody else was quicker");
    } else {
        tracing::warn!(kind, namespace, name, %error, retry_in = ?wait, "a reconcile failed");
    }
    Action::requeue(wait)
}
