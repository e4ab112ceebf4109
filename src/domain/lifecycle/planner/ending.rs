//! How credentials and tokens end.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Planner, retire};
use crate::{
    api::{CredentialState, ExpiryAction, condition::Finding},
    domain::lifecycle::{Effect, in_state, outcome, timing},
};

impl Planner<'_> {
    /// Time alone ends credentials, and what it ended stays ended whatever the clock says later.
    pub(super) fn retire_what_ended(&mut self) {
        // The remedy for a leak: asked for during the overlap it is not to wait for the end of that.
        if timing::cuts_at_once(self.token) {
            self.retire_all(CredentialState::Retiring);
        }
        let mut expired = None;
        for credential in &mut self.status.credentials {
            let ended = timing::stops_at(credential).filter(|&end| end <= self.now);
            if let Some(end) = ended
                && credential.state != CredentialState::Retired
            {
                if credential.state == CredentialState::Active {
                    expired = Some(end);
                }
                retire(credential, end);
            }
        }
        let Some(end) = expired else { return };
        self.status.expires_at = Some(Time(end));
        if self.token.expiry_action() != ExpiryAction::Rotate {
            // The token's time is over, and with it that of the credential that was giving way.
            self.retire_all(CredentialState::Retiring);
        }
    }

    /// Cuts what gives way to what its grant and the overlap can have left it: whoever writes a longer life into the status
    /// than the controller would have does not keep it.
    pub(super) fn bound_what_gives_way(&mut self) {
        let current = in_state(&self.status, CredentialState::Active);
        let restarting = current.is_some_and(|current| current.restarting);
        let replaced_at = current.map_or(self.now, |current| current.issued_at.0);
        let grant = self.status.grant.clone().unwrap_or_default();
        let mut latest = timing::overlap(self.token).after(self.now);
        if restarting {
            latest = timing::restarts_end(latest);
        }
        for credential in &mut self.status.credentials {
            if credential.state != CredentialState::Retiring {
                continue;
            }
            let granted = timing::end(&grant, credential.issued_at.0.min(replaced_at));
            let recorded = credential.expires_at.as_ref().map(|at| at.0);
            credential.expires_at = [recorded, granted].into_iter().flatten().min().map(Time);
            let endless = credential.expires_at.is_none();
            let retires = credential.retired_at.as_ref().map(|at| at.0.min(latest));
            credential.retired_at = retires.or(endless.then_some(latest)).map(Time);
        }
    }

    pub(super) fn retire_all(&mut self, state: CredentialState) {
        for credential in &mut self.status.credentials {
            if credential.state == state {
                retire(credential, self.now);
            }
        }
    }

    pub(super) fn revoke(&mut self) -> Effect {
        self.drop_pending();
        let was_active = in_state(&self.status, CredentialState::Active).is_some();
        self.retire_all(CredentialState::Active);
        self.retire_all(CredentialState::Retiring);
        if was_active {
            // As if never issued: when the member comes back, a new credential is.
            self.status.issued_at = None;
            self.status.expires_at = None;
            self.status.masked_token = None;
        }
        match self.clean_up_if_expired() {
            Some((Effect::DeleteToken, _)) => Effect::DeleteToken,
            _ => self.delete_secret(),
        }
    }

    /// Deletes what an expired token leaves behind. None: the token has not expired for good.
    pub(super) fn clean_up_if_expired(&mut self) -> Option<(Effect, Finding)> {
        let expired = self.expired_for_good()?;
        let effect = match timing::cleanup_at(self.token, expired) {
            Some(at) if at <= self.now => Effect::DeleteToken,
            at => {
                self.look_again_at(at);
                if self.token.expiry_action() == ExpiryAction::Delete {
                    self.delete_secret()
                } else {
                    Effect::Nothing
                }
            }
        };
        Some((effect, outcome::expired(self.token, &self.status, expired)))
    }

    /// When the token expired, if nothing in its spec asks for a new credential since.
    ///
    /// Judged by what is recorded, not by the clock: a clock that goes back does not revive what has expired.
    pub(super) fn expired_for_good(&self) -> Option<Timestamp> {
        if in_state(&self.status, CredentialState::Active).is_some()
            || self.token.expiry_action() == ExpiryAction::Rotate
        {
            return None;
        }
        let grant = self.status.grant.as_ref()?;
        // A new credential would be dead on arrival, whatever asks for it.
        let fixed = grant
            .expiry
            .as_ref()
            .and_then(|expiry| expiry.at.as_ref())
            .map(|at| at.0);
        if let Some(past) = fixed.filter(|&at| at <= self.now) {
            return Some(past);
        }
        let expired = self.status.expires_at.as_ref()?.0;
        let issued = self.status.issued_at.as_ref()?.0;
        let asked = timing::end(grant, issued);
        let moved_on = asked.is_none_or(|asked| asked > expired && asked > self.now);
        (!moved_on && !self.triggered(self.last_trigger())).then_some(expired)
    }
}
