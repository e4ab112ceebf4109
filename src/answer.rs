//! What the API server answered, when that is an error.

use kube::core::Status;

/// The API server's answer in an error, if it gave one.
pub(crate) fn status(error: &kube::Error) -> Option<&Status> {
    match error {
        kube::Error::Api(status) => Some(status),
        _ => None,
    }
}

/// An error in words that are safe to show: an answer that could not be read is not quoted, as it can be a Secret.
pub(crate) fn describe(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        kube::Error::SerdeError(_) => "the API server's answer could not be read".to_owned(),
        other => other.to_string(),
    }
}
