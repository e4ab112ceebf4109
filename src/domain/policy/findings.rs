//! What is wrong with a policy itself, or with what it and others demand together: for its own conditions.

use std::collections::BTreeSet;

use super::{Limits, Policy, is_denied};
use crate::{
    api::{Duration, ExpiryPolicy, OrganisationSpec, TokenPolicySpec, TokenType, condition::Reason},
    domain::{admission::Refusal, permission::Permissions},
};

/// What a policy is judged against.
#[derive(Clone, Debug, Default)]
pub struct Surroundings<'a> {
    /// The organisations that it selects, by name.
    pub organisations: Vec<(&'a str, &'a OrganisationSpec)>,
    /// Policies that select a token which this one selects too.
    pub others: Vec<Policy<'a>>,
}

/// What is wrong with `policy`, and why in words. Empty: nothing.
pub fn findings(policy: &Policy<'_>, surroundings: &Surroundings<'_>) -> Vec<Refusal> {
    let because = |reason| move |message| Refusal { reason, message };
    let mut found = Vec::new();
    found.extend(unsound_selector(policy.spec).map(because(Reason::InvalidSpec)));
    found.extend(selects_none(policy.spec, surroundings).map(because(Reason::OrganisationNotFound)));
    found.extend(empty_lists(policy.spec).map(because(Reason::InvalidSpec)));
    found.extend(
        policy
            .spec
            .expiry
            .as_ref()
            .and_then(unfit_expiry)
            .map(because(Reason::InvalidSpec)),
    );
    found.extend(unknown_filters(policy.spec, surroundings).map(because(Reason::IpFilterNotFound)));
    found.extend(unknown_role(policy.spec, surroundings).map(because(Reason::RoleNotFound)));
    found.extend(
        contradictions(policy, surroundings)
            .into_iter()
            .map(because(Reason::PolicyContradiction)),
    );
    found
}

fn unsound_selector(spec: &TokenPolicySpec) -> Option<String> {
    (!spec.has_sound_selector()).then(|| {
        "spec.organisations.selector makes no sense, so that the policy is for every organisation. Each operator is In, \
         NotIn, Exists or DoesNotExist, and only the first two take values."
            .to_owned()
    })
}

fn selects_none(spec: &TokenPolicySpec, surroundings: &Surroundings<'_>) -> Option<String> {
    (spec.has_sound_selector() && surroundings.organisations.is_empty()).then(|| {
        "No Organisation is selected by spec.organisations, so the policy is for no token. 'kubectl get organisations \
         --show-labels' lists them."
            .to_owned()
    })
}

fn empty_lists(spec: &TokenPolicySpec) -> impl Iterator<Item = String> {
    let is_empty = |list: Option<usize>| list == Some(0);
    let roles = spec.roles.as_ref().and_then(|policy| policy.allowed.as_ref());
    let permissions = spec.permissions.as_ref().and_then(|policy| policy.allowed.as_ref());
    let lifetimes = spec.expiry.as_ref().and_then(|policy| policy.allowed.as_ref());
    [
        (
            is_empty(roles.map(Vec::len)),
            "spec.roles.allowed is empty, so that no token may have a role",
        ),
        (
            is_empty(permissions.map(Vec::len)),
            "spec.permissions.allowed is empty, so that no token may do anything",
        ),
        (
            is_empty(lifetimes.map(Vec::len)),
            "spec.expiry.allowed is empty, so that no token may ask for a lifetime",
        ),
    ]
    .into_iter()
    .filter(|(is_empty, _)| *is_empty)
    .map(|(_, what)| {
        format!("{what}. Name what is allowed, or leave the list out; to have no tokens, set spec.issuance to Deny.")
    })
}

/// What the schema refuses too; an object can be older than its schema.
fn unfit_expiry(policy: &ExpiryPolicy) -> Option<String> {
    let longer = |one: &Duration, max: &Duration| one.seconds() > max.seconds();
    let (max, default) = (policy.max.as_ref(), policy.default.as_ref());
    if let (Some(max), Some(default)) = (max, default)
        && longer(default, max)
    {
        return Some(format!(
            "spec.expiry.default {default} is longer than spec.expiry.max {max}. Make it shorter."
        ));
    }
    let allowed = policy.allowed.as_ref()?;
    if let Some(max) = max
        && let Some(long) = allowed.iter().find(|one| longer(one, max))
    {
        return Some(format!(
            "spec.expiry.allowed has {long}, which is longer than spec.expiry.max {max}. Take it out."
        ));
    }
    let default = default.filter(|default| allowed.iter().all(|one| one.seconds() != default.seconds()))?;
    (!allowed.is_empty())
        .then(|| format!("spec.expiry.default {default} is not in spec.expiry.allowed. Add it, or choose one that is."))
}

/// A filter that is missing lets nobody in, so each organisation counts.
fn unknown_filters(spec: &TokenPolicySpec, surroundings: &Surroundings<'_>) -> impl Iterator<Item = String> {
    let required = spec.ip_filters.iter().flat_map(|policy| &policy.required);
    required.filter_map(|filter| {
        let lacks = |organisation: &OrganisationSpec| organisation.ip_filters.iter().all(|known| known.name != *filter);
        let (organisation, _) = surroundings.organisations.iter().find(|(_, spec)| lacks(spec))?;
        Some(format!(
            "spec.ipFilters.required has {filter:?}, which Organisation {organisation:?} does not have, so that none of its tokens works. Add the filter there, or take it out here."
        ))
    })
}

/// A role is wrong when none of the organisations has it.
fn unknown_role(spec: &TokenPolicySpec, surroundings: &Surroundings<'_>) -> Option<String> {
    let allowed = spec.roles.as_ref()?.allowed.as_ref()?;
    let organisations = surroundings.organisations.iter();
    let roles = organisations.flat_map(|(_, spec)| spec.effective_roles());
    let known: BTreeSet<String> = roles.map(|role| role.name).collect();
    let unknown = allowed.iter().find(|role| !known.contains(*role))?;
    (!surroundings.organisations.is_empty()).then(|| {
        format!(
            "spec.roles.allowed has {unknown:?}, and no Organisation that the policy selects has such a role. Correct the name."
        )
    })
}

/// What the policy and another one demand, and no token can meet.
fn contradictions(policy: &Policy<'_>, surroundings: &Surroundings<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut others: Vec<&Policy<'_>> = surroundings.others.iter().collect();
    others.sort_by_key(|other| other.name);
    let overlaps = |other: &Policy<'_>| {
        let types = [TokenType::Organisation, TokenType::Personal];
        types
            .into_iter()
            .any(|type_| policy.spec.is_for(type_) && other.spec.is_for(type_))
    };
    let enforced = |spec: &TokenPolicySpec| spec.is_enforced() && !is_denied(spec);
    for other in others {
        if other.name == policy.name || !overlaps(other) || !enforced(policy.spec) || !enforced(other.spec) {
            continue;
        }
        let alone = [policy.spec, other.spec].map(|spec| Limits::of([spec].into_iter()));
        let together = Limits::of([policy.spec, other.spec].into_iter());
        found.extend(contradiction(&alone, &together).map(|what| {
            format!(
                "Together with TokenPolicy {:?} {what}. Change one of the two, or let them select different organisations.",
                other.name
            )
        }));
    }
    found
}

fn contradiction(alone: &[Limits; 2], together: &Limits) -> Option<String> {
    let newly = |is_empty: fn(&Limits) -> bool| is_empty(together) && !alone.iter().any(is_empty);
    if newly(|limits| limits.roles.as_ref().is_some_and(BTreeSet::is_empty)) {
        return Some("no role is allowed: roles.allowed of the two have none in common".to_owned());
    }
    if newly(|limits| limits.permissions.as_ref().is_some_and(Permissions::is_empty)) {
        return Some("no permission is allowed: permissions.allowed of the two have none in common".to_owned());
    }
    if newly(|limits| limits.lifetimes.as_ref().is_some_and(BTreeSet::is_empty)) {
        return Some("no lifetime is allowed: expiry.allowed of the two have none in common".to_owned());
    }
    let (longest, shortest) =
        unmeetable_lifetime(together).filter(|_| newly(|limits| unmeetable_lifetime(limits).is_some()))?;
    Some(format!(
        "no lifetime is allowed: the shortest in expiry.allowed is {shortest}, and expiry.max is {longest}"
    ))
}

/// The longest lifetime and the shortest to choose from, if that is longer.
fn unmeetable_lifetime(limits: &Limits) -> Option<(&Duration, &Duration)> {
    let (longest, shortest) = (limits.longest.as_ref()?, limits.lifetimes.as_ref()?.first()?);
    (shortest.seconds() > longest.seconds()).then_some((longest, shortest))
}
