use serde_json::json;

use super::world::{World, Write::*};
use crate::{
    api::CredentialState,
    domain::credential::{Digest, Token},
};

#[test]
fn a_token_is_issued_in_three_writes_and_then_left_alone() {
    let mut world = World::new(json!({}));
    let plan = world.settle();
    assert_eq!(world.writes, [Status, CreateSecret, Status]);
    assert_eq!(world.ready(), (true, "Issued"));
    assert_eq!((plan.next, world.notices.as_slice()), (None, ["Issued"].as_slice()));

    world.writes.clear();
    world.settle();
    assert_eq!(world.writes, []);
}

#[test]
fn the_secret_carries_the_token_and_the_status_only_its_digest() {
    let mut world = World::new(json!({}));
    world.settle();
    let token = world.data("token").unwrap();
    assert!(Token::parse(&token).is_some() && token.starts_with("acme_o"));
    assert_eq!(world.data("secret-key"), Some(token.clone()));
    assert_eq!(world.data("client-id"), world.status().client_id.clone());
    assert_eq!(
        world.credential(1).unwrap().digest,
        Digest::of(token.as_bytes()).to_string()
    );
    assert!(!serde_json::to_string(&world.token).unwrap().contains(&token));
    assert_eq!(
        world.status().masked_token,
        Some(format!("acme_…{}", &token[token.len() - 4..]))
    );
}

#[test]
fn the_secret_is_labelled_owned_and_dated() {
    let mut world = World::new(
        json!({ "expiry": { "at": "2026-02-01T00:00:00Z" }, "secret": { "name": "key", "labels": { "team": "a" } } }),
    );
    world.settle();
    let metadata = &world.secret.as_ref().unwrap().metadata;
    assert_eq!(
        json!({ "name": metadata.name, "labels": metadata.labels, "annotations": metadata.annotations, "owners": metadata.owner_references }),
        json!({
            "name": "key",
            "labels": { "app.kubernetes.io/managed-by": "tokenwright", "tokenwright.dev/organisation": "acme", "team": "a" },
            "annotations": {
                "tokenwright.dev/credential": "1",
                "tokenwright.dev/expires-at": "2026-02-01T00:00:00Z",
                "tokenwright.dev/custom-metadata": "label:team",
            },
            "owners": [{ "apiVersion": "tokenwright.dev/v1alpha1", "kind": "ApiToken", "name": "web", "uid": "uid-1", "controller": true }],
        })
    );
}

#[test]
fn renamed_keys_and_changed_labels_keep_the_token() {
    let mut world = World::new(json!({ "secret": { "labels": { "team": "a" }, "annotations": { "note": "x" } } }));
    world.settle();
    let token = world.data("token");
    world.writes.clear();

    world.patch(json!({ "secret": { "keys": { "token": "API_TOKEN" }, "labels": { "team": null, "tier": "1" }, "annotations": null } }));
    world.settle();

    assert_eq!(world.writes, [Status, ReplaceSecret]);
    assert_eq!((world.data("API_TOKEN"), world.data("token")), (token, None));
    let metadata = &world.secret.as_ref().unwrap().metadata;
    let labels = metadata.labels.as_ref().unwrap();
    assert_eq!(
        (labels.get("team"), labels.get("tier").map(String::as_str)),
        (None, Some("1"))
    );
    assert!(!metadata.annotations.as_ref().unwrap().contains_key("note"));
    assert_eq!(world.status().rotations, 0);
}

#[test]
fn labels_and_annotations_of_others_on_the_secret_are_left_alone() {
    let mut world = World::new(json!({}));
    world.settle();
    let metadata = &mut world.secret.as_mut().unwrap().metadata;
    metadata.labels.as_mut().unwrap().insert("theirs".into(), "1".into());
    world.writes.clear();
    world.settle();
    assert_eq!(world.writes, []);

    world.patch(json!({ "secret": { "labels": { "team": "a" } } }));
    world.settle();
    assert!(
        world
            .secret
            .as_ref()
            .unwrap()
            .metadata
            .labels
            .as_ref()
            .unwrap()
            .contains_key("theirs")
    );
}

#[test]
fn a_deleted_secret_asks_for_a_new_credential() {
    let mut world = World::new(json!({}));
    world.settle();
    let before = world.data("token");
    world.secret = None;
    world.settle();
    assert_ne!(world.data("token"), before);
    assert_eq!((world.held(), world.status().rotations), (Some(2), 1));
    assert_eq!(world.notices, ["Issued", "SecretDeleted", "Rotated"]);
}

#[test]
fn an_edited_secret_is_replaced_and_never_adopted() {
    let mut world = World::new(json!({}));
    world.settle();
    world.edit("token", "mine");
    world.edit("secret-key", "mine");
    world.settle();
    assert_eq!(world.held(), Some(2));
    assert_eq!(world.notices, ["Issued", "SecretEdited", "Rotated"]);
}

#[test]
fn an_added_key_is_taken_out_again_without_a_new_token() {
    let mut world = World::new(json!({}));
    world.settle();
    let token = world.data("token");
    world.edit("extra", "theirs");
    world.settle();
    assert_eq!(
        (world.data("token"), world.data("extra"), world.held()),
        (token, None, Some(1))
    );
}

#[test]
fn a_token_delivered_once_is_shown_until_claimed_and_works_on() {
    let mut world = World::new(json!({ "secret": { "delivery": "Once" } }));
    world.settle();
    let claimed = &mut world.secret.as_mut().unwrap().metadata.annotations;
    claimed
        .as_mut()
        .unwrap()
        .insert("tokenwright.dev/claimed".into(), "true".into());
    world.settle();
    assert_eq!(
        (world.secret.is_none(), world.accepted(), world.ready()),
        (true, vec![1], (true, "Issued"))
    );
    assert!(world.message().contains("shown once"));

    world.patch(json!({ "rotation": { "trigger": "again" } }));
    world.settle();
    assert_eq!(
        (world.held(), world.state(1)),
        (Some(2), Some(CredentialState::Retiring))
    );
}

#[test]
fn a_token_delivered_once_is_gone_after_the_claim_window() {
    let mut world = World::new(json!({ "secret": { "delivery": "Once", "claimWindow": "10m" } }));
    let issued = world.now;
    let plan = world.settle();
    assert_eq!(plan.next, Some(issued + jiff::SignedDuration::from_mins(10)));
    world.next();
    assert_eq!((world.secret.is_none(), world.accepted()), (true, vec![1]));
    world.writes.clear();
    world.pass(super::world::hours(1000));
    assert_eq!(world.writes, []);
}

#[test]
fn the_claim_window_begins_when_the_token_is_in_its_secret() {
    let mut world = World::new(json!({ "secret": { "delivery": "Once", "claimWindow": "10m" } }));
    world.crash_after = Some(1);
    assert!(world.try_settle().is_err());
    world.crash_after = None;
    let plan = world.pass(jiff::SignedDuration::from_mins(20));
    assert_eq!((world.held(), world.accepted()), (Some(1), vec![1]));
    assert_eq!(plan.next, Some(world.now + jiff::SignedDuration::from_mins(10)));
    world.next();
    assert_eq!((world.secret.is_none(), world.accepted()), (true, vec![1]));
}

#[test]
fn a_start_within_a_second_is_waited_for_to_the_end_of_it() {
    for now in ["2026-01-01T00:00:00Z", "2026-01-01T00:00:10.5Z"] {
        let mut world = World::new(json!({ "notBefore": "2026-01-01T00:00:10.001Z" }));
        world.now = super::world::at(now);
        world.settle();
        assert_eq!(world.ready(), (false, "NotYetValid"), "{now}");
        world.next();
        assert_eq!(
            (world.now, world.ready()),
            (super::world::at("2026-01-01T00:00:11Z"), (true, "Issued")),
            "{now}"
        );
    }
}

#[test]
fn a_token_that_is_not_valid_yet_is_issued_and_lives_from_then_on() {
    let mut world = World::new(json!({ "notBefore": "2026-01-11T00:00:00Z", "expiry": { "after": "10d" } }));
    world.settle();
    assert_eq!(world.ready(), (false, "NotYetValid"));
    assert_eq!(world.held(), Some(1));
    assert_eq!(
        world.status().expires_at.as_ref().unwrap().0,
        super::world::at("2026-01-21T00:00:00Z")
    );
    world.next();
    assert_eq!(
        (world.now, world.ready()),
        (super::world::at("2026-01-11T00:00:00Z"), (true, "Issued"))
    );
}

fn created_by(name: &str) -> World {
    let mut world = World::new(json!({}));
    world.token.metadata.annotations = Some([("tokenwright.dev/created-by".to_owned(), name.to_owned())].into());
    world
}

#[test]
fn a_creator_stamped_at_admission_is_shown_and_stays() {
    let mut world = created_by("ann");
    world.trust_created_by = true;
    world.settle();
    assert_eq!(world.status().created_by.as_deref(), Some("ann"));
    world.token.metadata.annotations = created_by("bob").token.metadata.annotations;
    world.settle();
    assert_eq!(world.status().created_by.as_deref(), Some("ann"));
    world.trust_created_by = false;
    world.settle();
    assert_eq!(world.status().created_by.as_deref(), Some("ann"));
}

#[test]
fn a_creator_that_anybody_could_have_written_is_not_shown() {
    let mut world = created_by("ann");
    world.settle();
    assert_eq!(world.status().created_by, None);
    let mut world = created_by("");
    world.trust_created_by = true;
    world.settle();
    assert_eq!(world.status().created_by, None);
}

#[test]
fn a_suspended_token_is_not_shown_longer() {
    let mut world = World::new(json!({ "secret": { "delivery": "Once" } }));
    world.settle();
    world.patch(json!({ "suspended": true }));
    world.pass(super::world::hours(1));
    assert!(world.secret.is_none());
}

#[test]
fn a_secret_of_somebody_else_does_not_matter_to_a_token_that_was_shown() {
    let mut world = World::new(json!({ "secret": { "delivery": "Once" } }));
    world.settle();
    world.pass(super::world::hours(1));
    world.secret = Some(k8s_openapi::api::core::v1::Secret::default());
    world.settle();
    assert_eq!(world.ready(), (true, "Issued"));
}
