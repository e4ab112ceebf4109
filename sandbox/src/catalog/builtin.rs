//! The builtin resources.

use super::{ALL_VERBS, CREATE_ONLY, NO_COLLECTION, Resource, Scale, table_id};
use crate::table::columns_for_builtin;

/// group, version, kind, plural, namespaced, short names (comma-separated), in category "all", status.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    bool,
    &'static str,
    bool,
    bool,
);

const ADMISSION: &str = "admissionregistration.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";

const STORED: &[Row] = &[
    ("", "v1", "ConfigMap", "configmaps", true, "cm", false, false),
    ("", "v1", "Event", "events", true, "ev", false, false),
    ("", "v1", "Namespace", "namespaces", false, "ns", false, true),
    ("", "v1", "Node", "nodes", false, "no", false, true),
    ("", "v1", "Pod", "pods", true, "po", true, true),
    ("", "v1", "Secret", "secrets", true, "", false, false),
    ("", "v1", "Service", "services", true, "svc", true, true),
    ("", "v1", "ServiceAccount", "serviceaccounts", true, "sa", false, false),
    (
        "admissionregistration.k8s.io",
        "v1",
        "MutatingAdmissionPolicy",
        "mutatingadmissionpolicies",
        false,
        "",
        false,
        false,
    ),
    (
        "admissionregistration.k8s.io",
        "v1",
        "MutatingAdmissionPolicyBinding",
        "mutatingadmissionpolicybindings",
        false,
        "",
        false,
        false,
    ),
    (
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
        false,
        "",
        false,
        true,
    ),
    (
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        false,
        "",
        false,
        false,
    ),
    (
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        false,
        "crd,crds",
        false,
        true,
    ),
    (
        "apps",
        "v1",
        "ControllerRevision",
        "controllerrevisions",
        true,
        "",
        false,
        false,
    ),
    ("apps", "v1", "DaemonSet", "daemonsets", true, "ds", true, true),
    ("apps", "v1", "Deployment", "deployments", true, "deploy", true, true),
    ("apps", "v1", "ReplicaSet", "replicasets", true, "rs", true, true),
    ("apps", "v1", "StatefulSet", "statefulsets", true, "sts", true, true),
    (
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        true,
        "hpa",
        true,
        true,
    ),
    ("batch", "v1", "CronJob", "cronjobs", true, "cj", true, true),
    ("batch", "v1", "Job", "jobs", true, "", true, true),
    ("coordination.k8s.io", "v1", "Lease", "leases", true, "", false, false),
    ("events.k8s.io", "v1", "Event", "events", true, "ev", false, false),
    (
        "networking.k8s.io",
        "v1",
        "NetworkPolicy",
        "networkpolicies",
        true,
        "netpol",
        false,
        false,
    ),
    (
        "policy",
        "v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        true,
        "pdb",
        false,
        true,
    ),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "ClusterRole",
        "clusterroles",
        false,
        "",
        false,
        false,
    ),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "ClusterRoleBinding",
        "clusterrolebindings",
        false,
        "",
        false,
        false,
    ),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "Role",
        "roles",
        true,
        "",
        false,
        false,
    ),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "RoleBinding",
        "rolebindings",
        true,
        "",
        false,
        false,
    ),
    (
        "scheduling.k8s.io",
        "v1",
        "PriorityClass",
        "priorityclasses",
        false,
        "pc",
        false,
        false,
    ),
];

/// Questions that are answered and not stored.
const REVIEWS: &[(&str, &str, &str, bool)] = &[
    (AUTHENTICATION, "SelfSubjectReview", "selfsubjectreviews", false),
    (AUTHENTICATION, "TokenReview", "tokenreviews", false),
    (
        AUTHORIZATION,
        "LocalSubjectAccessReview",
        "localsubjectaccessreviews",
        true,
    ),
    (
        AUTHORIZATION,
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
        false,
    ),
    (
        AUTHORIZATION,
        "SelfSubjectRulesReview",
        "selfsubjectrulesreviews",
        false,
    ),
    (AUTHORIZATION, "SubjectAccessReview", "subjectaccessreviews", false),
];

pub(super) fn resources() -> Vec<Resource> {
    let stored = STORED.iter().map(
        |&(group, version, kind, plural, namespaced, short_names, in_all, status)| Resource {
            short_names: short_names
                .split(',')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
            categories: categories(group, in_all),
            // events.k8s.io shows the events of the core group.
            table: table_id(if group == "events.k8s.io" { "" } else { group }, plural),
            status,
            scale: scale(group, plural),
            columns: columns_for_builtin(group, kind),
            selectable: selectable(plural),
            ..bare(
                group,
                version,
                kind,
                plural,
                namespaced,
                if plural == "namespaces" {
                    NO_COLLECTION
                } else {
                    ALL_VERBS
                },
            )
        },
    );
    let reviews = REVIEWS
        .iter()
        .map(|&(group, kind, plural, namespaced)| bare(group, "v1", kind, plural, namespaced, CREATE_ONLY));
    stored.chain(reviews).collect()
}

fn bare(
    group: &str,
    version: &str,
    kind: &str,
    plural: &str,
    namespaced: bool,
    verbs: &'static [&'static str],
) -> Resource {
    Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced,
        verbs,
        table: table_id(group, plural),
        status: false,
        scale: None,
        custom: None,
        columns: Vec::new(),
        selectable: Vec::new(),
    }
}

fn categories(group: &str, in_all: bool) -> Vec<String> {
    match group {
        _ if in_all => vec!["all".to_owned()],
        "apiextensions.k8s.io" | ADMISSION => vec!["api-extensions".to_owned()],
        _ => Vec::new(),
    }
}

fn scale(group: &str, plural: &str) -> Option<Scale> {
    matches!(
        (group, plural),
        ("apps", "deployments" | "replicasets" | "statefulsets")
    )
    .then(|| Scale {
        spec_replicas: "/spec/replicas".to_owned(),
        status_replicas: "/status/replicas".to_owned(),
        selector: None,
    })
}

fn selectable(plural: &str) -> Vec<String> {
    let fields: &[&str] = match plural {
        "secrets" => &["type"],
        "namespaces" => &["status.phase"],
        "nodes" => &["spec.unschedulable"],
        "services" => &["spec.clusterIP", "spec.type"],
        "pods" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        "replicasets" => &["status.replicas"],
        "jobs" => &["status.successful"],
        "events" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        _ => &[],
    };
    fields.iter().map(|field| (*field).to_owned()).collect()
}

/// Whether a PUT of an object that is not there creates it.
pub(crate) fn creates_on_update(group: &str, plural: &str) -> bool {
    matches!(
        (group, plural),
        ("" | "events.k8s.io", "events") | ("coordination.k8s.io", "leases")
    ) || group == RBAC
}
