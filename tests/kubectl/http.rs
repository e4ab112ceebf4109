//! HTTP as plain as it gets.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Status code and body of a plain GET.
pub(crate) async fn get(address: &str, path: &str) -> String {
    get_with(address, path, "").await
}

/// The same with more header lines, each with its end.
pub(crate) async fn get_with(address: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let code = answer.split_whitespace().nth(1).unwrap().to_owned();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    format!("{code} {body}")
}
