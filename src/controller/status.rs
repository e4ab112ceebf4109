//! Writing statuses.

use std::fmt::Debug;

use kube::{Api, Resource, ResourceExt, api::PostParams};
use serde::{Serialize, de::DeserializeOwned};

use super::Error;

/// What statuses are written as, in `managedFields`.
pub(super) const MANAGER: &str = "tokenwright-status";

/// Writes the status that `wanted` has, under its resourceVersion. Returns what the API server made of it.
pub(super) async fn replace<K>(api: &Api<K>, wanted: &K) -> Result<K, Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    let params = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    api.replace_status(&wanted.name_any(), &params, wanted)
        .await
        .map_err(Error::of(wanted.meta(), "write the status"))
}
