use serde_json::json;

use super::world::{World, Write::*, at, hours};
use crate::api::CredentialState;

#[test]
fn an_expired_token_loses_its_secret_and_stays_as_the_record() {
    let mut world = World::new(json!({ "expiry": { "after": "24h" } }));
    world.settle();
    world.writes.clear();
    world.next();
    assert_eq!(world.now, at("2026-01-02T00:00:00Z"));
    assert_eq!(world.writes, [Status, DeleteSecret]);
    assert_eq!(
        (world.ready(), world.state(1), world.accepted()),
        ((false, "Expired"), Some(CredentialState::Retired), vec![])
    );
    assert_eq!(
        world.status().expires_at.as_ref().unwrap().0,
        at("2026-01-02T00:00:00Z")
    );
    assert_eq!(world.plan().next, None);
}

#[test]
fn a_retained_secret_stays_although_the_token_is_refused() {
    let mut world = World::new(json!({ "expiry": { "at": "2026-01-03T00:00:00Z", "action": "Retain" } }));
    world.settle();
    world.next();
    assert_eq!(
        (world.secret.is_some(), world.accepted(), world.ready()),
        (true, vec![], (false, "Expired"))
    );
    world.secret = None;
    world.writes.clear();
    world.settle();
    assert_eq!((world.writes.as_slice(), world.secret.is_none()), ([].as_slice(), true));
}

#[test]
fn the_record_goes_when_asked_to() {
    let mut world = World::new(json!({ "expiry": { "after": "24h", "cleanupAfter": "48h" } }));
    world.settle();
    world.next();
    world.next();
    assert_eq!((world.now, world.deleted), (at("2026-01-04T00:00:00Z"), true));
}

#[test]
fn a_clock_that_goes_back_revives_nothing() {
    for action in ["Delete", "Retain"] {
        let mut world = World::new(json!({ "expiry": { "after": "24h", "action": action } }));
        world.settle();
        world.next();
        world.writes.clear();
        world.pass(hours(-24 * 365));
        assert_eq!(
            (world.accepted(), world.ready(), world.writes.len()),
            (vec![], (false, "Expired"), 0),
            "{action}"
        );
    }
}

#[test]
fn a_changed_lifetime_moves_the_expiry_from_the_issue_on() {
    let mut world = World::new(json!({ "expiry": { "after": "10d" } }));
    world.settle();
    world.pass(hours(24));
    for (after, expires) in [("20d", "2026-01-21T00:00:00Z"), ("5d", "2026-01-06T00:00:00Z")] {
        world.patch(json!({ "expiry": { "after": after } }));
        world.settle();
        let shown =
            world.secret.as_ref().unwrap().metadata.annotations.as_ref().unwrap()["tokenwright.dev/expires-at"].clone();
        assert_eq!(
            (world.status().expires_at.as_ref().unwrap().0, shown.as_str()),
            (at(expires), expires)
        );
    }
    world.patch(json!({ "expiry": null }));
    world.settle();
    assert_eq!((world.status().expires_at.clone(), world.held()), (None, Some(1)));
}

#[test]
fn a_lifetime_cut_below_its_age_ends_the_token_at_once() {
    let mut world = World::new(json!({ "expiry": { "after": "10d" } }));
    world.settle();
    world.pass(hours(48));
    world.patch(json!({ "expiry": { "after": "1d" } }));
    world.settle();
    assert_eq!(
        (world.ready(), world.accepted(), world.secret.is_none()),
        ((false, "Expired"), vec![], true)
    );
}

#[test]
fn an_expired_credential_is_never_revived_a_new_one_is_issued() {
    for change in [
        json!({ "expiry": { "after": "30d" } }),
        json!({ "expiry": null }),
        json!({ "expiry": { "action": "Rotate" } }),
    ] {
        let mut world = World::new(json!({ "expiry": { "after": "1d" } }));
        world.settle();
        world.next();
        world.pass(hours(1));
        world.patch(change.clone());
        world.settle();
        assert_eq!(
            (world.held(), world.accepted(), world.state(1)),
            (Some(2), vec![2], Some(CredentialState::Retired)),
            "{change}"
        );
    }
}

#[test]
fn a_lifetime_lengthened_after_the_fact_does_not_revive_a_credential_that_nobody_retired_yet() {
    let mut world = World::new(json!({ "expiry": { "after": "1d" } }));
    world.settle();
    world.now += hours(25);
    world.patch(json!({ "expiry": { "after": "30d" } }));
    world.settle();
    assert_eq!(
        (world.state(1), world.accepted()),
        (Some(CredentialState::Retired), vec![2])
    );
}

#[test]
fn an_expired_token_comes_back_by_its_trigger_once() {
    let mut world = World::new(json!({ "expiry": { "after": "1d" } }));
    world.settle();
    world.next();
    world.patch(json!({ "rotation": { "trigger": "a" } }));
    world.settle();
    assert_eq!((world.held(), world.ready()), (Some(2), (true, "Issued")));
    world.next();
    assert_eq!((world.ready(), world.secret.is_none()), ((false, "Expired"), true));
}

#[test]
fn a_token_that_would_be_dead_on_arrival_is_not_issued() {
    let mut world = World::new(json!({ "expiry": { "at": "2025-12-31T00:00:00Z" } }));
    world.settle();
    assert_eq!(
        (world.writes.as_slice(), world.ready()),
        ([Status].as_slice(), (false, "Expired"))
    );
    assert!(
        world.message().contains("Give a time in the future"),
        "{}",
        world.message()
    );
    world.patch(json!({ "expiry": { "at": "2026-12-31T00:00:00Z" } }));
    world.settle();
    assert_eq!(world.ready(), (true, "Issued"));
}

#[test]
fn a_credential_that_gives_way_does_not_outlive_an_expired_token() {
    for overlap in ["30d", "0s"] {
        let mut world = World::new(
            json!({ "rotation": { "overlap": overlap, "restart": [{ "kind": "Deployment", "name": "a" }] } }),
        );
        world.settle();
        world.patch(json!({ "rotation": { "trigger": "x" } }));
        world.settle();
        world.patch(json!({ "expiry": { "at": "2026-01-02T00:00:00Z" } }));
        world.settle();
        world.pass(hours(24));
        assert_eq!(
            (world.accepted(), world.ready()),
            (vec![], (false, "Expired")),
            "{overlap}"
        );
    }
}

#[test]
fn a_shorter_lifetime_also_holds_for_what_gives_way_and_what_is_on_its_way() {
    let mut world = World::new(json!({ "expiry": { "after": "90d" }, "rotation": { "overlap": "80d" } }));
    world.settle();
    world.crash_after = Some(world.writes.len() + 1);
    world.patch(json!({ "rotation": { "trigger": "x" } }));
    assert!(world.try_settle().is_err());
    world.patch(json!({ "expiry": { "after": "2d" } }));
    world.crash_after = None;
    world.settle();
    let ends: Vec<_> = world
        .status()
        .credentials
        .iter()
        .map(|credential| credential.expires_at.clone().unwrap().0)
        .collect();
    assert_eq!(ends, [at("2026-01-03T00:00:00Z"), at("2026-01-03T00:00:00Z")]);
    assert_eq!(world.held(), Some(2));
}

#[test]
fn a_trigger_after_the_fixed_end_neither_takes_a_retained_secret_nor_stops_the_cleanup() {
    let expiry = json!({ "at": "2026-01-02T00:00:00Z", "action": "Retain", "cleanupAfter": "1d" });
    let mut world = World::new(json!({ "expiry": expiry }));
    world.settle();
    world.next();
    world.patch(json!({ "rotation": { "trigger": "x" } }));
    world.settle();
    assert_eq!((world.ready(), world.secret.is_some()), ((false, "Expired"), true));
    world.pass(hours(24));
    assert!(world.deleted);
}

#[test]
fn the_record_goes_whatever_else_is_wrong() {
    let expiry = json!({ "expiry": { "at": "2026-01-02T00:00:00Z", "cleanupAfter": "1d" } });
    let mut in_the_way = World::new(expiry.clone());
    in_the_way.settle();
    in_the_way.next();
    in_the_way.secret = Some(k8s_openapi::api::core::v1::Secret::default());
    in_the_way.pass(hours(24));
    assert!(in_the_way.deleted);

    let mut dead_on_arrival = World::new(expiry);
    dead_on_arrival.now = at("2026-02-01T00:00:00Z");
    dead_on_arrival.settle();
    assert!(dead_on_arrival.deleted);
}

#[test]
fn fractions_of_a_second_in_the_spec_do_not_unsettle_the_status() {
    let mut world =
        World::new(json!({ "notBefore": "2026-01-01T00:00:00.5Z", "expiry": { "at": "2026-02-01T00:00:00.9Z" } }));
    world.settle();
    world.token.status = serde_json::from_value(serde_json::to_value(world.status()).unwrap()).unwrap();
    world.writes.clear();
    world.settle();
    assert_eq!(world.writes, []);
}

#[test]
fn a_later_start_does_not_stretch_a_credential_that_is_issued() {
    let mut world = World::new(json!({ "expiry": { "after": "1d" } }));
    world.settle();
    world.patch(json!({ "notBefore": "2026-06-01T00:00:00Z" }));
    world.settle();
    assert_eq!(
        world.credential(1).unwrap().expires_at.as_ref().unwrap().0,
        at("2026-01-02T00:00:00Z")
    );
}

#[test]
fn what_could_never_work_is_refused() {
    let mut world =
        World::new(json!({ "notBefore": "2026-03-01T00:00:00Z", "expiry": { "at": "2026-02-01T00:00:00Z" } }));
    world.settle();
    assert_eq!(world.ready(), (false, "InvalidSpec"));
}
