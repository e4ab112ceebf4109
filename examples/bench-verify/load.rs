//! Requests as gateways send them: over connections that stay open, each the next one when the last is answered.

use std::{
    cell::Cell,
    convert::Infallible,
    error::Error,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::{Args, value_parser};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{JoinSet, LocalSet},
};

use crate::{
    Result,
    request::{CheckCall, HttpRequest},
};

const WARM_UP: Duration = Duration::from_secs(1);

/// How much is asked at the same time.
#[derive(Clone, Copy, Debug, Args, Serialize)]
pub(crate) struct Concurrency {
    /// How many connections ask by HTTP.
    #[arg(long, value_name = "NUMBER", default_value_t = 32, value_parser = value_parser!(u16).range(1..))]
    connections: u16,

    /// How many connections ask by gRPC. Envoy has one for each of its threads.
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = value_parser!(u16).range(1..))]
    channels: u16,

    /// How many questions are under way on each of those.
    #[arg(long, value_name = "NUMBER", default_value_t = 16, value_parser = value_parser!(u16).range(1..=1000))]
    streams: u16,
}

/// How many requests were answered.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Answered {
    pub(crate) requests: u64,
    pub(crate) per_second: u64,
    pub(crate) per_cpu_second: u64,
    /// The same of the best second. On a machine that does other things, too, what they cost is least in it.
    pub(crate) best_per_cpu_second: u64,
}

/// How many were answered so far, when that was, and what it took of the CPU.
type Moment = (u64, Instant, Duration);

impl Answered {
    fn between(moments: &[Moment]) -> Self {
        let per_cpu = |(before, _, used): Moment, (after, _, more): Moment| per(after - before, more - used);
        let (first, last) = (moments[0], moments[moments.len() - 1]);
        let seconds = moments.windows(2).map(|pair| per_cpu(pair[0], pair[1]));
        Self {
            requests: last.0 - first.0,
            per_second: per(last.0 - first.0, last.1 - first.1),
            per_cpu_second: per_cpu(first, last),
            best_per_cpu_second: seconds.max().unwrap_or_default(),
        }
    }
}

fn per(requests: u64, time: Duration) -> u64 {
    (requests as f64 / time.as_secs_f64()) as u64
}

/// What is asked with.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) known: Rc<Vec<String>>,
    pub(crate) concurrency: Concurrency,
    pub(crate) seconds: u64,
}

/// What keeps one connection busy. It only ever ends with an error.
type Busy = Result<Infallible>;

impl Load {
    /// Asks by HTTP/1.1. `cpu` tells what the server has used of the CPU so far.
    pub(crate) fn by_http(
        &self,
        server: SocketAddr,
        request: &HttpRequest,
        cpu: impl FnMut() -> Result<Duration>,
    ) -> Result<Answered> {
        let connect = |answered: Rc<Cell<u64>>, number: u16| {
            let (request, picker) = (request.clone(), self.picker(number));
            converse(server, request, picker, answered)
        };
        self.measure(self.concurrency.connections, connect, cpu)
    }

    /// Asks by gRPC.
    pub(crate) fn by_grpc(&self, server: SocketAddr, cpu: impl FnMut() -> Result<Duration>) -> Result<Answered> {
        let streams = self.concurrency.streams;
        let connect = |answered: Rc<Cell<u64>>, number: u16| {
            let pickers = (0..streams)
                .map(|stream| self.picker(number * streams + stream))
                .collect();
            multiplex(server, pickers, answered)
        };
        self.measure(self.concurrency.channels, connect, cpu)
    }

    fn picker(&self, seed: u16) -> Picker {
        Picker {
            known: self.known.clone(),
            entropy: StdRng::seed_from_u64(seed.into()),
        }
    }

    fn measure<F: Future<Output = Busy> + 'static>(
        &self,
        connections: u16,
        connect: impl Fn(Rc<Cell<u64>>, u16) -> F,
        mut cpu: impl FnMut() -> Result<Duration>,
    ) -> Result<Answered> {
        let answered = Rc::new(Cell::new(0));
        let measured = async {
            let mut busy = JoinSet::new();
            for number in 0..connections {
                busy.spawn_local(connect(answered.clone(), number));
            }
            let measured = async {
                tokio::time::sleep(WARM_UP).await;
                let mut moment = || Ok::<_, Box<dyn Error + Send + Sync>>((answered.get(), Instant::now(), cpu()?));
                let mut moments = vec![moment()?];
                for _ in 0..self.seconds {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    moments.push(moment()?);
                }
                Ok(Answered::between(&moments))
            };
            tokio::select! {
                Some(ended) = busy.join_next() => match ended? {
                    Err(error) => Err(error),
                    Ok(never) => match never {},
                },
                measured = measured => measured,
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, measured)
    }
}

/// Tokens in random order.
struct Picker {
    known: Rc<Vec<String>>,
    entropy: StdRng,
}

impl Picker {
    fn pick(&mut self) -> &str {
        let at = self.entropy.random_range(0..self.known.len());
        &self.known[at]
    }
}

async fn converse(server: SocketAddr, request: HttpRequest, mut picker: Picker, answered: Rc<Cell<u64>>) -> Busy {
    let mut stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        stream.write_all(request.with(picker.pick()).as_bytes()).await?;
        let mut length = 0;
        while !is_complete(&buffer[..length])? {
            match stream.read(&mut buffer[length..]).await? {
                0 => return Err("the server has closed a connection".into()),
                read => length += read,
            }
        }
        answered.set(answered.get() + 1);
    }
}

/// Whether this is a whole answer that lets a request in.
fn is_complete(answer: &[u8]) -> Result<bool> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(false);
    };
    let head = std::str::from_utf8(&answer[..end])?.to_ascii_lowercase();
    if !head.starts_with("http/1.1 2") {
        return Err(format!("a request was refused: {}", head.lines().next().unwrap_or_default()).into());
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.map_or(Ok(0), |length| length.trim().parse())?;
    Ok(answer.len() >= end + 4 + length)
}

async fn multiplex(server: SocketAddr, pickers: Vec<Picker>, answered: Rc<Cell<u64>>) -> Busy {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let mut busy: JoinSet<Busy> = JoinSet::new();
    for picker in pickers {
        busy.spawn_local(call(server, sender.clone(), picker, answered.clone()));
    }
    tokio::select! {
        ended = connection => Err(format!("the server has closed a connection: {ended:?}").into()),
        Some(ended) = busy.join_next() => ended?,
    }
}

async fn call(
    server: SocketAddr,
    mut sender: http2::SendRequest<Full<Bytes>>,
    mut picker: Picker,
    answered: Rc<Cell<u64>>,
) -> Busy {
    let call = CheckCall::new(server)?;
    loop {
        sender.ready().await?;
        let response = sender.send_request(call.with(picker.pick())).await?;
        let body = response.into_body().collect().await?;
        let ended_well = body.trailers().is_some_and(|trailers| trailers["grpc-status"] == "0");
        if !ended_well || !CheckCall::lets_in(&body.to_bytes()) {
            return Err("a request was refused".into());
        }
        answered.set(answered.get() + 1);
    }
}
