//! Keeping roles and bindings in step with what `domain::rights` wants, writing only where they differ.
//!
//! The objects are watched by their label, so that comparing costs no request. Before something is written it is read:
//! the watch can lag behind, and what does not carry the label is not in it.

mod feed;
mod memory;
mod sweep;

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::{Api, api::PostParams};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;

pub(super) use feed::{Wake, follow};
pub(super) use memory::{Memory, Outcome};
pub(super) use sweep::Places;

use super::{Context, Error, deletion::delete, store::Store};
use crate::{
    api::condition::{Finding, Reason},
    domain::rights::{Right, RightsObject, Step, step},
};

const MANAGER: &str = "tokenwright-rights";

/// What kube asks of a kind that is watched and written.
pub(super) trait Kind: RightsObject + Serialize + DeserializeOwned + Debug + Send + Sync + 'static {}

impl<K: RightsObject + Serialize + DeserializeOwned + Debug + Send + Sync + 'static> Kind for K {}

/// The objects of one kind in one namespace, or in all of them, as their watch shows them.
#[derive(Clone)]
pub(super) struct View<K: Kind> {
    namespace: Option<String>,
    store: Store<K>,
    standing: Arc<Mutex<Standing>>,
}

/// How far a watch has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// Its first list is not complete.
    Listing,
    /// That list was refused, for this reason.
    Refused(String),
    /// It has been complete.
    Listed,
}

/// The views that the controller has. One that looks after some namespaces leaves alone what is cluster-wide.
#[derive(Clone, Default)]
pub(super) struct Views {
    pub(super) cluster: Option<(View<ClusterRole>, View<ClusterRoleBinding>)>,
    pub(super) scoped: Vec<(View<Role>, View<RoleBinding>)>,
}

impl<K: Kind> View<K> {
    /// The view of a namespace, or of all there are, before anything is seen.
    pub(super) fn new(namespace: Option<String>) -> Self {
        Self {
            namespace,
            store: Store::default(),
            standing: Arc::new(Mutex::new(Standing::Listing)),
        }
    }

    fn standing(&self) -> Standing {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns whether that is news.
    fn stands(&self, standing: Standing) -> bool {
        let mut known = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let news = *known != standing;
        *known = standing;
        news
    }

    fn find(&self, right: &Right) -> Option<Arc<K>> {
        self.store.find(right.namespace.as_deref(), &right.name)
    }
}

impl Views {
    fn of(&self, namespace: &str) -> Option<&(View<Role>, View<RoleBinding>)> {
        let covers = |view: &View<Role>| view.namespace.as_deref().is_none_or(|only| only == namespace);
        self.scoped.iter().find(|(roles, _)| covers(roles))
    }
}

/// Why something is not as it should be.
enum Obstacle {
    /// It is not known yet what there is.
    Unlisted,
    /// The API server refuses.
    Denied(String),
    /// There is one that is not the controller's: its kind and name.
    Foreign(String, String),
    Failed(Error),
}

impl From<Error> for Obstacle {
    fn from(error: Error) -> Self {
        error.refusal().map_or(Self::Failed(error), Self::Denied)
    }
}

/// Grants the rights that belong to one object to those they are for, or takes away what is left of them where that is
/// nobody or they are not `wanted`. Fails when trying again soon will help.
pub(super) async fn keep(
    rights: &[Right],
    wanted: bool,
    generation: Option<i64>,
    ctx: &Context,
) -> Result<Outcome, Error> {
    let uid = rights.first().and_then(Right::owner_uid).unwrap_or_default();
    if let Some(trouble) = ctx.memory().rights.pausing(uid, generation, Instant::now()) {
        return Ok(trouble);
    }
    let mut obstacle = None;
    for right in rights {
        // One that fails must not keep the others from being taken away.
        if let Err(met) = keep_one(right, wanted && right.holders() > 0, ctx).await {
            obstacle.get_or_insert(met);
        }
    }
    let finding = match obstacle {
        None => {
            ctx.memory().rights.forget(uid);
            return Ok(Outcome::InStep);
        }
        Some(Obstacle::Unlisted) => return Ok(Outcome::Unknown),
        Some(Obstacle::Failed(error)) => return Err(error),
        Some(Obstacle::Denied(why)) => denied(&why),
        Some(Obstacle::Foreign(kind, name)) => conflict(&kind, &name),
    };
    let failed = ctx.memory().rights.failed(uid, generation, finding, Instant::now());
    Ok(failed)
}

async fn keep_one(right: &Right, wanted: bool, ctx: &Context) -> Result<(), Obstacle> {
    match &right.namespace {
        None => keep_in_cluster(right, wanted, ctx).await,
        Some(namespace) => keep_in_namespace(right, namespace, wanted, ctx).await,
    }
}

async fn keep_in_cluster(right: &Right, wanted: bool, ctx: &Context) -> Result<(), Obstacle> {
    let Some((roles, bindings)) = &ctx.stores.rights.cluster else {
        return Ok(());
    };
    let role = Part::new(
        roles,
        Api::all(ctx.client.clone()),
        right,
        wanted.then(|| right.cluster_role()),
    );
    let binding = wanted.then(|| right.cluster_role_binding());
    let binding = Part::new(bindings, Api::all(ctx.client.clone()), right, binding);
    keep_both(role, binding, wanted).await
}

async fn keep_in_namespace(right: &Right, namespace: &str, wanted: bool, ctx: &Context) -> Result<(), Obstacle> {
    let Some((roles, bindings)) = ctx.stores.rights.of(namespace) else {
        return Ok(());
    };
    let api = Api::namespaced(ctx.client.clone(), namespace);
    let role = Part::new(roles, api, right, wanted.then(|| right.role()));
    let api = Api::namespaced(ctx.client.clone(), namespace);
    let binding = Part::new(bindings, api, right, wanted.then(|| right.role_binding()));
    keep_both(role, binding, wanted).await
}

/// A binding comes after its role and goes before it, so that none ever refers to what somebody else may make.
async fn keep_both<R: Kind, B: Kind>(role: Part<'_, R>, binding: Part<'_, B>, wanted: bool) -> Result<(), Obstacle> {
    if wanted {
        role.keep().await?;
        return binding.keep().await;
    }
    binding.keep().await?;
    role.keep().await
}

/// The role or the binding of a right.
struct Part<'a, K: Kind> {
    view: &'a View<K>,
    api: Api<K>,
    right: &'a Right,
    wanted: Option<K>,
}

impl<'a, K: Kind> Part<'a, K> {
    fn new(view: &'a View<K>, api: Api<K>, right: &'a Right, wanted: Option<K>) -> Self {
        Self {
            view,
            api,
            right,
            wanted,
        }
    }

    async fn keep(&self) -> Result<(), Obstacle> {
        match (self.view.standing(), &self.wanted) {
            (Standing::Listed, _) => {}
            // Where the controller may not look it has not written either.
            (Standing::Refused(_), None) => return Ok(()),
            (Standing::Refused(why), Some(_)) => return Err(Obstacle::Denied(why)),
            (Standing::Listing, _) => return Err(Obstacle::Unlisted),
        }
        if self.step(self.view.find(self.right).as_deref()) == Step::Nothing {
            return Ok(());
        }
        let found = self.api.get_opt(&self.right.name).await;
        let found = found.map_err(Error::api("look at the rights it keeps"))?;
        let written = match self.step(found.as_ref()) {
            Step::Nothing => return Ok(()),
            Step::Conflict => return Err(Obstacle::Foreign(K::kind(&()).into_owned(), self.right.name.clone())),
            Step::Create(wanted) => self.create(&wanted).await?,
            Step::Replace(wanted) => {
                let replaced = self.api.replace(&self.right.name, &parameters(), &wanted).await;
                replaced.map_err(Error::api("change a right"))?
            }
            Step::Renew(wanted) => {
                self.delete(found.as_ref()).await?;
                self.create(&wanted).await?
            }
            Step::Delete => return Ok(self.delete(found.as_ref()).await?),
        };
        // Otherwise it would be written without end.
        match self.step(Some(&written)) {
            Step::Nothing => Ok(()),
            _ => Err(Obstacle::Denied(format!(
                "keep {} {:?} as it should be: something changed it on its way",
                K::kind(&()),
                self.right.name
            ))),
        }
    }

    fn step(&self, found: Option<&K>) -> Step<K> {
        step(found, self.wanted.as_ref(), self.right.owner_uid())
    }

    async fn create(&self, wanted: &K) -> Result<K, Error> {
        let created = self.api.create(&parameters(), wanted).await;
        created.map_err(Error::api("grant a right"))
    }

    async fn delete(&self, found: Option<&K>) -> Result<(), Error> {
        match found {
            Some(found) => take_away(&self.api, found).await,
            None => Ok(()),
        }
    }
}

/// Deletes the object if it is still the one that was found.
async fn take_away<K: Kind>(api: &Api<K>, found: &K) -> Result<(), Error> {
    delete(api, found).await.map_err(Error::api("take away a right"))
}

fn parameters() -> PostParams {
    PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    }
}

fn denied(why: &str) -> Finding {
    let why = why.trim().trim_end_matches('.');
    Finding::no(
        Reason::RightsDenied,
        format!(
            "The API server refused to {why}. The controller can only grant what it has been granted itself: give it what this names. It is tried again with pauses of up to 5 minutes."
        ),
    )
}

fn conflict(kind: &str, name: &str) -> Finding {
    Finding::no(
        Reason::RightsConflict,
        format!(
            "{kind} {name:?} exists and is not the controller's, so it is left as it is and the right is not granted. Delete or rename it. It is looked at again with pauses of up to 5 minutes."
        ),
    )
}
