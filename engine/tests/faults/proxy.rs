//! A TCP proxy that breaks HTTP exchanges at a chosen phase, in a chosen way.
//!
//! It reads just enough of both directions to know the phase: where heads end, and how long an answer's body is. What it
//! does to a connection is decided when its request line is known, so that one request of several can be broken.
#![allow(dead_code, reason = "each test program uses some of it")]

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// Where in an exchange a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Connect,
    RequestHead,
    RequestBody,
    ResponseHead,
    ResponseBody,
    AfterBody,
}

/// What happens there. `after` counts the bytes of the phase that still pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    /// The phase begins this much later.
    Latency(Duration),
    /// Bytes a second.
    Bandwidth(u32),
    /// Pieces of this many bytes, each sent on its own.
    Slicing(usize),
    /// Nothing more comes, and the connection stays open.
    Stall { after: u64 },
    /// A byte at a time, with a pause before each.
    Drip(Duration),
    /// The connection is reset.
    Reset { after: u64 },
    /// The proxy ends its side in an orderly way, and reads on until the client has gone.
    Close { after: u64 },
    /// The lowest bit of one byte is turned over.
    Flip { at: u64 },
}

/// A fault, where it strikes, and how often.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) fault: Fault,
    pub(crate) phase: Phase,
    /// The beginning of the request lines that are meant; at [`Phase::Connect`] every connection is.
    pub(crate) request: &'static str,
    /// How many connections are struck; later ones pass.
    pub(crate) times: u32,
}

impl Plan {
    pub(crate) fn always(fault: Fault, phase: Phase, request: &'static str) -> Self {
        Self { fault, phase, request, times: u32::MAX }
    }

    #[must_use]
    pub(crate) fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }
}

/// Stops, with all its connections, when it is dropped.
pub(crate) struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    plan: Option<Plan>,
    connections: u32,
    hits: u32,
    heads: Vec<String>,
    answers: Vec<String>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// A proxy in front of `upstream`, without a fault.
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), upstream).await
    }

    pub(crate) async fn start_at(addr: SocketAddr, upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(accept(listener, upstream, Arc::clone(&shared)));
        Self { addr, shared, task }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:port`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What happens to connections from now on; those that are open keep what they were given.
    pub(crate) fn set(&self, plan: Option<Plan>) {
        self.shared.state().plan = plan;
    }

    /// How many connections a fault has struck.
    pub(crate) fn hits(&self) -> u32 {
        self.shared.state().hits
    }

    pub(crate) fn connections(&self) -> u32 {
        self.shared.state().connections
    }

    /// The head of every request that came: what is in them is what nobody else may see.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.shared.state().heads.clone()
    }

    /// The head of every answer, as the server gave it.
    pub(crate) fn answers(&self) -> Vec<String> {
        self.shared.state().answers.clone()
    }

    /// Ends all connections, as a network that is gone for good does in the end, and takes no more.
    pub(crate) fn sever(&self) {
        self.task.abort();
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The fault for a connection at its beginning.
    fn at_connect(&self) -> Option<Fault> {
        let mut state = self.state();
        state.connections += 1;
        let plan = state.plan.as_mut().filter(|plan| plan.phase == Phase::Connect && plan.times > 0)?;
        plan.times -= 1;
        let fault = plan.fault;
        state.hits += 1;
        Some(fault)
    }

    /// The fault for a request, once its head has come.
    fn at_request(&self, head: &str) -> Option<(Phase, Fault)> {
        let mut state = self.state();
        state.heads.push(head.to_owned());
        let plan = state.plan.as_mut().filter(|plan| {
            plan.phase != Phase::Connect && plan.times > 0 && head.starts_with(plan.request)
        })?;
        plan.times -= 1;
        Some((plan.phase, plan.fault))
    }

    fn hit(&self) {
        self.state().hits += 1;
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = tokio::select! {
            accepted = listener.accept() => accepted.unwrap(),
            Some(_) = connections.join_next() => continue,
        };
        connections.spawn(serve(client, upstream, Arc::clone(&shared)));
    }
}

/// How the relaying of one direction ended.
enum End {
    /// The other side has no more.
    Eof,
    Reset,
    Close,
    Stall,
}

async fn serve(client: TcpStream, upstream: SocketAddr, shared: Arc<Shared>) {
    let _ = client.set_nodelay(true);
    match shared.at_connect() {
        None => {}
        Some(Fault::Latency(time)) => sleep(time).await,
        Some(Fault::Reset { .. }) => return reset(client),
        Some(Fault::Close { .. }) => return linger(client).await,
        Some(other) => panic!("{other:?} at a connection's beginning means nothing"),
    }
    let Ok(server) = TcpStream::connect(upstream).await else { return reset(client) };
    let _ = server.set_nodelay(true);
    let end = relay(&client, &server, &shared).await;
    drop(server);
    match end {
        End::Reset => reset(client),
        End::Close => linger(client).await,
        End::Stall => std::future::pending().await,
        End::Eof => {}
    }
}

/// Closes with SO_LINGER 0, which sends a reset at once.
fn reset(client: TcpStream) {
    let _ = client.set_zero_linger();
}

/// Ends the sending side, and throws away what still comes: closing with bytes unread would be a reset.
async fn linger(mut client: TcpStream) {
    let _ = client.shutdown().await;
    let mut scratch = vec![0; 65_536];
    while client.read(&mut scratch).await.is_ok_and(|count| count > 0) {}
}

async fn relay(client: &TcpStream, server: &TcpStream, shared: &Shared) -> End {
    let fault = Mutex::new(None);
    let requests = async {
        let mut parser = Parser::new(Phase::RequestHead);
        loop {
            let Ok(bytes) = receive(client).await else { return End::Eof };
            if bytes.is_empty() {
                // The client has ended its side, or has gone: the server must see it.
                let _ = shutdown(server);
                return End::Eof;
            }
            for (phase, start, piece) in parser.split(bytes) {
                if phase == Phase::RequestHead {
                    *fault.lock().unwrap() = shared.at_request(&String::from_utf8_lossy(&piece));
                }
                let now = *fault.lock().unwrap();
                match deliver(server, phase, start, piece, now, shared).await {
                    Ok(None) => {}
                    Ok(Some(end)) => return end,
                    Err(_) => return End::Eof,
                }
            }
        }
    };
    let answers = async {
        let mut parser = Parser::new(Phase::ResponseHead);
        loop {
            let Ok(bytes) = receive(server).await else { return End::Eof };
            let now = *fault.lock().unwrap();
            if bytes.is_empty() {
                let end = after_body(client, &parser, now, shared).await;
                let _ = shutdown(client);
                return end.unwrap_or(End::Eof);
            }
            for (phase, start, piece) in parser.split(bytes) {
                if phase == Phase::ResponseHead {
                    shared.state().answers.push(String::from_utf8_lossy(&piece).into_owned());
                }
                match deliver(client, phase, start, piece, now, shared).await {
                    Ok(None) => {}
                    Ok(Some(end)) => return end,
                    Err(_) => return End::Eof,
                }
            }
            if parser.is_complete()
                && let Some(end) = after_body(client, &parser, now, shared).await
            {
                return end;
            }
        }
    };
    let (mut requests, mut answers) = (std::pin::pin!(requests), std::pin::pin!(answers));
    tokio::select! {
        end = &mut requests => match end {
            // An answer may still come.
            End::Eof => answers.await,
            // Nothing more goes to the server, but what it says still reaches the client.
            End::Stall => { answers.await; End::Stall }
            end => end,
        },
        end = &mut answers => end,
    }
}

/// What happens behind a complete answer.
async fn after_body(
    client: &TcpStream,
    parser: &Parser,
    fault: Option<(Phase, Fault)>,
    shared: &Shared,
) -> Option<End> {
    let fault = fault.filter(|(phase, _)| *phase == Phase::AfterBody)?.1;
    if !parser.is_complete() {
        return None;
    }
    shared.hit();
    Some(match fault {
        Fault::Latency(time) => {
            sleep(time).await;
            return None;
        }
        Fault::Stall { .. } => End::Stall,
        Fault::Reset { .. } => End::Reset,
        Fault::Close { .. } => End::Close,
        Fault::Flip { .. } => {
            let _ = send(client, b"bytes that belong to nothing").await;
            End::Close
        }
        Fault::Drip(pause) => {
            while send(client, b"x").await.is_ok() {
                sleep(pause).await;
            }
            End::Close
        }
        Fault::Bandwidth(_) | Fault::Slicing(_) => return None,
    })
}

/// Passes a piece on, or does to it what the fault says. `start` is its position in its phase.
async fn deliver(
    to: &TcpStream,
    phase: Phase,
    start: u64,
    mut piece: Vec<u8>,
    fault: Option<(Phase, Fault)>,
    shared: &Shared,
) -> io::Result<Option<End>> {
    let Some((_, fault)) = fault.filter(|(at, _)| *at == phase) else {
        send(to, &piece).await?;
        return Ok(None);
    };
    let len = piece.len() as u64;
    let first = start == 0;
    // How much of this piece comes before the `after`th byte, if that is within it.
    let before = |after: u64| (after < start + len).then(|| after.saturating_sub(start) as usize);
    let (after, end) = match fault {
        Fault::Stall { after } => (after, End::Stall),
        Fault::Reset { after } => (after, End::Reset),
        Fault::Close { after } => (after, End::Close),
        gentle => {
            if first {
                shared.hit();
            }
            match gentle {
                Fault::Latency(time) => {
                    if first {
                        sleep(time).await;
                    }
                    send(to, &piece).await?;
                }
                Fault::Bandwidth(rate) => {
                    for slice in piece.chunks(4096) {
                        send(to, slice).await?;
                        sleep(Duration::from_secs_f64(slice.len() as f64 / f64::from(rate))).await;
                    }
                }
                Fault::Slicing(len) => {
                    for slice in piece.chunks(len) {
                        send(to, slice).await?;
                        tokio::task::yield_now().await;
                    }
                }
                Fault::Drip(pause) => {
                    for byte in piece.chunks(1) {
                        sleep(pause).await;
                        send(to, byte).await?;
                    }
                }
                Fault::Flip { at } => {
                    if let Some(at) = before(at).filter(|_| at >= start) {
                        piece[at] ^= 1;
                    }
                    send(to, &piece).await?;
                }
                Fault::Stall { .. } | Fault::Reset { .. } | Fault::Close { .. } => {}
            }
            return Ok(None);
        }
    };
    match before(after) {
        None => {
            send(to, &piece).await?;
            Ok(None)
        }
        Some(count) => {
            shared.hit();
            send(to, &piece[..count]).await?;
            Ok(Some(end))
        }
    }
}

async fn receive(from: &TcpStream) -> io::Result<Vec<u8>> {
    loop {
        from.readable().await?;
        let mut bytes = Vec::with_capacity(65_536);
        match from.try_read_buf(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => return outcome.map(|_| bytes),
        }
    }
}

async fn send(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Ends the sending side of a stream that is only borrowed, which the standard library can do and tokio cannot.
fn shutdown(stream: &TcpStream) -> io::Result<()> {
    let copy = std::net::TcpStream::from(stream.as_fd().try_clone_to_owned()?);
    copy.shutdown(std::net::Shutdown::Write)
}

/// Tells heads from bodies.
struct Parser {
    /// [`Phase::RequestHead`] or [`Phase::ResponseHead`].
    head: Phase,
    /// The head so far; `None` once it is over.
    pending: Option<Vec<u8>>,
    body_len: Option<u64>,
    body_seen: u64,
}

impl Parser {
    fn new(head: Phase) -> Self {
        Self { head, pending: Some(Vec::new()), body_len: None, body_seen: 0 }
    }

    /// Whether a body of known length has come to its end.
    fn is_complete(&self) -> bool {
        self.pending.is_none()
            && self.body_len.is_none_or(|len| self.body_seen >= len)
            && (self.body_len.is_some() || self.body_seen > 0)
    }

    /// Whole heads and pieces of bodies, each with its position in its phase.
    fn split(&mut self, mut bytes: Vec<u8>) -> Vec<(Phase, u64, Vec<u8>)> {
        let mut pieces = Vec::new();
        if let Some(mut head) = self.pending.take() {
            head.append(&mut bytes);
            let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") else {
                self.pending = Some(head);
                return pieces;
            };
            bytes = head.split_off(end + 4);
            self.body_len = content_length(&String::from_utf8_lossy(&head));
            pieces.push((self.head, 0, head));
        }
        if !bytes.is_empty() {
            let phase = match self.head {
                Phase::RequestHead => Phase::RequestBody,
                _ => Phase::ResponseBody,
            };
            let len = bytes.len() as u64;
            pieces.push((phase, self.body_seen, bytes));
            self.body_seen += len;
        }
        pieces
    }
}

fn content_length(head: &str) -> Option<u64> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })
}

/// A port whose connections are never accepted: its queue is full, so that connecting takes for ever.
pub(crate) struct FullPort {
    addr: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl FullPort {
    pub(crate) async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let addr = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        // Linux takes one more than it was told.
        while let Ok(Ok(stream)) =
            tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(addr)).await
        {
            queue.push(stream);
            assert!(queue.len() < 100, "this system accepts connections without end");
        }
        Self { addr, _listener: listener, _queue: queue }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// An address where nobody listens as long as the program runs: a socket that is bound and does not listen refuses what comes,
/// and nobody else is given its port.
pub(crate) fn closed_port() -> SocketAddr {
    static BOUND: OnceLock<(TcpSocket, SocketAddr)> = OnceLock::new();
    let bound = BOUND.get_or_init(|| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = socket.local_addr().unwrap();
        (socket, addr)
    });
    bound.1
}
