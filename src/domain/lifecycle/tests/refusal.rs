use serde_json::{Value, json};

use super::world::{World, Write::*, hours, organisation};
use crate::api::CredentialState;

#[test]
fn every_reason_not_to_issue_says_what_to_change() {
    let cases: [(Value, Value, &str, &str); 6] = [
        (
            json!({ "role": "Boss" }),
            json!({}),
            "RoleNotFound",
            "has no role \"Boss\". Its roles: Owner, Admin, Member.",
        ),
        (
            json!({ "projects": ["x"] }),
            json!({ "projects": [{ "name": "y" }] }),
            "ProjectNotFound",
            "has no project \"x\". Its projects: y.",
        ),
        (
            json!({ "ipFilters": ["x"] }),
            json!({}),
            "IpFilterNotFound",
            "has no IP filter \"x\". It has no IP filters at all.",
        ),
        (
            json!({ "permissions": ["a:x"] }),
            json!({ "permissions": ["a:b"] }),
            "PermissionNotInCatalogue",
            "Its permissions: a:b.",
        ),
        (
            json!({ "suspended": true }),
            json!({}),
            "Suspended",
            "until spec.suspended is false",
        ),
        (
            json!({}),
            json!({ "suspended": true }),
            "OrganisationSuspended",
            "until spec.suspended of the Organisation is false",
        ),
    ];
    for (spec, of_organisation, reason, words) in cases {
        let mut world = World::new(spec);
        world.organisation = Some(organisation(of_organisation));
        world.settle();
        assert_eq!(
            (world.ready(), world.writes.as_slice()),
            ((false, reason), [Status].as_slice())
        );
        assert!(world.message().contains(words), "{}", world.message());
        assert_eq!(world.notices, [reason]);
    }
}

#[test]
fn a_permission_is_in_the_catalogue_by_itself_or_by_its_wildcard() {
    for (permission, reason) in [
        ("a:b", "Issued"),
        ("a:*", "Issued"),
        ("*", "Issued"),
        ("b:*", "PermissionNotInCatalogue"),
    ] {
        let mut world = World::new(json!({ "permissions": [permission] }));
        world.organisation = Some(organisation(json!({ "permissions": ["a:b", "a:c"] })));
        world.settle();
        assert_eq!(world.ready().1, reason, "{permission}");
    }
}

#[test]
fn without_its_organisation_a_token_waits_and_is_issued_when_it_comes() {
    let mut world = World::new(json!({}));
    let organisation = world.organisation.take();
    world.settle();
    assert_eq!(world.ready(), (false, "OrganisationNotFound"));
    world.organisation = organisation;
    world.settle();
    assert_eq!(world.ready(), (true, "Issued"));
}

#[test]
fn a_namespace_that_is_no_longer_allowed_keeps_its_secret_for_when_it_is_again() {
    let mut world = World::new(json!({}));
    world.settle();
    let token = world.data("token");
    world.organisation = Some(organisation(json!({ "namespaces": { "names": ["other"] } })));
    world.settle();
    assert_eq!(
        (world.ready(), world.data("token")),
        ((false, "NamespaceNotAllowed"), token.clone())
    );
    world.organisation = Some(organisation(json!({})));
    world.settle();
    assert_eq!((world.ready(), world.data("token")), ((true, "Issued"), token));
}

#[test]
fn a_suspended_token_is_not_rotated_but_expires_and_comes_back_with_a_new_credential() {
    let mut world = World::new(json!({ "expiry": { "after": "3d", "action": "Rotate" } }));
    world.settle();
    world.patch(json!({ "suspended": true }));
    world.pass(hours(72));
    assert_eq!(
        (world.ready(), world.held(), world.accepted()),
        ((false, "Suspended"), None, vec![])
    );
    world.patch(json!({ "suspended": false }));
    world.settle();
    assert_eq!((world.ready(), world.held()), ((true, "Issued"), Some(2)));
}

#[test]
fn a_suspended_token_that_expires_loses_its_secret() {
    let mut world = World::new(json!({ "expiry": { "after": "1d" } }));
    world.settle();
    world.patch(json!({ "suspended": true }));
    world.pass(hours(24));
    assert_eq!((world.ready(), world.secret.is_none()), ((false, "Suspended"), true));
}

#[test]
fn a_refused_change_leaves_the_grant_and_the_rotation_as_they_were() {
    let mut world = World::new(json!({ "expiry": { "after": "3d", "action": "Rotate" } }));
    world.settle();
    let grant = world.status().grant.clone();
    world.patch(json!({ "role": "Boss", "expiry": { "after": "900d" } }));
    world.settle();
    assert_eq!(
        (world.ready(), &world.status().grant),
        ((false, "RoleNotFound"), &grant)
    );
    assert!(
        world
            .message()
            .ends_with("Until that is corrected, the token keeps the rights it had.")
    );
    world.pass(hours(48));
    assert_eq!((world.held(), &world.status().grant), (Some(2), &grant));
}

#[test]
fn a_personal_token_ends_with_the_membership_and_starts_anew_with_it() {
    let member = json!({ "members": [{ "kind": "User", "name": "ann", "role": "Admin" }] });
    let mut world = World::new(json!({ "type": "Personal", "user": "ann" }));
    world.settle();
    assert_eq!(world.ready(), (false, "NotAMember"));
    world.organisation = Some(organisation(member.clone()));
    world.settle();
    assert!(world.data("token").unwrap().starts_with("acme_p"));

    world.organisation = Some(organisation(json!({})));
    world.writes.clear();
    world.settle();
    assert_eq!(
        (world.ready(), world.writes.as_slice()),
        ((false, "MemberRemoved"), [Status, DeleteSecret].as_slice())
    );
    assert_eq!(
        (world.state(1), world.accepted()),
        (Some(CredentialState::Retired), vec![])
    );

    world.organisation = Some(organisation(member));
    world.settle();
    assert_eq!((world.ready(), world.held()), ((true, "Issued"), Some(2)));
}

#[test]
fn a_group_of_that_name_is_not_the_user() {
    let mut world = World::new(json!({ "type": "Personal", "user": "ann" }));
    world.organisation = Some(organisation(
        json!({ "members": [{ "kind": "Group", "name": "ann", "role": "Admin" }] }),
    ));
    world.settle();
    assert_eq!(world.ready(), (false, "NotAMember"));
}

#[test]
fn a_secret_in_the_way_is_never_touched() {
    let mut world = World::new(json!({}));
    let theirs = k8s_openapi::api::core::v1::Secret::default();
    world.secret = Some(theirs.clone());
    world.settle();
    assert_eq!(
        (world.ready(), world.secret.as_ref()),
        ((false, "SecretConflict"), Some(&theirs))
    );
    assert!(world.message().contains("nothing controls it"), "{}", world.message());
    world.secret = None;
    world.pass(jiff::SignedDuration::from_secs(30));
    assert_eq!(world.ready(), (true, "Issued"));
}

#[test]
fn a_secret_of_an_earlier_token_of_the_same_name_is_not_ours() {
    let mut world = World::new(json!({}));
    world.settle();
    world.token.metadata.uid = Some("uid-2".to_owned());
    world.token.status = None;
    world.settle();
    assert_eq!(world.ready(), (false, "SecretConflict"));
    assert!(
        world.message().contains("an earlier ApiToken of this name controls it"),
        "{}",
        world.message()
    );
}

#[test]
fn a_token_that_is_being_deleted_is_left_alone() {
    let mut world = World::new(json!({}));
    world.settle();
    world.token.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(world.now));
    world.secret = None;
    world.writes.clear();
    world.settle();
    assert_eq!(world.writes, []);
}

#[test]
fn a_refused_write_of_the_secret_is_said_once_and_not_at_every_try() {
    let mut world = World::new(json!({}));
    world.crash_after = Some(1);
    assert!(world.try_settle().is_err());
    world.denied = Some("secrets \"web\" is forbidden: exceeded quota".to_owned());
    for _ in 0..3 {
        assert!(world.try_settle().is_err());
        world.crash_after = Some(2);
    }
    assert_eq!(
        (world.ready(), world.writes.as_slice()),
        ((false, "SecretAccessDenied"), [Status, Status].as_slice())
    );
    assert!(
        world.message().contains("exceeded quota. It is tried again"),
        "{}",
        world.message()
    );
    (world.denied, world.crash_after) = (None, None);
    world.settle();
    assert_eq!((world.ready(), world.held()), ((true, "Issued"), Some(1)));
}
