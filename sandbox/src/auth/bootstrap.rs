//! What every cluster has from its first moment: namespaces, default roles and their bindings.

use serde_json::{Value, json};

use crate::cluster::{Cluster, WriteOptions, create};

const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];

/// What `edit` may write and `view` may read, by group; secrets and service accounts come on top for `edit`.
const CONTENT: &[(&str, &[&str])] = &[
    ("", &["configmaps", "pods", "services", "events"]),
    (
        "apps",
        &[
            "daemonsets",
            "deployments",
            "deployments/scale",
            "replicasets",
            "replicasets/scale",
            "statefulsets",
            "statefulsets/scale",
        ],
    ),
    ("autoscaling", &["horizontalpodautoscalers"]),
    ("batch", &["cronjobs", "jobs"]),
    ("networking.k8s.io", &["networkpolicies"]),
    ("policy", &["poddisruptionbudgets"]),
];

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs})
}

fn view_rules() -> Vec<Value> {
    let mut rules: Vec<Value> = CONTENT
        .iter()
        .map(|(group, resources)| rule(&[group], resources, READ))
        .collect();
    rules.push(rule(&[""], &["namespaces", "serviceaccounts"], READ));
    rules.push(rule(&["events.k8s.io"], &["events"], READ));
    rules.push(rule(&["discovery.k8s.io"], &["endpointslices"], READ));
    rules
}

fn edit_rules() -> Vec<Value> {
    let mut rules: Vec<Value> = CONTENT
        .iter()
        .map(|(group, resources)| rule(&[group], resources, WRITE))
        .collect();
    rules.push(rule(&[""], &["secrets"], READ));
    rules.push(rule(&[""], &["secrets", "serviceaccounts"], WRITE));
    rules.push(rule(&[""], &["serviceaccounts"], &["impersonate"]));
    rules.push(rule(&["coordination.k8s.io"], &["leases"], &[READ, WRITE].concat()));
    rules
}

fn cluster_roles() -> Vec<Value> {
    let role = |name: &str, labels: Value, rules: Vec<Value>| {
        let mut labels = labels;
        labels["kubernetes.io/bootstrapping"] = "rbac-defaults".into();
        json!({"metadata": {"name": name, "labels": labels, "annotations": {AUTOUPDATE: "true"}}, "rules": rules})
    };
    let into = |target: &str| json!({format!("rbac.authorization.k8s.io/aggregate-to-{target}"): "true"});
    let gathering = |name: &str, labels: Value| {
        let mut role = role(name, labels, Vec::new());
        role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": into(name)}]});
        role
    };
    let paths = [
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/openapi",
        "/openapi/*",
        "/readyz",
        "/version",
        "/version/",
    ];
    let public = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
    let own = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"];
    let roles_of_namespaces = ["roles", "rolebindings"];
    vec![
        role(
            "cluster-admin",
            json!({}),
            vec![
                rule(&["*"], &["*"], &["*"]),
                json!({"nonResourceURLs": ["*"], "verbs": ["*"]}),
            ],
        ),
        role(
            "system:aggregate-to-admin",
            into("admin"),
            vec![
                rule(&["authorization.k8s.io"], &["localsubjectaccessreviews"], &["create"]),
                rule(
                    &["rbac.authorization.k8s.io"],
                    &roles_of_namespaces,
                    &[READ, WRITE].concat(),
                ),
            ],
        ),
        role("system:aggregate-to-edit", into("edit"), edit_rules()),
        role("system:aggregate-to-view", into("view"), view_rules()),
        gathering("admin", json!({})),
        gathering("edit", into("admin")),
        gathering("view", into("edit")),
        role(
            "system:discovery",
            json!({}),
            vec![json!({"nonResourceURLs": paths, "verbs": ["get"]})],
        ),
        role(
            "system:public-info-viewer",
            json!({}),
            vec![json!({"nonResourceURLs": public, "verbs": ["get"]})],
        ),
        role(
            "system:basic-user",
            json!({}),
            vec![
                rule(&["authorization.k8s.io"], &own, &["create"]),
                rule(&["authentication.k8s.io"], &["selfsubjectreviews"], &["create"]),
            ],
        ),
    ]
}

const BINDINGS: &[(&str, &[&str])] = &[
    ("cluster-admin", &["system:masters"]),
    ("system:basic-user", &["system:authenticated"]),
    ("system:discovery", &["system:authenticated"]),
    (
        "system:public-info-viewer",
        &["system:authenticated", "system:unauthenticated"],
    ),
];

/// Creates all of it.
pub(crate) fn install(cluster: &mut Cluster) {
    let mut make = |group: &str, plural: &str, object: Value| {
        if let Some(resource) = cluster.catalog().find(group, "v1", plural).cloned() {
            let made = create(cluster, &resource, "", object, &mut WriteOptions::default());
            if let Err(refusal) = made {
                tracing::error!(message = refusal.message, "a default object was refused");
            }
        }
    };
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        make("", "namespaces", json!({"metadata": {"name": name}}));
    }
    let group = "rbac.authorization.k8s.io";
    for role in cluster_roles() {
        make(group, "clusterroles", role);
    }
    for (role, groups) in BINDINGS {
        let subject = |name: &&str| json!({"apiGroup": group, "kind": "Group", "name": name});
        let binding = json!({
            "metadata": {"name": role, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}, "annotations": {AUTOUPDATE: "true"}},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
            "subjects": groups.iter().map(subject).collect::<Vec<_>>(),
        });
        make(group, "clusterrolebindings", binding);
    }
    cluster.settle();
}
