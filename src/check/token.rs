//! What the controller would say of a token.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    Finding, Rule, Severity,
    object::{Found, Source},
    world::{Seen, World},
};
use crate::{
    api::{ApiToken, ApiTokenStatus, OrganisationSpec, condition::Reason},
    domain::{
        admission::{self, Verdict},
        lifecycle::never_issued,
        policy::{Field, Stage},
    },
};

pub(super) fn judge(found: &Found<ApiToken>, world: &World, now: Timestamp, findings: &mut Vec<Finding>) {
    let Some(token) = &found.object else { return };
    let case = Case { found, token, world };
    match world.organisation(&token.spec.organisation) {
        Seen::Known(spec) => case.by_organisation(spec, findings),
        Seen::Refused => {}
        Seen::Absent => findings.push(case.without_organisation()),
    }
    findings.extend(case.expired(now));
    case.by_policies(now, findings);
}

struct Case<'a> {
    found: &'a Found<ApiToken>,
    token: &'a ApiToken,
    world: &'a World,
}

impl Case<'_> {
    fn source(&self) -> &Source {
        &self.found.source
    }

    fn without_organisation(&self) -> Finding {
        let field = "spec.organisation";
        if self.world.is_complete
            && let Verdict::Held(refusal) = admission::judge(self.token, None, &BTreeMap::new())
        {
            return self
                .source()
                .finding(Severity::Error, Rule::of(refusal.reason), field, refusal.message);
        }
        let names = self.world.organisation_names();
        let known = match names.is_empty() {
            true => "There is no Organisation at all in what is checked".to_owned(),
            false => format!("Those in what is checked: {}", names.join(", ")),
        };
        let message = format!(
            "There is no Organisation {:?} in what is checked, so nothing that it decides was judged. {known}. Check it \
             together with its organisation, or against a cluster with --kubeconfig.",
            self.token.spec.organisation
        );
        self.source()
            .finding(Severity::Warning, Rule::OrganisationNotFound, field, message)
    }

    fn by_organisation(&self, organisation: &OrganisationSpec, findings: &mut Vec<Finding>) {
        // What holds a token back as a whole is told by itself, so that the rest is judged all the same.
        let (mut organisation, mut token) = (organisation.clone(), self.token.clone());
        findings.extend(self.by_namespace(&organisation));
        let namespace = token.metadata.namespace.get_or_insert_default().clone();
        organisation.namespaces.get_or_insert_default().names.push(namespace);
        let labels = BTreeMap::new();
        if organisation.suspended {
            if let Verdict::Held(refusal) = admission::judge(&token, Some(&organisation), &labels)
                && refusal.reason == Reason::OrganisationSuspended
            {
                let (severity, rule) = (Severity::Warning, Rule::OrganisationSuspended);
                findings.push(
                    self.source()
                        .finding(severity, rule, "spec.organisation", refusal.message),
                );
            }
            organisation.suspended = false;
        }
        token.spec.suspended = false;
        let refusal = match admission::judge(&token, Some(&organisation), &labels) {
            Verdict::Revoked(refusal) => Some((refusal, "spec.user")),
            Verdict::Refused(refusal) if refusal.reason == Reason::InvalidSpec && !self.found.is_refused => {
                Some((refusal, "spec"))
            }
            // Names are told below, all of them.
            Verdict::Granted(_) | Verdict::Refused(_) | Verdict::Held(_) => None,
        };
        if let Some((refusal, field)) = refusal {
            let rule = Rule::of(refusal.reason);
            findings.push(self.source().finding(Severity::Error, rule, field, refusal.message));
        }
        for unknown in admission::unknown_names(&token.spec, &organisation) {
            let (rule, message) = (Rule::of(unknown.refusal.reason), unknown.refusal.message);
            findings.push(self.source().finding(Severity::Error, rule, &unknown.field, message));
        }
    }

    fn by_namespace(&self, organisation: &OrganisationSpec) -> Option<Finding> {
        let namespace = self.token.metadata.namespace.as_deref()?;
        let name = &self.token.spec.organisation;
        let field = "metadata.namespace";
        let finding = |severity, rule, message: String| Some(self.source().finding(severity, rule, field, message));
        let none = BTreeMap::new();
        match self.world.labels_of(namespace) {
            None if self.world.is_complete => {
                let message = format!(
                    "There is no namespace {namespace:?} in the cluster, nor in what is checked. Create it, or put the ApiToken into another."
                );
                finding(Severity::Error, Rule::NamespaceNotFound, message)
            }
            None if !organisation.allows_namespace(namespace, &none) && selects_namespaces(organisation) => {
                let message = format!(
                    "Organisation {name:?} selects namespaces by their labels, and those of {namespace:?} are not known. Check it \
                     together with the Namespace, or against a cluster with --kubeconfig."
                );
                finding(Severity::Warning, Rule::NamespaceUnknown, message)
            }
            labels => {
                let verdict = admission::judge(self.token, Some(organisation), labels.unwrap_or(&none));
                let Verdict::Held(refusal) = verdict else { return None };
                (refusal.reason == Reason::NamespaceNotAllowed)
                    .then(|| finding(Severity::Error, Rule::NamespaceNotAllowed, refusal.message))?
            }
        }
    }

    fn expired(&self, now: Timestamp) -> Option<Finding> {
        let at = self.token.spec.expiry.as_ref()?.at.as_ref()?.0;
        let was_issued = self
            .token
            .status
            .as_ref()
            .is_some_and(|status| status.issued_at.is_some());
        (at <= now && !was_issued).then(|| {
            let said = never_issued(at);
            // The record of a token that is over may stay.
            self.source()
                .finding(Severity::Warning, Rule::of(said.reason), "spec.expiry.at", said.message)
        })
    }

    fn by_policies(&self, now: Timestamp, findings: &mut Vec<Finding>) {
        let spec = &self.token.spec;
        let policies = self.world.policies_for(&spec.organisation);
        let asked = admission::asked(spec);
        let none_yet = ApiTokenStatus::default();
        let status = self.token.status.as_ref().unwrap_or(&none_yet);
        let granted = status.grant.as_ref();
        let candidate = self.world.candidate(self.token, status);
        let verdict = candidate.judge(&policies, &asked, Stage::Request { granted }, now);
        let violations = verdict
            .violations
            .into_iter()
            .map(|violation| (Severity::Error, violation));
        let warnings = verdict
            .warnings
            .into_iter()
            .map(|violation| (Severity::Warning, violation));
        for (severity, violation) in violations.chain(warnings) {
            let rule = match violation.field {
                Field::Issuance => Rule::IssuanceDenied,
                _ => Rule::PolicyViolation,
            };
            let field = field_of(violation.field, self.token);
            findings.push(self.source().finding(severity, rule, field, violation.message));
        }
    }
}

fn selects_namespaces(organisation: &OrganisationSpec) -> bool {
    organisation
        .namespaces
        .as_ref()
        .is_some_and(|allowed| allowed.selector.is_some())
}

/// What a token would change for this field of a policy.
fn field_of(field: Field, token: &ApiToken) -> &'static str {
    let ends_at = token.spec.expiry.as_ref().is_some_and(|expiry| expiry.at.is_some());
    match field {
        Field::Issuance => "spec.type",
        Field::MaxTokens | Field::Idle(_) => "metadata.name",
        Field::ExpiryRequired => "spec.expiry",
        Field::ExpiryMax | Field::ExpiryAllowed if ends_at => "spec.expiry.at",
        Field::ExpiryMax | Field::ExpiryAllowed => "spec.expiry.after",
        Field::RolesAllowed => "spec.role",
        Field::PermissionsAllowed if token.spec.permissions.is_empty() => "spec.role",
        Field::PermissionsAllowed | Field::PermissionsAllowUpdates => "spec.permissions",
        Field::ProjectsRequired => "spec.projects",
        Field::IpFiltersAllowCustom => "spec.ipFilters",
    }
}
