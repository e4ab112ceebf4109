//! What TokenPolicies say to a token: one judgement for the controller, the verifier and the offline check.
//!
//! Every policy is judged by itself, in the order of names, by the same [checks](self::checks); a token complies when no
//! enforced policy finds anything. [`Limits`] is what all of them leave together.
//!
//! # Guarantees
//!
//! - The order in which policies are given does not matter.
//! - One more enforced policy never allows more.
//! - A policy that only warns changes no limit and refuses nothing.

mod candidate;
mod checks;
mod findings;
mod limits;
mod rise;
mod seniority;
mod survey;
mod unreadable;

#[cfg(test)]
mod tests;

use jiff::Timestamp;

use super::permission::Permissions;
use crate::api::{
    ApiTokenStatus, Grant, IdleAction, Issuance, TokenPolicySpec, TokenType,
    condition::{self, POLICY_COMPLIANT, Reason},
};

pub use candidate::Candidate;
pub use findings::{Surroundings, findings};
pub use limits::Limits;
pub use rise::{Told, rise};
pub use seniority::{Age, Seniority, Shift};
pub use survey::{Landscape, Survey, status};
pub use unreadable::refusing;

/// Whether a token counts as one that violates policies: an enforced policy refuses what it has or what it asks for. What a
/// policy that cannot be read would say is not known.
pub fn is_violating(status: &ApiTokenStatus) -> bool {
    condition::find(&status.conditions, POLICY_COMPLIANT)
        .is_some_and(|found| found.status == "False" && found.reason != Reason::PolicyUnreadable.as_str())
}

/// A policy under its name.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it says.
    pub spec: &'a TokenPolicySpec,
}

/// What policies look at of a token.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// Its type.
    pub type_: TokenType,
    /// What it asks for, or what it has: see [`Stage`].
    pub rights: &'a Grant,
    /// What its role permits, as its organisation has it now.
    pub role: &'a Permissions,
    /// When its current credential was issued. None: there is none.
    pub issued_at: Option<Timestamp>,
    /// Since when nobody has used it. None: nothing is issued, or a new credential is asked for.
    pub idle_since: Option<Timestamp>,
    /// The older tokens of its organisation.
    pub older: Older,
}

/// How many of an organisation's tokens are older than one, by their type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Older {
    /// Those of type Organisation.
    pub organisation: u32,
    /// Those of type Personal.
    pub personal: u32,
}

impl Older {
    /// How many of them a policy is for.
    fn that(self, spec: &TokenPolicySpec) -> u32 {
        let of = |type_, count| if spec.is_for(type_) { count } else { 0 };
        of(TokenType::Organisation, self.organisation) + of(TokenType::Personal, self.personal)
    }
}

/// What is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stage<'a> {
    /// What a spec asks for. It may differ from what was granted before.
    Request {
        /// What was granted before.
        granted: Option<&'a Grant>,
    },
    /// What a token has, and whether it may go on working. A lifetime that is too long is no matter here: it was cut.
    Standing,
}

/// What policies say to a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What enforced policies find. Empty: it complies.
    pub violations: Vec<Violation>,
    /// What policies that only warn would find.
    pub warnings: Vec<Violation>,
    /// What the enforced policies leave.
    pub limits: Limits,
    /// When this changes by time alone.
    pub next: Option<Timestamp>,
}

/// What a token is to change because of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The name of the policy.
    pub policy: String,
    /// Which of its fields.
    pub field: Field,
    /// What is wrong and what to write instead, naming both.
    pub message: String,
}

/// A field of a policy that can be violated. In the order in which they are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// `issuance`
    Issuance,
    /// `maxTokens`
    MaxTokens,
    /// `idle`, and what it does.
    Idle(Ended),
    /// `expiry.required`
    ExpiryRequired,
    /// `expiry.max`
    ExpiryMax,
    /// `expiry.allowed`
    ExpiryAllowed,
    /// `roles.allowed`
    RolesAllowed,
    /// `permissions.allowed`
    PermissionsAllowed,
    /// `permissions.allowUpdates`
    PermissionsAllowUpdates,
    /// `projects.required`
    ProjectsRequired,
    /// `ipFilters.allowCustom`
    IpFiltersAllowCustom,
}

/// What an idle token comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ended {
    /// It is refused.
    Suspended,
    /// Its Secret is deleted too.
    Deleted,
}

impl From<IdleAction> for Ended {
    fn from(action: IdleAction) -> Self {
        match action {
            IdleAction::Suspend => Self::Suspended,
            IdleAction::Delete => Self::Deleted,
        }
    }
}

impl From<Field> for Reason {
    fn from(field: Field) -> Self {
        match field {
            Field::Issuance => Self::IssuanceDenied,
            Field::Idle(_) => Self::Idle,
            _ => Self::PolicyViolation,
        }
    }
}

impl Field {
    /// The field as manifests have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issuance => "issuance",
            Self::MaxTokens => "maxTokens",
            Self::Idle(_) => "idle.after",
            Self::ExpiryRequired => "expiry.required",
            Self::ExpiryMax => "expiry.max",
            Self::ExpiryAllowed => "expiry.allowed",
            Self::RolesAllowed => "roles.allowed",
            Self::PermissionsAllowed => "permissions.allowed",
            Self::PermissionsAllowUpdates => "permissions.allowUpdates",
            Self::ProjectsRequired => "projects.required",
            Self::IpFiltersAllowCustom => "ipFilters.allowCustom",
        }
    }

    /// Whether the credentials of a token that violates it end for good and its Secret goes.
    pub fn ends_token(self) -> bool {
        matches!(self, Self::Issuance | Self::Idle(Ended::Deleted))
    }
}

impl Verdict {
    /// Whether the token may go on as it is.
    pub fn is_compliant(&self) -> bool {
        self.violations.is_empty()
    }

    /// Whether the token's credentials end for good and its Secret goes.
    pub fn ends_token(&self) -> bool {
        self.violations.iter().any(|violation| violation.field.ends_token())
    }
}

/// Judges `subject` by the policies that select its organisation. Those for tokens of the other type are left out here.
pub fn judge(policies: &[Policy<'_>], subject: &Subject<'_>, stage: Stage<'_>, now: Timestamp) -> Verdict {
    let mut policies: Vec<Policy<'_>> = policies
        .iter()
        .copied()
        .filter(|policy| policy.spec.is_for(subject.type_))
        .collect();
    policies.sort_by_key(|policy| policy.name);
    let mut verdict = Verdict {
        limits: Limits::of(policies.iter().map(|policy| policy.spec)),
        ..Verdict::default()
    };
    for policy in &policies {
        let case = checks::Case {
            policy,
            subject,
            stage,
            now,
        };
        let enforced = policy.spec.is_enforced();
        let found = if enforced {
            &mut verdict.violations
        } else {
            &mut verdict.warnings
        };
        found.extend(checks::violations(&case));
        verdict.next = [verdict.next, checks::next_change(&case)].into_iter().flatten().min();
    }
    // The gravest first, as it is what a condition says; of equals the policy's name decides.
    verdict.violations.sort_by_key(|violation| violation.field);
    verdict.warnings.sort_by_key(|violation| violation.field);
    verdict
}

/// Whether none are issued.
fn is_denied(spec: &TokenPolicySpec) -> bool {
    spec.issuance == Issuance::Deny
}
