//! A program's own admission: rules that the sandbox asks about every write of a user, in place of the admission
//! policies and webhooks that a cluster would have.
//!
//! They are asked where a real server asks: [`Admission::mutate`] when an object has its defaults and before it is
//! validated, [`Admission::validate`] after that. Dry runs are asked about as well. What the sandbox's own controllers
//! do (garbage collection, the end of a namespace, rollouts) is not.

use serde_json::{Value, json};

use crate::auth::{Attempt, User};
use crate::catalog::Resource;
use crate::cluster::{Cluster, WriteOptions};
use crate::status::{Answer, Refusal};

/// Rules about writes, for [`Builder::admission`](crate::Builder::admission). Both methods run while the cluster is locked: they must not block, nor send requests to it.
pub trait Admission: Send + Sync {
    /// Changes an object that is about to be written, as a MutatingAdmissionPolicy does. Not asked about deletions. What
    /// it adds is validated and not pruned.
    fn mutate(&self, request: &Request<'_>, object: &mut Value) {
        let _ = (request, object);
    }

    /// Lets a write through, or says why not, as a ValidatingAdmissionPolicy does. A deletion has no new object.
    ///
    /// # Errors
    /// The denial that the client gets, with status 403.
    fn validate(
        &self,
        request: &Request<'_>,
        object: Option<&Value>,
        authorizer: &mut Authorizer<'_>,
    ) -> Result<(), Denial> {
        let _ = (request, object, authorizer);
        Ok(())
    }
}

/// A write that somebody asks for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub user: &'a User,
    /// What for.
    pub operation: Operation,
    /// The API group; empty is the core group.
    pub group: &'a str,
    /// The version that the objects are shown in.
    pub version: &'a str,
    /// The resource, by its plural name.
    pub resource: &'a str,
    /// `status`, `scale` and the like; empty is the object itself. For `scale` the objects are whole ones too, not
    /// Scales.
    pub subresource: &'a str,
    /// The namespace; empty when there is none.
    pub namespace: &'a str,
    /// The object's name.
    pub name: &'a str,
    /// What is there, for updates and deletions.
    pub old: Option<&'a Value>,
    /// Whether a deletion leaves the object's dependents behind: `propagationPolicy: Orphan`.
    pub orphans: bool,
    /// Whether nothing will be written.
    pub dry_run: bool,
}

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Makes an object.
    Create,
    /// Replaces or patches one.
    Update,
    /// Deletes one; a deletion of many is asked about for each.
    Delete,
}

/// Why a write is refused, in the words of a ValidatingAdmissionPolicy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The name of the policy, and of its binding.
    pub policy: String,
    /// What is wrong and what to do instead.
    pub message: String,
}

/// Answers what the user of a request may do otherwise.
pub struct Authorizer<'a> {
    cluster: &'a mut Cluster,
    user: &'a User,
}

impl Authorizer<'_> {
    /// Whether the user may do this to the object of that name, which need not exist; any verb will do. A resource can be
    /// `pods/status` and the like. Without a namespace it is a resource of the cluster, without a name it is all of them.
    pub fn allows(&mut self, verb: &str, group: &str, resource: &str, namespace: &str, name: &str) -> bool {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let attempt = Attempt {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..Attempt::default()
        };
        self.cluster.allows(self.user, &attempt)
    }
}

impl std::fmt::Debug for Authorizer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorizer")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// A write, as those know it who carry it out.
#[derive(Clone, Copy)]
pub(crate) struct Write<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) operation: Operation,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) old: Option<&'a Value>,
    pub(crate) orphans: bool,
}

impl Write<'_> {
    /// Has the rules change the object, if there are any and a user writes it.
    pub(crate) fn mutate(&self, cluster: &Cluster, object: &mut Value, options: &WriteOptions) {
        let (Some(admission), Some(user)) = (&cluster.admission, &options.author) else {
            return;
        };
        let custom = self.resource.custom.as_ref();
        if let Some(schema) = custom.and_then(|custom| custom.schema.as_ref()) {
            schema.apply_defaults(object);
        }
        admission.mutate(&self.request(user, options), object);
    }

    /// Refuses what the rules refuse, if there are any and a user writes it.
    pub(crate) fn validate(&self, cluster: &mut Cluster, object: Option<&Value>, options: &WriteOptions) -> Answer<()> {
        let (Some(admission), Some(user)) = (cluster.admission.clone(), &options.author) else {
            return Ok(());
        };
        let request = self.request(user, options);
        let mut authorizer = Authorizer { cluster, user };
        let Err(denial) = admission.validate(&request, object, &mut authorizer) else {
            return Ok(());
        };
        let Denial { policy, message } = denial;
        let why = format!("ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: {message}");
        let mut refusal = Refusal::forbidden(self.resource, self.name, &why);
        if let Some(details) = &mut refusal.details {
            details["causes"] = json!([{ "message": why }]);
        }
        Err(refusal)
    }

    fn request<'a>(&'a self, user: &'a User, options: &WriteOptions) -> Request<'a> {
        Request {
            user,
            operation: self.operation,
            group: &self.resource.group,
            version: &self.resource.version,
            resource: &self.resource.plural,
            subresource: self.subresource,
            namespace: self.namespace,
            name: self.name,
            old: self.old,
            orphans: self.orphans,
            dry_run: options.dry_run,
        }
    }
}
