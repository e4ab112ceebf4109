use std::{sync::Arc, time::Duration};

use kube_sandbox::faults::{Fault, Match};
use serde_json::json;

use crate::cluster::Cluster;

const WATCHED: [&str; 5] = ["organisations", "tokenpolicies", "namespaces", "apitokens", "secrets"];

fn delay(cluster: &Cluster, resource: &str, namespace: Option<&str>) {
    for verb in ["list", "watch"] {
        let mut requests = Match::any().verb(verb).resource(resource);
        if let Some(namespace) = namespace {
            requests = requests.namespace(namespace);
        }
        cluster
            .sandbox
            .faults()
            .inject(requests.times(1), Fault::Delay(Duration::from_secs(5)));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_judged_before_everything_is_listed() {
    for resource in WATCHED {
        let mut cluster = Cluster::start().await;
        // Allowed by the namespace's labels, so that those are needed too.
        let labels = json!({ "kubernetes.io/metadata.name": "shop" });
        cluster
            .organisation(json!({ "namespaces": { "selector": { "matchLabels": labels } } }))
            .await;
        cluster.idle().await;
        cluster.issue("web", json!({})).await;
        cluster.pass_hours(2).await;
        cluster.stop().await;
        cluster.writes();
        cluster.metrics = Arc::default();
        delay(&cluster, resource, None);
        cluster.run_controller();
        cluster.pass(Duration::from_secs(2)).await;
        assert!(!cluster.metrics.is_ready(), "ready without {resource}");
        cluster.pass(Duration::from_secs(60)).await;
        assert!(cluster.metrics.is_ready(), "not ready after {resource} came");
        assert_eq!(cluster.writes(), [""; 0], "with slow {resource}");
        // That of its issue is kept for an hour only.
        assert_eq!(cluster.events("web").await, [""; 0], "with slow {resource}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_is_stopped_before_everything_is_listed_judges_nothing() {
    for resource in WATCHED {
        let mut cluster = Cluster::start().await;
        cluster.issue("web", json!({})).await;
        cluster.pass_hours(2).await;
        cluster.stop().await;
        cluster.writes();
        delay(&cluster, resource, None);
        cluster.run_controller();
        cluster.pass(Duration::from_secs(2)).await;
        cluster.stop().await;
        assert_eq!(cluster.writes(), [""; 0], "with slow {resource}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_ready_only_when_every_namespace_is_listed() {
    for resource in ["apitokens", "secrets"] {
        let mut cluster = Cluster::watching(&["blog", "shop"]).await;
        cluster.create_namespace("blog").await;
        delay(&cluster, resource, Some("shop"));
        cluster.run_controller();
        cluster.pass(Duration::from_secs(2)).await;
        assert!(!cluster.metrics.is_ready(), "ready without the {resource} of shop");
        cluster.pass(Duration::from_secs(10)).await;
        assert!(cluster.metrics.is_ready());
        assert_eq!(cluster.issue("web", json!({})).await.ready(), ("True", "Issued"));
    }
}
