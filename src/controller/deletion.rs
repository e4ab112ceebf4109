//! Deleting what has been looked at, and nothing newer.

use std::fmt::Debug;

use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Preconditions},
};
use serde::de::DeserializeOwned;

use crate::answer;

/// Deletes this object if it is still as it was found. One that is gone already is no error.
pub(super) async fn delete<K>(api: &Api<K>, found: &K) -> kube::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let exactly = Preconditions {
        uid: found.uid(),
        resource_version: found.resource_version(),
    };
    let params = DeleteParams {
        preconditions: Some(exactly),
        ..DeleteParams::background()
    };
    match api.delete(&found.name_any(), &params).await {
        Err(error) if !answer::status(&error).is_some_and(|status| status.is_not_found()) => Err(error),
        _ => Ok(()),
    }
}
