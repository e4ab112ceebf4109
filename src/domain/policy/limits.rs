//! What all enforced policies leave together: the strictest value of each field.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::is_denied;
use crate::{
    api::{Duration, IdleAction, TokenPolicySpec},
    domain::permission::Permissions,
};

/// The strictest value of each field. A list that is None is not limited; an empty one allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Whether none are issued.
    pub denied: bool,
    /// Whether a token must say when it expires: a policy requires an end and sets none itself.
    pub expiry_required: bool,
    /// The longest lifetime.
    pub longest: Option<Duration>,
    /// The lifetime of tokens that ask for none.
    pub default: Option<Duration>,
    /// The lifetime of credentials that live already without an end, where one is required.
    pub imposed: Option<Duration>,
    /// The lifetimes to choose from.
    pub lifetimes: Option<BTreeSet<Duration>>,
    /// The IP filters that every request must pass.
    pub filters: BTreeSet<String>,
    /// Whether tokens may not have other IP filters.
    pub no_custom_filters: bool,
    /// The roles that tokens may have.
    pub roles: Option<BTreeSet<String>>,
    /// What tokens may do at most.
    pub permissions: Option<Permissions>,
    /// Whether what an issued token may do stays as it is.
    pub frozen: bool,
    /// Whether tokens must name their projects.
    pub projects_required: bool,
    /// How many tokens an organisation may have. A policy for one type and one for both count differently; this is the
    /// least of their numbers.
    pub tokens: Option<u32>,
    /// After how long without use a token is refused.
    pub suspended_after: Option<Duration>,
    /// After how long without use its Secret is deleted too.
    pub deleted_after: Option<Duration>,
}

impl Limits {
    /// What these policies leave together. Those that only warn do not count.
    pub fn of<'a>(policies: impl Iterator<Item = &'a TokenPolicySpec>) -> Self {
        let enforced = policies.filter(|spec| spec.is_enforced());
        enforced.fold(Self::default(), |mut limits, spec| {
            limits.denied |= is_denied(spec);
            limits.tokens = least(limits.tokens.take(), spec.max_tokens);
            limits.projects_required |= spec.projects.as_ref().is_some_and(|policy| policy.required);
            limits.take_expiry(spec);
            limits.take_rights(spec);
            limits.take_filters(spec);
            limits.take_idle(spec);
            limits
        })
    }

    fn take_expiry(&mut self, spec: &TokenPolicySpec) {
        let Some(policy) = &spec.expiry else { return };
        self.expiry_required |= policy.required && policy.default.is_none() && policy.max.is_none();
        self.longest = least(self.longest.take(), policy.max.clone());
        self.default = least(self.default.take(), policy.default.clone());
        let imposed = policy.default.clone().filter(|_| policy.required);
        self.imposed = least(self.imposed.take(), imposed);
        if let Some(allowed) = &policy.allowed {
            // 24h and 1d are the same; of two spellings the lesser stays, whichever policy has it.
            let known = self
                .lifetimes
                .take()
                .unwrap_or_else(|| allowed.iter().cloned().collect());
            let both = known.iter().filter_map(|known| {
                let same = allowed.iter().filter(|one| one.seconds() == known.seconds());
                same.min().map(|same| same.min(known).clone())
            });
            self.lifetimes = Some(both.collect());
        }
    }

    fn take_rights(&mut self, spec: &TokenPolicySpec) {
        if let Some(allowed) = spec.roles.as_ref().and_then(|policy| policy.allowed.as_ref()) {
            let allowed: BTreeSet<String> = allowed.iter().cloned().collect();
            self.roles = Some(match self.roles.take() {
                Some(known) => known.intersection(&allowed).cloned().collect(),
                None => allowed,
            });
        }
        let Some(policy) = &spec.permissions else { return };
        self.frozen |= !policy.allow_updates;
        if let Some(allowed) = &policy.allowed {
            let allowed: Permissions = allowed.iter().map(|permission| &**permission).collect();
            self.permissions = Some(match self.permissions.take() {
                Some(known) => known.intersection(&allowed),
                None => allowed,
            });
        }
    }

    fn take_filters(&mut self, spec: &TokenPolicySpec) {
        let Some(policy) = &spec.ip_filters else { return };
        self.filters.extend(policy.required.iter().cloned());
        self.no_custom_filters |= !policy.allow_custom;
    }

    fn take_idle(&mut self, spec: &TokenPolicySpec) {
        let Some(policy) = &spec.idle else { return };
        // By what is done, each: to delete as early as another policy only suspends is what nobody asked for.
        let limit = match policy.action {
            IdleAction::Suspend => &mut self.suspended_after,
            IdleAction::Delete => &mut self.deleted_after,
        };
        *limit = least(limit.take(), Some(policy.after.clone()));
    }

    /// Whether a token may have the role of this name.
    pub fn allows_role(&self, role: &str) -> bool {
        self.roles.as_ref().is_none_or(|allowed| allowed.contains(role))
    }

    /// Whether a token may do all of this.
    pub fn allows_permissions(&self, permissions: &Permissions) -> bool {
        self.permissions
            .as_ref()
            .is_none_or(|most| most.covers_all(permissions))
    }

    /// The longest lifetime of a new credential whose token asks for a lifetime or not.
    pub fn lifetime(&self, asked: bool) -> Option<Duration> {
        let default = self.default.clone().filter(|_| !asked);
        least(self.longest.clone(), default)
    }

    /// The longest lifetime of a credential that lives already.
    pub fn remaining_lifetime(&self, has_end: bool) -> Option<Duration> {
        least(self.longest.clone(), self.imposed.clone().filter(|_| !has_end))
    }

    /// The expiry of a credential that was issued at `issued_at` and would expire at `expires_at`: never later than that.
    pub fn clamp(&self, issued_at: Timestamp, expires_at: Option<Timestamp>) -> Option<Timestamp> {
        let most = self.remaining_lifetime(expires_at.is_some());
        least(expires_at, most.map(|most| most.after(issued_at)))
    }
}

/// The least of two limits, either of which may be none.
fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    [one, other].into_iter().flatten().min()
}
