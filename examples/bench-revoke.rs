//! How soon a deleted token is refused: `cargo run --release --example bench-revoke -- --help`.

use std::{
    error::Error,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{Parser, value_parser};
use k8s_openapi::{
    api::{
        authentication::v1::{TokenRequest, TokenReview},
        core::v1::{Namespace, Secret, ServiceAccount},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use kube_sandbox::Sandbox;
use serde_json::json;
use tokenwright::{
    api::{ApiToken, Organisation, crds},
    clock::Clock,
    controller::{self, Controller},
    verifier::{
        Code, Dialect, Judge, Listeners, Requirements, Settings, Verifier,
        credential::{Credential, Presented},
    },
};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const PATIENCE: Duration = Duration::from_secs(60);

/// Measure how long a token still works after its deletion was acknowledged.
///
/// It issues N tokens, waits until the verifier lets them in, deletes one after the other, and asks the verifier until it
/// refuses. The controller and the verifier run in this process.
///
/// Beside it, in the same run: TokenReviews a second, which is how Kubernetes' own API server answers the same question.
/// For that, and for figures of a real API server, name a cluster that is there for testing. What is made is deleted.
#[derive(Debug, Parser)]
#[command(name = "bench-revoke")]
struct Arguments {
    /// How many tokens.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = value_parser!(u32).range(1..=100_000))]
    tokens: u32,

    /// The cluster to run against. Default: an API server in memory.
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments = Arguments::parse();
    let client = match &arguments.kubeconfig {
        None => Client::new(Sandbox::new().service(), "default"),
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path)?;
            Client::try_from(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)?
        }
    };
    let name = format!("bench-revoke-{:08x}", rand::random::<u32>());
    prepare(&client, &name).await?;
    let (judge, working) = start(&client);
    let measured = measure(&client, &name, &judge, arguments.tokens).await;
    let reviews = match arguments.kubeconfig {
        Some(_) => Some(token_reviews(&client, &name).await?),
        None => None,
    };
    working.abort();
    clean_up(&client, &name).await?;

    let mut took = measured?;
    took.sort_unstable();
    let quantile = |part: f64| took[((took.len() - 1) as f64 * part).round() as usize];
    println!("{} tokens, each deleted by itself", took.len());
    println!("from the deletion's answer to the first refusal:");
    for (label, part) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        println!("  {label} {:8.3} ms", quantile(part).as_secs_f64() * 1000.0);
    }
    match reviews {
        Some(reviews) => println!("TokenReviews in the same run: {reviews:.0} a second"),
        None => println!("TokenReviews: not measured, as there is no real API server (--kubeconfig)"),
    }
    Ok(ExitCode::SUCCESS)
}

async fn prepare(client: &Client, name: &str) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in crds() {
        match definitions.create(&PostParams::default(), &crd).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            created => drop(created?),
        }
    }
    let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
    Api::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await?;
    let organisation: Organisation = serde_json::from_value(json!({
        "apiVersion": "tokenwright.dev/v1alpha1", "kind": "Organisation", "metadata": { "name": name },
        "spec": { "namespaces": { "names": [name] } },
    }))?;
    let organisations: Api<Organisation> = Api::all(client.clone());
    let begin = Instant::now();
    // A kind is served a moment after its definition was created.
    while let Err(error) = organisations.create(&PostParams::default(), &organisation).await {
        if begin.elapsed() > PATIENCE {
            return Err(error.into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

fn start(client: &Client) -> (Arc<Judge>, tokio::task::AbortHandle) {
    let controller = Controller::new(client.clone(), controller::Settings::default(), Arc::default());
    let verifier = Verifier::new(client.clone(), Settings::default(), Clock::system());
    let judge = verifier.judge();
    let working = tokio::spawn(async {
        let running = verifier.run(Listeners::default(), std::future::pending());
        futures::future::join(controller.run(std::future::pending()), running).await;
    });
    (judge, working.abort_handle())
}

async fn measure(client: &Client, name: &str, judge: &Judge, count: u32) -> Result<Vec<Duration>> {
    let tokens: Api<ApiToken> = Api::namespaced(client.clone(), name);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), name);
    let mut issued = Vec::new();
    for number in 0..count {
        let spec = serde_json::from_value(json!({ "organisation": name, "role": "Admin" }))?;
        let token = ApiToken::new(&format!("token-{number}"), spec);
        tokens.create(&PostParams::default(), &token).await?;
    }
    for number in 0..count {
        let name = format!("token-{number}");
        let plain = plain(&secrets, &name).await?;
        until(judge, &plain, |code| code == Code::Valid).await?;
        issued.push((name, plain));
    }
    let mut took = Vec::new();
    for (name, plain) in issued {
        tokens.delete(&name, &DeleteParams::default()).await?;
        let deleted = Instant::now();
        until(judge, &plain, |code| code != Code::Valid).await?;
        took.push(deleted.elapsed());
    }
    Ok(took)
}

async fn plain(secrets: &Api<Secret>, name: &str) -> Result<String> {
    let begin = Instant::now();
    loop {
        let secret = secrets.get_opt(name).await?;
        if let Some(token) = secret.and_then(|secret| secret.data?.remove("token")) {
            return Ok(String::from_utf8(token.0)?);
        }
        if begin.elapsed() > PATIENCE {
            return Err(format!("no Secret {name} after {PATIENCE:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until(judge: &Judge, plain: &str, holds: fn(Code) -> bool) -> Result<()> {
    let presented = Presented::Credential(Credential::token(plain));
    let begin = Instant::now();
    loop {
        let decision = judge
            .judge(
                Dialect::Verify,
                &http::HeaderMap::new(),
                &presented,
                None,
                &Requirements::default(),
            )
            .await;
        if holds(decision.code) {
            return Ok(());
        }
        if begin.elapsed() > PATIENCE {
            return Err(format!("still {} after {PATIENCE:?}", decision.code.as_str()).into());
        }
        tokio::task::yield_now().await;
    }
}

/// Asks eight at a time for three seconds about a service account's token.
async fn token_reviews(client: &Client, namespace: &str) -> Result<f64> {
    const AT_ONCE: usize = 8;
    const FOR: Duration = Duration::from_secs(3);
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let account: ServiceAccount = serde_json::from_value(json!({ "metadata": { "name": "peer" } }))?;
    accounts.create(&PostParams::default(), &account).await?;
    let request: TokenRequest = serde_json::from_value(json!({ "metadata": {}, "spec": { "audiences": [] } }))?;
    let answer = accounts
        .create_token_request("peer", &PostParams::default(), &request)
        .await?;
    let token = answer.status.ok_or("the API server gave no token")?.token;
    let review: TokenReview = serde_json::from_value(json!({ "metadata": {}, "spec": { "token": token } }))?;
    let reviews: Api<TokenReview> = Api::all(client.clone());
    let begin = Instant::now();
    let asking = (0..AT_ONCE).map(async |_| {
        let mut count = 0_u32;
        while begin.elapsed() < FOR {
            let answer = reviews.create(&PostParams::default(), &review).await?;
            if answer.status.and_then(|status| status.authenticated) != Some(true) {
                return Err("the service account's token was refused".into());
            }
            count += 1;
        }
        Ok(count)
    });
    let counts: Vec<Result<u32>> = futures::future::join_all(asking).await;
    let total: u32 = counts.into_iter().sum::<Result<u32>>()?;
    Ok(f64::from(total) / begin.elapsed().as_secs_f64())
}

async fn clean_up(client: &Client, name: &str) -> Result<()> {
    let organisations: Api<Organisation> = Api::all(client.clone());
    organisations.delete(name, &DeleteParams::default()).await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.delete(name, &DeleteParams::default()).await?;
    Ok(())
}
