//! What was seen and is not written yet.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{Kind, is_due};
use crate::{
    api::Sighting,
    domain::whole_seconds,
    pause::growing_pause,
    verifier::{Decision, Identity, Metrics},
};

/// How far apart two writes about one token are at least, where nobody said otherwise.
pub(in crate::verifier) const LAST_USED_INTERVAL: Duration = Duration::from_secs(600);
/// How many are kept at most: about 20 MB.
const MOST: usize = 1 << 16;
/// Over how much time the writes of tokens that are used at the same moment are spread, at most: whoever tries a token
/// wants to see that it was used.
const LONGEST_SPREAD: Duration = Duration::from_secs(5);
/// How long it may take until the watch has brought what was written. Until then the index knows less than this.
const LONGEST_ECHO: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How many times in the time that a policy lets a token go unused its use is told of, if it is used all the time.
const IDLE_PRECISION: i64 = 10;

/// Uses, and reuses of replaced credentials, that were seen and are not written yet.
#[derive(Debug)]
pub struct Sightings {
    interval: Duration,
    /// How many are kept.
    most: usize,
    metrics: Arc<Metrics>,
    notes: Mutex<Notes>,
    /// There is something that is due earlier than all before.
    earlier: Notify,
    /// Comes before every time that is waited for.
    beginning: Instant,
}

/// What is known of one token and kind of sighting.
#[derive(Clone, Debug)]
pub(in crate::verifier) struct Note {
    pub(in crate::verifier) kind: Kind,
    pub(in crate::verifier) uid: Arc<str>,
    pub(in crate::verifier) namespace: Box<str>,
    pub(in crate::verifier) name: Box<str>,
    pub(in crate::verifier) seen: Sighting,
    /// How far apart two writes about it are at least, in seconds.
    pub(in crate::verifier) interval: i64,
    /// How often it was tried in vain.
    failures: u32,
    /// One of those tries may have been carried out all the same.
    pub(in crate::verifier) unsure: bool,
    /// Nothing is left to be done but to wait until the index knows.
    done: bool,
}

#[derive(Debug, Default)]
struct Notes {
    reuses: HashMap<Arc<str>, Note>,
    uses: HashMap<Arc<str>, Note>,
    /// All but those that are being written, by when they are due.
    queue: BTreeSet<(Instant, Kind, Arc<str>)>,
}

/// What is next.
enum Next {
    Note(Box<Note>),
    At(Instant),
    Nothing,
}

impl Sightings {
    /// Writes of one token are at least `interval` apart.
    pub fn new(interval: Duration, metrics: Arc<Metrics>) -> Self {
        Self {
            interval,
            most: MOST,
            metrics,
            notes: Mutex::default(),
            earlier: Notify::new(),
            beginning: Instant::now(),
        }
    }

    /// How far apart two writes about a token are at least, in seconds: less where a policy wants the token used and
    /// would take one that is for idle.
    fn interval(&self, kind: Kind, identity: &Identity) -> i64 {
        let interval = i64::try_from(self.interval.as_secs()).unwrap_or(i64::MAX);
        match (kind, identity.idle_after()) {
            (Kind::Use, Some(idle_after)) => interval.min((idle_after / IDLE_PRECISION).max(1)),
            _ => interval,
        }
    }

    /// Notes a use of a credential, or of one that has been replaced, unless its token's status tells of one not long ago.
    pub fn note(&self, decision: &Decision, address: Option<IpAddr>, now: Timestamp) {
        let (kind, identity, known) = match (decision.identity(), decision.subject()) {
            (Some(identity), _) => (Kind::Use, identity, identity.last_used()),
            (None, Some(identity)) if decision.is_reuse() => {
                self.metrics.reuse_detections.inc();
                (Kind::Reuse, identity, identity.last_reuse())
            }
            _ => return,
        };
        let interval = self.interval(kind, identity);
        if is_due(known, now.as_second(), interval) {
            let seen = Sighting {
                at: Time(whole_seconds(now)),
                from: address.map(|address| address.to_string()),
                credential: Some(identity.credential()),
            };
            self.keep(kind, identity, interval, seen);
        }
    }

    /// When the token was used last, in seconds, by what is kept here.
    pub(in crate::verifier) fn last_use(&self, uid: &str) -> Option<i64> {
        self.lock().uses.get(uid).map(|note| note.seen.at.0.as_second())
    }

    fn keep(&self, kind: Kind, identity: &Identity, interval: i64, seen: Sighting) {
        let uid: Arc<str> = identity.uid().into();
        let mut notes = self.lock();
        if let Some(note) = notes.of(kind).get_mut(&uid) {
            // Of a reuse the first one tells more than the last.
            if kind == Kind::Use && note.seen.at < seen.at {
                note.seen = seen;
            }
            return;
        }
        if notes.uses.len() + notes.reuses.len() >= self.most {
            self.metrics.sightings_dropped.inc();
            return;
        }
        let note = Note {
            kind,
            uid: Arc::clone(&uid),
            namespace: identity.namespace().into(),
            name: identity.name().into(),
            seen,
            interval,
            failures: 0,
            unsure: false,
            done: false,
        };
        notes.of(kind).insert(Arc::clone(&uid), note);
        let due = match kind {
            Kind::Reuse => self.beginning,
            Kind::Use => Instant::now() + self.spread().mul_f64(rand::random()),
        };
        self.enqueue(&mut notes, due, kind, uid);
    }

    /// Waits for a note that is due. It is not given again before it was [`settled`](Self::settle) or [`retried`](Self::retry).
    pub(in crate::verifier) async fn next(&self) -> Note {
        loop {
            let next = self.lock().take(Instant::now());
            match next {
                Next::Note(note) => return *note,
                Next::Nothing => self.earlier.notified().await,
                Next::At(due) => {
                    tokio::select! {
                        () = sleep_until(due) => {}
                        () = self.earlier.notified() => {}
                    }
                }
            }
        }
    }

    /// What is not written yet and nobody is at, due or not, to be forgotten.
    pub(super) fn drain(&self) -> Vec<Note> {
        let mut notes = self.lock();
        let mut rest = Vec::new();
        while let Some((_, kind, uid)) = notes.queue.pop_first() {
            rest.extend(notes.of(kind).remove(&uid).filter(|note| !note.done));
        }
        rest
    }

    /// Nothing is left to be done about a note: it was written, or did not have to be.
    pub(super) fn settle(&self, note: &Note) {
        let rest = match note.kind {
            // Not often, and where the cluster's schema does not have the field the index will never know.
            Kind::Reuse => self.interval,
            Kind::Use => self.interval.min(LONGEST_ECHO),
        };
        self.put_back(note, rest, |note| note.done = true);
    }

    /// A note is to be tried again, after a pause that grows. `unsure`: it may have been carried out all the same.
    pub(super) fn retry(&self, note: &Note, unsure: bool) {
        let pause = growing_pause(note.failures, LONGEST_PAUSE, rand::random());
        self.put_back(note, pause, |note| {
            note.failures += 1;
            note.unsure |= unsure;
        });
    }

    fn put_back(&self, note: &Note, pause: Duration, change: impl FnOnce(&mut Note)) {
        let mut notes = self.lock();
        if let Some(kept) = notes.of(note.kind).get_mut(&note.uid) {
            change(kept);
            self.enqueue(&mut notes, Instant::now() + pause, note.kind, Arc::clone(&note.uid));
        }
    }

    fn enqueue(&self, notes: &mut Notes, due: Instant, kind: Kind, uid: Arc<str>) {
        let is_first = notes.queue.first().is_none_or(|(first, ..)| due < *first);
        notes.queue.insert((due, kind, uid));
        if is_first {
            self.earlier.notify_one();
        }
    }

    fn spread(&self) -> Duration {
        (self.interval / 10).min(LONGEST_SPREAD)
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    fn of(&mut self, kind: Kind) -> &mut HashMap<Arc<str>, Note> {
        match kind {
            Kind::Reuse => &mut self.reuses,
            Kind::Use => &mut self.uses,
        }
    }

    fn take(&mut self, now: Instant) -> Next {
        while let Some((due, kind, uid)) = self.queue.pop_first() {
            if due > now {
                self.queue.insert((due, kind, uid));
                return Next::At(due);
            }
            match self.of(kind).get(&uid) {
                Some(note) if !note.done => return Next::Note(Box::new(note.clone())),
                _ => drop(self.of(kind).remove(&uid)),
            }
        }
        Next::Nothing
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::TokenType,
        domain::credential::Token,
        verifier::{
            Index, Moment, Request, Requirements,
            credential::{Credential, Presented},
            decide,
        },
    };

    const NOW: &str = "2026-06-01T12:00:00Z";

    /// What is decided about the tokens a, b and so on, each with its first use still to come.
    fn decisions(count: u8) -> Vec<Decision> {
        let index = Index::new();
        let organisation = json!({ "metadata": { "name": "acme" }, "spec": { "namespaces": { "names": ["shop"] } } });
        index.apply_organisation(&serde_json::from_value(typed("Organisation", organisation)).unwrap());
        let mut random = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(1);
        let decide = |number: u8| {
            let plain = Token::generate("acme", TokenType::Organisation, &mut random);
            let digest = plain.digest().to_string();
            let credential = json!({ "id": 1, "digest": digest, "state": "Active", "issuedAt": NOW });
            let token = json!({
                "metadata": { "namespace": "shop", "name": format!("token-{number}"), "uid": format!("u-{number}") },
                "spec": { "organisation": "acme" },
                "status": { "credentials": [credential], "grant": {} },
            });
            index.apply_token(&serde_json::from_value(typed("ApiToken", token)).unwrap());
            let presented = Presented::Credential(Credential::token(plain.expose()));
            let request = Request {
                presented: &presented,
                address: None,
                requires: &Requirements::default(),
            };
            let moment = Moment {
                now: NOW.parse().unwrap(),
                age: Some(Duration::ZERO),
                max_age: Duration::ZERO,
                sightings: None,
            };
            decide(&index, &request, &moment)
        };
        (0..count).map(decide).collect()
    }

    fn typed(kind: &str, mut object: serde_json::Value) -> serde_json::Value {
        object["apiVersion"] = json!("tokenwright.dev/v1alpha1");
        object["kind"] = json!(kind);
        object
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_fit_is_counted_and_what_is_written_makes_room() {
        let sightings = Sightings {
            most: 2,
            ..Sightings::new(LAST_USED_INTERVAL, Arc::default())
        };
        let noted = decisions(3);
        let note = |which: usize| sightings.note(&noted[which], None, NOW.parse().unwrap());
        (0..3).for_each(note);
        assert_eq!(sightings.metrics.sightings_dropped.get(), 1);
        let mut written = Vec::new();
        for _ in 0..2 {
            let next = sightings.next().await;
            sightings.settle(&next);
            written.push(next.uid.to_string());
        }
        written.sort();
        assert_eq!(written, ["u-0", "u-1"]);
        let nothing = tokio::time::timeout(LONGEST_ECHO * 2, sightings.next()).await;
        assert!(nothing.is_err(), "{nothing:?}");
        note(2);
        assert_eq!(
            (&*sightings.next().await.uid, sightings.metrics.sightings_dropped.get()),
            ("u-2", 1)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_used_at_once_are_written_over_a_few_seconds() {
        let sightings = Sightings::new(LAST_USED_INTERVAL, Arc::default());
        let begin = Instant::now();
        for decision in decisions(200) {
            sightings.note(&decision, None, NOW.parse().unwrap());
        }
        let mut late = [0; 5];
        for _ in 0..200 {
            sightings.next().await;
            // A timer fires up to a millisecond late, so the last may come just after the end.
            late[begin.elapsed().as_secs().min(4) as usize] += 1;
        }
        assert!(late.iter().all(|second| (15..80).contains(second)), "{late:?}");
    }
}
