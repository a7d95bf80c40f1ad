//! The engine's edges: links over HTTP, and the facade over NATS. What has no function of its own is asked through the
//! public interface, with a server of the testee's own at the other end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use natsbridge::link::{
    Expected, FetchOptions, HandlerStore, HttpStore, Lifetime, LinkStore as _, LinkUrl, Plik, Policy, Retry,
    Upload, fetch,
};
use natsbridge::{Bridge, Error, ErrorKind, Message};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::codec::{
    dialect_name, dialect_of, envelope_answer, fields, metadata_of, payload_answer, payload_of,
};
use super::links::{origins, schedule};
use super::{Answer, No, bytes, reject, string};
use crate::bytes::{answer_bytes, answer_string, integer_of, string_of, unhex};
use crate::peers::http::{HttpPeer, Reply, Route};
use crate::peers::nats::{Delivery, NatsPeer, Script};

/// What the edges need: a runtime, and servers for what is asked through them.
#[derive(Debug)]
pub(super) struct Edges {
    runtime: Runtime,
    http: HttpPeer,
    nats: NatsPeer,
    /// Connected to `nats`.
    bridge: Bridge,
    /// Numbers the subjects of `nats`.
    asked: usize,
}

/// The options of a message, which two builders have under the same names.
macro_rules! apply_options {
    ($message:ident, $input:ident) => {
        let options = &$input["options"];
        if let Some(bytes) = options.get("threshold").and_then(integer_of) {
            $message = $message.threshold(u64::try_from(bytes).unwrap_or_default());
        }
        for (name, value) in options.as_object().into_iter().flatten() {
            let Some(text) = string_of(value) else { continue };
            $message = match name.as_str() {
                "correlation_id" => $message.correlation_id(text),
                "msg_purpose" => $message.purpose(text),
                "sender_name" => $message.sender_name(text),
                "receiver_name" => $message.receiver(text),
                "receiver_id" => $message.receiver_id(text),
                "reply_to" => $message.reply_to(text),
                "reply_to_msg_id" => $message.reply_to_msg_id(text),
                _ => $message,
            };
        }
        if let Some(metadata) = metadata_of(options)? {
            let text = metadata.to_json();
            let members: serde_json::Map<String, Value> = serde_json::from_str(&text).map_err(broken)?;
            for (key, value) in members {
                $message = $message.metadata(key, value);
            }
        }
    };
}
fn broken(what: impl std::fmt::Display) -> No {
    No::Broken(what.to_string())
}

/// How long anything on this machine may take that is not told otherwise.
const LOCAL: Duration = Duration::from_secs(5);

impl Edges {
    pub(super) fn new() -> Result<Self, No> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(broken)?;
        let http = HttpPeer::start(Vec::new()).map_err(broken)?;
        let nats = NatsPeer::start(Script::default()).map_err(broken)?;
        let bridge = runtime.block_on(Bridge::connect(nats.url())).map_err(broken)?;
        Ok(Self { runtime, http, nats, bridge, asked: 0 })
    }

    /// How often a download is tried that fails in a certain way.
    pub(super) fn retry_class(&mut self, input: &Value) -> Answer {
        let status = input["status"].as_u64().and_then(|status| u16::try_from(status).ok());
        let failure = input["failure"].as_str().unwrap_or_default();
        if failure == "policy" {
            let url = LinkUrl::parse("http://localhost:1/x")?;
            let Err(refusal) = Policy::none().check(&url) else { return Err(broken("nothing was refused")) };
            return Ok(json!({"retry": refusal.is_retryable()}));
        }
        let options = FetchOptions::default()
            .retry(Retry::default().max_retries(1).base_delay(Duration::ZERO).max_delay(Duration::ZERO));
        let tried = AtomicUsize::new(0);
        let fetched = self.runtime.block_on(async {
            if let Some(status) = status.or_else(|| (failure == "redirect").then_some(302)) {
                let mut reply = Reply::status(status);
                reply.headers.push(("Location".to_owned(), format!("{}/elsewhere", self.http.url())));
                self.http.script(vec![Route::new("GET /x", vec![reply])]);
                let url = LinkUrl::parse(&format!("{}/x", self.http.url()))?;
                let expected = Expected::nothing();
                let fetched = fetch(&HttpStore::new(), &url, &expected, &options).await;
                tried.store(self.http.recorded().len(), Ordering::Relaxed);
                return fetched;
            }
            let expected = match failure {
                "cut_short" => Expected::nothing().size(10),
                "too_long" => Expected::nothing().size(1),
                "digest" => Expected::nothing().sha256([0; 32]),
                _ => Expected::nothing(),
            };
            let kind = match failure {
                "connect" => Some(ErrorKind::Network),
                "timeout" => Some(ErrorKind::TimedOut),
                _ => None,
            };
            let store = HandlerStore::new().on_download(move |_| async move {
                match kind {
                    Some(kind) => Err(Error::new(kind, "as asked for")),
                    None => Ok("five!".into()),
                }
            });
            let url = LinkUrl::parse("http://files/x")?;
            let fetched = fetch(&store, &url, &expected, &options).await;
            if let Err(error) = &fetched {
                tried.store(error.attempts().unwrap_or_default() as usize, Ordering::Relaxed);
            }
            fetched
        });
        // What is no failure is not tried again either.
        let _ = fetched;
        Ok(json!({"retry": tried.into_inner() > 1}))
    }

    /// Uploads to a server of this testee's own that gives the two replies, and puts the named one's address in its place.
    pub(super) fn plik_reply(&mut self, input: &Value) -> Answer {
        let (server, created, added) =
            (string(input, "server")?, bytes(input, "upload")?, bytes(input, "file")?);
        let named = LinkUrl::parse(server.trim_end_matches('/'))?;
        let path = named.path_and_query().trim_end_matches('/').to_owned();
        // The engine compares what was stored with what it sent, so it has to send what the reply speaks of.
        let reply: Value = serde_json::from_slice(&added).unwrap_or_default();
        let len = reply["fileSize"].as_u64().filter(|len| *len < 1 << 20).unwrap_or(3);
        // A store may give a name another form, and the engine takes none that is longer than what it sent.
        let name = "\u{e9}".repeat(127);
        self.http.script(vec![
            Route::new(format!("POST {path}/upload"), vec![Reply::body(created)]),
            Route::new(format!("POST {path}/file/*"), vec![Reply::body(added)]),
            Route::new("DELETE *", vec![Reply::body("ok")]),
        ]);
        let base = format!("{}{path}", self.http.url());
        let plik = Plik::new(&base)?;
        let upload = Upload::new(name, vec![b'x'; usize::try_from(len).unwrap_or(3)]);
        let uploaded = self.runtime.block_on(async { plik.upload(upload).await })?;
        // The handle is the base, the path below it and the token.
        let mut handle = uploaded.handle().split(' ').skip(1);
        let (Some(path), Some(token)) = (handle.next(), handle.next()) else {
            return Err(broken("the upload's handle has another form"));
        };
        let mut ids = path.split('/');
        let url = uploaded.url().as_str();
        let url = match url.strip_prefix(&base) {
            Some(rest) => format!("{}{rest}", named.as_str().trim_end_matches('/')),
            None => url.to_owned(),
        };
        Ok(json!({
            "upload_id": answer_string(ids.next().unwrap_or_default()),
            "file_id": answer_string(ids.next().unwrap_or_default()),
            "url": answer_string(&url),
            "token": answer_string(token),
        }))
    }

    pub(super) fn subject_check(&mut self, input: &Value) -> Answer {
        let subject = string(input, "subject")?;
        self.runtime.block_on(async {
            if input["use"] == "publish" {
                self.bridge.send(subject).text("x", "x").await.map(drop)
            } else {
                self.bridge.subscribe(subject).await.map(drop)
            }
        })?;
        Ok(json!({}))
    }

    /// Lets the request arrive, answers it, and looks at what was published.
    pub(super) fn reply_plan(&mut self, input: &Value) -> Answer {
        let request = bytes(input, "request")?;
        let nats_reply = match &input["nats_reply"] {
            Value::Null => None,
            text => Some(string_of(text).ok_or_else(|| broken("nats_reply is not UTF-8"))?),
        };
        self.asked += 1;
        let subject = format!("asked.{}", self.asked);
        let before = self.nats.published().len();
        let message = self.runtime.block_on(async {
            let mut messages = self.bridge.subscribe(&subject).await?;
            self.nats.publish(&Delivery::new(&subject, nats_reply, request));
            match timeout(LOCAL, messages.next()).await {
                Ok(Some(message)) => Ok(message?),
                _ => Err(broken("the request did not arrive")),
            }
        })?;
        if message.reply_address().is_none() {
            return Ok(json!({"subject": null}));
        }
        self.runtime.block_on(async { message.reply().text("x", "x").flushed().await })?;
        let published = self.nats.published();
        let [reply] = &published[before..] else {
            return Err(broken(format!("{} messages were published", published.len() - before)));
        };
        let envelope = natsbridge::Envelope::decode(reply.body.clone())?;
        let mut all = fields(&envelope);
        let mut named = serde_json::Map::new();
        for name in
            ["correlation_id", "reply_to_msg_id", "msg_purpose", "receiver_name", "receiver_id", "reply_to"]
        {
            named.insert(name.to_owned(), all[name].take());
        }
        Ok(json!({
            "subject": answer_string(&reply.subject),
            "dialect": dialect_name(envelope.dialect()),
            "fields": named,
        }))
    }

    pub(super) fn link_download(&mut self, input: &Value) -> Answer {
        let policy = origins(input)?.into_iter().fold(Policy::none(), Policy::allow_origin);
        let url = LinkUrl::parse(&string(input, "url")?)?;
        policy.check(&url)?;
        let mut expected = Expected::nothing();
        if let Some(size) = input.get("size").and_then(integer_of).and_then(|size| u64::try_from(size).ok()) {
            expected = expected.size(size);
        }
        let digest = input.get("sha256").and_then(string_of);
        if let Some(digest) = digest.and_then(|text| unhex(&text)).and_then(|digest| digest.try_into().ok()) {
            expected = expected.sha256(digest);
        }
        let options = FetchOptions::default().retry(schedule(input)).seed(7);
        let store = HttpStore::new();
        let fetched = self.runtime.block_on(async { fetch(&store, &url, &expected, &options).await })?;
        Ok(json!({"bytes": answer_bytes(&fetched.bytes)}))
    }

    pub(super) fn link_upload(&mut self, input: &Value) -> Answer {
        let lifetime = match input["lifetime"].get("ttl").and_then(integer_of) {
            Some(seconds) => Lifetime::Keep(Duration::from_secs(u64::try_from(seconds).unwrap_or_default())),
            None => Lifetime::OneShot,
        };
        let plik = Plik::new(&string(input, "server")?)?.lifetime(lifetime);
        let upload = Upload::new(string(input, "name")?, bytes(input, "data")?);
        let uploaded = self.runtime.block_on(async { plik.upload(upload).await })?;
        let path = uploaded.handle().split(' ').nth(1).unwrap_or_default();
        let mut ids = path.split('/');
        Ok(json!({
            "url": answer_string(uploaded.url().as_str()),
            "upload_id": answer_string(ids.next().unwrap_or_default()),
            "file_id": answer_string(ids.next().unwrap_or_default()),
        }))
    }

    pub(super) fn send(&mut self, input: &Value) -> Answer {
        let bridge = self.connect(input)?;
        let mut message = bridge.send(string(input, "subject")?).dialect(dialect_of(input));
        for payload in payloads(input)? {
            message = message.payload(payload);
        }
        apply_options!(message, input);
        let receipt = self.runtime.block_on(async { message.flushed().await })?;
        Ok(json!({"msg_id": answer_string(receipt.envelope().msg_id())}))
    }

    pub(super) fn request(&mut self, input: &Value) -> Answer {
        let bridge = self.connect(input)?;
        let mut message =
            bridge.request(string(input, "subject")?).dialect(dialect_of(input)).timeout(time(input));
        for payload in payloads(input)? {
            message = message.payload(payload);
        }
        apply_options!(message, input);
        self.runtime.block_on(async {
            let reply = message.await?;
            Ok(json!({"reply": received(&reply).await}))
        })
    }

    pub(super) fn receive(&mut self, input: &Value, ready: &mut dyn FnMut()) -> Answer {
        let messages = self.listen(input, ready, false)?;
        Ok(json!({"messages": messages}))
    }

    pub(super) fn respond(&mut self, input: &Value, ready: &mut dyn FnMut()) -> Answer {
        let messages = self.listen(input, ready, true)?;
        Ok(json!({"answered": messages.len()}))
    }

    fn listen(&mut self, input: &Value, ready: &mut dyn FnMut(), answer: bool) -> Result<Vec<Value>, No> {
        let bridge = self.connect(input)?;
        let subject = string(input, "subject")?;
        let count = input["count"].as_u64().unwrap_or(1);
        self.runtime.block_on(async {
            let mut messages = bridge.subscribe(subject).await?;
            ready();
            let mut received_messages = Vec::new();
            let all = async {
                while (received_messages.len() as u64) < count {
                    let Some(message) = messages.next().await else {
                        return Err(broken("the subscription ended"));
                    };
                    let message = message?;
                    if answer {
                        let mut reply = message.reply();
                        for payload in message.payloads() {
                            payload.fetch().await?;
                            reply = reply.text(payload.dataname(), format!("echo:{}", payload.dataname()));
                        }
                        reply.flushed().await?;
                    }
                    received_messages.push(received(&message).await);
                }
                Ok(())
            };
            match timeout(time(input), all).await {
                Ok(done) => done?,
                Err(_) => return Err(No::Reject(json!({"kind": "timeout"}))),
            }
            Ok(received_messages)
        })
    }

    fn connect(&self, input: &Value) -> Result<Bridge, No> {
        let mut builder = Bridge::builder();
        if let Some(server) = input.get("server").filter(|server| !server.is_null()) {
            let server = string_of(server).ok_or_else(|| broken("server is not UTF-8"))?;
            builder = builder.store(Plik::new(&server)?);
        }
        for origin in origins(input)? {
            builder = builder.allow_origin(origin);
        }
        let url = string(input, "nats_url")?;
        Ok(self.runtime.block_on(builder.connect(url))?)
    }
}

fn payloads(input: &Value) -> Result<Vec<natsbridge::Payload>, No> {
    let payloads = input["payloads"].as_array().into_iter().flatten();
    payloads
        .map(|payload| payload_of(&string(payload, "dataname")?, &string(payload, "type")?, payload))
        .collect()
}

fn time(input: &Value) -> Duration {
    Duration::from_millis(input["timeout_ms"].as_u64().unwrap_or(10_000))
}

/// A message as it was received, with the bytes behind its links.
async fn received(message: &Message) -> Value {
    let mut answer = envelope_answer(message.envelope());
    let mut payloads = Vec::new();
    for payload in message.payloads() {
        let mut entry = payload_answer(&payload);
        match payload.fetch().await {
            Ok(data) => {
                entry["bytes"] = answer_bytes(data.bytes());
            }
            Err(error) => entry["reject"] = reject(&error),
        }
        payloads.push(entry);
    }
    answer["payloads"] = payloads.into();
    answer
}
