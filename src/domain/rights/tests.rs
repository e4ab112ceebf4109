use serde_json::{Value, json};

use super::*;

fn organisation(members: &Value) -> Organisation {
    serde_json::from_value(json!({
        "apiVersion": "tokenwright.dev/v1alpha1", "kind": "Organisation",
        "metadata": { "name": "acme", "uid": "u1" },
        "spec": { "members": members },
    }))
    .unwrap()
}

fn token(assignees: &Value) -> ApiToken {
    serde_json::from_value(json!({
        "apiVersion": "tokenwright.dev/v1alpha1", "kind": "ApiToken",
        "metadata": { "name": "web", "namespace": "shop", "uid": "u2" },
        "spec": { "organisation": "acme", "role": "Admin", "secret": { "name": "web-key" }, "assignees": assignees },
    }))
    .unwrap()
}

fn members() -> Value {
    json!([
        { "kind": "User", "name": "zoe", "role": "Member" },
        { "kind": "Group", "name": "ops", "role": "Admin" },
        { "kind": "User", "name": "ann", "role": "Owner" },
        { "kind": "ServiceAccount", "name": "ci", "namespace": "build", "role": "Member" },
    ])
}

fn names(right: &Right) -> Vec<&str> {
    right.subjects.iter().map(|subject| subject.name.as_str()).collect()
}

#[test]
fn those_who_manage_tokens_may_issue_and_all_members_may_for_themselves() {
    let [issuers, members] = of_members(&organisation(&members()));
    assert_eq!(names(&issuers), ["ann", "ops"]);
    assert_eq!(names(&members), ["ann", "zoe", "ops", "ci"]);
    assert_eq!(
        serde_json::to_value(issuers.cluster_role()).unwrap(),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {
                "name": "tokenwright:acme:issuers",
                "labels": { "app.kubernetes.io/managed-by": "tokenwright", "tokenwright.dev/organisation": "acme" },
                "annotations": { "tokenwright.dev/owner-uid": "u1" },
                "ownerReferences": [{
                    "apiVersion": "tokenwright.dev/v1alpha1", "kind": "Organisation", "name": "acme", "uid": "u1",
                    "controller": true,
                }],
            },
            "rules": [{
                "apiGroups": ["tokenwright.dev"], "resources": ["organisations"], "resourceNames": ["acme"],
                "verbs": ["issue"],
            }],
        })
    );
    assert_eq!(members.cluster_role().rules.unwrap()[0].verbs, ["issue-personal"]);
    let binding = serde_json::to_value(members.cluster_role_binding()).unwrap();
    assert_eq!(
        (&binding["roleRef"], &binding["subjects"]),
        (
            &json!({ "apiGroup": RBAC, "kind": "ClusterRole", "name": "tokenwright:acme:members" }),
            &json!([
                { "apiGroup": RBAC, "kind": "User", "name": "ann" },
                { "apiGroup": RBAC, "kind": "User", "name": "zoe" },
                { "apiGroup": RBAC, "kind": "Group", "name": "ops" },
                { "kind": "ServiceAccount", "name": "ci", "namespace": "build" },
            ])
        )
    );
}

#[test]
fn the_order_of_members_makes_no_difference() {
    let mut reversed = members();
    reversed.as_array_mut().unwrap().reverse();
    assert_eq!(
        of_members(&organisation(&members())),
        of_members(&organisation(&reversed))
    );
}

#[test]
fn roles_of_ones_own_say_who_manages_tokens() {
    let mut organisation = organisation(&json!([{ "kind": "User", "name": "ann", "role": "Owner" }]));
    organisation.spec.roles = Some(vec![api::Role {
        name: "Owner".to_owned(),
        ..api::Role::default()
    }]);
    let [issuers, members] = of_members(&organisation);
    assert_eq!((issuers.holders(), members.holders()), (0, 1));
}

#[test]
fn assignees_may_read_exactly_the_one_secret() {
    let right = of_assignees(
        &token(&json!({ "subjects": [{ "kind": "User", "name": "ann" }] })),
        None,
    );
    assert_eq!(
        (right.name.as_str(), right.namespace.as_deref(), names(&right)),
        ("tokenwright:web:assignees", Some("shop"), vec!["ann"])
    );
    assert_eq!(right.role().rules, Some(vec![rule("get", "", "secrets", "web-key")]));
    let role_ref = right.role_binding().role_ref;
    assert_eq!(
        (role_ref.kind.as_str(), role_ref.name.as_str()),
        ("Role", "tokenwright:web:assignees")
    );
}

#[test]
fn everyone_is_every_member_and_nobody_where_the_organisation_is_not_known() {
    let everyone = token(&json!({ "everyone": true }));
    let organisation = organisation(&members());
    assert_eq!(
        names(&of_assignees(&everyone, Some(&organisation.spec))),
        ["ann", "zoe", "ops", "ci"]
    );
    assert_eq!(of_assignees(&everyone, None).holders(), 0);
    assert_eq!(
        of_assignees(&token(&json!(null)), Some(&organisation.spec)).holders(),
        0
    );
}

#[test]
fn a_long_name_of_an_organisation_is_in_an_annotation() {
    let mut organisation = organisation(&members());
    let long = "a".repeat(200);
    organisation.metadata.name = Some(long.clone());
    let [issuers, _] = of_members(&organisation);
    let role = issuers.cluster_role();
    assert_eq!(role.annotations()[ORGANISATION], long);
    assert_eq!(role.labels()[ORGANISATION], organisation_label(&long));
    assert_eq!(role.name_any(), format!("tokenwright:{long}:issuers"));
}

/// The binding of the members as it is found.
fn found(edit: impl Fn(&mut ClusterRoleBinding)) -> Step<ClusterRoleBinding> {
    let wanted = wanted();
    let mut found = wanted.clone();
    found.metadata.resource_version = Some("7".to_owned());
    found.metadata.managed_fields = Some(Vec::new());
    edit(&mut found);
    step(Some(&found), Some(&wanted), Some("u1"))
}

fn wanted() -> ClusterRoleBinding {
    let [_, members] = of_members(&organisation(&members()));
    members.cluster_role_binding()
}

#[test]
fn what_is_in_order_is_left_alone() {
    assert_eq!(found(|_| {}), Step::Nothing);
    assert_eq!(
        found(|found| {
            let annotations = found.metadata.annotations.as_mut().unwrap();
            annotations.insert("a".to_owned(), "b".to_owned());
        }),
        Step::Nothing
    );
    assert_eq!(step::<Role>(None, None, Some("u1")), Step::Nothing);
    assert_eq!(step(None, Some(&wanted()), Some("u1")), Step::Create(wanted()));
}

#[test]
fn an_edit_is_put_right_and_what_others_added_stays() {
    let edited = found(|found| {
        found.subjects.as_mut().unwrap().pop();
        let labels = found.metadata.labels.as_mut().unwrap();
        labels.remove(MANAGED_BY.0);
        labels.insert("theirs".to_owned(), "too".to_owned());
    });
    let mut expected = wanted();
    expected.metadata.resource_version = Some("7".to_owned());
    let labels = expected.metadata.labels.as_mut().unwrap();
    labels.insert("theirs".to_owned(), "too".to_owned());
    assert_eq!(edited, Step::Replace(expected));
}

#[test]
fn a_binding_of_another_role_is_made_anew() {
    assert_eq!(
        found(|found| found.role_ref.name = "cluster-admin".to_owned()),
        Step::Renew(wanted())
    );
}

#[test]
fn what_another_controls_or_nobody_does_is_never_touched() {
    let disown: [fn(&mut ClusterRoleBinding); 3] = [
        |found| {
            found.metadata.owner_references = None;
            found.metadata.annotations = None;
        },
        |found| {
            found.metadata.owner_references = None;
            found.annotations_mut().insert(OWNER_UID.to_owned(), "u9".to_owned());
        },
        |found| found.metadata.owner_references.as_mut().unwrap()[0].uid = "u9".to_owned(),
    ];
    for disown in disown {
        assert_eq!(found(disown), Step::Conflict);
        let mut foreign = wanted();
        disown(&mut foreign);
        assert_eq!(step(Some(&foreign), None, Some("u1")), Step::Nothing);
        assert_eq!(step(Some(&foreign), Some(&wanted()), None), Step::Conflict);
    }
    assert_eq!(step(Some(&wanted()), None, Some("u1")), Step::Delete);
}

#[test]
fn what_lost_its_owner_references_is_known_by_what_it_says_and_gets_them_back() {
    let disown: [fn(&mut ClusterRoleBinding); 2] = [
        |found| found.metadata.owner_references = None,
        |found| found.metadata.owner_references.as_mut().unwrap()[0].controller = None,
    ];
    for disown in disown {
        let mut expected = wanted();
        expected.metadata.resource_version = Some("7".to_owned());
        assert_eq!(found(disown), Step::Replace(expected));
        let mut orphan = wanted();
        disown(&mut orphan);
        assert_eq!(step(Some(&orphan), None, Some("u1")), Step::Delete);
    }
}

#[test]
fn an_orphan_is_what_was_made_for_something_and_nothing_controls() {
    let mut orphan = wanted().metadata;
    assert_eq!(orphaned_by(&orphan), None);
    orphan.owner_references = None;
    let owner = FormerOwner {
        name: "acme",
        uid: "u1",
    };
    assert_eq!(orphaned_by(&orphan), Some(owner));
    let edits: [fn(&mut ObjectMeta); 3] = [
        |meta| meta.annotations = None,
        |meta| meta.name = Some("acme:members".to_owned()),
        |meta| meta.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap(),
    ];
    for edit in edits {
        let mut other = orphan.clone();
        edit(&mut other);
        assert_eq!(orphaned_by(&other), None);
    }
}
