//! Whom a policy hits, and what its status says of it.

use super::*;

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
