//! What a route requires, as the gateway's configuration writes it: `organisation=acme&permission=logs:read&project=web`.
//!
//! Everything given is required, and nothing that is given can take from it: who could add to the text could only make
//! it stricter. What cannot be understood refuses every request of the route, so that a slip such as `permision=` is
//! noticed by who made it and lets nobody in.

use std::borrow::Cow;

use crate::{domain::permission::is_permission, verifier::Requirements};

/// Why a text is not a list of requirements.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequirements {
    /// Something else was given.
    #[error("{0:?} is nothing that can be required: write organisation, permission or project")]
    Unknown(String),
    /// A token has one organisation.
    #[error("organisation is required twice")]
    TwoOrganisations,
    /// A name was left out.
    #[error("{0} has no value")]
    Empty(&'static str),
    /// No token could have it.
    #[error("{0:?} is not a permission such as queries:block or queries:*")]
    NotAPermission(String),
    /// The URL of Envoy's dialect does not say where the client's path begins.
    #[error("end path_prefix with /path, as in /ext-authz/organisation=acme/path")]
    Endless,
}

/// Reads `key=value&…`, with percent-encoding where it is needed.
pub(in crate::verifier) fn parse(text: &str) -> Result<Requirements, InvalidRequirements> {
    let mut requirements = Requirements::default();
    for (key, value) in form_urlencoded::parse(text.as_bytes()) {
        require(&mut requirements, &key, value)?;
    }
    Ok(requirements)
}

/// Adds one requirement.
pub(in crate::verifier) fn require(
    requirements: &mut Requirements,
    key: &str,
    value: Cow<'_, str>,
) -> Result<(), InvalidRequirements> {
    let Some(key) = ["organisation", "permission", "project"]
        .into_iter()
        .find(|known| *known == key)
    else {
        return Err(InvalidRequirements::Unknown(shown(key)));
    };
    if value.is_empty() {
        return Err(InvalidRequirements::Empty(key));
    }
    match key {
        "organisation" if requirements.organisation.is_some() => return Err(InvalidRequirements::TwoOrganisations),
        "organisation" => requirements.organisation = Some(value.into_owned()),
        "permission" if !is_permission(&value) => return Err(InvalidRequirements::NotAPermission(shown(&value))),
        "permission" => requirements.permissions.push(value.into_owned()),
        _ => requirements.projects.push(value.into_owned()),
    }
    Ok(())
}

/// As much as a sentence needs.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn requirements_are_read_as_they_are_written() {
        assert_eq!(parse(""), Ok(Requirements::default()));
        assert_eq!(
            parse("permission=logs%3Aread&organisation=acme&project=web&permission=queries:*&project=shop&"),
            Ok(Requirements {
                organisation: Some("acme".to_owned()),
                permissions: names(&["logs:read", "queries:*"]),
                projects: names(&["web", "shop"]),
            })
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_a_sentence() {
        for (text, sentence) in [
            (
                "permision=logs:read",
                "\"permision\" is nothing that can be required: write organisation, permission or project",
            ),
            (
                "Organisation=acme",
                "\"Organisation\" is nothing that can be required: write organisation, permission or project",
            ),
            (
                "acme",
                "\"acme\" is nothing that can be required: write organisation, permission or project",
            ),
            ("organisation=acme&organisation=acme", "organisation is required twice"),
            ("organisation=", "organisation has no value"),
            ("permission", "permission has no value"),
            ("project=&organisation=acme", "project has no value"),
            (
                "permission=logs:",
                "\"logs:\" is not a permission such as queries:block or queries:*",
            ),
            (
                "permission=logs+read",
                "\"logs read\" is not a permission such as queries:block or queries:*",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), sentence, "{text}");
        }
    }

    proptest! {
        #[test]
        fn more_text_never_requires_less(text in "[a-z=&%:*]{0,12}|organisation=[ab]|permission=[ab]&project=[ab]", more in any::<String>()) {
            let Ok(before) = parse(&text) else { return Ok(()) };
            if let Ok(after) = parse(&format!("{text}&{more}")) {
                prop_assert!(before.organisation.is_none() || after.organisation == before.organisation);
                prop_assert!(after.permissions.starts_with(&before.permissions));
                prop_assert!(after.projects.starts_with(&before.projects));
            }
        }
    }
}
