//! What a status records of the credentials that there were.

use crate::api::{
    ApiToken, ApiTokenStatus, Credential, CredentialState, ExpiryAction,
    condition::{self, POLICY_COMPLIANT},
};

/// What PolicyCompliant says where there is nothing to say.
pub(super) const ALL_POLICIES_MET: &str = "Every policy that selects the token is met.";

/// Whether a policy refuses something about the token, or warns of it. That it is idle may be among it, and a use ends that.
pub fn is_flagged(status: &ApiTokenStatus) -> bool {
    let told = condition::find(&status.conditions, POLICY_COMPLIANT);
    status.violating || told.is_some_and(|told| told.message != ALL_POLICIES_MET)
}

/// The credential in that state with the highest id.
pub(in crate::domain) fn in_state(status: &ApiTokenStatus, state: CredentialState) -> Option<&Credential> {
    status
        .credentials
        .iter()
        .filter(|credential| credential.state == state)
        .max_by_key(|credential| credential.id)
}

/// The trigger of the last credential that was current.
pub(in crate::domain) fn last_trigger(status: &ApiTokenStatus) -> Option<&str> {
    status
        .credentials
        .iter()
        .filter(|credential| credential.state != CredentialState::Pending)
        .max_by_key(|credential| credential.id)
        .and_then(|credential| credential.trigger.as_deref())
}

/// Whether the spec asks for another credential than one that was issued under the trigger `known`.
pub(in crate::domain) fn is_triggered(token: &ApiToken, known: Option<&str>) -> bool {
    let rotation = token.spec.rotation.as_ref();
    let asked = rotation.and_then(|rotation| rotation.trigger.as_deref());
    asked.is_some() && asked != known
}

/// Whether the token's last credential ended in time and none is on its way. One that rotates is about to have another.
pub(in crate::domain) fn has_expired(token: &ApiToken) -> bool {
    let live = |status| {
        let states = [CredentialState::Pending, CredentialState::Active];
        states.into_iter().any(|state| in_state(status, state).is_some())
    };
    let issued = token.status.as_ref().filter(|status| status.issued_at.is_some());
    token.expiry_action() != ExpiryAction::Rotate && issued.is_some_and(|status| !live(status))
}
