use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;

/// Long enough never to matter in a test that passes.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(100);

/// Says the path and who asked. `/wait` is answered when the test says so, `/body` when the body has come.
#[derive(Default)]
struct Echo {
    asked: Notify,
    go_on: Notify,
}

impl Handler for Echo {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Incoming>, peer: SocketAddr) -> Result<Response<Full<Bytes>>, Infallible> {
        let path = request.uri().path().to_owned();
        match &*path {
            "/wait" => {
                self.asked.notify_one();
                self.go_on.notified().await;
            }
            "/body" => drop(request.into_body().collect().await),
            _ => {}
        }
        Ok(Response::new(Full::from(format!("{path} {}", peer.ip()))))
    }
}

struct Running {
    address: SocketAddr,
    handler: Arc<Echo>,
    metrics: Arc<Metrics>,
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn limits() -> Limits {
    Limits {
        connections: 4096,
        of_one_peer: 4096,
        handshake: LONG,
        greeting: LONG,
        answer: LONG,
        idle: LONG,
        drain: LONG,
    }
}

async fn start(protocol: Protocol, limits: Limits, tls: Option<Arc<Tls>>) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (handler, metrics) = (Arc::new(Echo::default()), Arc::new(Metrics::default()));
    let server = Server {
        limits,
        tls,
        ..Server::new(protocol, Arc::clone(&metrics))
    };
    let (end, ended) = oneshot::channel();
    let task = tokio::spawn(server.serve(listener, Arc::clone(&handler), async {
        let _ = ended.await;
    }));
    Running {
        address,
        handler,
        metrics,
        end,
        task,
    }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: here\r\n\r\n").into_bytes()
}

/// The head and the body of the next answer.
pub(in crate::verifier) async fn read_answer(stream: &mut (impl AsyncReadExt + Unpin)) -> (String, String) {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(read).unwrap();
    let length = |line: &str| line.strip_prefix("content-length: ")?.parse().ok();
    let mut body = vec![0; head.lines().find_map(length).unwrap_or(0)];
    stream.read_exact(&mut body).await.unwrap();
    (head, String::from_utf8(body).unwrap())
}

/// The status and the body of the next answer.
async fn answer(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let (head, body) = read_answer(stream).await;
    format!("{} {body}", &head[9..12])
}

/// Waits until the other end has closed, and returns what it said before.
async fn until_closed(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    String::from_utf8_lossy(&rest).into_owned()
}

#[tokio::test]
async fn a_connection_carries_request_after_request() {
    let server = start(Protocol::Http1, limits(), None).await;
    let mut stream = server.connect().await;
    for path in ["/a", "/b"] {
        stream.write_all(&get(path)).await.unwrap();
        assert_eq!(answer(&mut stream).await, format!("200 {path} 127.0.0.1"));
    }
}

#[tokio::test]
async fn http2_is_served_by_prior_knowledge() {
    let server = start(Protocol::Http2, limits(), None).await;
    let stream = TokioIo::new(server.connect().await);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://here/a").body(Full::<Bytes>::default()).unwrap();
    let body = sender.send_request(request).await.unwrap().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "/a 127.0.0.1");
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let limits = Limits {
        greeting: SHORT,
        ..limits()
    };
    for (protocol, sent) in [
        (Protocol::Http1, ""),
        (Protocol::Http1, "GET / HTTP/1.1\r\nhost: he"),
        (Protocol::Http2, ""),
        (Protocol::Http2, "PRI * HTTP/2.0\r\n"),
    ] {
        let server = start(protocol, limits, None).await;
        let mut stream = server.connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        until_closed(&mut stream).await;
    }
}

#[tokio::test]
async fn a_connection_that_rests_too_long_is_closed() {
    let server = start(
        Protocol::Http1,
        Limits {
            idle: SHORT,
            ..limits()
        },
        None,
    )
    .await;
    let mut stream = server.connect().await;
    stream.write_all(&get("/a")).await.unwrap();
    assert_eq!(answer(&mut stream).await, "200 /a 127.0.0.1");
    assert_eq!(until_closed(&mut stream).await, "");
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_the_connection() {
    let server = start(
        Protocol::Http1,
        Limits {
            answer: SHORT,
            ..limits()
        },
        None,
    )
    .await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"POST /body HTTP/1.1\r\nhost: here\r\ncontent-length: 9\r\n\r\nabc")
        .await
        .unwrap();
    assert_eq!(until_closed(&mut stream).await, "");
}

/// A connection that has asked once.
async fn asked(server: &Running) -> TcpStream {
    let mut stream = server.connect().await;
    stream.write_all(&get("/a")).await.unwrap();
    answer(&mut stream).await;
    stream
}

fn counts(server: &Running, refused: u32) -> bool {
    let line = format!("tokenwright_verifier_connections_refused_total{{protocol=\"http/1.1\"}} {refused}");
    server.metrics.encode().lines().any(|found| found == line)
}

#[tokio::test]
async fn one_connection_too_many_takes_the_place_of_one_that_rests() {
    let limits = Limits {
        connections: 3,
        ..limits()
    };
    let server = start(Protocol::Http1, limits, None).await;
    let (mut resting, mut asking) = (asked(&server).await, server.connect().await);
    asking.write_all(&get("/wait")).await.unwrap();
    server.handler.asked.notified().await;
    // Who never asked goes first, and then who rests longest.
    let mut silent = server.connect().await;
    let mut newcomer = asked(&server).await;
    assert_eq!(until_closed(&mut silent).await, "");
    let mut another = asked(&server).await;
    assert_eq!(until_closed(&mut resting).await, "");
    assert!(counts(&server, 2));
    // Who waits for an answer is let be.
    for stream in [&mut newcomer, &mut another] {
        stream.write_all(&get("/wait")).await.unwrap();
        server.handler.asked.notified().await;
    }
    assert_eq!(until_closed(&mut server.connect().await).await, "");
    assert!(counts(&server, 3));
    server.handler.go_on.notify_one();
    assert_eq!(answer(&mut asking).await, "200 /wait 127.0.0.1");
}

#[tokio::test]
async fn what_an_http2_connection_may_have_open_is_bounded() {
    let server = start(Protocol::Http2, limits(), None).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    let mut settings = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
    stream.read_exact(&mut settings).await.unwrap();
    let setting = |id: u8| {
        let found = settings.chunks(6).find(|setting| setting[..2] == [0, id]).unwrap();
        u32::from_be_bytes([found[2], found[3], found[4], found[5]])
    };
    let (streams, window, head) = (setting(3), setting(4), setting(6));
    assert!(
        (100..=200).contains(&streams) && window <= 40 << 10 && head <= 8 << 10,
        "{streams} {window} {head}"
    );
}

#[tokio::test]
async fn a_head_that_is_too_large_or_makes_no_sense_is_refused() {
    let server = start(Protocol::Http1, limits(), None).await;
    let long = format!("GET / HTTP/1.1\r\nhost: here\r\nx-a: {}\r\n\r\n", "a".repeat(33 * 1024));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x-a: b\r\n".repeat(101));
    for (sent, status) in [
        (&*long, "431"),
        (&many, "431"),
        ("GET / HTTP/1.1\r\nx a: b\r\n\r\n", "400"),
        ("nonsense\r\n\r\n", "400"),
        (
            "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            "400",
        ),
    ] {
        let mut stream = server.connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        assert_eq!(answer(&mut stream).await.trim_end(), status);
    }
}

#[tokio::test]
async fn the_end_waits_for_what_is_in_flight_and_for_nothing_else() {
    let server = start(Protocol::Http1, limits(), None).await;
    let (mut new, mut resting, mut asking) = (server.connect().await, server.connect().await, server.connect().await);
    resting.write_all(&get("/a")).await.unwrap();
    answer(&mut resting).await;
    asking.write_all(&get("/wait")).await.unwrap();
    server.handler.asked.notified().await;
    server.end.send(()).unwrap();
    assert_eq!(until_closed(&mut new).await, "");
    assert_eq!(until_closed(&mut resting).await, "");
    assert!(TcpStream::connect(server.address).await.is_err());
    server.handler.go_on.notify_one();
    assert_eq!(answer(&mut asking).await, "200 /wait 127.0.0.1");
    server.task.await.unwrap();
}

#[tokio::test]
async fn the_end_waits_only_so_long() {
    let server = start(
        Protocol::Http1,
        Limits {
            drain: SHORT,
            ..limits()
        },
        None,
    )
    .await;
    let mut asking = server.connect().await;
    asking.write_all(&get("/wait")).await.unwrap();
    server.handler.asked.notified().await;
    server.end.send(()).unwrap();
    server.task.await.unwrap();
    assert_eq!(until_closed(&mut asking).await, "");
}

#[test]
fn only_a_failure_that_lasts_is_waited_out() {
    let pause = |kind: io::ErrorKind| pause_after(&kind.into());
    assert_eq!(pause(io::ErrorKind::ConnectionAborted), Duration::ZERO);
    // EMFILE, too many open files.
    assert_eq!(
        pause_after(&io::Error::from_raw_os_error(24)),
        Duration::from_millis(500)
    );
    assert_eq!(pause(io::ErrorKind::OutOfMemory), Duration::from_millis(500));
}

/// A folder with a pair in it.
struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn certificate(&self) -> std::path::PathBuf {
        self.folder.path().join("tls.crt")
    }

    fn key(&self) -> std::path::PathBuf {
        self.folder.path().join("tls.key")
    }

    /// Writes a new pair; returns the root that trusts it.
    fn renew(&self) -> RootCertStore {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(self.key(), pair.signing_key.serialize_pem()).unwrap();
        std::fs::write(self.certificate(), pair.cert.pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(pair.cert.der().clone()).unwrap();
        roots
    }

    fn load(&self) -> Result<Arc<Tls>, InvalidTls> {
        Tls::load(&self.certificate(), &self.key())
    }
}

async fn handshake(server: &Running, roots: &RootCertStore, offered: &[&str]) -> io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = offered.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, server.connect().await)
        .await
}

#[tokio::test]
async fn tls_is_spoken_with_the_protocol_of_the_listener() {
    let folder = Folder::new();
    let roots = folder.renew();
    for protocol in Protocol::ALL {
        let server = start(protocol, limits(), Some(folder.load().unwrap())).await;
        let stream = handshake(&server, &roots, &["h2", "http/1.1"]).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_str().as_bytes()));
        assert!(handshake(&server, &roots, &["spdy/1"]).await.is_err());
    }
    let server = start(Protocol::Http1, limits(), Some(folder.load().unwrap())).await;
    let mut stream = handshake(&server, &roots, &[]).await.unwrap();
    stream.write_all(&get("/a")).await.unwrap();
    assert_eq!(answer(&mut stream).await, "200 /a 127.0.0.1");
}

#[tokio::test]
async fn a_handshake_that_does_not_come_ends_the_connection() {
    let folder = Folder::new();
    folder.renew();
    let limits = Limits {
        handshake: SHORT,
        ..limits()
    };
    let server = start(Protocol::Http1, limits, Some(folder.load().unwrap())).await;
    assert_eq!(until_closed(&mut server.connect().await).await, "");
}

/// Waits until the certificate's files were read so often with that result.
async fn until_read(metrics: &Metrics, result: &str, times: u32) {
    let counted = format!("tokenwright_verifier_certificate_reads_total{{result=\"{result}\"}} {times}");
    while !metrics.encode().lines().any(|line| line == counted) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_changed_certificate_is_taken_up_and_a_broken_one_is_not() {
    let folder = Folder::new();
    let first = folder.renew();
    let tls = folder.load().unwrap();
    let server = start(Protocol::Http1, limits(), Some(Arc::clone(&tls))).await;
    let metrics = Arc::clone(&server.metrics);
    let renewing = tokio::spawn(async move { tls.renew(Duration::from_millis(1), &metrics).await });
    assert!(handshake(&server, &first, &[]).await.is_ok());

    std::fs::write(folder.certificate(), "nonsense").unwrap();
    until_read(&server.metrics, "invalid", 1).await;
    std::fs::remove_file(folder.key()).unwrap();
    until_read(&server.metrics, "invalid", 2).await;
    assert!(handshake(&server, &first, &[]).await.is_ok());

    let second = folder.renew();
    until_read(&server.metrics, "ok", 1).await;
    assert!(handshake(&server, &second, &[]).await.is_ok());
    assert!(handshake(&server, &first, &[]).await.is_err());
    renewing.abort();
}

#[test]
fn files_that_are_no_pair_are_told_in_one_sentence() {
    let folder = Folder::new();
    let error = |folder: &Folder| folder.load().unwrap_err().to_string();
    let (certificate, key) = (folder.certificate(), folder.key());
    let (certificate, key) = (certificate.display(), key.display());
    assert_eq!(
        error(&folder),
        format!("cannot read {certificate}: No such file or directory (os error 2)")
    );
    folder.renew();
    let kept = std::fs::read(folder.key()).unwrap();
    std::fs::write(folder.key(), "nonsense").unwrap();
    assert_eq!(error(&folder), format!("{key} holds no private key in PEM form"));
    folder.renew();
    std::fs::write(folder.key(), kept).unwrap();
    assert_eq!(
        error(&folder),
        format!(
            "the certificate {certificate} cannot be used with the key {key}: keys may not be consistent: KeyMismatch"
        )
    );
    std::fs::write(folder.certificate(), "").unwrap();
    assert_eq!(
        error(&folder),
        format!("{certificate} holds no certificate in PEM form")
    );
}
