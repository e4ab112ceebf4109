//! How many tokens an organisation has, by what became of them.

use jiff::{SignedDuration, Timestamp};

use crate::api::{
    ApiToken, ExpiryAction, Organisation, OrganisationSpec, OrganisationStatus, TokenCounts,
    condition::{self, Finding, READY, Reason},
};
use crate::domain::policy;

/// A token counts as expiring when it ends within this time.
const EXPIRING: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Counts `tokens`, and tells when a count changes by time alone.
pub fn count<'a>(
    tokens: impl Iterator<Item = &'a ApiToken>,
    organisation: &OrganisationSpec,
    now: Timestamp,
) -> (TokenCounts, Option<Timestamp>) {
    let mut counts = TokenCounts::default();
    let mut next: Option<Timestamp> = None;
    for token in tokens.filter(|token| token.metadata.deletion_timestamp.is_none()) {
        counts.total += 1;
        let Some(status) = &token.status else { continue };
        counts.violating += u32::from(policy::is_violating(status));
        let Some(ready) = condition::find(&status.conditions, READY) else {
            continue;
        };
        if organisation.suspended || token.spec.suspended {
            counts.suspended += 1;
        } else if ready.reason == Reason::Expired.as_str() {
            counts.expired += 1;
        } else if ready.status == "True" {
            counts.active += 1;
            let ends = status
                .expires_at
                .as_ref()
                .filter(|_| token.expiry_action() != ExpiryAction::Rotate);
            if let Some(begins) = ends.and_then(|at| at.0.checked_sub(EXPIRING).ok()) {
                if begins <= now {
                    counts.expiring += 1;
                } else {
                    next = Some(next.map_or(begins, |next| next.min(begins)));
                }
            }
        }
    }
    (counts, next)
}

/// The organisation's status with these counts. `ready`: None leaves what it said.
pub fn status(
    organisation: &Organisation,
    counts: TokenCounts,
    ready: Option<&Finding>,
    now: Timestamp,
) -> OrganisationStatus {
    let mut status = organisation.status.clone().unwrap_or_default();
    let generation = organisation.metadata.generation;
    if let Some(ready) = ready {
        condition::set(&mut status.conditions, READY, ready, generation, now);
        status.observed_generation = generation;
    }
    status.tokens = Some(counts);
    status
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(spec: serde_json::Value, ready: &str, reason: &str, expires: Option<&str>) -> ApiToken {
        let mut manifest = json!({ "organisation": "acme", "role": "Admin" });
        manifest
            .as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        serde_json::from_value(json!({
            "apiVersion": "tokenwright.dev/v1alpha1", "kind": "ApiToken", "metadata": { "name": "t" }, "spec": manifest,
            "status": {
                "expiresAt": expires,
                "conditions": [{
                    "type": "Ready", "status": ready, "reason": reason, "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
            },
        }))
        .unwrap()
    }

    #[test]
    fn tokens_are_counted_by_what_became_of_them() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let tokens = [
            token(json!({}), "True", "Issued", None),
            token(
                json!({ "expiry": { "after": "3d" } }),
                "True",
                "Issued",
                Some("2026-01-04T00:00:00Z"),
            ),
            token(
                json!({ "expiry": { "after": "9d" } }),
                "True",
                "Issued",
                Some("2026-01-10T00:00:00Z"),
            ),
            token(
                json!({ "expiry": { "after": "3d", "action": "Rotate" } }),
                "True",
                "Rotating",
                Some("2026-01-04T00:00:00Z"),
            ),
            token(json!({}), "False", "Expired", Some("2025-12-01T00:00:00Z")),
            token(json!({ "suspended": true }), "False", "Suspended", None),
            token(json!({}), "False", "RoleNotFound", None),
        ];
        let (counts, next) = count(tokens.iter(), &OrganisationSpec::default(), now);
        assert_eq!(
            counts,
            TokenCounts {
                total: 7,
                active: 4,
                expiring: 1,
                expired: 1,
                suspended: 1,
                violating: 0
            }
        );
        assert_eq!(next, Some("2026-01-03T00:00:00Z".parse().unwrap()));

        let suspended = OrganisationSpec {
            suspended: true,
            ..OrganisationSpec::default()
        };
        assert_eq!(count(tokens.iter(), &suspended, now).0.suspended, 7);
    }
}
