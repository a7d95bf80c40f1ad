//! The live matrix: every port sends to every port, over a real NATS server and a real file server.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::judge::{Outcome, compare_members, short};
use crate::testee::{Request, Session, Started, Testee, Trouble};
use crate::{Failure, NatsServer, Result, sha256};

/// A port of the matrix.
#[derive(Debug)]
pub struct Port {
    about: Started,
    /// One process sends while another one receives, also where both are of one port.
    sending: Session,
    receiving: Session,
}

/// The places that the messages go through.
#[derive(Debug)]
#[non_exhaustive]
pub struct Places {
    /// The NATS server.
    pub nats: NatsServer,
    /// The file server's base URL.
    pub files: String,
}

impl Places {
    /// A NATS server of its own, and a file server that runs already.
    ///
    /// # Errors
    /// If there is no NATS server.
    pub fn new(files: impl Into<String>) -> Result<Self> {
        Ok(Self { nats: NatsServer::start_with_websocket()?, files: files.into() })
    }

    fn nats_url(&self, profile: &str) -> &str {
        if profile == "browser" { self.nats.websocket().unwrap_or_default() } else { self.nats.url() }
    }
}

/// How long one exchange may take: megabytes through a browser, on a machine that has other things to do.
const EXCHANGE: Duration = Duration::from_secs(40);
/// A browser has to start.
const START: Duration = Duration::from_secs(90);

/// In the order of the report.
const KINDS: [Kind; 8] = [
    Kind::Types,
    Kind::Links,
    Kind::Threshold,
    Kind::DefaultThreshold,
    Kind::Fields,
    Kind::Empty,
    Kind::Request,
    Kind::RequestByLink,
];

/// What one message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One payload of each type, inside the message.
    Types,
    /// The same, each by link.
    Links,
    /// Sizes just below, at and above a threshold that the sender set.
    Threshold,
    /// The same at the dialect's own threshold.
    DefaultThreshold,
    /// Every field and the metadata as the sender set them, and text from the corners of Unicode.
    Fields,
    /// No payloads, and payloads without bytes.
    Empty,
    /// A request and its reply.
    Request,
    /// A request whose payload is a link.
    RequestByLink,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Types => "types",
            Self::Links => "links",
            Self::Threshold => "threshold",
            Self::DefaultThreshold => "default-threshold",
            Self::Fields => "fields",
            Self::Empty => "empty",
            Self::Request => "request",
            Self::RequestByLink => "request-link",
        }
    }

    fn comment(self) -> &'static str {
        match self {
            Self::Types => "one payload of each type, inside the message",
            Self::Links => "one payload of each type, each by link",
            Self::Threshold => "payloads of 999, 1,000 and 1,001 bytes at a threshold of 1,000",
            Self::DefaultThreshold => "payloads of one byte less and of exactly the dialect's own threshold",
            Self::Fields => "fields and metadata of the sender's own, and text from the corners of Unicode",
            Self::Empty => "payloads without bytes",
            Self::Request => "a request is answered",
            Self::RequestByLink => "a request with a link is answered",
        }
    }

    /// Megabytes do not fit the memory that a micro port may have.
    fn fits(self, sender: &Started, receiver: &Started) -> bool {
        self != Self::DefaultThreshold || sender.profile != "micro" && receiver.profile != "micro"
    }

    fn op_of_sender(self) -> &'static str {
        if matches!(self, Self::Request | Self::RequestByLink) { "bridge.request" } else { "bridge.send" }
    }

    fn op_of_receiver(self) -> &'static str {
        if matches!(self, Self::Request | Self::RequestByLink) { "bridge.respond" } else { "bridge.receive" }
    }
}

impl Port {
    /// Starts the two processes of a port.
    ///
    /// # Errors
    /// If one does not come up.
    pub fn start(sending: Box<dyn Testee>, receiving: Box<dyn Testee>) -> Result<Self> {
        let (mut sending, mut receiving) = (Session::new(sending), Session::new(receiving));
        let failed = |session: &mut Session, trouble: &Trouble| {
            Failure::new(format!("a port does not come up: {trouble} {}", session.errors()))
        };
        let about = sending.start(START).map_err(|trouble| failed(&mut sending, &trouble))?;
        receiving.start(START).map_err(|trouble| failed(&mut receiving, &trouble))?;
        Ok(Self { about, sending, receiving })
    }

    /// Ends both processes, and says what went wrong with that.
    pub fn stop(mut self) -> Vec<String> {
        let name = self.about.name.clone();
        let stopped = [self.sending.stop(), self.receiving.stop()];
        stopped
            .into_iter()
            .filter_map(std::result::Result::err)
            .map(|trouble| format!("{name}: stop: {trouble}"))
            .collect()
    }

    /// The port's name.
    pub fn name(&self) -> &str {
        &self.about.name
    }
}

/// Runs the whole matrix; one line of a report for each exchange.
///
/// A port in `not_run` has a line that says why for every exchange that it would have taken part in.
pub fn run(
    ports: &mut [Port],
    not_run: &[(String, String)],
    places: &Places,
    only: &[String],
    progress: &mut dyn FnMut(&Value),
) -> Vec<Value> {
    let mut lines = Vec::new();
    let mut number = 0;
    for sender in 0..ports.len() {
        for receiver in 0..ports.len() {
            for kind in KINDS {
                for dialect in ["camel", "snake"] {
                    let (from, to) = (ports[sender].about.clone(), ports[receiver].about.clone());
                    let id = format!("live-{}-{dialect}-{}-{}", kind.name(), from.name, to.name);
                    if !kind.fits(&from, &to) || !only.is_empty() && !only.contains(&id) {
                        continue;
                    }
                    number += 1;
                    let begun = Instant::now();
                    let subject = format!("live.{}.{number}", kind.name());
                    let exchange = Exchange { kind, dialect, subject, places, from: &from, to: &to };
                    let result = exchange.run(ports, sender, receiver);
                    let mut line = json!({
                        "id": id, "area": "live", "sender": from.name, "receiver": to.name,
                        "comment": format!("{}, in the {dialect} dialect", kind.comment()),
                        "outcome": Outcome::Pass.as_str(),
                        "ms": (begun.elapsed().as_secs_f64() * 1000.0).round(),
                    });
                    if let Err(wrong) = result {
                        line["outcome"] = wrong.outcome.as_str().into();
                        line["rerun"] = format!("scripts/conformance.sh --only {id}").into();
                        for (key, text) in
                            [("got", wrong.got), ("expected", wrong.expected), ("note", wrong.note)]
                        {
                            if !text.is_empty() {
                                line[key] = text.into();
                            }
                        }
                    }
                    progress(&line);
                    lines.push(line);
                }
            }
        }
    }
    if only.is_empty() {
        let names: Vec<String> = ports.iter().map(|port| port.name().to_owned()).collect();
        for (name, why) in not_run {
            let others = names.iter().chain([name]);
            for (from, to) in others.flat_map(|other| [(name, other), (other, name)]) {
                let line = json!({
                    "id": format!("live-{from}-{to}"), "area": "live", "sender": from, "receiver": to,
                    "comment": "not run", "outcome": Outcome::Unsupported.as_str(), "note": why, "ms": 0,
                });
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
        }
    }
    lines
}

/// One message from one port to another, or one request and its reply.
struct Exchange<'a> {
    kind: Kind,
    dialect: &'static str,
    subject: String,
    places: &'a Places,
    from: &'a Started,
    to: &'a Started,
}

struct Wrong {
    outcome: Outcome,
    got: String,
    expected: String,
    note: String,
}

impl Wrong {
    fn fail(got: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { outcome: Outcome::Fail, got: got.into(), expected: expected.into(), note: String::new() }
    }
}

impl Exchange<'_> {
    fn run(&self, ports: &mut [Port], sender: usize, receiver: usize) -> Result<(), Wrong> {
        let (from, to) = (&self.from.supports, &self.to.supports);
        let lacks = |supports: &[String], op: &str| !supports.iter().any(|name| name == op);
        if lacks(from, self.kind.op_of_sender()) || lacks(to, self.kind.op_of_receiver()) {
            let mut wrong = Wrong::fail("", "");
            (wrong.outcome, wrong.note) =
                (Outcome::Unsupported, "the port does not have the operation".to_owned());
            return Err(wrong);
        }
        let origins = json!([self.places.files]);
        let mut listen = json!({
            "nats_url": self.places.nats_url(&self.to.profile), "origins": origins, "subject": self.subject,
            "count": 1, "timeout_ms": EXCHANGE.as_millis() as u64 / 2,
        });
        let mut send = json!({
            "nats_url": self.places.nats_url(&self.from.profile), "server": self.places.files, "dialect": self.dialect,
            "subject": self.subject, "payloads": self.payloads(),
        });
        let options = self.options();
        if !options.is_null() {
            send["options"] = options;
        }
        let asks = self.kind.op_of_sender() == "bridge.request";
        if asks {
            send["origins"] = origins;
            send["timeout_ms"] = (EXCHANGE.as_millis() as u64 / 2).into();
            listen["server"] = self.places.files.as_str().into();
        }
        let listen = Request::new(self.kind.op_of_receiver(), listen);
        let send = Request::new(self.kind.op_of_sender(), send);

        let receiving = &mut ports[receiver].receiving;
        let seq = troubled(receiving, &self.to.name, |session| session.send(&listen))?;
        if let Some(reply) =
            troubled(receiving, &self.to.name, |session| session.ready(&listen.op, seq, EXCHANGE))?
        {
            return Err(Wrong::fail(format!("{}: {}", self.to.name, short(&reply)), "a live subscription"));
        }
        let sent =
            troubled(&mut ports[sender].sending, &self.from.name, |session| session.run(&send, EXCHANGE));
        let received = troubled(&mut ports[receiver].receiving, &self.to.name, |session| {
            session.reply(&listen.op, seq, EXCHANGE)
        });
        let (sent, received) = (sent?, received?);
        for (name, reply, what) in
            [(&self.from.name, &sent, "a message sent"), (&self.to.name, &received, "a message received")]
        {
            if reply.get("ok").is_none() {
                return Err(Wrong::fail(format!("{name}: {}", short(reply)), what));
            }
        }
        if asks {
            return self.judge_reply(&sent["ok"], &received["ok"]);
        }
        let [message] = received["ok"]["messages"].as_array().map_or(&[][..], Vec::as_slice) else {
            return Err(Wrong::fail(short(&received), "one message"));
        };
        if message["fields"]["msg_id"] != sent["ok"]["msg_id"] {
            return Err(Wrong::fail(short(&message["fields"]["msg_id"]), short(&sent["ok"]["msg_id"])));
        }
        compare_members(&self.expected(), message).map_err(|(path, got, expected)| {
            Wrong::fail(format!("{}: {got}", path.trim_start_matches('.')), expected)
        })?;
        self.judge_json(message)
    }

    fn judge_reply(&self, sent: &Value, received: &Value) -> Result<(), Wrong> {
        if received["answered"] != 1 {
            return Err(Wrong::fail(short(received), "1 answered"));
        }
        let echo =
            |name: &str| json!({"dataname": name, "type": "text", "bytes": {"text": format!("echo:{name}")}});
        let names = self.payloads();
        let names = names.as_array().into_iter().flatten().filter_map(|payload| payload["dataname"].as_str());
        let expected = json!({
            "dialect": self.dialect,
            "fields": {"correlation_id": "live-request", "msg_purpose": "response", "reply_to": ""},
            "payloads": names.map(echo).collect::<Vec<_>>(),
        });
        compare_members(&expected, &sent["reply"])
            .map_err(|(path, got, expected)| Wrong::fail(format!("reply{path}: {got}"), expected))
    }

    /// JSON arrives as each port spells it, so its bytes are compared by value.
    fn judge_json(&self, message: &Value) -> Result<(), Wrong> {
        let payloads = self.payloads();
        let sent = payloads.as_array().into_iter().flatten();
        let received = message["payloads"].as_array().into_iter().flatten();
        for (sent, received) in sent.zip(received) {
            let Some(json) = sent.get("json") else { continue };
            let (sent, received) = (json!({"json": json}), json!({"json": received["bytes"]}));
            compare_members(&sent, &received)
                .map_err(|(path, got, expected)| Wrong::fail(format!("{path}: {got}"), expected))?;
        }
        Ok(())
    }

    fn threshold(&self) -> u64 {
        match self.kind {
            Kind::Links | Kind::RequestByLink => 1,
            Kind::Threshold => 1000,
            _ if self.dialect == "snake" => 500_000,
            _ => 1_000_000,
        }
    }

    fn options(&self) -> Value {
        match self.kind {
            Kind::Links | Kind::Threshold => json!({"threshold": self.threshold()}),
            Kind::RequestByLink => json!({"threshold": self.threshold(), "correlation_id": "live-request"}),
            Kind::Request => json!({"correlation_id": "live-request"}),
            Kind::Fields => json!({
                "correlation_id": {"hex": crate::bytes::hex("c \u{1f44b} \"7\"\\".as_bytes())},
                "msg_purpose": "updateStatus", "sender_name": {"hex": crate::bytes::hex("Grüße".as_bytes())},
                "receiver_name": "desk", "receiver_id": "d-1", "reply_to": "live.nobody", "reply_to_msg_id": "cmd-001",
            }),
            _ => Value::Null,
        }
    }

    /// What the sender is given.
    fn payloads(&self) -> Value {
        let generated = |name: &str, seed: u64, len: u64| json!({"dataname": name, "type": "binary", "data": {"gen": {"seed": seed, "len": len}}});
        match self.kind {
            Kind::Types | Kind::Links => self.types(),
            Kind::Threshold => {
                json!([generated("below", 1, 999), generated("at", 2, 1000), generated("above", 3, 1001)])
            }
            Kind::DefaultThreshold => {
                json!([generated("below", 4, self.threshold() - 1), generated("at", 5, self.threshold())])
            }
            Kind::Fields => json!([
                {"dataname": {"hex": crate::bytes::hex("n\u{e4}me \u{1f600}".as_bytes())}, "type": "text",
                 "text": {"hex": crate::bytes::hex(UNICODE.as_bytes())}},
            ]),
            Kind::Empty => json!([
                {"dataname": "text", "type": "text", "text": ""},
                {"dataname": "bytes", "type": "binary", "data": {"hex": ""}},
            ]),
            Kind::Request => json!([{"dataname": "question", "type": "text", "text": "How many?"}]),
            Kind::RequestByLink => json!([{"dataname": "question", "type": "text", "text": "How many?"},
                generated("sample", 6, 5000)]),
        }
    }

    fn types(&self) -> Value {
        let json = r#"{"a":[1,-2.5,1e300,true,null],"b":{"c":"x\ny","d":{}},"big":9007199254740991,"t":"Gr\u00fc\u00dfe \ud83d\udc4b"}"#;
        let rows = r#"[{"id":1,"name":"Ann","score":95.5},{"id":2,"name":null,"score":-0.25}]"#;
        let mut payloads = vec![
            json!({"dataname": "text", "type": "text", "text": {"hex": crate::bytes::hex("Grüße, \"NATS\" 👋".as_bytes())}}),
            json!({"dataname": "dictionary", "type": "dictionary", "json": {"text": json}}),
            json!({"dataname": "image", "type": "image", "data": {"gen": {"seed": 7, "len": 3001}}}),
            json!({"dataname": "audio", "type": "audio", "data": {"gen": {"seed": 8, "len": 256}}}),
            json!({"dataname": "video", "type": "video", "data": {"gen": {"seed": 9, "len": 1}}}),
            json!({"dataname": "binary", "type": "binary", "data": {"hex": "00ff0a0d"}}),
            json!({"dataname": "own", "type": "x-own-type", "data": {"hex": "2b2f"}}),
        ];
        if self.dialect == "snake" {
            payloads.push(json!({"dataname": "rows", "type": "jsontable", "json": {"text": rows}}));
        }
        // A micro port has no Arrow.
        if self.from.profile != "micro" && self.to.profile != "micro" {
            payloads.push(
                json!({"dataname": "table", "type": "table", "data": {"hex": crate::bytes::hex(TABLE)}}),
            );
        }
        payloads.into()
    }

    /// What the receiver has to have.
    fn expected(&self) -> Value {
        let sent = self.payloads();
        let payloads: Vec<Value> =
            sent.as_array().into_iter().flatten().map(|sent| self.expected_payload(sent)).collect();
        let mut fields = json!({"send_to": self.subject});
        if let Kind::Fields = self.kind {
            fields = self.options();
            fields["send_to"] = self.subject.as_str().into();
        }
        json!({"dialect": self.dialect, "fields": fields, "payloads": payloads})
    }

    fn expected_payload(&self, sent: &Value) -> Value {
        let mut expected = json!({"dataname": sent["dataname"], "type": sent["type"]});
        if sent["type"] == "table" && self.dialect == "snake" {
            expected["type"] = "arrowtable".into();
        }
        // The text of JSON is the sender's own, so its length is not known here, nor are its bytes.
        let bytes = match (sent.get("data"), sent.get("text")) {
            (Some(data), _) => crate::bytes::bytes_of(data),
            (_, Some(text)) => crate::bytes::string_bytes(text),
            _ => None,
        };
        let Some(bytes) = bytes else { return expected };
        let link = bytes.len() as u64 >= self.threshold();
        expected["transport"] = if link { "link" } else { "direct" }.into();
        expected["size"] = bytes.len().into();
        expected["bytes"] = json!({"sha256": sha256(&bytes), "len": bytes.len()});
        expected
    }
}

fn troubled<T>(
    session: &mut Session,
    name: &str,
    act: impl FnOnce(&mut Session) -> std::result::Result<T, Trouble>,
) -> std::result::Result<T, Wrong> {
    act(session).map_err(|trouble| {
        let mut wrong = Wrong::fail(format!("{name}: {trouble}"), "an answer");
        wrong.outcome = Outcome::from_name(trouble.outcome()).unwrap_or(Outcome::Error);
        wrong.note = session.errors();
        // The next exchange finds it running again, or says so itself.
        let _ = session.start(START);
        wrong
    })
}

/// Text that has broken ports: quotes, control characters, astral planes, a byte order mark, separators.
const UNICODE: &str = "\u{feff}\"quoted\" \\ / \u{8}\u{c}\n\r\t \u{0} \u{1f} \u{7f} \u{80} e\u{301} \u{2028}\u{2029} \u{fffd} \u{1f468}\u{200d}\u{1f469} \u{10ffff}";

/// A stream that pyarrow has written.
const TABLE: &[u8] = include_bytes!("../../engine/tests/data/arrow/py-stream.arrow");
