//! Taking away rights whose owner was deleted without them.
//!
//! The garbage collector takes them away with their owner, unless the deletion asks it not to (`--cascade=orphan`). Left
//! alone they would go on for ever, and for whatever comes to bear the name that they are about.

use std::{fmt::Debug, time::Duration};

use futures::{StreamExt, channel::mpsc::UnboundedReceiver};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use super::{
    super::{Context, Error},
    Kind, Wake, take_away,
};
use crate::{domain::rights::orphaned_by, pause::growing_pause};

const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Where the rights of one kind are, and where those are that they are made for: in a namespace, or without one.
pub(in super::super) struct Places<K, O> {
    pub(in super::super) rights: fn(Client, &str) -> Api<K>,
    pub(in super::super) owners: fn(Client, &str) -> Api<O>,
}

impl<K, O> Places<K, O>
where
    K: Kind,
    O: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    /// Looks after each of these until its owner is found, or it is gone.
    pub(super) async fn sweep(&self, orphans: UnboundedReceiver<K>, ctx: &Context, wake: &impl Fn(Wake<'_>)) {
        let each = async |orphan: K| {
            let mut failures = 0;
            while let Err(error) = self.settle(&orphan, ctx, wake).await {
                let (kind, name) = (K::kind(&()), orphan.name_any());
                tracing::warn!(%kind, namespace = orphan.namespace(), name, %error, "a right without its owner is left");
                sleep(growing_pause(failures, LONGEST_PAUSE, rand::random())).await;
                failures += 1;
            }
        };
        orphans.for_each_concurrent(None, each).await;
    }

    /// An owner that is there decides about it; without one it goes. That is read, as the watch of owners can lag behind.
    async fn settle(&self, orphan: &K, ctx: &Context, wake: &impl Fn(Wake<'_>)) -> Result<(), Error> {
        let Some(former) = orphaned_by(orphan.meta()) else {
            return Ok(());
        };
        let namespace = orphan.meta().namespace.as_deref();
        let place = namespace.unwrap_or_default();
        let owners = (self.owners)(ctx.client.clone(), place);
        let owner = owners.get_metadata_opt(former.name).await;
        let owner = owner.map_err(Error::api("look for the owner of a right"))?;
        if owner.is_some_and(|owner| owner.metadata.uid.as_deref() == Some(former.uid)) {
            wake(Wake::Named(namespace, former.name));
            return Ok(());
        }
        let (api, name) = ((self.rights)(ctx.client.clone(), place), orphan.name_any());
        match take_away(&api, orphan).await {
            Ok(()) => {
                let kind = K::kind(&());
                tracing::info!(%kind, namespace, name, "took away a right whose owner is gone");
                Ok(())
            }
            // It changed: what it is now is on its way.
            Err(Error::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
