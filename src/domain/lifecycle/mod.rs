//! What is to be done about one ApiToken: `(token, facts, now)` in, one [`Plan`] out.
//!
//! # The order of writes
//!
//! A credential comes to be in three writes, each of which is one plan: its digest goes into the status as `Pending`, then
//! the token into the Secret, then the status says `Active`. A token that somebody can read is therefore always already
//! known. Nothing but the status and the Secret remembers how far this came: after a crash, [`plan`] sees the same two
//! and goes on from there. A `Pending` credential that no Secret holds, and whose token nobody remembers, is dropped and
//! another one made.
//!
//! # Assumptions
//!
//! Status writes carry the resourceVersion that the plan was made from, so that a plan made from an old view is refused
//! by the API server instead of carried out.

mod outcome;
mod planner;
mod record;
mod timing;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rand::CryptoRng;

use super::{
    credential::{self, Token},
    policy::{Older, Policy},
    whole_seconds,
};
use crate::api::{ApiToken, ApiTokenStatus, Credential, CredentialState, OrganisationSpec, Workload};

pub use outcome::{Notice, Severity, never_issued, reused};
use record::ALL_POLICIES_MET;
pub use record::is_flagged;
pub(super) use record::{has_expired, in_state, is_triggered, last_trigger};

/// What is known about a token's surroundings at one moment.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Its organisation, if that exists.
    pub organisation: Option<&'a OrganisationSpec>,
    /// The policies that select its organisation.
    pub policies: &'a [Policy<'a>],
    /// A policy that may select its organisation too and cannot be read.
    pub unreadable_policy: Option<&'a str>,
    /// The older tokens of its organisation.
    pub older: Older,
    /// The labels of its namespace.
    pub labels: &'a BTreeMap<String, String>,
    /// Its Secret.
    pub secret: SecretFact,
    /// The id of the pending credential whose token this process holds in memory.
    pub minted: Option<u64>,
    /// What the API server last refused to do for this token, and why: "create the Secret: …".
    pub denied: Option<&'a str>,
    /// The workloads to restart. None: not looked at, as no credential in the status is [`Credential::restarting`].
    pub workloads: Option<&'a [WorkloadFact]>,
    /// How many retired credentials the status keeps.
    pub history: usize,
    /// Whether the annotation that says who created the token can be believed.
    pub trust_created_by: bool,
}

/// What is under the name of a token's Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretFact {
    /// Nothing.
    Absent,
    /// A Secret that this token does not control; it is never touched.
    Foreign {
        /// Kind and name of what does control it, if anything.
        controller: Option<String>,
    },
    /// The token's own Secret.
    Owned {
        /// The id of the credential in the status whose token it holds. None: it was edited.
        holds: Option<u64>,
        /// The masked form of the token it holds, where it was looked at.
        masked: Option<String>,
        /// Whether all of it is as it should be for the credential it holds.
        intact: bool,
        /// Whether its reader marked it as claimed.
        claimed: bool,
        /// Whether it is being deleted, and somebody's finalizer keeps it.
        deleting: bool,
    },
    /// It may not be read.
    Unreadable {
        /// What was refused and why.
        why: String,
    },
}

/// How far a workload is with restarting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadFact {
    /// Which workload.
    pub workload: Workload,
    /// How far.
    pub progress: Progress,
}

/// How far a workload is with restarting for the current credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is no such workload: nothing to wait for.
    Missing,
    /// Its pod template does not carry the credential's stamp yet.
    Unstamped,
    /// It is rolling out.
    RollingOut,
    /// Every pod runs with the current credential.
    Done,
    /// It may not be read.
    Unknown {
        /// What was refused and why.
        why: String,
    },
}

/// What is to be done, in this order: the status written if it differs, the effect, the notices published. After a write
/// of either kind the facts have changed and another plan is due; without one the token is settled until `next`.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The status as it should be now.
    pub status: ApiTokenStatus,
    /// The one write to make besides.
    pub effect: Effect,
    /// What to tell people, once the status is written.
    pub notices: Vec<Notice>,
    /// When something will change by itself. None: not before somebody changes something.
    pub next: Option<Timestamp>,
}

/// One write besides the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// None: settled.
    Nothing,
    /// Make a credential: see [`mint`]. Its status write is the first of the three.
    Mint(Mint),
    /// Put the minted token of this credential into the Secret, creating or replacing it.
    WriteSecret {
        /// The credential's id.
        id: u64,
    },
    /// Rewrite the Secret around the token it holds.
    RepairSecret {
        /// The id of the credential it holds.
        id: u64,
    },
    /// Delete the token's Secret.
    DeleteSecret,
    /// Delete the ApiToken itself.
    DeleteToken,
    /// Stamp these workloads' pod templates with the current credential.
    Restart(Vec<Workload>),
}

/// The credential to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mint {
    /// Its id.
    pub id: u64,
    /// The organisation's prefix.
    pub prefix: String,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

/// Decides what is to be done about `token` at `now`.
pub fn plan(token: &ApiToken, facts: &Facts<'_>, now: Timestamp) -> Plan {
    planner::Planner::new(token, facts, whole_seconds(now)).run()
}

/// Makes the credential that a plan asks for and enters it as pending into the plan's status. The token goes into the
/// Secret once that status is written.
pub fn mint(
    token: &ApiToken,
    mint: &Mint,
    status: &ApiTokenStatus,
    entropy: &mut dyn CryptoRng,
    now: Timestamp,
) -> (ApiTokenStatus, Token) {
    let plain = Token::generate(&mint.prefix, token.spec.type_, entropy);
    let mut status = status.clone();
    if status.client_id.is_none() {
        status.client_id = Some(credential::client_id(&mint.prefix, entropy));
    }
    status.last_credential = mint.id;
    status.credentials.push(Credential {
        id: mint.id,
        digest: plain.digest().to_string(),
        state: CredentialState::Pending,
        issued_at: Time(whole_seconds(now)),
        delivered_at: None,
        expires_at: mint.expires_at.map(Time),
        retired_at: None,
        trigger: token
            .spec
            .rotation
            .as_ref()
            .and_then(|rotation| rotation.trigger.clone()),
        restarting: false,
    });
    (status, plain)
}
