//! Events: what a person would want to see in `kubectl describe`.
//!
//! They are published by a task of their own, so that a reconcile neither waits for nor fails with them. kube's recorder
//! is not used, because its cache of past events holds every one of them for minutes, and walks through all of them for
//! each new one; here they are published on changes only, so there is nothing to fold together.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt, stream};
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, Resource, api::PostParams};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;

use crate::{
    answer::describe,
    api::ApiToken,
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
    origin: Origin,
    sender: mpsc::Sender<Event>,
    clock: Clock,
    dropped: Counter,
}

pub(crate) struct Publisher {
    client: Client,
    waiting: mpsc::Receiver<Event>,
}

/// The two ends of a queue of Events. What does not fit into it is counted in `dropped`.
pub(crate) fn recorder(origin: Origin, client: Client, clock: Clock, dropped: Counter) -> (Recorder, Publisher) {
    let (sender, waiting) = mpsc::channel(WAITING);
    let recorder = Recorder {
        origin,
        sender,
        clock,
        dropped,
    };
    (recorder, Publisher { client, waiting })
}

impl Recorder {
    /// Hands a notice over to be published. When too many wait it is dropped and counted: Events are a courtesy.
    pub(crate) fn publish(&self, token: &ApiToken, notice: &Notice) {
        let event = self.event(token.object_ref(&()), notice);
        if self.sender.try_send(event).is_err() {
            self.dropped.inc();
        }
    }

    fn event(&self, mut regarding: ObjectReference, notice: &Notice) -> Event {
        // An Event about one version of the object would not be shown together with the others.
        regarding.resource_version = None;
        let mut note = notice.message.clone();
        note.truncate(note.floor_char_boundary(LONGEST_NOTE));
        Event {
            metadata: ObjectMeta {
                name: Some(name(regarding.name.as_deref().unwrap_or_default(), &self.clock)),
                namespace: regarding.namespace.clone(),
                ..ObjectMeta::default()
            },
            type_: Some(match notice.severity {
                Severity::Normal => "Normal".to_owned(),
                Severity::Warning => "Warning".to_owned(),
            }),
            reason: Some(notice.reason.to_owned()),
            action: Some(self.origin.action.to_owned()),
            note: Some(note),
            regarding: Some(regarding),
            event_time: Some(MicroTime(self.clock.now())),
            reporting_controller: Some(self.origin.controller.to_owned()),
            reporting_instance: Some("tokenwright".to_owned()),
            ..Event::default()
        }
    }
}

impl Publisher {
    /// Publishes until every recorder is gone.
    pub(crate) async fn run(self) {
        let Self { client, waiting } = self;
        let waiting = stream::unfold(waiting, async |mut waiting| Some((waiting.recv().await?, waiting)));
        waiting
            .for_each_concurrent(AT_ONCE, async |event| {
                let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
                let events: Api<Event> = Api::namespaced(client.clone(), namespace);
                if let Err(error) = events.create(&PostParams::default(), &event).await {
                    tracing::debug!(error = describe(&error), "an Event was not published");
                }
            })
            .await;
    }
}

/// A name as client-go makes them, unique also where the clock stands still. (`generateName` will not do: it may not end
/// in a dot.)
fn name(regarding: &str, clock: &Clock) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let start = &regarding[..regarding.floor_char_boundary(LONGEST_START)];
    let start = start.trim_end_matches(|last: char| !last.is_ascii_alphanumeric());
    format!("{start}.{:x}{count:04x}", clock.now().as_nanosecond())
}
