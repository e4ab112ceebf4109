//! What policies make of a token: what it is not granted, what it may not go on with, how long it may live.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Planner;
use crate::{
    api::{
        CredentialState, Duration, Grant, GrantedExpiry,
        condition::{self, Finding, POLICY_COMPLIANT, Reason},
    },
    domain::{
        admission::{Refusal, Verdict},
        lifecycle::{outcome::in_state, timing},
        permission::Permissions,
        policy::{self, Field, Stage, Subject, Violation},
    },
};

/// More would flood the condition; they are told once these are mended.
const MOST_TOLD: usize = 5;

impl Planner<'_> {
    /// What policies leave of the organisation's verdict. They never make it milder.
    ///
    /// A request that they refuse leaves the token what it has, as far as they let that stand.
    pub(super) fn judge_by_policies(&mut self, verdict: Verdict) -> Verdict {
        if self.facts.policies.is_empty() {
            condition::remove(&mut self.status.conditions, POLICY_COMPLIANT);
            self.status.violating = false;
            return verdict;
        }
        let granted = self.status.grant.clone();
        let asked = match &verdict {
            Verdict::Granted(grant) => Some(self.by_policies(
                grant,
                Stage::Request {
                    granted: granted.as_ref(),
                },
            )),
            Verdict::Refused(_) | Verdict::Held(_) | Verdict::Revoked(_) => None,
        };
        if let Some(limits) = asked.as_ref().map(|asked| asked.limits.clone()) {
            self.limits = limits;
        } else {
            self.limits = self.by_policies(&Grant::default(), Stage::Standing).limits;
        }
        self.shorten();
        let standing = self
            .status
            .grant
            .clone()
            .map(|grant| self.by_policies(&grant, Stage::Standing));
        self.report_compliance(asked.as_ref().or(standing.as_ref()));
        let stands = standing.as_ref().is_none_or(policy::Verdict::is_compliant);
        let verdict = self.stricter(verdict, asked, standing);
        // What is granted takes the place of what stood there.
        self.status.violating = !stands && !matches!(verdict, Verdict::Granted(_));
        verdict
    }

    fn by_policies(&mut self, rights: &Grant, stage: Stage<'_>) -> policy::Verdict {
        let roles = self
            .facts
            .organisation
            .map(|organisation| organisation.effective_roles());
        let role: Permissions = roles
            .iter()
            .flatten()
            .filter(|role| Some(&role.name) == rights.role.as_ref())
            .flat_map(|role| &role.permissions)
            .map(|permission| &**permission)
            .collect();
        let current = in_state(&self.status, CredentialState::Active);
        let subject = Subject {
            type_: self.token.spec.type_,
            rights,
            role: &role,
            issued_at: current.map(|current| current.issued_at.0),
            expires_at: current.and_then(|current| Some(current.expires_at.as_ref()?.0)),
            idle_since: self.idle_since(),
            older: self.facts.older,
        };
        let verdict = policy::judge(self.facts.policies, &subject, stage, self.now);
        self.look_again_at(verdict.next);
        verdict
    }

    /// Since when nobody has used the token. None: a new credential is asked for, there never was one, or it expired.
    fn idle_since(&self) -> Option<Timestamp> {
        // What a policy has ended counts as never issued.
        let expired = self.status.issued_at.is_some() && in_state(&self.status, CredentialState::Active).is_none();
        if expired || self.triggered(self.last_trigger()) {
            return None;
        }
        let issued = self.status.credentials.iter().map(|credential| credential.issued_at.0);
        let used = self.status.last_used.as_ref().map(|seen| seen.at.0);
        issued.chain(used).max()
    }

    fn stricter(&self, verdict: Verdict, asked: Option<policy::Verdict>, standing: Option<policy::Verdict>) -> Verdict {
        let ends = |judged: &Option<policy::Verdict>| judged.as_ref().is_some_and(policy::Verdict::ends_token);
        let worst = |judged: &Option<policy::Verdict>| {
            let judged = judged.as_ref()?;
            judged.violations.first().map(refusal)
        };
        match (verdict, worst(&asked), worst(&standing)) {
            // Nothing but what it asks for is wrong with it, and that is right now.
            (Verdict::Granted(grant), None, _) => Verdict::Granted(grant),
            (Verdict::Revoked(refusal), ..) => Verdict::Revoked(refusal),
            (_, _, Some(refusal)) if ends(&standing) => Verdict::Revoked(refusal),
            (Verdict::Held(refusal), ..) => Verdict::Held(refusal),
            (_, _, Some(refusal)) => Verdict::Held(refusal),
            (_, Some(refusal), None) => Verdict::Refused(refusal),
            (Verdict::Refused(refusal), None, None) => Verdict::Refused(refusal),
        }
    }

    /// Cuts what lives to what policies leave. It stays cut when they are relaxed, as the grant remembers.
    fn shorten(&mut self) {
        if let Some(grant) = &mut self.status.grant {
            let known = grant.expiry.as_ref().and_then(|expiry| expiry.limit.clone());
            let has_end = known.is_some() || asks_for_an_end(grant);
            let left = self.limits.remaining_lifetime(has_end);
            set_limit(grant, [known, left].into_iter().flatten().min());
        }
        for credential in &mut self.status.credentials {
            if credential.state != CredentialState::Retired {
                let end = credential.expires_at.as_ref().map(|end| end.0);
                credential.expires_at = self.limits.clamp(credential.issued_at.0, end).map(Time);
            }
        }
        self.retire_what_ended();
    }

    /// A request's grant with the limit that goes on while the lifetime it asks for is the same.
    pub(super) fn within_policy(&self, mut grant: Grant) -> Grant {
        let known = self.status.grant.as_ref();
        let Some(known) = known.filter(|known| timing::is_same_lifetime(known, &grant)) else {
            return self.limited_anew(grant);
        };
        let limit = known.expiry.as_ref().and_then(|expiry| expiry.limit.clone());
        set_limit(&mut grant, limit);
        grant
    }

    /// A grant for a credential that is yet to be made: what policies left of the one before is no matter.
    pub(super) fn limited_anew(&self, mut grant: Grant) -> Grant {
        let limit = self.limits.lifetime(asks_for_an_end(&grant));
        set_limit(&mut grant, limit);
        grant
    }

    fn report_compliance(&mut self, judged: Option<&policy::Verdict>) {
        let Some(judged) = judged else {
            condition::remove(&mut self.status.conditions, POLICY_COMPLIANT);
            return;
        };
        let told = |found: &[Violation]| {
            let messages: Vec<&str> = found
                .iter()
                .take(MOST_TOLD)
                .map(|violation| &*violation.message)
                .collect();
            messages.join(" ")
        };
        let finding = match judged.violations.first() {
            Some(first) => Finding::no(refusal(first).reason, told(&judged.violations)),
            None if judged.warnings.is_empty() => {
                Finding::yes(Reason::Compliant, "Every policy that selects the token is met.")
            }
            None => Finding::yes(
                Reason::Compliant,
                format!(
                    "Every policy that is enforced is met. Those that only warn would refuse it: {}",
                    told(&judged.warnings)
                ),
            ),
        };
        let generation = self.token.metadata.generation;
        condition::set(
            &mut self.status.conditions,
            POLICY_COMPLIANT,
            &finding,
            generation,
            self.now,
        );
    }
}

fn asks_for_an_end(grant: &Grant) -> bool {
    let expiry = grant.expiry.as_ref();
    expiry.is_some_and(|expiry| expiry.after.is_some() || expiry.at.is_some())
}

fn set_limit(grant: &mut Grant, limit: Option<Duration>) {
    if let Some(expiry) = &mut grant.expiry {
        expiry.limit = limit;
    } else if limit.is_some() {
        grant.expiry = Some(Box::new(GrantedExpiry {
            limit,
            ..GrantedExpiry::default()
        }));
    }
    // A token that asks for nothing and is limited by nothing has no expiry at all.
    if grant.expiry.as_deref() == Some(&GrantedExpiry::default()) {
        grant.expiry = None;
    }
}

fn refusal(violation: &Violation) -> Refusal {
    let reason = match violation.field {
        Field::Issuance => Reason::IssuanceDenied,
        Field::Idle(_) => Reason::Idle,
        _ => Reason::PolicyViolation,
    };
    Refusal {
        reason,
        message: violation.message.clone(),
    }
}
