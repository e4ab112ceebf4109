//! Events: what a person would want to see in `kubectl describe`.
//!
//! They are published by a task of their own, so that a reconcile neither waits for nor fails with them. kube's recorder
//! is not used, because its cache of past events holds every one of them for minutes, and walks through all of them for
//! each new one; here they are published on changes only, so there is nothing to fold together.

use std::{
    borrow::Cow,
    sync::atomic::{AtomicU64, Ordering},
};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, Resource, ResourceExt, api::PostParams};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;

use crate::{
    answer::describe,
    clock::Clock,
    domain::lifecycle::{Notice, Severity},
};

const WAITING: usize = 4096;
/// How many are published at the same time. One by one they fall behind where thousands of tokens are issued at once,
/// and are dropped.
const AT_ONCE: usize = 4;
/// The API server refuses longer notes.
const LONGEST_NOTE: usize = 1024;
/// What leaves room for the rest of an Event's name in the 253 characters it may have.
const LONGEST_START: usize = 200;

/// Who publishes Events, and what it does when it does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) controller: &'static str,
    pub(crate) action: &'static str,
}

#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    sender: mpsc::Sender<Waiting>,
    clock: Clock,
    dropped: Counter,
}

pub(crate) struct Publisher {
    origin: Origin,
    client: Client,
    waiting: mpsc::Receiver<Waiting>,
}

/// What an Event is made of when its turn has come: as an Event it would take five times the memory.
#[derive(Debug)]
struct Waiting {
    api_version: Cow<'static, str>,
    kind: Cow<'static, str>,
    namespace: Option<String>,
    name: String,
    uid: String,
    notice: Notice,
    at: Timestamp,
}

/// The two ends of a queue of Events. What does not fit into it is counted in `dropped`.
pub(crate) fn recorder(origin: Origin, client: Client, clock: Clock, dropped: Counter) -> (Recorder, Publisher) {
    let (sender, waiting) = mpsc::channel(WAITING);
    let recorder = Recorder { sender, clock, dropped };
    let publisher = Publisher {
        origin,
        client,
        waiting,
    };
    (recorder, publisher)
}

impl Recorder {
    /// Hands a notice over to be published. When too many wait it is dropped and counted: Events are a courtesy.
    pub(crate) fn publish<K: Resource<DynamicType = ()>>(&self, object: &K, notice: Notice) {
        let waiting = Waiting {
            api_version: K::api_version(&()),
            kind: K::kind(&()),
            namespace: object.namespace(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            notice,
            at: self.clock.now(),
        };
        if self.sender.try_send(waiting).is_err() {
            self.dropped.inc();
        }
    }
}

impl Publisher {
    /// Publishes until every recorder is gone.
    pub(crate) async fn run(self) {
        let Self {
            origin,
            client,
            waiting,
        } = self;
        let waiting = stream::unfold(waiting, async |mut waiting| Some((waiting.recv().await?, waiting)));
        waiting
            .for_each_concurrent(AT_ONCE, async |waiting| {
                let events: Api<Event> = Api::namespaced(client.clone(), waiting.place());
                if let Err(error) = events.create(&PostParams::default(), &event(waiting, origin)).await {
                    tracing::debug!(error = describe(&error), "an Event was not published");
                }
            })
            .await;
    }
}

impl Waiting {
    /// The namespace that it is published in. The API server takes those about cluster-wide objects nowhere else.
    fn place(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }
}

/// A name as client-go makes them, unique also where the clock stands still. (`generateName` will not do: it may not end
/// in a dot.)
fn name(regarding: &str, at: Timestamp) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let start = &regarding[..regarding.floor_char_boundary(LONGEST_START)];
    let start = start.trim_end_matches(|last: char| !last.is_ascii_alphanumeric());
    format!("{start}.{:x}{count:04x}", at.as_nanosecond())
}

fn event(waiting: Waiting, origin: Origin) -> Event {
    let place = waiting.place().to_owned();
    let Waiting {
        api_version,
        kind,
        namespace,
        name,
        uid,
        notice,
        at,
    } = waiting;
    let mut note = notice.message;
    note.truncate(note.floor_char_boundary(LONGEST_NOTE));
    Event {
        metadata: ObjectMeta {
            name: Some(self::name(&name, at)),
            namespace: Some(place),
            ..ObjectMeta::default()
        },
        type_: Some(match notice.severity {
            Severity::Normal => "Normal".to_owned(),
            Severity::Warning => "Warning".to_owned(),
        }),
        reason: Some(notice.reason.to_owned()),
        action: Some(origin.action.to_owned()),
        note: Some(note),
        // Without the resourceVersion: an Event about one version of the object is not shown together with the others.
        regarding: Some(ObjectReference {
            api_version: Some(api_version.into_owned()),
            kind: Some(kind.into_owned()),
            namespace,
            name: Some(name),
            uid: Some(uid),
            ..ObjectReference::default()
        }),
        event_time: Some(MicroTime(at)),
        reporting_controller: Some(origin.controller.to_owned()),
        reporting_instance: Some("tokenwright".to_owned()),
        ..Event::default()
    }
}
