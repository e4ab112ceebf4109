use std::net::SocketAddr;

use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use tokio::net::TcpListener;

use super::*;
use crate::verifier::server::{Protocol, Server};

async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let judge = Arc::new(judge());
    let server = Server::new(Protocol::Http2, Arc::clone(&judge.metrics));
    tokio::spawn(server.serve(listener, Arc::new(grpc::Authorization(judge)), std::future::pending()));
    address
}

#[tokio::test]
async fn a_client_of_another_make_is_answered_over_one_connection() {
    let address = serve().await;
    let client = AuthorizationClient::connect(format!("http://{address}")).await.unwrap();
    let bearer = bearer();
    let ask = |peer: &str, headers: &[(&str, &str)]| {
        let (mut client, question) = (client.clone(), question(peer, headers, &[]));
        async move {
            client
                .check(question)
                .await
                .unwrap()
                .into_inner()
                .status
                .unwrap()
                .message
        }
    };
    let large = "a".repeat(2 * grpc::MAX_MESSAGE);
    let (inside, credential) = ("203.0.113.9", ("authorization", &*bearer));
    let codes = futures::join!(
        ask(inside, &[credential]),
        ask("192.0.2.1", &[credential]),
        ask(inside, &[credential, ("cookie", &large)]),
        ask(inside, &[]),
    );
    assert_eq!(
        codes,
        ("valid".into(), "ip_denied".into(), "malformed".into(), "missing".into())
    );
    assert_eq!(ask(inside, &[credential]).await, "valid");
}
