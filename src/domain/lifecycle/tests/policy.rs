use jiff::Timestamp;
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

use super::world::{World, Write, at, hours};
use crate::{
    api::{
        CredentialState, Duration,
        condition::{self, POLICY_COMPLIANT},
    },
    domain::policy::Older,
};

const START: &str = "2026-01-01T00:00:00Z";

fn issued(spec: Value) -> World {
    let mut world = World::new(spec);
    world.settle();
    world
}

fn expires(world: &World) -> Option<Timestamp> {
    world.status().expires_at.as_ref().map(|at| at.0)
}

fn days(world: &World) -> Option<i64> {
    expires(world).map(|end| end.duration_since(at(START)).as_hours() / 24)
}

/// Status, reason and message of PolicyCompliant.
fn compliance(world: &World) -> Option<(&str, &str, &str)> {
    let found = condition::find(&world.status().conditions, POLICY_COMPLIANT)?;
    Some((&found.status, &found.reason, &found.message))
}

#[test]
fn a_token_that_asks_for_too_long_is_issued_once_it_asks_for_less() {
    let mut world = World::new(json!({ "expiry": { "after": "90d" } }));
    world.policy("short", json!({ "expiry": { "max": "30d" } }));
    world.settle();
    assert_eq!(world.ready(), (false, "PolicyViolation"));
    assert_eq!((world.accepted(), world.held()), (vec![], None));
    let message = "TokenPolicy \"short\" (expiry.max): spec.expiry.after is 90d, and a token may live for 30d at most. Write 30d or less.";
    assert_eq!(world.message(), message);
    assert_eq!(compliance(&world), Some(("False", "PolicyViolation", message)));
    world.patch(json!({ "expiry": { "after": "30d" } }));
    world.settle();
    assert_eq!((world.ready(), days(&world)), ((true, "Issued"), Some(30)));
    assert_eq!(
        compliance(&world),
        Some(("True", "Compliant", "Every policy that selects the token is met."))
    );
}

#[test]
fn a_live_token_is_cut_short_and_stays_so_when_the_policy_goes() {
    let mut world = issued(json!({ "expiry": { "after": "90d" } }));
    world.policy("short", json!({ "expiry": { "max": "30d" } }));
    world.settle();
    assert_eq!((world.ready(), days(&world)), ((false, "PolicyViolation"), Some(30)));
    assert_eq!(world.accepted(), [1]);
    world.policy("short", json!({ "expiry": { "max": "60d" } }));
    world.settle();
    assert_eq!(days(&world), Some(30));
    world.policies.clear();
    world.settle();
    assert_eq!((world.ready(), days(&world)), ((true, "Issued"), Some(30)));
    assert_eq!(compliance(&world), None);
    world.pass(hours(31 * 24));
    assert_eq!((world.ready(), world.accepted()), ((false, "Expired"), vec![]));
    // A new one is a new life, under the policies of its day.
    world.patch(json!({ "rotation": { "trigger": "again" } }));
    world.settle();
    assert_eq!((world.ready(), days(&world)), ((true, "Issued"), Some(31 + 90)));
}

#[test]
fn a_token_that_never_expired_is_cut_short_too() {
    let mut world = issued(json!({}));
    world.policy("short", json!({ "expiry": { "max": "30d" } }));
    world.settle();
    assert_eq!((world.ready(), days(&world)), ((true, "Issued"), Some(30)));
    world.policies.clear();
    world.pass(hours(31 * 24));
    assert_eq!(world.ready(), (false, "Expired"));
}

#[test]
fn what_is_past_its_longest_life_ends_at_once() {
    let mut world = issued(json!({ "expiry": { "after": "90d" } }));
    world.pass(hours(40 * 24));
    world.policy("short", json!({ "expiry": { "max": "30d" } }));
    world.settle();
    assert_eq!((world.accepted(), world.held()), (vec![], None));
    assert_eq!(days(&world), Some(30));
}

#[test]
fn a_default_is_for_tokens_that_ask_for_none_and_stays_when_the_policy_goes() {
    let mut world = World::new(json!({}));
    world.policy("ends", json!({ "expiry": { "default": "7d", "max": "30d" } }));
    world.settle();
    assert_eq!(days(&world), Some(7));
    world.policies.clear();
    world.settle();
    assert_eq!(days(&world), Some(7));
    world.pass(hours(8 * 24));
    assert_eq!((world.ready(), world.accepted()), ((false, "Expired"), vec![]));
}

#[test]
fn a_default_leaves_what_lives_alone_unless_an_end_is_required() {
    let mut world = issued(json!({}));
    world.policy("ends", json!({ "expiry": { "default": "7d" } }));
    world.settle();
    assert_eq!((world.ready(), days(&world)), ((true, "Issued"), None));
    world.policy("ends", json!({ "expiry": { "default": "7d", "required": true } }));
    world.settle();
    assert_eq!((world.ready(), days(&world)), ((true, "Issued"), Some(7)));
}

#[test]
fn an_expiry_that_the_spec_changes_moves_later_within_policy() {
    let mut world = World::new(json!({ "expiry": { "after": "10d" } }));
    world.policy("short", json!({ "expiry": { "max": "30d" } }));
    world.settle();
    for (after, expected) in [("20d", 20), ("40d", 20), ("30d", 30)] {
        world.patch(json!({ "expiry": { "after": after } }));
        world.settle();
        assert_eq!(days(&world), Some(expected), "{after}");
    }
}

#[test]
fn a_rotation_goes_by_the_life_that_is_left() {
    let mut world = issued(json!({ "expiry": { "after": "90d", "action": "Rotate" } }));
    world.policy("short", json!({ "expiry": { "max": "9d" } }));
    world.settle();
    let due = |world: &World| world.status().rotates_at.as_ref().map(|at| at.0);
    assert_eq!(due(&world), Some(at("2026-01-07T00:00:00Z")));
    world.pass(hours(6 * 24));
    assert_eq!(world.held(), Some(2));
    assert_eq!(
        (days(&world), due(&world)),
        (Some(15), Some(at("2026-01-13T00:00:00Z")))
    );
}

#[test]
fn a_token_with_a_role_that_is_no_longer_allowed_is_held_until_it_has_another() {
    let mut world = issued(json!({}));
    world.policy("roles", json!({ "roles": { "allowed": ["Member"] } }));
    world.writes.clear();
    world.settle();
    assert_eq!((world.ready(), world.held()), ((false, "PolicyViolation"), Some(1)));
    assert!(world.status().violating);
    assert_eq!(world.writes, [Write::Status]);
    world.patch(json!({ "role": "Member" }));
    world.settle();
    assert_eq!((world.ready(), world.held()), ((true, "Issued"), Some(1)));
    assert!(!world.status().violating);
}

#[test]
fn a_change_that_is_frozen_is_refused_and_the_rights_stay() {
    let mut world = World::new(json!({ "role": "Member" }));
    world.policy("frozen", json!({ "permissions": { "allowUpdates": false } }));
    world.settle();
    world.patch(json!({ "role": "Admin", "description": "more" }));
    world.settle();
    assert_eq!(world.ready(), (false, "PolicyViolation"));
    assert!(!world.status().violating, "what it had goes on working");
    let grant = world.status().grant.as_ref().unwrap();
    assert_eq!((grant.role.as_deref(), world.accepted()), (Some("Member"), vec![1]));
    assert!(
        world
            .message()
            .ends_with("Until that is corrected, the token keeps the rights it had.")
    );
}

#[test]
fn where_none_may_be_issued_credentials_end_and_secrets_go() {
    let mut world = issued(json!({}));
    world.policy("none", json!({ "issuance": "Deny" }));
    world.settle();
    assert_eq!((world.ready(), world.accepted()), ((false, "IssuanceDenied"), vec![]));
    assert!(world.secret.is_none());
    world.policies.clear();
    world.settle();
    assert_eq!((world.ready(), world.held()), ((true, "Issued"), Some(2)));
    let mut new = World::new(json!({}));
    new.policy("none", json!({ "issuance": "Deny" }));
    new.settle();
    assert_eq!(
        (new.ready(), new.writes.clone()),
        ((false, "IssuanceDenied"), vec![Write::Status])
    );
}

#[test]
fn a_suspended_token_does_not_outlive_a_policy_either() {
    let mut world = issued(json!({ "expiry": { "after": "90d" } }));
    world.patch(json!({ "suspended": true }));
    world.settle();
    world.policy("short", json!({ "expiry": { "max": "30d" } }));
    world.settle();
    assert_eq!((world.ready(), days(&world)), ((false, "Suspended"), Some(30)));
    world.policy("none", json!({ "issuance": "Deny" }));
    world.settle();
    assert_eq!((world.ready().1, world.secret.is_none()), ("IssuanceDenied", true));
}

#[test]
fn an_idle_token_is_held_until_a_new_one_is_asked_for() {
    let mut world = issued(json!({}));
    world.policy("idle", json!({ "idle": { "after": "10d" } }));
    let plan = world.settle();
    assert_eq!(plan.next, Some(at("2026-01-11T00:00:00Z")));
    world.next();
    assert_eq!((world.ready(), world.held()), ((false, "Idle"), Some(1)));
    world.patch(json!({ "rotation": { "trigger": "again" } }));
    world.settle();
    assert_eq!((world.ready().0, world.held()), (true, Some(2)));
}

#[test]
fn a_token_in_use_is_not_idle() {
    let mut world = issued(json!({}));
    world.policy("idle", json!({ "idle": { "after": "10d" } }));
    world.settle();
    world.now += hours(9 * 24);
    let used = serde_json::from_value(json!({ "at": "2026-01-09T00:00:00Z" })).unwrap();
    world.token.status.as_mut().unwrap().last_used = Some(used);
    let plan = world.pass(hours(5 * 24));
    assert_eq!((world.ready().0, plan.next), (true, Some(at("2026-01-19T00:00:00Z"))));
}

#[test]
fn an_idle_token_that_goes_is_not_issued_again_by_itself() {
    let mut world = issued(json!({}));
    world.policy("idle", json!({ "idle": { "after": "10d", "action": "Delete" } }));
    world.pass(hours(10 * 24));
    assert_eq!((world.ready(), world.accepted()), ((false, "Idle"), vec![]));
    assert!(world.secret.is_none());
    world.pass(hours(100 * 24));
    assert_eq!((world.ready(), world.secret.is_none()), ((false, "Idle"), true));
    world.patch(json!({ "rotation": { "trigger": "again" } }));
    world.settle();
    assert_eq!((world.ready(), world.held()), ((true, "Issued"), Some(2)));
}

#[test]
fn an_expired_token_is_expired_and_not_idle() {
    let mut world = issued(json!({ "expiry": { "after": "5d" } }));
    world.policy("idle", json!({ "idle": { "after": "10d" } }));
    world.pass(hours(20 * 24));
    assert_eq!(world.ready(), (false, "Expired"));
}

#[test]
fn a_token_beyond_the_number_waits_for_an_older_one_to_go() {
    let mut world = World::new(json!({}));
    world.policy("few", json!({ "maxTokens": 2 }));
    world.older = Older {
        organisation: 2,
        personal: 0,
    };
    world.settle();
    assert_eq!((world.ready(), world.held()), ((false, "PolicyViolation"), None));
    world.older.organisation = 1;
    world.settle();
    assert_eq!((world.ready(), world.held()), ((true, "Issued"), Some(1)));
    world.policy("few", json!({ "maxTokens": 1 }));
    world.settle();
    assert_eq!((world.ready(), world.held()), ((false, "PolicyViolation"), Some(1)));
    assert!(world.status().violating);
    world.policies.clear();
    world.settle();
    assert_eq!((world.ready().0, world.status().violating), (true, false));
}

#[test]
fn under_a_policy_that_cannot_be_read_nothing_is_issued_and_nothing_taken() {
    let mut world = World::new(json!({}));
    world.unreadable_policy = Some("odd");
    world.settle();
    assert_eq!((world.ready(), world.held()), ((false, "PolicyUnreadable"), None));
    let message = world.message().to_owned();
    assert!(message.starts_with("TokenPolicy \"odd\" cannot be read"), "{message}");
    assert_eq!(compliance(&world), Some(("False", "PolicyUnreadable", &*message)));
    world.unreadable_policy = None;
    world.settle();
    assert_eq!((world.ready(), world.held()), ((true, "Issued"), Some(1)));
    assert_eq!(compliance(&world), None);

    // It may say when tokens end, so a new one is not made before that is known.
    world.unreadable_policy = Some("odd");
    world.patch(json!({ "rotation": { "trigger": "now" } }));
    world.settle();
    assert_eq!((world.ready(), world.held()), ((false, "PolicyUnreadable"), Some(1)));
    let writes = world.writes.len();
    world.pass(hours(24));
    world.settle();
    assert_eq!(world.writes.len(), writes);

    // What others say holds all the same.
    world.policy("none", json!({ "issuance": "Deny" }));
    world.settle();
    assert_eq!((world.ready(), world.held()), ((false, "IssuanceDenied"), None));
    assert_eq!(compliance(&world).unwrap().1, "IssuanceDenied");
}

#[test]
fn a_policy_that_warns_is_told_and_nothing_else() {
    let mut world = issued(json!({ "expiry": { "after": "90d" } }));
    let before = world.status().clone();
    world.policy(
        "preview",
        json!({ "enforcement": "Warn", "expiry": { "max": "30d" }, "issuance": "Deny" }),
    );
    world.settle();
    let (status, reason, message) = compliance(&world).unwrap();
    assert_eq!((status, reason), ("True", "Compliant"));
    assert!(message.contains("TokenPolicy \"preview\" (expiry.max)"), "{message}");
    let mut after = world.status().clone();
    condition::remove(&mut after.conditions, POLICY_COMPLIANT);
    assert_eq!(after, before);
}

fn policy() -> impl Strategy<Value = Value> {
    let lifetime = || prop::option::of(prop::sample::select(vec!["1d", "7d", "30d", "60d"]));
    (
        any::<bool>(),
        lifetime(),
        lifetime(),
        prop::option::of(Just(["Member"])),
    )
        .prop_map(|(required, max, default, roles)| {
            json!({
                "expiry": { "required": required, "max": max, "default": default },
                "roles": { "allowed": roles },
            })
        })
}

proptest! {
    #[test]
    fn no_policy_that_comes_changes_or_goes_moves_an_expiry_later(
        after in prop::option::of(prop::sample::select(vec!["7d", "45d"])),
        steps in vec((prop::option::of(policy()), 0_i64..100), 1..8),
    ) {
        let expiry = after.map(|after| json!({ "after": after }));
        let mut world = World::new(json!({ "expiry": expiry }));
        world.settle();
        for (policy, wait) in steps {
            let before = world.status().credentials.clone();
            match policy {
                Some(policy) => world.policy("changing", policy),
                None => world.policies.clear(),
            }
            world.pass(hours(wait));
            prop_assert_eq!(world.status().last_credential, 1, "a policy's going issued a credential");
            for known in before {
                let end = known.expires_at.map(|end| end.0);
                let Some(now) = world.credential(known.id) else { continue };
                prop_assert!(end.is_none_or(|end| now.expires_at.as_ref().is_some_and(|now| now.0 <= end)));
                prop_assert!(known.state != CredentialState::Retired || now.state == CredentialState::Retired);
            }
            // Settled means settled: the next look writes nothing.
            let writes = world.writes.len();
            world.settle();
            prop_assert_eq!(world.writes.len(), writes);
        }
    }

    #[test]
    fn no_credential_outlives_what_a_policy_leaves(
        after in prop::option::of(prop::sample::select(vec!["7d", "45d", "90d"])), max in 1_u32..60, wait in 0_i64..2000,
    ) {
        let expiry = after.map(|after| json!({ "after": after }));
        let mut world = World::new(json!({ "expiry": expiry }));
        world.settle();
        world.pass(hours(wait));
        world.policy("short", json!({ "expiry": { "max": format!("{max}d") } }));
        world.settle();
        let longest = Duration::from_seconds(max * 86_400).after(at(START));
        let ends_in_time = world.now < longest && expires(&world).is_some_and(|end| end <= longest);
        prop_assert!(world.accepted().is_empty() || ends_in_time);
    }
}
