//! What policies make of tokens.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_longest_life_cuts_live_tokens_and_nothing_gives_it_back() {
    let cluster = Cluster::start().await;
    cluster.issue("forever", json!({})).await;
    cluster.issue("long", json!({ "expiry": { "after": "90d" } })).await;
    cluster.issue("short", json!({ "expiry": { "after": "10d" } })).await;
    cluster.pass_hours(24 * 5).await;
    cluster.policy("max", json!({ "expiry": { "max": "30d" } })).await;
    let ends = async || {
        let [forever, long, short] = ["forever", "long", "short"].map(async |name| cluster.expires(name).await);
        [forever.await, long.await, short.await]
    };
    assert_eq!(ends().await, [Some(30), Some(30), Some(10)]);
    assert_eq!(cluster.state("long").await, is("False", "PolicyViolation", Some(1)));
    cluster.policy("max", json!({ "expiry": { "max": "60d" } })).await;
    assert_eq!(ends().await, [Some(30), Some(30), Some(10)]);
    cluster.delete_policy("max").await;
    assert_eq!(ends().await, [Some(30), Some(30), Some(10)]);
    assert_eq!(cluster.state("long").await, is("True", "Issued", Some(1)));
    cluster.pass_hours(24 * 3).await;
    // Eight days old by now.
    cluster.policy("max", json!({ "expiry": { "max": "7d" } })).await;
    for name in ["forever", "long", "short"] {
        assert_eq!(cluster.state(name).await.2, None, "{name}");
        assert!(cluster.token(name).await.secret.is_none(), "{name}");
    }
    cluster.delete_policy("max").await;
    for name in ["forever", "long", "short"] {
        assert_eq!(cluster.state(name).await, is("False", "Expired", None), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_none_may_be_issued_secrets_go_and_come_back_with_another_token() {
    let cluster = Cluster::start().await;
    cluster.issue("web", json!({})).await;
    let before = cluster.token("web").await.value("token");
    cluster.policy("none", json!({ "issuance": "Deny" })).await;
    assert_eq!(cluster.state("web").await, is("False", "IssuanceDenied", None));
    let token = cluster.token("web").await;
    assert!(token.secret.is_none() && token.accepted().is_empty());
    assert!(cluster.events("web").await.contains(&"IssuanceDenied".to_owned()));
    assert_eq!(cluster.issue("new", json!({})).await.ready().1, "IssuanceDenied");
    cluster.delete_policy("none").await;
    assert_eq!(cluster.state("web").await, is("True", "Issued", Some(2)));
    assert_eq!(cluster.state("new").await, is("True", "Issued", Some(1)));
    assert_ne!(cluster.token("web").await.value("token"), before);
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_for_the_types_it_names() {
    let cluster = Cluster::start().await;
    cluster
        .organisation(json!({ "members": [{ "kind": "User", "name": "ann", "role": "Admin" }] }))
        .await;
    cluster.issue("web", json!({})).await;
    cluster
        .issue("mine", json!({ "type": "Personal", "user": "ann" }))
        .await;
    cluster
        .policy("none", json!({ "issuance": "Deny", "types": ["Personal"] }))
        .await;
    assert_eq!(cluster.state("web").await, is("True", "Issued", Some(1)));
    assert_eq!(cluster.compliance("web").await, None);
    assert_eq!(cluster.state("mine").await, is("False", "IssuanceDenied", None));
}

#[tokio::test(start_paused = true)]
async fn what_tokens_may_have_is_what_policies_allow() {
    for (policy, refused, mended) in [
        (
            json!({ "roles": { "allowed": ["Owner", "Member"] } }),
            json!({ "role": "Admin" }),
            json!({ "role": "Owner" }),
        ),
        (
            json!({ "permissions": { "allowed": ["orders:*"] } }),
            json!({ "role": "Member", "permissions": ["orders:read", "users:read"] }),
            json!({ "permissions": ["orders:read"] }),
        ),
        (
            json!({ "projects": { "required": true } }),
            json!({}),
            json!({ "projects": ["web"] }),
        ),
        (
            json!({ "expiry": { "required": true } }),
            json!({}),
            json!({ "expiry": { "after": "30d" } }),
        ),
        (
            json!({ "expiry": { "allowed": ["7d", "30d"] } }),
            json!({ "expiry": { "after": "8d" } }),
            json!({ "expiry": { "after": "7d" } }),
        ),
        (
            json!({ "ipFilters": { "allowCustom": false } }),
            json!({ "ipFilters": ["office"] }),
            json!({ "ipFilters": null }),
        ),
    ] {
        let cluster = Cluster::start().await;
        let rules = json!([{ "action": "Allow", "address": "all" }]);
        cluster
            .organisation(json!({
                "projects": [{ "name": "web" }], "ipFilters": [{ "name": "office", "rules": rules }],
            }))
            .await;
        cluster.policy("strict", policy.clone()).await;
        let token = cluster.issue("web", refused).await;
        assert_eq!(
            (token.ready(), token.held()),
            (("False", "PolicyViolation"), None),
            "{policy}"
        );
        let message = token.message();
        assert!(message.starts_with("TokenPolicy \"strict\" ("), "{message}");
        cluster.patch("web", mended).await;
        assert_eq!(cluster.state("web").await, is("True", "Issued", Some(1)), "{policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn frozen_rights_stay_as_they_were_granted() {
    let cluster = Cluster::start().await;
    cluster.issue("web", json!({ "role": "Member" })).await;
    cluster
        .policy("frozen", json!({ "permissions": { "allowUpdates": false } }))
        .await;
    cluster.patch("web", json!({ "role": "Admin" })).await;
    assert_eq!(cluster.state("web").await, is("False", "PolicyViolation", Some(1)));
    let role = |token: &ApiTokenStatus| token.grant.as_ref().unwrap().role.clone();
    assert_eq!(role(cluster.token("web").await.status()).as_deref(), Some("Member"));
    cluster.delete_policy("frozen").await;
    assert_eq!(cluster.state("web").await, is("True", "Issued", Some(1)));
    assert_eq!(role(cluster.token("web").await.status()).as_deref(), Some("Admin"));
}

#[tokio::test(start_paused = true)]
async fn a_default_is_for_those_that_ask_for_no_end() {
    let cluster = Cluster::start().await;
    cluster.policy("ends", json!({ "expiry": { "default": "7d" } })).await;
    cluster.issue("web", json!({})).await;
    cluster.issue("own", json!({ "expiry": { "after": "9d" } })).await;
    assert_eq!(
        (cluster.expires("web").await, cluster.expires("own").await),
        (Some(7), Some(9))
    );
    cluster.pass_hours(24 * 8).await;
    assert_eq!(cluster.state("web").await, is("False", "Expired", None));
}

#[tokio::test(start_paused = true)]
async fn the_oldest_tokens_have_their_place_and_the_next_takes_one_that_is_given_back() {
    let cluster = Cluster::start().await;
    cluster.policy("few", json!({ "maxTokens": 2 })).await;
    for (name, spec) in [
        ("a", json!({ "expiry": { "after": "10d" } })),
        ("b", json!({})),
        ("c", json!({})),
        ("d", json!({})),
    ] {
        cluster.issue(name, spec).await;
        cluster.pass(Duration::from_secs(2)).await;
    }
    let held = async || {
        let mut held = Vec::new();
        for name in ["b", "c", "d"] {
            held.push(cluster.state(name).await.2.is_some());
        }
        held
    };
    assert_eq!(held().await, [true, false, false]);
    cluster.writes();
    // One is deleted, and later the oldest expires.
    cluster.tokens().delete("b", &DeleteParams::default()).await.unwrap();
    cluster.pass(COUNTED).await;
    assert_eq!(cluster.state("c").await, is("True", "Issued", Some(1)));
    assert_eq!(cluster.state("d").await, is("False", "PolicyViolation", None));
    let of_d = |request: &&kube_sandbox::RequestRecord| request.write && request.name == "d";
    assert_eq!(cluster.sandbox.requests().all().iter().filter(of_d).count(), 0);
    cluster.pass_hours(24 * 10).await;
    assert_eq!(cluster.state("a").await, is("False", "Expired", None));
    assert_eq!(cluster.state("d").await, is("True", "Issued", Some(1)));
    // What expired is given a new life, and is the oldest again.
    cluster.patch("a", json!({ "rotation": { "trigger": "again" } })).await;
    assert_eq!(cluster.state("a").await, is("True", "Issued", Some(2)));
    assert_eq!(cluster.state("d").await.1, "PolicyViolation");
    // More may be had.
    cluster.policy("few", json!({ "maxTokens": 3 })).await;
    assert_eq!(cluster.state("d").await, is("True", "Issued", Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_limit_counts_the_tokens_that_are_there_when_it_comes_and_when_it_comes_again() {
    let cluster = Cluster::start().await;
    for name in ["a", "b", "c"] {
        cluster.issue(name, json!({})).await;
        cluster.pass(Duration::from_secs(2)).await;
    }
    cluster.policy("few", json!({ "maxTokens": 2 })).await;
    assert_eq!(cluster.state("b").await.1, "Issued");
    assert_eq!(cluster.state("c").await.1, "PolicyViolation");
    cluster.delete_policy("few").await;
    assert_eq!(cluster.state("c").await.1, "Issued");
    // While nothing is limited one goes and another comes.
    cluster.tokens().delete("a", &DeleteParams::default()).await.unwrap();
    cluster.issue("d", json!({})).await;
    cluster.policy("few", json!({ "maxTokens": 2 })).await;
    assert_eq!(cluster.state("c").await.1, "Issued");
    assert_eq!(cluster.state("d").await.1, "PolicyViolation");
}

#[tokio::test(start_paused = true)]
async fn places_are_counted_right_after_a_restart_and_a_missed_deletion() {
    let mut cluster = Cluster::start().await;
    cluster.policy("few", json!({ "maxTokens": 1 })).await;
    for name in ["a", "b", "c"] {
        cluster.issue(name, json!({})).await;
        cluster.pass(Duration::from_secs(2)).await;
    }
    cluster.stop().await;
    cluster.writes();
    cluster.run_controller();
    cluster.pass(COUNTED).await;
    assert_eq!(cluster.writes(), [""; 0]);
    cluster.sandbox.faults().pause_watches("apitokens");
    cluster.tokens().delete("a", &DeleteParams::default()).await.unwrap();
    cluster.sandbox.faults().expire_watches("apitokens");
    cluster.sandbox.faults().resume_watches("apitokens");
    cluster.pass(Duration::from_secs(10)).await;
    assert_eq!(cluster.state("b").await, is("True", "Issued", Some(1)));
    assert_eq!(cluster.state("c").await.1, "PolicyViolation");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_uses_is_suspended_or_deleted_in_time() {
    for (action, held, gone) in [("Suspend", Some(1), false), ("Delete", None, true)] {
        let cluster = Cluster::start().await;
        cluster
            .policy("idle", json!({ "idle": { "after": "10d", "action": action } }))
            .await;
        cluster.issue("unused", json!({})).await;
        cluster.issue("used", json!({})).await;
        cluster.pass_hours(24 * 6).await;
        use_token(&cluster, "used").await;
        cluster.pass_hours(24 * 4 - 1).await;
        assert_eq!(cluster.state("unused").await, is("True", "Issued", Some(1)), "{action}");
        cluster.pass_hours(2).await;
        assert_eq!(cluster.state("unused").await, is("False", "Idle", held), "{action}");
        assert_eq!(cluster.token("unused").await.secret.is_none(), gone, "{action}");
        assert_eq!(cluster.state("used").await, is("True", "Issued", Some(1)), "{action}");
        cluster.pass_hours(24 * 6).await;
        assert_eq!(cluster.state("used").await, is("False", "Idle", held), "{action}");
        cluster
            .patch("unused", json!({ "rotation": { "trigger": "back" } }))
            .await;
        let (ready, _, held) = cluster.state("unused").await;
        assert_eq!((&*ready, held), ("True", Some(2)), "{action}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_use_that_is_told_late_takes_back_that_the_token_is_idle() {
    for enforcement in ["Enforce", "Warn"] {
        let cluster = Cluster::start().await;
        let idle = json!({ "enforcement": enforcement, "idle": { "after": "10d" } });
        cluster.policy("idle", idle).await;
        cluster.issue("web", json!({})).await;
        let fine = cluster.compliance("web").await;
        cluster.pass_hours(24 * 10 - 1).await;
        let used = cluster.now();
        cluster.pass_hours(2).await;
        let flagged = cluster.compliance("web").await;
        assert_ne!(flagged, fine, "{enforcement}");
        use_token_at(&cluster, "web", used).await;
        cluster.idle().await;
        assert_eq!(
            cluster.state("web").await,
            is("True", "Issued", Some(1)),
            "{enforcement}"
        );
        assert_eq!(cluster.compliance("web").await, fine, "{enforcement}");
        assert!(!cluster.token("web").await.status().violating);
        let counts = PolicyCounts {
            matched: 1,
            violating: 0,
        };
        assert_eq!(
            cluster.policy_status("idle").await.tokens,
            Some(counts),
            "{enforcement}"
        );
        // It falls idle again in its time.
        cluster.pass_hours(24 * 10).await;
        assert_eq!(cluster.compliance("web").await, flagged, "{enforcement}");
    }
}

async fn use_token(cluster: &Cluster, name: &str) {
    use_token_at(cluster, name, cluster.now()).await;
}

/// As a verifier brings it back.
async fn use_token_at(cluster: &Cluster, name: &str, at: Timestamp) {
    let seen = Sighting {
        at: Time(at),
        from: None,
        credential: Some(1),
    };
    let patch = Patch::Merge(json!({ "status": { "lastUsed": seen } }));
    let params = PatchParams::default();
    cluster.tokens().patch_status(name, &params, &patch).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_warns_reports_and_changes_nothing_else() {
    let cluster = Cluster::start().await;
    let before = cluster.issue("web", json!({})).await;
    cluster
        .policy(
            "preview",
            json!({
                "enforcement": "Warn", "issuance": "Deny", "expiry": { "max": "1d", "required": true }, "maxTokens": 1,
                "idle": { "after": "1h", "action": "Delete" },
            }),
        )
        .await;
    let status = cluster.policy_status("preview").await;
    let one = PolicyCounts {
        matched: 1,
        violating: 1,
    };
    assert_eq!(status.tokens, Some(one));
    let violation = &status.violations[0];
    assert_eq!((&*violation.namespace, &*violation.name), ("shop", "web"));
    let says = "TokenPolicy \"preview\" (issuance): no tokens of this type are issued";
    assert!(violation.message.starts_with(says), "{}", violation.message);
    let (ready, reason, message) = cluster.compliance("web").await.unwrap();
    assert_eq!((&*ready, &*reason), ("True", "Compliant"));
    assert!(message.contains(says), "{message}");
    cluster.pass_hours(24 * 3).await;
    assert_eq!(cluster.state("web").await, is("True", "Issued", Some(1)));
    assert_eq!(cluster.expires("web").await, None);
    let unlike_conditions = |status: &ApiTokenStatus| {
        let mut status = status.clone();
        status
            .conditions
            .retain(|condition| condition.type_ != POLICY_COMPLIANT);
        status
    };
    let after = cluster.token("web").await;
    assert_eq!(unlike_conditions(after.status()), unlike_conditions(before.status()));
    assert_eq!(cluster.issue("new", json!({})).await.held(), Some(1));
    let organisation: Organisation = Api::all(cluster.client.clone()).get("acme").await.unwrap();
    assert_eq!(organisation.status.unwrap().tokens.unwrap().violating, 0);
    cluster.delete_policy("preview").await;
    assert_eq!(cluster.compliance("web").await, None);
}
