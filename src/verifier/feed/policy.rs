//! TokenPolicies, of which as much is read as can be: one that were left out as a whole would let in what it forbids.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

use super::Kept;
use crate::{
    api::{TokenPolicy, TokenPolicySpec},
    domain::policy::refusing,
    verifier::{Index, List},
};

/// A policy, or what is enforced instead of one that cannot be read.
#[derive(Clone, Debug)]
pub(super) struct Guarded {
    policy: TokenPolicy,
    /// Why it cannot be read.
    error: Option<String>,
}

impl<'de> Deserialize<'de> for Guarded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(deserializer)?;
        let metadata = ObjectMeta::deserialize(&object["metadata"]).map_err(D::Error::custom)?;
        let (spec, error) = match TokenPolicySpec::deserialize(&object["spec"]) {
            Ok(spec) => (spec, None),
            Err(error) => (refusing(&object["spec"]), Some(error.to_string())),
        };
        let policy = TokenPolicy {
            metadata,
            spec,
            status: None,
        };
        Ok(Self { policy, error })
    }
}

impl Resource for Guarded {
    type DynamicType = ();
    type Scope = <TokenPolicy as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        TokenPolicy::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        TokenPolicy::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        TokenPolicy::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        TokenPolicy::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        self.policy.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.policy.meta_mut()
    }
}

impl Kept for Guarded {
    const RESOURCE: &'static str = "tokenpolicies";

    fn list(_: Option<&str>) -> List<'_> {
        List::Policies
    }

    fn apply(self, index: &Index) -> Result<(), String> {
        match self.error {
            None => index.apply_policy(&self.policy),
            Some(error) => {
                index.apply_unreadable_policy(&self.policy.name_any(), &self.policy.spec);
                return Err(error);
            }
        }
        Ok(())
    }

    fn delete(index: &Index, _: &str, name: &str) {
        index.delete_policy(name);
    }

    fn give_up(_: &Index, _: &str, _: &str) -> &'static str {
        "refuses every token that it may be for"
    }
}
