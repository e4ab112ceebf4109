//! Reconciling the objects of one store when their turn comes, and trying again what fails.

use std::{future::Future, hash::Hash, pin::pin, sync::Arc, time::Duration};

use futures::{StreamExt, channel::mpsc, future, stream::FuturesUnordered};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use tokio::{
    task::yield_now,
    time::{Instant, sleep_until},
};
use tracing::Instrument;

use super::{
    Context, Error,
    agenda::Agenda,
    backoff::{Failure, State},
    context::Memory,
    key::Key,
    store::Store,
};
use crate::telemetry::span;

/// From how many failures in a row on an object that is never as it was thought to be is worth a warning.
const LASTING: u32 = 5;

/// What is reconciled.
pub(super) trait Reconcile: Resource<DynamicType = ()> + Send + Sync + 'static {
    /// Its kind, as metrics and the log have it.
    const KIND: &'static str;

    /// What to do instead of looking at it now, if anything.
    fn put_off(&self, ctx: &Context) -> Option<Action>;

    /// Makes the cluster what the object says. Returns when to look at it again.
    fn reconcile(&self, ctx: &Context) -> impl Future<Output = Result<Action, Error>> + Send;

    /// Forgets what is remembered of it: it is gone.
    fn forget(&self, memory: &mut Memory);
}

/// When an object is looked at again if nothing happens to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Action(Option<Duration>);

impl Action {
    pub(super) fn requeue(after: Duration) -> Self {
        Self(Some(after))
    }

    pub(super) fn await_change() -> Self {
        Self(None)
    }
}

/// Reconciles the objects of one store as they are requested, from when `opened` resolves to true. Ends with the senders of
/// requests when what is under way is done, or when `opened` resolves to false.
pub(super) async fn run<K: Reconcile>(
    ctx: Arc<Context>,
    store: Store<K>,
    requests: mpsc::UnboundedReceiver<Key<K>>,
    opened: impl Future<Output = bool>,
) {
    let look = |key: Key<K>| {
        let (store, ctx) = (&store, &*ctx);
        async move { look_at(&key, store, ctx).await }
    };
    work(ctx.settings.concurrency, requests, opened, look).await;
}

async fn work<T, L>(
    at_once: u16,
    mut requests: mpsc::UnboundedReceiver<T>,
    opened: impl Future<Output = bool>,
    look: impl Fn(T) -> L,
) where
    T: Clone + Eq + Hash + Ord,
    L: Future<Output = Action>,
{
    let mut agenda = Agenda::new(at_once);
    let mut under_way = FuturesUnordered::new();
    let mut opened = pin!(opened);
    let mut is_open = false;
    'asked: loop {
        // All that is there before anything begins: what was asked for twice has one turn, and nobody's has come when nobody
        // asks any more.
        loop {
            match requests.try_recv() {
                Ok(object) => agenda.ask(object),
                Err(error) if error.is_closed() => break 'asked,
                Err(_) => break,
            }
        }
        while is_open && let Some(object) = agenda.next(Instant::now()) {
            let looking = look(object.clone());
            under_way.push(async { (object, looking.await) });
        }
        let due = agenda.due();
        tokio::select! {
            request = requests.next() => match request {
                Some(object) => agenda.ask(object),
                None => break,
            },
            open = &mut opened, if !is_open => match open {
                true => is_open = true,
                false => return,
            },
            Some((object, Action(again))) = under_way.next() => {
                agenda.done(object, again.map(|after| Instant::now() + after));
                // A look that needs no request does not wait for anything. Thousands of them in a row would keep from its
                // turn whatever else is on this thread, such as who holds the lease.
                yield_now().await;
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
        }
    }
    under_way.for_each(|_| future::ready(())).await;
}

async fn look_at<K: Reconcile>(key: &Key<K>, store: &Store<K>, ctx: &Context) -> Action {
    let Some(object) = store.get(key) else {
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
    let is_there = store.get(key).is_some_and(|known| known.meta().uid == meta.uid);
    // Whoever deletes an object need not wait for those who are at it.
    let is_failure = |error: &&Error| is_there && !matches!(error, Error::Gone { .. });
    let failure = result.as_ref().err().filter(is_failure);
    span::reconciled(&span, failure);
    ctx.metrics.reconciled(K::KIND, failure, started.elapsed());
    let action = match (failure, &result) {
        (Some(error), _) => try_again::<K>(meta, error, ctx),
        (None, Ok(action)) => {
            ctx.memory().backoffs.reset(meta.uid.as_deref().unwrap_or_default());
            *action
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

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        rc::Rc,
    };

    use super::*;

    fn sent(objects: impl IntoIterator<Item = u32>) -> (mpsc::UnboundedSender<u32>, mpsc::UnboundedReceiver<u32>) {
        let (sender, requests) = mpsc::unbounded();
        for object in objects {
            sender.unbounded_send(object).unwrap();
        }
        (sender, requests)
    }

    #[tokio::test]
    async fn looks_that_wait_for_nothing_leave_their_turn_to_what_else_there_is() {
        const LOOKS: u32 = 1000;
        let (sender, requests) = sent(0..LOOKS);
        let (looks, turns) = (Cell::new(0), Cell::new(0));
        let look = async |_| {
            looks.set(looks.get() + 1);
            Action::await_change()
        };
        let beside = async {
            while looks.get() < LOOKS {
                turns.set(turns.get() + 1);
                yield_now().await;
            }
            drop(sender);
        };
        future::join(work(32, requests, future::ready(true), look), beside).await;
        assert!(turns.get() > LOOKS / 2, "{} turns", turns.get());
    }

    #[tokio::test]
    async fn nothing_begins_when_nobody_asks_any_more_and_what_has_begun_is_finished() {
        let (sender, requests) = sent([1, 2, 3]);
        let sender = Rc::new(RefCell::new(Some(sender)));
        let (begun, finished) = (RefCell::new(Vec::new()), Cell::new(0));
        let look = async |object| {
            begun.borrow_mut().push(object);
            // As at a shutdown, while all the others wait for their turn.
            drop(sender.borrow_mut().take());
            yield_now().await;
            finished.set(finished.get() + 1);
            Action::await_change()
        };
        work(1, requests, future::ready(true), look).await;
        assert_eq!((begun.into_inner(), finished.get()), (vec![1], 1));
    }

    #[tokio::test]
    async fn nothing_begins_before_the_gate_opens_nor_when_it_cannot() {
        let (sender, requests) = sent([1]);
        let looked = Cell::new(false);
        let look = async |_| {
            looked.set(true);
            Action::await_change()
        };
        work(1, requests, future::ready(false), look).await;
        assert!(!looked.get());
        drop(sender);
    }
}
