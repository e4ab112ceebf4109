//! `tokenwright verifier`.

use std::{process::ExitCode, time::Duration};

use futures::FutureExt;

use super::{Outcome, asked_to_end, cluster, listen, probes};
use crate::{
    args::VerifierArguments,
    clock::Clock,
    telemetry,
    verifier::{Listeners, Settings, Tls, Verifier},
};

/// Answers whether tokens are good until asked to end.
///
/// # Errors
/// When the cluster's address cannot be found or read, an address cannot be listened on, or the certificate makes no
/// sense.
pub async fn verifier(arguments: VerifierArguments) -> Outcome {
    telemetry::init(arguments.log.log_format, arguments.log.log.as_deref().unwrap_or("info"));
    let settings = settings(&arguments)?;
    let tls = match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(certificate), Some(key)) => Some(Tls::load(certificate, key)?),
        _ => None,
    };
    let (client, url) = cluster::connect(&arguments.cluster).await?;
    let probed = listen(arguments.metrics, "--metrics").await?;
    let listeners = Listeners {
        http: Some(listen(arguments.http, "--http").await?),
        grpc: Some(listen(arguments.grpc, "--grpc").await?),
        tls,
    };

    let verifier = Verifier::new(client, settings, Clock::system());
    let ended = asked_to_end().shared();
    let probing = tokio::spawn(probes::serve(probed, verifier.judge(), ended.clone()));
    tracing::info!(
        cluster = url,
        http = %arguments.http,
        grpc = %arguments.grpc,
        probes = %arguments.metrics,
        tls = arguments.tls_cert.is_some(),
        "starting"
    );
    verifier.run(listeners, ended).await;
    tracing::info!("stopped");
    probing.await??;
    Ok(ExitCode::SUCCESS)
}

fn settings(arguments: &VerifierArguments) -> Result<Settings, String> {
    let positive = |duration: &crate::api::Duration, option: &str, advice: &str| {
        let seconds = duration.seconds();
        let refused = || format!("{option} {duration} would {advice}; write for instance {option} 10m");
        (seconds > 0).then(|| Duration::from_secs(seconds)).ok_or_else(refused)
    };
    Ok(Settings {
        namespaces: cluster::tidy(arguments.namespaces.clone()),
        max_staleness: positive(&arguments.max_staleness, "--max-staleness", "refuse everything")?,
        last_used_interval: positive(
            &arguments.last_used_interval,
            "--last-used-interval",
            "write at every request",
        )?,
        trusted_proxies: arguments.trusted_proxies.clone(),
    })
}
