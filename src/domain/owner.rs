//! Who owns what the controller writes. What carries no such reference is not the project's to touch.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;

/// The reference by which `owner` controls an object. `blockOwnerDeletion` stays unset: it would ask for a right on the
/// owner's finalizers, and nothing here waits for the object to go first.
pub fn controller_reference<K>(owner: &K) -> Option<OwnerReference>
where
    K: Resource<DynamicType = ()>,
{
    let mut reference = owner.controller_owner_ref(&())?;
    reference.block_owner_deletion = None;
    Some(reference)
}

/// Whether an object's controller is the one with this UID: the one test for whether it may be touched.
pub fn is_controlled_by(metadata: &ObjectMeta, uid: Option<&str>) -> bool {
    uid.is_some()
        && metadata
            .owner_references
            .iter()
            .flatten()
            .any(|owner| owner.controller == Some(true) && Some(owner.uid.as_str()) == uid)
}

/// Whether anything controls an object.
pub fn is_controlled(metadata: &ObjectMeta) -> bool {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.any(|owner| owner.controller == Some(true))
}

/// An object's owners with `controller` as its controller; what others own it besides is kept.
pub fn with_controller(metadata: &ObjectMeta, controller: Option<&OwnerReference>) -> Vec<OwnerReference> {
    let others = metadata
        .owner_references
        .iter()
        .flatten()
        .filter(|other| other.controller != Some(true) && controller.is_none_or(|it| it.uid != other.uid));
    controller.into_iter().chain(others).cloned().collect()
}
