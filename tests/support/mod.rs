//! Servers for tests: the embedded sandbox always, and a real API server where one is at hand.
//!
//! A suite is written once, as `async fn suite(server: Server)`, and [`on_every_server`] makes two tests of it. The real
//! server is, in this order:
//!
//! 1. the cluster of the kubeconfig that `TOKENWRIGHT_TEST_KUBECONFIG` names: one that is there for testing, as the
//!    suites create and delete what they need without asking;
//! 2. the `kube-apiserver` and `etcd` in the folder that `KUBEBUILDER_ASSETS` names, or in /usr/local/kubebuilder/bin.
//!    They are started once for a test binary, and die with it. With a `kube-controller-manager` beside them, garbage
//!    collection and the deletion of namespaces work too.
//!
//! Where there is none, one line on standard error says so. Tests that share the real server must use names of their own.

#![allow(dead_code, reason = "every test binary uses a part of it")]

mod cluster;
mod input;
pub(crate) mod process;

use std::{
    env,
    ffi::OsString,
    fs,
    future::Future,
    io::{self, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Once,
    time::Duration,
};

use kube::{Client, Config, config::KubeConfigOptions, config::Kubeconfig};
use kube_sandbox::Sandbox;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use cluster::Cluster;
#[allow(unused_imports, reason = "every test binary uses a part of it")]
pub(crate) use input::run_with;

/// Makes a test against the sandbox and one against a real server of an `async fn(Server)`.
#[allow(unused_macros, reason = "every test binary uses a part of it")]
macro_rules! on_every_server {
    ($suite:ident) => {
        mod $suite {
            #[tokio::test]
            async fn in_the_sandbox() {
                super::$suite(crate::support::Server::sandbox().await).await;
            }

            #[tokio::test]
            async fn on_a_real_server() {
                if let Some(server) = crate::support::Server::real().await {
                    super::$suite(server).await;
                }
            }
        }
    };
}
#[allow(unused_imports, reason = "every test binary uses a part of it")]
pub(crate) use on_every_server;

/// An API server, and administrator's rights on it.
pub(crate) struct Server {
    name: &'static str,
    kubeconfig: PathBuf,
    controllers: bool,
    /// Kept for as long as it is served.
    _sandbox: Option<(kube_sandbox::Server, TempDir)>,
}

impl Server {
    /// A sandbox of its own, served over loopback TLS.
    pub(crate) async fn sandbox() -> Self {
        Self::serve(&Sandbox::new()).await
    }

    /// This sandbox, served over loopback TLS.
    pub(crate) async fn serve(sandbox: &Sandbox) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let address = "127.0.0.1:0".parse().expect("an address");
        let server = sandbox.serve(address).await.expect("it listens");
        let kubeconfig = home.path().join("kubeconfig");
        fs::write(&kubeconfig, server.kubeconfig("admin")).expect("the disk");
        Self {
            name: "sandbox",
            kubeconfig,
            controllers: true,
            _sandbox: Some((server, home)),
        }
    }

    /// The real server, if one is at hand.
    ///
    /// # Panics
    /// When there is one and it does not start: that is no reason to skip tests.
    pub(crate) async fn real() -> Option<Self> {
        static STARTED: OnceCell<Cluster> = OnceCell::const_new();
        let real = |name, kubeconfig: &Path, controllers| Self {
            name,
            kubeconfig: kubeconfig.to_owned(),
            controllers,
            _sandbox: None,
        };
        if let Some(given) = given("TOKENWRIGHT_TEST_KUBECONFIG") {
            return Some(real("given cluster", Path::new(&given), true));
        }
        let folder = given("KUBEBUILDER_ASSETS").unwrap_or_else(|| "/usr/local/kubebuilder/bin".into());
        let folder = Path::new(&folder);
        if !Cluster::is_in(folder) {
            say_once(&format!(
                "skipped on a real API server: there is no kube-apiserver with an etcd in {}, and TOKENWRIGHT_TEST_KUBECONFIG is not set",
                folder.display()
            ));
            return None;
        }
        let cluster = STARTED
            .get_or_init(async || {
                Cluster::start(folder)
                    .await
                    .unwrap_or_else(|why| panic!("the API server of {} does not start: {why}", folder.display()))
            })
            .await;
        Some(real("real server", cluster.kubeconfig(), cluster.has_controllers()))
    }

    /// What to call it in messages.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// A kubeconfig of an administrator.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client of an administrator.
    pub(crate) async fn client(&self) -> Client {
        self.client_of(None).await
    }

    /// A client of a user who has no rights but those that RBAC gives them.
    pub(crate) async fn client_as(&self, user: &str) -> Client {
        self.client_of(Some(user.to_owned())).await
    }

    async fn client_of(&self, user: Option<String>) -> Client {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).expect("a kubeconfig");
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .expect("a kubeconfig that can be used");
        config.auth_info.impersonate = user;
        Client::try_from(config).expect("a client")
    }

    /// Whether owned objects and deleted namespaces go by themselves. If not, says that `test` is left out.
    pub(crate) fn cleans_up(&self, test: &str) -> bool {
        if !self.controllers {
            say(&format!(
                "left out on the {}: {test}: there is no kube-controller-manager",
                self.name
            ));
        }
        self.controllers
    }
}

/// Asks again and again until there is an answer; a test fails after `limit` with what the last try came to.
pub(crate) async fn until<T, E, F>(limit: Duration, mut ask: impl FnMut() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    const PAUSE: Duration = Duration::from_millis(50);
    let start = tokio::time::Instant::now();
    loop {
        match ask().await {
            Err(_) if start.elapsed() < limit => tokio::time::sleep(PAUSE).await,
            outcome => return outcome,
        }
    }
}

/// Ports that were free a moment ago.
pub(crate) fn free_ports<const COUNT: usize>() -> io::Result<[u16; COUNT]> {
    // All of them at once, so that they differ.
    let taken: Vec<_> = (0..COUNT)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<io::Result<_>>()?;
    let mut ports = [0; COUNT];
    for (port, listener) in ports.iter_mut().zip(&taken) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

fn given(variable: &str) -> Option<OsString> {
    env::var_os(variable).filter(|value| !value.is_empty())
}

fn say_once(line: &str) {
    static SAID: Once = Once::new();
    SAID.call_once(|| say(line));
}

/// On standard error itself: what goes through `eprintln` is shown of tests that failed only.
pub(crate) fn say(line: &str) {
    // There is nobody to tell that nobody can be told.
    let _ = writeln!(io::stderr(), "{line}");
}
