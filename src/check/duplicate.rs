//! Objects that are there twice, and Secrets that two tokens would share.

use std::collections::HashMap;

use super::{
    Finding, Rule, Severity,
    object::{Found, Set, Source},
};
use crate::api::ApiToken;

pub(super) fn find(set: &Set, findings: &mut Vec<Finding>) {
    let organisations = set.organisations.iter().map(|found| &found.source);
    let policies = set.policies.iter().map(|found| &found.source);
    let tokens = set.tokens.iter().map(|found| &found.source);
    let mut first: HashMap<_, &Source> = HashMap::new();
    // What is generated differs from all.
    let named = organisations
        .chain(policies)
        .chain(tokens)
        .filter(|source| !source.name.name.ends_with('*'));
    for source in named {
        if let Some(first) = first.insert(&source.name, source) {
            let message = format!(
                "It is there twice: {} has it too, and the one that is applied last stays. Delete one of the two, or rename it.",
                first.place()
            );
            findings.push(source.finding(Severity::Error, Rule::Duplicate, "metadata.name", message));
        }
    }
}

/// Two tokens of one namespace with one Secret: the one that comes second never gets it.
pub(super) fn find_shared_secrets(tokens: &[Found<ApiToken>], findings: &mut Vec<Finding>) {
    let mut first: HashMap<_, &Found<ApiToken>> = HashMap::new();
    for found in tokens {
        let Some(token) = &found.object else { continue };
        if token.metadata.name.is_none() {
            continue;
        }
        let secret = (found.source.name.namespace.clone(), token.secret_name());
        let Some(other) = first.get(&secret) else {
            first.insert(secret, found);
            continue;
        };
        if other.source.name != found.source.name {
            let named = token.spec.secret.as_ref().is_some_and(|options| options.name.is_some());
            let field = if named { "spec.secret.name" } else { "metadata.name" };
            let message = format!(
                "Secret {:?} is {}'s already, so this one gets none. Give it another spec.secret.name.",
                secret.1, other.source.name
            );
            findings.push(
                found
                    .source
                    .finding(Severity::Error, Rule::SecretConflict, field, message),
            );
        }
    }
}
