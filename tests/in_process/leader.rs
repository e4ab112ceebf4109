//! Several controllers, one of which leads.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use kube_sandbox::{
    User,
    faults::{Fault, Match},
};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokenwright::{
    controller::{self, Controller},
    leader::{Election, Lost, Settings, Term},
    metrics::Metrics,
};
use tokio::{sync::oneshot, task::JoinHandle, time::Instant};

use crate::{
    cluster::{Cluster, START},
    deployed::NAMESPACE,
};

const LEASE: &str = "tokenwright-controller";
const DURATION: Duration = Duration::from_secs(12);
const DEADLINE: Duration = Duration::from_secs(8);
/// How exactly moments are seen.
const STEP: Duration = Duration::from_millis(50);

/// A controller that takes part in the election as a user of its own.
struct Replica {
    metrics: Arc<Metrics>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), Lost>>,
}

impl Replica {
    fn start(cluster: &Cluster, name: &str) -> Self {
        let user = User::new(name).group("system:masters");
        let (metrics, term) = (Arc::<Metrics>::default(), Term::default());
        let election = election(cluster, user.clone(), "shop", &term, &metrics);
        let guarded = Client::new(term.guard(cluster.sandbox.service_as(user)), "default");
        let seed = name.bytes().map(u64::from).sum();
        let settings = controller::Settings {
            clock_check: None,
            watch_period: None,
            ..controller::Settings::default()
        };
        let controller = Controller::new(guarded, settings, metrics.clone())
            .with_clock(cluster.clock())
            .with_entropy(Box::new(StdRng::seed_from_u64(seed)));
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = stopped.map(drop).shared();
        let running = tokio::spawn(election.lead(controller.run(stopped.clone()), stopped));
        Self { metrics, stop, running }
    }

    fn leads(&self) -> bool {
        self.metrics.encode().contains("\ntokenwright_leader 1\n")
    }

    /// Whether it is as a process that was killed.
    async fn kill(self) {
        self.running.abort();
        let _ = self.running.await;
    }

    /// Ends it as SIGTERM does.
    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.running.await.unwrap().unwrap();
    }

    /// Why it ended by itself.
    async fn lost(self) -> String {
        assert!(self.running.is_finished());
        self.running.await.unwrap().unwrap_err().to_string()
    }
}

fn election(cluster: &Cluster, user: User, namespace: &str, term: &Term, metrics: &Arc<Metrics>) -> Election {
    let settings = Settings {
        namespace: namespace.to_owned(),
        name: LEASE.to_owned(),
        identity: format!("{} the {}", user.name, rand::random::<u64>()),
        duration: DURATION,
    };
    let client = Client::new(cluster.sandbox.service_as(user), "default");
    Election::new(client, settings, term.clone(), cluster.clock(), metrics.clone())
}

/// Holds the lease for a while as this user, where it is installed.
pub(crate) async fn lead_for(cluster: &Cluster, user: &str, time: Duration) {
    let election = election(cluster, User::new(user), NAMESPACE, &Term::default(), &Arc::default());
    let ended = election.lead(cluster.pass(time), std::future::pending());
    ended.await.unwrap();
}

/// How long it takes until something is so.
async fn until(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "never: {what}");
        tokio::time::sleep(STEP).await;
    }
    began.elapsed()
}

/// A cluster in which a leads and b stands by.
async fn two() -> (Cluster, Replica, Replica) {
    let cluster = Cluster::without_controller().await;
    let first = Replica::start(&cluster, "a");
    cluster.pass(Duration::from_secs(1)).await;
    let second = Replica::start(&cluster, "b");
    cluster.pass(Duration::from_secs(30)).await;
    assert!(first.leads() && !second.leads() && second.metrics.is_standing_by());
    (cluster, first, second)
}

fn leases(cluster: &Cluster) -> Api<Lease> {
    Api::namespaced(cluster.client.clone(), "shop")
}

/// Who wrote anything but the lease since the log was cleared.
fn writers(cluster: &Cluster) -> BTreeSet<String> {
    let requests = cluster.sandbox.requests().all();
    let writes = requests
        .into_iter()
        .filter(|request| request.write && request.resource != "leases" && request.user.len() == 1);
    writes.map(|request| request.user).collect()
}

fn only(name: &str) -> BTreeSet<String> {
    BTreeSet::from([name.to_owned()])
}

async fn assert_issues(cluster: &Cluster, name: &str) {
    let token = cluster.issue(name, json!({})).await;
    assert_eq!((token.ready().0, token.accepted().len()), ("True", 1));
}

#[tokio::test(start_paused = true)]
async fn one_of_two_works_and_the_other_only_looks_at_the_lease() {
    let (cluster, first, second) = two().await;
    assert_issues(&cluster, "web").await;
    assert_eq!(writers(&cluster), only("a"));
    let asked = cluster.sandbox.requests().all();
    let asked: BTreeSet<String> = asked
        .into_iter()
        .filter(|request| request.user == "b")
        .map(|request| format!("{} {}", request.verb, request.resource))
        .collect();
    assert_eq!(asked, BTreeSet::from(["get leases".to_owned()]));
    assert!(first.metrics.is_ready() && !second.metrics.is_ready());
}

#[tokio::test(start_paused = true)]
async fn of_two_that_begin_together_one_leads() {
    let cluster = Cluster::without_controller().await;
    let both = ["a", "b"].map(|name| Replica::start(&cluster, name));
    cluster.pass(Duration::from_secs(60)).await;
    assert_eq!(both.iter().filter(|replica| replica.leads()).count(), 1);
    let lease = leases(&cluster).get(LEASE).await.unwrap().spec.unwrap();
    let holder = lease.holder_identity.unwrap();
    assert_eq!(holder.starts_with("a the "), both[0].leads());
    assert_eq!(
        (lease.lease_transitions, lease.lease_duration_seconds),
        (Some(0), Some(12))
    );
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_dies_is_followed_within_15_seconds() {
    for phase in [0, 400, 800, 1200, 1600, 2000] {
        let (cluster, first, second) = two().await;
        cluster.pass(Duration::from_millis(phase)).await;
        first.kill().await;
        let took = until("b leads", || second.leads()).await;
        assert!(
            took < Duration::from_secs(15) && took > DEADLINE,
            "{took:?} after {phase} ms"
        );
        cluster.idle().await;
        assert_issues(&cluster, "web").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_ends_is_followed_within_2_seconds() {
    let (cluster, first, second) = two().await;
    cluster.create("web", json!({})).await;
    let began = Instant::now();
    first.stop().await;
    until("b leads and knows everything", || second.metrics.is_ready()).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_issues(&cluster, "blog").await;
    let lease = leases(&cluster).get(LEASE).await.unwrap().spec.unwrap();
    assert_eq!(lease.lease_transitions, Some(1));
    second.stop().await;
    let lease = leases(&cluster).get(LEASE).await.unwrap().spec.unwrap();
    assert_eq!(lease.holder_identity, None);
}

#[tokio::test(start_paused = true)]
async fn one_that_ends_while_it_stands_by_leaves_the_lease_alone() {
    let (cluster, first, second) = two().await;
    second.stop().await;
    cluster.pass(Duration::from_secs(60)).await;
    assert!(first.leads());
}

#[tokio::test(start_paused = true)]
async fn whenever_the_leader_dies_the_end_is_the_same() {
    for fault in [Fault::HangBefore, Fault::HangAfter] {
        for (nth, rotations) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            for resource in ["secrets", "apitokens"] {
                let (cluster, first, _second) = two().await;
                if rotations > 0 {
                    assert_issues(&cluster, "web").await;
                }
                let write = Match::writes().user("a").resource(resource).skip(nth).times(1);
                cluster.sandbox.faults().inject(write, fault.clone());
                let wanted = json!({ "rotation": { "trigger": "now", "overlap": "0s" } });
                if rotations > 0 {
                    cluster.patch("web", wanted).await;
                } else {
                    cluster.create("web", wanted).await;
                }
                cluster.idle().await;
                first.kill().await;
                cluster.sandbox.faults().clear();
                cluster.pass(Duration::from_secs(15)).await;
                let token = cluster.token("web").await;
                assert_eq!(
                    (token.ready(), token.accepted().len(), token.held().is_some()),
                    (("True", "Issued"), 1, true),
                    "{fault:?} at write {nth} of {resource}"
                );
                assert_eq!(
                    token.status().rotations,
                    rotations,
                    "{fault:?} at write {nth} of {resource}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_in_a_write_stops_before_another_begins() {
    for fault in [Fault::HangBefore, Fault::DropRequest, Fault::unavailable()] {
        for resource in ["secrets", "apitokens"] {
            let (cluster, first, second) = two().await;
            let began = Instant::now();
            let held_up = Match::writes().user("a").resource(resource);
            cluster.sandbox.faults().inject(held_up, Fault::HangBefore);
            cluster.create("web", json!({})).await;
            cluster.idle().await;
            cluster.sandbox.requests().clear();
            cluster.sandbox.faults().inject(Match::any().user("a"), fault.clone());

            until("a has stopped", || first.running.is_finished()).await;
            let stopped = began.elapsed();
            assert!(stopped <= DEADLINE + 2 * STEP, "{stopped:?}");
            assert!(!second.leads());
            assert!(!first.leads());
            cluster.sandbox.faults().clear();
            until("b leads", || second.leads()).await;
            assert!(began.elapsed() > stopped + Duration::from_secs(2));
            cluster.idle().await;
            assert_eq!(writers(&cluster), only("b"));
            let token = cluster.token("web").await;
            assert_eq!(
                (token.ready(), token.accepted().len(), token.held().is_some()),
                (("True", "Issued"), 1, true)
            );
            let why = first.lost().await;
            assert!(why.starts_with("lost the lease shop/tokenwright-controller: "), "{why}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn renewals_that_fail_now_and_then_are_made_up_for() {
    let (cluster, first, _second) = two().await;
    for fault in [
        Fault::DropAnswer,
        Fault::DropRequest,
        Fault::conflict(),
        Fault::unavailable(),
        Fault::HangAfter,
    ] {
        let renewal = Match::any().user("a").verb("update").resource("leases").times(1);
        let fault = cluster.sandbox.faults().inject(renewal, fault);
        cluster.pass(Duration::from_secs(15)).await;
        assert_eq!((fault.hits(), first.leads()), (1, true));
    }
    let label = Patch::Merge(json!({ "metadata": { "labels": { "team": "platform" } } }));
    leases(&cluster)
        .patch(LEASE, &PatchParams::default(), &label)
        .await
        .unwrap();
    cluster.pass(Duration::from_secs(60)).await;
    assert!(first.leads());
}

#[tokio::test(start_paused = true)]
async fn a_lease_deleted_by_hand_is_lost_and_not_taken_before_its_holder_knows() {
    let (cluster, first, second) = two().await;
    leases(&cluster).delete(LEASE, &DeleteParams::default()).await.unwrap();
    let stopped = until("a has stopped", || first.running.is_finished()).await;
    assert!(
        stopped <= Duration::from_secs(2) + 2 * STEP && !second.leads(),
        "{stopped:?}"
    );
    let why = first.lost().await;
    assert!(
        why.starts_with("lost the lease shop/tokenwright-controller: it is not there: "),
        "{why}"
    );
    let took = until("b leads", || second.leads()).await;
    assert!(took < DURATION, "{took:?}");
    assert_issues(&cluster, "web").await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_given_to_another_by_hand_is_lost() {
    let (cluster, first, second) = two().await;
    let given = Patch::Merge(json!({ "spec": { "holderIdentity": "somebody" } }));
    leases(&cluster)
        .patch(LEASE, &PatchParams::default(), &given)
        .await
        .unwrap();
    until("a has stopped", || first.running.is_finished()).await;
    let why = first.lost().await;
    assert!(why.contains(": somebody holds it."), "{why}");
    until("b leads", || second.leads()).await;
}

async fn hold_as_somebody(cluster: &Cluster, renewed: Timestamp, seconds: i64) {
    let renewed = renewed + SignedDuration::from_secs(seconds);
    let spec = json!({
        "holderIdentity": "somebody", "leaseDurationSeconds": 12,
        "renewTime": format!("{renewed:.6}"), "leaseTransitions": 3,
    });
    let lease: Value = json!({ "metadata": { "name": LEASE }, "spec": spec });
    let leases = leases(cluster);
    if leases.get_opt(LEASE).await.unwrap().is_some() {
        let patch = Patch::Merge(json!({ "spec": spec }));
        leases.patch(LEASE, &PatchParams::default(), &patch).await.unwrap();
    } else {
        let lease = serde_json::from_value(lease).unwrap();
        leases.create(&PostParams::default(), &lease).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_clock_is_wrong_is_followed_neither_sooner_nor_later() {
    let year = SignedDuration::from_hours(24 * 365);
    let right: Timestamp = START.parse().unwrap();
    for clock in [right - year, right, right + year] {
        let cluster = Cluster::without_controller().await;
        hold_as_somebody(&cluster, clock, 0).await;
        let replica = Replica::start(&cluster, "a");
        for second in 1..30 {
            cluster.pass(Duration::from_secs(2)).await;
            hold_as_somebody(&cluster, clock, second).await;
            assert!(!replica.leads());
        }
        let took = until("a leads", || replica.leads()).await;
        assert!(took >= DURATION && took < Duration::from_secs(14), "{took:?}");
        let lease = leases(&cluster).get(LEASE).await.unwrap().spec.unwrap();
        assert_eq!(lease.lease_transitions, Some(4));
    }
}

#[tokio::test(start_paused = true)]
async fn without_rights_on_the_lease_it_neither_leads_nor_is_ready_until_it_has_them() {
    let cluster = Cluster::without_controller().await;
    let forbidden = cluster
        .sandbox
        .faults()
        .inject(Match::any().resource("leases"), Fault::forbidden());
    let replica = Replica::start(&cluster, "a");
    cluster.pass(Duration::from_secs(60)).await;
    assert!(!replica.leads() && !replica.metrics.is_standing_by() && !replica.metrics.is_ready());
    forbidden.remove();
    let took = until("a leads", || replica.leads()).await;
    assert!(took <= Duration::from_secs(5), "{took:?}");
}
