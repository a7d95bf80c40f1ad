//! A small NATS server on one port of this machine: as much of the protocol as a bridge uses, with a script for what goes
//! wrong, and a memory of what was published.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::value::Value;

/// What the server does besides its duty.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Script {
    /// What it announces as the largest message, headers included.
    pub max_payload: usize,
    /// Whether it takes messages with headers.
    pub headers: bool,
    /// Messages that it delivers as soon as somebody has subscribed to their subject.
    pub deliver: Vec<Delivery>,
    /// What becomes of published messages.
    pub on_publish: OnPublish,
    /// What is sent to the reply subject of the first message that asks for a reply. `{correlation_id}` in a body is
    /// replaced by the request's.
    pub answers: Vec<Delivery>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            max_payload: 1_048_576,
            headers: true,
            deliver: Vec::new(),
            on_publish: OnPublish::Route,
            answers: Vec::new(),
        }
    }
}

/// A message that the server makes up.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Delivery {
    /// Its subject.
    pub subject: String,
    /// Its reply subject.
    pub reply: Option<String>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Delivery {
    /// A message.
    pub fn new(subject: impl Into<String>, reply: Option<String>, body: Vec<u8>) -> Self {
        Self { subject: subject.into(), reply, body }
    }
}

/// What becomes of published messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnPublish {
    /// They go to whoever has subscribed.
    Route,
    /// The server refuses them for lack of permission.
    Deny,
    /// The server closes the connection.
    Close,
}

/// A message that came.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Published {
    /// Its subject.
    pub subject: String,
    /// Its NATS reply subject.
    pub reply: Option<String>,
    /// Its headers as they came.
    pub headers: Vec<u8>,
    /// Its body.
    pub body: Vec<u8>,
}

/// A running server; it stops when it is dropped.
#[derive(Debug)]
pub struct NatsPeer {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    script: Script,
    state: Mutex<State>,
    changed: Condvar,
    ended: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    published: Vec<Published>,
    subscribed: Vec<String>,
    connections: HashMap<u64, Connection>,
    next: u64,
    connects: Vec<String>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    subscriptions: Vec<(String, String)>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NatsPeer {
    /// Starts a server on a free port.
    ///
    /// # Errors
    /// If there is none.
    pub fn start(script: Script) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            script,
            state: Mutex::default(),
            changed: Condvar::new(),
            ended: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.ended.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&accepting);
                thread::spawn(move || drop(serve(&shared, stream)));
            }
        });
        Ok(Self { addr, shared })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("nats://{}", self.addr)
    }

    /// What was published so far, but for messages to inboxes nobody else knows of, which clients use to ask for a round
    /// trip.
    pub fn published(&self) -> Vec<Published> {
        self.shared.state().published.clone()
    }

    /// What was subscribed to so far.
    pub fn subscribed(&self) -> Vec<String> {
        self.shared.state().subscribed.clone()
    }

    /// The clients' `CONNECT` lines.
    pub fn connects(&self) -> Vec<String> {
        self.shared.state().connects.clone()
    }

    /// Waits until something was published that `wanted` holds for.
    pub fn wait_for(&self, within: Duration, wanted: impl Fn(&Published) -> bool) -> Option<Published> {
        let deadline = Instant::now() + within;
        let mut state = self.shared.state();
        loop {
            if let Some(found) = state.published.iter().find(|message| wanted(message)) {
                return Some(found.clone());
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Delivers a message to whoever has subscribed.
    pub fn publish(&self, message: &Delivery) {
        let mut state = self.shared.state();
        route(
            &mut state,
            &message.subject,
            message.reply.as_deref(),
            &[],
            &message.body,
            self.shared.script.headers,
        );
    }
}

impl Drop for NatsPeer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        for connection in self.shared.state().connections.values() {
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
        // Wakes the thread that accepts.
        let _ = TcpStream::connect_timeout(&self.addr, Duration::from_millis(200));
    }
}

fn serve(shared: &Shared, stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let id = {
        let mut state = shared.state();
        state.next += 1;
        let id = state.next;
        state.connections.insert(id, Connection { stream: stream.try_clone()?, subscriptions: Vec::new() });
        id
    };
    let info = json!({
        "server_id": "PEER", "server_name": "peer", "version": "2.10.0", "proto": 1, "host": "127.0.0.1", "port": 4222,
        "headers": shared.script.headers, "max_payload": shared.script.max_payload, "client_id": id,
    });
    out.write_all(format!("INFO {info}\r\n").as_bytes())?;
    let result = commands(shared, id, BufReader::new(stream), &mut out);
    let mut state = shared.state();
    if let Some(connection) = state.connections.remove(&id) {
        let _ = connection.stream.shutdown(Shutdown::Both);
    }
    drop(state);
    shared.changed.notify_all();
    result
}

fn commands(
    shared: &Shared,
    id: u64,
    mut input: BufReader<TcpStream>,
    out: &mut TcpStream,
) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        if input.by_ref().take(8192).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let mut words = line.split_ascii_whitespace();
        let command = words.next().unwrap_or_default().to_ascii_uppercase();
        let words: Vec<&str> = words.collect();
        // The state is locked while anything is written, so that lines of two threads never mix.
        match (command.as_str(), words.as_slice()) {
            ("CONNECT", _) => shared.state().connects.push(line.to_owned()),
            ("PING", _) => {
                let _state = shared.state();
                out.write_all(b"PONG\r\n")?;
            }
            ("PONG", _) | ("", _) => {}
            ("SUB", [subject, sid]) | ("SUB", [subject, _, sid]) => {
                let mut state = shared.state();
                state.subscribed.push((*subject).to_owned());
                if let Some(connection) = state.connections.get_mut(&id) {
                    connection.subscriptions.push(((*subject).to_owned(), (*sid).to_owned()));
                }
                for message in &shared.script.deliver {
                    if matches(subject, &message.subject) {
                        deliver(out, &message.subject, sid, message.reply.as_deref(), &[], &message.body)?;
                    }
                }
                drop(state);
                shared.changed.notify_all();
            }
            ("UNSUB", [sid, ..]) => {
                if words.len() == 1
                    && let Some(connection) = shared.state().connections.get_mut(&id)
                {
                    connection.subscriptions.retain(|(_, other)| other != sid);
                }
            }
            ("PUB", [subject, rest @ .., len]) => {
                let body = body(&mut input, len.parse().unwrap_or(0))?;
                let reply = rest.first().map(|reply| (*reply).to_owned());
                let message = Published { subject: (*subject).to_owned(), reply, headers: Vec::new(), body };
                published(shared, id, out, message)?;
            }
            ("HPUB", [subject, rest @ .., headers, len]) => {
                let mut body = body(&mut input, len.parse().unwrap_or(0))?;
                let tail = body.split_off(headers.parse().unwrap_or(0).min(body.len()));
                let reply = rest.first().map(|reply| (*reply).to_owned());
                let message = Published { subject: (*subject).to_owned(), reply, headers: body, body: tail };
                published(shared, id, out, message)?;
            }
            _ => {
                let _state = shared.state();
                out.write_all(b"-ERR 'Unknown Protocol Operation'\r\n")?;
                return Ok(());
            }
        }
    }
}

fn body(input: &mut BufReader<TcpStream>, len: usize) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    // Grows with what comes, whatever the client says.
    input.by_ref().take(len as u64 + 2).read_to_end(&mut body)?;
    body.truncate(len);
    Ok(body)
}

fn published(shared: &Shared, id: u64, out: &mut TcpStream, message: Published) -> std::io::Result<()> {
    let mut state = shared.state();
    let len = message.headers.len() + message.body.len();
    // A probe of a client to itself is no message.
    let own = state.connections.get(&id).is_some_and(|connection| {
        connection
            .subscriptions
            .iter()
            .any(|(subject, _)| subject.starts_with("_INBOX.") && matches(subject, &message.subject))
    });
    if !own {
        state.published.push(message.clone());
        shared.changed.notify_all();
        if len > shared.script.max_payload {
            out.write_all(b"-ERR 'Maximum Payload Violation'\r\n")?;
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        match shared.script.on_publish {
            OnPublish::Route => {}
            OnPublish::Deny => {
                let error =
                    format!("-ERR 'Permissions Violation for Publish to \"{}\"'\r\n", message.subject);
                return out.write_all(error.as_bytes());
            }
            OnPublish::Close => return Err(std::io::ErrorKind::ConnectionAborted.into()),
        }
    }
    let reached = route(
        &mut state,
        &message.subject,
        message.reply.as_deref(),
        &message.headers,
        &message.body,
        shared.script.headers,
    );
    if !own && !shared.script.answers.is_empty() {
        answer(&mut state, &shared.script, &message);
        return Ok(());
    }
    if reached == 0
        && shared.script.headers
        && let Some(reply) = &message.reply
    {
        route(&mut state, reply, None, b"NATS/1.0 503\r\n\r\n", &[], true);
    }
    Ok(())
}

/// Answers a request by the script.
fn answer(state: &mut State, script: &Script, request: &Published) {
    let Some(reply) = &request.reply else { return };
    for message in answers_to(&script.answers, request) {
        route(state, reply, None, &[], &message.body, script.headers);
    }
}

/// The answers of a script to a request, with its ids filled in.
pub(super) fn answers_to(answers: &[Delivery], request: &Published) -> Vec<Delivery> {
    let value = Value::parse(&request.body).ok();
    let id = |camel: &str, snake: &str| match &value {
        Some(Value::Object(members)) => match members.get(camel).or_else(|| members.get(snake)) {
            Some(Value::String(text)) => text.clone(),
            _ => String::new(),
        },
        _ => String::new(),
    };
    let (correlation_id, msg_id) = (id("correlationId", "correlation_id"), id("msgId", "msg_id"));
    let filled = |message: &Delivery| {
        let body = match std::str::from_utf8(&message.body) {
            Ok(text) => {
                text.replace("{correlation_id}", &correlation_id).replace("{msg_id}", &msg_id).into_bytes()
            }
            Err(_) => message.body.clone(),
        };
        Delivery::new(message.subject.clone(), message.reply.clone(), body)
    };
    answers.iter().map(filled).collect()
}

/// Hands a message to all subscriptions that match, and says to how many.
fn route(
    state: &mut State,
    subject: &str,
    reply: Option<&str>,
    headers: &[u8],
    body: &[u8],
    with_headers: bool,
) -> usize {
    let mut reached = 0;
    for connection in state.connections.values_mut() {
        for (pattern, sid) in &connection.subscriptions {
            if matches(pattern, subject) {
                reached += 1;
                let headers = if with_headers { headers } else { &[] };
                // A connection that is gone is noticed by its own thread.
                let _ = deliver(&mut connection.stream, subject, sid, reply, headers, body);
            }
        }
    }
    reached
}

fn deliver(
    out: &mut TcpStream,
    subject: &str,
    sid: &str,
    reply: Option<&str>,
    headers: &[u8],
    body: &[u8],
) -> std::io::Result<()> {
    let reply = reply.map(|reply| format!(" {reply}")).unwrap_or_default();
    let line = if headers.is_empty() {
        format!("MSG {subject} {sid}{reply} {}\r\n", body.len())
    } else {
        format!("HMSG {subject} {sid}{reply} {} {}\r\n", headers.len(), headers.len() + body.len())
    };
    out.write_all(&[line.as_bytes(), headers, body, b"\r\n"].concat())
}

/// Whether a subscription's subject, with its wildcards, covers a message's.
fn matches(pattern: &str, subject: &str) -> bool {
    let mut subject = subject.split('.');
    for token in pattern.split('.') {
        match (token, subject.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    subject.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn wildcards_cover_what_they_should() {
        for (pattern, subject, covered) in [
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("a", "a.b", false),
        ] {
            assert_eq!(matches(pattern, subject), covered, "{pattern} {subject}");
        }
    }
}
