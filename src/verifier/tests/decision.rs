use super::*;

fn codes(tokens: &[Value], numbers: &[u64]) -> Vec<&'static str> {
    let index = index_of(tokens);
    numbers
        .iter()
        .map(|&number| ask(&index, number).code.as_str())
        .collect()
}

fn requires(organisation: Option<&str>, projects: &[&str], permissions: &[&str]) -> Requirements {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    Requirements {
        organisation: organisation.map(str::to_owned),
        permissions: owned(permissions),
        projects: owned(projects),
    }
}

#[test]
fn a_token_is_let_in_as_what_it_was_granted() {
    let mut token = token("deploy", &[credential(1, "Active")]);
    token["status"]["credentials"][0]["expiresAt"] = json!("2026-07-01T00:00:00Z");
    token["status"]["grant"]["projects"] = json!(["web", "gone"]);
    let decision = ask(&index_of(&[token]), 1);
    let identity = decision.identity().unwrap();
    assert_eq!(
        (
            identity.organisation(),
            identity.namespace(),
            identity.name(),
            &*identity.uid(),
            identity.credential()
        ),
        ("acme", "web", "deploy", UID, 1)
    );
    assert_eq!(identity.client_id(), Some("acme-01234567890123456789"));
    assert_eq!(
        (identity.type_(), identity.user(), identity.role()),
        (TokenType::Organisation, None, Some("Reader"))
    );
    let permissions = identity.permissions();
    assert_eq!(
        permissions.iter().collect::<Vec<_>>(),
        ["logs:*", "queries:block", "users:read"]
    );
    assert_eq!(identity.scope(), Scope::Projects(vec!["web"]));
    assert_eq!(identity.expires_at(), Some("2026-07-01T00:00:00Z".parse().unwrap()));
}

#[test]
fn the_first_check_that_fails_is_the_code() {
    let mut token = token("deploy", &[credential(1, "Retired")]);
    token["spec"]["notBefore"] = json!("2026-06-01T12:00:00.5Z");
    token["spec"]["suspended"] = json!(true);
    token["spec"]["type"] = json!("Personal");
    token["spec"]["user"] = json!("bob");
    token["status"]["grant"]["ipFilters"] = json!(["office"]);
    token["status"]["credentials"][0]["expiresAt"] = json!("2026-06-01T12:00:00Z");
    let mut organisation = organisation();
    organisation["spec"]["suspended"] = json!(true);
    organisation["spec"]["namespaces"] = json!({});
    let mut rules = json!({ "idle": { "after": "1d" }, "issuance": "Deny" });
    let mut address = Some("10.0.0.1".parse().unwrap());
    let mut requires = requires(Some("other"), &["nope"], &["users:write"]);

    let mut seen = Vec::new();
    for step in 0.. {
        let index = Index::new();
        if step > 4 {
            index.apply_organisation(&parse(&organisation));
        }
        index.apply_policy(&policy("strict", rules.clone()));
        index.apply_token(&parse(&token));
        let code = ask_for(&index, 1, address, &requires).code;
        seen.push(code.as_str());
        match step {
            0 => drop(token["spec"].as_object_mut().unwrap().remove("notBefore")),
            1 => token["status"]["credentials"][0]["expiresAt"] = json!("2026-06-01T12:00:01Z"),
            2 => token["status"]["credentials"][0]["state"] = json!("Active"),
            3 => token["spec"]["suspended"] = json!(false),
            4 => {}
            5 => organisation["spec"]["suspended"] = json!(false),
            6 => rules["idle"] = json!({ "after": "900d" }),
            7 => organisation["spec"]["namespaces"] = json!({ "names": ["web"] }),
            8 => organisation["spec"]["members"][1]["kind"] = json!("User"),
            9 => rules["issuance"] = json!("Allow"),
            10 => address = Some("::ffff:203.0.113.7".parse().unwrap()),
            11 => requires.organisation = Some("acme".to_owned()),
            12 => requires.projects = vec!["web".to_owned()],
            13 => requires.permissions = vec!["users:read".to_owned()],
            _ => break,
        }
    }
    assert_eq!(
        seen,
        [
            "not_yet_valid",
            "expired",
            "retired",
            "suspended",
            "unknown",
            "organisation_suspended",
            "suspended",
            "unknown",
            "not_a_member",
            "policy",
            "ip_denied",
            "wrong_organisation",
            "wrong_project",
            "insufficient_permission",
            "valid",
        ]
    );
}

#[test]
fn every_state_of_a_credential_has_its_answer() {
    let mut retiring = credential(3, "Retiring");
    retiring["retiredAt"] = json!("2026-06-01T12:00:01Z");
    let mut ended = credential(4, "Retiring");
    ended["retiredAt"] = json!("2026-06-01T12:00:00Z");
    let states = [
        credential(1, "Pending"),
        credential(2, "Active"),
        retiring,
        ended,
        credential(5, "Retiring"),
        credential(6, "Retired"),
    ];
    let expected = ["valid", "valid", "valid", "retired", "valid", "retired", "unknown"];
    assert_eq!(codes(&[token("deploy", &states)], &[1, 2, 3, 4, 5, 6, 7]), expected);
}

#[test]
fn a_replaced_credential_is_told_from_one_that_ended_by_itself() {
    let expired = |number| {
        let mut expired = credential(number, "Retired");
        expired["expiresAt"] = json!("2026-05-01T00:00:00Z");
        expired
    };
    let index = index_of(&[
        token(
            "rotated",
            &[expired(1), credential(2, "Retired"), credential(3, "Active")],
        ),
        token("ended", &[credential(4, "Retired")]),
        token("expired", &[expired(5)]),
    ]);
    let told = [1, 2, 3, 4, 5].map(|number| (ask(&index, number).code.as_str(), ask(&index, number).is_reuse()));
    let expected = [
        ("expired", true),
        ("retired", true),
        ("valid", false),
        ("retired", false),
        ("expired", false),
    ];
    assert_eq!(told, expected);
    let decision = ask(&index, 2);
    let subject = decision.subject().unwrap();
    assert_eq!(
        (subject.name(), subject.credential(), decision.identity().is_none()),
        ("rotated", 2, true)
    );
}

#[test]
fn a_client_id_must_be_the_tokens_own() {
    let index = index_of(&[token("deploy", &[credential(1, "Active")])]);
    let secret = plain(1);
    let code = |client_id| {
        let presented = Presented::Credential(Credential::pair(client_id, &secret));
        let requires = Requirements::default();
        let request = Request {
            presented: &presented,
            address: None,
            requires: &requires,
        };
        decide(&index, &request, &fresh()).code
    };
    assert_eq!(code("acme-01234567890123456789"), Code::Valid);
    assert_eq!(code("acme-01234567890123456780"), Code::Unknown);
}

#[test]
fn a_view_that_is_too_old_or_never_was_complete_knows_nothing() {
    let index = index_of(&[token("deploy", &[credential(1, "Active")])]);
    let (secret, requires) = (plain(1), Requirements::default());
    let code = |secret: &str, age: Option<u64>| {
        let presented = Presented::Credential(Credential::token(secret));
        let request = Request {
            presented: &presented,
            address: None,
            requires: &requires,
        };
        let moment = Moment {
            age: age.map(Duration::from_secs),
            ..fresh()
        };
        decide(&index, &request, &moment).code.as_str()
    };
    assert_eq!(
        [code(&secret, Some(600)), code(&secret, Some(601)), code(&secret, None)],
        ["valid", "stale", "stale"]
    );
    assert_eq!(
        code("acme_o", None),
        "malformed",
        "what can be said without a view is said"
    );
}

#[test]
fn a_personal_token_can_do_no_more_than_its_member() {
    let mut token = token("mine", &[credential(1, "Active")]);
    token["spec"]["type"] = json!("Personal");
    token["spec"]["user"] = json!("ann");
    let index = index_of(std::slice::from_ref(&token));
    for (permission, code) in [
        ("logs:read", Code::Valid),
        ("queries:block", Code::Valid),
        ("users:read", Code::InsufficientPermission),
        ("logs:write", Code::InsufficientPermission),
        ("queries:run", Code::InsufficientPermission),
    ] {
        let decision = ask_for(&index, 1, None, &requires(None, &[], &[permission]));
        assert_eq!(decision.code, code, "{permission}");
    }
    let decision = ask(&index, 1);
    let identity = decision.identity().unwrap();
    assert_eq!(
        identity.permissions().iter().collect::<Vec<_>>(),
        ["logs:read", "queries:block"]
    );
    assert_eq!(
        identity.role(),
        None,
        "a service that goes by the role's name would let it do more"
    );
    token["status"]["grant"]["role"] = json!("Clerk");
    index.apply_token(&parse(&token));
    assert_eq!(ask(&index, 1).identity().unwrap().role(), Some("Clerk"));
}

#[test]
fn what_the_organisation_no_longer_has_grants_nothing() {
    let mut token = token("deploy", &[credential(1, "Active")]);
    token["status"]["grant"]["ipFilters"] = json!(["not-nine"]);
    let index = index_of(&[token]);
    let address = Some("203.0.113.8".parse().unwrap());
    let wants = requires(None, &["shop"], &["users:read"]);
    assert_eq!(ask_for(&index, 1, address, &wants).code, Code::Valid);
    for (pointer, without, code) in [
        (
            "/spec/roles",
            json!([{ "name": "Other", "permissions": ["*"] }]),
            Code::InsufficientPermission,
        ),
        ("/spec/projects", json!([{ "name": "web" }]), Code::WrongProject),
        ("/spec/ipFilters", json!([]), Code::IpDenied),
    ] {
        let mut organisation = organisation();
        *organisation.pointer_mut(pointer).unwrap() = without;
        index.apply_organisation(&parse(&organisation));
        assert_eq!(ask_for(&index, 1, address, &wants).code, code, "{pointer}");
    }
    index.delete_organisation("acme");
    assert_eq!(ask(&index, 1).code, Code::Unknown);
}

#[test]
fn filters_want_an_address_and_all_of_them_must_pass() {
    let mut token = token("deploy", &[credential(1, "Active")]);
    token["status"]["grant"]["ipFilters"] = json!(["office", "not-nine"]);
    let index = index_of(&[token]);
    let code = |address: Option<&str>| {
        let address = address.map(|address| address.parse().unwrap());
        ask_for(&index, 1, address, &Requirements::default()).code
    };
    assert_eq!(code(Some("203.0.113.8")), Code::Valid);
    for address in [
        None,
        Some("203.0.113.9"),
        Some("::ffff:203.0.113.9"),
        Some("198.51.100.1"),
    ] {
        assert_eq!(code(address), Code::IpDenied, "{address:?}");
    }
}

#[test]
fn codes_are_distinct_and_only_four_are_forbidden() {
    let names: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(
        (names.len(), Code::ALL.iter().filter(|code| code.is_forbidden()).count()),
        (16, 4)
    );
}
