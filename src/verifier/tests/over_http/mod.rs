//! Requests as gateways and programs send them, and the answers as a whole.

mod gateways;
mod introspect;
mod property;
mod sockets;
mod spoofing;
mod verify;

use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};

use super::*;
use crate::verifier::dialect::http::Http;

/// Good for everything its organisation `acme` has, from anywhere.
const GOOD: u64 = 1;
/// May be used from 203.0.113.0/24 only.
const OFFICE: u64 = 2;
/// Each of them refused for another reason.
const REFUSED: [(u64, &str); 7] = [
    (3, "expired"),
    (4, "retired"),
    (5, "suspended"),
    (6, "not_a_member"),
    (7, "not_yet_valid"),
    (8, "unknown"),
    (12, "policy"),
];
/// Ann's own token, for the projects `web` and one that is gone.
const PERSONAL: u64 = 9;
/// May introspect.
const CALLER: u64 = 10;
/// Another organisation's.
const EVIL: u64 = 11;

/// The gateway, which is a trusted proxy.
const GATEWAY: &str = "10.0.0.1";

fn tokens() -> Vec<Value> {
    let named = |name: &str, number: u64| token(name, &[credential(number, "Active")]);
    let mut office = named("office", OFFICE);
    office["status"]["grant"]["ipFilters"] = json!(["office"]);
    let mut expired = named("expired", 3);
    expired["status"]["credentials"][0]["expiresAt"] = json!("2026-06-01T11:00:00Z");
    let retired = token("retired", &[credential(4, "Retired")]);
    let mut suspended = named("suspended", 5);
    suspended["spec"]["suspended"] = json!(true);
    let mut gone = named("gone", 6);
    (gone["spec"]["type"], gone["spec"]["user"]) = (json!("Personal"), json!("zoe"));
    let mut future = named("future", 7);
    future["spec"]["notBefore"] = json!("2027-01-01T00:00:00Z");
    let mut personal = named("personal", PERSONAL);
    (personal["spec"]["type"], personal["spec"]["user"]) = (json!("Personal"), json!("ann"));
    personal["status"]["grant"]["projects"] = json!(["web", "old"]);
    personal["status"]["credentials"][0]["expiresAt"] = json!("2026-06-02T12:00:00Z");
    let mut caller = named("caller", CALLER);
    caller["status"]["grant"]["permissions"] = json!(["tokenwright:introspect"]);
    let mut evil = named("evil", EVIL);
    evil["spec"]["organisation"] = json!("acme-evil");
    let mut boss = named("boss", 12);
    boss["status"]["grant"]["role"] = json!("Boss");
    let good = named("deploy", GOOD);
    vec![
        good, office, expired, retired, suspended, gone, future, personal, caller, evil, boss,
    ]
}

fn judge() -> Judge {
    let judge = judge_of(&tokens());
    let mut evil = organisation();
    evil["metadata"]["name"] = json!("acme-evil");
    judge.index.apply_organisation(&parse::<Organisation>(&evil));
    let no_boss = policy("no-boss", json!({ "roles": { "allowed": ["Reader", "Clerk"] } }));
    judge.index.apply_policy(&no_boss);
    judge
}

fn bearer(number: u64) -> String {
    format!("Bearer {}", plain(number))
}

fn get(url: &str, headers: &[(&str, &str)]) -> Request<Full<bytes::Bytes>> {
    let request = headers.iter().fold(Request::get(url), |request, (name, value)| {
        request.header(*name, *value)
    });
    request.body(Full::default()).unwrap()
}

fn post(
    url: &str,
    content_type: &str,
    headers: &[(&str, &str)],
    body: impl Into<bytes::Bytes>,
) -> Request<Full<bytes::Bytes>> {
    let request = Request::post(url).header("content-type", content_type);
    let request = headers
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Full::new(body.into())).unwrap()
}

/// An answer.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_str(&self.body).unwrap()
    }

    /// What a service would learn of the caller.
    fn identity(&self) -> Vec<String> {
        let told = self
            .headers
            .iter()
            .filter(|(name, _)| name.as_str().starts_with("x-tokenwright-"));
        told.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect()
    }
}

async fn ask_judge(judge: Judge, request: Request<Full<bytes::Bytes>>, peer: &str) -> Answer {
    let reply = Http::new(Arc::new(judge)).answer(request, peer.parse().unwrap()).await;
    let (parts, body) = reply.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    // None of them may be kept.
    assert_eq!(parts.headers["cache-control"], "no-store");
    assert!(matches!(parts.status.as_u16(), 200 | 204 | 400..));
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

/// What comes back for a request through the gateway.
async fn ask_http(request: Request<Full<bytes::Bytes>>) -> Answer {
    ask_judge(judge(), request, GATEWAY).await
}

/// The status that a gateway gets for a request with these headers.
async fn status(url: &str, headers: &[(&str, &str)]) -> u16 {
    ask_http(get(url, headers)).await.status
}

/// The URLs of each gateway that require this.
fn urls(requires: &str) -> [String; 3] {
    let path = if requires.is_empty() {
        "path".to_owned()
    } else {
        format!("{requires}/path")
    };
    [
        format!("/ext-authz/{path}/orders/1?x=y"),
        format!("/forward-auth?{requires}"),
        format!("/auth-request?{requires}"),
    ]
}

#[tokio::test(start_paused = true)]
async fn nothing_else_is_answered_here() {
    let nowhere = ask_http(get("/", &[])).await;
    assert_eq!(
        (nowhere.status, &*nowhere.body),
        (
            404,
            "There is nothing here. Ask at /ext-authz/, /forward-auth, /auth-request, /v1/verify, /introspect, \
             /healthz or /readyz.\n"
        )
    );
    for url in [
        "/ext-authz",
        "/forward-auth/",
        "/Forward-Auth",
        "//auth-request",
        "/auth-request/x",
        "/v1/verify/",
    ] {
        assert_eq!(status(url, &[("authorization", &bearer(GOOD))]).await, 404, "{url}");
    }
    for (url, method, allowed) in [
        ("/v1/verify", "GET", "POST"),
        ("/introspect", "PUT", "POST"),
        ("/healthz", "POST", "GET, HEAD"),
        ("/readyz", "DELETE", "GET, HEAD"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(url)
            .body(Full::default())
            .unwrap();
        let answer = ask_http(request).await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, allowed),
            "{method} {url}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_ready_while_its_view_is_fresh() {
    assert_eq!(status("/healthz", &[]).await, 204);
    assert_eq!(status("/readyz", &[]).await, 204);
    let unheard = || Judge::new(Arc::default(), Arc::new(Freshness::new(1)));
    let ready = ask_judge(unheard(), get("/readyz", &[]), GATEWAY).await;
    assert_eq!(
        (ready.status, &*ready.body),
        (503, "What is known of the cluster is not complete yet, or too old.\n")
    );
    assert_eq!(ask_judge(unheard(), get("/healthz", &[]), GATEWAY).await.status, 204);
}
