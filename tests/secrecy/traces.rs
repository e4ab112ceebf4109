//! What controller and verifier export as traces, and that no token is in it.

use std::{
    fs,
    net::TcpListener as StdListener,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use envoy_types::pb::envoy::{
    config::core::v3::{Address, SocketAddress, address},
    service::auth::v3::{
        AttributeContext, CheckRequest,
        attribute_context::{HttpRequest, Peer, Request},
        authorization_client::AuthorizationClient,
    },
};
use k8s_openapi::{
    api::core::v1::{Namespace, Secret},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
    runtime::wait::await_condition,
};
use kube_sandbox::{
    Sandbox,
    faults::{Fault, Match},
};
use serde_json::json;
use tempfile::TempDir;
use tokenwright::api::{ApiToken, Organisation, crds};
use tokio::net::TcpListener;

use crate::{
    collector::{Collector, Span},
    http::get_with,
    process::{LIMIT, Process},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const LEFT_OUT: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const BY_GRPC: &str = "11111111111111112222222222222222";

/// A cluster with organisation acme, and addresses for what runs beside it.
struct Stage {
    sandbox: Sandbox,
    client: Client,
    kubeconfig: String,
    _home: TempDir,
    _server: kube_sandbox::Server,
}

impl Stage {
    async fn set() -> Self {
        let sandbox = Sandbox::new();
        let client = Client::new(sandbox.service(), "default");
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        for crd in crds() {
            definitions.create(&PostParams::default(), &crd).await.unwrap();
        }
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let shop = serde_json::from_value(json!({ "metadata": { "name": "shop" } })).unwrap();
        namespaces.create(&PostParams::default(), &shop).await.unwrap();
        let organisations: Api<Organisation> = Api::all(client.clone());
        let acme = json!({ "metadata": { "name": "acme" }, "spec": { "namespaces": { "selector": {} } } });
        let acme = serde_json::from_value(acme).unwrap();
        organisations.create(&PostParams::default(), &acme).await.unwrap();
        let server = sandbox.serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let home = TempDir::new().unwrap();
        let kubeconfig = home.path().join("kubeconfig");
        fs::write(&kubeconfig, server.kubeconfig("admin")).unwrap();
        Self {
            sandbox,
            client,
            kubeconfig: kubeconfig.to_str().unwrap().to_owned(),
            _home: home,
            _server: server,
        }
    }

    /// A token, and its plain text as soon as it is there.
    async fn token(&self, name: &str, spec: serde_json::Value) -> String {
        let tokens: Api<ApiToken> = Api::namespaced(self.client.clone(), "shop");
        let token = json!({ "metadata": { "name": name }, "spec": spec });
        let token = serde_json::from_value(token).unwrap();
        tokens.create(&PostParams::default(), &token).await.unwrap();
        self.plain(name).await
    }

    async fn plain(&self, name: &str) -> String {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), "shop");
        let found = await_condition(secrets, name, |secret: Option<&Secret>| secret.is_some());
        let secret = tokio::time::timeout(LIMIT, found).await.unwrap().unwrap().unwrap();
        String::from_utf8(secret.data.unwrap().remove("token").unwrap().0).unwrap()
    }

    fn start(&self, mode: &str, more: &[&str], variables: &[(&str, &str)]) -> Process {
        let common = [mode, "--kubeconfig", &self.kubeconfig, "--metrics", "127.0.0.1:0"];
        Process::start_with(&[&common, more].concat(), variables)
    }
}

fn free() -> String {
    StdListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}

fn traceparent(trace: &str, flags: &str) -> String {
    format!("00-{trace}-{CALLER}-{flags}")
}

/// Asks by HTTP until the verifier knows the token.
async fn ask(http: &str, path: &str, headers: &str) -> String {
    let asking = async {
        loop {
            let answer = get_with(http, path, headers).await;
            if !answer.starts_with("503") {
                return answer;
            }
        }
    };
    tokio::time::timeout(LIMIT, asking).await.unwrap()
}

async fn ask_by_grpc(grpc: &str, token: &str) -> i32 {
    let mut client = AuthorizationClient::connect(format!("http://{grpc}")).await.unwrap();
    let address = SocketAddress {
        address: "203.0.113.9".to_owned(),
        ..SocketAddress::default()
    };
    let address = Address {
        address: Some(address::Address::SocketAddress(address)),
    };
    let bearer = ("authorization".to_owned(), format!("Bearer {token}"));
    let http = HttpRequest {
        path: format!("/orders?access_token={token}"),
        headers: [bearer].into(),
        ..HttpRequest::default()
    };
    let question = CheckRequest {
        attributes: Some(AttributeContext {
            source: Some(Peer {
                address: Some(address),
                ..Peer::default()
            }),
            request: Some(Request {
                http: Some(http),
                ..Request::default()
            }),
            ..AttributeContext::default()
        }),
    };
    let mut call = tonic::Request::new(question);
    let parent = traceparent(BY_GRPC, "01").parse().unwrap();
    call.metadata_mut().insert("traceparent", parent);
    client.check(call).await.unwrap().into_inner().status.unwrap().code
}

fn with<'s>(spans: &'s [Span], name: &str, key: &str, value: &str) -> &'s Span {
    let found = spans
        .iter()
        .find(|span| span.name == name && span.attributes.get(key).is_some_and(|found| found == value));
    found.unwrap_or_else(|| panic!("no {name} with {key} {value} in {spans:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn reconciles_requests_and_verifications_are_exported_as_documented_and_without_any_token() {
    let (stage, collector) = (Stage::set().await, Collector::start().await);
    let common = ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url);
    let controller = stage.start("controller", &["--otlp-endpoint", &collector.url], &[]);
    let (http, grpc) = (free(), free());
    let listening = ["--http", &http, "--grpc", &grpc, "--log", "debug"];
    let of_verifier = [
        common,
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=acme"),
        ("OTEL_SERVICE_NAME", "doorman"),
    ];
    let mut verifier = stage.start("verifier", &listening, &of_verifier);
    verifier.until("starting").await;

    let refused = Match::writes().resource("secrets").times(1);
    stage.sandbox.faults().inject(refused, Fault::internal_error());
    let spec = json!({ "organisation": "acme", "role": "Admin", "rotation": { "overlap": "1h" } });
    let token = stage.token("webshop", spec).await;
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let asked = |headers: String| {
        let (http, path) = (
            http.clone(),
            format!("/forward-auth?organisation=acme&access_token={token}"),
        );
        async move { ask(&http, &path, &headers).await }
    };
    // What makes no sense is refused, too, and its path may hold anything.
    assert!(asked(bearer.clone()).await.starts_with("400"));
    let path = "/forward-auth?organisation=acme";
    let left_out = format!("{bearer}traceparent: {}\r\n", traceparent(LEFT_OUT, "00"));
    assert_eq!(ask(&http, path, &left_out).await, "200 ");
    let continued = format!(
        "{bearer}traceparent: {}\r\ntracestate: shop={token}\r\n",
        traceparent(TRACE, "01")
    );
    assert_eq!(ask(&http, path, &continued).await, "200 ");
    let envoy = format!("/ext-authz/organisation=acme/path/orders?access_token={token}");
    assert!(
        ask(&http, &envoy, &format!("X-API-Key: {token}\r\n"))
            .await
            .starts_with("200")
    );
    assert_eq!(ask_by_grpc(&grpc, &token).await, 0);

    // Another credential, and what is written of both.
    let tokens: Api<ApiToken> = Api::namespaced(stage.client.clone(), "shop");
    let trigger = json!({ "spec": { "rotation": { "trigger": "now" } } });
    tokens
        .patch("webshop", &PatchParams::default(), &Patch::Merge(trigger))
        .await
        .unwrap();
    let rotated = await_condition(tokens, "webshop", |token: Option<&ApiToken>| {
        let status = token.and_then(|token| token.status.as_ref());
        status.is_some_and(|status| status.rotations == 1)
    });
    tokio::time::timeout(LIMIT, rotated).await.unwrap().unwrap();
    let successor = stage.plain("webshop").await;
    assert_ne!(successor, token);
    let organisations: Api<Organisation> = Api::all(stage.client.clone());
    let counted = await_condition(organisations, "acme", |organisation: Option<&Organisation>| {
        organisation.is_some_and(|organisation| organisation.status.is_some())
    });
    tokio::time::timeout(LIMIT, counted).await.unwrap().unwrap();

    for process in [controller, verifier] {
        process.signal("-TERM");
        let said = process.ends_with(0).await;
        assert!(
            said.contains("exporting traces") && !said.contains("cannot be exported"),
            "{said}"
        );
        assert!(
            !said.contains("reconcile ApiToken") && !said.contains("verify{"),
            "spans are not for the log: {said}"
        );
    }
    let spans = collector.spans();

    let failed = with(&spans, "create secrets", "http.response.status_code", "500");
    let failing = with(&spans, "reconcile ApiToken", "tokenwright.outcome", "server");
    assert_eq!((&failed.parent, failed.fails, failing.fails), (&failing.id, true, true));
    let created = with(&spans, "create secrets", "http.response.status_code", "201");
    let parent = spans.iter().find(|span| span.id == created.parent).unwrap();
    assert_eq!(
        (&*parent.name, &*parent.service),
        ("reconcile ApiToken", "tokenwright-controller")
    );
    let said = ["kind", "namespace", "name", "outcome"].map(|key| &*parent.attributes[&format!("tokenwright.{key}")]);
    assert_eq!(said, ["ApiToken", "shop", "webshop", "ok"]);
    assert_eq!(parent.parent, "");
    assert_eq!(parent.trace, created.trace);
    with(&spans, "update apitokens/status", "tokenwright.verb", "update");
    with(&spans, "reconcile Organisation", "tokenwright.name", "acme");

    let http = with(&spans, "verify", "tokenwright.dialect", "forward_auth");
    assert_eq!(
        (&*http.trace, &*http.parent, &*http.service),
        (TRACE, CALLER, "doorman")
    );
    assert_eq!(http.attributes["tokenwright.code"], "valid");
    assert_eq!(http.attributes["tokenwright.organisation"], "acme");
    let grpc = with(&spans, "verify", "tokenwright.dialect", "ext_authz_grpc");
    assert_eq!((&*grpc.trace, &*grpc.parent), (BY_GRPC, CALLER));
    let own = with(&spans, "verify", "tokenwright.dialect", "ext_authz_http");
    assert_eq!(own.parent, "");
    assert!(
        spans.iter().all(|span| span.trace != LEFT_OUT),
        "the gateway left it out"
    );
    assert!(spans.iter().all(|span| span.events == 0), "{spans:#?}");

    let documented = include_str!("../../docs/traces.md");
    for span in &spans {
        let name = match span.kind {
            opentelemetry_proto::tonic::trace::v1::span::SpanKind::Client => "VERB RESOURCE",
            _ => &span.name,
        };
        for word in span.attributes.keys().map(|key| &**key).chain([name]) {
            assert!(
                documented.contains(&format!("`{word}")),
                "{word} is not in docs/traces.md"
            );
        }
    }
    assert!(collector.header("x-tenant-of-nobody").is_empty() || !spans.is_empty());

    let told = collector.header("x-tenant");
    assert!(
        !told.is_empty() && told.iter().all(|tenant| tenant == "acme"),
        "{told:?}"
    );
    let bytes = collector.bytes();
    for secret in [&token, &successor] {
        for hidden in [secret.clone(), BASE64_STANDARD.encode(secret)] {
            let found = bytes.windows(hidden.len()).any(|part| part == hidden.as_bytes());
            assert!(!found, "a token is in what was exported");
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    for hidden in [
        "Bearer",
        "access_token",
        "organisation=acme",
        "fieldManager",
        "tracestate",
    ] {
        assert!(!text.contains(hidden), "{hidden} is in what was exported");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_up_is_told_of_once_and_disturbs_nothing() {
    let stage = Stage::set().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let collector = format!("http://{}", listener.local_addr().unwrap());
    let http = free();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector),
        ("OTEL_BSP_SCHEDULE_DELAY", "1"),
    ];
    let mut verifier = stage.start("verifier", &["--http", &http, "--grpc", "127.0.0.1:0"], &variables);
    verifier.until("starting").await;
    // An export is tried four times, so these are three of them.
    for _ in 0..12 {
        let asking = ask(&http, "/forward-auth?organisation=acme", "");
        assert!(asking.await.starts_with("401"));
        let (connection, _) = tokio::time::timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
        drop(connection);
    }
    verifier.signal("-TERM");
    let said = verifier.ends_with(0).await;
    assert_eq!(said.matches("WARN").count(), 1, "{said}");
    assert!(said.contains("traces cannot be exported"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_does_not_hold_up_the_end() {
    let stage = Stage::set().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let collector = format!("http://{}", listener.local_addr().unwrap());
    let http = free();
    let arguments = ["--http", &http, "--grpc", "127.0.0.1:0", "--otlp-endpoint", &collector];
    let mut verifier = stage.start("verifier", &arguments, &[]);
    verifier.until("starting").await;
    assert!(
        ask(&http, "/forward-auth?organisation=acme", "")
            .await
            .starts_with("401")
    );
    let told = Instant::now();
    verifier.signal("-TERM");
    let said = verifier.ends_with(0).await;
    assert!(said.contains("did not take the last ones in time"), "{said}");
    // An export may take ten seconds; the end waits for two.
    assert!(told.elapsed() < Duration::from_secs(9), "{:?}", told.elapsed());
}

#[tokio::test]
async fn settings_that_make_no_sense_are_explained() {
    let variable = |name, value| (vec!["verifier"], vec![(name, value)]);
    for ((arguments, variables), words) in [
        (
            (vec!["controller", "--otlp-endpoint", "collector:4317"], vec![]),
            "such as http://",
        ),
        (
            variable("OTEL_EXPORTER_OTLP_ENDPOINT", "collector"),
            "OTEL_EXPORTER_OTLP_ENDPOINT must be the URL",
        ),
        (
            (
                vec!["verifier", "--otlp-endpoint", "https://collector:4318"],
                vec![("OTEL_EXPORTER_OTLP_CERTIFICATE", "no/such.pem")],
            ),
            "no/such.pem is none",
        ),
    ] {
        let said = Process::start_with(&arguments, &variables).ends_with(2).await;
        assert!(said.contains(words), "{said}");
    }
}
