//! Whether an organisation lets a token exist, and with what rights: judged at every reconcile, never only once.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::whole_seconds;
use crate::api::{
    ApiToken, ApiTokenSpec, Delivery, Duration, ExpiryAction, Grant, GrantedExpiry, OrganisationSpec, SubjectKind,
    TokenType, condition::Reason,
};

/// What the organisation says to a token.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It may have all that its spec asks for.
    Granted(Grant),
    /// What the spec asks for is refused. A token that has a grant keeps it.
    Refused(Refusal),
    /// Nothing is issued while this holds, and what exists does not work; nothing is deleted.
    Held(Refusal),
    /// Its credentials end for good and its Secret goes.
    Revoked(Refusal),
}

/// Why a token is not granted what it asks for, and what to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason as conditions carry it.
    pub reason: Reason,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl Refusal {
    fn new(reason: Reason, message: String) -> Self {
        Self { reason, message }
    }
}

/// Judges `token` against its organisation. `labels` are those of its namespace.
pub fn judge(token: &ApiToken, organisation: Option<&OrganisationSpec>, labels: &BTreeMap<String, String>) -> Verdict {
    let spec = &token.spec;
    let name = &spec.organisation;
    let Some(organisation) = organisation else {
        return Verdict::Held(Refusal::new(
            Reason::OrganisationNotFound,
            format!(
                "There is no Organisation {name:?}. Create it, or make an ApiToken that names another; 'kubectl get organisations' lists them."
            ),
        ));
    };
    let namespace = token.metadata.namespace.as_deref().unwrap_or_default();
    if !organisation.allows_namespace(namespace, labels) {
        return Verdict::Held(Refusal::new(
            Reason::NamespaceNotAllowed,
            format!(
                "Organisation {name:?} does not allow its tokens in namespace {namespace:?}. Its administrator can add the namespace to spec.namespaces of the Organisation."
            ),
        ));
    }
    if let Some(refusal) = judge_member(token, organisation) {
        return refusal;
    }
    if organisation.suspended {
        return Verdict::Held(Refusal::new(
            Reason::OrganisationSuspended,
            format!(
                "Organisation {name:?} is suspended, and all its tokens with it, until spec.suspended of the Organisation is false."
            ),
        ));
    }
    if spec.suspended {
        return Verdict::Held(Refusal::new(
            Reason::Suspended,
            "The token is suspended until spec.suspended is false.".to_owned(),
        ));
    }
    if let Err(refusal) = judge_spec(spec) {
        return Verdict::Refused(refusal);
    }
    match unknown_names(spec, organisation).into_iter().next() {
        Some(unknown) => Verdict::Refused(unknown.refusal),
        None => Verdict::Granted(asked(spec)),
    }
}

/// A Personal token lives and dies with its user's membership.
fn judge_member(token: &ApiToken, organisation: &OrganisationSpec) -> Option<Verdict> {
    if token.spec.type_ != TokenType::Personal {
        return None;
    }
    let user = token.spec.user.as_deref().unwrap_or_default();
    let is_member = organisation
        .members
        .iter()
        .any(|member| member.kind == SubjectKind::User && member.name == user);
    if is_member {
        return None;
    }
    let name = &token.spec.organisation;
    let had_grant = token.status.as_ref().is_some_and(|status| status.grant.is_some());
    Some(Verdict::Revoked(if had_grant {
        Refusal::new(
            Reason::MemberRemoved,
            format!(
                "User {user:?} is no longer a member of organisation {name:?}, so this Personal token ended. It gets a new credential when the user is a member again."
            ),
        )
    } else {
        Refusal::new(
            Reason::NotAMember,
            format!(
                "User {user:?} is not a member of organisation {name:?}. Add them to spec.members of the Organisation with kind User, or correct spec.user."
            ),
        )
    }))
}

/// What the schema refuses too. Judged again, because an object can be older than its schema.
fn judge_spec(spec: &ApiTokenSpec) -> Result<(), Refusal> {
    let invalid = |message: &str| Err(Refusal::new(Reason::InvalidSpec, message.to_owned()));
    if spec.role.is_none() && spec.permissions.is_empty() {
        return invalid(
            "The token has neither spec.role nor spec.permissions, so it could do nothing. Give it one or both.",
        );
    }
    let zero = |duration: Option<&Duration>| duration.is_some_and(Duration::is_zero);
    let rotation = spec.rotation.as_ref();
    let secret = spec.secret.as_ref();
    if zero(rotation.and_then(|rotation| rotation.renew_before.as_ref()))
        || zero(secret.and_then(|secret| secret.claim_window.as_ref()))
        || zero(spec.expiry.as_ref().and_then(|expiry| expiry.cleanup_after.as_ref()))
    {
        return invalid(
            "One of rotation.renewBefore, secret.claimWindow and expiry.cleanupAfter is zero. Give it a length, or leave it out.",
        );
    }
    let Some(expiry) = &spec.expiry else { return Ok(()) };
    if let (Some(start), Some(end)) = (&spec.not_before, &expiry.at)
        && start.0 >= end.0
    {
        return invalid(
            "spec.notBefore is not before spec.expiry.at, so the token would never work. Correct one of them.",
        );
    }
    if expiry.after.is_some() && expiry.at.is_some() {
        return invalid("spec.expiry has both after and at. Give either a lifetime or a fixed time.");
    }
    if expiry.after.as_ref().is_some_and(|after| after.is_zero()) {
        return invalid("spec.expiry.after is zero. Give a lifetime such as 90d, or leave it out.");
    }
    if expiry.action == ExpiryAction::Rotate {
        let Some(after) = &expiry.after else {
            return invalid("spec.expiry.action Rotate needs spec.expiry.after, the lifetime of one credential.");
        };
        if secret.is_some_and(|secret| secret.delivery == Delivery::Once) {
            return invalid(
                "spec.secret.delivery Once shows a token one time only, so it cannot go with spec.expiry.action Rotate. Change one of them.",
            );
        }
        let renew_before = rotation.and_then(|rotation| rotation.renew_before.as_ref());
        if let Some(renew_before) = renew_before
            && renew_before.seconds() >= after.seconds()
        {
            return Err(Refusal::new(
                Reason::InvalidSpec,
                format!(
                    "spec.rotation.renewBefore {renew_before} is not shorter than spec.expiry.after {after}. Make it shorter, or leave it out for a third."
                ),
            ));
        }
    }
    Ok(())
}

/// A name in a token's spec that its organisation does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    /// The path of the field that has it.
    pub field: String,
    /// What a token that has it is refused for.
    pub refusal: Refusal,
}

/// The names in the spec that are none of the organisation's, in the order in which they are judged.
pub fn unknown_names(spec: &ApiTokenSpec, organisation: &OrganisationSpec) -> Vec<UnknownName> {
    let mut unknown = Vec::new();
    let mut none_called = |field: String, reason, what: &str, name: &str, known: &[String]| {
        let organisation = &spec.organisation;
        let message = format!(
            "Organisation {organisation:?} has no {what} {name:?}. {}",
            choices(&format!("{what}s"), known)
        );
        let refusal = Refusal::new(reason, message);
        unknown.push(UnknownName { field, refusal });
    };
    if let Some(role) = &spec.role {
        let roles: Vec<String> = organisation
            .effective_roles()
            .into_iter()
            .map(|role| role.name)
            .collect();
        if !roles.contains(role) {
            none_called("spec.role".to_owned(), Reason::RoleNotFound, "role", role, &roles);
        }
    }
    let is_project = |name: &String| organisation.projects.iter().any(|project| project.name == *name);
    for (index, name) in spec.projects.iter().flatten().enumerate() {
        if !is_project(name) {
            let known: Vec<String> = organisation.projects.iter().map(|known| known.name.clone()).collect();
            let field = format!("spec.projects[{index}]");
            none_called(field, Reason::ProjectNotFound, "project", name, &known);
        }
    }
    let is_filter = |name: &String| organisation.ip_filters.iter().any(|filter| filter.name == *name);
    for (index, name) in spec.ip_filters.iter().enumerate() {
        if !is_filter(name) {
            let known: Vec<String> = organisation.ip_filters.iter().map(|known| known.name.clone()).collect();
            let field = format!("spec.ipFilters[{index}]");
            none_called(field, Reason::IpFilterNotFound, "IP filter", name, &known);
        }
    }
    for (index, permission) in spec.permissions.iter().enumerate() {
        if let Some(catalogue) = &organisation.permissions
            && !in_catalogue(permission, catalogue)
        {
            let field = format!("spec.permissions[{index}]");
            let reason = Reason::PermissionNotInCatalogue;
            none_called(field, reason, "permission", permission, catalogue);
        }
    }
    unknown
}

/// Whether a permission, or at least one of those a wildcard stands for, is in the catalogue.
pub(super) fn in_catalogue(permission: &str, catalogue: &[String]) -> bool {
    match permission.strip_suffix('*') {
        Some(prefix) => catalogue.iter().any(|known| known.starts_with(prefix)),
        None => catalogue.iter().any(|known| known == permission),
    }
}

/// "It has the roles …": what can be written instead, without flooding the condition.
fn choices(what: &str, names: &[String]) -> String {
    const SHOWN: usize = 12;
    match names {
        [] => format!("It has no {what} at all."),
        _ if names.len() <= SHOWN => format!("Its {what}: {}.", names.join(", ")),
        _ => format!(
            "Its {what}: {}, and {} more.",
            names[..SHOWN].join(", "),
            names.len() - SHOWN
        ),
    }
}

/// A manifest's time may have a fraction of a second.
fn in_whole_seconds(time: &Time) -> Time {
    Time(whole_seconds(time.0))
}

/// All that a spec asks for.
pub fn asked(spec: &ApiTokenSpec) -> Grant {
    let after = spec.expiry.as_ref().and_then(|expiry| expiry.after.clone());
    let at = spec
        .expiry
        .as_ref()
        .and_then(|expiry| expiry.at.as_ref())
        .map(in_whole_seconds);
    Grant {
        role: spec.role.clone(),
        permissions: spec.permissions.clone(),
        projects: spec.projects.clone(),
        ip_filters: spec.ip_filters.clone(),
        expiry: (after.is_some() || at.is_some()).then(|| {
            Box::new(GrantedExpiry {
                after,
                at,
                limit: None,
                not_before: spec.not_before.as_ref().map(in_whole_seconds),
            })
        }),
    }
}
