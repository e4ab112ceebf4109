//! Evaluation of RBAC objects.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Attempt, User};
use crate::cluster::Cluster;
use crate::store::{Key, items, text};

/// One rule of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) verbs: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) names: Vec<String>,
    pub(crate) urls: Vec<String>,
}

fn strings(value: &Value) -> Vec<String> {
    items(value).iter().map(|it| text(it).to_owned()).collect()
}

fn holds(list: &[String], wanted: &str) -> bool {
    list.iter().any(|it| it == "*" || it == wanted)
}

impl Rule {
    pub(crate) fn read(rule: &Value) -> Self {
        Self {
            verbs: strings(&rule["verbs"]),
            groups: strings(&rule["apiGroups"]),
            resources: strings(&rule["resources"]),
            names: strings(&rule["resourceNames"]),
            urls: strings(&rule["nonResourceURLs"]),
        }
    }

    fn covers_resource(&self, full: &str) -> bool {
        let subresource = full.split_once('/').map(|(_, subresource)| format!("*/{subresource}"));
        self.resources
            .iter()
            .any(|it| it == "*" || it == full || Some(it) == subresource.as_ref())
    }

    pub(crate) fn allows(&self, attempt: &Attempt) -> bool {
        if !holds(&self.verbs, &attempt.verb) {
            return false;
        }
        if let Some(path) = &attempt.path {
            return self.urls.iter().any(|url| match url.strip_suffix('*') {
                Some(prefix) => path.starts_with(prefix),
                None => url == path,
            });
        }
        holds(&self.groups, &attempt.group)
            && self.covers_resource(&attempt.full_resource())
            && (self.names.is_empty() || (!attempt.name.is_empty() && self.names.contains(&attempt.name)))
    }

    /// As messages about escalation print a rule.
    pub(crate) fn compact(&self) -> String {
        let list = |name: &str, values: &[String]| {
            let quoted: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
            (!values.is_empty()).then(|| format!("{name}:[{}]", quoted.join(" ")))
        };
        let parts = [
            list("APIGroups", &self.groups),
            list("Resources", &self.resources),
            list("ResourceNames", &self.names),
            list("NonResourceURLs", &self.urls),
            list("Verbs", &self.verbs),
        ];
        format!("{{{}}}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

#[derive(Clone, Debug)]
struct Grant {
    /// User names, including those of service accounts.
    users: Vec<String>,
    groups: Vec<String>,
    rules: Arc<Vec<Rule>>,
}

impl Grant {
    fn is_to(&self, user: &User) -> bool {
        self.users.contains(&user.name) || self.groups.iter().any(|group| user.groups.contains(group))
    }
}

/// The rules in force, read anew only after an RBAC object has changed.
#[derive(Debug, Default)]
pub(crate) struct RuleCache {
    grants: Option<Grants>,
}

#[derive(Debug, Default)]
struct Grants {
    everywhere: Vec<Grant>,
    within: HashMap<String, Vec<Grant>>,
}

impl RuleCache {
    /// A table has changed.
    pub(crate) fn note(&mut self, table: &str) {
        if table.starts_with("rbac.") {
            self.grants = None;
        }
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";

impl Cluster {
    /// Whether RBAC, or being a master, allows the attempt.
    pub(crate) fn allows(&mut self, user: &User, attempt: &Attempt) -> bool {
        user.is_master()
            || self
                .rules_of(user, &attempt.namespace)
                .iter()
                .any(|rule| rule.allows(attempt))
    }

    /// The rules that speak for a user in a namespace; in none, when it is empty.
    pub(crate) fn rules_of(&mut self, user: &User, namespace: &str) -> Vec<Rule> {
        if self.rules.grants.is_none() {
            self.rules.grants = Some(read_grants(self));
        }
        let Some(grants) = &self.rules.grants else {
            return Vec::new();
        };
        let within = grants.within.get(namespace).into_iter().flatten();
        let grants = grants.everywhere.iter().chain(within).filter(|grant| grant.is_to(user));
        grants.flat_map(|grant| grant.rules.iter().cloned()).collect()
    }

    /// The rules of the role that a binding refers to.
    pub(crate) fn rules_of_role(&self, kind: &str, namespace: &str, name: &str) -> Option<Vec<Rule>> {
        let role = match kind {
            "Role" => self.find_named(RBAC, "roles", &Key::new(namespace, name))?,
            _ => self.find_named(RBAC, "clusterroles", &Key::new("", name))?,
        };
        Some(items(&role.value()["rules"]).iter().map(Rule::read).collect())
    }
}

fn read_grants(cluster: &Cluster) -> Grants {
    let mut grants = Grants::default();
    let bindings = |plural: &str| -> Vec<Value> {
        let table = cluster.peek(&format!("{RBAC}/{plural}"));
        table
            .into_iter()
            .flat_map(|table| table.all())
            .map(|binding| binding.value())
            .collect()
    };
    for binding in bindings("clusterrolebindings") {
        grants.everywhere.extend(read_grant(cluster, &binding, ""));
    }
    for binding in bindings("rolebindings") {
        let namespace = text(&binding["metadata"]["namespace"]);
        if let Some(grant) = read_grant(cluster, &binding, namespace) {
            grants.within.entry(namespace.to_owned()).or_default().push(grant);
        }
    }
    grants
}

fn read_grant(cluster: &Cluster, binding: &Value, namespace: &str) -> Option<Grant> {
    let role = &binding["roleRef"];
    let rules = cluster.rules_of_role(text(&role["kind"]), namespace, text(&role["name"]))?;
    let (mut users, mut groups) = (Vec::new(), Vec::new());
    for subject in items(&binding["subjects"]) {
        let name = text(&subject["name"]);
        match text(&subject["kind"]) {
            "User" => users.push(name.to_owned()),
            "Group" => groups.push(name.to_owned()),
            "ServiceAccount" => {
                let of = subject["namespace"].as_str().unwrap_or(namespace);
                users.push(format!("system:serviceaccount:{of}:{name}"));
            }
            _ => {}
        }
    }
    Some(Grant {
        users,
        groups,
        rules: Arc::new(rules),
    })
}
