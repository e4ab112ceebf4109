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
