//! The decision against a second opinion, formed slowly and from the objects themselves.

use proptest::prelude::*;

use super::*;
use crate::api::{FilterAction, SubjectKind};

/// Whether the request may pass, as the documentation would have a person decide.
fn may_pass(
    token: &ApiToken,
    organisation: Option<&Organisation>,
    address: Option<&str>,
    wants: &Requirements,
) -> bool {
    let now = NOW.parse().unwrap();
    let Some(organisation) = organisation.map(|organisation| &organisation.spec) else {
        return false;
    };
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
    let filtered = grant.ip_filters.iter().all(|name| {
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
    alive
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

fn some_of(all: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(all.to_vec(), 0..=all.len())
}

/// Mostly `usual`, so that many worlds let the request in.
fn mostly<T: Clone + std::fmt::Debug + 'static>(usual: T, others: Vec<T>) -> impl Strategy<Value = T> {
    prop_oneof![8 => Just(usual), 1 => proptest::sample::select(others)]
}

fn token_object() -> impl Strategy<Value = Value> {
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
    let rights = (
        mostly("Reader", vec!["Boss", "Clerk", "None"]),
        some_of(&["queries:block", "users:*"]),
        prop_oneof![Just(None), some_of(&["web", "shop", "gone"]).prop_map(Some)],
        mostly(vec![], vec![vec!["one"], vec!["two"], vec!["one", "gone"]]),
    );
    (life, rights, mostly(None, vec![Some("ann"), Some("bob")]), mostly(false, vec![true])).prop_map(
        |((state, not_before, expires, retired, suspended), (role, permissions, projects, filters), user, dying)| {
            let mut token = token("a", &[credential(1, state)]);
            let type_ = if user.is_some() { "Personal" } else { "Organisation" };
            token["spec"] = json!({
                "organisation": "acme", "type": type_, "user": user, "role": "Boss", "suspended": suspended, "notBefore": not_before,
            });
            token["status"]["grant"] = json!({ "role": role, "permissions": permissions, "projects": projects, "ipFilters": filters });
            token["status"]["credentials"][0]["expiresAt"] = json!(expires);
            token["status"]["credentials"][0]["retiredAt"] = json!(retired);
            token["metadata"]["deletionTimestamp"] = json!(dying.then_some(NOW));
            token
        },
    )
}

fn organisation_object() -> impl Strategy<Value = Option<Value>> {
    let parts = (
        mostly(false, vec![true]),
        mostly(vec!["web"], vec![vec![], vec!["shop"]]),
        mostly(true, vec![false]),
        mostly(true, vec![false]),
    );
    parts.prop_map(|(suspended, namespaces, exists, has_roles)| {
        let mut object = organisation();
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

fn wants() -> impl Strategy<Value = Requirements> {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_request_is_let_in_when_the_model_says_so_and_never_otherwise(
        token in token_object(),
        organisation in organisation_object(),
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
        let decision = ask_for(&index, 1, address.map(|address| address.parse().unwrap()), &wants);
        let expected = may_pass(&token, organisation.as_ref(), address, &wants);
        prop_assert_eq!(decision.code == Code::Valid, expected, "{:?}", decision.code);
        if let Some(identity) = decision.identity() {
            prop_assert!(wants.permissions.iter().all(|wanted| identity.permissions().covers(wanted)));
        }
    }
}
