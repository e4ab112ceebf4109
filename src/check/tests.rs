use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Cluster, File, Report, Severity, check};

const ACME: &str = r#"
apiVersion: tokenwright.dev/v1alpha1
kind: Organisation
metadata: { name: acme, labels: { tier: gold } }
spec:
  namespaces: { names: [shop], selector: { matchLabels: { team: media } } }
  roles: [{ name: Reader, permissions: ["orders:read"] }]
"#;

const TOKEN: &str = r#"
apiVersion: tokenwright.dev/v1alpha1
kind: ApiToken
metadata: { name: web, namespace: shop }
spec: { organisation: acme, role: Reader }
"#;

fn report(documents: &[&str], cluster: Option<&Cluster>) -> Report {
    let file = File {
        name: "x.yaml".to_owned(),
        text: documents.join("\n---\n"),
    };
    check(&[file], cluster, None, "2026-01-01T00:00:00Z".parse().unwrap())
}

/// What is found, without its places.
fn found(documents: &[&str], cluster: Option<&Cluster>) -> Vec<(Severity, &'static str, String)> {
    let findings = report(documents, cluster).findings.into_iter();
    findings
        .map(|finding| (finding.severity, finding.rule.id(), finding.message))
        .collect()
}

fn rules(documents: &[&str], cluster: Option<&Cluster>) -> Vec<(Severity, &'static str)> {
    let found = found(documents, cluster).into_iter();
    found.map(|(severity, rule, _)| (severity, rule)).collect()
}

fn token(name: &str, namespace: &str, spec: Value) -> String {
    let mut all = json!({ "organisation": "acme", "role": "Reader" });
    for (field, value) in spec.as_object().unwrap() {
        all[field] = value.clone();
    }
    let metadata = json!({ "name": name, "namespace": namespace });
    json!({ "apiVersion": "tokenwright.dev/v1alpha1", "kind": "ApiToken", "metadata": metadata, "spec": all })
        .to_string()
}

fn policy(name: &str, spec: Value) -> String {
    let metadata = json!({ "name": name });
    json!({ "apiVersion": "tokenwright.dev/v1alpha1", "kind": "TokenPolicy", "metadata": metadata, "spec": spec })
        .to_string()
}

fn namespace(name: &str, labels: Value) -> String {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } }).to_string()
}

fn cluster(organisations: &[&str], tokens: &[&str], namespaces: &[&str]) -> Cluster {
    let namespaces = namespaces.iter().map(|name| ((*name).to_owned(), BTreeMap::new()));
    Cluster {
        organisations: organisations
            .iter()
            .map(|text| serde_saphyr::from_str(text).unwrap())
            .collect(),
        tokens: tokens
            .iter()
            .map(|text| serde_saphyr::from_str(text).unwrap())
            .collect(),
        policies: Vec::new(),
        namespaces: namespaces.collect(),
    }
}

const ERROR: Severity = Severity::Error;
const WARNING: Severity = Severity::Warning;

#[test]
fn what_is_in_order_is_counted_and_nothing_is_found() {
    let others = "apiVersion: v1\nkind: Secret\nmetadata: { name: web }";
    let report = report(&[ACME, TOKEN, others, "just: values", "[1, 2]"], None);
    let expected = Report {
        files: 1,
        objects: 2,
        findings: Vec::new(),
    };
    assert_eq!(report, expected);
}

#[test]
fn an_unknown_organisation_is_a_warning_until_a_cluster_is_asked() {
    assert_eq!(rules(&[TOKEN], None), [(WARNING, "OrganisationNotFound")]);
    assert_eq!(
        found(&[TOKEN], Some(&cluster(&[], &[], &["shop"]))),
        [(
            ERROR,
            "OrganisationNotFound",
            "There is no Organisation \"acme\". Create it, or make an ApiToken that names another; 'kubectl get organisations' lists them."
                .to_owned()
        )]
    );
    assert_eq!(rules(&[TOKEN], Some(&cluster(&[ACME], &[], &["shop"]))), []);
}

#[test]
fn an_organisation_that_is_refused_itself_is_not_missing() {
    let refused = ACME.replace("roles:", "rolls:");
    assert_eq!(rules(&[&refused, TOKEN], None), [(ERROR, "UnknownField")]);
}

#[test]
fn files_replace_what_the_cluster_has_under_the_same_name() {
    let cluster = cluster(&[ACME], &[], &["shop"]);
    let renamed = ACME.replace("Reader", "Writer");
    assert_eq!(rules(&[&renamed, TOKEN], Some(&cluster)), [(ERROR, "RoleNotFound")]);
}

#[test]
fn a_namespace_is_judged_by_labels_where_they_are_known() {
    let there = token("web", "blog", json!({}));
    assert_eq!(rules(&[ACME, &there], None), [(WARNING, "NamespaceUnknown")]);
    let media = namespace("blog", json!({ "team": "media" }));
    assert_eq!(rules(&[ACME, &there, &media], None), []);
    let other = namespace("blog", json!({ "team": "other" }));
    assert_eq!(rules(&[ACME, &there, &other], None), [(ERROR, "NamespaceNotAllowed")]);
    // Without a selector there is nothing that labels could change.
    let by_name = ACME.replace(", selector: { matchLabels: { team: media } }", "");
    assert_eq!(rules(&[&by_name, &there], None), [(ERROR, "NamespaceNotAllowed")]);
    let by_own_name = ACME.replace("team: media", "kubernetes.io/metadata.name: blog");
    assert_eq!(rules(&[&by_own_name, &there, &other], None), []);
    assert_eq!(
        rules(&[ACME, &there], Some(&cluster(&[], &[], &["shop"]))),
        [(ERROR, "NamespaceNotFound")]
    );
}

#[test]
fn a_token_without_a_namespace_is_judged_by_the_one_that_is_given() {
    let file = File {
        name: "x.yaml".to_owned(),
        text: format!("{ACME}\n---\n{}", TOKEN.replace(", namespace: shop", "")),
    };
    let rules = |namespace| -> Vec<&str> {
        let report = check(
            std::slice::from_ref(&file),
            None,
            namespace,
            "2026-01-01T00:00:00Z".parse().unwrap(),
        );
        report.findings.iter().map(|finding| finding.rule.id()).collect()
    };
    assert_eq!(rules(None), ["NamespaceMissing"]);
    assert_eq!(rules(Some("shop")), [""; 0]);
    assert_eq!(rules(Some("blog")), ["NamespaceUnknown"]);
}

#[test]
fn what_suspends_a_token_hides_nothing_else() {
    let organisation = format!("{ACME}  suspended: true\n");
    let wrong = token("web", "shop", json!({ "suspended": true, "role": "Boss" }));
    assert_eq!(
        rules(&[&organisation, &wrong], None),
        [(ERROR, "RoleNotFound"), (WARNING, "OrganisationSuspended")]
    );
}

#[test]
fn a_change_is_held_to_what_the_cluster_has() {
    let was = token("web", "shop", json!({ "type": "Personal", "user": "ada" }));
    let cluster = cluster(&[ACME], &[&was], &["shop"]);
    let messages: Vec<String> = found(&[TOKEN], Some(&cluster))
        .into_iter()
        .map(|(_, _, message)| message)
        .collect();
    assert_eq!(
        messages,
        [
            "spec.user cannot be changed; create another ApiToken for another user",
            "Invalid value: \"Organisation\": spec.type cannot be changed; create another ApiToken of the other type",
        ]
    );
}

#[test]
fn policies_of_the_files_judge_the_tokens_of_the_files() {
    let short = policy("short", json!({ "expiry": { "max": "30d" } }));
    let long = token("web", "shop", json!({ "expiry": { "after": "90d" } }));
    assert_eq!(
        found(&[ACME, &short, &long], None),
        [(
            ERROR,
            "PolicyViolation",
            "TokenPolicy \"short\" (expiry.max): spec.expiry.after is 90d, and a token may live for 30d at most. Write 30d or less."
                .to_owned()
        )]
    );
    let preview = policy("short", json!({ "expiry": { "max": "30d" }, "enforcement": "Warn" }));
    assert_eq!(rules(&[ACME, &preview, &long], None), [(WARNING, "PolicyViolation")]);
    let denied = policy("none", json!({ "issuance": "Deny" }));
    assert_eq!(rules(&[ACME, &denied, TOKEN], None), [(ERROR, "IssuanceDenied")]);
    let of_others = policy(
        "others",
        json!({ "issuance": "Deny", "organisations": { "selector": { "matchLabels": { "tier": "silver" } } } }),
    );
    assert_eq!(
        rules(&[ACME, &of_others, TOKEN], None),
        [(WARNING, "OrganisationNotFound")]
    );
}

#[test]
fn a_policy_selects_an_organisation_that_is_elsewhere_only_for_sure() {
    let for_all = policy("all", json!({ "issuance": "Deny" }));
    let by_name = policy(
        "named",
        json!({ "issuance": "Deny", "organisations": { "names": ["acme"] } }),
    );
    let by_label = policy(
        "labelled",
        json!({ "issuance": "Deny", "organisations": { "selector": { "matchExpressions": [{ "key": "tier", "operator": "NotIn", "values": ["gold"] }] } } }),
    );
    let unknown = (WARNING, "OrganisationNotFound");
    assert_eq!(rules(&[TOKEN, &for_all], None), [(ERROR, "IssuanceDenied"), unknown]);
    assert_eq!(rules(&[TOKEN, &by_name], None), [(ERROR, "IssuanceDenied"), unknown]);
    assert_eq!(rules(&[TOKEN, &by_label], None), [unknown]);
}

#[test]
fn the_most_tokens_are_counted_over_files_and_cluster() {
    let most = policy("most", json!({ "maxTokens": 1 }));
    let there = token("a", "shop", json!({}));
    assert_eq!(rules(&[ACME, &most, &there], None), []);
    let twice = report(&[ACME, &most, &there, &token("b", "shop", json!({}))], None);
    let hit: Vec<_> = twice
        .findings
        .iter()
        .map(|finding| finding.object.clone().unwrap().name)
        .collect();
    assert_eq!(hit, ["b"]);
    let mut cluster = cluster(&[ACME], &[&token("z", "shop", json!({}))], &["shop"]);
    cluster.tokens[0].metadata.creation_timestamp = serde_json::from_value(json!("2025-01-01T00:00:00Z")).unwrap();
    assert_eq!(rules(&[&most, &there], Some(&cluster)), [(ERROR, "PolicyViolation")]);
}

#[test]
fn policies_are_told_what_is_wrong_with_themselves() {
    let a = policy("a", json!({ "expiry": { "allowed": ["1d"] } }));
    let b = policy("b", json!({ "expiry": { "allowed": ["2d"] } }));
    let contradiction = [(ERROR, "PolicyContradiction"), (ERROR, "PolicyContradiction")];
    assert_eq!(rules(&[ACME, &a, &b], None), contradiction);
    // Also where the organisations are somewhere else.
    assert_eq!(rules(&[&a, &b], None), contradiction);
    let names = policy(
        "c",
        json!({ "roles": { "allowed": ["Boss"] }, "ipFilters": { "required": ["home"] } }),
    );
    assert_eq!(rules(&[&names], None), []);
    assert_eq!(
        rules(&[ACME, &names], None),
        [(ERROR, "RoleNotFound"), (ERROR, "IpFilterNotFound")]
    );
}

#[test]
fn an_end_that_has_passed_is_a_warning_unless_the_token_had_been_issued() {
    let over = token("web", "shop", json!({ "expiry": { "at": "2025-01-01T00:00:00Z" } }));
    assert_eq!(rules(&[ACME, &over], None), [(WARNING, "Expired")]);
    let mut cluster = cluster(&[ACME], &[&over], &["shop"]);
    cluster.tokens[0].status = serde_json::from_value(json!({ "issuedAt": "2024-01-01T00:00:00Z" })).unwrap();
    assert_eq!(rules(&[&over], Some(&cluster)), []);
}

#[test]
fn two_tokens_that_share_a_secret_are_told_so() {
    let named = token("other", "shop", json!({ "secret": { "name": "web" } }));
    assert_eq!(
        found(&[ACME, TOKEN, &named], None),
        [(
            ERROR,
            "SecretConflict",
            "Secret \"web\" is ApiToken shop/web's already, so this one gets none. Give it another spec.secret.name."
                .to_owned()
        )]
    );
    let elsewhere = token("other", "blog", json!({ "secret": { "name": "web" } }));
    let blog = namespace("blog", json!({ "team": "media" }));
    assert_eq!(rules(&[ACME, TOKEN, &elsewhere, &blog], None), []);
}

#[test]
fn generated_names_are_no_duplicates() {
    let generated = TOKEN.replace("name: web", "generateName: web-");
    assert_eq!(rules(&[ACME, &generated, &generated], None), []);
    assert_eq!(rules(&[ACME, TOKEN, TOKEN], None), [(ERROR, "Duplicate")]);
}

#[test]
fn templates_are_told_to_be_rendered_first() {
    let found = found(&["kind: A\nspec:\n  {{- toYaml .Values.spec | nindent 2 }}"], None);
    let [(ERROR, "Unreadable", message)] = &found[..] else {
        panic!("{found:?}")
    };
    assert!(
        message.ends_with("with 'helm template … | tokenwright check -'."),
        "{message}"
    );
}

/// A token that was issued on 2025-12-01 and never expires.
fn issued(name: &str, role: &str) -> String {
    let mut all: Value = serde_json::from_str(&token(name, "shop", json!({ "role": role }))).unwrap();
    all["status"] = json!({
        "issuedAt": "2025-12-01T00:00:00Z",
        "grant": { "role": role },
        "credentials": [{ "id": 1, "digest": "sha256:x", "state": "Active", "issuedAt": "2025-12-01T00:00:00Z" }],
    });
    all.to_string()
}

fn notes(documents: &[&str], cluster: &Cluster) -> Vec<String> {
    let findings = report(documents, Some(cluster)).findings.into_iter();
    let notes = findings.filter(|finding| finding.severity == Severity::Note);
    notes.map(|note| note.sentence()).collect()
}

#[test]
fn a_policy_tells_which_tokens_of_the_cluster_it_would_hit() {
    let mut cluster = cluster(
        &[ACME],
        &[&issued("web", "Reader"), &token("new", "shop", json!({}))],
        &["shop"],
    );
    let tells = |spec: Value, cluster: &Cluster| notes(&[&policy("p", spec)], cluster);
    let denied = r#"TokenPolicy "p" (issuance): no tokens of this type are issued, and those that exist do not work. Use a token of another type or organisation, or ask the platform's administrator."#;
    assert_eq!(
        tells(json!({ "issuance": "Deny" }), &cluster),
        [
            format!("TokenPolicy p: It would end the Secret of ApiToken shop/web: {denied} (metadata.name)"),
            format!("TokenPolicy p: It would refuse what ApiToken shop/new asks for: {denied} (metadata.name)"),
        ]
    );
    assert_eq!(
        tells(json!({ "expiry": { "max": "30d" } }), &cluster),
        [
            "TokenPolicy p: It would end the Secret of ApiToken shop/web: its credential was issued at 2025-12-01T00:00:00Z, and that is too long ago. (metadata.name)"
        ]
    );
    assert_eq!(
        tells(json!({ "expiry": { "max": "90d" }, "enforcement": "Warn" }), &cluster),
        [
            "TokenPolicy p: It would cut short the credential of ApiToken shop/web, to 2026-03-01T00:00:00Z. (metadata.name)"
        ]
    );
    let idle = tells(json!({ "idle": { "after": "7d" } }), &cluster);
    assert!(
        idle[0].starts_with("TokenPolicy p: It would keep ApiToken shop/web from working: "),
        "{idle:?}"
    );
    assert_eq!(idle.len(), 1);
    assert_eq!(
        tells(json!({ "issuance": "Deny", "types": ["Personal"] }), &cluster),
        [""; 0]
    );
    assert_eq!(
        tells(
            json!({ "issuance": "Deny", "organisations": { "names": ["other"] } }),
            &cluster
        ),
        [""; 0]
    );
    // What it hits already is no news.
    let known = |spec: Value| serde_json::from_str(&policy("p", spec)).unwrap();
    cluster.policies = vec![known(json!({ "issuance": "Deny" }))];
    assert_eq!(tells(json!({ "issuance": "Deny", "maxTokens": 1 }), &cluster), [""; 0]);
    // A preview that is enforced from now on is.
    cluster.policies = vec![known(json!({ "issuance": "Deny", "enforcement": "Warn" }))];
    assert_eq!(tells(json!({ "issuance": "Deny" }), &cluster).len(), 2);
}

#[test]
fn an_organisation_tells_which_tokens_of_the_cluster_it_would_hit() {
    let cluster = cluster(&[ACME], &[&issued("web", "Reader")], &["shop"]);
    let tells = |organisation: &str| notes(&[organisation], &cluster);
    assert_eq!(tells(ACME), [""; 0]);
    assert_eq!(tells(&ACME.replace("orders:read", "orders:*")), [""; 0]);
    assert_eq!(
        tells(&ACME.replace("[shop]", "[blog]")),
        [
            "Organisation acme: It would keep ApiToken shop/web from working: Organisation \"acme\" does not allow its tokens in namespace \"shop\". Its administrator can add the namespace to spec.namespaces of the Organisation. (metadata.name)"
        ]
    );
    assert_eq!(
        tells(&ACME.replace("name: Reader", "name: Writer")),
        [
            "Organisation acme: It would refuse what ApiToken shop/web asks for: Organisation \"acme\" has no role \"Reader\". Its roles: Writer. (metadata.name)"
        ]
    );
    // A token of the files is judged by itself.
    assert_eq!(notes(&[&ACME.replace("[shop]", "[blog]"), TOKEN], &cluster), [""; 0]);
}

#[test]
fn what_would_be_hit_is_told_up_to_a_limit_with_the_number_of_the_rest() {
    let tokens: Vec<String> = (0..30)
        .map(|number| issued(&format!("t{number:02}"), "Reader"))
        .collect();
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let told = notes(
        &[&policy("p", json!({ "issuance": "Deny" }))],
        &cluster(&[ACME], &tokens, &["shop"]),
    );
    assert_eq!(told.len(), 21);
    assert!(told[19].contains("ApiToken shop/t19: "), "{}", told[19]);
    assert_eq!(
        told[20],
        "TokenPolicy p: … and so on: it would hit 10 more ApiTokens. (metadata.name)"
    );
}

#[test]
fn what_the_cluster_has_of_a_token_counts_when_it_is_judged() {
    let mut cluster = cluster(&[ACME], &[&issued("web", "Reader")], &["shop"]);
    let frozen = policy("frozen", json!({ "permissions": { "allowUpdates": false } }));
    assert_eq!(rules(&[&frozen, TOKEN], Some(&cluster)), []);
    let more = token("web", "shop", json!({ "permissions": ["orders:write"] }));
    assert_eq!(rules(&[&frozen, &more], Some(&cluster)), [(ERROR, "PolicyViolation")]);
    cluster.tokens[0].metadata.creation_timestamp = serde_json::from_value(json!("2025-01-01T00:00:00Z")).unwrap();
    // It keeps its place before those that are to come.
    let most = policy("most", json!({ "maxTokens": 1 }));
    assert_eq!(rules(&[&most, TOKEN], Some(&cluster)), []);
}
