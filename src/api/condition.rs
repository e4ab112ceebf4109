//! Conditions, their reasons, and how one is set.
//!
//! Every type and reason that a user can meet stands in this file.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The token works: it is issued, in time, and nothing refuses it.
pub const READY: &str = "Ready";
/// A credential exists.
pub const ISSUED: &str = "Issued";
/// Nothing will change until somebody changes something (kstatus: the resource has failed).
pub const STALLED: &str = "Stalled";
/// No policy finds anything wrong with what the token asks for and has. Absent while no policy selects it.
pub const POLICY_COMPLIANT: &str = "PolicyCompliant";
/// A credential that has been replaced was presented not long ago. Absent otherwise.
pub const REUSE_DETECTED: &str = "ReuseDetected";

/// The subjects of `spec.assignees`, and nobody else by them, may read the Secret. Absent where there are none.
pub const ASSIGNED: &str = "Assigned";

/// Declares the reasons once, so that none can be missing from [`Reason::ALL`] or be called differently in a condition.
macro_rules! reasons {
    ($($(#[$documentation:meta])* $reason:ident,)*) => {
        /// Why a condition is what it is. The name is what `kubectl get -o wide` shows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$documentation])* $reason,)*
        }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &[Self] = &[$(Self::$reason),*];

            /// The reason as conditions and Events carry it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$reason => stringify!($reason),)*
                }
            }
        }
    };
}

reasons! {
    /// The credential is issued and works.
    Issued,
    /// No credential is issued yet.
    NotIssued,
    /// A new credential took over; the one before still works, or workloads are still restarting.
    Rotating,
    /// The last credential expired.
    Expired,
    /// `notBefore` lies ahead.
    NotYetValid,
    /// `suspended` is set on the token.
    Suspended,
    /// No Organisation of that name.
    OrganisationNotFound,
    /// `suspended` is set on the organisation.
    OrganisationSuspended,
    /// The organisation does not allow its tokens in this namespace.
    NamespaceNotAllowed,
    /// The organisation has no role of that name.
    RoleNotFound,
    /// The organisation has no project of that name.
    ProjectNotFound,
    /// The organisation has no IP filter of that name.
    IpFilterNotFound,
    /// The organisation has a catalogue of permissions and this one is not in it.
    PermissionNotInCatalogue,
    /// The user of a Personal token is not a member.
    NotAMember,
    /// The user of a Personal token was a member and is no longer.
    MemberRemoved,
    /// A policy refuses what the token asks for or has.
    PolicyViolation,
    /// A policy lets no such tokens be issued.
    IssuanceDenied,
    /// Nobody used the token for as long as a policy allows.
    Idle,
    /// A policy that may be for the token cannot be read.
    PolicyUnreadable,
    /// No token can meet what two policies demand.
    PolicyContradiction,
    /// No policy finds anything wrong.
    Compliant,
    /// A Secret of that name exists and is not this token's.
    SecretConflict,
    /// The API server refused a request for the Secret.
    SecretAccessDenied,
    /// The spec cannot be acted on.
    InvalidSpec,
    /// A credential that has been replaced was presented.
    ReuseDetected,
    /// All is well with an Organisation.
    Accepted,
    /// The assignees may read the Secret.
    Assigned,
    /// There is no Secret of the token's own that its assignees could read.
    NothingToRead,
    /// Nobody is meant: the organisation has no members.
    NobodyAssigned,
    /// A role or binding of that name exists and is not the controller's.
    RightsConflict,
    /// The API server refused to let the controller grant, or look at, the rights of members or assignees.
    RightsDenied,
}

impl Reason {
    /// Whether waiting is enough: time or a retry ends this state, nobody has to act.
    pub fn passes_by_itself(self) -> bool {
        matches!(
            self,
            Self::Issued
                | Self::NotIssued
                | Self::Rotating
                | Self::NotYetValid
                | Self::SecretAccessDenied
                | Self::Accepted
                | Self::Compliant
        )
    }
}

/// One condition to be set: its type, whether it holds, why, and what a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `True` or `False`.
    pub holds: bool,
    /// Why.
    pub reason: Reason,
    /// What is wrong and what to change, naming the object; or what is the case.
    pub message: String,
}

impl Finding {
    /// A finding that the condition holds.
    pub fn yes(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            holds: true,
            reason,
            message: message.into(),
        }
    }

    /// A finding that the condition does not hold.
    pub fn no(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            holds: false,
            reason,
            message: message.into(),
        }
    }
}

/// Sets condition `type_` in `conditions`. `lastTransitionTime` moves only when the status flips.
pub fn set(conditions: &mut Vec<Condition>, type_: &str, finding: &Finding, generation: Option<i64>, now: Timestamp) {
    let status = if finding.holds { "True" } else { "False" };
    let existing = conditions.iter().position(|condition| condition.type_ == type_);
    let last_transition_time = existing
        .map(|at| &conditions[at])
        .filter(|condition| condition.status == status)
        .map_or_else(|| Time(now), |condition| condition.last_transition_time.clone());
    let condition = Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: finding.reason.as_str().to_owned(),
        message: finding.message.clone(),
        observed_generation: generation,
        last_transition_time,
    };
    match existing {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

/// Takes the condition of that type out.
pub fn remove(conditions: &mut Vec<Condition>, type_: &str) {
    conditions.retain(|condition| condition.type_ != type_);
}

/// The condition of that type, if it was ever set.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_time_moves_only_when_the_status_flips() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (first, second, third) = (
            at("2026-01-01T00:00:00Z"),
            at("2026-01-02T00:00:00Z"),
            at("2026-01-03T00:00:00Z"),
        );
        let mut conditions = Vec::new();

        set(
            &mut conditions,
            READY,
            &Finding::no(Reason::NotIssued, "a"),
            Some(1),
            first,
        );
        set(
            &mut conditions,
            READY,
            &Finding::no(Reason::Suspended, "b"),
            Some(2),
            second,
        );
        let unflipped = conditions.clone();
        set(
            &mut conditions,
            READY,
            &Finding::yes(Reason::Issued, "c"),
            Some(2),
            third,
        );

        assert_eq!(unflipped[0].last_transition_time, Time(first));
        assert_eq!(
            (unflipped[0].reason.as_str(), unflipped[0].observed_generation),
            ("Suspended", Some(2))
        );
        assert_eq!(conditions[0].last_transition_time, Time(third));
        assert_eq!(conditions.len(), 1);
    }
}
