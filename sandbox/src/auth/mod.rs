//! Who asks, and what they may do.

mod bootstrap;
mod escalation;
mod rules;

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub(crate) use bootstrap::install;
pub(crate) use escalation::check as check_escalation;
pub(crate) use rules::{Rule, RuleCache};

use crate::store::{items, text};

pub(crate) const MASTERS: &str = "system:masters";
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// A user, as authentication finds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name that bindings use; `system:serviceaccount:<namespace>:<name>` for a service account.
    pub name: String,
    /// The groups; `system:authenticated` is added by itself, `system:masters` may do everything.
    pub groups: Vec<String>,
    /// An identifier that outlives names; may be empty.
    pub uid: String,
}

impl User {
    /// A user of no group.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// The same user in one more group.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.groups.push(group.into());
        self
    }

    /// The service account of a namespace, in the groups that service accounts are in.
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self::new(format!("system:serviceaccount:{namespace}:{name}"))
            .group("system:serviceaccounts")
            .group(format!("system:serviceaccounts:{namespace}"))
    }

    pub(crate) fn admin() -> Self {
        Self::new("admin").group(MASTERS)
    }

    pub(crate) fn anonymous() -> Self {
        Self::new("system:anonymous").group(UNAUTHENTICATED)
    }

    /// With the group that everybody who was recognised is in.
    #[must_use]
    pub(crate) fn authenticated(mut self) -> Self {
        let known = |group: &String| group == AUTHENTICATED || group == UNAUTHENTICATED;
        if !self.groups.iter().any(known) {
            self.groups.push(AUTHENTICATED.to_owned());
        }
        self
    }

    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }

    /// `UserInfo` as reviews show it.
    pub(crate) fn info(&self) -> Value {
        let mut info = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            info["uid"] = self.uid.clone().into();
        }
        info
    }
}

/// Something a user wants to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Set for paths that are not resources.
    pub(crate) path: Option<String>,
}

impl Attempt {
    /// `secrets`, or `secrets/status`: how rules name resources.
    pub(crate) fn full_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

/// Whether a `metav1.LabelSelector` selects the labels.
pub(crate) fn label_selector_matches(selector: &Value, labels: &BTreeMap<String, String>) -> bool {
    let equal = |(key, value): (&String, &Value)| labels.get(key).map(String::as_str) == value.as_str();
    let expression = |expression: &Value| {
        let value = labels.get(text(&expression["key"]));
        let listed = value.is_some_and(|value| items(&expression["values"]).iter().any(|it| text(it) == value));
        match text(&expression["operator"]) {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    };
    selector["matchLabels"]
        .as_object()
        .is_none_or(|labels| labels.iter().all(equal))
        && items(&selector["matchExpressions"]).iter().all(expression)
}
