//! Who may do what.

use super::{Bench, holds};

#[tokio::test]
async fn rights() {
    let bench = Bench::new().await;
    let bob = bench.as_user("bob");
    let anonymous = bench.as_user("nobody");
    holds(
        &bob.ok(["auth", "whoami"]).await,
        &["bob", "developers", "system:authenticated"],
    );
    let refused = bob.run(["get", "secrets"]).await;
    holds(
        &refused.stderr,
        &[
            "secrets is forbidden: User \"bob\" cannot list resource \"secrets\" in API group \"\" in the namespace \"default\"",
        ],
    );
    assert!(!anonymous.run(["get", "secrets"]).await.success);

    bench.ok("create role reader --verb=get,list --resource=secrets").await;
    bench
        .ok("create rolebinding reader --role=reader --group=developers")
        .await;
    bob.ok(["get", "secrets"]).await;
    assert_eq!(bob.run(["auth", "can-i", "delete", "secrets"]).await.stdout, "no\n");
    assert_eq!(
        bench.ok("auth can-i list secrets --as bob --as-group developers").await,
        "yes\n"
    );
    holds(&bob.ok(["auth", "can-i", "--list"]).await, &["secrets", "[get list]"]);

    // Nobody grants what they do not have.
    bench
        .ok("create role granter --verb=create,get,update --resource=roles,rolebindings")
        .await;
    bench.ok("create rolebinding granter --role=granter --user=bob").await;
    bob.ok(["create", "role", "fewer", "--verb=get", "--resource=secrets"])
        .await;
    let more = bob
        .run(["create", "role", "more", "--verb=delete", "--resource=secrets"])
        .await;
    holds(
        &more.stderr,
        &[
            "roles.rbac.authorization.k8s.io \"more\" is forbidden: user \"bob\"",
            "is attempting to grant RBAC permissions not currently held:",
            "{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"delete\"]}",
        ],
    );
    let bind = bob
        .run([
            "create",
            "rolebinding",
            "all",
            "--clusterrole=cluster-admin",
            "--user=bob",
        ])
        .await;
    holds(
        &bind.stderr,
        &["is attempting to grant RBAC permissions not currently held"],
    );

    bench
        .ok("create rolebinding viewer --clusterrole=view --user=bob")
        .await;
    bob.ok(["get", "configmaps"]).await;
    assert_eq!(
        bench
            .ok("auth can-i create deployments --as x --as-group system:masters")
            .await,
        "yes\n"
    );
}

#[tokio::test]
async fn only_loopback_is_served() {
    let refused = kube_sandbox::Sandbox::new()
        .serve("0.0.0.0:0".parse().expect("an address"))
        .await;
    holds(
        &refused.expect_err("it is refused").to_string(),
        &["0.0.0.0:0 is not a loopback address"],
    );
}
