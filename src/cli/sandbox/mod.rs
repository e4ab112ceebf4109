//! `tokenwright sandbox`: an API server in memory, the CRDs and the controller in one process.

mod admission;
mod kubeconfig;
mod manifests;
mod next;
mod shown;
mod table;

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use futures::FutureExt;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, api::PostParams};
use kube_sandbox::Sandbox;
use tokio::{net::TcpListener, sync::oneshot};

use self::{
    admission::Rules,
    kubeconfig::KubeconfigFile,
    manifests::Applied,
    next::Next,
    shown::{Name, Shown, is_ready, is_settled},
};
use super::{
    Outcome, asked_to_end, listen, misused,
    output::{complain, print, print_line},
};
use crate::{
    api::crds,
    args::SandboxArguments,
    clock::Clock,
    controller::{self, Controller},
    telemetry,
    verifier::{self, Listeners, Verifier},
};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// How often the verifier writes the last use of a token: soon enough to be seen.
const LAST_USED: Duration = Duration::from_secs(10);

/// Runs the sandbox until asked to end, or with `--once` until the applied tokens are Ready.
///
/// # Errors
/// When a manifest cannot be read, the address cannot be listened on, or the kubeconfig cannot be written.
pub async fn sandbox(arguments: SandboxArguments) -> Outcome {
    telemetry::init(
        arguments.log.log_format,
        arguments.log.log.as_deref().unwrap_or("warn"),
        None,
    );
    if let Err(why) = kubeconfig::may_write(&arguments.kubeconfig) {
        return Ok(misused(why));
    }
    let files = manifests::read(&arguments.apply)?;
    let ended = asked_to_end().shared();

    print_line("An API server in memory, for trying and testing: nothing in it outlives this process.")?;
    let sandbox = Sandbox::builder().admission(Rules).build();
    let server = sandbox.serve(arguments.listen).await?;
    let kubeconfig = KubeconfigFile::write(&arguments.kubeconfig, &server.kubeconfig(kubeconfig::USER))?;
    let http = verifier_listener(arguments.http, 9000, "--http").await?;
    let grpc = verifier_listener(arguments.grpc, 9001, "--grpc").await?;
    let next = Next {
        kubeconfig: std::fs::canonicalize(&arguments.kubeconfig)?,
        verifier: http.local_addr()?,
        quickstart: arguments.apply.is_empty(),
    };
    print_line(format_args!(
        "It listens on https://{}; {} leads there.",
        server.addr(),
        arguments.kubeconfig.display()
    ))?;
    print_line(format_args!(
        "The verifier answers on http://{}, and Envoy by gRPC on {}.",
        next.verifier,
        grpc.local_addr()?
    ))?;

    let client = Client::new(sandbox.service(), "default");
    install_crds(&client).await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = stopped.map(drop).shared();
    let settings = controller::Settings {
        trust_created_by: true,
        ..controller::Settings::default()
    };
    let controller = Controller::new(client.clone(), settings, Arc::default());
    let controller = tokio::spawn(controller.run(stopped.clone()));
    let settings = verifier::Settings {
        last_used_interval: LAST_USED,
        // A gateway to try it with runs on this machine too.
        trusted_proxies: "127.0.0.0/8,::1".parse()?,
        ..verifier::Settings::default()
    };
    let listeners = Listeners {
        http: Some(http),
        grpc: Some(grpc),
        tls: None,
    };
    let verifier = Verifier::new(client.clone(), settings, Clock::system());
    let verifier = tokio::spawn(verifier.run(listeners, stopped));

    let running = async {
        let applied = apply(&client, &files).await?;
        run(&client, &arguments, &applied, &next).await
    };
    let outcome = tokio::select! {
        outcome = running => outcome,
        () = ended => print_line("\nStopping.").map(|()| ExitCode::SUCCESS).map_err(Error::from),
    };
    drop(stop);
    controller.await?;
    verifier.await?;
    server.shutdown().await;
    drop(kubeconfig);
    outcome
}

/// Listens where it was asked to, or else on this port, or else on any: another sandbox may be running.
async fn verifier_listener(wanted: Option<SocketAddr>, port: u16, option: &str) -> Result<TcpListener, Error> {
    match wanted {
        Some(address) => Ok(listen(address, option).await?),
        None => {
            let usual = SocketAddr::from(([127, 0, 0, 1], port));
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            match TcpListener::bind(usual).await {
                Ok(listener) => Ok(listener),
                Err(_) => Ok(listen(any, option).await?),
            }
        }
    }
}

async fn install_crds(client: &Client) -> Result<(), Error> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in crds() {
        definitions.create(&PostParams::default(), &crd).await?;
    }
    Ok(())
}

async fn apply(client: &Client, files: &[manifests::File]) -> Result<Vec<Applied>, String> {
    let mut all = Vec::new();
    for file in files {
        print_line(format_args!("\nApplying {}:", file.name))?;
        let applied = file.apply(client).await;
        for Applied { what, outcome, .. } in &applied {
            match outcome {
                Ok(done) => print_line(format_args!("  {what} {done}"))?,
                Err(why) => print_line(format_args!("  {what} refused: {why}"))?,
            }
        }
        all.extend(applied);
    }
    Ok(all)
}

/// Shows the tokens until they are settled, then what can be tried next, then every change.
async fn run(client: &Client, arguments: &SandboxArguments, applied: &[Applied], next: &Next) -> Outcome {
    let refused: Vec<&Applied> = applied.iter().filter(|applied| applied.outcome.is_err()).collect();
    let wanted: Vec<Name> = applied
        .iter()
        .filter(|applied| applied.identity.0 == "ApiToken" && applied.outcome.is_ok())
        .map(|applied| (applied.identity.1.clone(), applied.identity.2.clone()))
        .collect();
    let mut shown = Shown::new(client.clone());
    if arguments.once {
        let limit = Duration::from_secs(arguments.timeout);
        let in_time = tokio::time::timeout(limit, shown.until(&wanted, is_ready)).await;
        let in_time = in_time.ok().transpose()?.is_some();
        print_tables(client, &wanted).await?;
        let late = shown.reasons(&wanted);
        for reason in &late {
            complain(format_args!("not Ready after {} s: {reason}", arguments.timeout));
        }
        for refusal in &refused {
            complain(format_args!("not applied: {}", refusal.what));
        }
        let fine = in_time && refused.is_empty();
        return Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    shown.until(&wanted, is_settled).await?;
    print_tables(client, &wanted).await?;
    next.print(wanted.first().and_then(|name| shown.tokens.get(name)))?;
    shown.follow().await?;
    Ok(ExitCode::SUCCESS)
}

async fn print_tables(client: &Client, wanted: &[Name]) -> Result<(), Error> {
    let mut namespaces: Vec<&str> = wanted.iter().map(|(namespace, _)| namespace.as_str()).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    for namespace in namespaces {
        for (what, path) in [("apitokens", "/apis/tokenwright.dev/v1alpha1"), ("secrets", "/api/v1")] {
            let table = table::fetch(client, &format!("{path}/namespaces/{namespace}/{what}")).await?;
            print(format_args!("\n$ kubectl get {what} --namespace {namespace}\n{table}"))?;
        }
    }
    Ok(())
}
