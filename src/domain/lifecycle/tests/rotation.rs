use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::world::{World, Write::*, at, hours, organisation};
use crate::{
    api::{CredentialState::*, OrganisationSpec, Workload, WorkloadKind},
    domain::lifecycle::{Progress, WorkloadFact},
};

fn rotating() -> World {
    World::new(json!({ "expiry": { "after": "90d", "action": "Rotate" } }))
}

#[test]
fn a_credential_is_replaced_a_third_of_its_life_before_its_end() {
    let mut world = rotating();
    world.settle();
    assert_eq!(
        world.status().rotates_at.as_ref().unwrap().0,
        at("2026-03-02T00:00:00Z")
    );
    world.writes.clear();
    world.next();
    assert_eq!(
        (world.now, world.held(), world.ready()),
        (at("2026-03-02T00:00:00Z"), Some(2), (true, "Rotating"))
    );
    assert_eq!(world.writes, [Status, ReplaceSecret, Status]);
    // Due, so the old one works until its own expiry.
    assert_eq!(
        (world.accepted(), world.plan().next),
        (vec![1, 2], Some(at("2026-04-01T00:00:00Z")))
    );
    world.next();
    assert_eq!(
        (world.accepted(), world.ready(), world.state(1)),
        (vec![2], (true, "Issued"), Some(Retired))
    );
}

#[test]
fn ten_years_of_rotation_leave_one_credential_and_a_short_history() {
    let mut world = rotating();
    world.settle();
    let end = world.now + hours(24 * 3650);
    while world.plan().next.is_some_and(|next| next < end) {
        world.next();
        assert!(world.accepted().len() <= 2 && world.ready().0);
        assert!(world.accepted().contains(&world.held().unwrap()));
    }
    assert_eq!(world.status().rotations, 60);
    assert_eq!(world.writes.iter().filter(|write| **write == ReplaceSecret).count(), 60);
    assert!(world.status().credentials.len() <= 5);
}

#[test]
fn a_rotation_leaves_a_credential_some_time_whatever_renew_before_says() {
    for (after, renew_before, seconds) in [
        ("90d", "89d23h59m59s", 10),
        ("90d", "89d23h59m49s", 11),
        ("30s", "29s", 10),
        ("9s", "8s", 3),
        ("2s", "1s", 1),
    ] {
        let mut world = World::new(
            json!({ "expiry": { "after": after, "action": "Rotate" }, "rotation": { "renewBefore": renew_before } }),
        );
        let plan = world.settle();
        let due = Some(world.now + SignedDuration::from_secs(seconds));
        assert_eq!(
            (plan.next, world.status().rotates_at.as_ref().map(|at| at.0)),
            (due, due),
            "{after} {renew_before}"
        );
    }
}

#[test]
fn renew_before_and_overlap_are_obeyed() {
    let mut world = World::new(
        json!({ "expiry": { "after": "30d", "action": "Rotate" }, "rotation": { "renewBefore": "7d", "overlap": "12h" } }),
    );
    world.settle();
    world.next();
    assert_eq!(world.now, at("2026-01-24T00:00:00Z"));
    world.next();
    assert_eq!((world.now, world.accepted()), (at("2026-01-24T12:00:00Z"), vec![2]));
}

#[test]
fn no_overlap_cuts_at_once() {
    let mut world = World::new(json!({ "rotation": { "overlap": "0s" } }));
    world.settle();
    world.patch(json!({ "rotation": { "trigger": "now" } }));
    world.settle();
    assert_eq!(
        (world.accepted(), world.state(1), world.ready()),
        (vec![2], Some(Retired), (true, "Issued"))
    );
}

#[test]
fn a_changed_trigger_rotates_once_and_the_old_credential_works_an_hour() {
    let mut world = World::new(json!({ "rotation": { "trigger": "a" } }));
    world.settle();
    assert_eq!(world.held(), Some(1));
    world.patch(json!({ "rotation": { "trigger": "b" } }));
    world.settle();
    assert_eq!((world.held(), world.accepted()), (Some(2), vec![1, 2]));
    world.next();
    assert_eq!((world.now, world.accepted()), (at("2026-01-01T01:00:00Z"), vec![2]));
    world.patch(json!({ "rotation": { "trigger": null } }));
    world.settle();
    assert_eq!(world.held(), Some(2));
}

#[test]
fn an_overlap_never_outlives_the_old_credential() {
    let mut world = World::new(json!({ "expiry": { "after": "1d" }, "rotation": { "overlap": "30d" } }));
    world.settle();
    world.pass(hours(23));
    world.patch(json!({ "rotation": { "trigger": "x" } }));
    world.settle();
    world.pass(hours(1));
    assert_eq!(world.accepted(), [2]);
}

#[test]
fn at_most_one_replaced_credential_works() {
    let mut world = World::new(json!({}));
    world.settle();
    for trigger in ["a", "b", "c"] {
        world.patch(json!({ "rotation": { "trigger": trigger } }));
        world.settle();
        assert_eq!(world.accepted().len(), 2);
    }
    assert_eq!((world.accepted(), world.held()), (vec![3, 4], Some(4)));
}

#[test]
fn a_rotation_that_was_missed_is_made_up_for() {
    let mut world = rotating();
    world.settle();
    world.pass(hours(24 * 365));
    assert_eq!(
        (world.held(), world.accepted(), world.ready()),
        (Some(2), vec![2], (true, "Issued"))
    );
}

#[test]
fn a_clock_that_leaps_neither_loses_nor_doubles_a_credential() {
    for leap in [1, -1, 24 * 365, -24 * 365] {
        let mut world = rotating();
        world.settle();
        world.pass(hours(leap));
        world.pass(hours(-leap));
        assert!(
            world.ready().0 && world.accepted().contains(&world.held().unwrap()),
            "{leap}"
        );
        let rotations = u32::from(leap > 24 * 60);
        assert_eq!(world.status().rotations, rotations, "{leap}");
    }
}

fn with_workload(progress: Progress) -> (World, Workload) {
    let workload = Workload {
        kind: WorkloadKind::Deployment,
        name: "api".to_owned(),
    };
    let mut world = World::new(json!({ "rotation": { "restart": [{ "kind": "Deployment", "name": "api" }] } }));
    world.workloads = vec![WorkloadFact {
        workload: workload.clone(),
        progress,
    }];
    (world, workload)
}

#[test]
fn workloads_are_not_restarted_for_the_first_credential() {
    let (mut world, _) = with_workload(Progress::Unstamped);
    world.settle();
    assert_eq!(world.writes, [Status, CreateSecret, Status]);
}

#[test]
fn the_old_credential_works_until_the_workloads_have_restarted() {
    let (mut world, _) = with_workload(Progress::Unstamped);
    world.settle();
    world.patch(json!({ "rotation": { "trigger": "x", "overlap": "1m" } }));
    world.writes.clear();
    let plan = world.settle();
    assert_eq!(world.writes, [Status, ReplaceSecret, Status, Restart]);
    assert_eq!(plan.next, Some(world.now + SignedDuration::from_secs(5)));
    world.pass(hours(5));
    assert_eq!((world.accepted(), world.ready()), (vec![1, 2], (true, "Rotating")));

    world.workloads[0].progress = Progress::Done;
    world.writes.clear();
    world.settle();
    assert_eq!(
        (world.writes.as_slice(), world.accepted(), world.ready()),
        ([Status].as_slice(), vec![2], (true, "Issued"))
    );
}

#[test]
fn a_workload_that_does_not_exist_holds_nothing_up() {
    let (mut world, _) = with_workload(Progress::Missing);
    world.settle();
    world.patch(json!({ "rotation": { "trigger": "x" } }));
    world.settle();
    assert!(world.notices.contains(&"WorkloadNotFound"));
    assert_eq!(world.plan().next, Some(world.now + hours(1)));
}

#[test]
fn a_rollout_that_never_ends_does_not_stretch_the_old_credential_past_its_expiry() {
    let (mut world, _) = with_workload(Progress::Unstamped);
    world.patch(json!({ "expiry": { "after": "2d" } }));
    world.settle();
    world.pass(hours(24));
    world.patch(json!({ "rotation": { "trigger": "x" } }));
    world.settle();
    world.pass(hours(24));
    assert_eq!(world.accepted(), [2]);
}

#[test]
fn no_overlap_cuts_at_once_whatever_restarts() {
    let (mut together, _) = with_workload(Progress::Unstamped);
    together.settle();
    together.patch(json!({ "rotation": { "trigger": "x", "overlap": "0s" } }));
    together.writes.clear();
    together.settle();
    assert_eq!(together.writes, [Status, ReplaceSecret, Status, Restart]);

    let (mut later, _) = with_workload(Progress::Unstamped);
    later.settle();
    later.patch(json!({ "rotation": { "trigger": "x" } }));
    later.settle();
    assert_eq!(later.accepted(), [1, 2]);
    later.patch(json!({ "rotation": { "overlap": "0s" } }));
    later.settle();

    for world in [together, later] {
        assert_eq!((world.accepted(), world.ready()), (vec![2], (true, "Rotating")));
        assert!(world.message().ends_with("are restarting."), "{}", world.message());
    }
}

#[test]
fn what_does_not_restart_holds_the_old_credential_for_a_day_at_the_longest() {
    let why = "look at a workload to restart".to_owned();
    for progress in [Progress::Unstamped, Progress::Unknown { why }] {
        let (mut world, _) = with_workload(progress.clone());
        world.settle();
        world.patch(json!({ "rotation": { "trigger": "x", "overlap": "12h" } }));
        world.settle();
        let end = at("2026-01-02T12:00:00Z");
        // In the status from the start, so that it ends without the controller.
        assert_eq!(world.credential(1).unwrap().retired_at.as_ref().unwrap().0, end);
        assert!(
            world.message().contains("at the longest until 2026-01-02T12:00:00Z"),
            "{}",
            world.message()
        );
        world.pass(hours(36) - SignedDuration::from_secs(1));
        assert_eq!(world.accepted(), [1, 2], "{progress:?}");
        world.next();
        assert_eq!(
            (world.now, world.accepted(), world.state(1), world.ready()),
            (end, vec![2], Some(Retired), (true, "Rotating")),
            "{progress:?}"
        );
    }
}

#[test]
fn a_rollout_is_looked_at_less_often_the_longer_it_takes() {
    let (mut world, _) = with_workload(Progress::Unstamped);
    world.settle();
    world.patch(json!({ "rotation": { "trigger": "x" } }));
    world.settle();
    let began = world.now;
    for (age, pause) in [(0, 5), (20, 5), (60, 15), (120, 30), (3000, 30), (36_000, 30)] {
        world.now = began + SignedDuration::from_secs(age);
        let plan = world.settle();
        assert_eq!(plan.next, Some(world.now + SignedDuration::from_secs(pause)), "{age}");
    }
}

#[test]
fn workloads_restart_with_a_token_that_comes_back_after_it_was_revoked() {
    let denied = |world: &mut World| {
        world.policy("none", json!({ "issuance": "Deny" }));
        world.settle();
        world.policies.clear();
    };
    let idle = |world: &mut World| {
        world.policy("idle", json!({ "idle": { "after": "10d", "action": "Delete" } }));
        world.pass(hours(240));
        world.patch(json!({ "rotation": { "trigger": "again" } }));
    };
    let left = |world: &mut World| {
        world.organisation = Some(organisation(json!({})));
        world.settle();
        world.organisation = Some(with_member());
    };
    let ways: [&dyn Fn(&mut World); 3] = [&denied, &idle, &left];
    for (way, revoke) in ways.into_iter().enumerate() {
        let (mut world, _) = with_workload(Progress::Unstamped);
        world.organisation = Some(with_member());
        world.patch(json!({ "type": "Personal", "user": "ann" }));
        world.settle();
        revoke(&mut world);
        assert_eq!(world.accepted(), [0; 0], "{way}");
        world.writes.clear();
        world.settle();
        assert_eq!(world.writes, [Status, CreateSecret, Status, Restart], "{way}");
        assert_eq!((world.held(), world.ready()), (Some(2), (true, "Rotating")), "{way}");
        world.workloads[0].progress = Progress::Done;
        world.settle();
        assert_eq!(
            (world.status().rotations, world.ready()),
            (0, (true, "Issued")),
            "{way}"
        );
    }
}

#[test]
fn a_credential_that_nobody_ever_read_is_no_reason_to_restart() {
    let (mut world, _) = with_workload(Progress::Unstamped);
    world.crash_after = Some(1);
    assert!(world.try_settle().is_err());
    world.restart();
    world.settle();
    assert_eq!((world.held(), world.writes.contains(&Restart)), (Some(2), false));
}

fn with_member() -> OrganisationSpec {
    organisation(json!({ "members": [{ "kind": "User", "name": "ann", "role": "Admin" }] }))
}

/// Adds a credential to the status as somebody could who may write that.
fn forge(world: &mut World, expires_at: Option<&str>, retired_at: Option<&str>) {
    let mut forged = world.credential(1).unwrap().clone();
    forged.id = 9;
    forged.state = Retiring;
    forged.issued_at = Time(at("2029-01-01T00:00:00Z"));
    forged.expires_at = expires_at.map(|text| Time(at(text)));
    forged.retired_at = retired_at.map(|text| Time(at(text)));
    world.token.status.as_mut().unwrap().credentials.push(forged);
}

#[test]
fn nothing_gives_way_for_longer_than_the_grant_and_the_overlap_allow() {
    let far = Some("2030-01-01T00:00:00Z");
    let (an_hour_on, a_day_on) = (at("2026-01-01T01:00:00Z"), at("2026-01-02T00:00:00Z"));
    let with_expiry = || World::new(json!({ "expiry": { "after": "1d", "action": "Rotate" } }));
    let without = || World::new(json!({}));
    for (mut world, expires_at, retired_at, ends) in [
        (without(), None, None, an_hour_on),
        (without(), far, far, an_hour_on),
        (without(), None, far, an_hour_on),
        (with_expiry(), far, None, a_day_on),
        (with_expiry(), None, None, a_day_on),
        (with_expiry(), None, far, an_hour_on),
    ] {
        world.settle();
        forge(&mut world, expires_at, retired_at);
        world.settle();
        let credential = world.credential(9).unwrap();
        let end = [&credential.expires_at, &credential.retired_at];
        let end = end.into_iter().flatten().map(|at| at.0).min();
        assert_eq!(end, Some(ends), "{expires_at:?}, {retired_at:?}");
        // Once, not anew at every look.
        world.pass(hours(2));
        assert_eq!(world.state(9) == Some(Retired), ends == an_hour_on);
    }
}

#[test]
fn a_shorter_overlap_counts_for_what_gives_way_already() {
    let mut world = World::new(json!({ "rotation": { "trigger": "a", "overlap": "30d" } }));
    world.settle();
    world.patch(json!({ "rotation": { "trigger": "b" } }));
    world.settle();
    world.pass(hours(24));
    assert_eq!(world.accepted(), [1, 2]);
    world.patch(json!({ "rotation": { "overlap": "2h" } }));
    world.settle();
    world.pass(hours(1));
    assert_eq!(world.accepted(), [1, 2]);
    world.pass(hours(1));
    assert_eq!(world.accepted(), [2]);
}
