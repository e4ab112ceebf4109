//! What changes or goes while the controller is at it, and how it is tried again.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use kube::api::{DeleteParams, Patch, PatchParams};
use kube_sandbox::faults::{Fault, Match};
use serde_json::json;
use tokenwright::api::{Organisation, TokenPolicy};

use crate::{cluster::Cluster, deployed::CONTROLLER};

/// The controller's writes of the status of this resource.
fn status_of(resource: &str) -> Match {
    let ours = Match::writes().user(CONTROLLER);
    ours.resource(resource).subresource("status")
}

/// How many reconciles of ApiTokens ended otherwise than well.
fn failures(cluster: &Cluster) -> u64 {
    let metrics = cluster.metrics.encode();
    let failed = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix("tokenwright_reconciles_total{kind=\"ApiToken\",result=")?;
        let (result, count) = rest.split_once("} ")?;
        (result != "\"ok\"").then(|| count.parse::<u64>().unwrap())
    });
    failed.sum()
}

/// What the log says, in this thread, to those who read it from `info` on.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn keep(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || log.clone());
        tracing::subscriber::set_default(subscriber.finish())
    }

    fn warnings(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(str::to_owned);
        lines
            .filter(|line| line.contains(" WARN ") || line.contains(" ERROR "))
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn issuing_and_rotating_meet_no_conflict_of_their_own_making() {
    let cluster = Cluster::start().await;
    cluster
        .issue("web", json!({ "expiry": { "after": "90d", "action": "Rotate" } }))
        .await;
    cluster.pass_hours(24 * 365).await;
    assert_eq!(cluster.token("web").await.status().rotations, 6);
    let requests = cluster.sandbox.requests().all();
    let refused = requests.iter().filter(|request| request.code >= 400);
    let refused: Vec<_> = refused
        .map(|request| (&request.verb, request.full_resource(), request.code))
        .collect();
    assert_eq!(refused, []);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_that_stays_is_tried_again_less_and_less_and_at_once_when_something_newer_is_there() {
    let log = Log::default();
    let _kept = log.keep();
    let cluster = Cluster::start().await;
    let policies: kube::Api<TokenPolicy> = kube::Api::all(cluster.client.clone());
    let organisations: kube::Api<Organisation> = kube::Api::all(cluster.client.clone());
    let policy = TokenPolicy::new("p", serde_json::from_value(json!({})).unwrap());
    let kinds = ["apitokens", "organisations", "tokenpolicies"];
    let conflicts = kinds.map(|kind| cluster.sandbox.faults().inject(status_of(kind), Fault::conflict()));
    cluster.create("web", json!({})).await;
    policies.create(&Default::default(), &policy).await.unwrap();
    cluster.pass_hours(1).await;
    for (kind, conflict) in kinds.iter().zip(&conflicts) {
        // The longest pause is 30 seconds.
        let tries = conflict.hits();
        assert!((100..300).contains(&tries), "{tries} tries in an hour for {kind}");
    }
    // It is not for the log before it lasts.
    let warned = log.warnings().len() as u64;
    let tries: u64 = conflicts.iter().map(|conflict| conflict.hits()).sum();
    assert_eq!(warned, tries - 3 * 4);

    for conflict in conflicts {
        conflict.remove();
    }
    let touch = Patch::Merge(json!({ "metadata": { "labels": { "touched": "yes" } } }));
    let params = PatchParams::default();
    cluster.tokens().patch("web", &params, &touch).await.unwrap();
    organisations.patch("acme", &params, &touch).await.unwrap();
    policies.patch("p", &params, &touch).await.unwrap();
    cluster.idle().await;
    assert_eq!(cluster.token("web").await.ready(), ("True", "Issued"));
    // The others gather changes for a second.
    cluster.pass(Duration::from_secs(1)).await;
    let organisation = organisations.get("acme").await.unwrap();
    assert_eq!(organisation.status.unwrap().tokens.unwrap().active, 1);
    let policy = policies.get("p").await.unwrap();
    assert_eq!(policy.status.unwrap().tokens.unwrap().matched, 1);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_changed_under_a_write_is_looked_at_as_soon_as_that_is_known() {
    let cluster = Cluster::start().await;
    let conflict = cluster.sandbox.faults().inject(
        Match::any().user(CONTROLLER).verb("update").resource("secrets"),
        Fault::conflict(),
    );
    cluster.issue("web", json!({})).await;
    cluster.patch("web", json!({ "rotation": { "trigger": "now" } })).await;
    cluster.pass_hours(1).await;
    assert!((100..300).contains(&conflict.hits()), "{} tries", conflict.hits());
    conflict.remove();
    let touch = Patch::Merge(json!({ "metadata": { "annotations": { "touched": "yes" } } }));
    cluster
        .secrets()
        .patch("web", &PatchParams::default(), &touch)
        .await
        .unwrap();
    cluster.idle().await;
    assert_eq!(cluster.token("web").await.held(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_deleted_while_it_is_worked_on_is_no_failure() {
    for is_made_anew in [false, true] {
        for fault in [Fault::HangBefore, Fault::HangAfter] {
            for nth in 0..2 {
                let log = Log::default();
                let _kept = log.keep();
                let cluster = Cluster::start().await;
                let at = status_of("apitokens").skip(nth).times(1);
                let held = cluster.sandbox.faults().inject(at, fault.clone());
                cluster.create("web", json!({})).await;
                cluster.idle().await;
                assert_eq!(held.hits(), 1);
                cluster.tokens().delete("web", &DeleteParams::default()).await.unwrap();
                if is_made_anew {
                    cluster.create("web", json!({})).await;
                }
                held.remove();
                cluster.pass(Duration::from_secs(60)).await;

                let case = format!("made anew: {is_made_anew}, {fault:?} at write {nth}");
                assert_eq!(failures(&cluster), 0, "{case}");
                assert_eq!(log.warnings(), [""; 0], "{case}");
                if is_made_anew {
                    let token = cluster.token("web").await;
                    assert_eq!((token.ready(), token.held()), (("True", "Issued"), Some(1)), "{case}");
                } else {
                    assert!(cluster.secrets().get_opt("web").await.unwrap().is_none(), "{case}");
                }
            }
        }
    }
}
