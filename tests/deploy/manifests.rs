//! What the manifests say, without a server.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::render::{NAMESPACE, OVERLAYS, Objects, file, identity, kustomize, kustomize_folder};

/// The policies of every installation.
pub(crate) const POLICIES: [&str; 6] = [
    "issue",
    "created-by",
    "status",
    "confined-rights",
    "confined-secrets",
    "confined-workloads",
];

fn texts(list: &Value) -> Vec<&str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// The rules of the roles of these names.
fn rules(overlay: &str, names: &[&str]) -> Vec<Value> {
    let objects = kustomize(overlay);
    let roles = names
        .iter()
        .map(|name| objects.find("ClusterRole", name)["rules"].clone());
    roles.flat_map(|rules| rules.as_array().unwrap().clone()).collect()
}

#[test]
fn people_get_no_status_and_nothing_that_is_not_named() {
    for overlay in OVERLAYS {
        for rule in rules(overlay, &["tokenwright-view", "tokenwright-edit", "tokenwright-admin"]) {
            assert_eq!(rule["apiGroups"], json!(["tokenwright.dev"]));
            for resource in texts(&rule["resources"]) {
                assert!(!resource.contains('/') && resource != "*", "{rule}");
            }
            let issuing: Vec<&str> = texts(&rule["verbs"])
                .into_iter()
                .filter(|verb| *verb == "*" || verb.starts_with("issue"))
                .collect();
            assert_eq!(issuing, [""; 0], "{rule}");
        }
    }
}

#[test]
fn no_role_holds_a_wildcard_or_what_is_as_good_as_one() {
    for overlay in OVERLAYS {
        let objects = kustomize(overlay);
        for role in objects.of("ClusterRole").chain(objects.of("Role")) {
            for rule in role["rules"].as_array().unwrap() {
                for part in ["apiGroups", "resources", "verbs"] {
                    let given = texts(&rule[part]);
                    for much in ["*", "escalate", "bind", "impersonate"] {
                        assert!(!given.contains(&much), "{}: {rule}", role["metadata"]["name"]);
                    }
                }
            }
        }
    }
}

#[test]
fn rights_are_bound_to_the_two_accounts_and_nobody_else() {
    for overlay in OVERLAYS {
        let objects = kustomize(overlay);
        let accounts: BTreeSet<_> = objects.of("ServiceAccount").map(identity).collect();
        for binding in objects.of("ClusterRoleBinding").chain(objects.of("RoleBinding")) {
            let component = binding["metadata"]["labels"]["app.kubernetes.io/component"]
                .as_str()
                .unwrap();
            let account = format!("tokenwright-{component}");
            let subject = json!({ "kind": "ServiceAccount", "name": account, "namespace": NAMESPACE });
            assert_eq!(binding["subjects"], json!([subject]), "{}", binding["metadata"]["name"]);
            assert!(accounts.contains(&identity(&json!({
                "kind": "ServiceAccount", "metadata": { "name": account, "namespace": NAMESPACE },
            }))));
            let role = binding["roleRef"]["name"].as_str().unwrap();
            assert!(role.starts_with(&account), "{role} is bound to {account}");
            objects.find(binding["roleRef"]["kind"].as_str().unwrap(), role);
        }
    }
}

#[test]
fn in_the_namespaced_overlay_secrets_can_be_had_only_where_it_is_bound() {
    let objects = kustomize("namespaced");
    let on_secrets: BTreeSet<&str> = objects
        .of("ClusterRole")
        .filter(|role| {
            let mut rules = role["rules"].as_array().unwrap().iter();
            rules.any(|rule| texts(&rule["resources"]).iter().any(|it| it.starts_with("secrets")))
        })
        .map(|role| role["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(on_secrets, BTreeSet::from(["tokenwright-controller-tokens"]));
    for binding in objects.of("ClusterRoleBinding") {
        assert!(
            !on_secrets.contains(binding["roleRef"]["name"].as_str().unwrap()),
            "{binding}"
        );
    }
}

#[test]
fn the_namespaced_overlay_looks_after_the_namespaces_where_its_rights_are_bound() {
    let objects = kustomize("namespaced");
    for component in ["controller", "verifier"] {
        let name = format!("tokenwright-{component}");
        let pod = &objects.find("Deployment", &name)["spec"]["template"]["spec"];
        let arguments = texts(&pod["containers"][0]["args"]);
        let named = arguments
            .iter()
            .filter_map(|argument| argument.strip_prefix("--namespaces="));
        let named: BTreeSet<&str> = named.flat_map(|names| names.split(',')).collect();
        let role = format!("{name}-tokens");
        let bound = objects
            .of("RoleBinding")
            .filter(|binding| binding["roleRef"]["name"] == role.as_str());
        let bound: BTreeSet<&str> = bound
            .map(|binding| binding["metadata"]["namespace"].as_str().unwrap())
            .collect();
        assert_eq!(
            (&named, &bound),
            (&BTreeSet::from(["shop"]), &BTreeSet::from(["shop"])),
            "{component}"
        );
    }
}

#[test]
fn what_every_installation_has_binds_no_right_in_a_namespace() {
    let base: Vec<Value> = ["controller", "verifier"]
        .iter()
        .flat_map(|component| {
            let text = std::fs::read_to_string(file(&format!("deploy/kustomize/base/{component}-rights.yaml")));
            serde_saphyr::from_multiple::<Value>(&text.unwrap()).unwrap()
        })
        .collect();
    let bound = base.iter().filter(|object| object["kind"] == "ClusterRoleBinding");
    let bound: Vec<_> = bound
        .map(|binding| binding["roleRef"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(bound, ["tokenwright-controller", "tokenwright-verifier"]);
}

#[test]
fn nothing_goes_in_or_out_that_is_not_allowed() {
    for overlay in OVERLAYS {
        let objects = kustomize(overlay);
        let deny = &objects.find("NetworkPolicy", "tokenwright-deny")["spec"];
        assert_eq!(
            deny,
            &json!({
                "podSelector": { "matchLabels": { "app.kubernetes.io/name": "tokenwright" } },
                "policyTypes": ["Ingress", "Egress"],
            })
        );
        for deployment in objects.of("Deployment") {
            let labels = &deployment["spec"]["template"]["metadata"]["labels"];
            assert_eq!(labels["app.kubernetes.io/name"], "tokenwright");
        }
        let open: BTreeSet<&str> = objects
            .of("NetworkPolicy")
            .filter(|policy| policy["spec"]["ingress"].is_array())
            .map(|policy| policy["metadata"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(open, BTreeSet::from(["tokenwright-metrics", "tokenwright-verifier"]));
    }
}

#[test]
fn every_overlay_asks_who_may_issue_and_believes_who_created_a_token() {
    for overlay in OVERLAYS {
        let objects = kustomize(overlay);
        for policy in POLICIES.map(|name| format!("tokenwright-{name}")) {
            let judged = objects.find("ValidatingAdmissionPolicy", &policy);
            assert_eq!(judged["spec"]["failurePolicy"], "Fail", "{overlay}");
            let binding = &objects.find("ValidatingAdmissionPolicyBinding", &policy)["spec"];
            let denied = json!({ "policyName": policy, "validationActions": ["Deny"] });
            assert_eq!(binding, &denied, "{overlay}");
        }
        assert!(arguments(&objects).contains(&"--trust-created-by"), "{overlay}");
    }
}

/// Whoever may do everything holds both verbs; whoever looks after tokens is held to what is theirs.
#[test]
fn the_controller_is_confined_and_nobody_is_given_the_way_out() {
    for overlay in OVERLAYS {
        let objects = kustomize(overlay);
        let holding = |verb: &str| -> Vec<&str> {
            let roles = objects.of("ClusterRole").chain(objects.of("Role"));
            let holding = roles.filter(|role| {
                let mut rules = role["rules"].as_array().into_iter().flatten();
                rules.any(|rule| texts(&rule["verbs"]).contains(&verb))
            });
            holding.map(|role| role["metadata"]["name"].as_str().unwrap()).collect()
        };
        assert_eq!(holding("confined"), ["tokenwright-controller"], "{overlay}");
        assert_eq!(holding("unconfined"), [""; 0], "{overlay}");
    }
}

#[test]
fn without_the_policies_nobody_is_believed() {
    let objects = kustomize_folder("tests/deploy/unguarded");
    let judged = objects
        .all()
        .iter()
        .map(|object| object["apiVersion"].as_str().unwrap());
    assert!(
        !judged
            .into_iter()
            .any(|version| version.starts_with("admissionregistration"))
    );
    assert!(!arguments(&objects).contains(&"--trust-created-by"));
}

/// The controller's.
fn arguments(objects: &Objects) -> Vec<&str> {
    let controller = objects.find("Deployment", "tokenwright-controller");
    texts(&controller["spec"]["template"]["spec"]["containers"][0]["args"])
}
