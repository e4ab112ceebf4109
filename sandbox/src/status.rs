//! Refusals: `metav1.Status` objects in the words of the real API server.

use http::StatusCode;
use serde_json::{Value, json};

use crate::catalog::Resource;
use crate::schema::FieldError;

/// The outcome of anything a client can be refused.
pub(crate) type Answer<T> = Result<T, Box<Refusal>>;

/// A failure as the client sees it.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: StatusCode,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) details: Option<Value>,
    pub(crate) retry_after: Option<u32>,
}

impl Refusal {
    pub(crate) fn new(code: StatusCode, reason: &str, message: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            code,
            reason: reason.to_owned(),
            message: message.into(),
            details: None,
            retry_after: None,
        })
    }

    fn of(resource: &Resource, name: &str, code: StatusCode, reason: &str, message: impl Into<String>) -> Box<Self> {
        let mut refusal = Self::new(code, reason, message);
        refusal.details = Some(details(&resource.group, &resource.plural, name));
        refusal
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Box<Self> {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(crate) fn not_found(resource: &Resource, name: &str) -> Box<Self> {
        let message = format!("{} \"{name}\" not found", resource.qualified());
        Self::of(resource, name, StatusCode::NOT_FOUND, "NotFound", message)
    }

    pub(crate) fn namespace_not_found(name: &str) -> Box<Self> {
        let mut refusal = Self::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            format!("namespaces \"{name}\" not found"),
        );
        refusal.details = Some(details("", "namespaces", name));
        refusal
    }

    /// The path itself is not served.
    pub(crate) fn no_such_path() -> Box<Self> {
        let mut refusal = Self::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            "the server could not find the requested resource",
        );
        refusal.details = Some(json!({}));
        refusal
    }

    pub(crate) fn already_exists(resource: &Resource, name: &str) -> Box<Self> {
        let message = format!("{} \"{name}\" already exists", resource.qualified());
        Self::of(resource, name, StatusCode::CONFLICT, "AlreadyExists", message)
    }

    pub(crate) fn conflict(resource: &Resource, name: &str, why: &str) -> Box<Self> {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            resource.qualified()
        );
        Self::of(resource, name, StatusCode::CONFLICT, "Conflict", message)
    }

    pub(crate) fn modified(resource: &Resource, name: &str) -> Box<Self> {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    pub(crate) fn forbidden(resource: &Resource, name: &str, why: &str) -> Box<Self> {
        let message = if name.is_empty() {
            format!("{} is forbidden: {why}", resource.qualified())
        } else {
            format!("{} \"{name}\" is forbidden: {why}", resource.qualified())
        };
        Self::of(resource, name, StatusCode::FORBIDDEN, "Forbidden", message)
    }

    pub(crate) fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Box<Self> {
        let qualified = if group.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{group}")
        };
        let sentences = match errors {
            [one] => one.to_string(),
            several => {
                let all: Vec<String> = several.iter().map(ToString::to_string).collect();
                format!("[{}]", all.join(", "))
            }
        };
        let mut refusal = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Invalid",
            format!("{qualified} \"{name}\" is invalid: {sentences}"),
        );
        let mut details = details(group, kind, name);
        details["causes"] = errors.iter().map(FieldError::cause).collect();
        refusal.details = Some(details);
        refusal
    }

    /// What a query or DeleteOptions asks for makes no sense; `kind` is ListOptions and the like.
    pub(crate) fn invalid_options(kind: &str, error: FieldError) -> Box<Self> {
        Self::invalid("meta.k8s.io", kind, "", &[error])
    }

    /// A failure that the real server does not expect either: 500 without a reason.
    pub(crate) fn unexpected(message: impl Into<String>) -> Box<Self> {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    pub(crate) fn method_not_allowed() -> Box<Self> {
        let mut refusal = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        );
        refusal.details = Some(json!({}));
        refusal
    }

    pub(crate) fn unsupported_media_type(message: impl Into<String>) -> Box<Self> {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    pub(crate) fn unauthorized() -> Box<Self> {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    pub(crate) fn expired(message: impl Into<String>) -> Box<Self> {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    pub(crate) fn too_old(asked: u64, oldest: u64) -> Box<Self> {
        Self::expired(format!("too old resource version: {asked} ({oldest})"))
    }

    /// The object that goes over the wire.
    pub(crate) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code.as_u16(),
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.clone().into();
        }
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        if let Some(seconds) = self.retry_after {
            status["details"]["retryAfterSeconds"] = seconds.into();
        }
        status
    }
}

/// `details` of a Status: group and name are left out when empty, as the real server does.
pub(crate) fn details(group: &str, kind: &str, name: &str) -> Value {
    let mut details = json!({});
    if !kind.is_empty() {
        details["kind"] = kind.into();
    }
    if !name.is_empty() {
        details["name"] = name.into();
    }
    if !group.is_empty() {
        details["group"] = group.into();
    }
    details
}
