//! What each check finds, and what policies leave together.

use super::*;

fn sole(field: Field, message: &str) -> Vec<(Field, String)> {
    vec![(field, message.to_owned())]
}

#[test]
fn a_token_must_ask_for_an_expiry_where_one_is_required() {
    let policy = json!({ "expiry": { "required": true, "max": "30d" } });
    assert_eq!(
        found(policy.clone(), json!({}), NEW, |_| ()),
        sole(
            Field::ExpiryRequired,
            "TokenPolicy \"strict\" (expiry.required): a token must expire. Give it spec.expiry.after, such as 30d, or spec.expiry.at."
        )
    );
    assert_eq!(
        found(policy.clone(), json!({ "expiry": { "after": "7d" } }), NEW, |_| ()),
        []
    );
    assert_eq!(found(policy, json!({}), Stage::Standing, |_| ()), []);
    let with_default = json!({ "expiry": { "required": true, "default": "7d" } });
    assert_eq!(found(with_default, json!({}), NEW, |_| ()), []);
}

#[test]
fn a_token_without_end_does_not_go_on_working_where_one_is_required() {
    let policy = json!({ "expiry": { "required": true } });
    let stands = |rights| found(policy.clone(), rights, Stage::Standing, |_| ()).len();
    assert_eq!(stands(json!({})), 1);
    assert_eq!(stands(json!({ "expiry": { "after": "7d" } })), 0);
    // What another policy has cut it to is nothing that it says itself.
    assert_eq!(stands(json!({ "expiry": { "limit": "7d" } })), 1);
}

#[test]
fn a_lifetime_is_no_longer_than_the_longest() {
    let policy = json!({ "expiry": { "max": "30d" } });
    assert_eq!(
        found(policy.clone(), json!({ "expiry": { "after": "31d" } }), NEW, |_| ()),
        sole(
            Field::ExpiryMax,
            "TokenPolicy \"strict\" (expiry.max): spec.expiry.after is 31d, and a token may live for 30d at most. Write 30d or less."
        )
    );
    assert_eq!(
        found(policy.clone(), json!({ "expiry": { "after": "720h" } }), NEW, |_| ()),
        []
    );
    let late = json!({ "expiry": { "at": "2026-02-09T00:00:01Z" } });
    assert_eq!(
        found(policy.clone(), late.clone(), NEW, |_| ()),
        sole(
            Field::ExpiryMax,
            "TokenPolicy \"strict\" (expiry.max): spec.expiry.at is 2026-02-09T00:00:01Z, and a token may live for 30d at most. Write 2026-02-09T00:00:00Z or earlier."
        )
    );
    let issued = |subject: &mut Subject<'_>| subject.issued_at = Some(at("2026-01-11T00:00:00Z"));
    assert_eq!(found(policy.clone(), late.clone(), NEW, issued), []);
    assert_eq!(found(policy, late, Stage::Standing, |_| ()), []);
}

#[test]
fn a_fixed_end_is_judged_again_when_it_has_come_near_enough() {
    let (policy, rights) = (
        spec(json!({ "expiry": { "max": "30d" } })),
        grant(json!({ "expiry": { "at": "2026-03-01T00:00:00Z" } })),
    );
    let role = Permissions::default();
    let policies = [Policy {
        name: "strict",
        spec: &policy,
    }];
    let verdict = judge(&policies, &subject(&rights, &role), NEW, now());
    assert_eq!(verdict.next, Some(at("2026-01-30T00:00:00Z")));
    let then = judge(&policies, &subject(&rights, &role), NEW, at("2026-01-30T00:00:00Z"));
    assert_eq!((then.is_compliant(), then.next), (true, None));
}

#[test]
fn a_lifetime_is_one_of_those_to_choose_from() {
    let policy = json!({ "expiry": { "allowed": ["30d", "1d"] } });
    assert_eq!(
        found(policy.clone(), json!({ "expiry": { "after": "2d" } }), NEW, |_| ()),
        sole(
            Field::ExpiryAllowed,
            "TokenPolicy \"strict\" (expiry.allowed): spec.expiry.after is 2d. For spec.expiry.after, write one of: 1d, 30d."
        )
    );
    assert_eq!(
        found(policy.clone(), json!({ "expiry": { "after": "24h" } }), NEW, |_| ()),
        []
    );
    assert_eq!(found(policy.clone(), json!({}), NEW, |_| ()), []);
    assert_eq!(
        found(
            policy,
            json!({ "expiry": { "at": "2026-02-01T00:00:00Z" } }),
            NEW,
            |_| ()
        )
        .len(),
        1
    );
}

#[test]
fn a_role_is_one_of_those_allowed() {
    let policy = json!({ "roles": { "allowed": ["Reader", "Writer"] } });
    for stage in [NEW, Stage::Standing] {
        assert_eq!(
            found(policy.clone(), json!({ "role": "Admin" }), stage, |_| ()),
            sole(
                Field::RolesAllowed,
                "TokenPolicy \"strict\" (roles.allowed): a token may not have the role \"Admin\". For spec.role, write one of: Reader, Writer."
            )
        );
        assert_eq!(found(policy.clone(), json!({ "role": "Reader" }), stage, |_| ()), []);
    }
    let none = json!({ "roles": { "allowed": [] } });
    assert_eq!(
        found(none, json!({ "role": "Reader" }), NEW, |_| ())[0].1,
        "TokenPolicy \"strict\" (roles.allowed): a token may not have the role \"Reader\". The policy allows no spec.role at all; ask the platform's administrator."
    );
}

#[test]
fn a_role_brings_no_permission_that_is_not_allowed() {
    let policy = json!({ "permissions": { "allowed": ["queries:read", "views:*"] } });
    assert_eq!(
        found(
            policy.clone(),
            json!({ "role": "Analyst", "permissions": ["views:edit"] }),
            NEW,
            |_| ()
        ),
        sole(
            Field::PermissionsAllowed,
            "TokenPolicy \"strict\" (permissions.allowed): the role \"Analyst\" permits \"queries:*\", which no token may. Keep to: queries:read, views:*."
        )
    );
    let none = Permissions::default();
    let (spec, rights) = (
        spec(policy),
        grant(json!({ "permissions": ["queries:read", "users:*"] })),
    );
    let policies = [Policy {
        name: "strict",
        spec: &spec,
    }];
    assert_eq!(
        judge(&policies, &subject(&rights, &none), Stage::Standing, now()).violations[0].message,
        "TokenPolicy \"strict\" (permissions.allowed): spec.permissions has \"users:*\", which no token may. Keep to: queries:read, views:*."
    );
}

#[test]
fn what_a_token_may_do_is_frozen_once_it_is_granted() {
    let policy = json!({ "permissions": { "allowUpdates": false } });
    let granted = grant(json!({ "role": "Reader", "permissions": ["a", "b"], "ipFilters": ["office"] }));
    let again = Stage::Request {
        granted: Some(&granted),
    };
    let same = json!({ "role": "Reader", "permissions": ["b", "a"], "projects": ["web"] });
    assert_eq!(found(policy.clone(), same, again, |_| ()), []);
    assert_eq!(found(policy.clone(), json!({ "role": "Admin" }), NEW, |_| ()), []);
    let changed = found(policy, json!({ "role": "Reader", "permissions": ["a"] }), again, |_| ());
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].0, Field::PermissionsAllowUpdates);
}

#[test]
fn a_token_names_its_projects_where_it_must() {
    let policy = json!({ "projects": { "required": true } });
    assert_eq!(
        found(policy.clone(), json!({}), Stage::Standing, |_| ())[0].0,
        Field::ProjectsRequired
    );
    assert_eq!(found(policy, json!({ "projects": ["web"] }), NEW, |_| ()), []);
}

#[test]
fn a_filter_of_its_own_is_refused_and_breaks_no_token_that_works() {
    let policy = json!({ "ipFilters": { "required": ["office"], "allowCustom": false } });
    let rights = json!({ "ipFilters": ["office", "home"] });
    assert_eq!(
        found(policy.clone(), rights.clone(), NEW, |_| ()),
        sole(
            Field::IpFiltersAllowCustom,
            "TokenPolicy \"strict\" (ipFilters.allowCustom): a token may not have IP filters of its own. Take \"home\" out of spec.ipFilters."
        )
    );
    assert_eq!(found(policy, rights, Stage::Standing, |_| ()), []);
}

#[test]
fn the_oldest_tokens_win() {
    let older =
        |organisation, personal| move |subject: &mut Subject<'_>| subject.older = Older { organisation, personal };
    let both = json!({ "maxTokens": 3 });
    assert_eq!(found(both.clone(), json!({}), NEW, older(1, 1)), []);
    assert_eq!(
        found(both, json!({}), Stage::Standing, older(2, 1))[0].0,
        Field::MaxTokens
    );
    let one = json!({ "maxTokens": 3, "types": ["Organisation"] });
    assert_eq!(found(one, json!({}), NEW, older(2, 9)), []);
}

#[test]
fn a_token_that_nobody_uses_is_idle_from_that_second_on() {
    let policy = json!({ "idle": { "after": "10d", "action": "Delete" } });
    let idle = |since: Option<&str>| {
        let since = since.map(at);
        let (spec, rights, role) = (spec(policy.clone()), Grant::default(), Permissions::default());
        let subject = Subject {
            idle_since: since,
            ..subject(&rights, &role)
        };
        let verdict = judge(
            &[Policy {
                name: "strict",
                spec: &spec,
            }],
            &subject,
            Stage::Standing,
            now(),
        );
        (verdict.ends_token(), verdict.next)
    };
    assert_eq!(
        idle(Some("2025-12-31T00:00:01Z")),
        (false, Some(at("2026-01-10T00:00:01Z")))
    );
    assert_eq!(idle(Some("2025-12-31T00:00:00Z")), (true, None));
    assert_eq!(idle(None), (false, None));
}

#[test]
fn none_are_issued_where_issuance_is_denied_and_those_of_the_other_type_are() {
    let policy = json!({ "issuance": "Deny", "types": ["Personal"] });
    assert_eq!(found(policy.clone(), json!({}), NEW, |_| ()), []);
    let personal = |subject: &mut Subject<'_>| subject.type_ = TokenType::Personal;
    assert_eq!(
        found(policy, json!({}), Stage::Standing, personal)[0].0,
        Field::Issuance
    );
}

#[test]
fn a_policy_that_warns_reports_what_it_would_find_and_limits_nothing() {
    let (spec, rights) = (
        spec(json!({ "enforcement": "Warn", "expiry": { "max": "1d" }, "issuance": "Deny" })),
        grant(json!({ "expiry": { "after": "2d" } })),
    );
    let role = Permissions::default();
    let verdict = judge(
        &[Policy {
            name: "preview",
            spec: &spec,
        }],
        &subject(&rights, &role),
        NEW,
        now(),
    );
    let warned: Vec<Field> = verdict.warnings.iter().map(|warning| warning.field).collect();
    assert_eq!(warned, [Field::Issuance, Field::ExpiryMax]);
    assert_eq!((verdict.violations, verdict.limits), (Vec::new(), Limits::default()));
}

#[test]
fn the_strictest_value_of_each_field_holds() {
    let strict = spec(json!({
        "expiry": { "max": "30d", "default": "20d", "allowed": ["1d", "7d"] },
        "ipFilters": { "required": ["office"] }, "roles": { "allowed": ["Reader", "Writer"] },
        "permissions": { "allowed": ["queries:*"] }, "maxTokens": 5, "idle": { "after": "30d" },
    }));
    let stricter = spec(json!({
        "expiry": { "required": true, "max": "60d", "default": "10d", "allowed": ["24h", "30d"] },
        "ipFilters": { "required": ["vpn"], "allowCustom": false }, "roles": { "allowed": ["Reader", "Admin"] },
        "permissions": { "allowed": ["queries:read", "views:*"], "allowUpdates": false }, "projects": { "required": true },
        "maxTokens": 9, "idle": { "after": "90d", "action": "Delete" },
    }));
    let duration = |text: &str| text.parse::<Duration>().unwrap();
    let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(
        Limits::of([&strict, &stricter].into_iter()),
        Limits {
            denied: false,
            expiry_required: false,
            longest: Some(duration("30d")),
            default: Some(duration("10d")),
            imposed: Some(duration("10d")),
            lifetimes: Some([duration("1d")].into()),
            filters: set(&["office", "vpn"]),
            no_custom_filters: true,
            roles: Some(set(&["Reader"])),
            permissions: Some(Permissions::new(["queries:read"])),
            frozen: true,
            projects_required: true,
            tokens: Some(5),
            suspended_after: Some(duration("30d")),
            deleted_after: Some(duration("90d")),
        }
    );
}
