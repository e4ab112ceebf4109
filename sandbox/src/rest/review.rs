//! Questions about users and rights, which are answered and not stored.

use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{self, Reply};
use super::{Incoming, body};
use crate::auth::{Attempt, Rule, User};
use crate::catalog::Resource;
use crate::cluster::Cluster;
use crate::sandbox::Shared;
use crate::schema::{ErrorKind, FieldError};
use crate::status::{Answer, Refusal};
use crate::store::{items, text};

pub(super) fn answer(
    shared: &Shared,
    cluster: &mut Cluster,
    user: &User,
    resource: &Resource,
    incoming: &Incoming,
) -> Answer<Reply> {
    let mut review = body::read_object(resource, &incoming.headers, &incoming.body)?;
    review["apiVersion"] = resource.api_version().into();
    review["kind"] = resource.kind.clone().into();
    let spec = &review["spec"];
    let status = match resource.plural.as_str() {
        "selfsubjectreviews" => json!({"userInfo": user.authenticated_info()}),
        "tokenreviews" => match shared.user_of_token(text(&spec["token"])) {
            Some(user) => json!({"authenticated": true, "user": user.authenticated().info()}),
            None => json!({"user": {}, "error": "invalid bearer token"}),
        },
        "selfsubjectaccessreviews" => access(cluster, user, spec)?,
        "subjectaccessreviews" => access(cluster, &subject(spec)?, spec)?,
        "localsubjectaccessreviews" => {
            let namespace = &incoming.call.attempt.namespace;
            if text(&spec["resourceAttributes"]["namespace"]) != namespace {
                let given = spec["resourceAttributes"]["namespace"].clone();
                let field = "spec.resourceAttributes.namespace";
                return Err(invalid(field, given, "must match metadata.namespace"));
            }
            access(cluster, &subject(spec)?, spec)?
        }
        _ => rules(cluster, user, text(&spec["namespace"])),
    };
    review["status"] = status;
    if !review["metadata"].is_object() {
        review["metadata"] = json!({"creationTimestamp": cluster.now_text()});
    }
    Ok(answer::value(StatusCode::CREATED, &review, false))
}

impl User {
    fn authenticated_info(&self) -> Value {
        self.clone().authenticated().info()
    }
}

fn invalid(field: &str, value: Value, detail: &str) -> Box<Refusal> {
    let error = FieldError {
        kind: ErrorKind::Invalid,
        field: field.to_owned(),
        value: Some(value),
        detail: detail.to_owned(),
    };
    Refusal::invalid("authorization.k8s.io", "", "", &[error])
}

fn subject(spec: &Value) -> Answer<User> {
    let mut user = User::new(text(&spec["user"]));
    user.groups = items(&spec["groups"])
        .iter()
        .map(|group| text(group).to_owned())
        .collect();
    if user.name.is_empty() && user.groups.is_empty() {
        return Err(invalid(
            "spec.user",
            "".into(),
            "at least one of user or group must be specified",
        ));
    }
    Ok(user)
}

fn access(cluster: &mut Cluster, user: &User, spec: &Value) -> Answer<Value> {
    let owned = |value: &Value| text(value).to_owned();
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    if resource.is_object() == path.is_object() {
        let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        return Err(invalid("spec.resourceAttributes", Value::Null, detail));
    }
    let attempt = if path.is_object() {
        Attempt {
            verb: owned(&path["verb"]),
            path: Some(owned(&path["path"])),
            ..Attempt::default()
        }
    } else {
        Attempt {
            verb: owned(&resource["verb"]),
            group: owned(&resource["group"]),
            version: owned(&resource["version"]),
            resource: owned(&resource["resource"]),
            subresource: owned(&resource["subresource"]),
            namespace: owned(&resource["namespace"]),
            name: owned(&resource["name"]),
            path: None,
        }
    };
    Ok(json!({"allowed": cluster.allows(user, &attempt)}))
}

fn rules(cluster: &mut Cluster, user: &User, namespace: &str) -> Value {
    let mut rules = cluster.rules_of(user, namespace);
    if user.is_master() {
        let all = || vec!["*".to_owned()];
        rules.push(Rule {
            verbs: all(),
            groups: all(),
            resources: all(),
            ..Rule::default()
        });
        rules.push(Rule {
            verbs: all(),
            urls: all(),
            ..Rule::default()
        });
    }
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for rule in rules {
        if !rule.urls.is_empty() {
            paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.urls}));
        }
        if !rule.resources.is_empty() {
            let mut shown = json!({"verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources});
            if !rule.names.is_empty() {
                shown["resourceNames"] = rule.names.into();
            }
            resources.push(shown);
        }
    }
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}
