//! What policies make of a token: what it is not granted, what it may not go on with, how long it may live.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Planner;
use crate::{
    api::{
        CredentialState, Duration, Grant, GrantedExpiry,
        condition::{self, Finding, POLICY_COMPLIANT, Reason},
    },
    domain::{
        admission::{Refusal, Verdict},
        lifecycle::{ALL_POLICIES_MET, timing},
        policy::{self, Candidate, Stage, Violation},
    },
};

/// More would flood the condition; they are told once these are mended.
const MOST_TOLD: usize = 5;

impl Planner<'_> {
    /// What policies leave of the organisation's verdict. They never make it milder.
    ///
    /// A request that they refuse leaves the token what it has, as far as they let that stand.
    pub(super) fn judge_by_policies(&mut self, verdict: Verdict) -> Verdict {
        let (verdict, compliance) = match self.facts.policies {
            [] => {
                self.status.violating = false;
                (verdict, None)
            }
            _ => self.judge_by_known_policies(verdict),
        };
        let (verdict, compliance) = match self.facts.unreadable_policy {
            Some(name) => judge_by_unreadable_policy(name, verdict, compliance),
            None => (verdict, compliance),
        };
        // What is granted takes the place of what stood there.
        self.status.violating &= !matches!(verdict, Verdict::Granted(_));
        // Once, as a condition that is set twice has changed even if it is what it was.
        match compliance {
            None => condition::remove(&mut self.status.conditions, POLICY_COMPLIANT),
            Some(finding) => {
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
        verdict
    }

    fn judge_by_known_policies(&mut self, verdict: Verdict) -> (Verdict, Option<Finding>) {
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
        self.status.violating = standing.as_ref().is_some_and(|standing| !standing.is_compliant());
        let compliance = asked.as_ref().or(standing.as_ref()).map(compliance);
        (self.stricter(verdict, asked, standing), compliance)
    }

    fn by_policies(&mut self, rights: &Grant, stage: Stage<'_>) -> policy::Verdict {
        let candidate = Candidate {
            token: self.token,
            status: &self.status,
            organisation: self.facts.organisation,
            older: self.facts.older,
        };
        let verdict = candidate.judge(self.facts.policies, rights, stage, self.now);
        self.look_again_at(verdict.next);
        verdict
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
            let has_end = known.is_some() || grant.asks_for_an_end();
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
        let limit = self.limits.lifetime(grant.asks_for_an_end());
        set_limit(&mut grant, limit);
        grant
    }
}

/// What cannot be read cannot be judged by, and may forbid anything: nothing is issued, replaced or granted meanwhile.
/// Nothing is deleted either, so that all is as before when it is corrected.
fn judge_by_unreadable_policy(name: &str, verdict: Verdict, compliance: Option<Finding>) -> (Verdict, Option<Finding>) {
    let refusal = Refusal {
        reason: Reason::PolicyUnreadable,
        message: format!(
            "TokenPolicy {name:?} cannot be read, and it may be for this token: nothing is issued or replaced until it is \
             corrected or deleted. 'kubectl describe tpol {name}' says what is wrong with it."
        ),
    };
    let unknown = Finding::no(refusal.reason, refusal.message.clone());
    let compliance = compliance.filter(|known| !known.holds).unwrap_or(unknown);
    let verdict = match verdict {
        Verdict::Granted(_) | Verdict::Refused(_) => Verdict::Held(refusal),
        Verdict::Held(_) | Verdict::Revoked(_) => verdict,
    };
    (verdict, Some(compliance))
}

fn compliance(judged: &policy::Verdict) -> Finding {
    let told = |found: &[Violation]| {
        let messages: Vec<&str> = found
            .iter()
            .take(MOST_TOLD)
            .map(|violation| &*violation.message)
            .collect();
        messages.join(" ")
    };
    match judged.violations.first() {
        Some(first) => Finding::no(refusal(first).reason, told(&judged.violations)),
        None if judged.warnings.is_empty() => Finding::yes(Reason::Compliant, ALL_POLICIES_MET),
        None => Finding::yes(
            Reason::Compliant,
            format!(
                "Every policy that is enforced is met. Those that only warn would refuse it: {}",
                told(&judged.warnings)
            ),
        ),
    }
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
    Refusal {
        reason: violation.field.into(),
        message: violation.message.clone(),
    }
}
