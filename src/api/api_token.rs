use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ApiTokenStatus, Duration, Subject, duration, time};

/// An API token of an organisation, kept in a Secret of the same namespace.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "tokenwright.dev",
    version = "v1alpha1",
    kind = "ApiToken",
    plural = "apitokens",
    namespaced,
    shortname = "apitok",
    category = "tokenwright",
    status = "ApiTokenStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "An API token of an organisation, kept in a Secret of the same namespace, and replaced or deleted in time.",
    selectable = ".spec.organisation",
    selectable = ".spec.type",
    printcolumn(name = "Organisation", type_ = "string", json_path = ".spec.organisation"),
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role"),
    printcolumn(name = "Scope", type_ = "string", json_path = ".status.scope"),
    printcolumn(name = "Token", type_ = "string", json_path = ".status.maskedToken"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.expiresAt"),
    printcolumn(name = "Last Used", type_ = "date", json_path = ".status.lastUsed.at"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Created By",
        type_ = "string",
        json_path = ".status.createdBy",
        priority = "1"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = "1"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("self.type != 'Personal' || has(self.user)", "a Personal token needs spec.user, the member it belongs to"),
    validation = ("self.type == 'Personal' || !has(self.user)", "spec.user is for Personal tokens; leave it out or set spec.type to Personal"),
    validation = ("has(self.user) == has(oldSelf.user) && (!has(self.user) || self.user == oldSelf.user)", "spec.user cannot be changed; create another ApiToken for another user"),
    validation = ("has(self.role) || (has(self.permissions) && self.permissions.size() > 0)", "give the token a spec.role, spec.permissions or both: one with neither could do nothing"),
    validation = ("(has(self.secret) && has(self.secret.name)) == (has(oldSelf.secret) && has(oldSelf.secret.name)) && (!has(self.secret) || !has(self.secret.name) || self.secret.name == oldSelf.secret.name)", "spec.secret.name cannot be changed; create another ApiToken to have another Secret"),
    validation = ("!has(self.secret) || self.secret.delivery != 'Once' || !has(self.expiry) || self.expiry.action != 'Rotate'", "spec.secret.delivery Once shows a token one time only, so it cannot go with spec.expiry.action Rotate; set spec.rotation.trigger to show a new one"),
    validation = ("!has(self.rotation) || !has(self.rotation.renewBefore) || (has(self.expiry) && self.expiry.action == 'Rotate')", "spec.rotation.renewBefore is for tokens with spec.expiry.action Rotate"),
    validation = ("(has(self.secret) ? self.secret.delivery : 'Persistent') == (has(oldSelf.secret) ? oldSelf.secret.delivery : 'Persistent')", "spec.secret.delivery cannot be changed; create another ApiToken that is delivered the other way"),
    validation = ("!has(self.notBefore) || !has(self.expiry) || !has(self.expiry.at) || self.notBefore < self.expiry.at", "spec.notBefore must be before spec.expiry.at"),
    validation = Rule::new(renew_before_rule()).message("spec.rotation.renewBefore must be shorter than spec.expiry.after")
)]
pub struct ApiTokenSpec {
    // What most tokens lack is boxed: every token of a cluster is held in memory.
    /// The name of the Organisation that the token belongs to. Cannot be changed.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = ("self == oldSelf", "spec.organisation cannot be changed; create another ApiToken for another organisation"))]
    pub organisation: String,

    /// Organisation: belongs to the organisation and survives its creator. Personal: belongs to one member, can do no
    /// more than they can, and ends with their membership. Cannot be changed.
    #[serde(default, rename = "type")]
    #[x_kube(validation = ("self == oldSelf", "spec.type cannot be changed; create another ApiToken of the other type"))]
    pub type_: TokenType,

    /// The member a Personal token belongs to: the name of one of the organisation's members of kind User. Cannot be
    /// changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub user: Option<String>,

    /// What the token is for, at most 256 characters: the label people know it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,

    /// The name of one of the organisation's roles: the token may do what the role permits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub role: Option<String>,

    /// What the token may do besides its role: queries:block is one permission, queries:* all that start with queries:,
    /// and * everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 128)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = ("self.all(p, p.matches('^([*]|[A-Za-z0-9._-]+(:[A-Za-z0-9._-]+)*(:[*])?)$'))", "a permission is words joined by colons, such as queries:block; queries:* for all that start so; or * for everything"))]
    pub permissions: Vec<String>,

    /// The names of the organisation's projects that the token reaches. Left out: the whole organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub projects: Option<Vec<String>>,

    /// Who may read the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignees: Option<Box<Assignees>>,

    /// The token is refused before this time. It is issued at once, so that workloads can be set up; its lifetime counts
    /// from here.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "time::not_before"
    )]
    pub not_before: Option<Time>,

    /// How long the token works, and what happens then. Left out: it never expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Box<Expiry>>,

    /// How the token is replaced by a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Box<Rotation>>,

    /// The names of the organisation's IP filters: a request must come from an address that all of them allow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub ip_filters: Vec<String>,

    /// Refuse the token until this is false again. Nothing is deleted, and nothing is issued meanwhile.
    #[serde(default)]
    pub suspended: bool,

    /// The Secret that holds the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Box<SecretOptions>>,
}

fn renew_before_rule() -> String {
    format!(
        "!has(self.rotation) || !has(self.rotation.renewBefore) || !has(self.expiry) || !has(self.expiry.after) || {} < {}",
        duration::cel_seconds("self.rotation.renewBefore"),
        duration::cel_seconds("self.expiry.after"),
    )
}

/// To whom a token belongs.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TokenType {
    #[allow(
        missing_docs,
        reason = "a documented variant would not come out as a plain enum in the schema"
    )]
    #[default]
    Organisation,
    #[allow(missing_docs, reason = "as above")]
    Personal,
}

/// Who may read a token's Secret: a Role and a RoleBinding on that one Secret follow this list.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("(has(self.everyone) && self.everyone) != (has(self.subjects) && self.subjects.size() > 0)", "set either everyone: true or a list of subjects; leave assignees out to assign the token to nobody"))]
pub struct Assignees {
    /// All members of the organisation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everyone: bool,

    /// These users, groups and service accounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["kind", "name", "namespace"]))]
    pub subjects: Vec<Subject>,
}

/// How long a token works, and what happens then.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("!(has(self.after) && has(self.at))", "give either after, a lifetime, or at, a fixed time, not both"),
    validation = ("self.action != 'Rotate' || has(self.after)", "action Rotate needs after, the lifetime of one credential"),
    validation = ("!has(self.cleanupAfter) || has(self.after) || has(self.at)", "cleanupAfter counts from the expiry, so it needs after or at"),
    validation = ("!has(self.cleanupAfter) || self.action != 'Rotate'", "a token with action Rotate does not end, so it cannot have cleanupAfter")
)]
pub struct Expiry {
    /// How long one credential works, such as 90d. A change moves the current credential's expiry to its issue plus the
    /// new lifetime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration::positive")]
    pub after: Option<Duration>,

    /// When the token stops working, such as 2027-01-31T12:00:00Z.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "time::expiry_at"
    )]
    pub at: Option<Time>,

    /// Delete: at expiry the Secret is deleted and the ApiToken stays as the record. Retain: the Secret stays too. Rotate:
    /// a new credential takes over before the old one expires.
    #[serde(default)]
    pub action: ExpiryAction,

    /// Delete the ApiToken itself this long after it expired, such as 30d. Left out: it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration::positive")]
    pub cleanup_after: Option<Duration>,
}

/// What happens when a credential expires.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpiryAction {
    #[allow(
        missing_docs,
        reason = "a documented variant would not come out as a plain enum in the schema"
    )]
    #[default]
    Delete,
    #[allow(missing_docs, reason = "as above")]
    Retain,
    #[allow(missing_docs, reason = "as above")]
    Rotate,
}

/// How a token is replaced by a new one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// How long before its expiry a credential is replaced, such as 7d; no sooner than 10s after its issue, or than a third
    /// of spec.expiry.after where that is less. Default: a third of spec.expiry.after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration::positive")]
    pub renew_before: Option<Duration>,

    /// How long the replaced credential still works, such as 12h, and never past its own expiry; 0s cuts at once, whatever
    /// restart says. At most one replaced credential works at a time. Default: until its own expiry when the rotation was
    /// due, 1h otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Duration>,

    /// Any text, such as a date: when it changes, the token is replaced at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub trigger: Option<String>,

    /// Workloads of the same namespace that read the Secret at start: they are restarted after it changed, and the
    /// replaced credential works until they have, at the longest a day past its overlap. With the policies of admission,
    /// naming one takes the right to patch workloads of its kind in the namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["kind", "name"]))]
    pub restart: Vec<Workload>,
}

/// A workload to restart.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Deployment, StatefulSet or DaemonSet.
    pub kind: WorkloadKind,

    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What kind of workload is meant.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkloadKind {
    #[allow(
        missing_docs,
        reason = "a documented variant would not come out as a plain enum in the schema"
    )]
    Deployment,
    #[allow(missing_docs, reason = "as above")]
    StatefulSet,
    #[allow(missing_docs, reason = "as above")]
    DaemonSet,
}

/// The Secret that holds a token. It has the keys token, client-id and secret-key (the token again, for APIs that take a
/// client ID and a secret key).
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.claimWindow) || self.delivery == 'Once'", "claimWindow is for delivery Once"))]
pub struct SecretOptions {
    /// The Secret's name. Default: the ApiToken's name. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = ("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')", "must be the name of a Secret: lower-case letters, digits, '-' and '.'"))]
    pub name: Option<String>,

    /// Other names for the Secret's keys, such as token: API_TOKEN, for use with envFrom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<SecretKeys>,

    /// Labels to add to the Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "label_values")]
    pub labels: BTreeMap<String, String>,

    /// Annotations to add to the Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotation_values")]
    pub annotations: BTreeMap<String, String>,

    /// Persistent: the Secret stays. Once: the token is shown one time; the Secret is deleted when it is annotated
    /// tokenwright.dev/claimed: "true", or after claimWindow. The token goes on working.
    #[serde(default)]
    pub delivery: Delivery,

    /// How long a token delivered Once can be claimed, from the moment that it is in its Secret. Default: 15m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration::positive")]
    pub claim_window: Option<Duration>,
}

/// Other names for a Secret's keys.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("(has(self.token) ? self.token : 'token') != (has(self.clientId) ? self.clientId : 'client-id') && (has(self.token) ? self.token : 'token') != (has(self.secretKey) ? self.secretKey : 'secret-key') && (has(self.clientId) ? self.clientId : 'client-id') != (has(self.secretKey) ? self.secretKey : 'secret-key')", "the three keys must differ from one another"))]
pub struct SecretKeys {
    /// Instead of token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = ("self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')", "must be letters, digits, '-', '_' and '.', such as API_TOKEN, and neither . nor start with .."))]
    pub token: Option<String>,

    /// Instead of client-id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = ("self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')", "must be letters, digits, '-', '_' and '.', such as CLIENT_ID, and neither . nor start with .."))]
    pub client_id: Option<String>,

    /// Instead of secret-key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = ("self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')", "must be letters, digits, '-', '_' and '.', such as SECRET_KEY, and neither . nor start with .."))]
    pub secret_key: Option<String>,
}

/// How a token reaches its user.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    #[allow(
        missing_docs,
        reason = "a documented variant would not come out as a plain enum in the schema"
    )]
    #[default]
    Persistent,
    #[allow(missing_docs, reason = "as above")]
    Once,
}

fn label_values(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 63 },
        "x-kubernetes-validations": [
            metadata_key_rule(),
            reserved_key_rule(),
            {
                "rule": "self.all(k, self[k].matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$'))",
                "message": "a label's value is letters, digits, '-', '_' and '.', starting and ending with a letter or digit"
            }
        ]
    })
}

fn annotation_values(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 4096 },
        "x-kubernetes-validations": [metadata_key_rule(), reserved_key_rule()]
    })
}

fn metadata_key_rule() -> serde_json::Value {
    serde_json::json!({
        "rule": "self.all(k, k.size() <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",
        "message": "a key is a name of at most 63 letters, digits, '-', '_' and '.', with an optional prefix such as example.com/"
    })
}

fn reserved_key_rule() -> serde_json::Value {
    serde_json::json!({
        "rule": "self.all(k, !k.startsWith('tokenwright.dev/') && !k.startsWith('kubernetes.io/') && k != 'app.kubernetes.io/managed-by')",
        "message": "keys that start with tokenwright.dev/ or kubernetes.io/, and app.kubernetes.io/managed-by, are not yours to set"
    })
}

impl ApiToken {
    /// The name of the Secret that holds this token.
    pub fn secret_name(&self) -> String {
        self.spec
            .secret
            .as_ref()
            .and_then(|secret| secret.name.clone())
            .or_else(|| self.metadata.name.clone())
            .unwrap_or_default()
    }

    /// How the token reaches its user.
    pub fn delivery(&self) -> Delivery {
        self.spec
            .secret
            .as_ref()
            .map(|secret| secret.delivery)
            .unwrap_or_default()
    }

    /// What happens at expiry.
    pub fn expiry_action(&self) -> ExpiryAction {
        self.spec
            .expiry
            .as_ref()
            .map(|expiry| expiry.action)
            .unwrap_or_default()
    }

    /// The workloads to restart after the Secret changed.
    pub fn restarts(&self) -> &[Workload] {
        self.spec.rotation.as_ref().map_or(&[], |rotation| &rotation.restart)
    }
}

impl SecretOptions {
    /// How long a token delivered once can be claimed when nothing is said: a quarter of an hour.
    pub const DEFAULT_CLAIM_WINDOW_SECONDS: u32 = 15 * 60;
}
