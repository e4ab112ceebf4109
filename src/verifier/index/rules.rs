//! What policies leave to tokens of one organisation and type, in the form in which a request is judged.

use std::collections::HashSet;

use super::{organisation::Charter, store::Profile};
use crate::{
    api::{Duration, TokenPolicySpec},
    domain::policy::Limits,
};

/// The limits of all policies that select a token. What takes no part in a token's standing, such as the lifetimes to
/// choose from, is not asked for here: the controller judges what tokens ask for.
#[derive(Debug)]
pub(in crate::verifier) struct Rules {
    limits: Limits,
    /// For how long credentials live, in seconds, that have an end already, and that have none.
    with_end: Option<i64>,
    without_end: Option<i64>,
    /// After how long without use a token is refused, in seconds.
    idle_after: Option<i64>,
    /// Roles of the organisation that permit more than a token may do.
    excessive_roles: HashSet<Box<str>>,
}

impl Rules {
    /// None: nothing is limited.
    pub(super) fn new<'a>(policies: impl Iterator<Item = &'a TokenPolicySpec>, charter: &Charter) -> Option<Self> {
        let limits = Limits::of(policies);
        if limits == Limits::default() {
            return None;
        }
        let idle = [&limits.suspended_after, &limits.deleted_after];
        let excessive = charter.roles().filter(|(_, role)| !limits.allows_permissions(role));
        Some(Self {
            with_end: limits.remaining_lifetime(true).as_ref().map(seconds),
            without_end: limits.remaining_lifetime(false).as_ref().map(seconds),
            idle_after: idle.into_iter().flatten().map(seconds).min(),
            excessive_roles: excessive.map(|(name, _)| name.into()).collect(),
            limits,
        })
    }

    /// When a credential expires that would expire at `end`. None: never.
    pub(super) fn cut(&self, issued_at: Option<i64>, end: Option<i64>) -> Option<i64> {
        let most = if end.is_some() { self.with_end } else { self.without_end };
        let cut = issued_at
            .zip(most)
            .map(|(issued_at, most)| issued_at.saturating_add(most));
        [end, cut].into_iter().flatten().min()
    }

    /// After how long without use a token is refused, in seconds.
    pub(in crate::verifier) fn idle_after(&self) -> Option<i64> {
        self.idle_after
    }

    /// Whether a token that has this may go on.
    pub(in crate::verifier) fn allow(&self, profile: &Profile) -> bool {
        let role = profile.role.as_deref();
        let names_projects = profile.projects.as_ref().is_some_and(|projects| !projects.is_empty());
        !self.limits.denied
            && (profile.asks_for_an_end || !self.limits.expiry_required)
            && role.is_none_or(|role| self.limits.allows_role(role) && !self.excessive_roles.contains(role))
            && self.limits.allows_permissions(&profile.permissions)
            && (names_projects || !self.limits.projects_required)
    }

    /// The IP filters that every request must pass.
    pub(in crate::verifier) fn filters(&self) -> impl Iterator<Item = &str> {
        self.limits.filters.iter().map(String::as_str)
    }
}

fn seconds(duration: &Duration) -> i64 {
    duration.signed().as_secs()
}
