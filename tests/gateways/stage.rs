//! A cluster, a controller, a verifier and a gateway.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use kube::Client;
use kube_sandbox::{Sandbox, testing::Kubectl};
use tempfile::TempDir;
use tokenwright::{
    controller::{Controller, Settings},
    metrics::Metrics,
};
use tokio::task::JoinHandle;

use crate::{
    backend::Backend,
    check,
    gateway::{Addresses, Gateway},
    process::Process,
    request::Request,
    rows::{self, Expected, Row},
    support::{free_ports, until},
    tokens::Tokens,
};

/// How long anything may take. Far above what it does take, so that a slow machine does not fail a test.
const LIMIT: Duration = Duration::from_secs(90);
const CRDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
pub(crate) struct Stage {
    pub(crate) tokens: Tokens,
    kubectl: Kubectl,
    addresses: Addresses,
    backend: Backend,
    server: Option<kube_sandbox::Server>,
    verifier: Option<Process>,
    gateway: (Gateway, PathBuf),
    process: Process,
    controller: JoinHandle<()>,
    _home: TempDir,
}

impl Stage {
    pub(crate) async fn set(gateway: Gateway, program: &Path) -> Self {
        let sandbox = Sandbox::new();
        let server = sandbox.serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let home = tempfile::tempdir().unwrap();
        let kubectl = Kubectl::new(home.path(), &server.kubeconfig("admin")).unwrap();
        kubectl.ok(["apply", "--filename", CRDS]).await;
        let controller = Controller::new(
            Client::new(sandbox.service(), "default"),
            Settings::default(),
            Arc::new(Metrics::default()),
        );
        let controller = tokio::spawn(controller.run(std::future::pending()));
        let tokens = Tokens::issue(&kubectl).await;

        let backend = Backend::start().await;
        let [port, http, grpc, metrics] = free_ports()
            .unwrap()
            .map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let addresses = Addresses {
            gateway: port,
            http,
            grpc,
            metrics,
            backend: backend.address,
        };
        let verifier = verifier(&kubectl, &addresses, "10m").await;
        let process = gateway.start(program, &addresses);
        let stage = Self {
            tokens,
            kubectl,
            addresses,
            backend,
            server: Some(server),
            verifier: Some(verifier),
            gateway: (gateway, program.to_owned()),
            process,
            controller,
            _home: home,
        };
        stage.until_let_in().await;
        stage
    }

    /// Plays all rows, and says what went otherwise than expected.
    pub(crate) async fn play(&self, rows: &[Row]) -> Vec<String> {
        let mut failed = Vec::new();
        for row in rows {
            if let Err(why) = self.check(row).await {
                failed.push(format!("{} at {}: {why}", row.name, row.request.path));
            }
        }
        failed
    }

    /// From now on, the gateway is one behind another proxy.
    pub(crate) async fn put_the_gateway_behind_a_proxy(&mut self) {
        let [port] = free_ports().unwrap();
        self.addresses.gateway.set_port(port);
        let (gateway, program) = &self.gateway;
        self.process = gateway.start_behind(program, &self.addresses, rows::PROXY);
        self.until_let_in().await;
    }

    /// Deleted with kubectl, it is refused at once.
    pub(crate) async fn a_deleted_token_is_refused(&self) {
        let row = rows::member(&self.tokens);
        self.check(&row).await.unwrap();
        let arguments = ["delete", "apitoken", "ann", "--namespace", "shop"];
        self.kubectl.ok(arguments).await;
        self.until_refused(&row, &[401]).await;
    }

    pub(crate) async fn nobody_enters_without_the_verifier(&mut self) {
        self.verifier = None;
        for row in rows::in_every_header(&self.tokens) {
            self.until_refused(&row, &[500, 502, 503]).await;
        }
        self.verifier = Some(verifier(&self.kubectl, &self.addresses, "2s").await);
        self.until_let_in().await;
    }

    /// It is the last thing that happens here: the API server does not come back.
    pub(crate) async fn nobody_enters_on_a_view_that_is_too_old(&mut self) {
        self.server.take().unwrap().shutdown().await;
        self.until_refused(&rows::good(&self.tokens), &[500, 502, 503]).await;
    }

    /// Neither of those that were let in nor of those that were refused, nor while there was no verifier.
    pub(crate) fn nobody_wrote_down_a_token(&self) {
        for process in self.verifier.iter().chain([&self.process]) {
            let said = process.said();
            assert!(!self.tokens.is_in(&said), "{said}");
        }
    }

    async fn until_let_in(&self) {
        let request = rows::good(&self.tokens).request;
        let asking = async || match request.send(self.addresses.gateway).await {
            Ok(answer) if answer.status == 200 => Ok(()),
            other => Err(format!("it was not let in: {other:?}")),
        };
        let outcome = until(LIMIT, asking).await;
        outcome.unwrap_or_else(|why| panic!("{why}\n{}", self.last_words()));
    }

    async fn until_refused(&self, row: &Row, statuses: &'static [u16]) {
        let row = Row {
            name: row.name.clone(),
            request: row.request.clone(),
            client: row.client,
            expected: Expected::Refused(statuses),
        };
        let outcome = until(LIMIT, || self.check(&row)).await;
        outcome.unwrap_or_else(|why| panic!("{why}\n{}", self.last_words()));
    }

    async fn check(&self, row: &Row) -> Result<(), String> {
        let before = self.backend.count();
        let answer = row.request.send(self.addresses.gateway).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let reached = self.backend.count() > before;
        check::check(row, &answer, reached, &self.tokens)
    }

    fn last_words(&self) -> String {
        let verifier = self.verifier.as_ref().map(Process::last_words);
        format!("{}\n{}", verifier.unwrap_or_default(), self.process.last_words())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.controller.abort();
    }
}

/// A verifier that is ready.
async fn verifier(kubectl: &Kubectl, addresses: &Addresses, max_staleness: &str) -> Process {
    let program = Path::new(env!("CARGO_BIN_EXE_tokenwright"));
    let kubeconfig = kubectl.kubeconfig().to_str().unwrap();
    let listen = [addresses.http, addresses.grpc, addresses.metrics].map(|address| address.to_string());
    let trusted = format!("127.0.0.1,{}", rows::PROXY);
    let arguments = [
        "verifier",
        "--kubeconfig",
        kubeconfig,
        "--http",
        &listen[0],
        "--grpc",
        &listen[1],
        "--metrics",
        &listen[2],
        // The gateway, and what is before it.
        "--trusted-proxies",
        &trusted,
        "--max-staleness",
        max_staleness,
        "--log",
        "tokenwright=trace",
    ];
    let process = Process::start(program, &[], &arguments);
    let asking = Request {
        from: Ipv4Addr::LOCALHOST,
        path: "/readyz".to_owned(),
        lines: Vec::new(),
        body: String::new(),
    };
    let ready = async || match asking.send(addresses.metrics).await {
        Ok(answer) if answer.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    };
    let outcome = until(LIMIT, ready).await;
    outcome.unwrap_or_else(|why| panic!("the verifier is not ready: {why}. {}", process.last_words()));
    process
}
