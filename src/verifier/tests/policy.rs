use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    model::{mostly, named, organisation_object, policy_object, policy_objects, token_object, wants},
    *,
};
use crate::{
    api::CredentialState,
    domain::{
        lifecycle::{Facts, SecretFact, plan},
        policy::{Older, Policy, refusing},
    },
    verifier::last_used::Sightings,
};

fn code(index: &Index) -> &'static str {
    ask(index, 1).code.as_str()
}

/// An index with the token of number 1, of organisation `acme` with the label `team: a`.
fn index() -> Index {
    index_with(|_| ())
}

fn index_with(change: impl FnOnce(&mut Value)) -> Index {
    let mut token = token("deploy", &[credential(1, "Active")]);
    change(&mut token);
    let index = index_of(&[token]);
    label(&index, "a");
    index
}

fn label(index: &Index, team: &str) {
    let mut organisation = organisation();
    organisation["metadata"]["labels"] = json!({ "team": team });
    index.apply_organisation(&parse(&organisation));
}

#[test]
fn a_policy_counts_from_the_moment_it_is_known_until_it_is_gone() {
    let index = index();
    assert_eq!(code(&index), "valid");
    index.apply_policy(&policy("a", json!({ "roles": { "allowed": ["Boss"] } })));
    assert_eq!(code(&index), "policy");
    index.apply_policy(&policy("b", json!({ "issuance": "Deny" })));
    index.apply_policy(&policy("a", json!({ "roles": { "allowed": ["Reader"] } })));
    assert_eq!((code(&index), index.size().policies), ("policy", 2));
    index.delete_policy("b");
    assert_eq!((code(&index), index.size().policies), ("valid", 1));
    index.apply_policy(&policy("a", json!({ "issuance": "Deny", "enforcement": "Warn" })));
    assert_eq!(code(&index), "valid");
}

#[test]
fn a_list_of_policies_that_is_complete_takes_out_what_it_did_not_have() {
    let index = index();
    for name in ["a", "b"] {
        index.apply_policy(&policy(name, json!({ "issuance": "Deny" })));
    }
    index.begin(List::Policies);
    index.apply_policy(&policy("b", json!({})));
    assert_eq!(code(&index), "policy", "what is gone counts until that is known");
    index.complete(List::Policies);
    assert_eq!((code(&index), index.size().policies), ("valid", 1));
}

#[test]
fn an_organisation_is_selected_by_its_name_and_by_the_labels_it_has_now() {
    let index = index();
    let deny = |organisations: Value| policy("some", json!({ "issuance": "Deny", "organisations": organisations }));
    for (organisations, of_a, of_b) in [
        (json!(null), "policy", "policy"),
        (json!({ "names": ["acme"] }), "policy", "policy"),
        (json!({ "names": ["other"] }), "valid", "valid"),
        (
            json!({ "selector": { "matchLabels": { "team": "a" } } }),
            "policy",
            "valid",
        ),
        (
            json!({ "names": ["other"], "selector": { "matchLabels": { "team": "b" } } }),
            "valid",
            "policy",
        ),
    ] {
        index.apply_policy(&deny(organisations.clone()));
        assert_eq!(code(&index), of_a, "{organisations}");
        label(&index, "b");
        assert_eq!(code(&index), of_b, "{organisations}");
        label(&index, "a");
        assert_eq!(code(&index), of_a, "{organisations}");
    }
}

#[test]
fn a_policy_is_for_the_types_it_names() {
    let mut mine = token("mine", &[credential(2, "Active")]);
    (mine["spec"]["type"], mine["spec"]["user"]) = (json!("Personal"), json!("ann"));
    let index = index();
    index.apply_token(&parse(&mine));
    index.apply_policy(&policy("a", json!({ "issuance": "Deny", "types": ["Personal"] })));
    assert_eq!((code(&index), ask(&index, 2).code.as_str()), ("valid", "policy"));
}

#[test]
fn what_outlives_a_policy_has_expired_and_its_end_is_told_as_the_policy_has_it() {
    // Issued on the first of January; now is the first of June at noon.
    for (own, expiry, expected) in [
        (json!(null), json!({ "max": "151d12h" }), "expired"),
        (json!(null), json!({ "max": "151d12h1s" }), "2026-06-01T12:00:01Z"),
        (
            json!("2026-06-02T00:00:00Z"),
            json!({ "max": "160d" }),
            "2026-06-02T00:00:00Z",
        ),
        (json!("2026-07-02T00:00:00Z"), json!({ "max": "30d" }), "expired"),
        (
            json!(null),
            json!({ "required": true, "default": "160d" }),
            "2026-06-10T00:00:00Z",
        ),
        (
            json!("2026-07-02T00:00:00Z"),
            json!({ "required": true, "default": "1d" }),
            "2026-07-02T00:00:00Z",
        ),
        (json!(null), json!({ "default": "1d" }), "never"),
        (json!(null), json!({ "required": true }), "policy"),
        (json!("2026-07-02T00:00:00Z"), json!({ "required": true }), "policy"),
    ] {
        let index = index_with(|token| token["status"]["credentials"][0]["expiresAt"] = own.clone());
        index.apply_policy(&policy("a", json!({ "expiry": expiry })));
        let decision = ask(&index, 1);
        let found = match decision.identity() {
            Some(identity) => identity.expires_at().map_or("never".to_owned(), |end| end.to_string()),
            None => decision.code.as_str().to_owned(),
        };
        assert_eq!(found, expected, "{own} {expiry}");
    }
}

#[test]
fn a_token_must_say_when_it_expires_whatever_end_another_policy_gives_it() {
    let code_of = |lifetime: Value, more: &[Value]| {
        let index = index_with(|token| token["status"]["grant"]["expiry"] = lifetime);
        index.apply_policy(&policy("a", json!({ "expiry": { "required": true } })));
        for expiry in more {
            index.apply_policy(&policy("b", json!({ "expiry": expiry })));
        }
        code(&index)
    };
    assert_eq!(code_of(json!({ "after": "300d" }), &[]), "valid");
    assert_eq!(code_of(json!(null), &[json!({ "max": "300d" })]), "policy");
    assert_eq!(code_of(json!({ "limit": "300d" }), &[]), "policy");
}

#[test]
fn a_required_filter_must_pass_besides_the_tokens_own() {
    let index = index_with(|token| token["status"]["grant"]["ipFilters"] = json!(["not-nine"]));
    let from = |address: Option<&str>| {
        let address = address.map(|address| address.parse().unwrap());
        ask_for(&index, 1, address, &Requirements::default()).code.as_str()
    };
    assert_eq!(from(Some("198.51.100.1")), "valid");
    index.apply_policy(&policy("a", json!({ "ipFilters": { "required": ["office"] } })));
    for (address, expected) in [
        (Some("203.0.113.7"), "valid"),
        (Some("203.0.113.9"), "ip_denied"),
        (Some("198.51.100.1"), "ip_denied"),
        (None, "ip_denied"),
    ] {
        assert_eq!(from(address), expected, "{address:?}");
    }
    index.apply_policy(&policy("a", json!({ "ipFilters": { "required": ["gone"] } })));
    assert_eq!(from(Some("203.0.113.7")), "ip_denied");
    index.apply_policy(&policy("a", json!({ "ipFilters": { "allowCustom": false } })));
    assert_eq!(from(Some("198.51.100.1")), "valid", "a filter of its own only narrows");
}

#[test]
fn what_the_controller_found_violating_is_refused_whatever_is_known_of_policies() {
    let index = index_with(|token| token["status"]["violating"] = json!(true));
    assert_eq!(code(&index), "policy");
}

#[test]
fn a_token_that_nobody_uses_is_suspended_and_a_use_that_was_seen_here_counts() {
    let told = |used: &str| index_with(|token| token["status"]["lastUsed"] = json!({ "at": used }));
    let idle = |after: &str| policy("idle", json!({ "idle": { "after": after } }));
    for (used, after, expected) in [
        ("2026-05-31T12:00:00Z", "1d", "suspended"),
        ("2026-05-31T12:00:01Z", "1d", "valid"),
        ("2025-01-01T00:00:00Z", "152d", "valid"),
        ("2025-01-01T00:00:00Z", "151d", "suspended"),
    ] {
        let index = told(used);
        index.apply_policy(&idle(after));
        assert_eq!(code(&index), expected, "{used} {after}");
    }

    let index = told("2026-05-31T12:00:00Z");
    let sightings = Sightings::new(Duration::from_secs(600), Arc::default());
    let seen_at = |at: &str| {
        sightings.note(&ask(&index, 1), None, at.parse().unwrap());
    };
    seen_at("2026-06-01T11:59:59Z");
    index.apply_policy(&idle("1d"));
    let secret = plain(1);
    let presented = Presented::Credential(Credential::token(&secret));
    let request = Request {
        presented: &presented,
        address: None,
        requires: &Requirements::default(),
    };
    let at = |now: &str| {
        let moment = Moment {
            now: now.parse().unwrap(),
            sightings: Some(&sightings),
            ..fresh()
        };
        decide(&index, &request, &moment).code.as_str()
    };
    assert_eq!(code(&index), "suspended", "by what the status tells");
    assert_eq!(at(NOW), "valid");
    assert_eq!(
        (at("2026-06-02T11:59:58Z"), at("2026-06-02T11:59:59Z")),
        ("valid", "suspended")
    );
}

#[test]
fn a_policy_that_cannot_be_read_refuses_whom_it_may_be_for() {
    let index = index();
    index.apply_unreadable_policy("odd", &refusing(&json!({ "organisations": { "names": ["other"] } })));
    assert_eq!((code(&index), index.size().unreadable_policies), ("valid", 1));
    index.apply_unreadable_policy("odd", &refusing(&json!({ "organisations": "other" })));
    assert_eq!((code(&index), index.size().policies), ("policy", 1));
    index.apply_policy(&policy("odd", json!({})));
    assert_eq!((code(&index), index.size().unreadable_policies), ("valid", 0));
}

/// What a feed brings.
#[derive(Clone, Debug)]
enum News {
    Token(Box<ApiToken>),
    Organisation(Box<Organisation>),
    Policy(Box<TokenPolicy>),
}

impl News {
    fn tell(&self, index: &Index) {
        match self {
            Self::Token(token) => index.apply_token(token),
            Self::Organisation(organisation) => index.apply_organisation(organisation),
            Self::Policy(policy) => index.apply_policy(policy),
        }
    }
}

/// One request in one world.
#[derive(Clone, Debug)]
struct World {
    token: ApiToken,
    organisation: Option<Organisation>,
    policies: Vec<TokenPolicy>,
    address: Option<&'static str>,
    wants: Requirements,
}

impl World {
    fn news(&self) -> Vec<News> {
        let mut news = vec![News::Token(Box::new(self.token.clone()))];
        news.extend(
            self.organisation
                .iter()
                .map(|one| News::Organisation(Box::new(one.clone()))),
        );
        news.extend(self.policies.iter().map(|one| News::Policy(Box::new(one.clone()))));
        news
    }

    /// The code, and when the credential expires if it is let in.
    fn outcome(&self, index: &Index) -> (Code, Option<jiff::Timestamp>) {
        let decision = ask_for(
            index,
            1,
            self.address.map(|address| address.parse().unwrap()),
            &self.wants,
        );
        (decision.code, decision.identity().and_then(Identity::expires_at))
    }

    fn outcome_of(&self, news: &[News]) -> (Code, Option<jiff::Timestamp>) {
        let index = Index::new();
        news.iter().for_each(|news| news.tell(&index));
        self.outcome(&index)
    }
}

fn world() -> impl Strategy<Value = World> {
    let address = mostly(Some("203.0.113.1"), vec![None, Some("203.0.113.2")]);
    (
        token_object(),
        organisation_object(),
        policy_objects(),
        address,
        wants(),
    )
        .prop_map(|(token, organisation, policies, address, wants)| World {
            token: parse(&token),
            organisation: organisation.as_ref().map(parse),
            policies,
            address,
            wants,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_the_controller_calls_violating_or_ends_is_never_let_in(mut world in world()) {
        world.token.status.as_mut().unwrap().violating = false;
        let (code, _) = world.outcome_of(&world.news());
        let organisation = world.organisation.as_ref();
        let labels = organisation.and_then(|one| one.metadata.labels.clone()).unwrap_or_default();
        let selecting = world.policies.iter().filter(|one| one.spec.selects("acme", &labels));
        let policies: Vec<Policy<'_>> =
            selecting.map(|one| Policy { name: one.metadata.name.as_deref().unwrap(), spec: &one.spec }).collect();
        let facts = Facts {
            organisation: organisation.map(|one| &one.spec),
            policies: &policies,
            unreadable_policy: None,
            older: Older::default(),
            labels: &BTreeMap::new(),
            secret: SecretFact::Absent,
            minted: None,
            denied: None,
            workloads: None,
            history: 3,
            trust_created_by: false,
        };
        let judged = plan(&world.token, &facts, NOW.parse().unwrap()).status;
        let ended = judged.credentials.iter().any(|one| one.id == 1 && one.state == CredentialState::Retired);
        if judged.violating || ended {
            prop_assert_ne!(code, Code::Valid);
        }
    }

    #[test]
    fn a_policy_that_warns_changes_nothing(mut world in world(), warning in policy_object("Warn")) {
        let before = world.outcome_of(&world.news());
        world.policies.push(named((9, warning)));
        prop_assert_eq!(world.outcome_of(&world.news()), before);
    }

    #[test]
    fn one_more_enforced_policy_never_lets_more_in_or_for_longer(mut world in world(), more in policy_object("Enforce")) {
        let (before, end) = world.outcome_of(&world.news());
        world.policies.push(named((9, more)));
        let (after, cut) = world.outcome_of(&world.news());
        prop_assert!(after != Code::Valid || before == Code::Valid, "{:?} became {:?}", before, after);
        if after == Code::Valid {
            prop_assert!(end.is_none_or(|end| cut.is_some_and(|cut| cut <= end)), "{:?} became {:?}", end, cut);
        }
    }

    #[test]
    fn the_order_in_which_objects_come_and_what_was_there_before_do_not_matter(
        (world, shuffled) in world().prop_flat_map(|world| (Just(world.clone()), Just(world.news()).prop_shuffle())),
        passing in policy_objects(),
        labels in prop::sample::select(vec!["a", "b"]),
    ) {
        let index = Index::new();
        passing.iter().for_each(|policy| index.apply_policy(policy));
        label(&index, labels);
        index.apply_policy(&policy("passing", json!({ "issuance": "Deny" })));
        if world.organisation.is_none() {
            index.delete_organisation("acme");
        }
        shuffled.iter().for_each(|news| news.tell(&index));
        for gone in passing.iter().skip(world.policies.len()) {
            index.delete_policy(gone.metadata.name.as_deref().unwrap());
        }
        index.delete_policy("passing");
        prop_assert_eq!(world.outcome(&index), world.outcome_of(&world.news()));
    }
}
