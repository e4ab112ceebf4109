use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::backoff::Failure;
use crate::answer::{describe, status};

/// Why a reconcile did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server answered a request with an error, or not at all.
    #[error("could not {doing}: {}", describe(source))]
    Api {
        /// What was being done.
        doing: &'static str,
        /// What came back.
        #[source]
        source: kube::Error,
    },
    /// The object changed since it was read; what it looks like now is on its way.
    #[error("could not {doing}: the object has changed meanwhile")]
    Conflict {
        /// What was being done.
        doing: &'static str,
        /// The resourceVersion of the object that is reconciled, if it is that one that has changed.
        version: Option<String>,
    },
    /// The object that is reconciled was deleted.
    #[error("could not {doing}: the object has been deleted meanwhile")]
    Gone {
        /// What was being done.
        doing: &'static str,
    },
    /// The API server stored something else than what it was sent.
    #[error("could not write the Secret as it should be: it was changed on its way, probably by an admission webhook")]
    Altered,
    /// A plan led to another without end, which is a defect.
    #[error("did not come to rest after {0} steps")]
    Restless(usize),
}

impl Error {
    /// Wraps what a request came back with.
    pub(super) fn api(doing: &'static str) -> impl Fn(kube::Error) -> Self {
        move |source| match status(&source) {
            Some(status) if status.is_conflict() && !status.is_already_exists() => {
                Self::Conflict { doing, version: None }
            }
            _ => Self::Api { doing, source },
        }
    }

    /// The same of a write of `object`, which is the one that is reconciled.
    pub(super) fn of(object: &ObjectMeta, doing: &'static str) -> impl Fn(kube::Error) -> Self {
        move |source| match status(&source) {
            // Another of the same name is not it.
            Some(status) if status.is_not_found() || status.message.contains("UID in precondition") => {
                Self::Gone { doing }
            }
            _ => match Self::api(doing)(source) {
                Self::Conflict { doing, .. } => Self::Conflict {
                    doing,
                    version: object.resource_version.clone(),
                },
                other => other,
            },
        }
    }

    /// The same with a secret left out of what the API server said: an admission webhook may quote the object.
    pub(super) fn without(mut self, secret: &str) -> Self {
        if let Self::Api {
            source: kube::Error::Api(status),
            ..
        } = &mut self
        {
            let encoded = serde_json::to_value(k8s_openapi::ByteString(secret.as_bytes().to_vec())).unwrap_or_default();
            for hidden in [Some(secret), encoded.as_str()].into_iter().flatten() {
                status.message = status.message.replace(hidden, "(the token)");
                status.details = None;
            }
        }
        self
    }

    /// What was refused and why, if the API server refused it: trying again will not help until somebody acts.
    pub(super) fn refusal(&self) -> Option<String> {
        match self {
            Self::Api { doing, source } => {
                let status = status(source)?;
                let refused = (400..500).contains(&status.code) && status.code != 429;
                let passes = status.is_not_found() || status.is_already_exists();
                (refused && !passes).then(|| format!("{doing}: {}", describe(source)))
            }
            Self::Altered => Some("keep the Secret as it should be: something changed it on its way".to_owned()),
            Self::Conflict { .. } | Self::Gone { .. } | Self::Restless(_) => None,
        }
    }

    /// The same, for what failed so often that it is worth a condition whatever it was.
    pub(super) fn trouble(&self) -> String {
        match self {
            Self::Api { doing, source } => format!("{doing}: {}", describe(source)),
            other => other.to_string(),
        }
    }

    /// Whether trying again soon makes sense.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::Conflict { .. } => Failure::Outdated,
            Self::Gone { .. } => Failure::Passing,
            Self::Altered | Self::Restless(_) => Failure::Refusal,
            Self::Api { source, .. } => match status(source).map(|status| status.code) {
                Some(code) if (400..500).contains(&code) && code != 429 => Failure::Refusal,
                _ => Failure::Passing,
            },
        }
    }

    /// The kind of failure, for metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "conflict",
            Self::Gone { .. } => "gone",
            Self::Altered => "altered",
            Self::Restless(_) => "restless",
            Self::Api { source, .. } => match status(source) {
                Some(status) if status.is_forbidden() => "forbidden",
                Some(status) if status.is_not_found() => "not_found",
                Some(status) if status.is_already_exists() => "already_exists",
                Some(status) if status.is_invalid() => "invalid",
                Some(status) if status.code == 429 => "throttled",
                Some(_) => "server",
                None => "transport",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn only_an_answer_that_will_stay_the_same_is_a_refusal() {
        let kinds = [403, 404, 422, 429, 500, 503].map(|code| {
            let answer = Status::failure("", "").with_code(code);
            Error::api("read the Secret")(kube::Error::Api(answer.boxed())).failure()
        });
        let (refusal, passing) = (Failure::Refusal, Failure::Passing);
        assert_eq!(kinds, [refusal, refusal, refusal, passing, passing, passing]);
    }

    #[test]
    fn an_object_that_is_gone_is_told_from_one_that_has_changed() {
        let object = ObjectMeta {
            resource_version: Some("7".to_owned()),
            ..ObjectMeta::default()
        };
        let met = |code, reason: &str, message: &str| {
            let answer = Status::failure(message, reason).with_code(code);
            Error::of(&object, "write the status")(kube::Error::Api(answer.boxed()))
        };
        let changed = met(
            409,
            "Conflict",
            "the object has been modified; please apply your changes to the latest version and try again",
        );
        assert!(
            matches!(&changed, Error::Conflict { version: Some(version), .. } if version == "7"),
            "{changed:?}"
        );
        for gone in [
            met(404, "NotFound", "apitokens.tokenwright.dev \"web\" not found"),
            met(
                409,
                "Conflict",
                "StorageError: invalid object, Code: 4, AdditionalErrorMsg: Precondition failed: UID in precondition: 1, UID in object meta: 2",
            ),
        ] {
            assert!(matches!(gone, Error::Gone { .. }), "{gone:?}");
        }
    }

    #[test]
    fn an_unreadable_answer_is_not_quoted() {
        let source = serde_json::from_str::<i32>("\"acme_oSECRET\"").unwrap_err();
        assert!(
            source.to_string().contains("acme_oSECRET"),
            "the library quotes it: {source}"
        );
        let error = Error::api("read the Secret")(kube::Error::SerdeError(source));
        assert_eq!(
            error.to_string(),
            "could not read the Secret: the API server's answer could not be read"
        );
    }
}
