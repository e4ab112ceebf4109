//! What there will be once the files are applied, as far as it is known.

use std::{
    collections::{BTreeMap, HashSet},
    sync::LazyLock,
};

use kube::ResourceExt;

use super::{Cluster, object::Set};
use crate::{
    api::{ApiToken, ApiTokenStatus, OrganisationSpec, TokenPolicySpec},
    domain::policy::{Candidate, Policy, Seniority},
};

type Labels = BTreeMap<String, String>;

/// The labels of what has none.
static NONE: LazyLock<Labels> = LazyLock::new(Labels::new);

/// The organisations, policies, namespaces and tokens that are judged against.
#[derive(Debug)]
pub(super) struct World {
    organisations: BTreeMap<String, Organisation>,
    policies: BTreeMap<String, TokenPolicySpec>,
    namespaces: BTreeMap<String, Labels>,
    seniority: Seniority,
    /// Whether what is not here does not exist.
    pub(super) is_complete: bool,
}

#[derive(Debug)]
struct Organisation {
    /// None: it is to come, and is not as it should be.
    spec: Option<OrganisationSpec>,
    labels: Labels,
}

/// What is known of an organisation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seen<'a> {
    /// All of it.
    Known(&'a OrganisationSpec),
    /// That it is to come, and is not as it should be: that is told where it stands.
    Refused,
    /// Nothing.
    Absent,
}

impl World {
    /// What the files bring replaces what the cluster has under the same name.
    pub(super) fn new(set: &Set, cluster: Option<&Cluster>) -> Self {
        let mut world = cluster.map_or_else(Self::nothing, Self::of);
        for found in &set.organisations {
            let organisation = Organisation {
                spec: found.sound().map(|object| object.spec.clone()),
                labels: found.sound().map(|object| object.labels().clone()).unwrap_or_default(),
            };
            world.organisations.insert(found.source.name.name.clone(), organisation);
        }
        for found in &set.policies {
            match found.sound() {
                Some(policy) => world
                    .policies
                    .insert(found.source.name.name.clone(), policy.spec.clone()),
                None => world.policies.remove(&found.source.name.name),
            };
        }
        world.namespaces.extend(set.namespaces.clone());
        let judged: HashSet<Key<'_>> = set
            .tokens
            .iter()
            .filter_map(|found| found.object.as_ref())
            .map(key)
            .collect();
        let others = cluster.into_iter().flat_map(|cluster| &cluster.tokens);
        let others = others.filter(|token| !judged.contains(&key(token)));
        let tokens = set.tokens.iter().filter_map(|found| found.object.as_ref());
        world.seniority = Seniority::of(tokens.chain(others));
        world
    }

    fn nothing() -> Self {
        Self {
            organisations: BTreeMap::new(),
            policies: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            seniority: Seniority::default(),
            is_complete: false,
        }
    }

    /// What the cluster has now.
    pub(super) fn of(cluster: &Cluster) -> Self {
        let organisations = cluster.organisations.iter().map(|object| {
            let organisation = Organisation {
                spec: Some(object.spec.clone()),
                labels: object.labels().clone(),
            };
            (object.name_any(), organisation)
        });
        Self {
            organisations: organisations.collect(),
            policies: cluster
                .policies
                .iter()
                .map(|policy| (policy.name_any(), policy.spec.clone()))
                .collect(),
            namespaces: cluster.namespaces.clone(),
            seniority: Seniority::of(&cluster.tokens),
            is_complete: true,
        }
    }

    pub(super) fn organisation(&self, name: &str) -> Seen<'_> {
        match self.organisations.get(name) {
            Some(Organisation { spec: Some(spec), .. }) => Seen::Known(spec),
            Some(Organisation { spec: None, .. }) => Seen::Refused,
            None => Seen::Absent,
        }
    }

    /// The names of all organisations.
    pub(super) fn organisation_names(&self) -> Vec<&str> {
        self.organisations.keys().map(String::as_str).collect()
    }

    /// The labels of a namespace, if they are known.
    pub(super) fn labels_of(&self, namespace: &str) -> Option<&Labels> {
        self.namespaces.get(namespace)
    }

    /// The organisations that a policy selects, of those that are as they should be.
    pub(super) fn selected_by(&self, policy: &TokenPolicySpec) -> Vec<(&str, &OrganisationSpec)> {
        let selected = self
            .organisations
            .iter()
            .filter(|(name, known)| policy.selects(name, &known.labels));
        selected
            .filter_map(|(name, known)| Some((&**name, known.spec.as_ref()?)))
            .collect()
    }

    /// The policies that select this organisation. Of one that is not known, those that do whatever its labels are.
    pub(super) fn policies_for(&self, organisation: &str) -> Vec<Policy<'_>> {
        let known = self.organisations.get(organisation);
        let selects = |spec: &TokenPolicySpec| match known {
            Some(known) => spec.selects(organisation, &known.labels),
            None => {
                let by_labels = spec
                    .organisations
                    .as_ref()
                    .is_some_and(|selected| selected.selector.is_some());
                !by_labels && spec.selects(organisation, &NONE)
            }
        };
        let policies = self.policies.iter().filter(|(_, spec)| selects(spec));
        policies.map(|(name, spec)| Policy { name, spec }).collect()
    }

    /// All policies.
    pub(super) fn policies(&self) -> impl Iterator<Item = Policy<'_>> {
        self.policies.iter().map(|(name, spec)| Policy { name, spec })
    }

    /// What policies want to know of a token, whose `status` is what the cluster has of it.
    pub(super) fn candidate<'a>(&'a self, token: &'a ApiToken, status: &'a ApiTokenStatus) -> Candidate<'a> {
        let organisation = match self.organisation(&token.spec.organisation) {
            Seen::Known(spec) => Some(spec),
            Seen::Refused | Seen::Absent => None,
        };
        Candidate {
            token,
            status,
            organisation,
            older: self.seniority.older(token),
        }
    }

    /// Whether a policy is for a token.
    pub(super) fn is_for(&self, policy: &TokenPolicySpec, token: &ApiToken) -> bool {
        let organisation = &*token.spec.organisation;
        let labels = self
            .organisations
            .get(organisation)
            .map_or(&*NONE, |known| &known.labels);
        policy.is_for(token.spec.type_) && policy.selects(organisation, labels)
    }
}

type Key<'a> = (Option<&'a str>, Option<&'a str>);

/// By what a token of the files and one of the cluster are the same.
fn key(token: &ApiToken) -> Key<'_> {
    (token.metadata.namespace.as_deref(), token.metadata.name.as_deref())
}
