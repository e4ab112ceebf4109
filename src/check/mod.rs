//! What is wrong with a set of manifests, for `tokenwright check`: pure, from texts to findings.
//!
//! - `document`: YAML that knows its lines; `header`: whose it is; `object`: what of it is ours, judged by the schema as the API server would.
//! - `world`: the organisations, namespaces and policies that there will be, from the files and perhaps a cluster.
//! - `token`, `organisation`, `policy`: what the controller would say, by the functions of [`crate::domain`].
//! - `effect`: what becomes of the tokens that a cluster has.
//!
//! # What cannot be known without a cluster
//!
//! An organisation that no file has may be in the cluster, and so may the labels of a namespace. Without a cluster this
//! is a warning, with one an error.

pub(crate) mod document;
mod duplicate;
mod effect;
mod finding;
pub(crate) mod header;
mod object;
mod organisation;
mod policy;
#[cfg(test)]
mod tests;
mod token;
mod world;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use finding::{Finding, Name, Rule, Severity};

use crate::api::{ApiToken, Organisation, TokenPolicy};

/// A file, or what came on standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// What findings call it.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// What a cluster has.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// All Organisations.
    pub organisations: Vec<Organisation>,
    /// All TokenPolicies.
    pub policies: Vec<TokenPolicy>,
    /// All ApiTokens.
    pub tokens: Vec<ApiToken>,
    /// The labels of all namespaces.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many files were read.
    pub files: usize,
    /// How many objects of tokenwright.dev are in them.
    pub objects: usize,
    /// In the order of their places.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many findings are of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    }
}

/// Judges the manifests of `files`, as if they were applied to `cluster` in this order. `namespace`: of ApiTokens that do
/// not say theirs.
pub fn check(files: &[File], cluster: Option<&Cluster>, namespace: Option<&str>, now: Timestamp) -> Report {
    let mut findings = Vec::new();
    let mut set = object::read(files, namespace, &mut findings);
    duplicate::find(&set, &mut findings);
    object::judge(&mut set, cluster, &mut findings);
    duplicate::find_shared_secrets(&set.tokens, &mut findings);
    let world = world::World::new(&set, cluster);
    for found in &set.organisations {
        organisation::judge(found, &mut findings);
    }
    for found in &set.policies {
        policy::judge(found, &world, &mut findings);
    }
    for found in &set.tokens {
        token::judge(found, &world, now, &mut findings);
    }
    if let Some(cluster) = cluster {
        effect::tell(&set, cluster, &world, now, &mut findings);
    }
    findings.sort();
    findings.dedup();
    Report {
        files: files.len(),
        objects: set.objects(),
        findings,
    }
}
