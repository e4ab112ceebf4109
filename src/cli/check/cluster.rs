//! What a cluster has. It is only listed.

use std::{collections::BTreeMap, error::Error, fmt::Debug};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::ListParams,
    core::{DeserializeGuard, PartialObjectMeta},
};
use serde::de::DeserializeOwned;

use crate::{
    answer::{describe, unreachable},
    args::ClusterArguments,
    check::Cluster,
    cli::cluster::connect,
};

/// How many objects a page of a list has.
const PAGE: u32 = 500;

/// Lists all that manifests are judged against.
pub(super) async fn read(which: &ClusterArguments) -> Result<Cluster, Box<dyn Error + Send + Sync>> {
    let (client, url) = connect(which).await?;
    let explain = |(resource, error)| explain(resource, &url, &error);
    let namespaces = namespaces(&client).await.map_err(explain)?;
    let namespaces = namespaces
        .into_iter()
        .map(|namespace| (namespace.name_any(), namespace.labels().clone()));
    Ok(Cluster {
        organisations: all(&client, "organisations").await.map_err(explain)?,
        policies: all(&client, "tokenpolicies").await.map_err(explain)?,
        tokens: all(&client, "apitokens").await.map_err(explain)?,
        namespaces: namespaces.collect::<BTreeMap<_, _>>(),
    })
}

/// What could not be listed, and why.
type Failure = (&'static str, kube::Error);

/// All objects of a kind that can be read as such. None where the kind is not installed yet.
async fn all<K>(client: &Client, resource: &'static str) -> Result<Vec<K>, Failure>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug,
{
    let api: Api<DeserializeGuard<K>> = Api::all(client.clone());
    let (mut found, mut page) = (Vec::new(), ListParams::default().limit(PAGE));
    loop {
        let list = match api.list(&page).await {
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(found),
            answer => answer.map_err(|error| (resource, error))?,
        };
        found.extend(list.items.into_iter().filter_map(|guard| guard.0.ok()));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(found),
        }
    }
}

async fn namespaces(client: &Client) -> Result<Vec<PartialObjectMeta<Namespace>>, Failure> {
    let api: Api<Namespace> = Api::all(client.clone());
    let (mut found, mut page) = (Vec::new(), ListParams::default().limit(PAGE));
    loop {
        let list = api.list_metadata(&page).await.map_err(|error| ("namespaces", error))?;
        found.extend(list.items);
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(found),
        }
    }
}

fn explain(resource: &str, url: &str, error: &kube::Error) -> String {
    let why = match (error, unreachable(error)) {
        (_, Some(cause)) => format!("cannot reach {url}: {cause}"),
        (kube::Error::Api(status), None) => format!(
            "{}. Use a kubeconfig that may, or leave out --kubeconfig and --context",
            status.message.trim_end_matches('.')
        ),
        (other, None) => describe(other),
    };
    format!("cannot list the {resource} of the cluster: {why}")
}
