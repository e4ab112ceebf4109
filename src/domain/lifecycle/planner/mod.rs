//! The stages of one plan, in their order.

mod ending;
mod issuing;
mod policy;
mod reuse;
mod tending;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Effect, Facts, Notice, Plan, SecretFact, in_state, is_triggered, last_trigger, outcome, timing};
use crate::{
    api::{
        ApiToken, ApiTokenStatus, Credential, CredentialState, Delivery, Grant,
        condition::{Finding, Reason},
    },
    domain::{
        admission::{self, Verdict},
        policy::Limits,
        whole_second_from,
    },
};

/// How soon a Secret that stands in the way is looked at again: nothing announces its going, as it is not watched.
const CONFLICT_RETRY_SECONDS: i64 = 30;

/// How soon something that may not be read is tried again.
const TROUBLE_RETRY_SECONDS: i64 = 300;

pub(super) struct Planner<'a> {
    token: &'a ApiToken,
    facts: &'a Facts<'a>,
    now: Timestamp,
    status: ApiTokenStatus,
    notices: Vec<Notice>,
    next: Option<Timestamp>,
    /// What a person should know although the token works.
    trouble: Option<String>,
    /// What policies leave.
    limits: Limits,
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
            trouble: None,
            limits: Limits::default(),
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
        let verdict = self.judge_by_policies(verdict);
        if let Verdict::Granted(grant) = &verdict {
            self.accept(self.within_policy(grant.clone()));
        }
        self.bound_what_gives_way();
        self.retire_what_ended();

        let (effect, mut ready) = match verdict {
            Verdict::Revoked(refusal) => (self.revoke(), Finding::no(refusal.reason, refusal.message)),
            Verdict::Held(refusal) => {
                self.drop_pending();
                let effect = match self.clean_up_if_expired() {
                    Some((effect, _)) => effect,
                    None if self.is_shown_long_enough() => self.delete_secret(),
                    None => Effect::Nothing,
                };
                (effect, Finding::no(refusal.reason, refusal.message))
            }
            Verdict::Refused(refusal) if self.status.grant.is_none() => {
                (Effect::Nothing, Finding::no(refusal.reason, refusal.message))
            }
            Verdict::Refused(refusal) => {
                let message = format!(
                    "{} Until that is corrected, the token keeps the rights it had.",
                    refusal.message
                );
                (self.carry_on().0, Finding::no(refusal.reason, message))
            }
            Verdict::Granted(_) => self.carry_on(),
        };
        if let Some(why) = self.facts.denied {
            match effect {
                Effect::Nothing => {}
                // The token works; it is the workloads that do not have it yet.
                Effect::Restart(_) => self.trouble = Some(refused(why)),
                _ => ready = self.denied(why),
            }
        }
        if matches!(self.facts.secret, SecretFact::Unreadable { .. }) {
            self.look_again_in(TROUBLE_RETRY_SECONDS);
        }
        self.finish(effect, &ready)
    }

    /// Takes over what the organisation grants. A changed lifetime moves the current credential's expiry.
    fn accept(&mut self, grant: Grant) {
        let known = self.status.grant.as_ref();
        if known.is_some_and(|known| known.expiry != grant.expiry) {
            let same_lifetime = known.is_some_and(|known| timing::is_same_lifetime(known, &grant));
            for credential in &mut self.status.credentials {
                let end = timing::end(&grant, credential.issued_at.0);
                let earlier = [credential.expires_at.as_ref().map(|end| end.0), end]
                    .into_iter()
                    .flatten()
                    .min();
                credential.expires_at = match credential.state {
                    CredentialState::Retired => continue,
                    // What gives way is not given more time, and a start that moved gives none either.
                    CredentialState::Retiring => earlier,
                    CredentialState::Pending | CredentialState::Active if same_lifetime => earlier,
                    CredentialState::Pending | CredentialState::Active => end,
                }
                .map(Time);
            }
        }
        self.status.grant = Some(grant);
    }

    /// The life of a token that is granted what it has.
    fn carry_on(&mut self) -> (Effect, Finding) {
        if let Some(settled) = self.clean_up_if_expired() {
            self.drop_pending();
            return settled;
        }
        match &self.facts.secret {
            SecretFact::Unreadable { why } => return (Effect::Nothing, self.denied(why)),
            SecretFact::Foreign { controller } if !self.was_shown() => {
                self.drop_pending();
                self.look_again_in(CONFLICT_RETRY_SECONDS);
                return (Effect::Nothing, self.conflict(controller.as_deref()));
            }
            SecretFact::Owned { deleting: true, .. } => {
                self.drop_pending();
                let secret = self.token.secret_name();
                self.trouble = Some(format!("Secret {secret:?} is being deleted, and a finalizer keeps it."));
                return (Effect::Nothing, self.working());
            }
            SecretFact::Absent | SecretFact::Foreign { .. } | SecretFact::Owned { .. } => {}
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

    fn finish(mut self, effect: Effect, ready: &Finding) -> Plan {
        self.prune_history();
        self.look_again_at_what_is_coming();
        outcome::summarise(self.token, &mut self.status, self.facts.trust_created_by);
        let ready = if ready.holds { self.working() } else { ready.clone() };
        self.report_reuse();
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
        let mut finding = outcome::working(self.token, &self.status, shown, self.now);
        if let Some(trouble) = &self.trouble {
            finding.message = format!("{} {trouble}", finding.message);
        }
        finding
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
        let named = format!("Secret {:?}", self.token.secret_name());
        Finding::no(
            Reason::SecretAccessDenied,
            refused(&why.replacen("the Secret", &named, 1)),
        )
    }

    fn delete_secret(&self) -> Effect {
        match self.facts.secret {
            SecretFact::Owned { deleting: false, .. } => Effect::DeleteSecret,
            // One that is being deleted waits for somebody's finalizer, not for another request.
            _ => Effect::Nothing,
        }
    }

    fn triggered(&self, known: Option<&str>) -> bool {
        is_triggered(self.token, known)
    }

    /// The trigger of the last credential that was current.
    fn last_trigger(&self) -> Option<&str> {
        last_trigger(&self.status)
    }

    fn position(&self, wanted: impl Fn(&Credential) -> bool) -> Option<usize> {
        self.status.credentials.iter().position(wanted)
    }

    /// Plans are made for whole seconds: a moment within one has come for them at its end.
    fn look_again_at(&mut self, at: Option<Timestamp>) {
        self.next = [self.next, at.map(whole_second_from)].into_iter().flatten().min();
    }

    fn look_again_in(&mut self, seconds: i64) {
        self.look_again_at(self.now.checked_add(jiff::SignedDuration::from_secs(seconds)).ok());
    }
}

fn refused(why: &str) -> String {
    format!(
        "The API server refused to {}. It is tried again with pauses of up to 5 minutes.",
        why.trim_end_matches('.')
    )
}

fn retire(credential: &mut Credential, at: Timestamp) {
    credential.state = CredentialState::Retired;
    credential.retired_at = Some(Time(at));
    credential.restarting = false;
}
