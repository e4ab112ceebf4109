//! The cluster that is measured on: an API server in memory, or a given one, which is left as it was.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::{Namespace, ServiceAccount},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
    runtime::{conditions, wait::await_condition},
};
use kube_sandbox::{Sandbox, Server};
use serde_json::json;
use tempfile::TempDir;
use tokenwright::api::{Organisation, crds};
use tokio::{sync::OnceCell, time::Instant};

use crate::{Result, process::config};

const PATIENCE: Duration = Duration::from_secs(60);
/// Whoever interrupts it does not want to wait.
const HASTE: Duration = Duration::from_millis(700);
/// A namespace takes its objects along one by one.
const LONG_PATIENCE: Duration = Duration::from_secs(600);

pub(crate) struct Cluster {
    pub(crate) client: Client,
    /// The name of everything that is made here, but for the tokens.
    pub(crate) name: String,
    kubeconfig: PathBuf,
    description: String,
    /// The definitions that were not there before.
    installed: OnceCell<Vec<CustomResourceDefinition>>,
    sandbox: Option<(Server, TempDir)>,
}

impl Cluster {
    pub(crate) async fn sandbox() -> Result<Self> {
        let sandbox = Sandbox::new();
        let server = sandbox.serve(([127, 0, 0, 1], 0).into()).await?;
        let folder = tempfile::tempdir()?;
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, server.kubeconfig("admin"))?;
        let client = Client::new(sandbox.service(), "default");
        let mut cluster = Self::new(client, "an API server in memory".to_owned(), kubeconfig);
        cluster.sandbox = Some((server, folder));
        Ok(cluster)
    }

    pub(crate) async fn of(kubeconfig: &Path) -> Result<Self> {
        let config = config(kubeconfig).await?;
        let url = config.cluster_url.to_string();
        let client = Client::try_from(config)?;
        let version = client.apiserver_version().await.map_err(|error| {
            format!(
                "cannot reach the cluster at {url}, which the kubeconfig {} names: {error}",
                kubeconfig.display()
            )
        })?;
        let version = version.git_version;
        let description = format!("{url}, Kubernetes {version}");
        Ok(Self::new(client, description, kubeconfig.to_owned()))
    }

    fn new(client: Client, description: String, kubeconfig: PathBuf) -> Self {
        Self {
            client,
            name: format!("bench-issue-{:08x}", rand::random::<u32>()),
            kubeconfig,
            description,
            installed: OnceCell::new(),
            sandbox: None,
        }
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    pub(crate) fn description(&self) -> &str {
        &self.description
    }

    /// The namespace of the service-account token controller's Secrets.
    pub(crate) fn peer_name(&self) -> String {
        format!("{}-peer", self.name)
    }

    /// Makes what the tokens need.
    pub(crate) async fn prepare(&self) -> Result<()> {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let mut missing = Vec::new();
        for crd in crds() {
            if definitions.get_opt(&crd.name_any()).await?.is_none() {
                missing.push(crd);
            }
        }
        let organisations: Api<Organisation> = Api::all(self.client.clone());
        if missing.is_empty()
            && let Some(other) = organisations.list(&ListParams::default().limit(1)).await?.items.first()
        {
            let name = other.name_any();
            return Err(format!("the cluster has an Organisation already, {name}, and the controller that is measured would look after its tokens too; use a cluster without any").into());
        }
        self.installed.set(missing.clone())?;
        for crd in &missing {
            definitions.create(&PostParams::default(), crd).await?;
        }
        for crd in crds() {
            let name = crd.name_any();
            let established = await_condition(definitions.clone(), &name, conditions::is_crd_established());
            tokio::time::timeout(PATIENCE, established).await??;
        }

        let organisation = serde_json::from_value(json!({
            "apiVersion": "tokenwright.dev/v1alpha1",
            "kind": "Organisation",
            "metadata": { "name": self.name },
            "spec": {
                "tokenPrefix": "bench",
                "namespaces": { "names": [self.name] },
                "roles": [{ "name": "Reader", "permissions": ["orders:read"] }],
            },
        }))?;
        organisations.create(&PostParams::default(), &organisation).await?;
        self.create_namespace(&self.name).await
    }

    /// Makes a namespace with a service account of its name.
    pub(crate) async fn create_namespace(&self, name: &str) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), name);
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.to_owned());
        namespaces.create(&PostParams::default(), &namespace).await?;
        let mut account = ServiceAccount::default();
        account.metadata.name = Some(name.to_owned());
        accounts.create(&PostParams::default(), &account).await?;
        Ok(())
    }

    /// Deletes everything that was made here, and waits until it is gone. The API server in memory just ends.
    pub(crate) async fn clean_up(&self) -> Result<()> {
        if self.sandbox.is_some() {
            return Ok(());
        }
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        for name in self.namespaces() {
            delete(&namespaces, &name).await?;
        }
        // The organisation stays until its tokens are gone, and the definitions until both are.
        for name in self.namespaces() {
            gone(&namespaces, &name).await?;
        }
        if self.installed.initialized() {
            let organisations: Api<Organisation> = Api::all(self.client.clone());
            delete(&organisations, &self.name).await?;
        }
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        for crd in self.installed.get().into_iter().flatten() {
            delete(&definitions, &crd.name_any()).await?;
        }
        Ok(())
    }

    /// Asks for the same without waiting for it: a namespace takes its objects along one by one, for as long as that takes.
    /// Says what could not be asked for in time.
    pub(crate) async fn abandon(&self) {
        if self.sandbox.is_some() {
            return;
        }
        let (namespaces, organisations) = (
            Api::<Namespace>::all(self.client.clone()),
            Api::all(self.client.clone()),
        );
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let installed = self.installed.get();
        let asked = async {
            for name in self.namespaces() {
                delete(&namespaces, &name).await?;
            }
            if installed.is_some() {
                delete::<Organisation>(&organisations, &self.name).await?;
            }
            for crd in installed.into_iter().flatten() {
                delete(&definitions, &crd.name_any()).await?;
            }
            Ok(())
        };
        let asked: Result<()> = match tokio::time::timeout(HASTE, asked).await {
            Ok(asked) => asked,
            Err(_) => Err("the cluster does not answer".into()),
        };
        match asked {
            Ok(()) => eprintln!("interrupted; the cluster deletes what was made on it"),
            Err(error) => {
                let mut left = vec![
                    format!("namespace/{}", self.name),
                    format!("organisation/{}", self.name),
                ];
                left.extend(
                    installed
                        .into_iter()
                        .flatten()
                        .map(|crd| format!("crd/{}", crd.name_any())),
                );
                eprintln!(
                    "interrupted; {error}: delete yourself what is left of {}",
                    left.join(" ")
                );
            }
        }
    }

    fn namespaces(&self) -> [String; 2] {
        [self.name.clone(), self.peer_name()]
    }
}

async fn delete<K>(api: &Api<K>, name: &str) -> Result<()>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    match api.delete(name, &DeleteParams::background()).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(format!("cannot delete {name}: {error}").into()),
        Ok(_) => Ok(()),
    }
}

async fn gone(namespaces: &Api<Namespace>, name: &str) -> Result<()> {
    let since = Instant::now();
    while namespaces.get_metadata_opt(name).await?.is_some() {
        if since.elapsed() > LONG_PATIENCE {
            return Err(format!("the namespace {name} is still being deleted").into());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}
