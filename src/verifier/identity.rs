//! Whose credential a request presented.

use std::{borrow::Cow, fmt, sync::Arc};

use jiff::Timestamp;

use super::index::{Charter, Found, Profile, Record};
use crate::{
    api::{CredentialState, TokenType},
    domain::permission::Permissions,
};

/// A token as it was when the decision was made. What it may do is worked out when it is asked for: most answers carry
/// less than all of it.
#[derive(Clone)]
pub struct Identity {
    organisation: Arc<str>,
    namespace: Arc<str>,
    /// A copy of the token's [`Record`].
    record: Box<[u8]>,
    credential: u64,
    superseded: bool,
    ends: Option<i64>,
    idle_after: Option<i64>,
    profile: Arc<Profile>,
    charter: Option<Arc<Charter>>,
}

/// How far a token reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// The whole organisation.
    Organisation,
    /// These projects and nothing else, even when there are none left.
    Projects(Vec<&'a str>),
}

impl Identity {
    pub(super) fn new(found: &Found<'_>) -> Self {
        let Found { record, credential, .. } = found;
        let retires = credential
            .retired_at
            .filter(|_| credential.state == CredentialState::Retiring);
        Self {
            organisation: Arc::clone(found.organisation),
            namespace: Arc::clone(found.namespace),
            record: record.bytes().into(),
            credential: credential.id,
            superseded: record.credentials().any(|other| other.id > credential.id),
            ends: [found.expires_at(), retires].into_iter().flatten().min(),
            idle_after: found.rules.and_then(|rules| rules.idle_after()),
            profile: Arc::clone(found.profile),
            charter: found.charter.cloned(),
        }
    }

    /// The organisation's name.
    pub fn organisation(&self) -> &str {
        &self.organisation
    }

    /// The ApiToken's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The ApiToken's name.
    pub fn name(&self) -> &str {
        self.record().map_or("", Record::name)
    }

    /// The ApiToken's UID, for writes that must not reach a later one of the same name.
    pub fn uid(&self) -> String {
        self.record().map(Record::uid).unwrap_or_default()
    }

    /// The client ID. None: the token has none.
    pub fn client_id(&self) -> Option<&str> {
        self.record().map(Record::client_id).filter(|id| !id.is_empty())
    }

    /// The id of the credential that was presented.
    pub fn credential(&self) -> u64 {
        self.credential
    }

    /// Whether the token has a newer credential than the one presented.
    pub fn is_superseded(&self) -> bool {
        self.superseded
    }

    /// To whom the token belongs.
    pub fn type_(&self) -> TokenType {
        self.profile.type_
    }

    /// The member that a Personal token belongs to.
    pub fn user(&self) -> Option<&str> {
        self.profile.user.as_deref()
    }

    /// The role, for services that go by its name: so one that the organisation no longer has, and one of a Personal
    /// token that is more than its member's, is none.
    pub fn role(&self) -> Option<&str> {
        let name = self.profile.role.as_deref()?;
        let granted = self.charter.as_ref()?.role(name)?;
        let holds = match self.profile.type_ {
            TokenType::Organisation => true,
            TokenType::Personal => {
                let (member, permissions) = self.member()?;
                member == name || !granted.is_empty() && permissions.covers_all(granted)
            }
        };
        holds.then_some(name)
    }

    /// All that the token may do: its role's permissions and its own, and of a Personal token only what its member may.
    pub fn permissions(&self) -> Cow<'_, Permissions> {
        let role = || self.charter.as_ref()?.role(self.profile.role.as_deref()?);
        let granted = match role() {
            Some(role) => role.union(&self.profile.permissions),
            None => Cow::Borrowed(&self.profile.permissions),
        };
        let member = || self.member().map(|(_, permissions)| permissions);
        match (self.profile.type_, member()) {
            (TokenType::Organisation, _) => granted,
            (TokenType::Personal, Some(member)) if member.covers_all(&granted) => granted,
            (TokenType::Personal, Some(member)) => Cow::Owned(granted.intersection(member)),
            (TokenType::Personal, None) => Cow::default(),
        }
    }

    /// How far the token reaches, without projects that the organisation no longer has.
    pub fn scope(&self) -> Scope<'_> {
        let exists = |project: &&str| {
            self.charter
                .as_ref()
                .is_some_and(|charter| charter.has_project(project))
        };
        match &self.profile.projects {
            None => Scope::Organisation,
            Some(projects) => Scope::Projects(projects.iter().map(|project| &**project).filter(exists).collect()),
        }
    }

    /// When the credential that was presented stops working. None: not by itself.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.ends.and_then(|end| Timestamp::from_second(end).ok())
    }

    /// After how long without use a policy has the token refused, in seconds.
    pub(super) fn idle_after(&self) -> Option<i64> {
        self.idle_after
    }

    /// When the token was last used, by its status, in seconds.
    pub(super) fn last_used(&self) -> Option<i64> {
        self.record()?.last_used()
    }

    /// When a replaced credential of the token was last presented, by its status, in seconds.
    pub(super) fn last_reuse(&self) -> Option<i64> {
        self.record()?.last_reuse()
    }

    fn record(&self) -> Option<Record<'_>> {
        Record::at(&self.record)
    }

    /// The member's role and what it permits.
    fn member(&self) -> Option<(&str, &Permissions)> {
        let charter = self.charter.as_ref()?;
        let role = charter.member(self.user()?)?;
        Some((role, charter.role(role)?))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({self})")
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (namespace, name) = (self.namespace(), self.name());
        write!(
            f,
            "{namespace}/{name} of {}, credential {}",
            self.organisation, self.credential
        )
    }
}
