//! How credentials come: why a new one is due, its first write and its third.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Planner;
use crate::{
    api::{CredentialState, Delivery, condition::Finding},
    domain::lifecycle::{Effect, Mint, Notice, SecretFact, in_state, timing},
};

/// Why a credential is to be made.
pub(super) enum Issue {
    NoneLive,
    Triggered,
    Due,
    SecretDeleted,
    SecretEdited,
}

impl Planner<'_> {
    /// Why a new credential is due now, as a notice says it; None: it is not.
    pub(super) fn reason_to_issue(&self) -> Option<Issue> {
        let Some(current) = in_state(&self.status, CredentialState::Active) else {
            return Some(Issue::NoneLive);
        };
        if self.triggered(current.trigger.as_deref()) {
            return Some(Issue::Triggered);
        }
        let grant = self.status.grant.as_ref();
        if grant
            .and_then(|grant| timing::rotates_at(self.token, grant, current))
            .is_some_and(|due| due <= self.now)
        {
            return Some(Issue::Due);
        }
        match &self.facts.secret {
            SecretFact::Absent if self.token.delivery() == Delivery::Persistent => Some(Issue::SecretDeleted),
            SecretFact::Owned { holds, .. } if *holds != Some(current.id) => Some(Issue::SecretEdited),
            _ => None,
        }
    }

    /// The first write of a new credential, unless it would be dead on arrival.
    pub(super) fn issue(&mut self, why: Issue) -> (Effect, Finding) {
        let grant = self.limited_anew(self.status.grant.clone().unwrap_or_default());
        let expires_at = timing::end(&grant, self.now);
        self.status.grant = Some(grant);
        let secret = self.token.secret_name();
        match why {
            Issue::SecretDeleted => self.notices.push(Notice::warning(
                "SecretDeleted",
                format!("Secret {secret:?} was deleted: replacing the credential it held."),
            )),
            Issue::SecretEdited => self.notices.push(Notice::warning(
                "SecretEdited",
                format!("The token in Secret {secret:?} was edited from outside: replacing the credential."),
            )),
            Issue::NoneLive | Issue::Triggered | Issue::Due => {}
        }
        let highest = self
            .status
            .credentials
            .iter()
            .map(|credential| credential.id)
            .max()
            .unwrap_or_default();
        let mint = Mint {
            id: self.status.last_credential.max(highest) + 1,
            prefix: self
                .facts
                .organisation
                .map(|organisation| organisation.token_prefix.clone())
                .unwrap_or_default(),
            expires_at,
        };
        (Effect::Mint(mint), self.working())
    }

    /// The third write: what the Secret holds becomes the current credential, and the one before it gives way.
    pub(super) fn activate_what_the_secret_holds(&mut self) {
        let SecretFact::Owned {
            holds: Some(id),
            masked,
            ..
        } = &self.facts.secret
        else {
            return;
        };
        let Some(at) = self.position(|credential| credential.state == CredentialState::Pending && credential.id == *id)
        else {
            return;
        };
        // At most one replaced credential works at a time: the one that is still giving way goes when a third comes.
        self.retire_all(CredentialState::Retiring);
        let replaces = self.status.issued_at.is_some();
        // What was revoked counts as never issued, and workloads have its token all the same.
        let is_first = self
            .position(|credential| credential.id != *id && credential.state != CredentialState::Pending)
            .is_none();
        let restarting = !is_first && !self.token.restarts().is_empty();
        self.status.credentials[at].state = CredentialState::Active;
        self.status.credentials[at].restarting = restarting;
        self.status.credentials[at].delivered_at = (self.token.delivery() == Delivery::Once).then_some(Time(self.now));
        let current = self.status.credentials[at].clone();
        if let Some(masked) = masked {
            self.status.masked_token = Some(masked.clone());
        }
        if let Some(before) =
            self.position(|credential| credential.state == CredentialState::Active && credential.id != current.id)
        {
            let grant = self.status.grant.clone().unwrap_or_default();
            let end = timing::overlap_ends(self.token, &grant, &self.status.credentials[before], &current, self.now);
            let replaced = &mut self.status.credentials[before];
            replaced.state = CredentialState::Retiring;
            replaced.restarting = false;
            replaced.retired_at = end
                .map(|end| if restarting { timing::restarts_end(end) } else { end })
                .map(Time);
        }
        let secret = self.token.secret_name();
        if replaces {
            self.status.rotations += 1;
            self.notices.push(Notice::normal(
                "Rotated",
                format!("Put new credential {id} into Secret {secret:?}."),
            ));
        } else {
            self.notices.push(Notice::normal(
                "Issued",
                format!("Put credential {id} into Secret {secret:?}."),
            ));
        }
    }

    /// A pending credential whose token nobody holds is of no use to anybody.
    pub(super) fn drop_pending(&mut self) {
        self.status
            .credentials
            .retain(|credential| credential.state != CredentialState::Pending);
    }
}
