//! A life under policies ends the same whatever goes wrong on the way.

use super::*;

/// A life under policies that come, change and go, under faults that `disturb` injects before every step. Returns what
/// every token is in the end.
async fn live(mut disturb: impl AsyncFnMut(&mut Cluster, usize)) -> Vec<(String, String, Option<i64>, bool)> {
    let mut cluster = Cluster::start().await;
    for (name, spec) in [
        ("forever", json!({})),
        ("long", json!({ "expiry": { "after": "90d" } })),
        ("rotating", json!({ "expiry": { "after": "30d", "action": "Rotate" } })),
        ("owner", json!({ "role": "Owner", "expiry": { "after": "90d" } })),
    ] {
        cluster.issue(name, spec).await;
        cluster.pass(Duration::from_secs(2)).await;
    }
    let steps = [
        ("max", Some(json!({ "expiry": { "max": "60d" } }))),
        ("roles", Some(json!({ "roles": { "allowed": ["Admin"] } }))),
        ("max", Some(json!({ "expiry": { "max": "40d" } }))),
        ("few", Some(json!({ "maxTokens": 3 }))),
        ("roles", None),
        ("max", None),
    ];
    for (step, (name, spec)) in steps.into_iter().enumerate() {
        disturb(&mut cluster, step).await;
        match spec {
            Some(spec) => cluster.policy(name, spec).await,
            None => cluster.delete_policy(name).await,
        }
        cluster.pass_hours(1).await;
    }
    disturb(&mut cluster, 6).await;
    cluster.pass_hours(24 * 25).await;
    let mut ending = Vec::new();
    for name in ["forever", "long", "rotating", "owner"] {
        let (_, reason, held) = cluster.state(name).await;
        ending.push((name.to_owned(), reason, cluster.expires(name).await, held.is_some()));
    }
    ending
}

fn undisturbed() -> Vec<(String, String, Option<i64>, bool)> {
    let token = |name: &str, reason: &str, expires, held| (name.to_owned(), reason.to_owned(), Some(expires), held);
    vec![
        token("forever", "Issued", 40, true),
        token("long", "Issued", 40, true),
        token("rotating", "Rotating", 50, true),
        // Too young by one, and cut while its role was not allowed.
        token("owner", "PolicyViolation", 40, true),
    ]
}

#[tokio::test(start_paused = true)]
async fn the_undisturbed_life_under_policies_is_as_expected() {
    assert_eq!(live(async |_, _| {}).await, undisturbed());
}

#[tokio::test(start_paused = true)]
async fn any_trouble_under_policies_ends_in_the_same_state() {
    let faults = [
        Fault::conflict(),
        Fault::too_many_requests(1),
        Fault::internal_error(),
        Fault::timeout(),
        Fault::DropRequest,
        Fault::DropAnswer,
    ];
    for fault in faults {
        for nth in 0..3 {
            let ending = live(async |cluster: &mut Cluster, _| {
                for resource in ["apitokens", "tokenpolicies"] {
                    let status = Match::writes().resource(resource).subresource("status");
                    let one = status.skip(nth).times(1);
                    cluster.sandbox.faults().inject(one, fault.clone());
                }
            })
            .await;
            assert_eq!(ending, undisturbed(), "{fault:?} at write {nth}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn watches_that_fail_at_any_step_of_a_policy_end_in_the_same_state() {
    for at in 0..7 {
        for trouble in 0..4 {
            let ending = live(async |cluster: &mut Cluster, step| {
                let faults = cluster.sandbox.faults();
                match trouble {
                    _ if step != at => faults.resume_watches("tokenpolicies"),
                    0 => faults.close_watches("*"),
                    1 => faults.expire_watches("*"),
                    2 => faults.pause_watches("tokenpolicies"),
                    _ => {
                        cluster.crash().await;
                        cluster.run_controller();
                    }
                }
            })
            .await;
            assert_eq!(ending, undisturbed(), "trouble {trouble} at step {at}");
        }
    }
}
