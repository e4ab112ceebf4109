//! Telling people that more tokens violate a policy: once for many, as a policy can be violated by thousands at once.

use jiff::{SignedDuration, Timestamp};

use super::Survey;
use crate::{
    api::{Enforcement, TokenPolicy, condition::Reason},
    domain::lifecycle::Notice,
};

/// How long it is quiet about a policy after it was told of. What comes up meanwhile is told then, all at once.
const QUIET: SignedDuration = SignedDuration::from_mins(5);

/// What was told of a policy last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// How many tokens violated it; less, when it has become less since.
    violating: u32,
    at: Timestamp,
}

/// What to say now that this was found, what was told with that, and when there is something to say at the latest.
///
/// `told` is None where nothing was told yet, or it is not known any more: then what the policy's status says was told.
pub fn rise(
    policy: &TokenPolicy,
    survey: &Survey,
    told: Option<Told>,
    now: Timestamp,
) -> (Option<Notice>, Option<Told>, Option<Timestamp>) {
    let violating = survey.tokens.violating;
    let before = policy.status.as_ref().and_then(|status| status.tokens.as_ref());
    let known = told.map_or(before.map_or(0, |before| before.violating), |told| told.violating);
    if violating <= known {
        let told = told.map(|told| Told { violating, ..told });
        return (None, told, None);
    }
    // A clock that was set back is no reason to be quiet for longer.
    let quiet_until = told.filter(|told| told.at <= now).map(|told| told.at + QUIET);
    if let Some(until) = quiet_until.filter(|until| *until > now) {
        return (None, told, Some(until));
    }
    let notice = Notice::warning(
        Reason::PolicyViolation.as_str(),
        message(policy, survey, violating - known),
    );
    (Some(notice), Some(Told { violating, at: now }), None)
}

fn message(policy: &TokenPolicy, survey: &Survey, more: u32) -> String {
    let violating = survey.tokens.violating;
    let (tokens, violate) = if violating == 1 {
        ("token", "violates")
    } else {
        ("tokens", "violate")
    };
    let mut message = format!("{violating} {tokens} {violate} this policy");
    if more < violating {
        message += &format!(", {more} more than before");
    }
    if policy.spec.enforcement == Enforcement::Warn {
        message += "; it only warns, so they go on working";
    }
    if let Some(first) = survey.violations.first() {
        message += &format!(". The first is {}/{}: {}", first.namespace, first.name, first.message);
    }
    message
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{PolicyCounts, ViolatingToken};

    const NOW: &str = "2026-01-10T00:00:00Z";

    fn at(seconds: i64) -> Timestamp {
        NOW.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
    }

    fn policy(violating: Option<u32>, enforcement: &str) -> TokenPolicy {
        let counts = violating.map(|violating| json!({ "tokens": { "matched": 10_000, "violating": violating } }));
        serde_json::from_value(json!({
            "apiVersion": "tokenwright.dev/v1alpha1", "kind": "TokenPolicy", "metadata": { "name": "p" },
            "spec": { "enforcement": enforcement }, "status": counts,
        }))
        .unwrap()
    }

    fn survey(violating: u32) -> Survey {
        Survey {
            tokens: PolicyCounts {
                matched: 10_000,
                violating,
            },
            violations: vec![ViolatingToken {
                namespace: "shop".to_owned(),
                name: "web".to_owned(),
                message: "Policy p requires an end (expiry.required).".to_owned(),
            }],
        }
    }

    #[test]
    fn a_burst_is_told_at_its_beginning_and_as_a_whole_when_it_was_quiet_for_long_enough() {
        let policy = policy(None, "Enforce");
        let (mut told, mut said) = (None, Vec::new());
        for second in 0..600 {
            let violating = 1 + u32::try_from(second).unwrap().min(400);
            let (notice, known, _) = rise(&policy, &survey(violating), told, at(second));
            told = known;
            said.extend(notice.map(|notice| (second, notice.reason, notice.message)));
        }
        let first = "The first is shop/web: Policy p requires an end (expiry.required).";
        let expected = [
            (0, "PolicyViolation", format!("1 token violates this policy. {first}")),
            (
                300,
                "PolicyViolation",
                format!("301 tokens violate this policy, 300 more than before. {first}"),
            ),
        ];
        assert_eq!(said, expected);
        let (notice, _, later) = rise(&policy, &survey(401), told, at(599));
        assert_eq!((notice, later), (None, Some(at(600))));
    }

    #[test]
    fn what_was_mended_is_told_when_it_comes_again() {
        let policy = policy(None, "Enforce");
        let (_, told, _) = rise(&policy, &survey(5), None, at(0));
        let (notice, told, later) = rise(&policy, &survey(2), told, at(600));
        assert_eq!((notice, later), (None, None));
        let (notice, ..) = rise(&policy, &survey(5), told, at(700));
        assert!(
            notice
                .unwrap()
                .message
                .starts_with("5 tokens violate this policy, 3 more")
        );
    }

    #[test]
    fn a_restart_tells_nothing_that_the_status_knows() {
        let known = policy(Some(7), "Enforce");
        assert_eq!(rise(&known, &survey(7), None, at(0)), (None, None, None));
        assert!(rise(&known, &survey(8), None, at(0)).0.is_some());
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_keep_it_quiet() {
        let policy = policy(None, "Enforce");
        let (_, told, _) = rise(&policy, &survey(1), None, at(7200));
        assert!(rise(&policy, &survey(2), told, at(0)).0.is_some());
    }

    #[test]
    fn of_a_policy_that_only_warns_it_is_said_that_nothing_stops() {
        let (notice, ..) = rise(&policy(None, "Warn"), &survey(2), None, at(0));
        let message = notice.unwrap().message;
        assert!(
            message.starts_with("2 tokens violate this policy; it only warns, so they go on working. The first is"),
            "{message}"
        );
    }
}
