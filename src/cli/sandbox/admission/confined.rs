//! confined.yaml.

use kube_sandbox::admission::{Authorizer, Operation, Request};
use serde_json::{Map, Value};

use crate::api::GROUP;

/// What a right of the controller's may let somebody do.
const VERBS: [&str; 3] = ["get", "issue", "issue-personal"];
/// What begins the name of a Pod template's annotation that restarts it.
const STAMP: &str = "credential.tokenwright.dev/";

/// Lets a write of what the controller writes beside tokens through, or names the policy that does not, and says why.
pub(super) fn judge(
    request: &Request<'_>,
    object: Option<&Value>,
    authorizer: &mut Authorizer<'_>,
) -> Result<(), (&'static str, String)> {
    let (policy, own, only) = match (request.group, request.resource, request.subresource) {
        ("rbac.authorization.k8s.io", "clusterroles" | "clusterrolebindings" | "roles" | "rolebindings", "") => (
            "tokenwright-confined-rights",
            is_right(request, object),
            "of roles and bindings it writes only those that tokenwright makes, called tokenwright:… and about one object.",
        ),
        ("", "secrets", "") => (
            "tokenwright-confined-secrets",
            is_secret_of_a_token(request, object),
            "of Secrets it writes only those that an ApiToken controls, of type Opaque.",
        ),
        ("apps", "deployments" | "statefulsets" | "daemonsets", "") if request.operation == Operation::Update => (
            "tokenwright-confined-workloads",
            is_restart(request.old.unwrap_or(&Value::Null), object.unwrap_or(&Value::Null)),
            "of workloads it changes only annotations credential.tokenwright.dev/… of their Pods, which restarts them.",
        ),
        _ => return Ok(()),
    };
    let mut holds = |verb| authorizer.allows(verb, GROUP, "organisations", "", "");
    if own || !holds("confined") || holds("unconfined") {
        return Ok(());
    }
    let user = &request.user.name;
    Err((policy, format!("user \"{user}\" holds the verb confined: {only}")))
}

fn is_right(request: &Request<'_>, object: Option<&Value>) -> bool {
    let name = object.or(request.old).map(|object| &object["metadata"]["name"]);
    let name = name.and_then(Value::as_str).unwrap_or_default();
    name.starts_with("tokenwright:") && object.is_none_or(|object| is_narrow(request.resource, name, object))
}

/// One verb on one object, or the role of that name for somebody.
fn is_narrow(resource: &str, name: &str, object: &Value) -> bool {
    if resource.ends_with("bindings") {
        return object["roleRef"]["name"] == name;
    }
    let is_one = |list: &Value| list.as_array().is_some_and(|list| list.len() == 1);
    object.get("aggregationRule").is_none()
        && items(&object["rules"]).all(|rule| {
            is_one(&rule["resourceNames"])
                && items(&rule["verbs"]).all(|verb| verb.as_str().is_some_and(|verb| VERBS.contains(&verb)))
        })
}

/// Before and after, as far as there is either.
fn is_secret_of_a_token(request: &Request<'_>, object: Option<&Value>) -> bool {
    object.is_none_or(|object| is_of_a_token(object) && object.get("type").is_none_or(|type_| type_ == "Opaque"))
        && request.old.is_none_or(is_of_a_token)
}

fn is_of_a_token(object: &Value) -> bool {
    items(&object["metadata"]["ownerReferences"]).any(|owner| {
        let version = owner["apiVersion"].as_str().unwrap_or_default();
        owner["kind"] == "ApiToken" && version.starts_with("tokenwright.dev/") && owner["controller"] == true
    })
}

/// Whether nothing differs but annotations of the Pods that name a credential.
fn is_restart(before: &Value, after: &Value) -> bool {
    const KEPT: [&str; 4] = ["labels", "annotations", "ownerReferences", "finalizers"];
    let all_but = |object: &Value| {
        let mut spec = object["spec"].clone();
        if let Some(notes) = spec
            .pointer_mut("/template/metadata/annotations")
            .and_then(Value::as_object_mut)
        {
            notes.retain(|note, _| !note.starts_with(STAMP));
        }
        if spec.pointer("/template/metadata/annotations") == Some(&Map::new().into()) {
            spec["template"]["metadata"]
                .as_object_mut()
                .map(|it| it.remove("annotations"));
        }
        let kept = KEPT.map(|field| object["metadata"].get(field).cloned());
        (spec, kept)
    };
    all_but(before) == all_but(after)
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}
