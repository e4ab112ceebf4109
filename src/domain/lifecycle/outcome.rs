//! What a plan says to people: conditions, the summary fields of the status, notices.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{in_state, timing};
use crate::api::{
    ApiToken, ApiTokenStatus, CREATED_BY, CredentialState, ExpiryAction, Sighting,
    condition::{self, Finding, ISSUED, READY, Reason, STALLED},
};

/// Something a person would want to see: it becomes an Event on the ApiToken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether it is good or bad news.
    pub severity: Severity,
    /// One word, as Events have it.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
}

/// Whether a notice is good or bad news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// All as it should be.
    Normal,
    /// Somebody should look.
    Warning,
}

impl Notice {
    pub(super) fn normal(reason: &'static str, message: String) -> Self {
        Self {
            severity: Severity::Normal,
            reason,
            message,
        }
    }

    pub(in crate::domain) fn warning(reason: &'static str, message: String) -> Self {
        Self {
            severity: Severity::Warning,
            reason,
            message,
        }
    }
}

/// What is to be said of a replaced credential that was presented.
pub fn reused(seen: &Sighting) -> Notice {
    let credential = seen.credential.map_or(String::new(), |id| format!(" {id}"));
    let from = seen
        .from
        .as_deref()
        .map_or(String::new(), |from| format!(" from {from}"));
    let message = format!(
        "Credential{credential}, which has been replaced, was presented{from} at {} and refused. Find who still has it: a \
         workload that was not restarted, or somebody who copied it. The current credential works on; if that may be known \
         to others too, change spec.rotation.trigger.",
        seen.at.0
    );
    Notice::warning(Reason::ReuseDetected.as_str(), message)
}

/// What Ready says of a token that works. `shown`: it was delivered once and its Secret is gone.
pub(super) fn working(token: &ApiToken, status: &ApiTokenStatus, shown: bool, now: Timestamp) -> Finding {
    let Some(current) = in_state(status, CredentialState::Active) else {
        return Finding::no(Reason::NotIssued, "The token is being issued.");
    };
    if let Some(not_before) = &token.spec.not_before
        && not_before.0 > now
    {
        return Finding::no(
            Reason::NotYetValid,
            format!("The token is issued and works from {} on.", not_before.0),
        );
    }
    let place = if shown {
        "The token was shown once and its Secret is gone; it works".to_owned()
    } else {
        format!("The token is in Secret {:?}", token.secret_name())
    };
    let until = current
        .expires_at
        .as_ref()
        .map_or("never expires".to_owned(), |at| format!("expires at {}", at.0));
    if let Some(retiring) = in_state(status, CredentialState::Retiring) {
        let restarted = "until the workloads of spec.rotation.restart have restarted";
        let end = match (timing::stops_at(retiring), current.restarting) {
            (Some(end), true) => format!("{restarted}, at the longest until {end}"),
            (None, true) => restarted.to_owned(),
            (Some(end), false) => format!("until {end}"),
            (None, false) => "beside it".to_owned(),
        };
        let message = format!("{place} and {until}. The credential before it still works {end}.");
        return Finding::yes(Reason::Rotating, message);
    }
    if current.restarting {
        let message = format!("{place} and {until}. The workloads of spec.rotation.restart are restarting.");
        return Finding::yes(Reason::Rotating, message);
    }
    let next = status
        .rotates_at
        .as_ref()
        .map_or(String::new(), |at| format!("; it is replaced at {}", at.0));
    Finding::yes(Reason::Issued, format!("{place} and {until}{next}."))
}

/// What Ready says of a token whose fixed end has passed before anything was issued.
pub fn never_issued(at: Timestamp) -> Finding {
    let message = format!("spec.expiry.at {at} has passed, so no token is issued. Give a time in the future.");
    Finding::no(Reason::Expired, message)
}

/// What Ready says of a token whose time is over.
pub(super) fn expired(token: &ApiToken, status: &ApiTokenStatus, at: Timestamp) -> Finding {
    if status.issued_at.is_none() {
        return never_issued(at);
    }
    let secret = match token.expiry_action() {
        ExpiryAction::Retain => "Its Secret was kept.",
        _ => "Its Secret was deleted.",
    };
    let fixed = token.spec.expiry.as_ref().is_some_and(|expiry| expiry.at.is_some());
    let ask = if fixed {
        "move spec.expiry.at into the future"
    } else {
        "change spec.rotation.trigger, or make spec.expiry.after longer than the token's age"
    };
    let message = format!("The token expired at {at}. {secret} For a new one, {ask}.");
    Finding::no(Reason::Expired, message)
}

/// Fills the fields that summarise the status for people and printer columns. Once it is known who created the token that
/// stays, whether or not it can still be found out.
pub(super) fn summarise(token: &ApiToken, status: &mut ApiTokenStatus, trust_created_by: bool) {
    status.observed_generation = token.metadata.generation;
    status.secret_name = Some(token.secret_name());
    if trust_created_by && status.created_by.is_none() {
        status.created_by = token
            .metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get(CREATED_BY))
            .filter(|name| !name.is_empty())
            .cloned();
    }
    let projects = status
        .grant
        .as_ref()
        .map_or(&token.spec.projects, |grant| &grant.projects);
    status.scope = Some(
        projects
            .as_ref()
            .map_or("organisation".to_owned(), |names| names.join(",")),
    );
    if let Some(current) = in_state(status, CredentialState::Active) {
        let rotates_at = status
            .grant
            .as_ref()
            .and_then(|grant| timing::rotates_at(token, grant, current));
        let (issued_at, expires_at) = (current.issued_at.clone(), current.expires_at.clone());
        status.issued_at = Some(issued_at);
        status.expires_at = expires_at;
        status.rotates_at = rotates_at.map(Time);
    } else {
        status.rotates_at = None;
    }
}

/// Sets Ready and Issued, and Stalled where it holds, and returns a notice when the token newly stopped being ready for that reason.
pub(super) fn conclude(
    token: &ApiToken,
    status: &mut ApiTokenStatus,
    ready: &Finding,
    now: Timestamp,
) -> Option<Notice> {
    let known = condition::find(&status.conditions, READY).map(|ready| ready.reason.clone());
    let generation = token.metadata.generation;
    let issued = match in_state(status, CredentialState::Active) {
        Some(current) => Finding::yes(
            Reason::Issued,
            format!("Credential {} was issued at {}.", current.id, current.issued_at.0),
        ),
        None if ready.holds => Finding::no(Reason::NotIssued, "No credential is issued."),
        None => ready.clone(),
    };
    condition::set(&mut status.conditions, READY, ready, generation, now);
    condition::set(&mut status.conditions, ISSUED, &issued, generation, now);
    if ready.holds || ready.reason.passes_by_itself() {
        condition::remove(&mut status.conditions, STALLED);
    } else {
        let stalled = Finding::yes(ready.reason, ready.message.clone());
        condition::set(&mut status.conditions, STALLED, &stalled, generation, now);
    }

    let newly = known.as_deref() != Some(ready.reason.as_str());
    let worth_saying = !ready.holds && !matches!(ready.reason, Reason::NotIssued | Reason::NotYetValid);
    (newly && worth_saying).then(|| match ready.reason {
        Reason::Expired | Reason::Suspended => Notice::normal(ready.reason.as_str(), ready.message.clone()),
        _ => Notice::warning(ready.reason.as_str(), ready.message.clone()),
    })
}
