//! Peer cases: the servers that a case asks for, its addresses filled in, and the verdict on what arrived at them.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http::{Framing, HttpPeer, Recorded, Reply, Route};
use super::nats::{Delivery, NatsPeer, OnPublish, Published, Script};
use super::recorder::Recorder;
use crate::bytes::{bytes_of, hex, string_bytes, string_of};
use crate::judge::{Outcome, Verdict, compare_members, short};
use crate::vectors::Case;

/// The servers of one case.
#[derive(Debug, Default)]
pub struct Stage {
    http: Option<HttpPeer>,
    nats: Option<Nats>,
    /// What the NATS peer says once the testee listens.
    later: RefCell<Vec<Delivery>>,
}

/// The NATS server of a case: the runner's own, or a real one with the runner as a client beside the testee.
#[derive(Debug)]
enum Nats {
    Own(NatsPeer),
    Real(Recorder),
}

impl Nats {
    fn url(&self) -> String {
        match self {
            Self::Own(peer) => peer.url(),
            Self::Real(recorder) => recorder.url().to_owned(),
        }
    }

    fn published(&self) -> Vec<Published> {
        match self {
            Self::Own(peer) => peer.published(),
            Self::Real(recorder) => recorder.published(),
        }
    }

    /// What was published, after waiting a moment for so many messages: some clients are done before the server has read.
    fn settled(&self, count: usize) -> Vec<Published> {
        let deadline = Instant::now() + Duration::from_millis(500);
        while self.published().len() < count && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.published()
    }

    fn publish(&self, message: &Delivery) {
        match self {
            Self::Own(peer) => peer.publish(message),
            Self::Real(recorder) => recorder.publish(message),
        }
    }
}

/// Whether a case can be asked with a real NATS server too: one that keeps to no script of its own.
pub fn fits_real_server(case: &Case) -> bool {
    let nats = case.test["peer"]["nats"].as_object();
    let mut delivered = case.test["peer"]["nats"]["deliver"].as_array().into_iter().flatten();
    // A real server takes no message with an address of its own as reply subject.
    let all_allowed =
        delivered.all(|message| message["reply"].as_str().is_none_or(|reply| !reply.starts_with('$')));
    all_allowed && nats.is_some_and(|script| script.keys().all(|key| key == "deliver"))
}

impl Stage {
    /// Starts the servers that a case asks for; none for most. With `real`, its address is the NATS server.
    ///
    /// # Errors
    /// If there is no port, or the script cannot be read.
    pub fn set(case: &Case, real: Option<&str>) -> Result<Self, String> {
        let Some(peer) = case.test.get("peer") else { return Ok(Self::default()) };
        let mut stage = Self::default();
        if let Some(script) = peer.get("http") {
            let http = HttpPeer::start(Vec::new()).map_err(|error| error.to_string())?;
            let fill = |text: &str| text.replace("{http}", &http.url());
            let routes = script["routes"].as_array().into_iter().flatten();
            http.script(routes.map(|route| self::route(route, &fill)).collect::<Result<_, _>>()?);
            stage.http = Some(http);
        }
        if let Some(script) = peer.get("nats") {
            let mut made = Script::default();
            if let Some(most) = script["max_payload"].as_u64() {
                made.max_payload = usize::try_from(most).unwrap_or(usize::MAX);
            }
            made.headers = script["headers"].as_bool().unwrap_or(true);
            made.on_publish = match script["on_publish"].as_str() {
                Some("deny") => OnPublish::Deny,
                Some("close") => OnPublish::Close,
                _ => OnPublish::Route,
            };
            let deliver = script["deliver"].as_array().into_iter().flatten();
            let deliver = deliver.map(|message| stage.delivery(message)).collect::<Result<Vec<_>, _>>()?;
            if case.op == "bridge.request" {
                made.answers = deliver;
            } else {
                stage.later = RefCell::new(deliver);
            }
            let nats = match real {
                Some(url) => Recorder::connect(url, made.answers).map(Nats::Real),
                None => NatsPeer::start(made).map(Nats::Own),
            };
            stage.nats = Some(nats.map_err(|error| error.to_string())?);
        }
        Ok(stage)
    }

    /// Whether there is no server at all.
    pub fn is_empty(&self) -> bool {
        self.http.is_none() && self.nats.is_none()
    }

    /// The testee listens now.
    pub fn ready(&self) {
        let Some(nats) = &self.nats else { return };
        for message in self.later.borrow_mut().drain(..) {
            nats.publish(&message);
        }
    }

    fn delivery(&self, message: &Value) -> Result<Delivery, String> {
        let subject = string_of(&message["subject"]).unwrap_or_default();
        let reply = message.get("reply").and_then(string_of);
        let body = bytes_of(&message["body"]).ok_or("a message to deliver has no body")?;
        // Addresses of the servers stand in bodies too: in links, and in base64 nowhere.
        let body = match String::from_utf8(body) {
            Ok(text) => self.fill(&text).into_bytes(),
            Err(other) => other.into_bytes(),
        };
        Ok(Delivery::new(subject, reply, body))
    }

    fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if let Some(http) = &self.http {
            text = text.replace("{http}", &http.url()).replace("{http_port}", &http.port().to_string());
        }
        if let Some(nats) = &self.nats {
            text = text
                .replace("{nats}", &nats.url())
                .replace("{nats_port}", nats.url().rsplit(':').next().unwrap_or_default());
        }
        text
    }

    /// A value with the servers' addresses in place of `{http}` and `{nats}`.
    pub fn filled(&self, value: &Value) -> Value {
        if self.is_empty() {
            return value.clone();
        }
        match value {
            Value::String(text) => Value::String(self.fill(text)),
            Value::Array(items) => items.iter().map(|item| self.filled(item)).collect(),
            Value::Object(members) if members.len() == 1 && members.contains_key("hex") => {
                let text = string_bytes(value).and_then(|bytes| String::from_utf8(bytes).ok());
                match text.filter(|text| text.contains('{')) {
                    Some(text) => serde_json::json!({"hex": hex(self.fill(&text).as_bytes())}),
                    None => value.clone(),
                }
            }
            Value::Object(members) => members
                .iter()
                .map(|(key, member)| (key.clone(), self.filled(member)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            other => other.clone(),
        }
    }

    /// The case with its expectation filled in, where there is something to fill in.
    pub fn filled_case(&self, case: &Case) -> Option<Case> {
        (!self.is_empty()).then(|| {
            let mut case = case.clone();
            case.test["expect"] = self.filled(&case.test["expect"]);
            case
        })
    }

    /// The verdict on what arrived.
    pub fn judge(&self, case: &Case, reply: &Value) -> Verdict {
        let wire = self.filled(&case.expect()["wire"]);
        if self.is_empty() {
            return Verdict::pass();
        }
        let judged = self
            .judge_http(&wire)
            .and_then(|()| self.judge_nats(&wire))
            .and_then(|()| self.judge_secrets(&wire, reply));
        match judged {
            Ok(()) => Verdict::pass(),
            Err((brief, got, expected)) => {
                Verdict::new(Outcome::Fail, format!("wire: {brief}")).between(got, expected)
            }
        }
    }

    fn judge_http(&self, wire: &Value) -> Result<(), Wrong> {
        let Some(http) = &self.http else { return Ok(()) };
        // A request whose answer was under way when the testee had what it wanted is recorded all the same.
        let recorded = http.recorded();
        let lines = || {
            recorded
                .iter()
                .map(|request| format!("{} {}", request.method, request.target))
                .collect::<Vec<_>>()
                .join(", ")
        };
        if let Some(request) = recorded.iter().find(|request| !request.expected) {
            let line = format!("{} {}", request.method, request.target);
            return Err(("a request that the script does not know".to_owned(), line, "none".to_owned()));
        }
        if let Some(count) = wire.get("requests").and_then(Value::as_array) {
            let (low, high) = (count[0].as_u64().unwrap_or(0), count[1].as_u64().unwrap_or(u64::MAX));
            if !(low..=high).contains(&(recorded.len() as u64)) {
                return Err((
                    "number of requests".to_owned(),
                    format!("{}: {}", recorded.len(), lines()),
                    format!("{low} to {high}"),
                ));
            }
        }
        for line in wire["has"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !recorded.iter().any(|request| covers(line, &format!("{} {}", request.method, request.target)))
            {
                return Err(("a request that is missing".to_owned(), lines(), line.to_owned()));
            }
        }
        let Some(expected) = wire.get("http").and_then(Value::as_array) else { return Ok(()) };
        if expected.len() != recorded.len() {
            return Err((
                "number of requests".to_owned(),
                format!("{}: {}", recorded.len(), lines()),
                expected.len().to_string(),
            ));
        }
        let mut before: Option<&Recorded> = None;
        for (at, (expected, request)) in expected.iter().zip(&recorded).enumerate() {
            request_matches(expected, request, before)
                .map_err(|(brief, got, wanted)| (format!("request {}: {brief}", at + 1), got, wanted))?;
            before = Some(request);
        }
        Ok(())
    }

    fn judge_nats(&self, wire: &Value) -> Result<(), Wrong> {
        let (Some(nats), Some(expected)) = (&self.nats, wire.get("nats").and_then(Value::as_array)) else {
            return Ok(());
        };
        let published = nats.settled(expected.len());
        if expected.len() != published.len() {
            let subjects: Vec<&str> = published.iter().map(|message| message.subject.as_str()).collect();
            return Err((
                "number of messages".to_owned(),
                format!("{} {subjects:?}", published.len()),
                expected.len().to_string(),
            ));
        }
        for (at, (expected, message)) in expected.iter().zip(&published).enumerate() {
            message_matches(expected, message)
                .map_err(|(brief, got, wanted)| (format!("message {}: {brief}", at + 1), got, wanted))?;
        }
        Ok(())
    }

    /// What must not be seen where others look: in request lines, in messages, in what the testee says.
    fn judge_secrets(&self, wire: &Value, reply: &Value) -> Result<(), Wrong> {
        for secret in wire["secrets"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let told =
                |place: &str| Err((format!("a secret in {place}"), format!("{secret:?}"), "kept".to_owned()));
            let recorded = self.http.as_ref().map(HttpPeer::recorded).unwrap_or_default();
            if recorded.iter().any(|request| request.target.contains(secret)) {
                return told("a request line");
            }
            let published = self.nats.as_ref().map(Nats::published).unwrap_or_default();
            let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            if published.iter().any(|message| holds(&message.body) || holds(&message.headers)) {
                return told("a message");
            }
            if reply["reject"]["text"].as_str().is_some_and(|text| text.contains(secret)) {
                return told("an error text");
            }
        }
        Ok(())
    }
}

/// Brief, got, expected.
type Wrong = (String, String, String);

fn route(route: &Value, fill: &dyn Fn(&str) -> String) -> Result<Route, String> {
    let replies = route["replies"].as_array().into_iter().flatten().map(|reply| self::reply(reply, fill));
    Ok(Route::new(route["on"].as_str().unwrap_or_default(), replies.collect::<Result<_, String>>()?))
}

fn reply(script: &Value, fill: &dyn Fn(&str) -> String) -> Result<Reply, String> {
    let mut reply =
        Reply::status(script["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(200));
    for (name, value) in script["headers"].as_object().into_iter().flatten() {
        reply.headers.push((name.clone(), fill(value.as_str().unwrap_or_default())));
    }
    if let Some(body) = script.get("body") {
        reply.body = match body["text"].as_str() {
            Some(text) => fill(text).into_bytes(),
            None => bytes_of(body).ok_or("a reply's body is unreadable")?,
        };
    }
    reply.framing = match &script["length"] {
        Value::Null => Framing::Length,
        Value::String(word) if word == "chunked" => Framing::Chunked,
        Value::String(_) => Framing::Close,
        number => Framing::Claimed(number.as_u64().unwrap_or(0)),
    };
    reply.cut = script["cut"].as_u64().and_then(|cut| usize::try_from(cut).ok());
    reply.drop = script["drop"].as_bool().unwrap_or_default();
    reply.delay = Duration::from_millis(script["delay_ms"].as_u64().unwrap_or(0));
    Ok(reply)
}

fn request_matches(expected: &Value, request: &Recorded, before: Option<&Recorded>) -> Result<(), Wrong> {
    let line = format!("{} {}", request.method, request.target);
    if let Some(on) = expected["on"].as_str()
        && on != line
    {
        return Err(("method and path".to_owned(), line, on.to_owned()));
    }
    for (name, wanted) in expected["headers"].as_object().into_iter().flatten() {
        let value = request.header(&name.to_ascii_lowercase());
        let fits = match (wanted, value) {
            (Value::Null, value) => value.is_none(),
            // One of several.
            (Value::Array(all), Some(value)) => {
                all.iter().filter_map(Value::as_str).any(|one| covers(one, value))
            }
            (one, Some(value)) => one.as_str().is_some_and(|one| covers(one, value)),
            (_, None) => false,
        };
        if !fits {
            return Err((format!("header {name}"), value.unwrap_or("none").to_owned(), wanted.to_string()));
        }
    }
    if let Some(wanted) = expected.get("json") {
        let text = bytes_of(wanted).unwrap_or_default();
        let value = |text: &[u8]| crate::value::Value::parse(text);
        match (value(&text), value(&request.body)) {
            (Ok(wanted), Ok(got)) if json_covers(&wanted, &got) => {}
            (Ok(wanted), _) => {
                let got = String::from_utf8_lossy(&request.body).into_owned();
                return Err(("JSON body".to_owned(), got, wanted.to_string()));
            }
            (Err(error), _) => return Err(("the vector's JSON".to_owned(), error, "JSON".to_owned())),
        }
    }
    if let Some(part) = expected.get("multipart") {
        multipart_matches(part, request)?;
    }
    if let (Some(gap), Some(before)) = (expected["gap_ms"].as_array(), before) {
        let (low, high) = (gap[0].as_f64().unwrap_or(0.0), gap[1].as_f64().unwrap_or(f64::MAX));
        let waited = request.at.saturating_duration_since(before.done).as_secs_f64() * 1000.0;
        if !(low..=high).contains(&waited) {
            return Err((
                "the wait before it".to_owned(),
                format!("{waited:.0} ms"),
                format!("{low} to {high} ms"),
            ));
        }
    }
    Ok(())
}

/// A star at the end stands for anything.
fn covers(pattern: &str, text: &str) -> bool {
    pattern.strip_suffix('*').map_or_else(|| text == pattern, |start| text.starts_with(start))
}

/// Every member that is expected, whatever the case of its name (Plik does not mind); `null` stands for absent or false.
fn json_covers(wanted: &crate::value::Value, got: &crate::value::Value) -> bool {
    use crate::value::Value as V;
    let (V::Object(wanted), V::Object(got)) = (wanted, got) else { return wanted == got };
    let found =
        |name: &str| got.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    wanted.iter().all(|(name, value)| match (value, found(name)) {
        (V::Null, None | Some(V::Null | V::Bool(false))) => true,
        (wanted, Some(got)) => wanted == got,
        _ => false,
    })
}

/// One part that tiles the body: nothing before its boundary, nothing after its end.
fn multipart_matches(expected: &Value, request: &Recorded) -> Result<(), Wrong> {
    let wrong = |brief: &str, got: String, wanted: String| Err((brief.to_owned(), got, wanted));
    let kind = request.header("content-type").unwrap_or_default();
    let boundary = kind.split(';').filter_map(|part| part.trim().strip_prefix("boundary=")).next();
    let Some(boundary) = boundary.map(|text| text.trim_matches('"')) else {
        return wrong("content type", kind.to_owned(), "multipart/form-data with a boundary".to_owned());
    };
    let start = format!("--{boundary}\r\n").into_bytes();
    let Some(rest) = request.body.strip_prefix(start.as_slice()) else {
        return wrong("multipart body", "does not begin with its boundary".to_owned(), "one part".to_owned());
    };
    let Some(head) = rest.windows(4).position(|window| window == b"\r\n\r\n") else {
        return wrong("multipart body", "no end of the part's headers".to_owned(), "one part".to_owned());
    };
    let headers = String::from_utf8_lossy(&rest[..head]).into_owned();
    let ends = [format!("\r\n--{boundary}--\r\n"), format!("\r\n--{boundary}--")];
    let data = ends.iter().find_map(|end| rest[head + 4..].strip_suffix(end.as_bytes()));
    let Some(data) = data else {
        return wrong("multipart body", "does not end with its boundary".to_owned(), "one part".to_owned());
    };
    let parameter = |name: &str| {
        let start = headers.find(&format!("{name}=\""))? + name.len() + 2;
        Some(headers[start..].split('"').next().unwrap_or_default().to_owned())
    };
    if parameter(" name").as_deref() != Some("file") {
        return wrong("multipart part", headers, "a part named file".to_owned());
    }
    if let Some(wanted) = expected.get("file_name").and_then(string_bytes)
        && parameter("filename").map(String::into_bytes) != Some(wanted.clone())
    {
        return wrong("file name", headers, String::from_utf8_lossy(&wanted).into_owned());
    }
    if parameter("filename").is_none_or(|name| name.is_empty()) {
        return wrong("file name", headers, "one that is not empty".to_owned());
    }
    let wanted = bytes_of(&expected["body"]).unwrap_or_default();
    if data != wanted {
        let word = |bytes: &[u8]| format!("{} bytes, sha256 {}", bytes.len(), crate::sha256(bytes));
        return wrong("uploaded bytes", word(data), word(&wanted));
    }
    Ok(())
}

fn message_matches(expected: &Value, message: &Published) -> Result<(), Wrong> {
    if let Some(subject) = expected.get("subject").and_then(string_of) {
        let fits = subject
            .strip_suffix('*')
            .map_or_else(|| message.subject == subject, |start| message.subject.starts_with(start));
        if !fits {
            return Err(("subject".to_owned(), message.subject.clone(), subject));
        }
    }
    if let Some(wanted) = expected.get("reply").and_then(Value::as_bool)
        && wanted != message.reply.is_some()
    {
        return Err(("NATS reply subject".to_owned(), format!("{:?}", message.reply), wanted.to_string()));
    }
    if let Some(most) = expected["max_len"].as_u64()
        && message.body.len() as u64 > most
    {
        return Err(("length".to_owned(), message.body.len().to_string(), format!("{most} at most")));
    }
    if let Some(wanted) = expected.get("envelope") {
        // The runner's own strict reader: what is wrong with a message is found by it, not by the engine.
        let parsed = crate::value::Value::parse(&message.body)
            .map_err(|error| ("body".to_owned(), error, "JSON".to_owned()))?;
        let envelope = super::envelope::read(&parsed)
            .map_err(|error| ("envelope".to_owned(), error, "an envelope".to_owned()))?;
        if expected.get("reply_to_is_reply").is_some()
            && envelope["fields"]["reply_to"].as_str() != message.reply.as_deref()
        {
            return Err((
                "replyTo".to_owned(),
                short(&envelope["fields"]["reply_to"]),
                format!("{:?}", message.reply),
            ));
        }
        compare_members(wanted, &envelope)
            .map_err(|(path, got, wanted)| (format!("envelope{path}"), got, wanted))?;
    }
    Ok(())
}
