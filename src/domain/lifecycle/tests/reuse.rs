use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::world::{World, Write::*, at, hours};
use crate::{
    api::{
        Sighting,
        condition::{self, REUSE_DETECTED},
    },
    domain::lifecycle::Effect,
};

fn sighting(when: &str, credential: u64) -> Sighting {
    Sighting {
        at: Time(at(when)),
        from: Some("203.0.113.9".to_owned()),
        credential: Some(credential),
    }
}

/// A settled token that a verifier reports a reuse of.
fn reused() -> World {
    let mut world = World::new(json!({}));
    world.settle();
    world.patch(json!({ "rotation": { "trigger": "x", "overlap": "0s" } }));
    world.settle();
    world.now = at("2026-02-01T12:00:00Z");
    report(&mut world, "2026-02-01T11:59:58Z");
    world.writes.clear();
    world
}

fn report(world: &mut World, when: &str) {
    world.token.status.as_mut().unwrap().last_reuse = Some(Box::new(sighting(when, 1)));
}

/// The condition's status, reason and message.
fn shown(world: &World) -> Option<(&str, &str, &str)> {
    condition::find(&world.status().conditions, REUSE_DETECTED)
        .map(|found| (&*found.status, &*found.reason, &*found.message))
}

const MESSAGE: &str = "Credential 1, which has been replaced, was presented from 203.0.113.9 at 2026-02-01T11:59:58Z and \
                       refused. Find who still has it: a workload that was not restarted, or somebody who copied it. The \
                       current credential works on; if that may be known to others too, change spec.rotation.trigger.";

#[test]
fn a_reuse_is_a_condition_for_a_day_and_nothing_else() {
    let mut world = reused();
    let plan = world.settle();
    assert_eq!(shown(&world), Some(("True", "ReuseDetected", MESSAGE)));
    assert_eq!((world.ready(), world.accepted()), ((true, "Issued"), vec![2]));
    assert_eq!(
        (plan.effect, plan.next),
        (Effect::Nothing, Some(at("2026-02-02T11:59:58Z")))
    );
    world.next();
    assert_eq!((shown(&world), world.plan().next), (None, None));
    assert_eq!(world.writes, [Status, Status]);
    assert_eq!(
        world.notices.last(),
        Some(&"Rotated"),
        "the verifier published the Event"
    );
}

#[test]
fn a_later_reuse_prolongs_the_condition_without_a_transition() {
    let mut world = reused();
    world.settle();
    let began = world.now;
    world.now += hours(20);
    report(&mut world, "2026-02-02T08:00:00Z");
    let plan = world.settle();
    assert_eq!(plan.next, Some(at("2026-02-03T08:00:00Z")));
    let found = condition::find(&world.status().conditions, REUSE_DETECTED).unwrap();
    assert_eq!(found.last_transition_time, Time(began));
    assert!(found.message.contains("2026-02-02T08:00:00Z"), "{}", found.message);
}

#[test]
fn what_the_verifiers_report_is_carried_through_a_whole_life() {
    let mut world = World::new(json!({ "expiry": { "after": "2d" } }));
    world.settle();
    let status = world.token.status.as_mut().unwrap();
    status.last_used = Some(Box::new(sighting("2026-01-01T00:00:00Z", 1)));
    status.last_reuse = Some(Box::new(sighting("2025-01-01T00:00:00Z", 1)));
    let reported = (status.last_used.clone(), status.last_reuse.clone());
    world.writes.clear();
    world.settle();
    assert_eq!(world.writes, [], "a use asks for nothing");
    world.patch(json!({ "rotation": { "trigger": "x" } }));
    world.settle();
    world.patch(json!({ "organisation": "gone" }));
    world.organisation = None;
    world.settle();
    world.pass(hours(100));
    let status = world.status();
    assert_eq!((status.last_used.clone(), status.last_reuse.clone()), reported);
    assert_eq!(shown(&world), None);
}
