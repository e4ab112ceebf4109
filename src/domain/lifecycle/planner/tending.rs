//! Keeping a settled token in order.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Planner, TROUBLE_RETRY_SECONDS, refused};
use crate::{
    api::{Credential, CredentialState, Delivery},
    domain::lifecycle::{Effect, Notice, Progress, SecretFact, WorkloadFact, in_state, timing},
};

impl Planner<'_> {
    /// Keeps a settled token in order: its Secret as it should be, shown once where asked, its workloads restarted.
    pub(super) fn tend(&mut self) -> Effect {
        let Some(current) = in_state(&self.status, CredentialState::Active).cloned() else {
            return Effect::Nothing;
        };
        if let SecretFact::Owned { intact, .. } = &self.facts.secret {
            if self.is_shown_long_enough() {
                return Effect::DeleteSecret;
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

    /// Whether a Secret that is shown once was claimed, or nobody did in time.
    pub(super) fn is_shown_long_enough(&mut self) -> bool {
        let SecretFact::Owned { claimed, .. } = &self.facts.secret else {
            return false;
        };
        let Some(current) = in_state(&self.status, CredentialState::Active) else {
            return false;
        };
        if self.token.delivery() != Delivery::Once {
            return false;
        }
        let end = timing::claim_ends(self.token, current);
        let claimed = *claimed;
        self.look_again_at(Some(end).filter(|&end| end > self.now));
        claimed || end <= self.now
    }

    /// Whether there is nothing left to be put into a Secret: the token was shown, and no new one is asked for.
    pub(super) fn was_shown(&self) -> bool {
        self.token.delivery() == Delivery::Once
            && in_state(&self.status, CredentialState::Pending).is_none()
            && in_state(&self.status, CredentialState::Active)
                .is_some_and(|current| !self.triggered(current.trigger.as_deref()))
    }

    /// Stamps workloads, waits for their rollouts, then lets the replaced credential go.
    pub(super) fn follow_restarts(&mut self, current: &Credential, workloads: &[WorkloadFact]) -> Effect {
        let wanted: Vec<_> = workloads
            .iter()
            .filter(|fact| fact.progress == Progress::Unstamped)
            .map(|fact| fact.workload.clone())
            .collect();
        if !wanted.is_empty() {
            return Effect::Restart(wanted);
        }
        let unknown = workloads.iter().find_map(|fact| match &fact.progress {
            Progress::Unknown { why } => Some(why),
            _ => None,
        });
        if let Some(why) = unknown {
            self.trouble = Some(refused(why));
        }
        let rolling_out = workloads.iter().any(|fact| fact.progress == Progress::RollingOut);
        if rolling_out {
            let pause = timing::rollout_pause(current, self.now);
            self.look_again_at(self.now.checked_add(pause).ok());
        }
        if unknown.is_some() {
            self.look_again_in(TROUBLE_RETRY_SECONDS);
        }
        if rolling_out || unknown.is_some() {
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
            } else if credential.state == CredentialState::Retiring {
                let end = timing::overlap_ends(self.token, &grant, credential, current, current.issued_at.0);
                let end = end.map(|end| Time(end.max(self.now)));
                credential.retired_at = [credential.retired_at.take(), end].into_iter().flatten().min();
            }
        }
        self.retire_what_ended();
        Effect::Nothing
    }
}
