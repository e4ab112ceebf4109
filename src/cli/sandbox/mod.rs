//! `tokenwright sandbox`: an API server in memory, the CRDs and the controller in one process.

mod manifests;
mod table;

use std::{
    collections::BTreeMap,
    fs,
    io::{IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt,
    api::PostParams,
    runtime::{WatchStreamExt, watcher},
};
use kube_sandbox::Sandbox;
use tokio::sync::oneshot;

use self::manifests::Applied;
use super::{Outcome, asked_to_end};
use crate::{
    api::{
        ApiToken,
        condition::{self, READY, Reason},
        crds,
    },
    args::SandboxArguments,
    controller::{Controller, Settings},
    metrics::Metrics,
    telemetry,
};

type Error = Box<dyn std::error::Error + Send + Sync>;
/// Namespace and name of an ApiToken.
type Name = (String, String);

/// Runs the sandbox until asked to end, or with `--once` until the applied tokens are Ready.
///
/// # Errors
/// When a manifest cannot be read, the address cannot be listened on, or the kubeconfig cannot be written.
pub async fn sandbox(arguments: SandboxArguments) -> Outcome {
    telemetry::init(arguments.log.log_format, arguments.log.log.as_deref().unwrap_or("warn"));
    let files = manifests::read(&arguments.apply)?;
    let ended = asked_to_end().shared();

    println!("An API server in memory, for trying and testing: nothing in it outlives this process.");
    let sandbox = Sandbox::new();
    let server = sandbox.serve(arguments.listen).await?;
    let kubeconfig = KubeconfigFile::write(&arguments.kubeconfig, &server.kubeconfig("admin"))?;
    println!(
        "It listens on https://{}; {} leads there.",
        server.addr(),
        arguments.kubeconfig.display()
    );

    let client = Client::new(sandbox.service(), "default");
    install_crds(&client).await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let controller = Controller::new(client.clone(), Settings::default(), Arc::new(Metrics::default()));
    let controller = tokio::spawn(controller.run(stopped.map(drop)));

    let applied = apply(&client, &files).await;
    let running = run(&client, &arguments, &applied);
    let code = tokio::select! {
        code = running => code?,
        () = ended => {
            println!("\nStopping.");
            ExitCode::SUCCESS
        }
    };
    drop(stop);
    controller.await?;
    server.shutdown().await;
    drop(kubeconfig);
    Ok(code)
}

async fn install_crds(client: &Client) -> Result<(), Error> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in crds() {
        definitions.create(&PostParams::default(), &crd).await?;
    }
    Ok(())
}

async fn apply(client: &Client, files: &[manifests::File]) -> Vec<Applied> {
    let mut all = Vec::new();
    for file in files {
        println!("\nApplying {}:", file.name);
        let applied = file.apply(client).await;
        for Applied { what, outcome, .. } in &applied {
            match outcome {
                Ok(done) => println!("  {what} {done}"),
                Err(why) => println!("  {what} refused: {why}"),
            }
        }
        all.extend(applied);
    }
    all
}

/// Shows the tokens until they are settled, then what can be tried next, then every change.
async fn run(client: &Client, arguments: &SandboxArguments, applied: &[Applied]) -> Outcome {
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
        print_tables(client, &wanted).await?;
        let late = shown.reasons(&wanted);
        for reason in &late {
            eprintln!("not Ready after {} s: {reason}", arguments.timeout);
        }
        for refusal in &refused {
            eprintln!("not applied: {}", refusal.what);
        }
        let fine = in_time.is_ok() && refused.is_empty();
        return Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    shown.until(&wanted, is_settled).await;
    print_tables(client, &wanted).await?;
    print_next(arguments, wanted.first().and_then(|name| shown.tokens.get(name)));
    shown.follow().await;
    Ok(ExitCode::SUCCESS)
}

async fn print_tables(client: &Client, wanted: &[Name]) -> Result<(), Error> {
    let mut namespaces: Vec<&str> = wanted.iter().map(|(namespace, _)| namespace.as_str()).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    for namespace in namespaces {
        println!("\n$ kubectl get apitokens --namespace {namespace}");
        print!(
            "{}",
            table::fetch(
                client,
                &format!("/apis/tokenwright.dev/v1alpha1/namespaces/{namespace}/apitokens")
            )
            .await?
        );
        println!("\n$ kubectl get secrets --namespace {namespace}");
        print!(
            "{}",
            table::fetch(client, &format!("/api/v1/namespaces/{namespace}/secrets")).await?
        );
    }
    Ok(())
}

fn print_next(arguments: &SandboxArguments, token: Option<&ApiToken>) {
    let kubeconfig = fs::canonicalize(&arguments.kubeconfig).unwrap_or_else(|_| arguments.kubeconfig.clone());
    println!("\nIn another terminal:\n");
    println!("  export KUBECONFIG={}", kubeconfig.display());
    if let Some(token) = token {
        let (namespace, name) = name(token);
        println!("  kubectl get apitokens --namespace {namespace} --watch");
        println!("  {}", reading(token));
        println!("  kubectl describe apitoken {name} --namespace {namespace}");
    }
    if arguments.apply.is_empty() {
        println!("  kubectl apply --filename examples/refused.yaml");
    }
    println!("  kubectl explain apitoken.spec.expiry");
    println!("\nChanges are shown below. Ctrl-C ends it.\n");
}

/// The command that shows a token in plain.
fn reading(token: &ApiToken) -> String {
    let keys = token.spec.secret.as_ref().and_then(|secret| secret.keys.as_ref());
    let key = keys.and_then(|keys| keys.token.as_deref()).unwrap_or("token");
    format!(
        "kubectl get secret {} --namespace {} --output jsonpath='{{.data.{}}}' | base64 --decode",
        token.secret_name(),
        token.namespace().unwrap_or_default(),
        key.replace('.', "\\.")
    )
}

/// The tokens as they were last shown to the user.
struct Shown {
    events: futures::stream::BoxStream<'static, watcher::Result<watcher::Event<ApiToken>>>,
    tokens: BTreeMap<Name, ApiToken>,
}

impl Shown {
    fn new(client: Client) -> Self {
        let events = watcher(Api::all(client), watcher::Config::default()).default_backoff();
        Self {
            events: events.boxed(),
            tokens: BTreeMap::new(),
        }
    }

    /// Takes in changes until `is_there` holds for every one of these tokens, with a line of progress on a terminal.
    async fn until(&mut self, wanted: &[Name], is_there: fn(&ApiToken) -> bool) {
        let terminal = std::io::stdout().is_terminal();
        loop {
            let there = wanted
                .iter()
                .filter(|name| self.tokens.get(*name).is_some_and(is_there))
                .count();
            if terminal {
                print!("\rtokens: {there} of {}", wanted.len());
                let _ = std::io::stdout().flush();
            }
            if there == wanted.len() || self.next().await.is_none() {
                break;
            }
        }
        if terminal {
            println!();
        }
    }

    /// Prints a line for every change, for ever.
    async fn follow(&mut self) {
        while let Some((before, now)) = self.next().await {
            if let Some((name, line)) = change(before.as_ref(), now.as_ref()) {
                println!("{}  {:24} {line}", jiff::Zoned::now().strftime("%H:%M:%S"), name);
            }
        }
    }

    /// Why these tokens are not Ready.
    fn reasons(&self, wanted: &[Name]) -> Vec<String> {
        let late = |name: &&Name| !self.tokens.get(*name).is_some_and(is_ready);
        wanted
            .iter()
            .filter(late)
            .map(|name| {
                let why = self.tokens.get(name).map(state).unwrap_or_default();
                format!("apitoken {}/{}: {why}", name.0, name.1)
            })
            .collect()
    }

    /// The next change, before and after. None: the watch has ended.
    async fn next(&mut self) -> Option<(Option<ApiToken>, Option<ApiToken>)> {
        loop {
            match self.events.next().await? {
                Ok(watcher::Event::Apply(token) | watcher::Event::InitApply(token)) => {
                    let before = self.tokens.insert(name(&token), token.clone());
                    return Some((before, Some(token)));
                }
                Ok(watcher::Event::Delete(token)) => {
                    self.tokens.remove(&name(&token));
                    return Some((Some(token), None));
                }
                Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => {}
            }
        }
    }
}

fn name(token: &ApiToken) -> Name {
    (token.namespace().unwrap_or_default(), token.name_any())
}

fn is_ready(token: &ApiToken) -> bool {
    ready(token).is_some_and(|ready| ready.status == "True")
}

/// Ready, or not to become so by itself soon.
fn is_settled(token: &ApiToken) -> bool {
    ready(token).is_some_and(|ready| ready.status == "True" || ready.reason != Reason::NotIssued.as_str())
}

fn ready(token: &ApiToken) -> Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    condition::find(&token.status.as_ref()?.conditions, READY)
}

/// `Issued: The token is in Secret …`
fn state(token: &ApiToken) -> String {
    ready(token).map_or_else(
        || "no status yet".to_owned(),
        |ready| format!("{}: {}", ready.reason, ready.message),
    )
}

/// The name of a token and what became of it, if that is news.
fn change(before: Option<&ApiToken>, now: Option<&ApiToken>) -> Option<(String, String)> {
    let label = |token: &ApiToken| format!("{}/{}", token.namespace().unwrap_or_default(), token.name_any());
    match (before, now) {
        (Some(before), None) => Some((label(before), "deleted".to_owned())),
        (before, Some(now)) => {
            let line = state(now);
            (ready(now).is_some() && before.map(state).as_ref() != Some(&line)).then(|| (label(now), line))
        }
        (None, None) => None,
    }
}

/// A kubeconfig that is removed when the server it leads to is gone.
struct KubeconfigFile {
    path: PathBuf,
    text: String,
}

impl KubeconfigFile {
    fn write(path: &Path, text: &str) -> Result<Self, Error> {
        let explain = |error| format!("cannot write the kubeconfig {}: {error}", path.display());
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(explain)?;
        }
        // It holds a credential: for its owner only, and written anew so that an old file's mode does not stay.
        let _ = fs::remove_file(path);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(explain)?;
        file.write_all(text.as_bytes()).map_err(explain)?;
        Ok(Self {
            path: path.to_owned(),
            text: text.to_owned(),
        })
    }
}

impl Drop for KubeconfigFile {
    fn drop(&mut self) {
        // Another sandbox may have written its own there meanwhile.
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_command_that_reads_a_token_names_its_secret_and_key() {
        let command = |secret: serde_json::Value| {
            let token = json!({
                "apiVersion": "tokenwright.dev/v1alpha1", "kind": "ApiToken",
                "metadata": { "name": "web", "namespace": "shop" },
                "spec": { "organisation": "acme", "role": "Admin", "secret": secret },
            });
            reading(&serde_json::from_value(token).unwrap())
        };
        assert_eq!(
            command(json!(null)),
            "kubectl get secret web --namespace shop --output jsonpath='{.data.token}' | base64 --decode"
        );
        assert_eq!(
            command(json!({ "name": "key", "keys": { "token": "api.token" } })),
            r"kubectl get secret key --namespace shop --output jsonpath='{.data.api\.token}' | base64 --decode"
        );
    }
}
