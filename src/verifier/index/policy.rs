//! Policies, and which of them are for an organisation: worked out when one of the two changes, not for every request.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    organisation::Charter,
    rules::Rules,
    store::{Labels, Store},
};
use crate::api::{TokenPolicySpec, TokenType};

/// A policy as it was read.
#[derive(Debug)]
pub(super) struct Policy {
    spec: Arc<TokenPolicySpec>,
    pub(super) readable: bool,
}

impl Policy {
    pub(super) fn new(spec: &TokenPolicySpec, readable: bool) -> Self {
        Self {
            spec: Arc::new(spec.clone()),
            readable,
        }
    }
}

/// An organisation, and what policies leave to its tokens.
#[derive(Debug)]
pub(in crate::verifier) struct Governed {
    pub(in crate::verifier) charter: Arc<Charter>,
    labels: Labels,
    /// Those that select it, by name.
    policies: BTreeMap<Arc<str>, Arc<TokenPolicySpec>>,
    organisation: Option<Box<Rules>>,
    personal: Option<Box<Rules>>,
}

impl Governed {
    fn new(charter: Arc<Charter>, labels: Labels, policies: BTreeMap<Arc<str>, Arc<TokenPolicySpec>>) -> Self {
        let mut governed = Self {
            charter,
            labels,
            policies,
            organisation: None,
            personal: None,
        };
        governed.work_out();
        governed
    }

    /// What is left to tokens of this type. None: everything.
    pub(in crate::verifier) fn rules(&self, type_: TokenType) -> Option<&Rules> {
        match type_ {
            TokenType::Organisation => self.organisation.as_deref(),
            TokenType::Personal => self.personal.as_deref(),
        }
    }

    fn work_out(&mut self) {
        let rules = |type_| {
            let policies = self.policies.values().map(|spec| &**spec);
            Rules::new(policies.filter(|spec| spec.is_for(type_)), &self.charter).map(Box::new)
        };
        (self.organisation, self.personal) = (rules(TokenType::Organisation), rules(TokenType::Personal));
    }
}

impl Store {
    /// Enters an organisation; returns what was there before.
    pub(super) fn put_organisation(&mut self, name: &str, charter: Arc<Charter>, labels: Labels) -> Option<Governed> {
        // Most changes of an organisation are of the counts in its status.
        let known = self.organisations.find(name).filter(|known| known.labels == labels);
        let policies = match known {
            Some(known) => known.policies.clone(),
            None => {
                let selecting = self.policies.iter().filter(|(_, one)| one.spec.selects(name, &labels));
                selecting
                    .map(|(policy, one)| (Arc::clone(policy), Arc::clone(&one.spec)))
                    .collect()
            }
        };
        self.organisations.set(name, Governed::new(charter, labels, policies))
    }

    /// Enters a policy.
    pub(super) fn put_policy(&mut self, name: &str, policy: Policy) {
        let (policy_name, spec): (Arc<str>, _) = (name.into(), Arc::clone(&policy.spec));
        let before = self.policies.set(name, policy);
        if before.is_some_and(|before| before.spec == spec) {
            return;
        }
        for (organisation, governed) in self.organisations.iter_mut() {
            let before = match spec.selects(organisation, &governed.labels) {
                true => governed.policies.insert(Arc::clone(&policy_name), Arc::clone(&spec)),
                false => governed.policies.remove(name),
            };
            if before.is_some() || governed.policies.contains_key(name) {
                governed.work_out();
            }
        }
    }

    /// Takes a policy out.
    pub(super) fn remove_policy(&mut self, name: &str) {
        self.policies.unset(name);
        for (_, governed) in self.organisations.iter_mut() {
            if governed.policies.remove(name).is_some() {
                governed.work_out();
            }
        }
    }

    /// Takes out the policies that the list which began last did not have.
    pub(super) fn sweep_policies(&mut self) {
        for name in self.policies.sweep() {
            self.remove_policy(&name);
        }
    }
}
