//! What verifiers bring back on the resource.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;
use kube::{Client, api::DeleteParams};
use kube_sandbox::{
    User,
    faults::{Fault, FaultHandle, Match},
};
use serde_json::json;
use tokenwright::{
    api::{
        ApiToken, Sighting,
        condition::{self, REUSE_DETECTED},
    },
    verifier::{
        Code, Dialect, Freshness, Index, Judge, Requirements, Writer,
        credential::{Credential, Presented},
    },
};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{cluster::Cluster, deployed::VERIFIER};

const CLIENT: &str = "203.0.113.9";
/// Longer than a sighting waits before it is written.
const SPREAD: Duration = Duration::from_secs(6);

/// One verifier, fed by hand, with the rights it is deployed with.
struct Replica {
    judge: Judge,
    stop: oneshot::Sender<()>,
    writing: JoinHandle<()>,
}

impl Replica {
    async fn start(cluster: &Cluster) -> Self {
        let freshness = Freshness::new(1);
        freshness.heard(0);
        let judge = Judge {
            clock: cluster.clock(),
            max_staleness: Duration::MAX,
            ..Judge::new(Arc::new(Index::new()), Arc::new(freshness))
        };
        // Until the controller has counted the organisation's tokens.
        cluster.pass(Duration::from_secs(2)).await;
        cluster.sandbox.requests().clear();
        let client = Client::new(cluster.sandbox.service_as(User::new(VERIFIER)), "default");
        let (stop, stopped) = oneshot::channel();
        let writing = Writer::new(client, &judge).run(async {
            let _ = stopped.await;
        });
        let replica = Self {
            writing: tokio::spawn(writing),
            judge,
            stop,
        };
        replica.learn(cluster).await;
        replica
    }

    /// Takes in what the cluster has now.
    async fn learn(&self, cluster: &Cluster) {
        for organisation in cluster.list().await {
            self.judge.index.apply_organisation(&organisation);
        }
        for token in cluster.list::<ApiToken>().await {
            self.judge.index.apply_token(&token);
        }
    }

    async fn present(&self, plain: &str) -> Code {
        let presented = Presented::Credential(Credential::token(plain));
        let address = Some(CLIENT.parse().unwrap());
        let requires = Requirements::default();
        let decision = self
            .judge
            .judge(Dialect::Verify, &http::HeaderMap::new(), &presented, address, &requires)
            .await;
        decision.code
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.writing.await.unwrap();
    }

    /// Whether the metrics have this line.
    fn counts(&self, line: &str) -> bool {
        let line = format!("tokenwright_verifier_{line}");
        self.judge.metrics.encode().lines().any(|found| found == line)
    }
}

/// What was accepted of the verifiers' writes, and what they asked, as `verb resource`, with how often.
fn requests(cluster: &Cluster, writes_only: bool) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for request in cluster.sandbox.requests().all() {
        if request.user == VERIFIER && (request.write || !writes_only) {
            *counts
                .entry(format!("{} {}", request.verb, request.full_resource()))
                .or_default() += 1;
        }
    }
    counts
}

fn written(cluster: &Cluster) -> usize {
    requests(cluster, true)
        .remove("patch apitokens/status")
        .unwrap_or_default()
}

/// A fault of the verifiers' writes into statuses.
fn disturb(cluster: &Cluster, times: u64, fault: Fault) -> FaultHandle {
    let patches = Match::any().user(VERIFIER).verb("patch").times(times);
    cluster.sandbox.faults().inject(patches, fault)
}

async fn last_used(cluster: &Cluster, name: &str) -> Option<Sighting> {
    cluster.token(name).await.status().last_used.as_deref().cloned()
}

fn sighting(at: Timestamp, credential: u64) -> Sighting {
    serde_json::from_value(json!({ "at": at.strftime("%FT%TZ").to_string(), "from": CLIENT, "credential": credential }))
        .unwrap()
}

async fn issue(cluster: &Cluster, name: &str) -> String {
    cluster.issue(name, json!({})).await.value("token").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_use_is_on_the_resource_within_seconds() {
    let cluster = Cluster::start().await;
    let plain = issue(&cluster, "web").await;
    let replica = Replica::start(&cluster).await;
    let now = cluster.now();
    assert_eq!(replica.present(&plain).await, Code::Valid);
    cluster.pass(SPREAD).await;
    assert_eq!(last_used(&cluster, "web").await, Some(sighting(now, 1)));
    assert!(replica.counts("sightings_total{field=\"lastUsed\",result=\"written\"} 1"));
}

/// Two verifiers for an hour of requests; `learns`: they hear what was written at once, or never.
async fn an_hour_of_two_verifiers(learns: bool) {
    let cluster = Cluster::start().await;
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut plains = Vec::new();
    for name in names {
        plains.push(issue(&cluster, name).await);
    }
    let replicas = [Replica::start(&cluster).await, Replica::start(&cluster).await];
    cluster.writes();
    let mut reads = Vec::new();
    for _ in 0..360 {
        for replica in &replicas {
            for plain in &plains {
                assert_eq!(replica.present(plain).await, Code::Valid);
            }
        }
        cluster.pass(Duration::from_secs(10)).await;
        if learns {
            for replica in &replicas {
                replica.learn(&cluster).await;
            }
        }
    }
    reads.extend(cluster.reads().into_iter().filter(|read| read != "get apitokens"));
    assert_eq!(reads, [""; 0], "nobody reads a Secret");
    assert_eq!(
        cluster.writes(),
        ["patch apitokens/status"; 36],
        "six tokens, six intervals, and nobody writes else"
    );
}

#[tokio::test(start_paused = true)]
async fn two_verifiers_write_once_per_token_and_interval() {
    an_hour_of_two_verifiers(true).await;
}

#[tokio::test(start_paused = true)]
async fn two_verifiers_that_hear_of_nothing_write_no_more() {
    an_hour_of_two_verifiers(false).await;
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_used_nothing_is_asked() {
    let cluster = Cluster::start().await;
    let plain = issue(&cluster, "web").await;
    let replica = Replica::start(&cluster).await;
    replica.present(&plain).await;
    cluster.pass(SPREAD).await;
    replica.learn(&cluster).await;
    cluster.sandbox.requests().clear();
    for _ in 0..50 {
        replica.present(&plain).await;
        cluster.pass(Duration::from_secs(10)).await;
    }
    cluster.pass_hours(48).await;
    assert_eq!(requests(&cluster, false), BTreeMap::new());
}

#[tokio::test(start_paused = true)]
async fn a_refused_credential_is_no_use() {
    let cluster = Cluster::start().await;
    let plain = issue(&cluster, "web").await;
    cluster.patch("web", json!({ "suspended": true })).await;
    let replica = Replica::start(&cluster).await;
    assert_eq!(replica.present(&plain).await, Code::Suspended);
    assert_eq!(replica.present("acme_oNobody").await, Code::Malformed);
    cluster.pass(SPREAD).await;
    assert_eq!(requests(&cluster, false), BTreeMap::new());
}

#[tokio::test(start_paused = true)]
async fn a_token_made_anew_under_the_same_name_is_not_called_used() {
    let cluster = Cluster::start().await;
    let plain = issue(&cluster, "web").await;
    let replica = Replica::start(&cluster).await;
    replica.present(&plain).await;
    let delete = async || cluster.tokens().delete("web", &DeleteParams::default()).await.unwrap();
    delete().await;
    cluster.idle().await;
    let plain = issue(&cluster, "web").await;
    cluster.pass(SPREAD).await;
    assert_eq!((last_used(&cluster, "web").await, written(&cluster)), (None, 0));
    assert!(replica.counts("sightings_total{field=\"lastUsed\",result=\"gone\"} 1"));

    // Between the read and the write.
    replica.learn(&cluster).await;
    let mut held = disturb(&cluster, 1, Fault::HangBefore);
    replica.present(&plain).await;
    held.hit().await;
    delete().await;
    cluster.idle().await;
    issue(&cluster, "web").await;
    held.remove();
    cluster.pass(SPREAD).await;
    assert_eq!((last_used(&cluster, "web").await, written(&cluster)), (None, 0));
    assert!(replica.counts("sightings_total{field=\"lastUsed\",result=\"conflict\"} 1"));
    assert!(replica.counts("sightings_total{field=\"lastUsed\",result=\"gone\"} 2"));
}

#[tokio::test(start_paused = true)]
async fn whatever_goes_wrong_a_use_is_written_once_and_every_answer_stays() {
    let faults = [
        Fault::conflict(),
        Fault::too_many_requests(1),
        Fault::forbidden(),
        Fault::internal_error(),
        Fault::unavailable(),
        Fault::DropRequest,
        Fault::DropAnswer,
        Fault::HangAfter,
    ];
    for fault in faults {
        let cluster = Cluster::start().await;
        let plain = issue(&cluster, "web").await;
        let replica = Replica::start(&cluster).await;
        if matches!(&fault, Fault::Fail(failure) if failure.code == 403) {
            cluster.refuses();
        }
        disturb(&cluster, 3, fault.clone());
        let reads = Match::any().user(VERIFIER).verb("get").skip(1).times(2);
        cluster.sandbox.faults().inject(reads, Fault::unavailable());
        let now = cluster.now();
        for _ in 0..20 {
            assert_eq!(replica.present(&plain).await, Code::Valid, "{fault:?}");
        }
        cluster.pass(Duration::from_secs(60)).await;
        assert_eq!(last_used(&cluster, "web").await, Some(sighting(now, 1)), "{fault:?}");
        assert_eq!(written(&cluster), 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_sat_out_and_the_newest_use_is_written() {
    let cluster = Cluster::start().await;
    let plain = issue(&cluster, "web").await;
    let replica = Replica::start(&cluster).await;
    let away = cluster
        .sandbox
        .faults()
        .inject(Match::any().user(VERIFIER), Fault::unavailable());
    for _ in 0..60 {
        replica.present(&plain).await;
        cluster.pass(Duration::from_secs(60)).await;
    }
    let tries = away.hits();
    assert!((15..40).contains(&tries), "{tries} tries in an hour");
    away.remove();
    cluster.pass_hours(1).await;
    let last = cluster.now() - SignedDuration::from_secs(3660);
    assert_eq!(last_used(&cluster, "web").await, Some(sighting(last, 1)));
    assert_eq!(written(&cluster), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_noted_is_written_at_the_end() {
    let cluster = Cluster::start().await;
    let plain = issue(&cluster, "web").await;
    let replica = Replica::start(&cluster).await;
    let now = cluster.now();
    replica.present(&plain).await;
    replica.stop().await;
    assert_eq!(last_used(&cluster, "web").await, Some(sighting(now, 1)));

    let cluster = Cluster::start().await;
    let plain = issue(&cluster, "web").await;
    let replica = Replica::start(&cluster).await;
    cluster
        .sandbox
        .faults()
        .inject(Match::any().user(VERIFIER), Fault::HangBefore);
    replica.present(&plain).await;
    tokio::time::timeout(Duration::from_secs(10), replica.stop())
        .await
        .expect("it did not stop");
}

/// A token whose first credential has been replaced, and both as they were in the Secret.
async fn replaced(cluster: &Cluster) -> [String; 2] {
    let old = issue(cluster, "web").await;
    cluster
        .patch("web", json!({ "rotation": { "trigger": "x", "overlap": "0s" } }))
        .await;
    [old, cluster.token("web").await.value("token").unwrap()]
}

async fn reuse_events(cluster: &Cluster) -> Vec<String> {
    let events = cluster.list::<Event>().await.into_iter();
    let ours = events.filter(|event| event.reason.as_deref() == Some("ReuseDetected"));
    ours.map(|event| {
        format!(
            "{}: {}",
            event.type_.unwrap_or_default(),
            event.note.unwrap_or_default()
        )
    })
    .collect()
}

#[tokio::test(start_paused = true)]
async fn a_replaced_credential_that_is_presented_is_reported_and_its_successor_works_on() {
    let cluster = Cluster::start().await;
    let [old, new] = replaced(&cluster).await;
    let replicas = [Replica::start(&cluster).await, Replica::start(&cluster).await];
    let seen = sighting(cluster.now(), 1);
    cluster.writes();
    for replica in &replicas {
        for _ in 0..100 {
            assert_eq!(replica.present(&old).await, Code::Retired);
        }
    }
    cluster.idle().await;
    // The verifiers' one write, and the controller's of the condition.
    assert_eq!(cluster.writes(), ["patch apitokens/status", "update apitokens/status"]);
    let message = format!(
        "Credential 1, which has been replaced, was presented from {CLIENT} at {} and refused. Find who still has it: \
         a workload that was not restarted, or somebody who copied it. The current credential works on; if that may be \
         known to others too, change spec.rotation.trigger.",
        seen.at.0
    );
    assert_eq!(reuse_events(&cluster).await, [format!("Warning: {message}")]);
    let token = cluster.token("web").await;
    assert_eq!(token.status().last_reuse.as_deref(), Some(&seen));
    let found = condition::find(&token.status().conditions, REUSE_DETECTED).unwrap();
    assert_eq!(
        (&*found.status, &*found.reason, &found.message),
        ("True", "ReuseDetected", &message)
    );
    assert_eq!(
        (token.ready(), token.status().last_used.clone()),
        (("True", "Issued"), None)
    );
    for replica in &replicas {
        assert!(
            replica.counts("reuse_detections_total 100"),
            "{}",
            replica.judge.metrics.encode()
        );
        assert_eq!(replica.present(&new).await, Code::Valid);
    }
    cluster.pass(SPREAD).await;
    assert_eq!(cluster.writes(), ["patch apitokens/status"], "the use of the new one");
    cluster.pass_hours(24).await;
    let token = cluster.token("web").await;
    assert_eq!(condition::find(&token.status().conditions, REUSE_DETECTED), None);
    assert_eq!(cluster.writes(), ["update apitokens/status"]);
}

#[tokio::test(start_paused = true)]
async fn a_reuse_that_goes_on_is_reported_once_in_an_interval() {
    for learns in [false, true] {
        let cluster = Cluster::start().await;
        let [old, _] = replaced(&cluster).await;
        let replicas = [Replica::start(&cluster).await, Replica::start(&cluster).await];
        for _ in 0..180 {
            for replica in &replicas {
                assert_eq!(replica.present(&old).await, Code::Retired);
                if learns {
                    replica.learn(&cluster).await;
                }
            }
            cluster.pass(Duration::from_secs(10)).await;
        }
        assert_eq!(
            (written(&cluster), reuse_events(&cluster).await.len()),
            (3, 3),
            "learns: {learns}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_reuse_whose_write_went_wrong_is_one_event_all_the_same() {
    for fault in [
        Fault::conflict(),
        Fault::internal_error(),
        Fault::DropRequest,
        Fault::DropAnswer,
    ] {
        let cluster = Cluster::start().await;
        let [old, _] = replaced(&cluster).await;
        let replica = Replica::start(&cluster).await;
        disturb(&cluster, 2, fault.clone());
        replica.present(&old).await;
        cluster.pass(Duration::from_secs(60)).await;
        replica.present(&old).await;
        cluster.pass(Duration::from_secs(60)).await;
        assert_eq!(
            (written(&cluster), reuse_events(&cluster).await.len()),
            (1, 1),
            "{fault:?}"
        );
    }
}
