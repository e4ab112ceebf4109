//! What an Organisation's own conditions say.

use super::admission::in_catalogue;
use crate::api::{
    OrganisationSpec,
    condition::{Finding, Reason},
};

/// Whether the organisation is in force as it is written. `trouble`: what keeps its members from their rights.
pub fn ready(organisation: &OrganisationSpec, trouble: Option<Finding>) -> Finding {
    if organisation.suspended {
        return Finding::no(
            Reason::Suspended,
            "The organisation and all its tokens are suspended until spec.suspended is false.",
        );
    }
    trouble
        .or_else(|| outside_the_catalogue(organisation))
        .unwrap_or_else(|| Finding::yes(Reason::Accepted, "The organisation is in force."))
}

/// Every permission that a role names must be one that exists.
fn outside_the_catalogue(organisation: &OrganisationSpec) -> Option<Finding> {
    let catalogue = organisation.permissions.as_ref()?;
    organisation.roles.iter().flatten().find_map(|role| {
        let unknown = role
            .permissions
            .iter()
            .find(|permission| !in_catalogue(permission, catalogue))?;
        let message = format!(
            "Role {:?} names permission {unknown:?}, which matches none of spec.permissions. Add it there, or take it out of the role; until then it permits what it says.",
            role.name
        );
        Some(Finding::no(Reason::PermissionNotInCatalogue, message))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn organisation(permissions: &[&str], suspended: bool) -> OrganisationSpec {
        serde_json::from_value(json!({
            "permissions": ["orders:read", "orders:write"],
            "roles": [{ "name": "Reader", "permissions": ["orders:read"] }, { "name": "Other", "permissions": permissions }],
            "suspended": suspended,
        }))
        .unwrap()
    }

    #[test]
    fn a_role_keeps_to_the_catalogue() {
        for fine in [&["orders:write"][..], &["orders:*"], &["*"], &[]] {
            assert_eq!(
                ready(&organisation(fine, false), None).reason,
                Reason::Accepted,
                "{fine:?}"
            );
        }
        for (wrong, named) in [
            (&["orders:read", "orders:delete"][..], "\"orders:delete\""),
            (&["users:*"], "\"users:*\""),
        ] {
            let finding = ready(&organisation(wrong, false), None);
            assert_eq!(
                (finding.holds, finding.reason),
                (false, Reason::PermissionNotInCatalogue)
            );
            assert!(
                finding
                    .message
                    .starts_with(&format!("Role \"Other\" names permission {named}, ")),
                "{}",
                finding.message
            );
        }
    }

    #[test]
    fn suspension_is_said_before_trouble_and_trouble_before_the_catalogue() {
        let trouble = Finding::no(Reason::RightsDenied, "no");
        let suspended = ready(&organisation(&["users:*"], true), Some(trouble.clone()));
        assert_eq!(suspended.reason, Reason::Suspended);
        assert_eq!(
            ready(&organisation(&["users:*"], false), Some(trouble.clone())),
            trouble
        );
    }
}
