//! One of several controllers leads: the one that holds a Lease. The others stand by.
//!
//! ```text
//!  win ──► work, with a guarded client ──► ended: release
//!              └─ hold: renew the lease ──► lost: the work is dropped where it is
//! ```
//!
//! # Guarantees
//! The leader sends nothing from two thirds of the lease's duration after it last renewed it, and another one begins, at
//! the earliest, a whole duration after it saw that renewal. Neither looks at the times that are written into the lease,
//! so nothing depends on clocks that agree. This also holds for a process that is stopped in the middle of a write and
//! goes on later: [`Term`] is asked whenever a request moves.
//!
//! # Caveats
//! What has left the process arrives when the network says so. A clock that stands still while the machine sleeps makes
//! the lease seem longer to its holder. Against both stand the preconditions of the writes themselves.
//!
//! # Why not `kube-lease-manager`
//! It goes by the times that a lease shows, so that clocks must agree. It takes an expired lease without a
//! `resourceVersion`, so that two can believe for a moment to have it.

mod candidate;
mod lost;
mod term;
#[cfg(test)]
mod tests;

use std::{future::Future, sync::Arc, time::Duration};

use futures::future::{self, Either, FutureExt};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client, Resource,
    api::{ObjectMeta, PostParams},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};

use self::{
    candidate::{Candidate, Found, Move},
    lost::Failure,
};
pub use self::{
    lost::Lost,
    term::{Guard, Term},
};
use crate::{clock::Clock, metrics::Metrics, pause::growing_pause};

/// Which lease, and who asks for it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the lease is.
    pub namespace: String,
    /// What it is called.
    pub name: String,
    /// What no other candidate calls itself, nor this one after a restart.
    pub identity: String,
    /// How long the others wait without a sign of life from its holder.
    pub duration: Duration,
}

impl Settings {
    /// How long after a renewal was sent its holder leads. The rest of the duration is for what is on its way.
    fn deadline(&self) -> Duration {
        self.duration * 2 / 3
    }

    /// How often the holder renews the lease.
    fn renewal(&self) -> Duration {
        self.duration / 6
    }

    /// How often candidates look. One that does not look does not see that the lease was released.
    fn look(&self) -> Duration {
        (self.duration / 12).min(Duration::from_secs(1))
    }

    /// When a request is given up: early enough for another.
    fn patience(&self) -> Duration {
        self.duration / 4
    }
}

const FIELD_MANAGER: &str = "tokenwright-leader";
/// How often it is tried to release the lease, as its last renewal may still be on its way.
const RELEASES: u32 = 3;

/// One candidate for the lease.
#[derive(Clone, Debug)]
pub struct Election {
    leases: Api<Lease>,
    settings: Settings,
    term: Term,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Election {
    /// A candidate that asks for the lease through `client`, which must not be guarded by `term`. The clock is only for
    /// the times that the lease shows.
    pub fn new(client: Client, settings: Settings, term: Term, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self {
            leases: Api::namespaced(client, &settings.namespace),
            settings,
            term,
            clock,
            metrics,
        }
    }

    /// Does `work` while it leads, until that is over. A `shutdown` that comes before it leads ends it too; after that it
    /// is for the work to heed. The lease is released when the work has ended.
    ///
    /// # Errors
    /// When the lease is lost. The work has been dropped then.
    pub async fn lead(
        self,
        work: impl Future<Output = ()> + Send,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Lost> {
        let won = match future::select(self.win().boxed(), Box::pin(shutdown)).await {
            Either::Left((lease, _)) => Some(lease),
            Either::Right(_) => None,
        };
        if let Some(lease) = won {
            let (name, identity) = (&self.settings.name, &self.settings.identity);
            tracing::info!(lease = name, identity, "leading");
            self.metrics.leads(true);
            let ended = self.work_while_it_leads(lease, work).await;
            self.term.end();
            self.metrics.leads(false);
            ended?;
        }
        self.release().await;
        Ok(())
    }

    async fn work_while_it_leads(&self, lease: Lease, work: impl Future<Output = ()> + Send) -> Result<(), Lost> {
        // In a task of its own, so that it has its turn beside the work.
        let mut holding = JoinSet::new();
        let election = self.clone();
        holding.spawn(async move {
            let lost = election.hold(lease).await;
            // Before the work knows: it sends nothing more.
            election.term.end();
            lost
        });
        match future::select(holding.join_next().boxed(), work.boxed()).await {
            Either::Left((Some(Ok(failure)), _)) => Err(Lost::new(&self.settings, failure)),
            // It does nothing but hold the lease: it has panicked.
            Either::Left(_) => Err(Lost::new(&self.settings, Failure::Paused)),
            Either::Right(((), _)) => Ok(()),
        }
    }

    /// Waits until the lease is this candidate's.
    async fn win(&self) -> Lease {
        let mut candidate = Candidate::new(self.settings.identity.clone(), self.settings.duration);
        let (mut failures, mut leader) = (0, None);
        loop {
            let pause = match self.look(&mut candidate).await {
                Ok(Look::Won(lease)) => return *lease,
                Ok(Look::Beaten) => Duration::ZERO,
                Ok(Look::Held { holder, free_in }) => {
                    failures = 0;
                    self.metrics.stands_by();
                    if leader.as_ref() != Some(&holder) {
                        tracing::info!(lease = self.settings.name, leader = holder, "standing by");
                        leader = Some(holder);
                    }
                    free_in.min(self.settings.look())
                }
                Err(error) => {
                    let pause = growing_pause(failures, 5 * self.settings.look(), rand::random());
                    failures += 1;
                    let (namespace, name) = (&self.settings.namespace, &self.settings.name);
                    tracing::warn!(namespace, name, %error, retry_in = ?pause, "the lease could not be asked for");
                    pause
                }
            };
            sleep(pause).await;
        }
    }

    /// Looks at the lease once, and takes it when it is free.
    async fn look(&self, candidate: &mut Candidate) -> Result<Look, Failure> {
        let lease = self.read().await?;
        let found = lease.as_ref().map(Found::from);
        let now = Instant::now();
        let (sent, taken) = match (candidate.next(found, now), lease) {
            (Move::Wait { holder, until }, _) => {
                return Ok(Look::Held {
                    holder,
                    free_in: until.saturating_duration_since(now),
                });
            }
            (Move::Take, Some(lease)) => (now, self.replace(&self.taken(lease)).await),
            (Move::Take, None) => (now, self.create().await),
        };
        match taken {
            Ok(lease) => {
                self.term.extend(sent + self.settings.deadline());
                Ok(Look::Won(Box::new(lease)))
            }
            Err(Failure::Conflict) => Ok(Look::Beaten),
            Err(error) => Err(error),
        }
    }

    /// Renews the lease until it is lost.
    async fn hold(&self, lease: Lease) -> Failure {
        let (mut known, mut last_error) = (Some(lease), None);
        let mut next = Instant::now() + self.settings.renewal();
        loop {
            let end = self.term.end_of_it();
            sleep_until(next.min(end)).await;
            let sent = Instant::now();
            if sent >= end {
                return last_error.unwrap_or(Failure::Paused);
            }
            let renewed = timeout_at(end, self.renew(known.take())).await;
            match renewed.unwrap_or(Err(Failure::Late)) {
                Ok(lease) => {
                    self.term.extend(sent + self.settings.deadline());
                    (known, last_error) = (Some(lease), None);
                    next = sent + self.settings.renewal();
                }
                Err(failure) if failure.is_final() => return failure,
                Err(failure) => {
                    tracing::warn!(lease = self.settings.name, error = %failure, "the lease could not be renewed");
                    last_error = Some(failure);
                    next = Instant::now() + self.settings.look();
                }
            }
        }
    }

    /// Renews the lease as it is known, or else as it is.
    async fn renew(&self, known: Option<Lease>) -> Result<Lease, Failure> {
        let lease = match known {
            Some(lease) => lease,
            None => self.read().await?.ok_or_else(gone)?,
        };
        match holder(&lease) {
            Some(holder) if holder == self.settings.identity => self.replace(&self.taken(lease)).await,
            other => Err(Failure::Taken(other.map(str::to_owned))),
        }
    }

    /// Lets go of the lease, if it is this candidate's. Nothing depends on it: without it the others wait for longer.
    async fn release(&self) {
        for _ in 0..RELEASES {
            let Ok(Some(mut lease)) = self.read().await else {
                return;
            };
            if holder(&lease) != Some(&self.settings.identity) {
                return;
            }
            let spec = lease.spec.get_or_insert_default();
            (spec.holder_identity, spec.renew_time) = (None, Some(MicroTime(self.clock.now())));
            match self.replace(&lease).await {
                Err(Failure::Conflict) => {}
                Ok(_) => {
                    tracing::info!(lease = self.settings.name, "released the lease");
                    return;
                }
                Err(error) => {
                    tracing::warn!(lease = self.settings.name, %error, "the lease could not be released");
                    return;
                }
            }
        }
    }

    /// The lease with this candidate as its holder, from now on or still.
    fn taken(&self, mut lease: Lease) -> Lease {
        let now = MicroTime(self.clock.now());
        let identity = &self.settings.identity;
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_ref() != Some(identity) {
            spec.holder_identity = Some(identity.clone());
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
        }
        spec.lease_duration_seconds = Some(i32::try_from(self.settings.duration.as_secs()).unwrap_or(i32::MAX));
        spec.renew_time = Some(now);
        lease
    }

    async fn read(&self) -> Result<Option<Lease>, Failure> {
        self.answer(self.leases.get_opt(&self.settings.name)).await
    }

    async fn create(&self) -> Result<Lease, Failure> {
        let lease = self.taken(Lease {
            metadata: ObjectMeta {
                name: Some(self.settings.name.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                lease_transitions: Some(-1),
                ..LeaseSpec::default()
            }),
        });
        let parameters = parameters();
        self.answer(self.leases.create(&parameters, &lease)).await
    }

    /// Writes the lease, if nobody has since it was read.
    async fn replace(&self, lease: &Lease) -> Result<Lease, Failure> {
        debug_assert!(
            lease.meta().resource_version.is_some(),
            "or it would be taken from anybody"
        );
        let parameters = parameters();
        self.answer(self.leases.replace(&self.settings.name, &parameters, lease))
            .await
    }

    async fn answer<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
        let answer = timeout(self.settings.patience(), request).await;
        answer.map_err(|_| Failure::Late)?.map_err(Failure::from)
    }
}

/// What came of a look at the lease.
enum Look {
    Won(Box<Lease>),
    /// Somebody else was quicker.
    Beaten,
    Held {
        holder: String,
        free_in: Duration,
    },
}

fn parameters() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

fn gone() -> Failure {
    Failure::Absent("somebody deleted it".to_owned())
}

/// Who holds a lease. One that was released has no holder, or an empty one.
fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref();
    holder.filter(|holder| !holder.is_empty())
}

impl From<&Lease> for Found {
    fn from(lease: &Lease) -> Self {
        let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
        Self {
            holder: holder(lease).map(str::to_owned),
            version: lease.metadata.resource_version.clone(),
            duration: Duration::from_secs(seconds.and_then(|seconds| seconds.try_into().ok()).unwrap_or_default()),
        }
    }
}
