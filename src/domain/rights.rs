//! The RBAC objects by which the API server itself knows who may issue an organisation's tokens, and who may read one
//! token's Secret: what they must be, and what is to be done about those that were found.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{Resource, ResourceExt};

use super::{
    owner::{controller_reference, is_controlled, is_controlled_by, with_controller},
    secret::organisation_label,
};
use crate::api::{
    self, ApiToken, GROUP, MANAGED_BY, ORGANISATION, OWNER_UID, Organisation, OrganisationSpec, SubjectKind,
};

const RBAC: &str = "rbac.authorization.k8s.io";

/// One rule and the subjects that it is for: a role and its binding of the same name.
#[derive(Clone, Debug, PartialEq)]
pub struct Right {
    /// The name of both.
    pub name: String,
    /// Their namespace. None: they are cluster-wide.
    pub namespace: Option<String>,
    owner: Option<OwnerReference>,
    organisation: String,
    rule: PolicyRule,
    subjects: Vec<Subject>,
}

/// What the members of an organisation may ask of the API server: some to issue its tokens, all to issue their own.
///
/// Two roles rather than one with both verbs, so that each binding names exactly those whom it is for. A colon cannot be
/// in an organisation's name, so the names of two organisations never meet.
pub fn of_members(organisation: &Organisation) -> [Right; 2] {
    let managing: BTreeSet<String> = organisation
        .spec
        .effective_roles()
        .into_iter()
        .filter(|role| role.manages_tokens)
        .map(|role| role.name)
        .collect();
    let name = organisation.name_any();
    let right = |suffix: &str, verb: &str, holds: &dyn Fn(&api::Member) -> bool| Right {
        name: right_name(&name, suffix),
        namespace: None,
        owner: controller_reference(organisation),
        organisation: name.clone(),
        rule: rule(verb, GROUP, "organisations", &name),
        subjects: subjects(
            organisation
                .spec
                .members
                .iter()
                .filter(|member| holds(member))
                .map(subject_of),
        ),
    };
    [
        right("issuers", "issue", &|member| managing.contains(&member.role)),
        right("members", "issue-personal", &|_| true),
    ]
}

/// Who may read the Secret of `token`, as far as its organisation is known.
pub fn of_assignees(token: &ApiToken, organisation: Option<&OrganisationSpec>) -> Right {
    let assignees = token.spec.assignees.clone().unwrap_or_default();
    let members = organisation.filter(|_| assignees.everyone);
    let everyone = members.into_iter().flat_map(|known| &known.members).map(subject_of);
    Right {
        name: right_name(&token.name_any(), "assignees"),
        namespace: token.namespace(),
        owner: controller_reference(token),
        organisation: token.spec.organisation.clone(),
        rule: rule("get", "", "secrets", &token.secret_name()),
        subjects: subjects(assignees.subjects.iter().cloned().chain(everyone)),
    }
}

fn right_name(owner: &str, suffix: &str) -> String {
    format!("tokenwright:{owner}:{suffix}")
}

fn rule(verb: &str, group: &str, resource: &str, name: &str) -> PolicyRule {
    let one = |text: &str| Some(vec![text.to_owned()]);
    PolicyRule {
        api_groups: one(group),
        resources: one(resource),
        resource_names: one(name),
        verbs: vec![verb.to_owned()],
        non_resource_urls: None,
    }
}

fn subject_of(member: &api::Member) -> api::Subject {
    api::Subject {
        kind: member.kind,
        name: member.name.clone(),
        namespace: member.namespace.clone(),
    }
}

/// In one order and each once, so that an order that changed changes nothing.
fn subjects(all: impl Iterator<Item = api::Subject>) -> Vec<Subject> {
    let sorted: BTreeSet<(SubjectKind, String, String)> = all
        .map(|subject| (subject.kind, subject.namespace, subject.name))
        .collect();
    let with_group = |kind: SubjectKind| (kind != SubjectKind::ServiceAccount).then(|| RBAC.to_owned());
    sorted
        .into_iter()
        .map(|(kind, namespace, name)| Subject {
            kind: format!("{kind:?}"),
            api_group: with_group(kind),
            name,
            namespace: Some(namespace).filter(|namespace| !namespace.is_empty()),
        })
        .collect()
}

impl Right {
    /// How many subjects it is for.
    pub fn holders(&self) -> usize {
        self.subjects.len()
    }

    /// The UID of what it belongs to.
    pub fn owner_uid(&self) -> Option<&str> {
        self.owner.as_ref().map(|owner| owner.uid.as_str())
    }

    /// The role that has the rule everywhere.
    pub fn cluster_role(&self) -> ClusterRole {
        ClusterRole {
            metadata: self.metadata(),
            rules: Some(vec![self.rule.clone()]),
            ..ClusterRole::default()
        }
    }

    /// The binding of that role.
    pub fn cluster_role_binding(&self) -> ClusterRoleBinding {
        ClusterRoleBinding {
            metadata: self.metadata(),
            role_ref: self.role_ref("ClusterRole"),
            subjects: Some(self.subjects.clone()),
        }
    }

    /// The role that has the rule in one namespace.
    pub fn role(&self) -> Role {
        Role {
            metadata: self.metadata(),
            rules: Some(vec![self.rule.clone()]),
        }
    }

    /// The binding of that role.
    pub fn role_binding(&self) -> RoleBinding {
        RoleBinding {
            metadata: self.metadata(),
            role_ref: self.role_ref("Role"),
            subjects: Some(self.subjects.clone()),
        }
    }

    fn metadata(&self) -> ObjectMeta {
        let uid = self.owner_uid().map(|uid| (OWNER_UID.to_owned(), uid.to_owned()));
        let mut annotations: BTreeMap<String, String> = uid.into_iter().collect();
        let label = organisation_label(&self.organisation);
        if label != self.organisation {
            annotations.insert(ORGANISATION.to_owned(), self.organisation.clone());
        }
        let labels = BTreeMap::from([
            (MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned()),
            (ORGANISATION.to_owned(), label),
        ]);
        ObjectMeta {
            name: Some(self.name.clone()),
            namespace: self.namespace.clone(),
            owner_references: Some(self.owner.iter().cloned().collect()),
            labels: Some(labels),
            annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
            ..ObjectMeta::default()
        }
    }

    fn role_ref(&self, kind: &str) -> RoleRef {
        RoleRef {
            api_group: RBAC.to_owned(),
            kind: kind.to_owned(),
            name: self.name.clone(),
        }
    }
}

/// One of the four kinds that rights are made of.
pub trait RightsObject: Resource<DynamicType = ()> + Clone + PartialEq {
    /// Whether it can be changed into `wanted`; if not, it has to be made anew.
    fn can_become(&self, wanted: &Self) -> bool;
}

impl RightsObject for ClusterRole {
    fn can_become(&self, _: &Self) -> bool {
        true
    }
}

impl RightsObject for Role {
    fn can_become(&self, _: &Self) -> bool {
        true
    }
}

impl RightsObject for ClusterRoleBinding {
    fn can_become(&self, wanted: &Self) -> bool {
        self.role_ref == wanted.role_ref
    }
}

impl RightsObject for RoleBinding {
    fn can_become(&self, wanted: &Self) -> bool {
        self.role_ref == wanted.role_ref
    }
}

/// What is to be done about one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<K> {
    /// Nothing: it is as it should be, or there is none and should be none, or it is on its way out.
    Nothing,
    /// Create this one.
    Create(K),
    /// Replace the one that was found by this one.
    Replace(K),
    /// Delete the one that was found, and create this one.
    Renew(K),
    /// Delete the one that was found.
    Delete,
    /// Nothing either: the one that was found is somebody else's.
    Conflict,
}

/// Compares what was found under a name with what should be there, for the owner with this UID.
pub fn step<K: RightsObject>(found: Option<&K>, wanted: Option<&K>, owner: Option<&str>) -> Step<K> {
    let ours = found.is_some_and(|found| is_of(found.meta(), owner));
    match (found, wanted) {
        (None, None) => Step::Nothing,
        (None, Some(wanted)) => Step::Create(wanted.clone()),
        (Some(_), None) if !ours => Step::Nothing,
        (Some(_), Some(_)) if !ours => Step::Conflict,
        (Some(found), _) if found.meta().deletion_timestamp.is_some() => Step::Nothing,
        (Some(_), None) => Step::Delete,
        (Some(found), Some(wanted)) if !found.can_become(wanted) => Step::Renew(wanted.clone()),
        (Some(found), Some(wanted)) => {
            let (found, merged) = (unmanaged(found), merge(found, wanted));
            if merged == found {
                Step::Nothing
            } else {
                Step::Replace(merged)
            }
        }
    }
}

/// Whether an object was made for the owner with this UID: it is controlled by that, or says so and nothing controls it.
fn is_of(metadata: &ObjectMeta, owner: Option<&str>) -> bool {
    is_controlled_by(metadata, owner) || owner.is_some() && made_for(metadata) == owner && !is_controlled(metadata)
}

fn made_for(metadata: &ObjectMeta) -> Option<&str> {
    metadata.annotations.as_ref()?.get(OWNER_UID).map(String::as_str)
}

/// What an orphan was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormerOwner<'a> {
    /// Its name; its namespace is the orphan's.
    pub name: &'a str,
    /// Its UID.
    pub uid: &'a str,
}

/// What a role or a binding was made for that no owner references lead to any more, so that no garbage collector takes it
/// away with its owner: as `kubectl delete --cascade=orphan` leaves it behind. None: it is no orphan of ours.
pub fn orphaned_by(metadata: &ObjectMeta) -> Option<FormerOwner<'_>> {
    if is_controlled(metadata) || metadata.deletion_timestamp.is_some() {
        return None;
    }
    let (owner, _) = metadata
        .name
        .as_deref()?
        .strip_prefix("tokenwright:")?
        .rsplit_once(':')?;
    let uid = made_for(metadata)?;
    Some(FormerOwner { name: owner, uid })
}

/// `wanted`, with what `found` carries besides: others may label and annotate it.
fn merge<K: RightsObject>(found: &K, wanted: &K) -> K {
    let mut merged = wanted.clone();
    let mut metadata = unmanaged(found).meta().clone();
    let controller = wanted.owner_references().first();
    metadata.owner_references = Some(with_controller(&metadata, controller));
    metadata.labels.get_or_insert_default().extend(wanted.labels().clone());
    if !wanted.annotations().is_empty() {
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.extend(wanted.annotations().clone());
    }
    *merged.meta_mut() = metadata;
    merged
}

/// Without the field owners, which a watch leaves out.
fn unmanaged<K: RightsObject>(object: &K) -> K {
    let mut object = object.clone();
    object.meta_mut().managed_fields = None;
    object
}

#[cfg(test)]
mod tests;
