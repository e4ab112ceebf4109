//! The stages of one plan, in their order.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    Effect, Facts, Mint, Notice, Plan, Progress, SecretFact, WorkloadFact,
    outcome::{self, in_state},
    timing,
};
use crate::{
    api::{
        ApiToken, ApiTokenStatus, Credential, CredentialState, Delivery, ExpiryAction, Grant,
        condition::{Finding, Reason},
    },
    domain::admission::{self, Verdict},
};

/// How soon a Secret that stands in the way is looked at again: nothing announces its going, as it is not watched.
const CONFLICT_RETRY_SECONDS: i64 = 30;
/// How soon a rollout is looked at again: workloads are not watched either.
const ROLLOUT_RETRY_SECONDS: i64 = 5;

pub(super) struct Planner<'a> {
    token: &'a ApiToken,
    facts: &'a Facts<'a>,
    now: Timestamp,
    status: ApiTokenStatus,
    notices: Vec<Notice>,
    next: Option<Timestamp>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(token: &'a ApiToken, facts: &'a Facts<'a>, now: Timestamp) -> Self {
        let status = token.status.clone().unwrap_or_default();
        Self {
            token,
            facts,
            now,
            status,
            notices: Vec::new(),
            next: None,
        }
    }

    pub(super) fn run(mut self) -> Plan {
        if self.token.metadata.deletion_timestamp.is_some() {
            let status = self.token.status.clone().unwrap_or_default();
            return Plan {
                status,
                effect: Effect::Nothing,
                notices: Vec::new(),
                next: None,
            };
        }
        self.activate_what_the_secret_holds();
        // Before anything is granted: what has expired is not revived by a lifetime that was lengthened too late.
        self.retire_what_ended();
        let verdict = admission::judge(self.token, self.facts.organisation, self.facts.labels);
        if let Verdict::Granted(grant) = &verdict {
            self.accept(grant.clone());
        }
        self.retire_what_ended();

        let (effect, mut ready) = match verdict {
            Verdict::Revoked(refusal) => (self.revoke(), Finding::no(refusal.reason, refusal.message)),
            Verdict::Held(refusal) => {
                self.drop_pending();
                let effect = self.clean_up_if_expired().map_or(Effect::Nothing, |(effect, _)| effect);
                (effect, Finding::no(refusal.reason, refusal.message))
            }
            Verdict::Refused(refusal) if self.status.grant.is_none() => {
                (Effect::Nothing, Finding::no(refusal.reason, refusal.message))
            }
            Verdict::Refused(refusal) => {
                let message = format!("{} Until then the token keeps the rights it had.", refusal.message);
                (self.carry_on().0, Finding::no(refusal.reason, message))
            }
            Verdict::Granted(_) => self.carry_on(),
        };
        if let Some(why) = self.facts.denied.filter(|_| effect != Effect::Nothing) {
            ready = self.denied(why);
        }
        self.finish(effect, &ready)
    }

    /// The third write: what the Secret holds becomes the current credential, and the one before it gives way.
    fn activate_what_the_secret_holds(&mut self) {
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
        let replaces = self.status.issued_at.is_some();
        let restarting = replaces && !self.token.restarts().is_empty();
        self.status.credentials[at].state = CredentialState::Active;
        self.status.credentials[at].restarting = restarting;
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
            replaced.retired_at = if restarting { None } else { end.map(Time) };
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

    /// Takes over what the organisation grants. A changed lifetime moves the current credential's expiry.
    fn accept(&mut self, grant: Grant) {
        let changed = self
            .status
            .grant
            .as_ref()
            .is_some_and(|known| known.expiry != grant.expiry);
        if changed && let Some(at) = self.position(|credential| credential.state == CredentialState::Active) {
            let current = &mut self.status.credentials[at];
            current.expires_at = timing::end(&grant, current.issued_at.0).map(Time);
        }
        self.status.grant = Some(grant);
    }

    /// Time alone ends credentials, and what it ended stays ended whatever the clock says later.
    fn retire_what_ended(&mut self) {
        for credential in &mut self.status.credentials {
            let ended = timing::stops_at(credential).filter(|&end| end <= self.now);
            if let Some(end) = ended
                && credential.state != CredentialState::Retired
            {
                retire(credential, end);
            }
        }
    }

    fn revoke(&mut self) -> Effect {
        self.drop_pending();
        let was_active = in_state(&self.status, CredentialState::Active).is_some();
        for credential in &mut self.status.credentials {
            if credential.state != CredentialState::Retired {
                retire(credential, self.now);
            }
        }
        if was_active {
            // As if never issued: when the member comes back, a new credential is.
            self.status.issued_at = None;
            self.status.expires_at = None;
            self.status.masked_token = None;
        }
        self.delete_secret()
    }

    /// The life of a token that is granted what it has.
    fn carry_on(&mut self) -> (Effect, Finding) {
        if let SecretFact::Foreign { controller } = &self.facts.secret {
            self.drop_pending();
            self.look_again_in(CONFLICT_RETRY_SECONDS);
            return (Effect::Nothing, self.conflict(controller.as_deref()));
        }
        if let Some(settled) = self.clean_up_if_expired() {
            self.drop_pending();
            return settled;
        }
        let pending = in_state(&self.status, CredentialState::Pending).map(|credential| credential.id);
        if let Some(id) = pending.filter(|&id| self.facts.minted == Some(id)) {
            return (Effect::WriteSecret { id }, self.working());
        }
        self.drop_pending();
        if let Some(why) = self.reason_to_issue() {
            return self.issue(why);
        }
        (self.tend(), self.working())
    }

    /// Deletes what an expired token leaves behind. None: the token has not expired for good.
    fn clean_up_if_expired(&mut self) -> Option<(Effect, Finding)> {
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
        Some((effect, outcome::expired(self.token, expired)))
    }

    /// When the token expired, if nothing in its spec asks for a new credential since.
    ///
    /// Judged by what is recorded, not by the clock: a clock that goes back does not revive what has expired.
    fn expired_for_good(&self) -> Option<Timestamp> {
        let expired = self.status.expires_at.as_ref()?.0;
        let issued = self.status.issued_at.as_ref()?.0;
        if in_state(&self.status, CredentialState::Active).is_some()
            || self.token.expiry_action() == ExpiryAction::Rotate
            || self.triggered(self.last_trigger())
        {
            return None;
        }
        let asked = self
            .status
            .grant
            .as_ref()
            .map_or(Some(expired), |grant| timing::end(grant, issued));
        let moved_on = asked.is_none_or(|asked| asked > expired && asked > self.now);
        (!moved_on).then_some(expired)
    }

    /// Why a new credential is due now, as a notice says it; None: it is not.
    fn reason_to_issue(&self) -> Option<Issue> {
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
    fn issue(&mut self, why: Issue) -> (Effect, Finding) {
        let grant = self.status.grant.clone().unwrap_or_default();
        let expires_at = timing::end(&grant, self.now);
        if let Some(end) = expires_at.filter(|&end| end <= self.now) {
            let message = format!("spec.expiry.at {end} has passed, so no token is issued. Give a time in the future.");
            return (self.delete_secret(), Finding::no(Reason::Expired, message));
        }
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
        // At most one replaced credential works at a time: the one that is still giving way goes when a third comes.
        for credential in &mut self.status.credentials {
            if credential.state == CredentialState::Retiring {
                retire(credential, self.now);
            }
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

    /// Keeps a settled token in order: its Secret as it should be, shown once where asked, its workloads restarted.
    fn tend(&mut self) -> Effect {
        let Some(current) = in_state(&self.status, CredentialState::Active).cloned() else {
            return Effect::Nothing;
        };
        if let SecretFact::Owned { intact, claimed, .. } = &self.facts.secret {
            if self.token.delivery() == Delivery::Once {
                let end = timing::claim_ends(self.token, &current);
                if *claimed || end <= self.now {
                    return Effect::DeleteSecret;
                }
                self.look_again_at(Some(end));
            }
            if !intact {
                return Effect::RepairSecret { id: current.id };
            }
        }
        match self.facts.workloads {
            Some(workloads) if current.restarting => self.follow_restarts(&current, workloads),
            _ => Effect::Nothing,
        }
    }

    /// Stamps workloads, waits for their rollouts, then lets the replaced credential go.
    fn follow_restarts(&mut self, current: &Credential, workloads: &[WorkloadFact]) -> Effect {
        let wanted: Vec<_> = workloads
            .iter()
            .filter(|fact| fact.progress == Progress::Unstamped)
            .map(|fact| fact.workload.clone())
            .collect();
        if !wanted.is_empty() {
            return Effect::Restart(wanted);
        }
        if workloads.iter().any(|fact| fact.progress == Progress::RollingOut) {
            self.look_again_in(ROLLOUT_RETRY_SECONDS);
            return Effect::Nothing;
        }
        for missing in workloads.iter().filter(|fact| fact.progress == Progress::Missing) {
            let (kind, name) = (missing.workload.kind, &missing.workload.name);
            self.notices.push(Notice::warning(
                "WorkloadNotFound",
                format!("There is no {kind:?} {name:?} to restart; correct spec.rotation.restart or create it."),
            ));
        }
        let grant = self.status.grant.clone().unwrap_or_default();
        for credential in &mut self.status.credentials {
            if credential.id == current.id {
                credential.restarting = false;
            } else if credential.state == CredentialState::Retiring && credential.retired_at.is_none() {
                let end = timing::overlap_ends(self.token, &grant, credential, current, current.issued_at.0);
                credential.retired_at = end.map(|end| Time(end.max(self.now)));
            }
        }
        self.retire_what_ended();
        Effect::Nothing
    }

    fn finish(mut self, effect: Effect, ready: &Finding) -> Plan {
        self.prune_history();
        self.look_again_at_what_is_coming();
        outcome::summarise(self.token, &mut self.status);
        let ready = if ready.holds { self.working() } else { ready.clone() };
        let refusal = outcome::conclude(self.token, &mut self.status, &ready, self.now);
        self.notices.extend(refusal);
        Plan {
            status: self.status,
            effect,
            notices: self.notices,
            next: self.next,
        }
    }

    fn look_again_at_what_is_coming(&mut self) {
        let grant = self.status.grant.clone().unwrap_or_default();
        let times: Vec<Timestamp> = self
            .status
            .credentials
            .iter()
            .filter(|credential| credential.state != CredentialState::Retired)
            .flat_map(|credential| {
                let due = (credential.state == CredentialState::Active)
                    .then(|| timing::rotates_at(self.token, &grant, credential))
                    .flatten();
                [timing::stops_at(credential), due]
            })
            .flatten()
            .chain(self.token.spec.not_before.as_ref().map(|at| at.0))
            .filter(|&at| at > self.now)
            .collect();
        for at in times {
            self.look_again_at(Some(at));
        }
    }

    /// Keeps the last few retired credentials, so that their reuse can be told from a guess.
    fn prune_history(&mut self) {
        let mut retired: Vec<u64> = self
            .status
            .credentials
            .iter()
            .filter(|credential| credential.state == CredentialState::Retired)
            .map(|credential| credential.id)
            .collect();
        retired.sort_unstable_by(|a, b| b.cmp(a));
        // The last one is kept in any case: it remembers the trigger that it was issued under.
        let forgotten = retired.split_off(self.facts.history.max(1).min(retired.len()));
        self.status
            .credentials
            .retain(|credential| !forgotten.contains(&credential.id));
    }

    fn working(&self) -> Finding {
        let shown = self.token.delivery() == Delivery::Once && self.facts.secret == SecretFact::Absent;
        outcome::working(self.token, &self.status, shown, self.now)
    }

    fn conflict(&self, controller: Option<&str>) -> Finding {
        let secret = self.token.secret_name();
        let owner = controller.map_or("nothing controls it".to_owned(), |owner| format!("{owner} controls it"));
        Finding::no(
            Reason::SecretConflict,
            format!(
                "Secret {secret:?} exists and is not this ApiToken's: {owner}. Delete or rename it, or make an ApiToken with another spec.secret.name."
            ),
        )
    }

    fn denied(&self, why: &str) -> Finding {
        let secret = self.token.secret_name();
        let why = why.trim_end_matches('.');
        Finding::no(
            Reason::SecretAccessDenied,
            format!(
                "The API server refused a write of Secret {secret:?}: {why}. It is tried again with pauses of up to 5 minutes."
            ),
        )
    }

    fn delete_secret(&self) -> Effect {
        match self.facts.secret {
            SecretFact::Owned { .. } => Effect::DeleteSecret,
            SecretFact::Absent | SecretFact::Foreign { .. } => Effect::Nothing,
        }
    }

    /// A pending credential whose token nobody holds is of no use to anybody.
    fn drop_pending(&mut self) {
        self.status
            .credentials
            .retain(|credential| credential.state != CredentialState::Pending);
    }

    fn triggered(&self, known: Option<&str>) -> bool {
        let asked = self
            .token
            .spec
            .rotation
            .as_ref()
            .and_then(|rotation| rotation.trigger.as_deref());
        asked.is_some() && asked != known
    }

    /// The trigger of the last credential that was current.
    fn last_trigger(&self) -> Option<&str> {
        self.status
            .credentials
            .iter()
            .filter(|credential| credential.state != CredentialState::Pending)
            .max_by_key(|credential| credential.id)
            .and_then(|credential| credential.trigger.as_deref())
    }

    fn position(&self, wanted: impl Fn(&Credential) -> bool) -> Option<usize> {
        self.status.credentials.iter().position(wanted)
    }

    fn look_again_at(&mut self, at: Option<Timestamp>) {
        self.next = [self.next, at].into_iter().flatten().min();
    }

    fn look_again_in(&mut self, seconds: i64) {
        self.look_again_at(self.now.checked_add(jiff::SignedDuration::from_secs(seconds)).ok());
    }
}

/// Why a credential is to be made.
enum Issue {
    NoneLive,
    Triggered,
    Due,
    SecretDeleted,
    SecretEdited,
}

fn retire(credential: &mut Credential, at: Timestamp) {
    credential.state = CredentialState::Retired;
    credential.retired_at = Some(Time(at));
    credential.restarting = false;
}
