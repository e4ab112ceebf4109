//! The decision against a second opinion, formed slowly and from the objects themselves.

use proptest::prelude::*;

use super::*;
use crate::api::{Enforcement, FilterAction, Issuance, SubjectKind, TokenPolicySpec};

/// Whether the request may pass, as the documentation would have a person decide.
fn may_pass(
    token: &ApiToken,
    organisation: Option<&Organisation>,
    policies: &[TokenPolicy],
    address: Option<&str>,
    wants: &Requirements,
) -> bool {
    let now: jiff::Timestamp = NOW.parse().unwrap();
    let Some(organisation) = organisation else {
        return false;
    };
    let team = organisation
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get("team"));
    let policies: Vec<&TokenPolicySpec> = policies
        .iter()
        .map(|policy| &policy.spec)
        .filter(|policy| policy.enforcement == Enforcement::Enforce && policy.types.contains(&token.spec.type_))
        .filter(|policy| {
            // The policies of this world select all, by name, or by the label team.
            policy.organisations.as_ref().is_none_or(|selected| {
                let wanted = selected
                    .selector
                    .as_ref()
                    .and_then(|selector| selector.match_labels.as_ref());
                selected.names.contains(&"acme".to_owned()) || wanted.is_some_and(|wanted| wanted.get("team") == team)
            })
        })
        .collect();
    let organisation = &organisation.spec;
    let status = token.status.as_ref().unwrap();
    let credential = &status.credentials[0];
    let Some(grant) = &status.grant else { return false };
    let alive = token.metadata.deletion_timestamp.is_none()
        && !token.spec.suspended
        && !organisation.suspended
        && token.spec.not_before.as_ref().is_none_or(|at| at.0 <= now)
        && credential.expires_at.as_ref().is_none_or(|at| at.0 > now)
        && match serde_json::to_value(credential.state).unwrap().as_str().unwrap() {
            "Pending" | "Active" => true,
            "Retiring" => credential.retired_at.as_ref().is_none_or(|at| at.0 > now),
            _ => false,
        };
    let role = |name: &str| {
        organisation
            .effective_roles()
            .into_iter()
            .find(|role| role.name == name)
    };
    let grants = |patterns: &[String], wanted: &str| {
        patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => wanted.starts_with(prefix),
            None => pattern == wanted,
        })
    };
    let member = organisation
        .members
        .iter()
        .find(|member| member.kind == SubjectKind::User && Some(&member.name) == token.spec.user.as_ref());
    let personal = token.spec.type_ == TokenType::Personal;
    let permitted = wants.permissions.iter().all(|wanted| {
        let by_role = grant
            .role
            .as_deref()
            .and_then(role)
            .is_some_and(|role| grants(&role.permissions, wanted));
        let by_member = member
            .and_then(|member| role(&member.role))
            .is_some_and(|role| grants(&role.permissions, wanted));
        (by_role || grants(&grant.permissions, wanted)) && (!personal || by_member)
    });
    // The filters of this world each have one rule for one address.
    let required = policies.iter().filter_map(|policy| policy.ip_filters.as_ref());
    let required = required.flat_map(|filters| &filters.required);
    let filtered = grant.ip_filters.iter().chain(required).all(|name| {
        let filter = organisation.ip_filters.iter().find(|filter| filter.name == *name);
        filter.is_some_and(|filter| {
            filter
                .rules
                .iter()
                .any(|rule| rule.action == FilterAction::Allow && Some(&*rule.address) == address)
        })
    });
    let reached = wants.projects.iter().all(|wanted| {
        organisation.projects.iter().any(|project| project.name == *wanted)
            && grant.projects.as_ref().is_none_or(|projects| projects.contains(wanted))
    });
    let namespace = token.metadata.namespace.as_deref().unwrap();
    let all_may = |patterns: &[String]| {
        let most = policies
            .iter()
            .filter_map(|policy| policy.permissions.as_ref()?.allowed.as_ref());
        let within = |most: &Vec<String>| patterns.iter().all(|pattern| grants(most, pattern));
        most.into_iter().all(within)
    };
    let seconds = |at: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Time| at.0.as_second();
    let (issued, moment) = (seconds(&credential.issued_at), now.as_second());
    let is_past = |from: i64, after: &crate::api::Duration| from + after.seconds() as i64 <= moment;
    let says_its_end = grant
        .expiry
        .as_ref()
        .is_some_and(|expiry| expiry.after.is_some() || expiry.at.is_some());
    let used = status.last_used.as_ref().map_or(issued, |used| seconds(&used.at));
    let role_of_token = grant.role.as_deref().and_then(role);
    let fits = !status.violating
        && policies.iter().all(|policy| {
            let expiry = policy.expiry.as_ref();
            let roles = policy.roles.as_ref().and_then(|roles| roles.allowed.as_ref());
            policy.issuance == Issuance::Allow
                && expiry.is_none_or(|expiry| {
                    let default = expiry
                        .default
                        .as_ref()
                        .filter(|_| expiry.required && credential.expires_at.is_none());
                    let sets_one = expiry.max.is_some() || expiry.default.is_some();
                    (!expiry.required || sets_one || says_its_end)
                        && [expiry.max.as_ref(), default]
                            .into_iter()
                            .flatten()
                            .all(|most| !is_past(issued, most))
                })
                && roles.is_none_or(|roles| grant.role.as_ref().is_none_or(|role| roles.contains(role)))
                && policy.projects.as_ref().is_none_or(|projects| {
                    !projects.required || grant.projects.as_ref().is_some_and(|projects| !projects.is_empty())
                })
                && policy
                    .idle
                    .as_ref()
                    .is_none_or(|idle| !is_past(issued.max(used), &idle.after))
        })
        && all_may(&grant.permissions)
        && role_of_token.is_none_or(|role| all_may(&role.permissions));
    alive
        && fits
        && organisation.allows_namespace(namespace, &Default::default())
        && (!personal || member.is_some())
        && filtered
        && wants
            .organisation
            .as_ref()
            .is_none_or(|wanted| *wanted == token.spec.organisation)
        && reached
        && permitted
}

pub(super) fn some_of(all: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(all.to_vec(), 0..=all.len())
}

/// Mostly `usual`, so that many worlds let the request in.
pub(super) fn mostly<T: Clone + std::fmt::Debug + 'static>(usual: T, others: Vec<T>) -> impl Strategy<Value = T> {
    prop_oneof![8 => Just(usual), 1 => proptest::sample::select(others)]
}

pub(super) fn token_object() -> impl Strategy<Value = Value> {
    let time = || {
        mostly(
            None,
            vec![Some("2026-06-01T11:59:59Z"), Some(NOW), Some("2026-06-01T12:00:01Z")],
        )
    };
    let life = (
        mostly("Active", vec!["Pending", "Retiring", "Retired"]),
        time(),
        time(),
        time(),
        mostly(false, vec![true]),
    );
    let record = (
        prop::sample::select(vec![
            "2026-01-01T00:00:00Z",
            "2026-05-29T12:00:00Z",
            "2026-05-25T11:59:59Z",
        ]),
        prop::sample::select(vec![None, Some("2026-05-31T12:00:00Z"), Some("2026-05-31T12:00:01Z")]),
        mostly(false, vec![true]),
    );
    let rights = (
        mostly("Reader", vec!["Boss", "Clerk", "None"]),
        some_of(&["queries:block", "users:*"]),
        prop_oneof![Just(None), some_of(&["web", "shop", "gone"]).prop_map(Some)],
        mostly(vec![], vec![vec!["one"], vec!["two"], vec!["one", "gone"]]),
        any::<bool>(),
    );
    let user = mostly(None, vec![Some("ann"), Some("bob")]);
    (life, record, rights, user, mostly(false, vec![true])).prop_map(
        |(life, (issued, used, violating), (role, permissions, projects, filters, says_its_end), user, dying)| {
            let (state, not_before, expires, retired, suspended) = life;
            let mut token = token("a", &[credential(1, state)]);
            let type_ = if user.is_some() { "Personal" } else { "Organisation" };
            token["spec"] = json!({
                "organisation": "acme", "type": type_, "user": user, "role": "Boss", "suspended": suspended, "notBefore": not_before,
            });
            // An end that the token does not ask for is one that a policy gave it.
            let lifetime = expires.filter(|_| says_its_end).map(|at| json!({ "at": at }));
            if let Some(lifetime) = &lifetime {
                token["spec"]["expiry"] = lifetime.clone();
            }
            token["status"]["grant"] = json!({ "role": role, "permissions": permissions, "projects": projects, "ipFilters": filters, "expiry": lifetime });
            token["status"]["credentials"][0]["expiresAt"] = json!(expires);
            token["status"]["credentials"][0]["retiredAt"] = json!(retired);
            token["status"]["credentials"][0]["issuedAt"] = json!(issued);
            token["status"]["lastUsed"] = used.map_or(Value::Null, |at| json!({ "at": at }));
            token["status"]["violating"] = json!(violating);
            token["metadata"]["deletionTimestamp"] = json!(dying.then_some(NOW));
            token
        },
    )
}

pub(super) fn organisation_object() -> impl Strategy<Value = Option<Value>> {
    let parts = (
        mostly(false, vec![true]),
        mostly(vec!["web"], vec![vec![], vec!["shop"]]),
        mostly(true, vec![false]),
        mostly(true, vec![false]),
        prop::sample::select(vec!["a", "b"]),
    );
    parts.prop_map(|(suspended, namespaces, exists, has_roles, team)| {
        let mut object = organisation();
        object["metadata"]["labels"] = json!({ "team": team });
        object["spec"]["suspended"] = json!(suspended);
        object["spec"]["namespaces"] = json!({ "names": namespaces });
        object["spec"]["ipFilters"] = json!([
            { "name": "one", "rules": [{ "action": "Allow", "address": "203.0.113.1" }] },
            { "name": "two", "rules": [{ "action": "Allow", "address": "203.0.113.2" }] },
        ]);
        if !has_roles {
            object["spec"].as_object_mut().unwrap().remove("roles");
        }
        exists.then_some(object)
    })
}

pub(super) fn wants() -> impl Strategy<Value = Requirements> {
    let permissions = mostly(
        vec![],
        vec![
            vec!["users:read"],
            vec!["queries:block"],
            vec!["logs:read", "queries:block"],
        ],
    );
    let projects = mostly(vec![], vec![vec!["web"], vec!["shop", "web"], vec!["gone"]]);
    let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
    (mostly(None, vec![Some("acme"), Some("other")]), permissions, projects).prop_map(
        move |(organisation, permissions, projects)| Requirements {
            organisation: organisation.map(str::to_owned),
            permissions: owned(permissions),
            projects: owned(projects),
        },
    )
}

/// Each one says little, so that many tokens meet it.
pub(super) fn policy_object(enforcement: &'static str) -> impl Strategy<Value = TokenPolicy> {
    let selected = prop::sample::select(vec![
        json!(null),
        json!({ "names": ["acme"] }),
        json!({ "names": ["other"] }),
        json!({ "selector": { "matchLabels": { "team": "a" } } }),
        json!({ "names": ["other"], "selector": { "matchLabels": { "team": "b" } } }),
    ]);
    let types = prop::sample::select(vec![
        vec!["Organisation"],
        vec!["Personal"],
        vec!["Organisation", "Personal"],
    ]);
    let rules = prop::sample::select(vec![
        json!({}),
        json!({ "issuance": "Deny" }),
        json!({ "expiry": { "max": "7d" } }),
        json!({ "expiry": { "max": "90d" } }),
        json!({ "expiry": { "required": true } }),
        json!({ "expiry": { "required": true, "default": "3d" } }),
        json!({ "expiry": { "default": "1h", "allowed": ["1h"] } }),
        json!({ "ipFilters": { "required": ["one"] } }),
        json!({ "ipFilters": { "required": ["gone"] } }),
        json!({ "ipFilters": { "allowCustom": false } }),
        json!({ "roles": { "allowed": ["Reader", "Clerk"] } }),
        json!({ "roles": { "allowed": [] } }),
        json!({ "permissions": { "allowed": ["logs:*", "users:*", "queries:block"] } }),
        json!({ "permissions": { "allowed": ["queries:*", "users:read"] } }),
        json!({ "permissions": { "allowUpdates": false } }),
        json!({ "projects": { "required": true } }),
        json!({ "maxTokens": 1 }),
        json!({ "idle": { "after": "1d" } }),
        json!({ "idle": { "after": "3d", "action": "Delete" } }),
    ]);
    (selected, types, rules).prop_map(move |(organisations, types, rules)| {
        let mut spec = rules;
        let selection = json!({ "organisations": organisations, "types": types, "enforcement": enforcement });
        spec.as_object_mut()
            .unwrap()
            .extend(selection.as_object().unwrap().clone());
        policy("some", spec)
    })
}

/// Up to three, each with a name of its own.
pub(super) fn policy_objects() -> impl Strategy<Value = Vec<TokenPolicy>> {
    let one = prop_oneof![5 => policy_object("Enforce"), 1 => policy_object("Warn")];
    proptest::collection::vec(one, 0..4).prop_map(|policies| (0..).zip(policies).map(named).collect())
}

pub(super) fn named((number, mut policy): (usize, TokenPolicy)) -> TokenPolicy {
    policy.metadata.name = Some(format!("policy-{number}"));
    policy
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_request_is_let_in_when_the_model_says_so_and_never_otherwise(
        token in token_object(),
        organisation in organisation_object(),
        policies in policy_objects(),
        address in proptest::sample::select(vec![None, Some("203.0.113.1"), Some("203.0.113.2")]),
        wants in wants(),
    ) {
        let token: ApiToken = parse(&token);
        let organisation: Option<Organisation> = organisation.as_ref().map(parse);
        let index = Index::new();
        index.apply_token(&token);
        if let Some(organisation) = &organisation {
            index.apply_organisation(organisation);
        }
        policies.iter().for_each(|policy| index.apply_policy(policy));
        let decision = ask_for(&index, 1, address.map(|address| address.parse().unwrap()), &wants);
        let expected = may_pass(&token, organisation.as_ref(), &policies, address, &wants);
        prop_assert_eq!(decision.code == Code::Valid, expected, "{:?}", decision.code);
        if let Some(identity) = decision.identity() {
            prop_assert!(wants.permissions.iter().all(|wanted| identity.permissions().covers(wanted)));
        }
    }
}
