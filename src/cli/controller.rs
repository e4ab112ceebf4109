//! `tokenwright controller`.

use std::{collections::BTreeSet, process::ExitCode, sync::Arc, time::Duration};

use futures::FutureExt;
use kube::{
    Api, Client, Config,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::net::TcpListener;

use super::{Outcome, asked_to_end, probes};
use crate::{
    api::{ApiToken, Organisation},
    args::ControllerArguments,
    controller::{Controller, Settings},
    metrics::Metrics,
    telemetry,
};

/// How often it is looked whether the CRDs have come.
const CRD_RETRY: Duration = Duration::from_secs(5);

/// Looks after the ApiTokens of a cluster until asked to end.
///
/// # Errors
/// When the cluster's address cannot be found or read, or the probes' address cannot be listened on.
pub async fn controller(mut arguments: ControllerArguments) -> Outcome {
    arguments.namespaces = tidy(arguments.namespaces);
    telemetry::init(arguments.log.log_format, arguments.log.log.as_deref().unwrap_or("info"));
    let config = config(&arguments).await?;
    let url = config.cluster_url.to_string();
    let client = Client::try_from(config)?;
    let listener = TcpListener::bind(arguments.metrics).await.map_err(|error| {
        format!(
            "cannot listen on {} for the probes: {error}; choose another with --metrics",
            arguments.metrics
        )
    })?;

    let metrics = Arc::new(Metrics::default());
    let ended = asked_to_end().shared();
    let probing = tokio::spawn(probes::serve(listener, metrics.clone(), ended.clone()));
    tracing::info!(cluster = url, probes = %arguments.metrics, namespaces = ?arguments.namespaces, "starting");

    tokio::select! {
        () = ended.clone() => {}
        () = crds_installed(&client, &arguments.namespaces) => {
            let settings = Settings {
                namespaces: arguments.namespaces,
                concurrency: arguments.concurrency,
                history: usize::from(arguments.history),
                ..Settings::default()
            };
            Controller::new(client, settings, metrics).run(ended.clone()).await;
        }
    }
    tracing::info!("stopped");
    probing.await??;
    Ok(ExitCode::SUCCESS)
}

/// The names without what is empty, as in an empty variable or after a last comma, and each once: a namespace that is
/// watched twice would have its tokens counted twice.
fn tidy(names: Vec<String>) -> Vec<String> {
    let names = names.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
    let distinct: BTreeSet<String> = names.map(str::to_owned).collect();
    distinct.into_iter().collect()
}

async fn config(arguments: &ControllerArguments) -> Result<Config, Box<dyn std::error::Error + Send + Sync>> {
    let options = KubeConfigOptions {
        context: arguments.context.clone(),
        ..KubeConfigOptions::default()
    };
    let config = match &arguments.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path)
                .map_err(|error| format!("cannot read the kubeconfig {}: {error}", path.display()))?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await?
        }
        None if arguments.context.is_some() => Config::from_kubeconfig(&options).await?,
        None => Config::infer().await.map_err(|error| {
            format!("found no cluster: {error}. Give --kubeconfig PATH, or run in a Pod with a service account")
        })?,
    };
    Ok(config)
}

/// Waits until both kinds are served. The order of an installation should not matter.
async fn crds_installed(client: &Client, namespaces: &[String]) {
    let one = ListParams::default().limit(1);
    let organisations: Api<Organisation> = Api::all(client.clone());
    let tokens: Api<ApiToken> = match namespaces.first() {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let missing = |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == 404);
    loop {
        let found = futures::future::join(organisations.list_metadata(&one), tokens.list_metadata(&one)).await;
        let absent = [found.0.as_ref().err(), found.1.as_ref().err()]
            .into_iter()
            .flatten()
            .any(missing);
        if !absent {
            // Other errors are for the watches, which report them and try again.
            return;
        }
        tracing::warn!("the CRDs are not installed: run 'tokenwright crd | kubectl apply -f -'; waiting for them");
        tokio::time::sleep(CRD_RETRY).await;
    }
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
