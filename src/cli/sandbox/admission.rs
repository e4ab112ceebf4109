//! What the policies in deploy/admission ask and answer, for the sandbox, which does not evaluate policies.
//!
//! - issue.yaml: creating, changing (labels too) and deleting an ApiToken takes the right to `issue` tokens of its
//!   organisation, or, for a Personal token of one's own, `issue-personal`. The API server's authorizer answers, from
//!   the RBAC objects that the controller makes of the organisation's members. Nobody orphans one, and what it is to restart its author could restart.
//! - status.yaml: in the status of an ApiToken, whoever may not `update` it changes when it was used, and nothing else.
//! - confined.yaml: whoever holds the verb `confined` and not everything writes of roles, Secrets and workloads what the
//!   controller does.
//! - stamp: the annotation `tokenwright.dev/created-by` is who created the ApiToken, whatever a client writes there.
//! - created-by.yaml has nothing left to find once that is done.
//!
//! The rows of tests/kubectl hold both to the same answers, word for word.

mod confined;
mod issue;
mod status;

use kube_sandbox::admission::{Admission, Authorizer, Denial, Request};
use serde_json::{Map, Value};

use crate::api::{CREATED_BY, GROUP};

/// The rules of deploy/admission.
pub(super) struct Rules;

impl Admission for Rules {
    fn mutate(&self, request: &Request<'_>, object: &mut Value) {
        if !is_about_tokens(request) {
            return;
        }
        let creator = match request.old {
            None => Some(request.user.name.clone()),
            Some(old) => created_by(old).map(str::to_owned),
        };
        if created_by(object) != creator.as_deref() {
            stamp(object, creator);
        }
    }

    fn validate(
        &self,
        request: &Request<'_>,
        object: Option<&Value>,
        authorizer: &mut Authorizer<'_>,
    ) -> Result<(), Denial> {
        let denied = |policy: &str| {
            let policy = policy.to_owned();
            move |message| Denial { policy, message }
        };
        match (request.group, request.resource, request.subresource) {
            (GROUP, "apitokens", "") => issue::judge(request, object, authorizer).map_err(denied("tokenwright-issue")),
            (GROUP, "apitokens", "status") => {
                status::judge(request, object, authorizer).map_err(denied("tokenwright-status"))
            }
            _ => confined::judge(request, object, authorizer).map_err(|(policy, message)| denied(policy)(message)),
        }
    }
}

fn is_about_tokens(request: &Request<'_>) -> bool {
    (request.group, request.resource, request.subresource) == (GROUP, "apitokens", "")
}

fn created_by(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"].get(CREATED_BY)?.as_str()
}

fn stamp(object: &mut Value, creator: Option<String>) {
    let annotations = &mut object["metadata"]["annotations"];
    if annotations.is_null() {
        *annotations = Map::new().into();
    }
    match (annotations.as_object_mut(), creator) {
        (Some(annotations), Some(creator)) => {
            annotations.insert(CREATED_BY.to_owned(), creator.into());
        }
        (Some(annotations), None) => {
            annotations.remove(CREATED_BY);
        }
        (None, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use kube_sandbox::{User, admission::Operation};
    use serde_json::json;

    use super::*;

    const STAMP_MANIFEST: &str = include_str!("../../../deploy/admission/stamp/v1.yaml");
    const STAMP_V1BETA1_MANIFEST: &str = include_str!("../../../deploy/admission/stamp/v1beta1.yaml");

    fn annotated(annotations: &Value) -> Value {
        json!({ "metadata": { "name": "t", "annotations": annotations } })
    }

    /// The annotations that ann's write of these ends in.
    fn stamped(old: Option<&Value>, new: &Value, subresource: &str) -> Value {
        let (user, old, mut object) = (User::new("ann"), old.map(annotated), annotated(new));
        let request = Request {
            user: &user,
            operation: if old.is_none() {
                Operation::Create
            } else {
                Operation::Update
            },
            group: GROUP,
            version: "v1alpha1",
            resource: "apitokens",
            subresource,
            namespace: "shop",
            name: "t",
            old: old.as_ref(),
            orphans: false,
            dry_run: false,
        };
        Rules.mutate(&request, &mut object);
        object["metadata"]["annotations"].take()
    }

    #[test]
    fn whoever_creates_a_token_is_stamped_and_stays() {
        let ann = json!({ CREATED_BY: "ann" });
        let root = json!({ CREATED_BY: "root" });
        assert_eq!(stamped(None, &json!(null), ""), ann);
        assert_eq!(stamped(None, &root, ""), ann);
        assert_eq!(
            stamped(None, &json!({ "a": "b" }), ""),
            json!({ "a": "b", CREATED_BY: "ann" })
        );
        for new in [&ann, &root, &json!(null), &json!({})] {
            assert_eq!(stamped(Some(&root), new, ""), root);
        }
    }

    #[test]
    fn nobody_is_added_to_a_token_that_has_no_stamp() {
        let forged = json!({ CREATED_BY: "ann", "a": "b" });
        assert_eq!(stamped(Some(&json!(null)), &forged, ""), json!({ "a": "b" }));
        assert_eq!(stamped(Some(&json!(null)), &json!(null), ""), json!(null));
        assert_eq!(stamped(Some(&json!(null)), &forged, "status"), forged);
    }

    #[test]
    fn both_versions_of_the_stamp_are_the_same_policy() {
        let objects = |text: &str| serde_saphyr::from_multiple::<Value>(text).unwrap();
        let older = STAMP_V1BETA1_MANIFEST.replace(
            "admissionregistration.k8s.io/v1beta1",
            "admissionregistration.k8s.io/v1",
        );
        assert_ne!(STAMP_V1BETA1_MANIFEST, older);
        assert_eq!(objects(&older), objects(STAMP_MANIFEST));
    }
}
