//! The one decision: `(index, request, moment) -> Decision`. Every dialect only translates it.

use std::{net::IpAddr, time::Duration};

use jiff::Timestamp;

use super::{
    credential::Presented,
    identity::Identity,
    index::{Found, Index},
    last_used::Sightings,
};
use crate::{
    api::{CredentialState, TokenType},
    domain::{
        credential::{Digest, is_well_formed},
        permission::Permissions,
    },
};

/// What became of a request: a closed list, for answers, metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// Let in.
    Valid,
    /// There was no credential.
    Missing,
    /// There was something that cannot be one credential.
    Malformed,
    /// The verifier has not heard from the API server for too long, so it knows nothing.
    Stale,
    /// Nobody's, or a token that no organisation stands for: its organisation is gone or does not allow its namespace.
    Unknown,
    /// Before its time.
    NotYetValid,
    /// After its time.
    Expired,
    /// Replaced by a newer credential, or ended for good.
    Retired,
    /// The token is suspended.
    Suspended,
    /// Its organisation is suspended.
    OrganisationSuspended,
    /// The user of a Personal token is not a member.
    NotAMember,
    /// A policy refuses the token.
    Policy,
    /// The client's address is not allowed, or not known.
    IpDenied,
    /// Another organisation's token.
    WrongOrganisation,
    /// The token does not reach the project.
    WrongProject,
    /// The token may not do that.
    InsufficientPermission,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Valid,
        Self::Missing,
        Self::Malformed,
        Self::Stale,
        Self::Unknown,
        Self::NotYetValid,
        Self::Expired,
        Self::Retired,
        Self::Suspended,
        Self::OrganisationSuspended,
        Self::NotAMember,
        Self::Policy,
        Self::IpDenied,
        Self::WrongOrganisation,
        Self::WrongProject,
        Self::InsufficientPermission,
    ];

    /// The code as answers and metrics carry it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Stale => "stale",
            Self::Unknown => "unknown",
            Self::NotYetValid => "not_yet_valid",
            Self::Expired => "expired",
            Self::Retired => "retired",
            Self::Suspended => "suspended",
            Self::OrganisationSuspended => "organisation_suspended",
            Self::NotAMember => "not_a_member",
            Self::Policy => "policy",
            Self::IpDenied => "ip_denied",
            Self::WrongOrganisation => "wrong_organisation",
            Self::WrongProject => "wrong_project",
            Self::InsufficientPermission => "insufficient_permission",
        }
    }

    /// Whether the credential itself is good, and only this route or this address is not for it: 403 rather than 401.
    pub fn is_forbidden(self) -> bool {
        matches!(
            self,
            Self::IpDenied | Self::WrongOrganisation | Self::WrongProject | Self::InsufficientPermission
        )
    }
}

/// What a request brings.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The credential, as [`super::credential::extract`] read it.
    pub presented: &'a Presented<'a>,
    /// The client's address, as [`crate::domain::client_address::resolve`] found it. None: not known.
    pub address: Option<IpAddr>,
    /// What the route asks for.
    pub requires: &'a Requirements,
}

/// What a route asks for: all of it. Comes from the gateway's configuration, never from the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// The organisation it belongs to.
    pub organisation: Option<String>,
    /// Permissions.
    pub permissions: Vec<String>,
    /// Projects, of the token's own organisation.
    pub projects: Vec<String>,
}

/// When the decision is made, and on what view of the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The wall clock.
    pub now: Timestamp,
    /// How long ago the index last was known to be complete, by a clock that does not jump. None: never.
    pub age: Option<Duration>,
    /// How old a view may be.
    pub max_age: Duration,
    /// Uses that were seen here and that the index does not know of yet.
    pub sightings: Option<&'a Sightings>,
}

impl Moment<'_> {
    fn is_stale(&self) -> bool {
        self.age.is_none_or(|age| age > self.max_age)
    }
}

/// What became of a request, and whose it was.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The verdict.
    pub code: Code,
    subject: Option<Identity>,
}

impl Decision {
    /// Who is let in. None: nobody.
    pub fn identity(&self) -> Option<&Identity> {
        self.subject.as_ref().filter(|_| self.code == Code::Valid)
    }

    /// Whose credential it was, also when it was refused: for logs, metrics and the detection of reuse, never for an
    /// answer.
    pub fn subject(&self) -> Option<&Identity> {
        self.subject.as_ref()
    }

    /// Whether this was a credential that has been replaced and works no longer: somebody kept a copy. One that worked
    /// beside its successor to its own end is [`Code::Expired`], which says nothing about a successor by itself.
    pub fn is_reuse(&self) -> bool {
        let ended = matches!(self.code, Code::Retired | Code::Expired);
        ended && self.subject.as_ref().is_some_and(Identity::is_superseded)
    }

    fn anonymous(code: Code) -> Self {
        Self { code, subject: None }
    }
}

/// Decides about a request. Only [`Code::Valid`] lets it in.
///
/// # Guarantees
///
/// - The order: what is presented, the age of the view, the token, its time, its suspension and its organisation's,
///   whether it is idle, its namespace, its member, policies, the address, what the route asks for. The first that fails
///   is the code.
/// - A credential is looked for by its whole digest, so the time it takes says nothing about tokens that exist.
/// - An organisation's own changes count at once: roles, members, projects and filters are looked up, not remembered.
///   What a token was granted and its organisation no longer has grants nothing, and a filter that is gone lets nobody in.
/// - So do policies: what the controller has yet to cut, hold or end is refused already. How many tokens an organisation
///   has is counted by the controller alone, and what it found is gone by.
pub fn decide(index: &Index, request: &Request<'_>, moment: &Moment<'_>) -> Decision {
    let credential = match request.presented {
        Presented::Missing => return Decision::anonymous(Code::Missing),
        Presented::Malformed => return Decision::anonymous(Code::Malformed),
        Presented::Credential(credential) => credential,
    };
    if !is_well_formed(credential.secret()) {
        return Decision::anonymous(Code::Malformed);
    }
    if moment.is_stale() {
        return Decision::anonymous(Code::Stale);
    }
    let digest = Digest::of(credential.secret().as_bytes());
    let view = index.read();
    let Some(found) = view.find(&digest) else {
        return Decision::anonymous(Code::Unknown);
    };
    if credential.client_id().is_some_and(|id| id != found.record.client_id()) {
        return Decision::anonymous(Code::Unknown);
    }
    let case = Case {
        found: &found,
        request,
        now: moment.now.as_second(),
        sightings: moment.sightings,
    };
    let refused = CHECKS.iter().find_map(|check| check(&case).err());
    Decision {
        code: refused.unwrap_or(Code::Valid),
        subject: Some(Identity::new(&found)),
    }
}

/// All that a check may look at.
struct Case<'a> {
    found: &'a Found<'a>,
    request: &'a Request<'a>,
    now: i64,
    sightings: Option<&'a Sightings>,
}

type Check = fn(&Case<'_>) -> Result<(), Code>;

/// In their order.
const CHECKS: [Check; 11] = [
    time,
    retirement,
    suspension,
    organisation,
    idleness,
    namespace,
    member,
    policy,
    address,
    route,
    permissions,
];

fn time(case: &Case<'_>) -> Result<(), Code> {
    if case.found.record.not_before().is_some_and(|begin| case.now < begin) {
        return Err(Code::NotYetValid);
    }
    let expired = case.found.expires_at().is_some_and(|end| end <= case.now);
    refuse_if(expired, Code::Expired)
}

/// A credential that gives way to its successor ends by this clock, not when the controller comes to say so.
fn retirement(case: &Case<'_>) -> Result<(), Code> {
    let retired = match case.found.credential.state {
        CredentialState::Pending | CredentialState::Active => false,
        CredentialState::Retiring => case.found.credential.retired_at.is_some_and(|end| end <= case.now),
        CredentialState::Retired => true,
    };
    refuse_if(retired, Code::Retired)
}

fn suspension(case: &Case<'_>) -> Result<(), Code> {
    refuse_if(case.found.record.is_suspended(), Code::Suspended)
}

fn organisation(case: &Case<'_>) -> Result<(), Code> {
    match case.found.charter {
        None => Err(Code::Unknown),
        Some(charter) => refuse_if(charter.suspended, Code::OrganisationSuspended),
    }
}

fn idleness(case: &Case<'_>) -> Result<(), Code> {
    let Found { rules, record, .. } = case.found;
    let Some(after) = rules.and_then(|rules| rules.idle_after()) else {
        return Ok(());
    };
    let is_over = |since: i64| since.saturating_add(after) <= case.now;
    // The status tells of a use some time after it.
    let used_here = || case.sightings?.last_use(&record.uid());
    let idle = is_over(record.idle_since()) && used_here().is_none_or(is_over);
    refuse_if(idle, Code::Suspended)
}

fn namespace(case: &Case<'_>) -> Result<(), Code> {
    let Found {
        charter,
        namespace,
        labels,
        ..
    } = case.found;
    let allowed = charter.is_some_and(|charter| charter.allows_namespace(namespace, *labels));
    refuse_if(!allowed, Code::Unknown)
}

fn member(case: &Case<'_>) -> Result<(), Code> {
    let Found { charter, profile, .. } = case.found;
    let is_member = || Some(charter.as_ref()?.member(profile.user.as_deref()?)?.len());
    refuse_if(
        profile.type_ == TokenType::Personal && is_member().is_none(),
        Code::NotAMember,
    )
}

fn policy(case: &Case<'_>) -> Result<(), Code> {
    let Found {
        record, profile, rules, ..
    } = case.found;
    let refused = record.is_violating() || rules.is_some_and(|rules| !rules.allow(profile));
    refuse_if(refused, Code::Policy)
}

fn address(case: &Case<'_>) -> Result<(), Code> {
    let Found {
        charter,
        profile,
        rules,
        ..
    } = case.found;
    let passes = |filter: &str| {
        let (charter, address) = charter.as_ref().zip(case.request.address)?;
        charter.filter_allows(filter, address).then_some(())
    };
    let required = rules.iter().flat_map(|rules| rules.filters());
    let mut filters = profile.ip_filters.iter().map(|filter| &**filter).chain(required);
    let denied = filters.any(|filter| passes(filter).is_none());
    refuse_if(denied, Code::IpDenied)
}

fn route(case: &Case<'_>) -> Result<(), Code> {
    let Found { charter, profile, .. } = case.found;
    let Requirements {
        organisation, projects, ..
    } = case.request.requires;
    let is_other = |required: &String| **required != **case.found.organisation;
    if organisation.as_ref().is_some_and(is_other) {
        return Err(Code::WrongOrganisation);
    }
    // A project of another organisation is no project of a token that reaches all of its own.
    let reaches = |project: &String| {
        charter.is_some_and(|charter| charter.has_project(project))
            && (profile.projects.as_ref()).is_none_or(|projects| projects.iter().any(|own| **own == **project))
    };
    refuse_if(!projects.iter().all(reaches), Code::WrongProject)
}

fn permissions(case: &Case<'_>) -> Result<(), Code> {
    let Found { charter, profile, .. } = case.found;
    let role = charter.and_then(|charter| charter.role(profile.role.as_deref()?));
    let covered = |granted: Option<&Permissions>, required: &str| granted.is_some_and(|own| own.covers(required));
    let by_member = |required: &str| match profile.type_ {
        TokenType::Organisation => true,
        TokenType::Personal => {
            let role = charter.and_then(|charter| charter.role(charter.member(profile.user.as_deref()?)?));
            covered(role, required)
        }
    };
    let permitted =
        |required: &String| (profile.permissions.covers(required) || covered(role, required)) && by_member(required);
    let all = case.request.requires.permissions.iter().all(permitted);
    refuse_if(!all, Code::InsufficientPermission)
}

fn refuse_if(refused: bool, code: Code) -> Result<(), Code> {
    if refused { Err(code) } else { Ok(()) }
}
