//! Real gateways with the configurations of `examples/gateways`, in front of a service that tells what it received.
//!
//! Each of them is asked the same. Envoy, Traefik and Caddy are fetched on first use; NGINX is the one on the PATH.
//! `ENVOY`, `TRAEFIK`, `CADDY` and `NGINX` are paths of others to take.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod backend;
mod check;
mod gateway;
mod paths;
mod process;
mod request;
mod rows;
mod stage;
mod tokens;

use gateway::Gateway;
use stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn envoy_by_grpc() {
    suite(Gateway::EnvoyGrpc).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_by_http() {
    suite(Gateway::EnvoyHttp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn traefik() {
    suite(Gateway::Traefik).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy() {
    suite(Gateway::Caddy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx() {
    suite(Gateway::Nginx).await;
}

async fn suite(gateway: Gateway) {
    let Some(program) = gateway.program() else {
        support::say("skipped: nginx is not on the PATH: install nginx-light, or set NGINX to the path of one");
        return;
    };
    let mut stage = Stage::set(gateway, &program).await;
    let failed: Vec<String> = stage.play(&rows::rows(&stage.tokens)).await;
    assert!(failed.is_empty(), "{gateway:?}:\n{}", failed.join("\n"));
    stage.nobody_wrote_down_a_token();
    stage.put_the_gateway_behind_a_proxy().await;
    let failed = stage.play(&rows::behind_a_proxy(&stage.tokens)).await;
    assert!(failed.is_empty(), "{gateway:?} behind a proxy:\n{}", failed.join("\n"));
    stage.a_deleted_token_is_refused().await;
    stage.nobody_enters_without_the_verifier().await;
    stage.nobody_wrote_down_a_token();
    stage.nobody_enters_on_a_view_that_is_too_old().await;
}
