use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Duration;

/// What the controller found and did. The token itself is nowhere in it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ApiTokenStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready and Issued, each with its reason and a message; Stalled where nothing will change until somebody acts;
    /// PolicyCompliant where policies select the token; Assigned where spec.assignees is given; and ReuseDetected for
    /// a day after a replaced credential was presented.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// The name of the Secret that holds the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,

    /// The token's client ID, the same for its whole life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,

    /// The current token with all but its prefix and last four characters left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked_token: Option<String>,

    /// The user who created the ApiToken, as the API server authenticated them. Empty where admission does not stamp it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,

    /// What the token reaches: organisation, or the names of its projects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,

    /// The credentials issued for this token: the live ones, and the last few retired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub credentials: Vec<Credential>,

    /// The id given to a credential last; ids are never given twice.
    #[serde(default)]
    #[schemars(with = "i64")]
    pub last_credential: u64,

    /// When the current credential was issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_at: Option<Time>,

    /// When the current credential expires. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,

    /// When the current credential is due to be replaced. Absent: only when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotates_at: Option<Time>,

    /// When and from where the token was last used. Written by the verifier, at most once in its --last-used-interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Box<Sighting>>,

    /// When and from where a credential that has been replaced was presented last, and refused. Written by the verifier
    /// as lastUsed is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reuse: Option<Box<Sighting>>,

    /// How many times the credential was replaced by a new one.
    #[serde(default)]
    #[schemars(with = "i32")]
    pub rotations: u32,

    /// Whether a policy refuses what the token has, so that it does not work. What a policy refuses of a changed spec
    /// only is no such case: the token keeps what it had.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub violating: bool,

    /// What of the spec was judged and accepted last: what the token may do now, whatever the spec has come to say since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant>,
}

/// One credential: a random token that was, or is about to be, in the Secret.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// A number that only grows.
    #[schemars(with = "i64")]
    pub id: u64,

    /// sha256: and the SHA-256 of the token in hexadecimal.
    pub digest: String,

    /// Pending, Active, Retiring or Retired.
    pub state: CredentialState,

    /// When it was made.
    pub issued_at: Time,

    /// When the token was put into its Secret, where spec.secret.delivery is Once: from then on it can be claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<Time>,

    /// When it expires. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,

    /// When a replaced credential stops working, or stopped; earlier once the workloads have restarted. Absent on a
    /// Retiring one: with its own expiry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<Time>,

    /// The spec.rotation.trigger it was issued under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,

    /// Whether the workloads of spec.rotation.restart have yet to restart with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restarting: bool,
}

/// Where a credential is in its life.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialState {
    #[allow(
        missing_docs,
        reason = "a documented variant would not come out as a plain enum in the schema"
    )]
    Pending,
    #[allow(missing_docs, reason = "as above")]
    Active,
    #[allow(missing_docs, reason = "as above")]
    Retiring,
    #[allow(missing_docs, reason = "as above")]
    Retired,
}

/// A credential that a verifier saw presented.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Sighting {
    /// When.
    pub at: Time,

    /// The client's address, where it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,

    /// The id of the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub credential: Option<u64>,
}

/// What of a token's spec was judged and accepted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// The role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,

    /// The permissions besides the role's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub permissions: Vec<String>,

    /// The projects. Absent: the whole organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub projects: Option<Vec<String>>,

    /// The IP filters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub ip_filters: Vec<String>,

    /// The lifetime that the credentials' expiry was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Box<GrantedExpiry>>,
}

impl Grant {
    /// Whether the token itself says when it expires.
    pub fn asks_for_an_end(&self) -> bool {
        let expiry = self.expiry.as_ref();
        expiry.is_some_and(|expiry| expiry.after.is_some() || expiry.at.is_some())
    }
}

/// The lifetime that was accepted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GrantedExpiry {
    /// As spec.expiry.after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Duration>,

    /// As spec.expiry.at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,

    /// The longest lifetime that policies leave, from the issue of the credential on. It becomes no longer, whatever
    /// becomes of the policies, until another credential is issued or spec.expiry is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Duration>,

    /// As spec.notBefore, from which the lifetime counts when it is later than the issue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
}
