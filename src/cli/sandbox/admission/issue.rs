//! issue.yaml.

use kube_sandbox::admission::{Authorizer, Operation, Request};
use serde_json::Value;

use crate::api::GROUP;

/// What in a control plane deletes and tidies up for others.
const CONTROL_PLANE: [&str; 4] = [
    "system:serviceaccount:kube-system:namespace-controller",
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:serviceaccount:kube-system:storage-version-migrator-controller",
    "system:kube-controller-manager",
];
/// The finalizer by which the API server has the garbage collector leave dependents behind.
const ORPHAN: &str = "orphan";
const ORPHANED: &str = "an ApiToken cannot be orphaned: its Secret, and the right of its assignees to read that, go with it. \
                        Leave out --cascade=orphan (propagationPolicy Orphan) and the finalizer \"orphan\".";

/// The workloads that can be restarted: kind and resource.
const WORKLOADS: [(&str, &str); 3] = [
    ("Deployment", "deployments"),
    ("StatefulSet", "statefulsets"),
    ("DaemonSet", "daemonsets"),
];

/// Lets a write of an ApiToken through, or says why not.
pub(super) fn judge(
    request: &Request<'_>,
    object: Option<&Value>,
    authorizer: &mut Authorizer<'_>,
) -> Result<(), String> {
    let user = request.user.name.as_str();
    if CONTROL_PLANE.contains(&user) {
        return Ok(());
    }
    // A change is not judged by what it brings.
    let Some(token) = request.old.or(object) else {
        return Ok(());
    };
    let organisation = text(token, "/spec/organisation");
    let owner = match text(token, "/spec/type") {
        "Personal" => text(token, "/spec/user"),
        _ => "",
    };
    let mut may = |verb| authorizer.allows(verb, GROUP, "organisations", "", organisation);
    let may_issue = may("issue") || owner == user && may("issue-personal");
    if !may_issue {
        return Err(refusal(user, request.operation, owner, organisation));
    }
    let orphans = |object: Option<&Value>| object.is_some_and(|object| finalizers(object).any(|it| it == ORPHAN));
    if request.orphans || orphans(object) && !orphans(request.old) {
        return Err(ORPHANED.to_owned());
    }
    let namespace = request.namespace;
    let known: Vec<&Value> = request.old.into_iter().flat_map(restarts).collect();
    for (kind, resource) in WORKLOADS {
        let is_new = |workload: &&Value| workload["kind"] == kind && !known.contains(workload);
        let asked = object.is_some_and(|object| restarts(object).any(|workload| is_new(&workload)));
        if asked && !authorizer.allows("patch", "apps", resource, namespace, "") {
            return Err(format!(
                "user \"{user}\" may not have a {kind} restarted by spec.rotation.restart: that takes the right to patch \
                 {resource} of namespace \"{namespace}\"."
            ));
        }
    }
    Ok(())
}

fn restarts(token: &Value) -> impl Iterator<Item = &Value> {
    let restarts = token["spec"]["rotation"]["restart"].as_array();
    restarts.into_iter().flatten()
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    let finalizers = object["metadata"]["finalizers"].as_array();
    finalizers.into_iter().flatten().filter_map(Value::as_str)
}

fn refusal(user: &str, operation: Operation, owner: &str, organisation: &str) -> String {
    let (act, of_their_own) = match operation {
        Operation::Create => (
            "create",
            " A member without such a role can set spec.type to Personal and spec.user to their own name.",
        ),
        Operation::Update => ("change", ""),
        Operation::Delete => ("delete", ""),
    };
    if owner == user {
        return format!(
            "user \"{user}\" may not {act} Personal tokens of organisation \"{organisation}\", not being one of its \
             members. Whoever looks after the organisation can add the user to its spec.members, with any role."
        );
    }
    let (tokens, owner) = match owner {
        "" => ("API tokens".to_owned(), ""),
        owner => (format!("the Personal tokens of user \"{owner}\""), "that user and for "),
    };
    format!(
        "user \"{user}\" may not {act} {tokens} of organisation \"{organisation}\": that is for {owner}members whose role \
         has managesTokens (Owner and Admin, where the organisation has no roles of its own). Whoever looks after the \
         organisation can add the user to its spec.members, with such a role.{of_their_own}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = include_str!("../../../../deploy/admission/issue.yaml");

    #[test]
    fn the_manifest_lets_the_same_accounts_of_the_control_plane_through() {
        let named: Vec<&str> = MANIFEST
            .split('\'')
            .filter(|text| text.starts_with("system:"))
            .collect();
        assert_eq!(named, CONTROL_PLANE);
    }
}
