use super::*;

const INSIDE: &str = "203.0.113.9";
const CREDENTIAL: [&str; 4] = ["authorization", "x-api-key", "x-client-id", "x-secret-key"];

#[test]
fn who_is_let_in_is_said_and_the_credential_taken_off() {
    let answer = check(&judge(), &question(INSIDE, &[("authorization", &bearer())], &[]));
    let mut removed = vec!["x-tokenwright-user"];
    removed.extend(CREDENTIAL);
    assert_eq!(
        shown(answer),
        json!({
            "status": [0, "valid"],
            "ok": {
                "set": {
                    "x-tokenwright-organisation": "acme",
                    "x-tokenwright-token": "web/deploy",
                    "x-tokenwright-client-id": "acme-01234567890123456789",
                    "x-tokenwright-type": "Organisation",
                    "x-tokenwright-role": "Reader",
                    "x-tokenwright-permissions": "logs:*,queries:block,users:read",
                    "x-tokenwright-projects": "*",
                },
                "remove": removed,
            },
            "metadata": {
                "code": "valid", "organisation": "acme", "token": "web/deploy", "type": "Organisation",
                "clientId": "acme-01234567890123456789", "role": "Reader",
                "permissions": ["logs:*", "queries:block", "users:read"], "projects": ["*"],
            },
        })
    );
}

#[test]
fn a_token_that_may_do_nothing_has_headers_for_none_of_it() {
    let mut token = token("deploy", &[credential(1, "Active")]);
    token["spec"]["type"] = json!("Personal");
    token["spec"]["user"] = json!("ann");
    token["status"]["grant"] = json!({ "role": "Boss", "permissions": [], "projects": ["gone"] });
    let judge = judge_of(&[token]);
    let answer = shown(check(&judge, &question("::1", &[("x-api-key", &plain(1))], &[])));
    assert_eq!(answer["ok"]["set"]["x-tokenwright-user"], json!("ann"));
    let mut removed = vec!["x-tokenwright-role", "x-tokenwright-projects"];
    removed.extend(CREDENTIAL);
    assert_eq!(answer["ok"]["remove"], json!(removed));
    assert_eq!(answer["metadata"]["projects"], json!([]));
}

#[test]
fn identity_headers_of_the_client_and_what_reads_like_them_do_not_pass() {
    let brought = [
        ("authorization", &*bearer()),
        ("x-tokenwright-user", "root"),
        ("x-tokenwright-role", "Owner"),
        ("x_tokenwright_user", "root"),
        ("X-Tokenwright_Role", "Owner"),
        ("x.tokenwright.user", "root"),
        ("x_other", "1"),
    ];
    let answer = shown(check(&judge(), &question(INSIDE, &brought, &[])));
    assert_eq!(answer["ok"]["set"]["x-tokenwright-role"], json!("Reader"));
    let removed = answer["ok"]["remove"].as_array().unwrap();
    let mut removed: Vec<_> = removed.iter().map(|name| name.as_str().unwrap()).collect();
    removed.sort_unstable();
    assert_eq!(
        removed,
        [
            "X-Tokenwright_Role",
            "authorization",
            "x-api-key",
            "x-client-id",
            "x-secret-key",
            "x-tokenwright-user",
            "x.tokenwright.user",
            "x_tokenwright_user"
        ]
    );
}

#[test]
fn an_organisations_own_pair_is_read_and_taken_off() {
    let judge = judge();
    let mut own = organisation();
    own["spec"]["headers"] = json!({ "clientId": "X-Acme-Id", "secretKey": "X-Acme-Key" });
    judge.index.apply_organisation(&parse::<Organisation>(&own));
    let headers = [("x-acme-id", "acme-01234567890123456789"), ("x-acme-key", &plain(1))];
    let answer = shown(check(&judge, &question(INSIDE, &headers, &[("organisation", "acme")])));
    let removed = [
        "x-tokenwright-user",
        "authorization",
        "x-api-key",
        "x-acme-id",
        "x-acme-key",
    ];
    assert_eq!(answer["ok"]["remove"], json!(removed));
    // On a route of nobody in particular those are headers like any other.
    assert_eq!(code_of(&judge, &question(INSIDE, &headers, &[])), "missing");
}

fn denied(status: u16, grpc: i32, code: &str, challenge: &str, body: &str) -> Value {
    let set = json!({ "content-type": "text/plain; charset=utf-8", "www-authenticate": challenge });
    json!({
        "status": [grpc, code], "denied": { "status": status, "set": set, "body": body }, "metadata": { "code": code },
    })
}

#[test]
fn each_refusal_is_said_as_its_status_demands() {
    let judge = judge();
    let (unknown, good) = (format!("Bearer {}", plain(2)), bearer());
    let ask = |peer, header: &str, extension| {
        let headers: &[(&str, &str)] = if header.is_empty() {
            &[]
        } else {
            &[("authorization", header)]
        };
        shown(check(&judge, &question(peer, headers, &[extension])))
    };
    let (acme, evil) = (("organisation", "acme"), ("organisation", "evil"));
    let (project, permission) = (("project", "web nothing"), ("permission", "users:read,users:write"));
    let plain = r#"Bearer realm="tokenwright""#;
    let invalid = r#"Bearer realm="tokenwright", error="invalid_token""#;
    let scope = r#"Bearer realm="tokenwright", error="insufficient_scope", scope="users:read users:write""#;
    let unauthorized = |code, challenge| denied(401, 16, code, challenge, "A valid API token is needed.\n");
    let forbidden = |code, challenge| denied(403, 7, code, challenge, "This API token is not for that.\n");
    for (peer, header, extension, expected) in [
        (INSIDE, "", acme, unauthorized("missing", plain)),
        (INSIDE, "Bearer x", acme, unauthorized("malformed", invalid)),
        (INSIDE, &*unknown, acme, unauthorized("unknown", invalid)),
        ("192.0.2.1", &*good, acme, forbidden("ip_denied", plain)),
        (INSIDE, &*good, evil, forbidden("wrong_organisation", plain)),
        (INSIDE, &*good, project, forbidden("wrong_project", plain)),
        (INSIDE, &*good, permission, forbidden("insufficient_permission", scope)),
    ] {
        assert_eq!(ask(peer, header, extension), expected);
    }
    judge.index.apply_policy(&policy("none", json!({ "issuance": "Deny" })));
    assert_eq!(ask(INSIDE, &good, acme), unauthorized("policy", invalid));
}

#[test]
fn a_view_that_is_too_old_is_an_error_that_no_version_of_envoy_takes_for_a_yes() {
    let mut judge = judge();
    judge.freshness = Arc::new(Freshness::new(1));
    let answer = check(&judge, &question(INSIDE, &[("authorization", &bearer())], &[]));
    assert_eq!(
        shown(answer),
        json!({
            "status": [14, "stale"], "metadata": { "code": "stale" },
            "error": {
                "status": 503, "body": "API tokens cannot be verified now.\n",
                "set": { "content-type": "text/plain; charset=utf-8", "retry-after": "5" },
            },
        })
    );
}

#[test]
fn a_route_that_cannot_be_understood_lets_nobody_in() {
    let judge = judge();
    let unknown = |key| format!("{key:?} is nothing that can be required: write organisation, permission or project");
    for (extension, error) in [
        (("permision", "users:read"), unknown("permision")),
        (
            ("tokenwright.permission", "users:read"),
            unknown("tokenwright.permission"),
        ),
        (("Permission", "users:read"), unknown("Permission")),
        (("", ""), unknown("")),
        (("permission", " , "), "permission has no value".to_owned()),
        (("organisation", ""), "organisation has no value".to_owned()),
        (
            ("organisation", "acme evil"),
            "organisation is required twice".to_owned(),
        ),
        (
            ("permission", "users:read\tlogs:read"),
            "\"users:read\\tlogs:read\" is not a permission such as queries:block or queries:*".to_owned(),
        ),
    ] {
        let question = question(
            INSIDE,
            &[("authorization", &bearer())],
            &[("project", "web"), extension],
        );
        assert_eq!(
            shown(check(&judge, &question)),
            json!({
                "status": [13, "misconfigured"], "metadata": { "code": "misconfigured" },
                "denied": {
                    "status": 500, "body": format!("The route's context_extensions make no sense: {error}.\n"),
                    "set": { "content-type": "text/plain; charset=utf-8" },
                },
            })
        );
    }
    assert!(
        judge
            .metrics
            .encode()
            .contains("routes_refused_total{dialect=\"ext_authz_grpc\"} 8\n")
    );
}

#[test]
fn requirements_are_separated_by_spaces_or_commas() {
    let judge = judge();
    for (permission, expected) in [
        ("users:read", "valid"),
        ("users:read logs:read", "valid"),
        (" users:read,\u{20}queries:block ,", "valid"),
    ] {
        let question = question(
            INSIDE,
            &[("authorization", &bearer())],
            &[("permission", permission), ("project", "web,shop")],
        );
        assert_eq!(code_of(&judge, &question), expected, "{permission:?}");
    }
}
