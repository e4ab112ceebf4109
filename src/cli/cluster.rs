//! Which cluster, and what of it.

use std::{collections::BTreeSet, error::Error};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::args::ClusterArguments;

/// A client for the cluster that the arguments name, and its URL.
///
/// # Errors
/// When there is none, or its kubeconfig cannot be read.
pub(super) async fn connect(arguments: &ClusterArguments) -> Result<(Client, String), Box<dyn Error + Send + Sync>> {
    let config = find(arguments).await?;
    let url = config.cluster_url.to_string();
    Ok((Client::try_from(config)?, url))
}

/// How to reach the cluster that the arguments name.
///
/// # Errors
/// When there is none, or its kubeconfig cannot be read.
pub(super) async fn find(arguments: &ClusterArguments) -> Result<Config, Box<dyn Error + Send + Sync>> {
    let options = KubeConfigOptions {
        context: arguments.context.clone(),
        ..KubeConfigOptions::default()
    };
    Ok(match &arguments.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path)
                .map_err(|error| format!("cannot read the kubeconfig {}: {error}", path.display()))?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await?
        }
        None if arguments.context.is_some() => Config::from_kubeconfig(&options).await?,
        None => Config::infer().await.map_err(|error| {
            format!("found no cluster: {error}. Give --kubeconfig PATH, or run in a Pod with a service account")
        })?,
    })
}

/// The names without what is empty, as in an empty variable or after a last comma, and each once: a namespace that is
/// watched twice would have its tokens counted twice.
pub(super) fn tidy(names: Vec<String>) -> Vec<String> {
    let names = names.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
    let distinct: BTreeSet<String> = names.map(str::to_owned).collect();
    distinct.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_named_once_and_never_empty() {
        let tidied = |names: &str| tidy(names.split(',').map(str::to_owned).collect());
        assert_eq!(tidied(""), [""; 0]);
        assert_eq!(tidied("shop, blog,shop,"), ["blog", "shop"]);
    }
}
