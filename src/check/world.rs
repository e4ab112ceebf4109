//! What there will be once the files are applied, as far as it is known.

use std::{collections::BTreeMap, sync::LazyLock};

use jiff::Timestamp;
use kube::ResourceExt;

use super::{Cluster, object::Set};
use crate::{
    api::{ApiToken, OrganisationSpec, TokenPolicySpec, TokenType},
    domain::{
        permission::Permissions,
        policy::{Older, Policy},
    },
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
    tokens: Vec<Ranked>,
    /// Whether what is not here does not exist.
    pub(super) is_complete: bool,
}

#[derive(Debug)]
struct Organisation {
    /// None: it is to come, and is not as it should be.
    spec: Option<OrganisationSpec>,
    labels: Labels,
}

/// A token, by what decides which are the older ones.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ranked {
    /// Since when it is there. What is yet to be applied comes last, in the order of the files.
    age: Age,
    namespace: Option<String>,
    name: Option<String>,
    organisation: String,
    is_personal: bool,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    Since(Option<Timestamp>),
    ToCome(usize),
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
        for found in &set.tokens {
            let Some(token) = &found.object else { continue };
            let is_there = |ranked: &&mut Ranked| is_called(ranked, token);
            let age = Age::ToCome(found.source.position);
            match world.tokens.iter_mut().find(is_there) {
                Some(there) => there.organisation.clone_from(&token.spec.organisation),
                None => world.tokens.push(Ranked::new(token, age)),
            }
        }
        world.tokens.sort();
        world
    }

    fn nothing() -> Self {
        Self {
            organisations: BTreeMap::new(),
            policies: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            tokens: Vec::new(),
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
        let mut tokens: Vec<Ranked> = cluster
            .tokens
            .iter()
            .map(|token| {
                let created = token.metadata.creation_timestamp.as_ref().map(|time| time.0);
                Ranked::new(token, Age::Since(created))
            })
            .collect();
        tokens.sort();
        Self {
            organisations: organisations.collect(),
            policies: cluster
                .policies
                .iter()
                .map(|policy| (policy.name_any(), policy.spec.clone()))
                .collect(),
            namespaces: cluster.namespaces.clone(),
            tokens,
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

    /// What the role of that name permits.
    pub(super) fn permissions_of(&self, organisation: &str, role: Option<&str>) -> Permissions {
        let Seen::Known(spec) = self.organisation(organisation) else {
            return Permissions::default();
        };
        let roles = spec.effective_roles();
        let role = roles.iter().filter(|known| Some(&*known.name) == role);
        role.flat_map(|role| &role.permissions)
            .map(|permission| &**permission)
            .collect()
    }

    /// How many tokens of its organisation are older.
    pub(super) fn older_than(&self, token: &ApiToken) -> Older {
        let mut older = Older::default();
        let before = self.tokens.iter().take_while(|ranked| !is_called(ranked, token));
        for ranked in before.filter(|ranked| ranked.organisation == token.spec.organisation) {
            match ranked.is_personal {
                true => older.personal += 1,
                false => older.organisation += 1,
            }
        }
        older
    }
}

impl Ranked {
    fn new(token: &ApiToken, age: Age) -> Self {
        Self {
            age,
            namespace: token.metadata.namespace.clone(),
            name: token.metadata.name.clone(),
            organisation: token.spec.organisation.clone(),
            is_personal: token.spec.type_ == TokenType::Personal,
        }
    }
}

fn is_called(ranked: &Ranked, token: &ApiToken) -> bool {
    ranked.name == token.metadata.name && ranked.namespace == token.metadata.namespace
}
