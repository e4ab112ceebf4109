//! The dialects over a socket: what only the connection shows.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::verifier::server::{Protocol, Server, tests::read_answer};

async fn connect() -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let judge = judge();
    let server = Server::new(Protocol::Http1, judge.metrics.clone());
    tokio::spawn(server.serve(listener, Arc::new(Http::new(Arc::new(judge))), std::future::pending()));
    TcpStream::connect(address).await.unwrap()
}

/// The head of the next answer, whose body is left out.
async fn head(stream: &mut TcpStream) -> String {
    read_answer(stream).await.0
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.is_err() || rest.is_empty()
}

fn asking(path: &str, more: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: here\r\nauthorization: {}\r\n{more}",
        bearer(GOOD)
    )
}

#[tokio::test]
async fn a_body_that_came_along_is_passed_over() {
    for path in urls("") {
        let mut stream = connect().await;
        for more in [
            "content-length: 3\r\n\r\nabc",
            "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "content-length: 0\r\n\r\n",
            "\r\n",
        ] {
            stream.write_all(asking(&path, more).as_bytes()).await.unwrap();
            let head = head(&mut stream).await;
            assert!(
                head.starts_with("HTTP/1.1 200") && !head.contains("connection: close"),
                "{head}"
            );
        }
    }
}

/// A gateway that passes on the length of a body which it keeps to itself. What it sends next is another client's, and
/// must not be taken for that body: cut short by it, it would be what its sender made of it.
#[tokio::test]
async fn a_body_that_did_not_come_is_not_waited_for_and_ends_the_connection() {
    for path in urls("") {
        let mut stream = connect().await;
        stream
            .write_all(asking(&path, "content-length: 20\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let answer = head(&mut stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"),
            "{answer}"
        );
        let smuggled = "GET /x HTTP/1.1\r\na: GET /healthz HTTP/1.1\r\n\r\n";
        let _ = stream.write_all(smuggled.as_bytes()).await;
        assert!(is_closed(&mut stream).await);
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_and_its_sender_hears_of_it() {
    let mut stream = connect().await;
    let length = 512 * 1024;
    let request =
        format!("POST /v1/verify HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; length]).await.unwrap();
    let answer = head(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("connection: close"),
        "{answer}"
    );
    assert!(is_closed(&mut stream).await);
}

#[tokio::test]
async fn an_admission_is_one_small_answer() {
    let mut stream = connect().await;
    stream
        .write_all(asking("/auth-request", "\r\n").as_bytes())
        .await
        .unwrap();
    let head = head(&mut stream).await;
    let lines: Vec<&str> = head.lines().filter(|line| !line.starts_with("date: ")).collect();
    assert_eq!(
        lines,
        [
            "HTTP/1.1 200 OK",
            "cache-control: no-store",
            "x-tokenwright-organisation: acme",
            "x-tokenwright-token: web/deploy",
            "x-tokenwright-client-id: acme-01234567890123456789",
            "x-tokenwright-type: Organisation",
            "x-tokenwright-user: ",
            "x-tokenwright-role: Reader",
            "x-tokenwright-permissions: logs:*,queries:block,users:read",
            "x-tokenwright-projects: *",
            "content-length: 0",
            "",
        ]
    );
}
