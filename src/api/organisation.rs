use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The prefix of an organisation's tokens when it names none.
pub const DEFAULT_PREFIX: &str = "tw";

/// An organisation that owns API tokens: who its members are, what its roles may do, and which namespaces may hold its
/// tokens. Written by the platform's administrator.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "tokenwright.dev",
    version = "v1alpha1",
    kind = "Organisation",
    plural = "organisations",
    shortname = "org",
    category = "tokenwright",
    status = "OrganisationStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "An organisation that owns API tokens: who its members are, what its roles may do, and which namespaces may hold its tokens.",
    printcolumn(name = "Display Name", type_ = "string", json_path = ".spec.displayName"),
    printcolumn(name = "Tokens", type_ = "integer", json_path = ".status.tokens.total"),
    printcolumn(name = "Active", type_ = "integer", json_path = ".status.tokens.active"),
    printcolumn(name = "Expired", type_ = "integer", json_path = ".status.tokens.expired"),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspended"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("!has(self.members) || self.members.all(m, has(self.roles) ? self.roles.exists(r, r.name == m.role) : m.role in ['Owner', 'Admin', 'Member'])", "every member's role must be the name of one of spec.roles, or Owner, Admin or Member when spec.roles is left out")
)]
pub struct OrganisationSpec {
    /// What people call the organisation, at most 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub display_name: Option<String>,

    /// How this organisation's tokens start, so that a leaked one can be recognised: 2 to 16 lower-case letters and
    /// digits, starting with a letter. A change applies to new credentials only. Default: tw.
    #[serde(default = "default_prefix")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = ("self.matches('^[a-z][a-z0-9]{1,15}$')", "must be 2 to 16 lower-case letters and digits, starting with a letter, such as acme"))]
    pub token_prefix: String,

    /// Which namespaces may hold this organisation's tokens. Left out or empty: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Namespaces>,

    /// The roles that members and tokens can have. Left out: Owner and Admin (everything, and they manage tokens) and
    /// Member (nothing).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub roles: Option<Vec<Role>>,

    /// Who belongs to the organisation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["kind", "name", "namespace"]))]
    pub members: Vec<Member>,

    /// The projects that a token can be limited to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub projects: Vec<Project>,

    /// A catalogue of the permissions that exist, such as queries:block. When given, every permission named in a role
    /// or a token must match one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), inner(length(max = 128)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = ("self.all(p, p.matches('^[A-Za-z0-9._-]+(:[A-Za-z0-9._-]+)*$'))", "a permission is words joined by colons, such as queries:block, without wildcards in the catalogue"))]
    pub permissions: Option<Vec<String>>,

    /// Named lists of addresses that tokens may be used from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub ip_filters: Vec<IpFilter>,

    /// The request headers in which this organisation's API takes a client ID and a secret key, besides
    /// Authorization. Left out: x-client-id and x-secret-key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<CredentialHeaders>,

    /// Refuse every token of the organisation, until it is false again.
    #[serde(default)]
    pub suspended: bool,
}

fn default_prefix() -> String {
    DEFAULT_PREFIX.to_owned()
}

/// Which namespaces may hold an organisation's tokens: those named and those whose labels match.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Namespaces {
    /// Namespaces by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), inner(length(max = 63)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = ("self.all(n, n.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))", "must be names of namespaces; use namespaces.selector to match several by their labels"))]
    pub names: Vec<String>,

    /// Namespaces by their labels. An empty selector matches every namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// What somebody or some token with this role may do.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// The role's name, unique in the organisation.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self.matches('^[A-Za-z]([-._A-Za-z0-9]*[A-Za-z0-9])?$')", "must be letters, digits, '-', '.' and '_', starting with a letter, such as Developer"))]
    pub name: String,

    /// What the role is for, at most 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,

    /// What the role permits: queries:block is one permission, queries:* all that start with queries:, and * everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), inner(length(max = 128)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = ("self.all(p, p.matches('^([*]|[A-Za-z0-9._-]+(:[A-Za-z0-9._-]+)*(:[*])?)$'))", "a permission is words joined by colons, such as queries:block; queries:* for all that start so; or * for everything"))]
    pub permissions: Vec<String>,

    /// Whether members with this role may create, change and revoke the organisation's tokens. Whoever may do so has
    /// everything that the organisation has, whatever the role's permissions, and can make Personal tokens in the name of
    /// every member.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub manages_tokens: bool,
}

/// What kind of subject is meant, as in RBAC.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SubjectKind {
    #[allow(
        missing_docs,
        reason = "a documented variant would not come out as a plain enum in the schema"
    )]
    #[default]
    User,
    #[allow(missing_docs, reason = "as above")]
    Group,
    #[allow(missing_docs, reason = "as above")]
    ServiceAccount,
}

/// A user, a group or a service account, as in RBAC.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("self.kind != 'ServiceAccount' || self.namespace != ''", "a ServiceAccount needs its namespace"),
    validation = ("self.kind == 'ServiceAccount' || self.namespace == ''", "only a ServiceAccount has a namespace; leave it out for a User or a Group")
)]
pub struct Subject {
    /// User, Group or ServiceAccount.
    pub kind: SubjectKind,

    /// The name as the API server's authentication gives it.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// The namespace of a ServiceAccount.
    #[serde(default)]
    #[schemars(length(max = 63))]
    pub namespace: String,
}

/// A member of the organisation and the role it has.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("self.kind != 'ServiceAccount' || self.namespace != ''", "a ServiceAccount needs its namespace"),
    validation = ("self.kind == 'ServiceAccount' || self.namespace == ''", "only a ServiceAccount has a namespace; leave it out for a User or a Group")
)]
pub struct Member {
    /// User, Group or ServiceAccount.
    pub kind: SubjectKind,

    /// The name as the API server's authentication gives it.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// The namespace of a ServiceAccount.
    #[serde(default)]
    #[schemars(length(max = 63))]
    pub namespace: String,

    /// The name of one of the organisation's roles.
    #[schemars(length(min = 1, max = 63))]
    pub role: String,

    /// Where notices to this member go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 254))]
    #[x_kube(validation = ("self.matches('^[^@ ]+@[^@ ]+$')", "must be an e-mail address such as ann@example.com"))]
    pub email: Option<String>,
}

/// A project that tokens can be limited to.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    /// The project's name, unique in the organisation.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self.matches('^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$')", "must be letters, digits, '-', '.' and '_', starting and ending with a letter or digit"))]
    pub name: String,

    /// What people call the project, at most 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub display_name: Option<String>,
}

/// A named list of address rules. The rule with the longest matching prefix decides; on a tie Deny wins; an address that
/// no rule matches is denied.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IpFilter {
    /// The filter's name, unique in the organisation.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self.matches('^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$')", "must be letters, digits, '-', '.' and '_', starting and ending with a letter or digit"))]
    pub name: String,

    /// The rules; their order does not matter.
    #[schemars(length(min = 1, max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub rules: Vec<IpFilterRule>,
}

/// Whether an address rule lets in or keeps out.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FilterAction {
    #[allow(
        missing_docs,
        reason = "a documented variant would not come out as a plain enum in the schema"
    )]
    Allow,
    #[allow(missing_docs, reason = "as above")]
    #[default]
    Deny,
}

/// One rule of an IP filter.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IpFilterRule {
    /// Allow or Deny.
    pub action: FilterAction,

    /// all, an IPv4 or IPv6 address, or a range in CIDR notation such as 10.0.0.0/8.
    #[schemars(length(max = 64))]
    #[x_kube(validation = ("self == 'all' || isIP(self) || isCIDR(self)", "must be all, an IP address or a range such as 10.0.0.0/8 or 2001:db8::/32"))]
    pub address: String,
}

/// The pair of request headers that carries a credential.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("self.clientId.lowerAscii() != self.secretKey.lowerAscii()", "clientId and secretKey must be two different headers"))]
pub struct CredentialHeaders {
    /// The header that carries the client ID, such as x-acme-client-id.
    #[schemars(length(max = 128))]
    #[x_kube(validation = ("self.matches('^[A-Za-z0-9-]+$') && !(self.lowerAscii() in ['authorization', 'cookie', 'host', 'connection'])", "must be a header name of letters, digits and '-', such as x-acme-client-id, and none that HTTP itself uses"))]
    pub client_id: String,

    /// The header that carries the secret key, such as x-acme-secret-key.
    #[schemars(length(max = 128))]
    #[x_kube(validation = ("self.matches('^[A-Za-z0-9-]+$') && !(self.lowerAscii() in ['authorization', 'cookie', 'host', 'connection'])", "must be a header name of letters, digits and '-', such as x-acme-secret-key, and none that HTTP itself uses"))]
    pub secret_key: String,
}

/// What the controller found.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OrganisationStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready, with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// How many tokens the organisation has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenCounts>,
}

/// How many tokens an organisation has, by what became of them.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TokenCounts {
    /// All of them.
    #[schemars(with = "i32")]
    pub total: u32,
    /// Those that work.
    #[schemars(with = "i32")]
    pub active: u32,
    /// Those that work, expire within seven days and are not rotated.
    #[schemars(with = "i32")]
    pub expiring: u32,
    /// Those that expired.
    #[schemars(with = "i32")]
    pub expired: u32,
    /// Those that are suspended, by themselves or with the organisation.
    #[schemars(with = "i32")]
    pub suspended: u32,
    /// Those of which an enforced policy refuses what they have or what they ask for.
    #[schemars(with = "i32")]
    pub violating: u32,
}

impl OrganisationSpec {
    /// The roles in force: those written, or the three that every organisation without any has.
    pub fn effective_roles(&self) -> Vec<Role> {
        self.roles.clone().unwrap_or_else(|| {
            let role = |name: &str, permissions: &[&str], manages_tokens| Role {
                name: name.to_owned(),
                permissions: permissions.iter().map(|&permission| permission.to_owned()).collect(),
                manages_tokens,
                description: None,
            };
            vec![
                role("Owner", &["*"], true),
                role("Admin", &["*"], true),
                role("Member", &[], false),
            ]
        })
    }

    /// Whether the selector of namespaces makes sense.
    pub fn has_sound_selector(&self) -> bool {
        let selector = self.namespaces.as_ref().and_then(|allowed| allowed.selector.as_ref());
        selector.is_none_or(|selector| matches(selector, &BTreeMap::new()).is_some())
    }

    /// Whether a namespace of this name and these labels may hold the organisation's tokens.
    pub fn allows_namespace(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.namespaces.as_ref().is_some_and(|allowed| {
            allowed.names.iter().any(|allowed| allowed == name)
                || allowed
                    .selector
                    .as_ref()
                    // One that makes no sense allows none.
                    .is_some_and(|selector| matches(selector, labels) == Some(true))
        })
    }
}

/// Whether `selector` matches `labels`. None: it makes no sense.
pub(super) fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> Option<bool> {
    use kube::core::{Selector, SelectorExt};
    let selector = Selector::try_from(selector.clone()).ok()?;
    Some(selector.matches(labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    fn spec(namespaces: serde_json::Value) -> OrganisationSpec {
        serde_json::from_value(serde_json::json!({ "namespaces": namespaces })).unwrap()
    }

    #[test]
    fn no_namespaces_means_none() {
        assert!(!OrganisationSpec::default().allows_namespace("web", &labels(&[])));
        assert!(!spec(serde_json::json!({})).allows_namespace("web", &labels(&[])));
    }

    #[test]
    fn a_namespace_is_allowed_by_name_or_by_label() {
        let spec = spec(serde_json::json!({
            "names": ["web"],
            "selector": { "matchExpressions": [{ "key": "team", "operator": "In", "values": ["a", "b"] }] },
        }));
        assert!(spec.allows_namespace("web", &labels(&[])));
        assert!(spec.allows_namespace("other", &labels(&[("team", "b")])));
        assert!(!spec.allows_namespace("other", &labels(&[("team", "c")])));
    }

    #[test]
    fn an_empty_selector_matches_every_namespace_and_a_broken_one_none() {
        assert!(spec(serde_json::json!({ "selector": {} })).allows_namespace("any", &labels(&[])));
        let broken = serde_json::json!({ "selector": { "matchExpressions": [{ "key": "a", "operator": "Like" }] } });
        assert!(!spec(broken).allows_namespace("any", &labels(&[("a", "b")])));
    }
}
