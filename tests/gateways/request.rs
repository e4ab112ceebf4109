//! Requests written by hand: no client library would send all of these.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::timeout,
};

const LIMIT: Duration = Duration::from_secs(30);

/// A GET, or with a body a POST, from an address of the client's own.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) from: Ipv4Addr,
    pub(crate) path: String,
    /// Header lines as they are sent.
    pub(crate) lines: Vec<String>,
    pub(crate) body: String,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) async fn send(&self, to: SocketAddr) -> io::Result<Answer> {
        timeout(LIMIT, self.exchange(to)).await?
    }

    async fn exchange(&self, to: SocketAddr) -> io::Result<Answer> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.from, 0).into())?;
        let mut stream = socket.connect(to).await?;
        stream.write_all(self.text().as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer);
        Answer::parse(&answer).ok_or_else(|| io::Error::other(format!("no HTTP: {answer:?}")))
    }

    /// It asks for the end of the connection, unless it has something else to say about that.
    fn text(&self) -> String {
        let of_connection = |line: &&String| line.to_ascii_lowercase().starts_with("connection:");
        let close = match self.lines.iter().find(of_connection) {
            Some(_) => "",
            None => "Connection: close\r\n",
        };
        let (method, length) = match self.body.len() {
            0 => ("GET", String::new()),
            length => ("POST", format!("Content-Length: {length}\r\n")),
        };
        let lines: String = self.lines.iter().map(|line| format!("{line}\r\n")).collect();
        let Self { path, body, .. } = self;
        format!("{method} {path} HTTP/1.1\r\nHost: api.example\r\n{close}{length}{lines}\r\n{body}")
    }
}

impl Answer {
    fn parse(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let (first, lines) = head.split_once("\r\n").unwrap_or((head, ""));
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        Some(Self {
            status: first.split(' ').nth(1)?.parse().ok()?,
            headers: lines.lines().filter_map(header).collect(),
            body: body.to_owned(),
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }
}
