//! The custom resources of `tokenwright.dev/v1alpha1`, their schema, conditions and reasons.
//!
//! The doc comments on the types below are what `kubectl explain` shows, so they speak to the person who writes the
//! manifest. Notes for maintainers are ordinary comments.

mod api_token;
pub mod condition;
mod crd;
mod duration;
mod organisation;
mod status;
mod time;
mod token_policy;

pub use api_token::{
    ApiToken, ApiTokenSpec, Assignees, Delivery, Expiry, ExpiryAction, Rotation, SecretKeys, SecretOptions, TokenType,
    Workload, WorkloadKind,
};
pub use crd::{crd_files, crds};
pub use duration::{Duration, InvalidDuration};
pub use organisation::{
    CredentialHeaders, DEFAULT_PREFIX, FilterAction, IpFilter, IpFilterRule, Member, Namespaces, Organisation,
    OrganisationSpec, OrganisationStatus, Project, Role, Subject, SubjectKind, TokenCounts,
};
pub use status::{ApiTokenStatus, Credential, CredentialState, Grant, GrantedExpiry, Sighting};
pub use token_policy::{
    Enforcement, ExpiryPolicy, IdleAction, IdlePolicy, IpFilterPolicy, Issuance, PermissionPolicy, PolicyCounts,
    ProjectPolicy, RolePolicy, SelectedOrganisations, TokenPolicy, TokenPolicySpec, TokenPolicyStatus, ViolatingToken,
};

/// The API group of every kind here.
pub const GROUP: &str = "tokenwright.dev";

/// The one version served so far.
pub const VERSION: &str = "v1alpha1";

/// Who made a token, stamped at admission from the authenticated user.
pub const CREATED_BY: &str = "tokenwright.dev/created-by";

/// On a Secret: the id of the credential it holds.
pub const CREDENTIAL: &str = "tokenwright.dev/credential";

/// On a Secret: when the credential it holds expires, RFC 3339. Absent when it never does.
pub const EXPIRES_AT: &str = "tokenwright.dev/expires-at";

/// On a Secret delivered once: set to `"true"` by whoever took the token.
pub const CLAIMED: &str = "tokenwright.dev/claimed";

/// On a Secret: the organisation, as a label (hashed when longer than a label's value may be) and as an annotation
/// in that case.
pub const ORGANISATION: &str = "tokenwright.dev/organisation";

/// On a role or a binding: the UID of the Organisation or ApiToken that it was made for, which says whose it is also when
/// its owner references have been taken away.
pub const OWNER_UID: &str = "tokenwright.dev/owner-uid";

/// On a Secret: the keys of the labels and annotations that came from the ApiToken, so that they go when they are
/// taken out of it.
pub const CUSTOM_METADATA: &str = "tokenwright.dev/custom-metadata";

/// The label that marks what this project writes, Secrets, roles and bindings, and its value.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "tokenwright");
