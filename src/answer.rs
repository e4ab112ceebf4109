//! What the API server answered, when that is an error, and what kept it from answering.

use std::{error::Error, io, iter};

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
    if let Some(why) = unreachable(error) {
        return format!("cannot reach the API server: {why}");
    }
    match error {
        kube::Error::Api(status) => status.message.clone(),
        kube::Error::SerdeError(_) => "the API server's answer could not be read".to_owned(),
        // Its own words say only that there is a cause.
        kube::Error::Service(cause) => in_full(cause.as_ref()),
        other => other.to_string(),
    }
}

/// Why the API server could not be asked at all, if that is the error: the connection was refused, its name is not known,
/// its certificate is not to be trusted.
pub(crate) fn unreachable(error: &kube::Error) -> Option<String> {
    let cause = match error {
        kube::Error::Service(cause) => causes(cause.as_ref()),
        kube::Error::HyperError(cause) => causes(cause),
        _ => return None,
    };
    cause
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .last()
        .map(plain)
}

/// The words for an error of the operating system without its number, where there are any.
fn plain(error: &io::Error) -> String {
    let kind = error.kind().to_string();
    let is_known = error.raw_os_error().is_some() && kind != "uncategorized error";
    if is_known { kind } else { error.to_string() }
}

/// An error with all that led to it, each once.
fn in_full(error: &(dyn Error + 'static)) -> String {
    causes(error).fold(String::new(), |told, cause| match cause.to_string() {
        first if told.is_empty() => first,
        next if told.contains(&next) => told,
        next => format!("{told}: {next}"),
    })
}

/// An error and what led to it.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("client error (Connect)")]
    struct Connect(#[source] io::Error);

    #[test]
    fn what_keeps_it_from_the_api_server_is_named() {
        // ECONNREFUSED, on Linux.
        let refused = kube::Error::Service(Box::new(Connect(io::Error::from_raw_os_error(111))));
        assert_eq!(describe(&refused), "cannot reach the API server: connection refused");
        let untrusted = io::Error::other("invalid peer certificate: UnknownIssuer");
        assert_eq!(
            describe(&kube::Error::Service(Box::new(Connect(untrusted)))),
            "cannot reach the API server: invalid peer certificate: UnknownIssuer"
        );
    }

    #[test]
    fn what_another_layer_refuses_is_told_in_its_words() {
        #[derive(Debug, thiserror::Error)]
        #[error("not sent")]
        struct Unsent(#[source] std::fmt::Error);
        let error = kube::Error::Service(Box::new(Unsent(std::fmt::Error)));
        assert_eq!(unreachable(&error), None);
        assert_eq!(describe(&error), format!("not sent: {}", std::fmt::Error));
    }
}
