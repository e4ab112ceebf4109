//! Writing what was seen into the status of tokens.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, future, stream};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Kind, Note, Sightings, is_due};
use crate::{
    answer,
    api::ApiToken,
    clock::Clock,
    domain::lifecycle::reused,
    event::{self, Origin, Recorder},
    verifier::{Judge, Metrics},
};

const MANAGER: &str = "tokenwright-verifier";
const EVENTS: Origin = Origin {
    controller: "tokenwright.dev/verifier",
    action: "Verify",
};
/// How many are written at the same time.
const AT_ONCE: usize = 4;
/// How long the read and the write of one may take together.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// For how long the rest is written at the end. It is not worth being killed for.
const LAST_WRITES: Duration = Duration::from_secs(3);
const LAST_EVENTS: Duration = Duration::from_secs(1);

/// Takes what a judge has seen to the status of tokens. The only thing that a verifier ever writes, besides an Event.
pub struct Writer {
    client: Client,
    sightings: Arc<Sightings>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

/// What came of a sighting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Written,
    /// The status tells of one that is new enough: another verifier's, most likely.
    NotDue,
    /// The token is gone or being deleted, or another one has its name.
    Gone,
    /// Somebody wrote between the read and the write.
    Conflict,
    Failed,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::NotDue => "not_due",
            Self::Gone => "gone",
            Self::Conflict => "conflict",
            Self::Failed => "failed",
        }
    }
}

impl Writer {
    /// A writer of what `judge` has seen, through `client`.
    pub fn new(client: Client, judge: &Judge) -> Self {
        Self {
            client,
            sightings: Arc::clone(&judge.sightings),
            metrics: Arc::clone(&judge.metrics),
            clock: judge.clock.clone(),
        }
    }

    /// Writes until `shutdown` resolves, then what is left for a few seconds at most.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let dropped = self.metrics.events_dropped.clone();
        let (events, publisher) = event::recorder(EVENTS, self.client.clone(), self.clock, dropped);
        let hand = Hand {
            client: self.client,
            sightings: self.sightings,
            metrics: self.metrics,
            events,
            failing: AtomicBool::new(false),
        };
        let writing = async move {
            hand.work(shutdown).await;
            // Lets go of the recorder, which ends the publisher.
            drop(hand);
        };
        let publishing = std::pin::pin!(publisher.run());
        if let future::Either::Left((_, publishing)) = future::select(std::pin::pin!(writing), publishing).await {
            // What is lost is a courtesy.
            let _ = timeout(LAST_EVENTS, publishing).await;
        }
    }
}

/// What writing takes.
struct Hand {
    client: Client,
    sightings: Arc<Sightings>,
    metrics: Arc<Metrics>,
    events: Recorder,
    /// Whether the last one failed: of many that fail together one is worth a line in the log.
    failing: AtomicBool,
}

impl Hand {
    async fn work(&self, shutdown: impl Future<Output = ()>) {
        stream::unfold((), async |()| Some((self.sightings.next().await, ())))
            .take_until(shutdown)
            .for_each_concurrent(AT_ONCE, async |note| self.write(&note).await)
            .await;
        let rest = self.sightings.drain();
        let writing = stream::iter(&rest).for_each_concurrent(AT_ONCE, async |note| self.write(note).await);
        if timeout(LAST_WRITES, writing).await.is_err() {
            tracing::warn!("stopped before all of the last uses were written");
        }
    }

    async fn write(&self, note: &Note) {
        let outcome = match timeout(ANSWERED_WITHIN, self.bring(note)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => self.judge_failure(note, &error),
            Err(_) => {
                self.report_failure(note, "it took too long");
                Outcome::Failed
            }
        };
        self.metrics.taken(note.kind.field(), outcome.as_str());
        match outcome {
            Outcome::Conflict => self.sightings.retry(note, false),
            Outcome::Failed => self.sightings.retry(note, true),
            Outcome::Written | Outcome::NotDue | Outcome::Gone => {
                self.failing.store(false, Ordering::Relaxed);
                self.sightings.settle(note);
            }
        }
    }

    async fn bring(&self, note: &Note) -> kube::Result<Outcome> {
        let api: Api<ApiToken> = Api::namespaced(self.client.clone(), &note.namespace);
        let found = api.get_opt(&note.name).await?;
        let same = |token: &ApiToken| {
            token.metadata.uid.as_deref() == Some(&*note.uid) && token.metadata.deletion_timestamp.is_none()
        };
        let Some(token) = found.filter(same) else {
            return Ok(Outcome::Gone);
        };
        let told = token.status.as_ref().and_then(|status| note.kind.told(status));
        let known = told.map(|told| told.at.0.as_second());
        if !is_due(known, note.seen.at.0.as_second(), note.interval) {
            if note.unsure && told == Some(&note.seen) {
                // Written by a try before this one, whose answer got lost.
                self.announce(&token, note);
            }
            return Ok(Outcome::NotDue);
        }
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(patch(&token, note));
        api.patch_status(&note.name, &params, &patch).await?;
        self.announce(&token, note);
        Ok(Outcome::Written)
    }

    fn announce(&self, token: &ApiToken, note: &Note) {
        if note.kind == Kind::Reuse {
            self.events.publish(token, reused(&note.seen));
        }
    }

    fn judge_failure(&self, note: &Note, error: &kube::Error) -> Outcome {
        match (answer::status(error).map(|status| status.code), error) {
            // 422 is what a patch gets whose token has been replaced by another of its name.
            (Some(409 | 422), _) => Outcome::Conflict,
            // One that cannot be read is out of the index too.
            (Some(404), _) | (None, kube::Error::SerdeError(_)) => Outcome::Gone,
            _ => {
                self.report_failure(note, &answer::describe(error));
                Outcome::Failed
            }
        }
    }

    fn report_failure(&self, note: &Note, why: &str) {
        let (field, namespace, name) = (note.kind.field(), &note.namespace, &note.name);
        if self.failing.swap(true, Ordering::Relaxed) {
            tracing::debug!(namespace, name, "status.{field} was not written: {why}");
        } else {
            tracing::warn!(namespace, name, "status.{field} was not written, trying again: {why}");
        }
    }
}

/// The one field, under the condition that the token is still what was read.
fn patch(token: &ApiToken, note: &Note) -> Value {
    let seen = &note.seen;
    json!({
        "metadata": { "uid": token.metadata.uid, "resourceVersion": token.metadata.resource_version },
        // All of it, so that nothing of the sighting before is left.
        "status": { note.kind.field(): { "at": seen.at, "from": seen.from, "credential": seen.credential } },
    })
}
