//! Which cluster.

use std::{env, error::Error, io, path::Path};

use kube::{
    Client, Config,
    config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError},
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
    let (name, kubeconfig) = match &arguments.kubeconfig {
        Some(path) => (path.display().to_string(), read(path)?),
        None if arguments.context.is_some() => (usual_name(), usual()?),
        None => return Ok(Config::infer().await.map_err(|error| found_none(&error))?),
    };
    let config = Config::from_custom_kubeconfig(kubeconfig.clone(), &options).await;
    Ok(config.map_err(|error| explain(&name, &kubeconfig, &error))?)
}

fn read(path: &Path) -> Result<Kubeconfig, String> {
    Kubeconfig::read_from(path).map_err(|error| format!("cannot read the kubeconfig {}: {error}", path.display()))
}

/// The kubeconfig that is used where none is named.
fn usual() -> Result<Kubeconfig, String> {
    Kubeconfig::read().map_err(|error| format!("cannot read the kubeconfig {}: {error}", usual_name()))
}

fn usual_name() -> String {
    let variable = env::var("KUBECONFIG").ok().filter(|path| !path.is_empty());
    variable.unwrap_or_else(|| "~/.kube/config".to_owned())
}

/// Why no cluster was found where none was named.
fn found_none(error: &InferConfigError) -> String {
    const ADVICE: &str = "Give --kubeconfig PATH, or run in a Pod with a service account";
    let cause = error.source().and_then(|cause| cause.downcast_ref::<KubeconfigError>());
    let is_absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    match (cause, usual()) {
        (Some(KubeconfigError::FindPath), _) => format!("found no cluster: there is no kubeconfig. {ADVICE}"),
        (Some(KubeconfigError::ReadConfig(why, path)), _) if is_absent(why) => {
            format!("found no cluster: there is no kubeconfig {}. {ADVICE}", path.display())
        }
        (Some(cause), Ok(kubeconfig)) => {
            format!(
                "found no cluster: {}. {ADVICE}",
                explain(&usual_name(), &kubeconfig, cause)
            )
        }
        (_, Err(why)) => format!("found no cluster: {why}. {ADVICE}"),
        (None, Ok(_)) => format!("found no cluster: {error}. {ADVICE}"),
    }
}

/// Why a kubeconfig of this name leads nowhere, and what to do about it.
fn explain(name: &str, kubeconfig: &Kubeconfig, error: &KubeconfigError) -> String {
    let contexts: Vec<&str> = kubeconfig.contexts.iter().map(|context| &*context.name).collect();
    let contexts = contexts.join(", ");
    match error {
        KubeconfigError::CurrentContextNotSet if contexts.is_empty() => {
            format!("{name} has no contexts: it is no kubeconfig")
        }
        KubeconfigError::CurrentContextNotSet => {
            format!("the kubeconfig {name} names no current context: give --context; it has: {contexts}")
        }
        KubeconfigError::LoadContext(context) if contexts.is_empty() => {
            format!("the kubeconfig {name} has no context {context:?}, and no other either")
        }
        KubeconfigError::LoadContext(context) => {
            format!("the kubeconfig {name} has no context {context:?}; it has: {contexts}")
        }
        other => format!("the kubeconfig {name} cannot be used: {other}"),
    }
}

/// These namespaces, for a log. None stand for all.
pub(super) fn scope(namespaces: &[String]) -> String {
    match namespaces {
        [] => "all".to_owned(),
        names => names.join(","),
    }
}
