//! `tokenwright controller`.

use std::{process::ExitCode, sync::Arc, time::Duration};

use futures::FutureExt;
use kube::{Api, Client, api::ListParams};

use super::{Outcome, asked_to_end, cluster, listen, probes};
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
    arguments.namespaces = cluster::tidy(arguments.namespaces);
    telemetry::init(arguments.log.log_format, arguments.log.log.as_deref().unwrap_or("info"));
    let (client, url) = cluster::connect(&arguments.cluster).await?;
    let listener = listen(arguments.metrics, "--metrics").await?;

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
                trust_created_by: arguments.trust_created_by,
                ..Settings::default()
            };
            Controller::new(client, settings, metrics).run(ended.clone()).await;
        }
    }
    tracing::info!("stopped");
    probing.await??;
    Ok(ExitCode::SUCCESS)
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
