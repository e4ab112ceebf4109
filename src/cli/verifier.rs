//! `tokenwright verifier`.

use std::{process::ExitCode, time::Duration};

use futures::FutureExt;

use super::{Outcome, asked_to_end, cluster, listen, observed, probes};
use crate::{
    args::{Namespaces, VerifierArguments},
    clock::Clock,
    verifier::{Listeners, Settings, Tls, Verifier},
};

/// Answers whether tokens are good until asked to end.
///
/// # Errors
/// When the cluster's address cannot be found or read, an address cannot be listened on, or the certificate makes no
/// sense.
pub async fn verifier(arguments: VerifierArguments) -> Outcome {
    observed("tokenwright-verifier", &arguments.observed, answer(&arguments)).await
}

async fn answer(arguments: &VerifierArguments) -> Outcome {
    let settings = settings(arguments);
    let tls = match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(certificate), Some(key)) => Some(Tls::load(certificate, key)?),
        _ => None,
    };
    let (client, url) = cluster::connect(&arguments.cluster).await?;
    let probed = listen(arguments.observed.metrics, "--metrics").await?;
    let http = listen(arguments.http, "--http").await?;
    let grpc = listen(arguments.grpc, "--grpc").await?;

    let probes_at = probed.local_addr()?;
    let namespaces = cluster::scope(&settings.namespaces);
    let verifier = Verifier::new(client, settings, Clock::system());
    let ended = asked_to_end().shared();
    let probing = tokio::spawn(probes::serve(probed, verifier.judge(), ended.clone()));
    tracing::info!(
        cluster = url,
        http = %http.local_addr()?,
        grpc = %grpc.local_addr()?,
        probes = %probes_at,
        tls = tls.is_some(),
        namespaces,
        "starting"
    );
    let listeners = Listeners {
        http: Some(http),
        grpc: Some(grpc),
        tls,
    };
    verifier.run(listeners, ended).await;
    tracing::info!("stopped");
    probing.await??;
    Ok(ExitCode::SUCCESS)
}

fn settings(arguments: &VerifierArguments) -> Settings {
    let time = |duration: &crate::api::Duration| Duration::from_secs(duration.seconds());
    Settings {
        namespaces: Namespaces::union(&arguments.namespaces),
        max_staleness: time(&arguments.max_staleness),
        last_used_interval: time(&arguments.last_used_interval),
        trusted_proxies: arguments.trusted_proxies.clone(),
    }
}
