use super::Settings;
use crate::answer;

/// Why a leader leads no longer.
#[derive(Debug, thiserror::Error)]
#[error("lost the lease {namespace}/{name}: {failure}. What was under way has been dropped")]
pub struct Lost {
    namespace: String,
    name: String,
    failure: Failure,
}

impl Lost {
    pub(super) fn new(settings: &Settings, failure: Failure) -> Self {
        Self {
            namespace: settings.namespace.clone(),
            name: settings.name.clone(),
            failure,
        }
    }
}

/// Why a request about the lease did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("it was changed since it was read")]
    Conflict,
    #[error("{} holds it", .0.as_deref().unwrap_or("nobody"))]
    Taken(Option<String>),
    #[error("it is not there: {0}")]
    Absent(String),
    #[error("the API server does not answer in time")]
    Late,
    #[error("{0}")]
    Refused(String),
    #[error("this process was stopped, or too busy to renew it")]
    Paused,
}

impl Failure {
    /// Whether a leader that meets it leads no longer. After others it may have another try.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Taken(_) | Self::Absent(_))
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match answer::status(&error) {
            Some(status) if status.code == 409 => Self::Conflict,
            Some(status) if status.code == 404 => Self::Absent(answer::describe(&error)),
            _ => Self::Refused(answer::describe(&error)),
        }
    }
}
