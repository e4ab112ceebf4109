use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::{Duration, TokenType, duration, organisation};

/// Rules for the tokens of organisations: how long they may live, what they may do, from where they work. All policies
/// that select a token hold together, the strictest value of each.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "tokenwright.dev",
    version = "v1alpha1",
    kind = "TokenPolicy",
    plural = "tokenpolicies",
    shortname = "tpol",
    category = "tokenwright",
    status = "TokenPolicyStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Rules for the tokens of organisations: how long they may live, what they may do, from where they work. All policies that select a token hold together, the strictest value of each.",
    printcolumn(name = "Types", type_ = "string", json_path = ".spec.types"),
    printcolumn(name = "Issuance", type_ = "string", json_path = ".spec.issuance"),
    printcolumn(name = "Max Expiry", type_ = "string", json_path = ".spec.expiry.max"),
    printcolumn(name = "Enforcement", type_ = "string", json_path = ".spec.enforcement"),
    printcolumn(name = "Matched", type_ = "integer", json_path = ".status.tokens.matched"),
    printcolumn(name = "Violating", type_ = "integer", json_path = ".status.tokens.violating"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct TokenPolicySpec {
    /// Which organisations' tokens the policy is for: those named and those whose labels match. Left out or empty: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisations: Option<SelectedOrganisations>,

    /// Which tokens the policy is for: Organisation, Personal or both. Default: both.
    #[serde(default = "both_types")]
    #[schemars(length(min = 1, max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub types: Vec<TokenType>,

    /// Allow: tokens are issued. Deny: none are; those that exist are refused, and their Secrets are deleted.
    #[serde(default)]
    pub issuance: Issuance,

    /// How long tokens may live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<ExpiryPolicy>,

    /// From where tokens work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_filters: Option<IpFilterPolicy>,

    /// Which roles tokens may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<RolePolicy>,

    /// What tokens may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<PermissionPolicy>,

    /// What tokens may reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projects: Option<ProjectPolicy>,

    /// How many tokens of these types an organisation may have. The oldest ones win.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1))]
    pub max_tokens: Option<u32>,

    /// What becomes of tokens that nobody uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<IdlePolicy>,

    /// Enforce: the policy holds. Warn: what it hits is reported and nothing is enforced, as a preview.
    #[serde(default)]
    pub enforcement: Enforcement,
}

fn both_types() -> Vec<TokenType> {
    vec![TokenType::Organisation, TokenType::Personal]
}

/// Which organisations a policy is for.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SelectedOrganisations {
    /// Organisations by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub names: Vec<String>,

    /// Organisations by their labels. An empty selector matches every organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// Whether tokens are issued at all.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Issuance {
    #[allow(
        missing_docs,
        reason = "a documented variant would not come out as a plain enum in the schema"
    )]
    #[default]
    Allow,
    #[allow(missing_docs, reason = "as above")]
    Deny,
}

/// How long tokens may live.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(default_within_max_rule()).message("default must not be longer than max; make it shorter, or max longer"),
    validation = Rule::new(allowed_within_max_rule()).message("no lifetime in allowed may be longer than max; take out those that are, or make max longer"),
    validation = Rule::new(default_allowed_rule()).message("default must be one of the lifetimes in allowed; choose one of them, or add it")
)]
pub struct ExpiryPolicy {
    /// Every token must say when it expires, with spec.expiry.after or spec.expiry.at, unless this policy gives a default.
    /// What lives already without an end gets one from this policy's default or max, and does not work where it has neither.
    #[serde(default)]
    pub required: bool,

    /// The longest lifetime, such as 90d, from the issue of a credential. Credentials that live already end then too, and
    /// what was cut short stays so when the policy goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration::positive")]
    pub max: Option<Duration>,

    /// The lifetime of tokens that ask for none, from their next credential on, such as 30d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration::positive")]
    pub default: Option<Duration>,

    /// The lifetimes to choose from, such as 7d, 30d and 90d: spec.expiry.after must be one of them. A token that never
    /// expires is another matter; see required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "lifetimes")]
    pub allowed: Option<Vec<Duration>>,
}

fn lifetimes(generator: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({
        "type": "array",
        "maxItems": 16,
        "items": duration::positive(generator),
        "x-kubernetes-list-type": "set"
    })
}

fn default_within_max_rule() -> String {
    format!(
        "!has(self.default) || !has(self.max) || {} <= {}",
        duration::cel_seconds("self.default"),
        duration::cel_seconds("self.max"),
    )
}

fn allowed_within_max_rule() -> String {
    format!(
        "!has(self.allowed) || !has(self.max) || self.allowed.all(a, {} <= {})",
        duration::cel_seconds("a"),
        duration::cel_seconds("self.max"),
    )
}

fn default_allowed_rule() -> String {
    format!(
        "!has(self.default) || !has(self.allowed) || self.allowed.size() == 0 || self.allowed.exists(a, {} == {})",
        duration::cel_seconds("a"),
        duration::cel_seconds("self.default"),
    )
}

/// From where tokens work.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IpFilterPolicy {
    /// The names of IP filters of the token's organisation that every request must pass, besides the token's own. A name
    /// that the organisation does not have lets nobody in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub required: Vec<String>,

    /// Whether tokens may have IP filters of their own besides the required ones. Default: true.
    #[serde(default = "yes")]
    pub allow_custom: bool,
}

/// Which roles tokens may have.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RolePolicy {
    /// The names of the roles that tokens may have. Left out: all of the organisation's. What a token may do besides by
    /// spec.permissions of its own it does not bound: permissions.allowed of the policy does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub allowed: Option<Vec<String>>,
}

/// What tokens may do.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PermissionPolicy {
    /// What tokens may do at most, by their role and their own permissions together: queries:block is one permission,
    /// queries:* all that start with queries:, and * everything. Left out: everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(max = 128)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = ("self.all(p, p.matches('^([*]|[A-Za-z0-9._-]+(:[A-Za-z0-9._-]+)*(:[*])?)$'))", "a permission is words joined by colons, such as queries:block; queries:* for all that start so; or * for everything"))]
    pub allowed: Option<Vec<String>>,

    /// Whether the role and the permissions of a token can be changed once it is issued. Default: true.
    #[serde(default = "yes")]
    pub allow_updates: bool,
}

/// What tokens may reach.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ProjectPolicy {
    /// Every token must name its projects: none reaches the whole organisation.
    #[serde(default)]
    pub required: bool,
}

/// What becomes of tokens that nobody uses.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IdlePolicy {
    /// For how long a token may go unused, such as 90d. It counts from the last use, or from the issue of the credential.
    #[schemars(schema_with = "duration::positive")]
    pub after: Duration,

    /// Suspend: the token is refused. Delete: its Secret is deleted too. A new spec.rotation.trigger brings it back.
    #[serde(default)]
    pub action: IdleAction,
}

/// What becomes of a token that nobody uses.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdleAction {
    #[allow(
        missing_docs,
        reason = "a documented variant would not come out as a plain enum in the schema"
    )]
    #[default]
    Suspend,
    #[allow(missing_docs, reason = "as above")]
    Delete,
}

/// Whether a policy holds or only reports.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enforcement {
    #[allow(
        missing_docs,
        reason = "a documented variant would not come out as a plain enum in the schema"
    )]
    #[default]
    Enforce,
    #[allow(missing_docs, reason = "as above")]
    Warn,
}

fn yes() -> bool {
    true
}

impl Default for IpFilterPolicy {
    fn default() -> Self {
        Self {
            required: Vec::new(),
            allow_custom: true,
        }
    }
}

impl Default for PermissionPolicy {
    fn default() -> Self {
        Self {
            allowed: None,
            allow_updates: true,
        }
    }
}

/// What the controller found.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TokenPolicyStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready, with its reason: False when the policy cannot be in force as it is written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// How many tokens the policy is for, and how many violate it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<PolicyCounts>,

    /// The first tokens that violate it, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["namespace", "name"]))]
    pub violations: Vec<ViolatingToken>,
}

/// How many tokens a policy is for.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PolicyCounts {
    /// Those that it selects.
    #[schemars(with = "i32")]
    pub matched: u32,
    /// Those of them that violate it.
    #[schemars(with = "i32")]
    pub violating: u32,
}

/// A token that violates a policy.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ViolatingToken {
    /// The namespace of the ApiToken.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl TokenPolicySpec {
    /// Whether the policy is for tokens of this type.
    pub fn is_for(&self, type_: TokenType) -> bool {
        self.types.is_empty() || self.types.contains(&type_)
    }

    /// Whether the policy is for the organisation of this name and these labels.
    ///
    /// A selector that makes no sense selects every organisation: a slip must not let tokens out of a policy.
    pub fn selects(&self, organisation: &str, labels: &BTreeMap<String, String>) -> bool {
        let Some(selected) = &self.organisations else {
            return true;
        };
        let is_named = selected.names.iter().any(|name| name == organisation);
        match &selected.selector {
            Some(selector) => is_named || organisation::matches(selector, labels).unwrap_or(true),
            None => is_named || selected.names.is_empty(),
        }
    }

    /// Whether the policy's selector makes sense.
    pub fn has_sound_selector(&self) -> bool {
        let selector = self
            .organisations
            .as_ref()
            .and_then(|selected| selected.selector.as_ref());
        selector.is_none_or(|selector| organisation::matches(selector, &BTreeMap::new()).is_some())
    }

    /// Whether the policy holds, rather than only reporting.
    pub fn is_enforced(&self) -> bool {
        self.enforcement == Enforcement::Enforce
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selects(organisations: serde_json::Value, name: &str, team: &str) -> bool {
        let spec: TokenPolicySpec = serde_json::from_value(json!({ "organisations": organisations })).unwrap();
        spec.selects(name, &BTreeMap::from([("team".to_owned(), team.to_owned())]))
    }

    #[test]
    fn a_policy_that_names_no_organisation_is_for_all() {
        for organisations in [
            json!(null),
            json!({}),
            json!({ "names": [] }),
            json!({ "selector": {} }),
        ] {
            assert!(selects(organisations.clone(), "acme", "a"), "{organisations}");
        }
    }

    #[test]
    fn a_policy_is_for_organisations_by_name_or_by_label() {
        let both = json!({ "names": ["acme"], "selector": { "matchLabels": { "team": "a" } } });
        assert!(selects(both.clone(), "acme", "b"));
        assert!(selects(both.clone(), "initech", "a"));
        assert!(!selects(both, "initech", "b"));
        assert!(!selects(json!({ "names": ["acme"] }), "initech", "a"));
    }

    #[test]
    fn a_selector_that_makes_no_sense_lets_no_organisation_out() {
        let broken = json!({ "selector": { "matchExpressions": [{ "key": "team", "operator": "Like" }] } });
        assert!(selects(broken.clone(), "acme", "a"));
        let spec: TokenPolicySpec = serde_json::from_value(json!({ "organisations": broken })).unwrap();
        assert!(!spec.has_sound_selector());
    }

    #[test]
    fn what_is_left_out_restricts_nothing() {
        let spec: TokenPolicySpec = serde_json::from_value(json!({ "ipFilters": {}, "permissions": {} })).unwrap();
        assert_eq!(
            spec,
            TokenPolicySpec {
                types: vec![TokenType::Organisation, TokenType::Personal],
                ip_filters: Some(IpFilterPolicy::default()),
                permissions: Some(PermissionPolicy::default()),
                ..TokenPolicySpec::default()
            }
        );
    }
}
