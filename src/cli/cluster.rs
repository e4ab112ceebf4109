//! Which cluster.

use std::error::Error;

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

/// These namespaces, for a log. None stand for all.
pub(super) fn scope(namespaces: &[String]) -> String {
    match namespaces {
        [] => "all".to_owned(),
        names => names.join(","),
    }
}
