//! A real API server of one's own: etcd, kube-apiserver and, where it is there, kube-controller-manager.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use http::Request;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use rcgen::KeyPair;
use serde_json::json;

use super::{free_ports, process::Processes};

/// A machine that is busy with other things is slow.
const PATIENCE: Duration = Duration::from_secs(120);
/// Nothing announces that a server is ready: it is asked again after this.
const PAUSE: Duration = Duration::from_millis(100);
/// A free port can be taken by somebody else before the server has it.
const TRIES: usize = 3;
const CONTROLLERS: &str = "namespace-controller,garbage-collector-controller,serviceaccount-controller,\
                           clusterrole-aggregation-controller";

pub(super) struct Cluster {
    kubeconfig: PathBuf,
    controllers: bool,
    _processes: Processes,
}

impl Cluster {
    /// Whether the programs are in this folder.
    pub(super) fn is_in(folder: &Path) -> bool {
        folder.join("kube-apiserver").is_file() && folder.join("etcd").is_file()
    }

    pub(super) async fn start(folder: &Path) -> Result<Self, String> {
        let mut failure = String::new();
        for _ in 0..TRIES {
            match Self::attempt(folder).await {
                Ok(cluster) => return Ok(cluster),
                Err(why) if why.contains("address already in use") => failure = why,
                Err(why) => return Err(why),
            }
        }
        Err(failure)
    }

    async fn attempt(folder: &Path) -> Result<Self, String> {
        let disk = |error: io::Error| error.to_string();
        let mut processes = Processes::new().map_err(disk)?;
        let home = processes.home().to_owned();
        let [etcd, secure, manager] = free_ports().map_err(disk)?;
        let token = credentials(&home)?;
        processes.start(folder, "etcd", &etcd_flags(etcd)).map_err(disk)?;
        let controllers = folder.join("kube-controller-manager").is_file();
        let flags = apiserver_flags(etcd, secure, controllers);
        processes.start(folder, "kube-apiserver", &flags).map_err(disk)?;

        let kubeconfig = home.join("kubeconfig");
        fs::write(&kubeconfig, administrator(&home, secure, &token)).map_err(disk)?;
        wait(&mut processes, "kube-apiserver", async || {
            // Its certificate is one of the first things it makes, and not there before.
            let client = client(&kubeconfig).await?;
            let ready = Request::get("/readyz").body(Vec::new())?;
            client.request_text(ready).await?;
            Ok(())
        })
        .await?;
        if controllers {
            let flags = manager_flags(manager);
            processes
                .start(folder, "kube-controller-manager", &flags)
                .map_err(disk)?;
            wait(&mut processes, "kube-controller-manager", async || {
                let accounts: Api<ServiceAccount> = Api::namespaced(client(&kubeconfig).await?, "default");
                accounts.get("default").await?;
                Ok(())
            })
            .await?;
        }
        Ok(Self {
            kubeconfig,
            controllers,
            _processes: processes,
        })
    }

    pub(super) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    pub(super) fn has_controllers(&self) -> bool {
        self.controllers
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Waits until `ask` goes well, or one of the processes has ended, or patience has.
async fn wait(
    processes: &mut Processes,
    name: &str,
    mut ask: impl AsyncFnMut() -> Result<(), Failure>,
) -> Result<(), String> {
    let start = tokio::time::Instant::now();
    loop {
        let Err(error) = ask().await else { return Ok(()) };
        if let Some(ended) = processes.ended() {
            return Err(ended);
        }
        if start.elapsed() > PATIENCE {
            let said = processes.last_words(name);
            return Err(format!("{name} is not ready after {PATIENCE:?}: {error}. {said}"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Writes the key that service accounts' tokens are signed with, and the administrator's bearer token, and returns that.
fn credentials(home: &Path) -> Result<String, String> {
    let disk = |error: io::Error| error.to_string();
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    fs::write(home.join("accounts.key"), key.serialize_pem()).map_err(disk)?;
    fs::write(home.join("accounts.pub"), key.public_key_pem()).map_err(disk)?;
    let token: String = (0..4).map(|_| format!("{:016x}", rand::random::<u64>())).collect();
    let line = format!("{token},admin,admin,\"system:masters\"\n");
    fs::write(home.join("tokens.csv"), line).map_err(disk)?;
    Ok(token)
}

/// A kubeconfig (JSON is YAML) beside the certificate that kube-apiserver makes for itself.
fn administrator(home: &Path, port: u16, token: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "test",
            "cluster": {
                "server": format!("https://127.0.0.1:{port}"),
                "certificate-authority": home.join("certificates/apiserver.crt"),
            },
        }],
        "users": [{ "name": "admin", "user": { "token": token } }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "admin", "namespace": "default" } }],
        "current-context": "test",
    })
    .to_string()
}

async fn client(kubeconfig: &Path) -> Result<Client, Failure> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn etcd_flags(port: u16) -> Vec<String> {
    vec![
        "--data-dir=etcd".to_owned(),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
        format!("--listen-client-urls=http://127.0.0.1:{port}"),
        format!("--advertise-client-urls=http://127.0.0.1:{port}"),
        "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
    ]
}

fn apiserver_flags(etcd: u16, port: u16, controllers: bool) -> Vec<String> {
    let mut flags = vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        format!("--secure-port={port}"),
    ];
    flags.extend(
        [
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            // There is no other server to keep a list of.
            "--endpoint-reconciler-type=none",
            "--cert-dir=certificates",
            "--token-auth-file=tokens.csv",
            "--authorization-mode=RBAC",
            // As on OpenShift: an owner reference that blocks its owner's deletion takes a right on the owner's finalizers.
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
            "--allow-privileged=true",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--service-account-key-file=accounts.pub",
            "--service-account-signing-key-file=accounts.key",
            "--service-cluster-ip-range=10.0.0.0/24",
        ]
        .map(str::to_owned),
    );
    if !controllers {
        // It would wait for accounts that nobody makes.
        flags.push("--disable-admission-plugins=ServiceAccount".to_owned());
    }
    flags
}

fn manager_flags(port: u16) -> Vec<String> {
    let mut flags = vec![format!("--secure-port={port}"), format!("--controllers={CONTROLLERS}")];
    flags.extend(
        [
            "--kubeconfig=kubeconfig",
            "--authentication-kubeconfig=kubeconfig",
            "--authorization-kubeconfig=kubeconfig",
            "--bind-address=127.0.0.1",
            "--cert-dir=manager",
            "--leader-elect=false",
            // As on a cluster: each controller has an account, and admission knows them by it.
            "--use-service-account-credentials=true",
            "--service-account-private-key-file=accounts.key",
            "--root-ca-file=certificates/apiserver.crt",
        ]
        .map(str::to_owned),
    );
    flags
}
