//! A second look before a credential is called unknown.
//!
//! A token is in its Secret only once the API server has its digest, so one that nobody knows may be one whose news is
//! still on the way, or got lost with a connection that hangs. So the watches are taken up anew, and the answer waits for
//! what they bring: briefly, not for too many at a time, and not over and over for the same credential.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{Instant, timeout_at},
};

use crate::domain::credential::Digest;

/// For how long an answer waits at most. Envoy gives its question up after 200 ms unless told otherwise.
const WAIT: Duration = Duration::from_millis(120);
/// How many may wait; who comes on top of them is answered at once.
const WAITING: usize = 256;
/// For how long a credential that stayed unknown is not looked for again.
const REMEMBERED: Duration = Duration::from_secs(60);
const REMEMBERED_AT_MOST: usize = 4096;

/// What is done before a credential is called unknown: its news may still be on the way.
#[derive(Debug)]
pub struct SecondLook {
    renew: watch::Sender<()>,
    changed: Notify,
    places: Semaphore,
    in_vain: Mutex<HashMap<Digest, Instant>>,
}

impl Default for SecondLook {
    fn default() -> Self {
        Self {
            renew: watch::Sender::new(()),
            changed: Notify::new(),
            places: Semaphore::new(WAITING),
            in_vain: Mutex::default(),
        }
    }
}

impl SecondLook {
    /// Changes when the watches are to be taken up anew.
    pub(super) fn renewals(&self) -> watch::Receiver<()> {
        self.renew.subscribe()
    }

    /// The index may know more than before.
    pub(super) fn changed(&self) {
        self.changed.notify_waiters();
    }

    /// These credentials have ended: there is no sense in looking for them, and their refusal must not wait.
    pub(super) fn spare(&self, ended: Vec<Digest>) {
        let now = Instant::now();
        for digest in ended {
            self.note_in_vain(digest, now);
        }
    }

    /// Waits until `is_known` holds, if it comes to hold soon. Returns whether it does.
    pub(super) async fn look(&self, digest: &Digest, mut is_known: impl FnMut() -> bool) -> bool {
        let now = Instant::now();
        let Ok(_place) = self.places.try_acquire() else {
            return false;
        };
        if self.was_in_vain(digest, now) {
            return false;
        }
        let mut changed = std::pin::pin!(self.changed.notified());
        self.renew.send_replace(());
        loop {
            // Listens before it looks, so that no change is missed in between.
            changed.as_mut().enable();
            if is_known() {
                return true;
            }
            if timeout_at(now + WAIT, changed.as_mut()).await.is_err() {
                self.note_in_vain(*digest, now);
                return false;
            }
            changed.set(self.changed.notified());
        }
    }

    fn was_in_vain(&self, digest: &Digest, now: Instant) -> bool {
        let in_vain = self.in_vain.lock().unwrap_or_else(PoisonError::into_inner);
        in_vain.get(digest).is_some_and(|&then| now < then + REMEMBERED)
    }

    fn note_in_vain(&self, digest: Digest, now: Instant) {
        let mut in_vain = self.in_vain.lock().unwrap_or_else(PoisonError::into_inner);
        if in_vain.len() >= REMEMBERED_AT_MOST {
            in_vain.retain(|_, then| now < *then + REMEMBERED);
        }
        if in_vain.len() >= REMEMBERED_AT_MOST {
            in_vain.clear();
        }
        in_vain.insert(digest, now);
    }
}
