//! When credentials begin, end and are replaced.

use jiff::{SignedDuration, Timestamp};

use crate::api::{ApiToken, Credential, CredentialState, Duration, ExpiryAction, Grant, SecretOptions};

/// How long a credential works beside its successor when nobody said so and the rotation was not due.
const DEFAULT_OVERLAP_SECONDS: u32 = 3600;
/// How long a credential is used at the least before it is due to be replaced, unless a third of its lifetime is shorter:
/// a renewBefore that leaves it no time would have tokens replaced as fast as the API server takes it.
const SHORTEST_USE_SECONDS: u64 = 10;
/// How long past its overlap a replaced credential works for workloads that do not restart: what a leak costs at the most
/// where a Deployment is paused or crashes, and time for somebody to see to it.
const LONGEST_RESTART_SECONDS: u32 = 24 * 3600;
/// How soon, and how late, a rollout is looked at again: workloads are not watched.
const SHORTEST_ROLLOUT_PAUSE: SignedDuration = SignedDuration::from_secs(5);
const LONGEST_ROLLOUT_PAUSE: SignedDuration = SignedDuration::from_secs(30);

/// When a credential issued at `issued` under `grant` expires, within what policies leave. None: never.
pub(super) fn end(grant: &Grant, issued: Timestamp) -> Option<Timestamp> {
    let limit = grant.expiry.as_ref().and_then(|expiry| expiry.limit.as_ref());
    [asked_end(grant, issued), limit.map(|limit| limit.after(issued))]
        .into_iter()
        .flatten()
        .min()
}

fn asked_end(grant: &Grant, issued: Timestamp) -> Option<Timestamp> {
    let expiry = grant.expiry.as_ref()?;
    let start = expiry
        .not_before
        .as_ref()
        .map_or(issued, |not_before| not_before.0.max(issued));
    match (&expiry.after, &expiry.at) {
        (Some(after), _) => Some(after.after(start)),
        (None, at) => at.as_ref().map(|at| at.0),
    }
}

/// Whether two grants ask for the same time to live, wherever it starts.
pub(super) fn is_same_lifetime(one: &Grant, other: &Grant) -> bool {
    let lifetime = |grant: &Grant| {
        grant
            .expiry
            .clone()
            .map_or((None, None), |expiry| (expiry.after, expiry.at))
    };
    lifetime(one) == lifetime(other)
}

/// When `credential` is due to be replaced. None: only when asked for.
pub(super) fn rotates_at(token: &ApiToken, grant: &Grant, credential: &Credential) -> Option<Timestamp> {
    if token.expiry_action() != ExpiryAction::Rotate {
        return None;
    }
    let after = grant.expiry.as_ref()?.after.as_ref()?;
    let expires_at = credential.expires_at.as_ref()?.0;
    // A policy may have left less than was asked for; a third of that is what then counts.
    let left = expires_at.duration_since(credential.issued_at.0).as_secs();
    let lifetime = after.seconds().min(u64::try_from(left).unwrap_or_default());
    let asked = token
        .spec
        .rotation
        .as_ref()
        .and_then(|rotation| rotation.renew_before.as_ref())
        .map(Duration::seconds);
    // A renewBefore that is no shorter than the lifetime would rotate for ever: it is refused, and not acted on either.
    let before = asked.filter(|&before| before < lifetime).unwrap_or(lifetime / 3);
    let due = expires_at
        .checked_sub(SignedDuration::from_secs(before.cast_signed()))
        .ok()?;
    let soonest = SHORTEST_USE_SECONDS.min(lifetime / 3).cast_signed();
    let soonest = credential.issued_at.0.checked_add(SignedDuration::from_secs(soonest));
    Some(due.max(soonest.unwrap_or(due)))
}

/// How long a replaced credential works beside its successor at most, where its rotation was not due.
pub(super) fn overlap(token: &ApiToken) -> Duration {
    let asked = token
        .spec
        .rotation
        .as_ref()
        .and_then(|rotation| rotation.overlap.clone());
    asked.unwrap_or_else(|| Duration::from_seconds(DEFAULT_OVERLAP_SECONDS))
}

/// When the credential that `current` replaced stops working, counted from `from`; its own expiry bounds it besides.
/// None: only its own expiry does.
pub(super) fn overlap_ends(
    token: &ApiToken,
    grant: &Grant,
    replaced: &Credential,
    current: &Credential,
    from: Timestamp,
) -> Option<Timestamp> {
    let rotation = token.spec.rotation.as_ref();
    let is_said = rotation.is_some_and(|rotation| rotation.overlap.is_some());
    let was_due = rotates_at(token, grant, replaced).is_some_and(|due| due <= current.issued_at.0);
    (is_said || !was_due).then(|| overlap(token).after(from))
}

/// Whether a replaced credential is not to work beside its successor at all.
pub(super) fn cuts_at_once(token: &ApiToken) -> bool {
    overlap(token).is_zero()
}

/// When a replaced credential stops working although workloads have yet to restart, if its overlap ends at `end`.
pub(super) fn restarts_end(end: Timestamp) -> Timestamp {
    Duration::from_seconds(LONGEST_RESTART_SECONDS).after(end)
}

/// How long after `now` a rollout of `current` is looked at again: rarer the longer it takes, as one that is paused or
/// crashes takes for ever.
pub(super) fn rollout_pause(current: &Credential, now: Timestamp) -> SignedDuration {
    let age = now.duration_since(current.issued_at.0);
    (age / 4).clamp(SHORTEST_ROLLOUT_PAUSE, LONGEST_ROLLOUT_PAUSE)
}

/// When a Secret that is shown once goes, claimed or not.
///
/// Counted from the delivery: between the issue and the Secret lies all the time for which the API server refuses it.
pub(super) fn claim_ends(token: &ApiToken, current: &Credential) -> Timestamp {
    let shown_from = current.delivered_at.as_ref().unwrap_or(&current.issued_at);
    token
        .spec
        .secret
        .as_ref()
        .and_then(|secret| secret.claim_window.clone())
        .unwrap_or_else(|| Duration::from_seconds(SecretOptions::DEFAULT_CLAIM_WINDOW_SECONDS))
        .after(shown_from.0)
}

/// When the record of an expired token is deleted.
pub(super) fn cleanup_at(token: &ApiToken, expired: Timestamp) -> Option<Timestamp> {
    let expiry = token.spec.expiry.as_ref()?;
    Some(expiry.cleanup_after.as_ref()?.after(expired))
}

/// The moment a live credential stops working, if one is known.
pub(super) fn stops_at(credential: &Credential) -> Option<Timestamp> {
    let expires = credential.expires_at.as_ref().map(|at| at.0);
    let retires = match credential.state {
        CredentialState::Retiring => credential.retired_at.as_ref().map(|at| at.0),
        _ => None,
    };
    [expires, retires].into_iter().flatten().min()
}
