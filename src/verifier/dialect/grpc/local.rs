use crate::{
    api::TokenType,
    verifier::{Code, Identity, Requirements, Scope},
};

/// The headers that say who was let in.
pub(super) const IDENTITY: [&str; 8] = [
    "x-tokenwright-organisation",
    "x-tokenwright-token",
    "x-tokenwright-client-id",
    "x-tokenwright-type",
    "x-tokenwright-user",
    "x-tokenwright-role",
    "x-tokenwright-permissions",
    "x-tokenwright-projects",
];

/// What they say, in their order. None: nothing.
pub(super) fn identity(identity: &Identity) -> [Option<String>; 8] {
    let type_ = match identity.type_() {
        TokenType::Organisation => "Organisation",
        TokenType::Personal => "Personal",
    };
    let permissions: Vec<_> = identity.permissions().iter().map(str::to_owned).collect();
    let projects = match identity.scope() {
        Scope::Organisation => vec!["*".to_owned()],
        Scope::Projects(projects) => projects.into_iter().map(str::to_owned).collect(),
    };
    [
        Some(identity.organisation().to_owned()),
        Some(format!("{}/{}", identity.namespace(), identity.name())),
        identity.client_id().map(str::to_owned),
        Some(type_.to_owned()),
        identity.user().map(str::to_owned),
        identity.role().map(str::to_owned),
        Some(permissions.join(",")).filter(|permissions| !permissions.is_empty()),
        Some(projects.join(",")).filter(|projects| !projects.is_empty()),
    ]
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum InvalidRequirements {
    #[error("{0:?} is none of organisation, permission and project")]
    Unknown(String),
    #[error("{0} has no value")]
    Empty(&'static str),
    #[error("organisation has more than one value")]
    Organisations,
}

pub(super) fn requirements<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Requirements, InvalidRequirements> {
    let mut requirements = Requirements::default();
    for (key, value) in pairs {
        match key {
            "organisation" if value.is_empty() => return Err(InvalidRequirements::Empty("organisation")),
            "organisation" => {
                if requirements.organisation.replace(value.to_owned()).is_some() {
                    return Err(InvalidRequirements::Organisations);
                }
            }
            "permission" if value.is_empty() => return Err(InvalidRequirements::Empty("permission")),
            "permission" => requirements.permissions.push(value.to_owned()),
            "project" if value.is_empty() => return Err(InvalidRequirements::Empty("project")),
            "project" => requirements.projects.push(value.to_owned()),
            _ => return Err(InvalidRequirements::Unknown(key.to_owned())),
        }
    }
    Ok(requirements)
}

/// What a refused client is told: the status, `WWW-Authenticate`, the body.
pub(super) fn refusal(code: Code) -> (u16, Option<&'static str>, &'static str) {
    match code {
        Code::Stale => (503, None, "{\"error\":\"temporarily_unavailable\"}"),
        Code::InsufficientPermission => (
            403,
            Some("Bearer realm=\"tokenwright\", error=\"insufficient_scope\""),
            "{\"error\":\"forbidden\"}",
        ),
        code if code.is_forbidden() => (403, None, "{\"error\":\"forbidden\"}"),
        Code::Missing => (
            401,
            Some("Bearer realm=\"tokenwright\""),
            "{\"error\":\"unauthorized\"}",
        ),
        _ => (
            401,
            Some("Bearer realm=\"tokenwright\", error=\"invalid_token\""),
            "{\"error\":\"unauthorized\"}",
        ),
    }
}
