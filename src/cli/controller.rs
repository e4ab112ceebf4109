//! `tokenwright controller`.

use std::{future::Future, process::ExitCode, sync::Arc, time::Duration};

use futures::FutureExt;
use kube::{Api, Client, Config, api::ListParams, client::ClientBuilder};
use tower::layer::layer_fn;

use super::{Outcome, asked_to_end, cluster, listen, observed, probes};
use crate::{
    api::{ApiToken, Organisation, TokenPolicy},
    args::{ControllerArguments, ElectionArguments, Namespaces},
    clock::Clock,
    controller::{Controller, Settings},
    leader::{self, Election, Term},
    metrics::Metrics,
    telemetry::Traced,
};

/// How often it is looked whether the CRDs have come.
const CRD_RETRY: Duration = Duration::from_secs(5);

/// Looks after the ApiTokens of a cluster until asked to end.
///
/// # Errors
/// When the cluster's address cannot be found or read, the probes' address cannot be listened on, or the lease is lost.
pub async fn controller(arguments: ControllerArguments) -> Outcome {
    observed("tokenwright-controller", &arguments.observed, look_after(&arguments)).await
}

async fn look_after(arguments: &ControllerArguments) -> Outcome {
    let config = cluster::find(&arguments.cluster).await?;
    let listener = listen(arguments.observed.metrics, "--metrics").await?;

    let metrics = Arc::new(Metrics::default());
    let ended = asked_to_end().shared();
    let probing = tokio::spawn(probes::serve(listener, metrics.clone(), ended.clone()));
    let (url, probes) = (&config.cluster_url, arguments.observed.metrics);
    let namespaces = Namespaces::union(&arguments.namespaces);
    tracing::info!(cluster = %url, %probes, namespaces = cluster::scope(&namespaces), "starting");

    let traced = layer_fn(Traced);
    if arguments.election.leader_elect {
        // The lease is asked for by a connection of its own, which work does not hold up.
        let (term, settings) = (Term::default(), candidacy(&arguments.election, &config));
        let election = Client::try_from(config.clone())?;
        let election = Election::new(election, settings, term.clone(), Clock::system(), metrics.clone());
        let guarded = ClientBuilder::try_from(config)?.with_layer(&traced);
        let guarded = guarded.with_layer(&layer_fn(|inner| term.guard(inner)));
        let work = work(guarded.build(), arguments, namespaces, metrics, ended.clone());
        election.lead(work, ended).await?;
    } else {
        metrics.leads(true);
        let client = ClientBuilder::try_from(config)?.with_layer(&traced);
        work(client.build(), arguments, namespaces, metrics, ended).await;
    }
    tracing::info!("stopped");
    probing.await??;
    Ok(ExitCode::SUCCESS)
}

async fn work(
    client: Client,
    arguments: &ControllerArguments,
    namespaces: Vec<String>,
    metrics: Arc<Metrics>,
    ended: impl Future<Output = ()> + Clone + Send,
) {
    tokio::select! {
        () = ended.clone() => {}
        () = crds_installed(&client, &namespaces) => {
            let settings = Settings {
                namespaces,
                concurrency: arguments.concurrency,
                history: usize::from(arguments.history),
                trust_created_by: arguments.trust_created_by,
                ..Settings::default()
            };
            Controller::new(client, settings, metrics).run(ended).await;
        }
    }
}

fn candidacy(arguments: &ElectionArguments, config: &Config) -> leader::Settings {
    let namespace = arguments.leader_election_namespace.clone();
    leader::Settings {
        namespace: namespace.unwrap_or_else(|| config.default_namespace.clone()),
        name: arguments.lease_name.clone(),
        identity: format!("{}_{:016x}", host(), rand::random::<u64>()),
        duration: Duration::from_secs(arguments.lease_duration.seconds()),
    }
}

/// The Pod's or the machine's name, for people who look at the lease.
fn host() -> String {
    let host = std::env::var("HOSTNAME").or_else(|_| std::fs::read_to_string("/etc/hostname"));
    let host = host.unwrap_or_default();
    let host = host.trim();
    if host.is_empty() { "controller" } else { host }.to_owned()
}

/// Waits until all kinds are served. The order of an installation should not matter.
async fn crds_installed(client: &Client, namespaces: &[String]) {
    let one = ListParams::default().limit(1);
    let organisations: Api<Organisation> = Api::all(client.clone());
    let policies: Api<TokenPolicy> = Api::all(client.clone());
    let tokens: Api<ApiToken> = match namespaces.first() {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let missing = |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == 404);
    loop {
        let found = futures::future::join3(
            organisations.list_metadata(&one),
            policies.list_metadata(&one),
            tokens.list_metadata(&one),
        );
        let (organisations, policies, tokens) = found.await;
        let errors = [organisations.err(), policies.err(), tokens.err()];
        if !errors.iter().flatten().any(missing) {
            // Other errors are for the watches, which report them and try again.
            return;
        }
        tracing::warn!("the CRDs are not installed: run 'tokenwright crd | kubectl apply -f -'; waiting for them");
        tokio::time::sleep(CRD_RETRY).await;
    }
}
