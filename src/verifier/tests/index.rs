use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn state(index: &Index, number: u64) -> &'static str {
    ask(index, number).code.as_str()
}

#[test]
fn a_deletion_is_seen_at_once_and_leaves_nothing_behind() {
    let index = index_of(&[
        token("a", &[credential(1, "Active")]),
        token("b", &[credential(2, "Active")]),
    ]);
    index.delete_token("web", "a");
    index.delete_token("web", "never-was");
    assert_eq!((state(&index, 1), state(&index, 2)), ("unknown", "valid"));
    index.delete_token("web", "b");
    index.delete_organisation("acme");
    let Size {
        tokens,
        credentials,
        organisations,
        namespaces,
        ..
    } = index.size();
    assert_eq!((tokens, credentials, organisations, namespaces), (0, 0, 0, 0));
}

#[test]
fn a_token_that_is_being_deleted_or_was_never_granted_anything_is_not_there() {
    let good = token("a", &[credential(1, "Active")]);
    let (mut dying, mut bare, mut spoiled) = (good.clone(), good.clone(), good.clone());
    dying["metadata"]["deletionTimestamp"] = json!(NOW);
    bare["status"].as_object_mut().unwrap().remove("grant");
    spoiled["status"]["credentials"][0]["digest"] = json!("sha256:beef");
    for gone in [dying, bare, spoiled] {
        let index = index_of(&[good.clone(), gone]);
        assert_eq!((state(&index, 1), index.size().tokens), ("unknown", 0));
    }
}

#[test]
fn a_change_takes_the_place_of_what_was_there() {
    let index = index_of(&[token("a", &[credential(1, "Active")])]);
    index.apply_token(&parse(&token(
        "a",
        &[credential(1, "Retiring"), credential(2, "Active")],
    )));
    assert_eq!((state(&index, 1), state(&index, 2)), ("valid", "valid"));
    index.apply_token(&parse(&token("a", &[credential(2, "Active")])));
    assert_eq!(
        (state(&index, 1), state(&index, 2), index.size().tokens),
        ("unknown", "valid", 1)
    );
}

#[test]
fn of_two_tokens_that_claim_one_digest_neither_is_found() {
    let index = index_of(&[
        token("a", &[credential(1, "Active")]),
        token("b", &[credential(1, "Active")]),
    ]);
    assert_eq!(state(&index, 1), "unknown");
    index.delete_token("web", "b");
    assert_eq!(state(&index, 1), "valid");
}

#[test]
fn a_complete_list_takes_out_what_it_did_not_have_and_an_incomplete_one_nothing() {
    let tokens = [
        token("a", &[credential(1, "Active")]),
        token("b", &[credential(2, "Active")]),
    ];
    let index = index_of(&tokens);
    index.begin(List::Tokens(None));
    assert_eq!(state(&index, 1), "valid");
    index.begin(List::Tokens(None));
    index.apply_token(&parse(&tokens[1]));
    index.complete(List::Tokens(None));
    assert_eq!((state(&index, 1), state(&index, 2)), ("unknown", "valid"));

    index.begin(List::Organisations);
    assert_eq!(state(&index, 2), "valid");
    index.complete(List::Organisations);
    assert_eq!((state(&index, 2), index.size().organisations), ("unknown", 0));
}

#[test]
fn namespaces_are_listed_each_by_itself() {
    let mut other = token("a", &[credential(2, "Active")]);
    other["metadata"]["namespace"] = json!("shop");
    let index = index_of(&[]);
    for namespace in ["web", "shop"] {
        index.begin(List::Tokens(Some(namespace)));
    }
    index.apply_token(&parse(&token("a", &[credential(1, "Active")])));
    index.apply_token(&parse(&other));
    index.begin(List::Tokens(Some("shop")));
    index.complete(List::Tokens(Some("shop")));
    assert_eq!((state(&index, 1), index.size().tokens), ("valid", 1));
}

#[test]
fn labels_decide_and_go_with_their_namespace() {
    let mut organisation = organisation();
    organisation["spec"]["namespaces"] = json!({ "selector": { "matchLabels": { "team": "a" } } });
    let index = index_of(&[token("a", &[credential(1, "Active")])]);
    index.apply_organisation(&parse(&organisation));
    assert_eq!(state(&index, 1), "unknown");
    let labels = |team: &str| BTreeMap::from([("team".to_owned(), team.to_owned())]);
    for (team, expected) in [("a", "valid"), ("b", "unknown"), ("a", "valid")] {
        index.apply_namespace("web", &labels(team));
        assert_eq!(state(&index, 1), expected);
    }
    index.begin(List::Namespaces);
    index.complete(List::Namespaces);
    assert_eq!((state(&index, 1), index.size().namespaces), ("unknown", 0));
}

#[test]
fn an_organisation_may_name_headers_of_its_own() {
    let mut organisation = organisation();
    organisation["spec"]["headers"] = json!({ "clientId": "X-Acme-Id", "secretKey": "X-Acme-Key" });
    let index = index_of(&[]);
    assert_eq!(index.headers("acme"), None);
    index.apply_organisation(&parse(&organisation));
    assert_eq!(
        index.headers("acme").map(|pair| pair.client_id),
        Some("x-acme-id".into())
    );
}

#[test]
fn years_of_changes_do_not_fill_the_memory() {
    let index = index_of(&[]);
    let mut tokens: Vec<ApiToken> = (0..500)
        .map(|number| parse(&token(&format!("token-{number}"), &[credential(number, "Active")])))
        .collect();
    let mut bytes = Vec::new();
    for round in 0..40 {
        for (at, token) in tokens.iter_mut().enumerate() {
            token.spec.suspended = (round + at) % 3 == 0;
            index.apply_token(token);
        }
        bytes.push(index.size().bytes);
    }
    assert!(bytes[39] <= bytes[4], "{bytes:?}");
    assert_eq!(index.size().tokens, 500);
    for (number, token) in (0..).zip(&tokens) {
        let expected = if token.spec.suspended { "suspended" } else { "valid" };
        assert_eq!(state(&index, number), expected, "{number}");
    }
}

#[derive(Clone, Debug)]
enum Change {
    Apply(u8, Vec<u64>),
    Delete(u8),
    Relist(Vec<(u8, u64)>),
}

fn change() -> impl Strategy<Value = Change> {
    let numbers = proptest::sample::subsequence((0..24).collect::<Vec<u64>>(), 1..4);
    prop_oneof![
        6 => (0_u8..6, numbers).prop_map(|(name, numbers)| Change::Apply(name, numbers)),
        2 => (0_u8..6).prop_map(Change::Delete),
        1 => proptest::collection::vec((0_u8..6, 0_u64..24), 0..4).prop_map(Change::Relist),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_the_index_knows_what_a_plain_map_knows(changes in proptest::collection::vec(change(), 1..40)) {
        let index = index_of(&[]);
        let mut model: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
        let apply = |name: u8, numbers: &[u64]| {
            let credentials: Vec<Value> = numbers.iter().map(|&number| credential(number, "Active")).collect();
            index.apply_token(&parse(&token(&format!("t{name}"), &credentials)));
        };
        for change in changes {
            match change {
                Change::Apply(name, numbers) => {
                    apply(name, &numbers);
                    model.insert(name, numbers);
                }
                Change::Delete(name) => {
                    index.delete_token("web", &format!("t{name}"));
                    model.remove(&name);
                }
                Change::Relist(listed) => {
                    index.begin(List::Tokens(None));
                    model.clear();
                    for (name, number) in listed {
                        apply(name, &[number]);
                        model.insert(name, vec![number]);
                    }
                    index.complete(List::Tokens(None));
                }
            }
            prop_assert_eq!(index.size().tokens, model.len());
        }
        for number in 0..24 {
            let owners: Vec<_> = model.iter().filter(|(_, numbers)| numbers.contains(&number)).collect();
            let decision = ask(&index, number);
            let found = decision.identity().map(|identity| identity.name().to_owned());
            let expected = match owners[..] { [(name, _)] => Some(format!("t{name}")), _ => None };
            prop_assert_eq!(found, expected, "credential {}", number);
        }
    }
}

#[test]
fn the_last_use_is_news_of_a_token_and_no_other_token() {
    let told = |used: Option<&str>, reused: Option<&str>| {
        let mut token = token("a", &[credential(1, "Active")]);
        token["spec"]["notBefore"] = json!("2026-01-01T00:00:00Z");
        token["status"]["lastUsed"] =
            used.map_or(Value::Null, |at| json!({ "at": at, "from": "::1", "credential": 1 }));
        token["status"]["lastReuse"] = reused.map_or(Value::Null, |at| json!({ "at": at }));
        token
    };
    let known = |index: &Index| {
        let decision = ask(index, 1);
        let identity = decision.identity().unwrap();
        (identity.last_used(), identity.last_reuse())
    };
    let index = index_of(&[told(None, None)]);
    assert_eq!(known(&index), (None, None));
    let size = index.size();
    for (used, reused, expected) in [
        (Some("1970-01-02T00:00:00Z"), None, (Some(86_400), None)),
        (Some("1970-01-03T00:00:00.9Z"), None, (Some(172_800), None)),
        // Times that no verifier writes.
        (Some("2200-01-01T00:00:00Z"), None, (Some(i64::from(u32::MAX)), None)),
        (Some("1960-01-01T00:00:00Z"), None, (None, None)),
        (None, Some("1970-01-02T00:00:00Z"), (None, Some(86_400))),
    ] {
        index.apply_token(&parse(&told(used, reused)));
        assert_eq!(known(&index), expected);
        assert_eq!((index.size().tokens, index.size().credentials), (1, 1));
        if reused.is_none() {
            assert_eq!(index.size(), size);
        }
    }
}
