//! What gateways ask: the requests of a client with one token or another.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use envoy_types::pb::envoy::{
    config::core::v3::{Address, SocketAddress, address},
    service::auth::v3::{
        AttributeContext, CheckRequest,
        attribute_context::{self, Peer},
    },
};
use http_body_util::Full;
use hyper::Request;
use prost::Message;

use crate::{Result, tokens};

/// In the place of the token.
const BLANK: char = '?';

/// What a client sends, and what gateways add.
const HEADERS: [(&str, &str); 8] = [
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    ),
    ("accept", "application/json, text/plain, */*"),
    ("accept-language", "en-GB,en;q=0.7,de;q=0.3"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("content-type", "application/json"),
    ("x-forwarded-proto", "https"),
    ("x-request-id", "2f8c1f0e-2f57-4c35-9f0b-6d8f1d9f6a41"),
    ("cookie", "theme=dark; consent=1"),
];

/// A request of HTTP/1.1 without a body.
#[derive(Clone)]
pub(crate) struct HttpRequest {
    before: String,
    after: String,
}

impl HttpRequest {
    /// Asks at this path as NGINX's `auth_request` does.
    pub(crate) fn new(path: &str) -> Self {
        let headers: String = HEADERS
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let address = Ipv4Addr::from(tokens::ADDRESS);
        Self {
            before: format!("GET {path} HTTP/1.1\r\nhost: verifier\r\n{headers}authorization: Bearer "),
            after: format!("\r\nx-original-uri: /v1/queries?page=2\r\nx-forwarded-for: {address}\r\n\r\n"),
        }
    }

    pub(crate) fn with(&self, token: &str) -> String {
        [&*self.before, token, &self.after].concat()
    }
}

/// A call of Envoy's.
pub(crate) struct CheckCall {
    uri: String,
    message: Vec<u8>,
    blank: usize,
}

impl CheckCall {
    pub(crate) fn new(server: SocketAddr) -> Result<Self> {
        let blank = BLANK.to_string().repeat(tokens::plain(0).len());
        let message = question(&blank).encode_to_vec();
        let at = message
            .windows(blank.len())
            .position(|window| window == blank.as_bytes());
        let length = u32::try_from(message.len())?.to_be_bytes();
        Ok(Self {
            uri: format!("http://{server}/envoy.service.auth.v3.Authorization/Check"),
            blank: 5 + at.ok_or("there is no place for the token")?,
            message: [&[0], &length[..], &message].concat(),
        })
    }

    pub(crate) fn with(&self, token: &str) -> Request<Full<Bytes>> {
        let mut message = self.message.clone();
        message[self.blank..self.blank + token.len()].copy_from_slice(token.as_bytes());
        let request = Request::post(&self.uri)
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        request.body(Full::from(message)).unwrap_or_default()
    }

    /// Whether an answer says so: that is its code, which no header of the answer has.
    pub(crate) fn lets_in(answer: &[u8]) -> bool {
        answer.windows(7).any(|window| window == b"\x12\x05valid")
    }
}

/// What Envoy asks about a request with this token.
fn question(token: &str) -> CheckRequest {
    let bearer = format!("Bearer {token}");
    let of_envoy = [
        (":authority", "api.example.com"),
        (":method", "POST"),
        (":path", "/v1/queries?page=2"),
        (":scheme", "https"),
    ];
    let credential = [("authorization", &*bearer)];
    let headers = of_envoy.iter().chain(&HEADERS).chain(&credential);
    let http = attribute_context::HttpRequest {
        id: "7483120559178093312".to_owned(),
        method: "POST".to_owned(),
        path: "/v1/queries?page=2".to_owned(),
        host: "api.example.com".to_owned(),
        scheme: "https".to_owned(),
        protocol: "HTTP/2".to_owned(),
        size: -1,
        headers: headers
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        ..attribute_context::HttpRequest::default()
    };
    CheckRequest {
        attributes: Some(AttributeContext {
            source: Some(peer(tokens::ADDRESS, 53122)),
            destination: Some(peer([10, 0, 0, 7], 443)),
            request: Some(attribute_context::Request {
                time: None,
                http: Some(http),
            }),
            context_extensions: [("permission".to_owned(), tokens::PERMISSION.to_owned())].into(),
            ..AttributeContext::default()
        }),
    }
}

fn peer(address: [u8; 4], port: u32) -> Peer {
    let socket = SocketAddress {
        address: Ipv4Addr::from(address).to_string(),
        port_specifier: Some(envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier::PortValue(port)),
        ..SocketAddress::default()
    };
    Peer {
        address: Some(Address {
            address: Some(address::Address::SocketAddress(socket)),
        }),
        ..Peer::default()
    }
}
