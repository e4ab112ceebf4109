//! Defaults and validation of builtin kinds, and of the metadata of every object.

use jiff::Timestamp;
use serde_json::Value;

use crate::schema::FieldError;

/// What an object's name must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// A DNS-1123 subdomain: most kinds.
    Subdomain,
    /// A DNS-1123 label: namespaces.
    Label,
    /// A DNS-1035 label: services.
    ServiceName,
    /// Whatever can stand in a path: RBAC kinds.
    PathSegment,
}

/// The rule for the names of a builtin kind; custom resources are subdomains.
pub fn name_rule(group: &str, kind: &str) -> NameRule {
    let _ = (group, kind);
    NameRule::Subdomain
}

/// Checks the metadata of an object of any kind (after a name has been generated), and with `old` that it may
/// replace that one.
pub fn metadata(object: &Value, namespaced: bool, rule: NameRule, old: Option<&Value>) -> Vec<FieldError> {
    let _ = (object, namespaced, rule, old);
    Vec::new()
}

/// Fills in the defaults of a builtin kind and checks it (its metadata too), and with `old` that it may replace that
/// one.
///
/// # Errors
/// Every field that the real API server would refuse, in its words.
pub fn builtin(
    group: &str,
    kind: &str,
    object: &mut Value,
    old: Option<&Value>,
    now: Timestamp,
) -> Result<(), Vec<FieldError>> {
    let _ = (group, kind, object, old, now);
    Ok(())
}
