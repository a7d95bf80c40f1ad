//! A small HTTP server on one port of this machine that answers by a script, and remembers every request whole.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// One answer of the script.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Headers besides the length.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How its length is told.
    pub framing: Framing,
    /// So many bytes of the body are sent, and then the connection is closed.
    pub cut: Option<usize>,
    /// The connection is closed at once, with nothing said.
    pub drop: bool,
    /// How long to wait before the first byte.
    pub delay: Duration,
}

/// How the length of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Framing {
    /// By its true length.
    Length,
    /// By another number.
    Claimed(u64),
    /// In chunks.
    Chunked,
    /// By the end of the connection.
    Close,
}

impl Default for Reply {
    fn default() -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: Vec::new(),
            framing: Framing::Length,
            cut: None,
            drop: false,
            delay: Duration::ZERO,
        }
    }
}

impl Reply {
    /// A status without a body.
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// A body with status 200.
    pub fn body(body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }
}

/// The answers to one method and path, in order; the last one is given again and again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Route {
    /// The method and the path with its query, as in `GET /file/a/b/c`. A path that ends with `*` covers all that begin so.
    pub on: String,
    /// The answers.
    pub replies: Vec<Reply>,
}

impl Route {
    /// A route.
    pub fn new(on: impl Into<String>, replies: Vec<Reply>) -> Self {
        Self { on: on.into(), replies }
    }
}

/// A request that came.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Recorded {
    /// When its first line had come.
    pub at: Instant,
    /// When the answer to it was out.
    pub done: Instant,
    /// The method.
    pub method: String,
    /// The path with its query.
    pub target: String,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body, freed of its chunks.
    pub body: Vec<u8>,
    /// Whether the script had an answer for it.
    pub expected: bool,
}

impl Recorded {
    /// The values of a header, one after the other.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// A running server; it stops when it is dropped.
#[derive(Debug)]
pub struct HttpPeer {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    ended: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    routes: Vec<Route>,
    /// How many answers of each route were given.
    given: HashMap<usize, usize>,
    recorded: Vec<Recorded>,
    streams: Vec<TcpStream>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpPeer {
    /// Starts a server on a free port.
    ///
    /// # Errors
    /// If there is none.
    pub fn start(routes: Vec<Route>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        shared.state().routes = routes;
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.ended.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                if let Ok(copy) = stream.try_clone() {
                    accepting.state().streams.push(copy);
                }
                let shared = Arc::clone(&accepting);
                thread::spawn(move || drop(connection(&shared, stream)));
            }
        });
        Ok(Self { addr, shared })
    }

    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Begins another script, and forgets what came.
    pub fn script(&self, routes: Vec<Route>) {
        let mut state = self.shared.state();
        state.routes = routes;
        state.given.clear();
        state.recorded.clear();
    }

    /// What came so far, in the order of the requests' first lines.
    pub fn recorded(&self) -> Vec<Recorded> {
        let mut recorded = self.shared.state().recorded.clone();
        recorded.sort_by_key(|request| request.at);
        recorded
    }
}

impl Drop for HttpPeer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        for stream in &self.shared.state().streams {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the thread that accepts.
        let _ = TcpStream::connect_timeout(&self.addr, Duration::from_millis(200));
    }
}

fn connection(shared: &Shared, stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    while let Some(mut request) = read(&mut input, &mut out)? {
        if request.method == "OPTIONS" {
            // A browser asks first; that is no request of the port.
            write(&mut out, &request, &Reply::status(204))?;
            continue;
        }
        let reply = {
            let mut state = shared.state();
            let line = format!("{} {}", request.method, request.target);
            let found = state.routes.iter().position(|route| match route.on.strip_suffix('*') {
                Some(start) => line.starts_with(start),
                None => line == route.on,
            });
            found.and_then(|index| {
                let given = state.given.entry(index).or_insert(0);
                let at = *given;
                *given += 1;
                let replies = &state.routes[index].replies;
                replies.get(at).or_else(|| replies.last()).cloned()
            })
        };
        request.expected = reply.is_some();
        let reply = reply.unwrap_or_else(|| Reply::status(404));
        if !reply.delay.is_zero() {
            thread::sleep(reply.delay);
        }
        // Recorded before it is answered, so that whoever has the answer finds the request.
        let index = {
            let mut state = shared.state();
            state.recorded.push(request.clone());
            state.recorded.len() - 1
        };
        let more = if reply.drop { Ok(false) } else { write(&mut out, &request, &reply) };
        if let Some(recorded) = shared.state().recorded.get_mut(index) {
            recorded.done = Instant::now();
        }
        if !more? || request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            break;
        }
    }
    // What is still unread would turn the end into a reset, and take the answer with it.
    let _ = out.shutdown(Shutdown::Write);
    let _ = out.set_read_timeout(Some(Duration::from_millis(500)));
    let _ = std::io::copy(&mut input.take(64 << 20), &mut std::io::sink());
    Ok(())
}

fn read(input: &mut BufReader<TcpStream>, out: &mut TcpStream) -> std::io::Result<Option<Recorded>> {
    let mut line = String::new();
    if input.by_ref().take(64 * 1024).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let now = Instant::now();
    let mut words = line.split_ascii_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Recorded {
        at: now,
        done: now,
        method: method.to_owned(),
        target: target.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        expected: false,
    };
    loop {
        let mut line = String::new();
        input.by_ref().take(64 * 1024).read_line(&mut line)?;
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        out.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    if request.header("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked"))
    {
        loop {
            let mut size = String::new();
            input.by_ref().take(1024).read_line(&mut size)?;
            let size = size.trim().split(';').next().unwrap_or_default();
            let len = u64::from_str_radix(size, 16).map_err(|_| std::io::ErrorKind::InvalidData)?;
            input.by_ref().take(len).read_to_end(&mut request.body)?;
            let mut end = String::new();
            input.by_ref().take(1024).read_line(&mut end)?;
            if len == 0 {
                break;
            }
        }
    } else if let Some(len) = request.header("content-length").and_then(|len| len.parse::<u64>().ok()) {
        input.by_ref().take(len).read_to_end(&mut request.body)?;
    }
    Ok(Some(request))
}

/// Writes an answer, and says whether the connection can go on.
fn write(out: &mut TcpStream, request: &Recorded, reply: &Reply) -> std::io::Result<bool> {
    let mut head = format!("HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status));
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    // For the port that runs in a browser.
    head.push_str("Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Headers: *\r\n");
    head.push_str("Access-Control-Allow-Methods: GET, POST, DELETE\r\nAccess-Control-Expose-Headers: *\r\n");
    let bodyless = reply.status == 204 || reply.status == 304;
    match reply.framing {
        _ if bodyless => {}
        Framing::Length => head.push_str(&format!("Content-Length: {}\r\n", reply.body.len())),
        Framing::Claimed(len) => head.push_str(&format!("Content-Length: {len}\r\n")),
        Framing::Chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
        Framing::Close => head.push_str("Connection: close\r\n"),
    }
    head.push_str("\r\n");
    out.write_all(head.as_bytes())?;
    if request.method == "HEAD" || bodyless {
        return Ok(true);
    }
    let body = &reply.body[..reply.cut.map_or(reply.body.len(), |cut| cut.min(reply.body.len()))];
    if reply.framing == Framing::Chunked {
        for chunk in body.chunks(1000) {
            out.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
            out.write_all(chunk)?;
            out.write_all(b"\r\n")?;
        }
        if reply.cut.is_none() {
            out.write_all(b"0\r\n\r\n")?;
        }
    } else {
        out.write_all(body)?;
    }
    let whole = match reply.framing {
        Framing::Claimed(len) => len == body.len() as u64,
        Framing::Close => false,
        _ => true,
    };
    Ok(reply.cut.is_none() && whole)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        410 => "Gone",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}
