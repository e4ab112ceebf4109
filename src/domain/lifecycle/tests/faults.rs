use serde_json::{Value, json};

use super::world::{World, Write, hours};

/// A life with everything in it: issue, triggered rotation, due rotation, deletion of the Secret, expiry.
fn live(world: &mut World, crash_after: Option<usize>) {
    let settle = |world: &mut World, change: &dyn Fn(&mut World)| {
        change(world);
        world.crash_after = crash_after;
        if world.try_settle().is_err() {
            world.restart();
            world.settle();
        }
    };
    settle(world, &|_| {});
    settle(world, &|world| world.patch(json!({ "rotation": { "trigger": "x" } })));
    settle(world, &|world| world.now += hours(30));
    settle(world, &|world| world.secret = None);
    settle(world, &|world| world.patch(json!({ "expiry": { "action": "Delete" } })));
    settle(world, &|world| world.now += hours(300));
}

fn spec() -> Value {
    json!({ "expiry": { "after": "2d", "action": "Rotate" } })
}

#[test]
fn a_crash_at_any_write_ends_where_the_undisturbed_life_ends() {
    let mut undisturbed = World::new(spec());
    live(&mut undisturbed, None);
    let count = |world: &World, write| world.writes.iter().filter(|seen| **seen == write).count();
    let creations = |world: &World| {
        (
            count(world, Write::CreateSecret),
            count(world, Write::ReplaceSecret),
            count(world, Write::DeleteSecret),
        )
    };
    for crash_after in 0..undisturbed.writes.len() {
        let mut world = World::new(spec());
        live(&mut world, Some(crash_after));
        let summary = |world: &World| {
            (
                world.ready().0,
                world.ready().1.to_owned(),
                world.secret.is_some(),
                world.accepted().len(),
                world.status().rotations,
            )
        };
        assert_eq!(
            summary(&world),
            summary(&undisturbed),
            "crash after write {crash_after}"
        );
        assert_eq!(
            creations(&world),
            creations(&undisturbed),
            "crash after write {crash_after}"
        );
    }
}

#[test]
fn what_the_secret_holds_is_always_accepted_whenever_a_crash_comes() {
    for crash_after in 0..6 {
        let mut world = World::new(spec());
        world.crash_after = Some(crash_after);
        for trigger in ["a", "b"] {
            world.patch(json!({ "rotation": { "trigger": trigger } }));
            if world.try_settle().is_err() {
                if let Some(held) = world.held() {
                    assert!(world.accepted().contains(&held), "crash after write {crash_after}");
                }
                world.restart();
                world.settle();
            }
            assert!(world.accepted().contains(&world.held().unwrap()));
        }
    }
}

#[test]
fn an_id_is_never_given_twice() {
    let mut world = World::new(spec());
    let mut digests = std::collections::HashMap::new();
    for step in 0..12 {
        world.crash_after = Some(world.writes.len() + 1);
        world.patch(json!({ "rotation": { "trigger": step.to_string() } }));
        let crashed = world.try_settle().is_err();
        for credential in &world.status().credentials {
            let digest = digests
                .entry(credential.id)
                .or_insert_with(|| credential.digest.clone());
            assert_eq!(digest, &credential.digest);
        }
        if crashed && step % 3 == 2 {
            world.restart();
            world.settle();
        }
        world.restart();
    }
    assert!(digests.len() > 5);
}
