//! What the index keeps of an Organisation: read once, asked often.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
};

use kube::core::{Selector, SelectorExt};

use crate::{
    api::{OrganisationSpec, SubjectKind},
    domain::{ip_filter::IpFilter, permission::Permissions},
    verifier::credential::HeaderPair,
};

/// An organisation in force.
#[derive(Debug)]
pub(in crate::verifier) struct Charter {
    pub(in crate::verifier) suspended: bool,
    pub(in crate::verifier) headers: Option<HeaderPair>,
    roles: HashMap<Box<str>, Permissions>,
    /// The role of each member of kind User.
    members: HashMap<Box<str>, Box<str>>,
    projects: HashSet<Box<str>>,
    filters: HashMap<Box<str>, IpFilter>,
    namespaces: HashSet<Box<str>>,
    selector: Option<Selector>,
}

impl Charter {
    pub(in crate::verifier) fn new(spec: &OrganisationSpec) -> Self {
        let (mut roles, mut members, mut filters) = (HashMap::new(), HashMap::new(), HashMap::new());
        // The schema allows each name once; in an object that is older than it, the first counts.
        for role in spec.effective_roles() {
            let permissions = role.permissions.iter().map(|permission| &**permission).collect();
            roles.entry(role.name.into()).or_insert(permissions);
        }
        for member in spec.members.iter().filter(|member| member.kind == SubjectKind::User) {
            let role = member.role.as_str().into();
            members.entry(member.name.as_str().into()).or_insert(role);
        }
        for filter in &spec.ip_filters {
            let rules = IpFilter::new(&filter.rules);
            filters.entry(filter.name.as_str().into()).or_insert(rules);
        }
        let allowed = spec.namespaces.as_ref();
        Self {
            suspended: spec.suspended,
            headers: spec.headers.as_ref().map(HeaderPair::new),
            roles,
            members,
            projects: spec
                .projects
                .iter()
                .map(|project| project.name.as_str().into())
                .collect(),
            filters,
            namespaces: allowed
                .iter()
                .flat_map(|allowed| &allowed.names)
                .map(|name| name.as_str().into())
                .collect(),
            // A selector that makes no sense matches nothing.
            selector: allowed
                .and_then(|allowed| allowed.selector.clone())
                .and_then(|selector| Selector::try_from(selector).ok()),
        }
    }

    /// Whether a namespace may hold the organisation's tokens. Labels that are not known match no selector but the one
    /// that matches every namespace.
    pub(in crate::verifier) fn allows_namespace(&self, name: &str, labels: Option<&BTreeMap<String, String>>) -> bool {
        self.namespaces.contains(name)
            || self.selector.as_ref().is_some_and(|selector| match labels {
                Some(labels) => selector.matches(labels),
                None => selector.selects_all(),
            })
    }

    /// Every role with what it permits.
    pub(in crate::verifier) fn roles(&self) -> impl Iterator<Item = (&str, &Permissions)> {
        self.roles.iter().map(|(name, permissions)| (&**name, permissions))
    }

    /// What the role permits, while the organisation has it.
    pub(in crate::verifier) fn role(&self, name: &str) -> Option<&Permissions> {
        self.roles.get(name)
    }

    /// The name of a member's role.
    pub(in crate::verifier) fn member(&self, user: &str) -> Option<&str> {
        self.members.get(user).map(|role| &**role)
    }

    pub(in crate::verifier) fn has_project(&self, name: &str) -> bool {
        self.projects.contains(name)
    }

    /// Whether the filter of that name lets `address` in. One that no longer exists lets nobody in.
    pub(in crate::verifier) fn filter_allows(&self, name: &str, address: IpAddr) -> bool {
        self.filters.get(name).is_some_and(|filter| filter.allows(address))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn namespaces_are_allowed_just_as_the_controller_judges() {
        let labels = |value: &str| BTreeMap::from([("team".to_owned(), value.to_owned())]);
        for namespaces in [
            json!(null),
            json!({}),
            json!({ "names": ["web"] }),
            json!({ "selector": {} }),
            json!({ "selector": { "matchLabels": { "team": "a" } } }),
            json!({ "names": ["x"], "selector": { "matchExpressions": [{ "key": "team", "operator": "NotIn", "values": ["a"] }] } }),
            json!({ "selector": { "matchExpressions": [{ "key": "team", "operator": "Like" }] } }),
        ] {
            let spec: OrganisationSpec = serde_json::from_value(json!({ "namespaces": namespaces })).unwrap();
            let charter = Charter::new(&spec);
            for (name, labels) in [("web", labels("a")), ("web", labels("b")), ("x", BTreeMap::new())] {
                let expected = spec.allows_namespace(name, &labels);
                assert_eq!(
                    charter.allows_namespace(name, Some(&labels)),
                    expected,
                    "{namespaces} {name}"
                );
            }
        }
    }

    #[test]
    fn a_namespace_whose_labels_are_unknown_is_allowed_by_name_or_when_every_one_is() {
        let allows = |namespaces: serde_json::Value| {
            let spec = serde_json::from_value(json!({ "namespaces": namespaces })).unwrap();
            Charter::new(&spec).allows_namespace("web", None)
        };
        assert!(allows(json!({ "names": ["web"] })) && allows(json!({ "selector": {} })));
        let absent = json!({ "matchExpressions": [{ "key": "team", "operator": "DoesNotExist" }] });
        assert!(!allows(json!({ "selector": absent })));
    }

    proptest! {
        #[test]
        fn a_member_is_a_user_and_not_a_group_of_that_name(user in any::<bool>()) {
            let kind = if user { "User" } else { "Group" };
            let members = json!([{ "kind": kind, "name": "ann", "role": "Admin" }]);
            let charter = Charter::new(&serde_json::from_value(json!({ "members": members })).unwrap());
            prop_assert_eq!(charter.member("ann"), user.then_some("Admin"));
        }
    }
}
