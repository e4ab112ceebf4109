use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::{collection::vec, prelude::*, sample::subsequence};
use serde_json::{Value, json};

use super::*;
use crate::{
    api::{ApiToken, Duration, OrganisationSpec, PolicyCounts, TokenPolicy, TokenPolicyStatus},
    domain::admission::Refusal,
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-01-10T00:00:00Z")
}

fn spec(policy: Value) -> TokenPolicySpec {
    serde_json::from_value(policy).unwrap()
}

fn grant(rights: Value) -> Grant {
    serde_json::from_value(rights).unwrap()
}

fn subject<'a>(rights: &'a Grant, role: &'a Permissions) -> Subject<'a> {
    Subject {
        type_: TokenType::Organisation,
        rights,
        role,
        issued_at: None,
        idle_since: None,
        older: Older::default(),
    }
}

const NEW: Stage<'_> = Stage::Request { granted: None };

/// Field and message of each violation of a policy that is called "strict".
fn found(policy: Value, rights: Value, stage: Stage<'_>, change: impl Fn(&mut Subject<'_>)) -> Vec<(Field, String)> {
    let (spec, rights) = (spec(policy), grant(rights));
    let role = Permissions::new(["queries:*"]);
    let mut subject = subject(&rights, &role);
    change(&mut subject);
    let policies = [Policy {
        name: "strict",
        spec: &spec,
    }];
    let violations = judge(&policies, &subject, stage, now()).violations;
    violations
        .into_iter()
        .map(|violation| (violation.field, violation.message))
        .collect()
}

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

fn findings_of(policy: Value, others: &[(&str, Value)], organisation: Value) -> Vec<Refusal> {
    let policy = spec(policy);
    let others: Vec<(&str, TokenPolicySpec)> = others
        .iter()
        .map(|(name, other)| (*name, spec(other.clone())))
        .collect();
    let organisation: OrganisationSpec = serde_json::from_value(organisation).unwrap();
    let surroundings = Surroundings {
        organisations: vec![("acme", &organisation)],
        others: others.iter().map(|(name, spec)| Policy { name, spec }).collect(),
    };
    findings(
        &Policy {
            name: "strict",
            spec: &policy,
        },
        &surroundings,
    )
}

#[test]
fn a_policy_that_cannot_mean_what_it_says_is_told_so_in_words() {
    let roles = json!({ "roles": [{ "name": "Reader" }] });
    for (policy, reason, expected) in [
        (
            json!({ "roles": { "allowed": [] } }),
            Reason::InvalidSpec,
            "spec.roles.allowed is empty",
        ),
        (
            json!({ "permissions": { "allowed": [] } }),
            Reason::InvalidSpec,
            "spec.permissions.allowed is empty",
        ),
        (
            json!({ "expiry": { "allowed": [] } }),
            Reason::InvalidSpec,
            "spec.expiry.allowed is empty",
        ),
        (
            json!({ "expiry": { "max": "1d", "default": "2d" } }),
            Reason::InvalidSpec,
            "spec.expiry.default 2d is longer than spec.expiry.max 1d",
        ),
        (
            json!({ "expiry": { "max": "1d", "allowed": ["2d"] } }),
            Reason::InvalidSpec,
            "spec.expiry.allowed has 2d, which is longer",
        ),
        (
            json!({ "expiry": { "default": "1d", "allowed": ["2d"] } }),
            Reason::InvalidSpec,
            "spec.expiry.default 1d is not in",
        ),
        (
            json!({ "ipFilters": { "required": ["vpn"] } }),
            Reason::IpFilterNotFound,
            "which Organisation \"acme\" does not have",
        ),
        (
            json!({ "roles": { "allowed": ["Redaer"] } }),
            Reason::RoleNotFound,
            "spec.roles.allowed has \"Redaer\"",
        ),
        (
            json!({ "organisations": { "selector": { "matchExpressions": [{ "key": "a", "operator": "Like" }] } } }),
            Reason::InvalidSpec,
            "spec.organisations.selector makes no sense",
        ),
    ] {
        let found = findings_of(policy.clone(), &[], roles.clone());
        assert_eq!(found.len(), 1, "{policy}: {found:?}");
        assert_eq!(found[0].reason, reason, "{policy}");
        assert!(found[0].message.contains(expected), "{policy}: {found:?}");
    }
    assert_eq!(
        findings_of(json!({ "roles": { "allowed": ["Reader"] } }), &[], roles),
        []
    );
}

#[test]
fn policies_that_contradict_each_other_are_told_so() {
    let contradicts = |one: Value, other: Value| findings_of(one, &[("other", other)], json!({}));
    for (one, other, expected) in [
        (
            json!({ "roles": { "allowed": ["Admin"] } }),
            json!({ "roles": { "allowed": ["Member"] } }),
            "no role is allowed",
        ),
        (
            json!({ "permissions": { "allowed": ["a:*"] } }),
            json!({ "permissions": { "allowed": ["b"] } }),
            "no permission is allowed",
        ),
        (
            json!({ "expiry": { "allowed": ["1d"] } }),
            json!({ "expiry": { "allowed": ["2d"] } }),
            "none in common",
        ),
        (
            json!({ "expiry": { "max": "1d" } }),
            json!({ "expiry": { "allowed": ["2d"] } }),
            "the shortest in expiry.allowed is 2d, and expiry.max is 1d",
        ),
    ] {
        let found = contradicts(one.clone(), other.clone());
        assert_eq!(found.len(), 1, "{one} {other}: {found:?}");
        assert!(
            found[0].message.starts_with("Together with TokenPolicy \"other\" no "),
            "{found:?}"
        );
        assert!(found[0].message.contains(expected), "{found:?}");
        assert_eq!(found[0].reason, Reason::PolicyContradiction);
        let mut warns = other.clone();
        warns["enforcement"] = json!("Warn");
        assert_eq!(contradicts(one.clone(), warns), []);
        let (mut one, mut other) = (one, other);
        one["types"] = json!(["Personal"]);
        other["types"] = json!(["Organisation"]);
        assert_eq!(contradicts(one, other), []);
    }
}

fn token(name: &str, spec: Value, status: Value) -> ApiToken {
    let mut wanted = json!({ "organisation": "acme", "role": "Admin" });
    wanted
        .as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "apiVersion": "tokenwright.dev/v1alpha1", "kind": "ApiToken",
        "metadata": { "name": name, "namespace": "shop" }, "spec": wanted, "status": status,
    }))
    .unwrap()
}

/// What a policy hits among tokens of acme, which may be in namespace shop.
fn surveyed(policy: Value, tokens: &[ApiToken]) -> Survey {
    let (organisation, labels): (OrganisationSpec, _) = (
        serde_json::from_value(json!({ "namespaces": { "names": ["shop"] } })).unwrap(),
        std::collections::BTreeMap::from([("team".to_owned(), "a".to_owned())]),
    );
    let landscape = Landscape {
        organisations: [("acme", (&organisation, &labels))].into(),
        ..Landscape::default()
    };
    let policy = spec(policy);
    let policy = Policy {
        name: "strict",
        spec: &policy,
    };
    landscape.survey(policy, &tokens.iter().collect::<Vec<_>>(), now())
}

#[test]
fn a_survey_tells_whom_a_policy_is_for_and_who_violates_it_in_the_order_of_names() {
    let deleted = {
        let mut token = token("gone", json!({}), json!(null));
        token.metadata.deletion_timestamp = Some(Time(now()));
        token
    };
    let tokens = [
        token("c", json!({}), json!(null)),
        token("a", json!({ "projects": ["web"] }), json!(null)),
        token("b", json!({ "expiry": { "after": "90d" } }), json!(null)),
        token("other", json!({ "organisation": "globex" }), json!(null)),
        token("person", json!({ "type": "Personal", "user": "ann" }), json!(null)),
        // No longer granted what it has, as its role is gone, and judged by that.
        token("d", json!({ "role": "Gone" }), json!({ "grant": { "role": "Gone" } })),
        deleted,
    ];
    for enforcement in ["Enforce", "Warn"] {
        let survey = surveyed(
            json!({
                "organisations": { "selector": { "matchLabels": { "team": "a" } } }, "types": ["Organisation"],
                "expiry": { "required": true }, "roles": { "allowed": ["Member"] }, "enforcement": enforcement,
            }),
            &tokens,
        );
        let names: Vec<&str> = survey.violations.iter().map(|found| &*found.name).collect();
        assert_eq!(names, ["b", "c", "d"]);
        assert_eq!(
            survey.tokens,
            PolicyCounts {
                matched: 4,
                violating: 3
            }
        );
        assert_eq!(survey.violations[0].namespace, "shop");
        let message = &survey.violations[1].message;
        assert!(
            message.starts_with("TokenPolicy \"strict\" (expiry.required): a token must expire.")
                && message.contains("TokenPolicy \"strict\" (roles.allowed)"),
            "{message}"
        );
    }
}

#[test]
fn a_survey_shows_the_first_twenty_and_counts_them_all() {
    let tokens: Vec<ApiToken> = (0..50)
        .rev()
        .map(|number| token(&format!("t{number:02}"), json!({}), json!(null)))
        .collect();
    let survey = surveyed(json!({ "maxTokens": 10 }), &tokens);
    assert_eq!(
        survey.tokens,
        PolicyCounts {
            matched: 50,
            violating: 40
        }
    );
    let names: Vec<String> = survey.violations.iter().map(|found| found.name.clone()).collect();
    assert_eq!(names, (10..30).map(|number| format!("t{number}")).collect::<Vec<_>>());
}

#[test]
fn the_status_of_a_policy_says_what_was_found_and_changes_with_it_only() {
    let mut policy = TokenPolicy::new("strict", TokenPolicySpec::default());
    policy.metadata.generation = Some(3);
    let survey = surveyed(json!({ "issuance": "Deny" }), &[token("a", json!({}), json!(null))]);
    let (first, notice) = status(&policy, survey.clone(), &[], now());
    assert_eq!(notice, None);
    let ready = |status: &TokenPolicyStatus| {
        let ready = &status.conditions[0];
        (ready.status.clone(), ready.reason.clone(), ready.message.clone())
    };
    assert_eq!(ready(&first).1, "Accepted");
    assert_eq!(
        (first.observed_generation, first.tokens.unwrap().violating),
        (Some(3), 1)
    );
    assert_eq!(first.violations.len(), 1);
    policy.status = Some(first.clone());
    let later = at("2026-02-01T00:00:00Z");
    assert_eq!(status(&policy, survey.clone(), &[], later), (first, None));
    let finding = |reason, message: &str| Refusal {
        reason,
        message: message.to_owned(),
    };
    let findings = [
        finding(Reason::RoleNotFound, "One."),
        finding(Reason::InvalidSpec, "Two."),
    ];
    let told = ("False".to_owned(), "RoleNotFound".to_owned(), "One. Two.".to_owned());
    let (second, notice) = status(&policy, survey.clone(), &findings, later);
    assert_eq!(ready(&second), told);
    let notice = notice.unwrap();
    assert_eq!((notice.reason, &*notice.message), ("RoleNotFound", "One. Two."));
    policy.status = Some(second.clone());
    assert_eq!(status(&policy, survey, &findings, now()), (second, None));
}

fn lifetime() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["1d", "24h", "7d", "30d", "90d"])
}

fn names(of: &[&'static str]) -> impl Strategy<Value = Vec<&'static str>> + use<> {
    subsequence(of.to_vec(), 0..=of.len())
}

fn policy(enforced: bool) -> impl Strategy<Value = TokenPolicySpec> {
    use prop::option::of as maybe;
    let expiry = (
        any::<bool>(),
        maybe(lifetime()),
        maybe(lifetime()),
        maybe(names(&["1d", "24h", "7d", "30d"])),
    );
    let rights = (
        maybe(names(&["Reader", "Admin"])),
        maybe(names(&["a", "a:*", "b", "*"])),
        any::<bool>(),
        any::<bool>(),
    );
    let rest = (
        names(&["office", "vpn"]),
        any::<bool>(),
        maybe(1_u32..4),
        maybe((lifetime(), prop::sample::select(vec!["Suspend", "Delete"]))),
        prop::bool::weighted(0.1),
        prop::sample::select(vec![vec![], vec!["Organisation"], vec!["Personal"]]),
    );
    (expiry, rights, rest).prop_map(move |(expiry, rights, rest)| {
        let (required, max, default, allowed) = expiry;
        let (roles, permissions, updates, projects) = rights;
        let (filters, custom, most, idle, denied, types) = rest;
        spec(json!({
            "types": types,
            "issuance": if denied { "Deny" } else { "Allow" },
            "expiry": { "required": required, "max": max, "default": default, "allowed": allowed },
            "roles": { "allowed": roles },
            "permissions": { "allowed": permissions, "allowUpdates": updates },
            "projects": { "required": projects },
            "ipFilters": { "required": filters, "allowCustom": custom },
            "maxTokens": most,
            "idle": idle.map(|(after, action)| json!({ "after": after, "action": action })),
            "enforcement": if enforced { "Enforce" } else { "Warn" },
        }))
    })
}

fn rights() -> impl Strategy<Value = Grant> {
    (
        prop::option::of(prop::sample::select(vec!["Reader", "Admin"])),
        names(&["a", "b", "a:x"]),
        prop::option::of(Just(["web"])),
        names(&["office", "home"]),
        prop::option::of(lifetime()),
    )
        .prop_map(|(role, permissions, projects, filters, after)| {
            grant(json!({
                "role": role, "permissions": permissions, "projects": projects, "ipFilters": filters,
                "expiry": after.map(|after| json!({ "after": after })),
            }))
        })
}

/// Moments around `now`, in days before it.
fn moment() -> impl Strategy<Value = Option<Timestamp>> {
    prop::option::of((0_i64..100).prop_map(|days| now() - jiff::SignedDuration::from_hours(24 * days)))
}

#[derive(Clone, Debug)]
struct World {
    rights: Grant,
    granted: Option<Grant>,
    role: Permissions,
    moments: [Option<Timestamp>; 2],
    older: u32,
}

impl World {
    fn judge(&self, policies: &[TokenPolicySpec], standing: bool) -> Verdict {
        let named: Vec<String> = (0..policies.len()).map(|number| format!("p{number}")).collect();
        let policies: Vec<Policy<'_>> = policies
            .iter()
            .zip(&named)
            .map(|(spec, name)| Policy { name, spec })
            .collect();
        self.judge_named(&policies, standing)
    }

    fn judge_named(&self, policies: &[Policy<'_>], standing: bool) -> Verdict {
        let [issued_at, idle_since] = self.moments;
        let subject = Subject {
            issued_at,
            idle_since,
            older: Older {
                organisation: self.older,
                personal: 1,
            },
            ..subject(&self.rights, &self.role)
        };
        let stage = if standing {
            Stage::Standing
        } else {
            Stage::Request {
                granted: self.granted.as_ref(),
            }
        };
        judge(policies, &subject, stage, now())
    }
}

fn world() -> impl Strategy<Value = World> {
    let role = names(&["a", "b", "*"]).prop_map(Permissions::from_iter);
    let moments = [moment(), moment()];
    (rights(), prop::option::of(rights()), role, moments, 0_u32..4).prop_map(
        |(rights, granted, role, moments, older)| World {
            rights,
            granted,
            role,
            moments,
            older,
        },
    )
}

/// Whether `one` leaves no more than `other` in any of its limits.
fn is_at_least_as_strict(one: &Limits, other: &Limits) -> bool {
    fn within<T>(one: Option<&T>, other: Option<&T>, fits: impl Fn(&T, &T) -> bool) -> bool {
        other.is_none_or(|other| one.is_some_and(|one| fits(one, other)))
    }
    let no_longer = |one: &Duration, other: &Duration| one.seconds() <= other.seconds();
    let among = |one: &std::collections::BTreeSet<Duration>, other: &std::collections::BTreeSet<Duration>| {
        one.iter()
            .all(|one| other.iter().any(|other| one.seconds() == other.seconds()))
    };
    let flags = |limits: &Limits| {
        [
            limits.denied,
            limits.expiry_required,
            limits.no_custom_filters,
            limits.frozen,
            limits.projects_required,
        ]
    };
    flags(one).iter().zip(flags(other)).all(|(one, other)| *one >= other)
        && within(one.longest.as_ref(), other.longest.as_ref(), no_longer)
        && within(one.default.as_ref(), other.default.as_ref(), no_longer)
        && within(one.imposed.as_ref(), other.imposed.as_ref(), no_longer)
        && within(one.suspended_after.as_ref(), other.suspended_after.as_ref(), no_longer)
        && within(one.deleted_after.as_ref(), other.deleted_after.as_ref(), no_longer)
        && within(one.tokens.as_ref(), other.tokens.as_ref(), |one, other| one <= other)
        && within(one.lifetimes.as_ref(), other.lifetimes.as_ref(), among)
        && within(one.roles.as_ref(), other.roles.as_ref(), |one, other| {
            one.is_subset(other)
        })
        && within(one.permissions.as_ref(), other.permissions.as_ref(), |one, other| {
            other.covers_all(one)
        })
        && one.filters.is_superset(&other.filters)
}

proptest! {
    #[test]
    fn the_order_of_policies_does_not_matter(
        world in world(), policies in vec(any::<bool>().prop_flat_map(policy), 0..5), seed in any::<u64>(), standing in any::<bool>(),
    ) {
        let named: Vec<String> = (0..policies.len()).map(|number| format!("p{number}")).collect();
        let mut given: Vec<Policy<'_>> = policies.iter().zip(&named).map(|(spec, name)| Policy { name, spec }).collect();
        let expected = world.judge_named(&given, standing);
        let turn = seed as usize % given.len().max(1);
        given.rotate_left(turn);
        prop_assert_eq!(&world.judge_named(&given, standing), &expected);
        given.reverse();
        prop_assert_eq!(&world.judge_named(&given, standing), &expected);
    }

    #[test]
    fn one_more_enforced_policy_never_allows_more(
        world in world(), policies in vec(policy(true), 0..4), more in policy(true), standing in any::<bool>(),
    ) {
        let before = world.judge(&policies, standing);
        let mut policies = policies;
        policies.push(more);
        let after = world.judge(&policies, standing);
        prop_assert!(before.violations.iter().all(|violation| after.violations.contains(violation)));
        prop_assert!(is_at_least_as_strict(&after.limits, &before.limits), "{:?} {:?}", after.limits, before.limits);
        prop_assert!(after.ends_token() >= before.ends_token());
    }

    #[test]
    fn a_policy_that_warns_changes_nothing(
        world in world(), policies in vec(policy(true), 0..4), preview in policy(false), standing in any::<bool>(),
    ) {
        let before = world.judge(&policies, standing);
        let mut policies = policies;
        policies.push(preview);
        let after = world.judge(&policies, standing);
        prop_assert_eq!((after.violations, after.limits), (before.violations, before.limits));
    }

    #[test]
    fn a_warning_is_what_would_be_a_violation(world in world(), preview in policy(false), standing in any::<bool>()) {
        let mut enforced = preview.clone();
        enforced.enforcement = crate::api::Enforcement::Enforce;
        prop_assert_eq!(world.judge(&[preview], standing).warnings, world.judge(&[enforced], standing).violations);
    }

    #[test]
    fn clamping_is_never_later_and_once_is_enough(
        policies in vec(policy(true), 0..4), issued in moment(), expires in moment(),
    ) {
        let limits = Limits::of(policies.iter());
        let issued = issued.unwrap_or(now());
        let clamped = limits.clamp(issued, expires);
        prop_assert!(expires.is_none_or(|expires| clamped.is_some_and(|clamped| clamped <= expires)));
        prop_assert!(limits.longest.as_ref().is_none_or(|longest| clamped.is_some_and(|clamped| clamped <= longest.after(issued))));
        prop_assert_eq!(limits.clamp(issued, clamped), clamped);
    }
}
