//! What of all tokens together somebody should know who looks after the cluster.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::api::{
    ApiToken, ApiTokenStatus, CredentialState, ExpiryAction,
    condition::{self, READY, Reason},
};
use crate::domain::{lifecycle::in_state, policy};

/// A token counts as expiring when it ends within this time.
const EXPIRING: SignedDuration = SignedDuration::from_hours(24);
/// How late a rotation may be before it counts as overdue.
const GRACE: SignedDuration = SignedDuration::from_mins(5);
/// Why a token is kept from working on purpose; so is one of which a policy refuses what it has. Nothing is replaced meanwhile.
const HELD: [Reason; 8] = [
    Reason::Suspended,
    Reason::OrganisationSuspended,
    Reason::OrganisationNotFound,
    Reason::NamespaceNotAllowed,
    Reason::MemberRemoved,
    Reason::IssuanceDenied,
    Reason::Idle,
    Reason::PolicyUnreadable,
];

/// Counts of tokens, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// By the reason of Ready; those that have not been judged yet are left out.
    pub by_reason: BTreeMap<String, u64>,
    /// Those that work, end within a day and are not replaced before.
    pub expiring: u64,
    /// Those whose credential should have been replaced some minutes ago, also when it has ended meanwhile; not those that
    /// are kept from working on purpose.
    pub overdue: u64,
    /// Those that [violate](policy::is_violating) policies.
    pub violating: u64,
}

/// Looks at `tokens` at this moment.
pub fn outlook<'a>(tokens: impl Iterator<Item = &'a ApiToken>, now: Timestamp) -> Outlook {
    let mut outlook = Outlook::default();
    let within = |at: Timestamp, time: SignedDuration| at.duration_since(now) <= time;
    for token in tokens.filter(|token| token.metadata.deletion_timestamp.is_none()) {
        let Some(status) = &token.status else { continue };
        let Some(ready) = condition::find(&status.conditions, READY) else {
            continue;
        };
        *outlook.by_reason.entry(ready.reason.clone()).or_default() += 1;
        outlook.violating += u64::from(policy::is_violating(status));
        let ends = status
            .expires_at
            .as_ref()
            .filter(|_| ready.status == "True" && token.expiry_action() != ExpiryAction::Rotate);
        outlook.expiring += u64::from(ends.is_some_and(|at| within(at.0, EXPIRING)));
        let held = status.violating || HELD.iter().any(|reason| ready.reason == reason.as_str());
        let late = status.rotates_at.as_ref().is_some_and(|at| within(at.0, -GRACE));
        outlook.overdue += u64::from(!held && (late || ended_unreplaced(token, status)));
    }
    outlook
}

/// Whether a token that rotates had a credential that ended and has no other.
fn ended_unreplaced(token: &ApiToken, status: &ApiTokenStatus) -> bool {
    token.expiry_action() == ExpiryAction::Rotate
        && status.issued_at.is_some()
        && in_state(status, CredentialState::Active).is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-01-10T00:00:00Z";

    fn token(spec: Value, ready: (&str, &str), status: Value) -> ApiToken {
        let mut manifest = json!({
            "apiVersion": "tokenwright.dev/v1alpha1", "kind": "ApiToken", "metadata": { "name": "t" },
            "spec": { "organisation": "acme", "role": "Admin", "expiry": spec },
            "status": { "conditions": [{
                "type": "Ready", "status": ready.0, "reason": ready.1, "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }] },
        });
        let given = status.as_object().unwrap().clone();
        manifest["status"].as_object_mut().unwrap().extend(given);
        serde_json::from_value(manifest).unwrap()
    }

    fn look(tokens: &[ApiToken]) -> Outlook {
        outlook(tokens.iter(), NOW.parse().unwrap())
    }

    #[test]
    fn what_ends_within_a_day_and_is_not_replaced_is_expiring() {
        let good = ("True", "Issued");
        let (soon, later) = (
            json!({ "expiresAt": "2026-01-11T00:00:00Z" }),
            json!({ "expiresAt": "2026-01-11T00:00:01Z" }),
        );
        let brief = json!({ "after": "10d" });
        let rotating = json!({ "after": "10d", "action": "Rotate" });
        for (token, expiring) in [
            (token(brief.clone(), good, soon.clone()), 1),
            (token(brief.clone(), good, later), 0),
            (token(rotating, good, soon.clone()), 0),
            (token(brief, ("False", "Suspended"), soon), 0),
        ] {
            assert_eq!(look(std::slice::from_ref(&token)).expiring, expiring, "{token:?}");
        }
    }

    #[test]
    fn a_rotation_is_overdue_after_some_minutes_whatever_keeps_it() {
        let rotating = json!({ "after": "10d", "action": "Rotate" });
        let due = |at: &str| json!({ "rotatesAt": at });
        for (ready, at, overdue) in [
            (("True", "Issued"), "2026-01-09T23:55:00Z", 1),
            (("True", "Issued"), "2026-01-09T23:55:01Z", 0),
            (("False", "SecretConflict"), "2026-01-09T12:00:00Z", 1),
            (("False", "PolicyViolation"), "2026-01-09T12:00:00Z", 1),
            (("False", "Suspended"), "2026-01-09T12:00:00Z", 0),
            (("False", "OrganisationSuspended"), "2026-01-09T12:00:00Z", 0),
        ] {
            let token = token(rotating.clone(), ready, due(at));
            assert_eq!(look(&[token]).overdue, overdue, "{ready:?} {at}");
        }
    }

    #[test]
    fn a_rotation_that_did_not_come_before_the_end_stays_overdue() {
        let rotating = json!({ "after": "10d", "action": "Rotate" });
        let dead = |violating: bool| {
            json!({
                "issuedAt": "2026-01-01T00:00:00Z", "expiresAt": "2026-01-09T23:59:00Z", "violating": violating,
                "credentials": [{
                    "id": 1, "digest": "", "state": "Retired", "issuedAt": "2026-01-01T00:00:00Z",
                    "retiredAt": "2026-01-09T23:59:00Z",
                }],
            })
        };
        for (reason, violating, overdue) in [
            ("SecretConflict", false, 1),
            ("SecretAccessDenied", false, 1),
            // What it has is allowed, and only what it asks for is not.
            ("PolicyViolation", false, 1),
            ("PolicyViolation", true, 0),
            ("PolicyUnreadable", false, 0),
            ("Suspended", false, 0),
            ("OrganisationSuspended", false, 0),
            ("OrganisationNotFound", false, 0),
            ("NamespaceNotAllowed", false, 0),
            ("MemberRemoved", false, 0),
        ] {
            let token = token(rotating.clone(), ("False", reason), dead(violating));
            assert_eq!(look(&[token]).overdue, overdue, "{reason}");
        }
        for other in [
            json!({ "after": "10d" }),
            json!({ "at": "2026-01-09T23:59:00Z", "action": "Retain" }),
        ] {
            let token = token(other, ("False", "Expired"), dead(false));
            assert_eq!(look(&[token]).overdue, 0);
        }
        let never = token(rotating, ("False", "SecretConflict"), json!({}));
        assert_eq!(look(&[never]).overdue, 0);
    }

    /// What an organisation's status and the metrics call violating is one thing.
    #[test]
    fn a_token_is_violating_where_an_enforced_policy_refuses_what_it_has_or_asks_for() {
        let compliance = |status: &str, reason: &str| {
            json!({
                "type": "PolicyCompliant", "status": status, "reason": reason, "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        for (ready, compliance, violating) in [
            (("True", "Issued"), None, 0),
            (("True", "Issued"), Some(compliance("True", "Compliant")), 0),
            // It works with what it had before its spec was changed.
            (("True", "Issued"), Some(compliance("False", "PolicyViolation")), 1),
            // It was refused from the first.
            (
                ("False", "PolicyViolation"),
                Some(compliance("False", "PolicyViolation")),
                1,
            ),
            (
                ("False", "PolicyUnreadable"),
                Some(compliance("False", "PolicyUnreadable")),
                0,
            ),
        ] {
            let mut token = token(json!({}), ready, json!({}));
            let case = format!("{ready:?} {compliance:?}");
            let conditions = &mut token.status.as_mut().unwrap().conditions;
            conditions.extend(compliance.map(|compliance| serde_json::from_value(compliance).unwrap()));
            let organisation = crate::api::OrganisationSpec::default();
            let counted = crate::domain::counts::count([&token].into_iter(), &organisation, NOW.parse().unwrap());
            assert_eq!(look(std::slice::from_ref(&token)).violating, violating, "{case}");
            assert_eq!(u64::from(counted.0.violating), violating, "{case}");
        }
    }

    #[test]
    fn tokens_are_told_by_their_reasons_but_for_those_that_go() {
        let mut going = token(json!({}), ("True", "Issued"), json!({}));
        going.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            NOW.parse().unwrap(),
        ));
        let mut unjudged = token(json!({}), ("True", "Issued"), json!({}));
        unjudged.status = None;
        let tokens = [
            token(json!({}), ("True", "Issued"), json!({})),
            token(json!({}), ("True", "Issued"), json!({})),
            token(json!({}), ("False", "PolicyViolation"), json!({})),
            going,
            unjudged,
        ];
        let expected = Outlook {
            by_reason: BTreeMap::from([("Issued".to_owned(), 2), ("PolicyViolation".to_owned(), 1)]),
            ..Outlook::default()
        };
        assert_eq!(look(&tokens), expected);
    }
}
