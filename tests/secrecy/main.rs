//! A token stands in its Secret and nowhere else. By itself in a process, because it captures all that is logged.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with the other tests in one process")]
#[path = "../in_process/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "shared with the other tests in one process")]
#[path = "../in_process/deployed.rs"]
mod deployed;

mod captured;
mod collector;
#[allow(dead_code, reason = "shared with the tests of the binary")]
#[path = "../kubectl/http.rs"]
mod http;
mod log;
#[allow(dead_code, reason = "shared with the tests of the binary")]
#[path = "../kubectl/process.rs"]
mod process;
mod traces;

use std::time::Duration;

use kube_sandbox::faults::{Fault, Match};
use serde_json::json;

use captured::Captured;
use cluster::Cluster;

#[tokio::test(start_paused = true)]
async fn no_token_is_in_any_object_but_its_secret_nor_in_logs_or_metrics() {
    let logs = Captured::begin();

    let cluster = Cluster::start().await;
    let mut tokens = Vec::new();
    cluster.sandbox.faults().inject(
        Match::writes().resource("secrets").skip(3).times(2),
        Fault::internal_error(),
    );
    cluster
        .sandbox
        .faults()
        .inject(Match::writes().resource("secrets").skip(6).times(1), Fault::DropAnswer);
    for (number, spec) in [
        json!({}),
        json!({ "expiry": { "after": "2h", "action": "Rotate" } }),
        json!({ "secret": { "delivery": "Once" } }),
        json!({ "expiry": { "after": "1h" } }),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("t{number}");
        cluster.issue(&name, spec).await;
        for round in 0..3 {
            cluster.pass(Duration::from_secs(2)).await;
            tokens.extend(cluster.token(&name).await.value("token"));
            cluster
                .patch(&name, json!({ "rotation": { "trigger": round.to_string() } }))
                .await;
        }
    }
    cluster.pass_hours(5).await;

    tokens.sort_unstable();
    tokens.dedup();
    assert!(tokens.len() >= 8, "only {} tokens were seen", tokens.len());
    let objects: Vec<String> = cluster
        .sandbox
        .dump()
        .iter()
        .filter(|object| object["kind"] != "Secret")
        .map(|object| object.to_string())
        .collect();
    let logs = logs.text();
    assert!(logs.contains("Put new credential"), "nothing was captured: {logs}");
    let metrics = cluster.metrics.encode();
    for token in &tokens {
        assert!(
            !objects.iter().any(|object| object.contains(token.as_str())),
            "a token is in an object"
        );
        assert!(!logs.contains(token.as_str()), "a token is in the log");
        assert!(!metrics.contains(token.as_str()), "a token is in the metrics");
    }
}
