//! What stands in the way of whose rights, until they are tried again.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::super::backoff::{Backoffs, Failure, State};
use crate::api::condition::Finding;

/// How the rights that belong to one object stand.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Outcome {
    /// They are as they should be.
    InStep,
    /// It is not known yet what there is; when it is, they are looked at again.
    Unknown,
    /// They are not, and this long it is not tried again.
    Trouble(Finding, Duration),
}

/// By the UID of what the rights belong to.
#[derive(Debug, Default)]
pub(in super::super) struct Memory {
    backoffs: Backoffs,
    troubles: HashMap<String, Finding>,
}

impl Memory {
    /// What stands in the way, if it is too early to try again.
    pub(super) fn pausing(&self, uid: &str, generation: Option<i64>, now: Instant) -> Option<Outcome> {
        let finding = self.troubles.get(uid)?;
        let left = self.backoffs.remaining(state(uid, generation), now)?;
        Some(Outcome::Trouble(finding.clone(), left))
    }

    pub(super) fn failed(&mut self, uid: &str, generation: Option<i64>, finding: Finding, now: Instant) -> Outcome {
        let jitter = rand::random::<f64>();
        let wait = self
            .backoffs
            .failed(state(uid, generation), Failure::Refusal, now, jitter);
        self.troubles.insert(uid.to_owned(), finding.clone());
        Outcome::Trouble(finding, wait)
    }

    /// What failed may go well now.
    pub(in super::super) fn lift(&mut self, uid: &str, now: Instant) {
        self.backoffs.lift(uid, now);
    }

    /// The same for everybody.
    pub(in super::super) fn lift_all(&mut self, now: Instant) {
        for uid in self.troubles.keys() {
            self.backoffs.lift(uid, now);
        }
    }

    pub(in super::super) fn forget(&mut self, uid: &str) {
        self.backoffs.reset(uid);
        self.troubles.remove(uid);
    }
}

fn state(uid: &str, generation: Option<i64>) -> State<'_> {
    State {
        uid,
        generation,
        version: None,
    }
}
