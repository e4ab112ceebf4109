//! A token as policies look at it.

use jiff::Timestamp;

use super::{Older, Policy, Stage, Subject, Verdict, judge};
use crate::{
    api::{ApiToken, ApiTokenStatus, CredentialState, Grant, OrganisationSpec},
    domain::{
        lifecycle::{in_state, is_triggered, last_trigger},
        permission::Permissions,
    },
};

/// A token with what policies want to know of it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The token.
    pub token: &'a ApiToken,
    /// Its status, or what becomes of it.
    pub status: &'a ApiTokenStatus,
    /// Its organisation, if that exists.
    pub organisation: Option<&'a OrganisationSpec>,
    /// The older tokens of its organisation.
    pub older: Older,
}

impl Candidate<'_> {
    /// What policies that select its organisation say to these rights of it.
    pub fn judge(&self, policies: &[Policy<'_>], rights: &Grant, stage: Stage<'_>, now: Timestamp) -> Verdict {
        let role = self.permitted_by(rights.role.as_deref());
        let current = in_state(self.status, CredentialState::Active);
        let subject = Subject {
            type_: self.token.spec.type_,
            rights,
            role: &role,
            issued_at: current.map(|current| current.issued_at.0),
            idle_since: self.idle_since(),
            older: self.older,
        };
        judge(policies, &subject, stage, now)
    }

    fn permitted_by(&self, role: Option<&str>) -> Permissions {
        let roles = self.organisation.map(OrganisationSpec::effective_roles);
        roles
            .iter()
            .flatten()
            .filter(|known| Some(&*known.name) == role)
            .flat_map(|known| &known.permissions)
            .map(|permission| &**permission)
            .collect()
    }

    /// Since when nobody has used the token. None: a new credential is asked for, there never was one, or it expired.
    fn idle_since(&self) -> Option<Timestamp> {
        let status = self.status;
        // What a policy has ended counts as never issued.
        let expired = status.issued_at.is_some() && in_state(status, CredentialState::Active).is_none();
        if expired || is_triggered(self.token, last_trigger(status)) {
            return None;
        }
        let issued = status.credentials.iter().map(|credential| credential.issued_at.0);
        let used = status.last_used.as_ref().map(|seen| seen.at.0);
        issued.chain(used).max()
    }
}
