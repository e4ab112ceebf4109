//! What the log says, and of which object.

use std::time::Duration;

use kube_sandbox::faults::{Fault, Match};
use serde_json::json;

use crate::{captured::Captured, cluster::Cluster};

/// The lines that say this, without their time.
fn lines(captured: &Captured, words: &str) -> Vec<String> {
    let text = captured.text();
    let lines = text.lines().filter(|line| line.contains(words));
    lines
        .map(|line| line.split_once(' ').unwrap().1.trim_start().to_owned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_line_names_its_object_once_and_so_that_it_can_be_asked_for() {
    let captured = Captured::begin();
    let cluster = Cluster::start().await;
    let secrets = Match::writes().resource("secrets").times(1);
    cluster.sandbox.faults().inject(secrets, Fault::internal_error());
    cluster.issue("web", json!({})).await;
    cluster.pass(Duration::from_secs(60)).await;

    let issued = lines(captured, "into Secret \"web\"");
    assert_eq!(
        issued,
        [
            r#"INFO tokenwright::controller::token: Put credential 1 into Secret "web". namespace="shop" name="web" reason="Issued""#
        ]
    );
    let failed = lines(
        captured,
        "a reconcile failed kind=\"ApiToken\" namespace=\"shop\" name=\"web\"",
    );
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(
        failed[0].starts_with(
            r#"WARN tokenwright::controller::reconciler: a reconcile failed kind="ApiToken" namespace="shop" name="web" "#
        ),
        "{failed:?}"
    );
}
