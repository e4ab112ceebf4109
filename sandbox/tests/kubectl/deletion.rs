//! Finalizers, cascades, namespaces.

use super::{Bench, holds};

#[tokio::test]
async fn finalizers_hold_back() {
    let bench = Bench::new().await;
    bench.ok("create configmap a").await;
    bench
        .ok("patch configmap a -p {\"metadata\":{\"finalizers\":[\"example.com/hold\"]}}")
        .await;
    holds(&bench.refused("delete configmap a --timeout=1s").await, &["timed out"]);
    bench.ok("delete configmap a --wait=false").await;
    holds(
        &bench.ok("get configmap a -o yaml").await,
        &["deletionTimestamp", "example.com/hold"],
    );
    let waiting = bench
        .kubectl
        .command("wait configmap/a --for=delete --timeout=20s".split(' '))
        .spawn()
        .expect("kubectl runs");
    bench
        .ok("patch configmap a --type=merge -p {\"metadata\":{\"finalizers\":null}}")
        .await;
    assert!(waiting.wait_with_output().await.expect("it ends").status.success());
    bench.refused("get configmap a").await;
}

#[tokio::test]
async fn cascades() {
    let bench = Bench::new().await;
    for (policy, left) in [("background", ""), ("foreground", ""), ("orphan", "configmap/child\n")] {
        bench.ok("create configmap owner").await;
        let uid = bench.ok("get configmap owner -o jsonpath={.metadata.uid}").await;
        bench.write(
            "child.yaml",
            &format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: child\n  ownerReferences:\n  - {{apiVersion: v1, kind: \
                 ConfigMap, name: owner, uid: {uid}, blockOwnerDeletion: true}}\n"
            ),
        );
        bench.ok("create -f child.yaml").await;
        bench
            .ok(&format!("delete configmap owner --cascade={policy} --timeout=20s"))
            .await;
        assert_eq!(bench.ok("get configmaps -o name").await, left, "{policy}");
    }
    assert_eq!(
        bench
            .ok("get configmap child -o jsonpath={.metadata.ownerReferences}")
            .await,
        ""
    );
}

#[tokio::test]
async fn namespaces() {
    let bench = Bench::new().await;
    bench.ok("create namespace team").await;
    bench.ok("-n team create configmap a").await;
    bench.ok("-n team create secret generic b").await;
    bench.ok("delete namespace team --timeout=20s").await;
    holds(
        &bench.refused("get namespace team").await,
        &["namespaces \"team\" not found"],
    );
    assert!(
        !bench
            .sandbox
            .dump()
            .iter()
            .any(|object| object["metadata"]["namespace"] == "team")
    );
}
