//! What is under test: something that answers the requests of the protocol, and what can go wrong with it.

mod inside;
mod pipe;

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

pub use self::inside::Inside;
pub use self::pipe::Pipe;
use crate::schema::{self, WIRE};

/// The most bytes of one line, either way.
pub const MAX_LINE: usize = 16 * 1024 * 1024;

/// A way to talk to a testee.
pub trait Testee: Send {
    /// Starts it anew; whatever ran before is ended.
    ///
    /// # Errors
    /// If it cannot be started.
    fn launch(&mut self) -> Result<(), Trouble>;

    /// Hands over one request.
    ///
    /// # Errors
    /// If the testee is gone.
    fn send(&mut self, request: &Value) -> Result<(), Trouble>;

    /// The next answer.
    ///
    /// # Errors
    /// Whatever is no answer.
    fn receive(&mut self, within: Duration) -> Result<Value, Trouble>;

    /// Whether there is an answer that nobody has asked for.
    fn has_more(&mut self) -> bool;

    /// Asks it to end, and waits.
    ///
    /// # Errors
    /// If it does not, or not with status 0.
    fn stop(&mut self) -> Result<(), Trouble>;

    /// The end of what it wrote to its standard error.
    fn errors(&mut self) -> String;
}

/// What a testee did in place of answering.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// It ended, with this status.
    Crash(String),
    /// It was silent for as long as this.
    Timeout(Duration),
    /// It was silent from the start.
    Mute(Duration),
    /// It wrote something that the protocol does not allow.
    Protocol(String),
}

impl Trouble {
    /// The outcome's name in reports.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Crash(_) => "crash",
            Self::Timeout(_) | Self::Mute(_) => "timeout",
            Self::Protocol(_) => "protocol",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash(status) => write!(f, "the testee ended: {status}"),
            Self::Timeout(time) => write!(f, "no answer within {} ms", time.as_millis()),
            Self::Mute(time) => write!(
                f,
                "no answer to \"start\" within {} s. Does the testee end its line with LF, and flush after it?",
                time.as_secs_f64()
            ),
            Self::Protocol(what) => f.write_str(what),
        }
    }
}

/// What a testee says of itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Started {
    /// The testee's own name: files are named after it.
    pub name: String,
    /// The language and its version.
    pub language: String,
    /// The port's version.
    pub version: String,
    /// `full`, `browser` or `micro`.
    pub profile: String,
    /// The operations.
    pub supports: Vec<String>,
}

/// After so long a person wants to know what is going on.
const PATIENT: Duration = Duration::from_secs(5);

/// A testee at work: numbers the requests, and checks both ends of the wire against the schema.
pub struct Session {
    testee: Box<dyn Testee>,
    seq: u64,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("seq", &self.seq).finish_non_exhaustive()
    }
}

/// One request, without its number.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request {
    /// The operation.
    pub op: String,
    /// Its input.
    pub input: Value,
    /// Where to cut it.
    pub split: Option<Vec<usize>>,
    /// Limits other than the default.
    pub limits: Option<Value>,
}

impl Request {
    /// A request with nothing but its input.
    pub fn new(op: impl Into<String>, input: Value) -> Self {
        Self { op: op.into(), input, split: None, limits: None }
    }
}

impl Session {
    /// A session that has not been started.
    pub fn new(testee: Box<dyn Testee>) -> Self {
        Self { testee, seq: 0 }
    }

    /// Starts the testee, and hears what it is.
    ///
    /// # Errors
    /// If it does not come up, or says something that the protocol does not allow.
    pub fn start(&mut self, within: Duration) -> Result<Started, Trouble> {
        self.testee.launch()?;
        self.testee.send(&json!({"cmd": "start", "version": 1}))?;
        let soon = within.min(PATIENT);
        let answer = match self.testee.receive(soon) {
            Err(Trouble::Timeout(_)) if within > soon => {
                eprintln!("waiting for the testee ...");
                self.testee.receive(within - soon)
            }
            answer => answer,
        };
        let answer = answer.map_err(|trouble| match trouble {
            Trouble::Timeout(_) => Trouble::Mute(within),
            other => other,
        })?;
        schema::check(WIRE, "started", &answer)
            .map_err(|what| Trouble::Protocol(format!("the answer to start is not valid: {what}")))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let testee = &answer["testee"];
        Ok(Started {
            name: text(&testee["name"]),
            language: text(&testee["language"]),
            version: text(&testee["version"]),
            profile: text(&answer["profile"]),
            supports: answer["supports"].as_array().into_iter().flatten().map(text).collect(),
        })
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// Whatever is no reply to this very request.
    pub fn run(&mut self, request: &Request, within: Duration) -> Result<Value, Trouble> {
        let seq = self.send(request)?;
        self.reply(&request.op, seq, within)
    }

    /// Sends a request, and returns its number.
    ///
    /// # Errors
    /// If something stands in the way that nobody has asked for, or the testee is gone.
    pub fn send(&mut self, request: &Request) -> Result<u64, Trouble> {
        if self.testee.has_more() {
            let extra = self.testee.receive(Duration::ZERO).map_or_else(|t| t.to_string(), |v| v.to_string());
            return Err(Trouble::Protocol(format!("an answer that nobody has asked for: {extra:.200}")));
        }
        self.seq += 1;
        let mut line = json!({"cmd": "run", "seq": self.seq, "op": request.op, "in": request.input});
        if let Some(split) = &request.split {
            line["split"] = split.as_slice().into();
        }
        if let Some(limits) = &request.limits {
            line["limits"] = limits.clone();
        }
        schema::check(WIRE, "run", &line)
            .map_err(|what| Trouble::Protocol(format!("the runner's own request is not valid: {what}")))?;
        self.testee.send(&line)?;
        Ok(self.seq)
    }

    /// Waits for word that the subscription of request `seq` is live.
    ///
    /// # Errors
    /// Whatever else comes. A reply that comes instead is handed over in `Ok(Some(…))`.
    pub fn ready(&mut self, op: &str, seq: u64, within: Duration) -> Result<Option<Value>, Trouble> {
        let answer = self.testee.receive(within)?;
        if answer.get("ready").is_some() {
            schema::check(WIRE, "ready", &answer).map_err(Trouble::Protocol)?;
            return if answer["seq"] == seq { Ok(None) } else { Err(out_of_order(&answer, seq)) };
        }
        checked_reply(op, seq, answer).map(Some)
    }

    /// Waits for the reply to request `seq`.
    ///
    /// # Errors
    /// Whatever is no reply to this very request.
    pub fn reply(&mut self, op: &str, seq: u64, within: Duration) -> Result<Value, Trouble> {
        let answer = self.testee.receive(within)?;
        checked_reply(op, seq, answer)
    }

    /// Asks the testee to end.
    ///
    /// # Errors
    /// If it does not, or not with status 0.
    pub fn stop(&mut self) -> Result<(), Trouble> {
        self.testee.stop()
    }

    /// The end of what it wrote to its standard error.
    pub fn errors(&mut self) -> String {
        self.testee.errors()
    }
}

fn checked_reply(op: &str, seq: u64, answer: Value) -> Result<Value, Trouble> {
    schema::check(WIRE, "reply", &answer)
        .map_err(|what| Trouble::Protocol(format!("not a valid reply: {what}")))?;
    if answer["seq"] != seq {
        return Err(out_of_order(&answer, seq));
    }
    if let Some(ok) = answer.get("ok") {
        schema::check(WIRE, &format!("ok.{op}"), ok)
            .map_err(|what| Trouble::Protocol(format!("not a valid ok of {op}: {what}")))?;
    }
    Ok(answer)
}

fn out_of_order(answer: &Value, seq: u64) -> Trouble {
    Trouble::Protocol(format!("out of order: seq {} in place of {seq}", answer["seq"]))
}
