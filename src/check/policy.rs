//! What is wrong with a policy by itself, and together with others.

use super::{Finding, Rule, Severity, object::Found, world::World};
use crate::{
    api::{IpFilter, OrganisationSpec, Role, TokenPolicy, TokenPolicySpec, condition::Reason},
    domain::policy::{Policy, Surroundings, findings},
};

pub(super) fn judge(found: &Found<TokenPolicy>, world: &World, all: &mut Vec<Finding>) {
    let Some(object) = found.sound() else { return };
    let policy = Policy {
        name: &found.source.name.name,
        spec: &object.spec,
    };
    let stand_in = stand_in(&object.spec);
    let mut organisations = world.selected_by(&object.spec);
    if organisations.is_empty() && !world.is_complete && world.organisation_names().is_empty() {
        // The organisations are somewhere else: there is nothing to be said of them.
        organisations.push(("", &stand_in));
    }
    let selects_too = |other: &Policy<'_>| {
        let both = |name: &str| organisations.iter().any(|(selected, _)| *selected == name);
        let others = world.selected_by(other.spec);
        (others.is_empty() && organisations == [("", &stand_in)]) || others.iter().any(|(name, _)| both(name))
    };
    let surroundings = Surroundings {
        others: world.policies().filter(selects_too).collect(),
        organisations: organisations.clone(),
    };
    for said in findings(&policy, &surroundings) {
        // Those that it selects may be in the cluster.
        let is_open = said.reason == Reason::OrganisationNotFound && !world.is_complete;
        let severity = if is_open { Severity::Warning } else { Severity::Error };
        let field = field_of(&said.message).to_owned();
        all.push(
            found
                .source
                .finding(severity, Rule::of(said.reason), &field, said.message),
        );
    }
}

/// An organisation that has all that the policy names.
fn stand_in(policy: &TokenPolicySpec) -> OrganisationSpec {
    let filters = policy.ip_filters.iter().flat_map(|filters| &filters.required);
    let roles = policy.roles.as_ref().and_then(|roles| roles.allowed.as_ref());
    OrganisationSpec {
        ip_filters: filters
            .map(|name| IpFilter {
                name: name.clone(),
                ..IpFilter::default()
            })
            .collect(),
        roles: roles.map(|names| {
            let role = |name: &String| Role {
                name: name.clone(),
                ..Role::default()
            };
            names.iter().map(role).collect()
        }),
        ..OrganisationSpec::default()
    }
}

/// The first field that the message names.
fn field_of(message: &str) -> &str {
    let words = message.split([' ', ',']);
    let field = words
        .map(|word| word.trim_end_matches('.'))
        .find(|word| word.starts_with("spec."));
    field.unwrap_or("spec")
}
