//! What is wrong with an organisation by itself.

use super::{Finding, Rule, Severity, object::Found};
use crate::{api::Organisation, domain::organisation::ready};

pub(super) fn judge(found: &Found<Organisation>, findings: &mut Vec<Finding>) {
    let Some(organisation) = found.sound() else { return };
    let mut spec = organisation.spec.clone();
    // Suspended on purpose.
    spec.suspended = false;
    if !spec.has_sound_selector() {
        let message = "spec.namespaces.selector makes no sense, so it selects no namespace. Each operator is In, NotIn, \
                       Exists or DoesNotExist, and only the first two take values.";
        let field = "spec.namespaces.selector";
        findings.push(found.source.finding(Severity::Error, Rule::InvalidSpec, field, message));
    }
    let said = ready(&spec, None);
    if !said.holds {
        findings.push(
            found
                .source
                .finding(Severity::Error, Rule::of(said.reason), "spec.roles", said.message),
        );
    }
}
