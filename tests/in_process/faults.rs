use std::time::Duration;

use jiff::SignedDuration;
use kube::api::DeleteParams;
use kube_sandbox::faults::{Fault, Match};
use serde_json::json;
use tokenwright::{api::Organisation, clock::Clock, controller::Settings};

use crate::{cluster::Cluster, deployed::CONTROLLER};

/// The state a life ends in: Ready, the Secret's presence, how many credentials are accepted, how many rotations were
/// made, and how often a Secret was created, replaced and deleted.
type Ending = (String, bool, usize, u32, [usize; 3]);

/// A life with everything in it, under faults that `disturb` injects before every step.
async fn live(mut disturb: impl AsyncFnMut(&mut Cluster)) -> Ending {
    let mut cluster = Cluster::start().await;
    disturb(&mut cluster).await;
    cluster
        .create("web", json!({ "expiry": { "after": "30d", "action": "Rotate" } }))
        .await;
    cluster.pass_hours(1).await;
    disturb(&mut cluster).await;
    cluster.patch("web", json!({ "rotation": { "trigger": "now" } })).await;
    cluster.pass_hours(24 * 21).await;
    disturb(&mut cluster).await;
    cluster.secrets().delete("web", &DeleteParams::default()).await.unwrap();
    cluster.pass_hours(2).await;
    disturb(&mut cluster).await;
    cluster
        .patch("web", json!({ "expiry": { "action": "Delete", "after": "1d" } }))
        .await;
    cluster.pass_hours(24 * 3).await;

    let token = cluster.token("web").await;
    let writes = cluster.writes();
    let count = |what: &str| writes.iter().filter(|write| *write == what).count();
    // One deletion is the test's own.
    let secrets = [
        count("create secrets"),
        count("update secrets"),
        count("delete secrets"),
    ];
    let status = token.status();
    (
        token.ready().1.to_owned(),
        token.secret.is_some(),
        token.accepted().len(),
        status.rotations,
        secrets,
    )
}

fn undisturbed() -> Ending {
    ("Expired".to_owned(), false, 0, 3, [2, 3, 2])
}

#[tokio::test(start_paused = true)]
async fn the_undisturbed_life_is_as_expected() {
    assert_eq!(live(async |_| {}).await, undisturbed());
}

#[tokio::test(start_paused = true)]
async fn any_error_at_any_write_is_got_over() {
    let faults = [
        Fault::conflict(),
        Fault::too_many_requests(1),
        Fault::internal_error(),
        Fault::unavailable(),
        Fault::timeout(),
        Fault::DropRequest,
    ];
    for fault in faults {
        for nth in 0..4 {
            let ending = live(async |cluster: &mut Cluster| {
                let nth_of_ours = Match::writes()
                    .user(CONTROLLER)
                    .resource("apitokens")
                    .subresource("status")
                    .skip(nth)
                    .times(1);
                cluster.sandbox.faults().inject(nth_of_ours, fault.clone());
                cluster.sandbox.faults().inject(
                    Match::writes()
                        .resource("secrets")
                        .verb("create")
                        .verb("update")
                        .skip(nth)
                        .times(1),
                    fault.clone(),
                );
            })
            .await;
            assert_eq!(ending, undisturbed(), "{fault:?} at write {nth}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_neither_lost_nor_doubled() {
    for nth in 0..4 {
        let ending = live(async |cluster: &mut Cluster| {
            for resource in ["apitokens", "secrets"] {
                let writes = Match::any().verb("create").verb("update").resource(resource);
                let writes = if resource == "apitokens" {
                    writes.subresource("status")
                } else {
                    writes
                };
                cluster
                    .sandbox
                    .faults()
                    .inject(writes.skip(nth).times(1), Fault::DropAnswer);
            }
        })
        .await;
        assert_eq!(ending, undisturbed(), "at write {nth}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_before_or_after_any_write_is_resumed() {
    for committed in [false, true] {
        for nth in 0..4 {
            let mut cluster = Cluster::start().await;
            let fault = if committed { Fault::HangAfter } else { Fault::HangBefore };
            for step in 0..2 {
                let ours = Match::writes().resource("secrets");
                let status = Match::writes()
                    .resource("apitokens")
                    .subresource("status")
                    .skip(nth)
                    .times(1);
                cluster.sandbox.faults().inject(ours.skip(nth).times(1), fault.clone());
                cluster.sandbox.faults().inject(status, fault.clone());
                if step == 0 {
                    cluster.create("web", json!({})).await;
                } else {
                    cluster.patch("web", json!({ "rotation": { "trigger": "x" } })).await;
                }
                cluster.idle().await;
                let midway = cluster.token("web").await;
                if midway.value("token").is_some() {
                    assert!(
                        midway.held().is_some(),
                        "a token is readable and not accepted, after crash at write {nth}"
                    );
                }
                cluster.crash().await;
                cluster.sandbox.faults().clear();
                cluster.run_controller();
                cluster.pass(Duration::from_secs(1)).await;
                let token = cluster.token("web").await;
                assert_eq!(
                    (token.ready().0, token.held().is_some()),
                    ("True", true),
                    "write {nth}, committed {committed}"
                );
                assert_eq!(token.status().rotations, step, "write {nth}, committed {committed}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_past_a_rotation_is_made_up_for() {
    let cluster = Cluster::start().await;
    cluster
        .issue("web", json!({ "expiry": { "after": "3h", "action": "Rotate" } }))
        .await;
    cluster.sandbox.faults().inject(Match::any(), Fault::unavailable());
    cluster.sandbox.faults().close_watches("*");
    cluster.pass_hours(5).await;
    cluster.sandbox.faults().clear();
    cluster.pass(Duration::from_secs(60)).await;
    let token = cluster.token("web").await;
    assert_eq!((token.ready(), token.held()), (("True", "Issued"), Some(2)));
}

#[tokio::test(start_paused = true)]
async fn a_rotation_due_in_an_outage_is_done_within_a_minute_of_its_end() {
    for minutes in [5, 7, 9, 11, 13, 15, 20, 30] {
        let cluster = Cluster::start().await;
        cluster
            .issue("web", json!({ "expiry": { "after": "3h", "action": "Rotate" } }))
            .await;
        cluster.pass(Duration::from_secs(2 * 3600 - 60)).await;
        cluster.sandbox.faults().inject(Match::any(), Fault::unavailable());
        cluster.sandbox.faults().close_watches("*");
        cluster.pass(Duration::from_secs(60 * minutes)).await;
        cluster.sandbox.faults().clear();
        cluster.pass(Duration::from_secs(60)).await;
        let token = cluster.token("web").await;
        assert_eq!(
            (token.status().rotations, token.held()),
            (1, Some(2)),
            "away for {minutes} minutes"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_nobody_takes_do_not_keep_it_from_stopping() {
    let mut cluster = Cluster::start().await;
    cluster
        .sandbox
        .faults()
        .inject(Match::writes().resource("events"), Fault::HangBefore);
    cluster.issue("web", json!({})).await;
    tokio::time::timeout(Duration::from_secs(10), cluster.stop())
        .await
        .expect("it did not stop");
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_shows_the_past_does_no_harm() {
    let cluster = Cluster::start().await;
    cluster.issue("web", json!({})).await;
    cluster.sandbox.faults().pause_watches("apitokens");
    cluster.sandbox.faults().pause_watches("secrets");
    cluster.patch("web", json!({ "rotation": { "trigger": "a" } })).await;
    cluster.delete_secret("web").await;
    cluster.patch("web", json!({ "rotation": { "trigger": "b" } })).await;
    cluster.pass_hours(1).await;
    cluster.sandbox.faults().resume_watches("*");
    cluster.sandbox.faults().resume_watches("apitokens");
    cluster.sandbox.faults().resume_watches("secrets");
    cluster.pass(Duration::from_secs(10)).await;
    let token = cluster.token("web").await;
    assert_eq!(
        (token.ready().0, token.held(), token.status().rotations),
        ("True", Some(2), 1)
    );
}

#[tokio::test(start_paused = true)]
async fn watches_that_end_or_are_too_old_are_begun_anew() {
    let cluster = Cluster::start().await;
    cluster.issue("web", json!({})).await;
    for step in 0..3_u32 {
        match step {
            0 => cluster.sandbox.faults().close_watches("*"),
            1 => cluster.sandbox.faults().expire_watches("*"),
            _ => {
                cluster.sandbox.faults().close_watches("*");
                cluster.sandbox.compact();
            }
        }
        cluster.delete_secret("web").await;
        cluster.pass(Duration::from_secs(60)).await;
        let token = cluster.token("web").await;
        assert_eq!((token.status().rotations, token.ready().0), (step + 1, "True"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_changed_behind_a_watch_is_acted_on_however_slowly_the_next_list_comes() {
    let cluster = Cluster::start().await;
    for name in ["early", "web", "zeal"] {
        cluster.issue(name, json!({})).await;
    }
    for resource in ["apitokens", "organisations", "tokenpolicies"] {
        cluster.sandbox.faults().pause_watches(resource);
    }
    cluster.patch("web", json!({ "suspended": true })).await;
    cluster.create("late", json!({})).await;
    let members = json!({ "members": [{ "kind": "User", "name": "ann", "role": "Admin" }] });
    cluster.organisation(members).await;
    // Nothing but a list tells of it now, object by object.
    cluster
        .sandbox
        .faults()
        .inject(Match::any().verb("watch"), Fault::Trickle(Duration::from_secs(3)));
    cluster.sandbox.compact();
    for resource in ["apitokens", "organisations", "tokenpolicies"] {
        cluster.sandbox.faults().expire_watches(resource);
        cluster.sandbox.faults().resume_watches(resource);
    }
    cluster.pass(Duration::from_secs(120)).await;
    assert_eq!(cluster.token("late").await.ready(), ("True", "Issued"));
    assert_eq!(cluster.token("web").await.ready(), ("False", "Suspended"));
    let acme = cluster.list::<Organisation>().await.remove(0);
    assert_eq!(acme.status.unwrap().observed_generation, acme.metadata.generation);
    // What did not change costs nothing.
    cluster.writes();
    cluster.sandbox.compact();
    cluster.sandbox.faults().expire_watches("*");
    cluster.pass(Duration::from_secs(120)).await;
    assert_eq!(cluster.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_hangs_is_noticed() {
    let mut cluster = Cluster::with_watch_timeouts().await;
    cluster.run_controller();
    cluster.issue("web", json!({})).await;
    cluster.sandbox.faults().hang_watches("*");
    cluster.delete_secret("web").await;
    assert_eq!(cluster.token("web").await.held(), None, "the watches do not hang");
    cluster.pass(Duration::from_secs(70)).await;
    assert_eq!(cluster.token("web").await.held(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_stream_lists_is_asked_for_pages() {
    let mut cluster = Cluster::without_controller().await;
    for number in 0..3 {
        cluster.create(&format!("t{number}"), json!({})).await;
    }
    for resource in ["apitokens", "organisations", "tokenpolicies", "namespaces", "secrets"] {
        let first = Match::any().verb("watch").resource(resource).times(1);
        cluster.sandbox.faults().inject(first, Fault::fail(422, "Invalid"));
    }
    cluster.run_controller();
    cluster.idle().await;
    for number in 0..3 {
        assert_eq!(cluster.token(&format!("t{number}")).await.held(), Some(1));
    }
    let asked = cluster.sandbox.requests().all();
    assert_eq!(asked.iter().filter(|request| request.verb == "list").count(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_leaps_is_noticed() {
    use std::sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    };
    let leap = Arc::new(AtomicI64::new(0));
    let mut cluster = Cluster::with_settings(Settings {
        watch_period: None,
        ..Settings::default()
    })
    .await;
    let (steady, ahead) = (cluster.clock(), leap.clone());
    cluster.set_clock(Clock::new(move || {
        steady.now() + SignedDuration::from_hours(ahead.load(Ordering::Relaxed))
    }));
    cluster.run_controller();
    cluster
        .issue("web", json!({ "expiry": { "after": "90d", "action": "Rotate" } }))
        .await;
    leap.store(24 * 365, Ordering::Relaxed);
    cluster.pass(Duration::from_secs(60)).await;
    assert_eq!(cluster.token("web").await.status().rotations, 1);
    leap.store(0, Ordering::Relaxed);
    cluster.pass(Duration::from_secs(60)).await;
    let token = cluster.token("web").await;
    assert_eq!(
        (token.status().rotations, token.ready().0, token.held()),
        (1, "True", Some(2))
    );
}

#[tokio::test(start_paused = true)]
async fn a_thousand_rotations_due_at_once_are_all_done_within_a_minute() {
    let cluster = Cluster::start().await;
    for number in 0..1000 {
        cluster
            .create(
                &format!("t{number}"),
                json!({ "expiry": { "after": "3d", "action": "Rotate" } }),
            )
            .await;
    }
    cluster.pass(Duration::from_secs(1)).await;
    let due = cluster.token("t0").await.status().rotates_at.clone().unwrap().0;
    let wait = due.duration_since(cluster.now()) + SignedDuration::from_secs(60);
    cluster.pass(wait.unsigned_abs()).await;
    let rotated = cluster.list::<tokenwright::api::ApiToken>().await;
    assert_eq!(
        rotated
            .iter()
            .filter(|token| token.status.as_ref().unwrap().rotations == 1)
            .count(),
        1000
    );
}
