//! The engine as a testee: what any program would call, behind the protocol. `conformance/README.md` shows how small a
//! testee can be; this one has all operations.

mod bridge;
mod codec;
mod links;
mod tables;

use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use natsbridge::{Error, ErrorKind};
use serde_json::{Value, json};

use crate::bytes::{bytes_of, string_of};

/// The operations of the engine's testee.
const SUPPORTS: [&str; 22] = [
    "envelope.decode",
    "envelope.encode",
    "base64.encode",
    "base64.decode",
    "payload.read",
    "payload.write",
    "timestamp.parse",
    "timestamp.write",
    "plan",
    "link.policy",
    "link.policy.wide",
    "retry.delay",
    "retry.class",
    "plik.reply",
    "subject.check",
    "reply.plan",
    "link.download",
    "link.upload",
    "bridge.send",
    "bridge.receive",
    "bridge.request",
    "bridge.respond",
];

/// The engine's testee.
#[derive(Debug)]
pub struct Engine {
    name: &'static str,
    /// The edges need one; it is made when the first of them is asked for.
    edges: Option<bridge::Edges>,
}

/// Why there is no `ok`.
#[derive(Debug)]
enum No {
    /// The engine refused.
    Reject(Value),
    /// The testee itself cannot go on.
    Broken(String),
}

type Answer = Result<Value, No>;

impl Engine {
    /// A testee of this name.
    pub fn new(name: &'static str) -> Self {
        Self { name, edges: None }
    }

    /// Answers one request; `stop` has no answer.
    pub fn answer(&mut self, request: &Value, out: &mut dyn FnMut(Value)) {
        match request["cmd"].as_str() {
            Some("start") => out(json!({
                "version": 1,
                "testee": {"name": self.name, "language": "Rust", "version": env!("CARGO_PKG_VERSION")},
                "profile": "full",
                "supports": SUPPORTS,
            })),
            Some("run") => {
                let seq = request["seq"].clone();
                let mut ready = || out(json!({"seq": seq, "ready": true}));
                // A panic of the engine is a finding, and no reason to lose the cases after it.
                let answer = catch_unwind(AssertUnwindSafe(|| self.run(request, &mut ready)))
                    .unwrap_or_else(|_| Err(No::Broken("panic".to_owned())));
                let mut reply = match answer {
                    Ok(ok) => json!({"seq": seq, "ok": ok}),
                    Err(No::Reject(reject)) => json!({"seq": seq, "reject": reject}),
                    Err(No::Broken(what)) => json!({"seq": seq, "error": what}),
                };
                if let Some(split) = request["split"].as_array()
                    && reply.get("error").is_none()
                {
                    reply["pieces"] = (split.len() + 1).into();
                }
                out(reply);
            }
            _ => {}
        }
    }

    fn run(&mut self, request: &Value, ready: &mut dyn FnMut()) -> Answer {
        let input = &request["in"];
        let op = request["op"].as_str().unwrap_or_default();
        let split: Option<Vec<usize>> = request["split"].as_array().map(|cuts| {
            cuts.iter().filter_map(Value::as_u64).filter_map(|cut| usize::try_from(cut).ok()).collect()
        });
        match op {
            "envelope.decode" => codec::envelope_decode(input, &request["limits"]),
            "envelope.encode" => codec::envelope_encode(input),
            "base64.encode" => codec::base64_encode(&bytes(input, "data")?, split.as_deref()),
            "base64.decode" => codec::base64_decode(&bytes(input, "data")?, split.as_deref()),
            "payload.read" => codec::payload_read(input),
            "payload.write" => codec::payload_write(input),
            "timestamp.parse" => codec::timestamp_parse(input),
            "timestamp.write" => codec::timestamp_write(input),
            "plan" => codec::plan(input),
            "link.policy" => links::policy(input),
            "link.policy.wide" => links::wide_policy(input),
            "retry.delay" => links::retry_delay(input),
            _ => {
                let edges = match &mut self.edges {
                    Some(edges) => edges,
                    none => none.insert(bridge::Edges::new()?),
                };
                match op {
                    "retry.class" => edges.retry_class(input),
                    "plik.reply" => edges.plik_reply(input),
                    "subject.check" => edges.subject_check(input),
                    "reply.plan" => edges.reply_plan(input),
                    "link.download" => edges.link_download(input),
                    "link.upload" => edges.link_upload(input),
                    "bridge.send" => edges.send(input),
                    "bridge.receive" => edges.receive(input, ready),
                    "bridge.request" => edges.request(input),
                    "bridge.respond" => edges.respond(input, ready),
                    other => Err(No::Broken(format!("no such operation: {other}"))),
                }
            }
        }
    }
}

/// Answers the requests on `input` until `stop` or the end.
///
/// # Errors
/// If a pipe breaks, or a request is not JSON.
pub fn serve(input: impl BufRead, mut output: impl Write) -> std::io::Result<()> {
    let mut engine = Engine::new("engine-pipe");
    for line in input.lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let mut written = Ok(());
        engine.answer(&request, &mut |answer| {
            let mut line = answer.to_string();
            line.push('\n');
            written = output.write_all(line.as_bytes()).and_then(|()| output.flush());
        });
        written?;
        if request["cmd"] == "stop" {
            return Ok(());
        }
    }
    Ok(())
}

/// Bytes that the schema says are there.
fn bytes(input: &Value, key: &str) -> Result<Vec<u8>, No> {
    bytes_of(&input[key]).ok_or_else(|| No::Broken(format!("{key} holds no bytes")))
}

/// A string that the schema says is there; absent is empty.
fn string(input: &Value, key: &str) -> Result<String, No> {
    match &input[key] {
        Value::Null => Ok(String::new()),
        value => string_of(value).ok_or_else(|| No::Broken(format!("{key} is not UTF-8"))),
    }
}

/// An error of the engine in the protocol's words.
fn reject(error: &Error) -> Value {
    let mut reject = json!({"kind": kind(error), "text": error.to_string()});
    for (name, value) in [("offset", error.offset()), ("needed", error.needed()), ("limit", error.limit())] {
        if let Some(value) = value {
            reject[name] = crate::bytes::answer_integer(value.into());
        }
    }
    reject
}

fn kind(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Malformed => "malformed",
        ErrorKind::LimitExceeded => "limit",
        ErrorKind::InvalidPayload => "invalid_payload",
        ErrorKind::InvalidBase64 => "invalid_base64",
        ErrorKind::InvalidText => "invalid_text",
        ErrorKind::InvalidJson => "invalid_json",
        ErrorKind::InvalidTable => "invalid_table",
        ErrorKind::WrongType => "wrong_type",
        ErrorKind::DigestMismatch => "digest_mismatch",
        ErrorKind::LinkTruncated => "cut_short",
        ErrorKind::LinkTooLong => "too_long",
        ErrorKind::LinkRefused | ErrorKind::LinkUnverified => "link_refused",
        ErrorKind::LinkGone => "link_gone",
        ErrorKind::LinkRejected | ErrorKind::LinkUnavailable | ErrorKind::Network => "link_failed",
        ErrorKind::UploadRejected | ErrorKind::UploadUnavailable => "store",
        // The planner tells the two apart by what the limit is that was reached; see `codec::plan`.
        ErrorKind::MessageTooLarge => "too_large",
        ErrorKind::InvalidSubject => "invalid_subject",
        ErrorKind::TimedOut | ErrorKind::NoReply | ErrorKind::NoResponders => "timeout",
        _ => "invalid_input",
    }
}

impl From<Error> for No {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Bug => Self::Broken(error.to_string()),
            _ => Self::Reject(reject(&error)),
        }
    }
}
