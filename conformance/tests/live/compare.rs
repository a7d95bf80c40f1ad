//! What one side sent against what the other side says it received.

use natsbridge::envelope::PayloadView;
use natsbridge::{Data, Dialect, Envelope, MessageFields, Metadata, PayloadFields, Transport, encode};
use serde_json::Value;
use sha2::Digest as _;

use crate::items::Item;

/// SHA-256 in lower-case hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The envelope's fields under the names that the peers print.
pub(crate) fn fields(envelope: &Envelope) -> [(&'static str, &str); 12] {
    [
        ("correlationId", envelope.correlation_id()),
        ("msgId", envelope.msg_id()),
        ("timestamp", envelope.timestamp()),
        ("sendTo", envelope.send_to()),
        ("msgPurpose", envelope.msg_purpose()),
        ("senderName", envelope.sender_name()),
        ("senderId", envelope.sender_id()),
        ("receiverName", envelope.receiver_name()),
        ("receiverId", envelope.receiver_id()),
        ("replyTo", envelope.reply_to()),
        ("replyToMsgId", envelope.reply_to_msg_id()),
        ("brokerURL", envelope.broker_url()),
    ]
}

/// A peer's line has the fields and the metadata of the envelope.
pub(crate) fn same_fields(envelope: &Envelope, line: &Value) {
    for (name, value) in fields(envelope) {
        assert_eq!(line[name], value, "{name}");
    }
    let dialect = if envelope.dialect() == Dialect::Camel { "camel" } else { "snake" };
    assert_eq!(line["dialect"], dialect);
    if let Some(metadata) = line.get("metadata") {
        same(&envelope.metadata().to_value::<Value>().unwrap(), metadata, "metadata");
    }
}

/// A peer's report of a payload against the item that was sent and the entry that it was sent as.
pub(crate) fn same_payload(item: &Item, entry: &PayloadView<'_>, dialect: Dialect, line: &Value) {
    let name = item.payload.dataname();
    let bytes = item.bytes();
    assert_eq!(line.get("error"), None, "{name:?}");
    assert_eq!(line["dataname"], name);
    assert_eq!(line["type"], item.type_name(dialect), "{name:?}");
    assert_eq!(line["id"], entry.id(), "{name:?}");
    assert_eq!(line["encoding"], entry.encoding(), "{name:?}");
    assert_eq!(line["transport"], entry.transport().unwrap().as_str(), "{name:?}");
    assert_eq!(line["declaredSize"], bytes.len(), "{name:?}");
    assert_eq!(line["size"], bytes.len(), "{name:?}");
    assert_eq!(line["sha256"], digest(&bytes), "{name:?}");
    assert_eq!(line["notes"], Value::Array(vec![]), "{name:?}");
    assert!(std::fs::read(line["path"].as_str().unwrap()).unwrap() == bytes, "{name:?}: other bytes");
    same(&entry.metadata().to_value::<Value>().unwrap(), &line["metadata"], name);
    check_metadata(item, entry);
    if let Some((key, expected)) = &item.expected {
        same(expected, &line[key], name);
    }
}

/// The payload's metadata as written: the sender's own, and for a link the digest and the expiry behind it.
pub(crate) fn check_metadata(item: &Item, entry: &PayloadView<'_>) {
    let mut own = entry.metadata().to_value::<Value>().unwrap();
    if entry.transport() == Some(Transport::Link) {
        let entries = own.as_object_mut().unwrap();
        assert_eq!(entries.remove("sha256"), Some(digest(&item.bytes()).into()));
        let expires = entries.remove("expiresAt").unwrap();
        assert_eq!(expires.as_str().unwrap().len(), 24);
        let text = entry.metadata().as_json();
        let own_end =
            item.metadata.as_object().unwrap().keys().filter_map(|key| text.find(&format!("{key:?}:"))).max();
        let (sha256, expires) = (text.find("\"sha256\":").unwrap(), text.find("\"expiresAt\":").unwrap());
        assert!(own_end.unwrap_or(0) < sha256 && sha256 < expires, "{text}");
        assert_eq!(entry.encoding(), "none");
    } else {
        assert_eq!(entry.encoding(), "base64");
    }
    assert_eq!(own, item.metadata);
}

/// Two values are the same but for the spelling of numbers, and for timestamps, which pyarrow's rows have as text.
pub(crate) fn same(expected: &Value, found: &Value, what: &str) {
    match (expected, found) {
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{what}: {expected} and {found}");
            a.iter().zip(b).enumerate().for_each(|(at, (a, b))| same(a, b, &format!("{what}[{at}]")));
        }
        (Value::Object(a), Value::Object(b)) => {
            let names = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(a), names(b), "{what}");
            a.iter().for_each(|(key, a)| same(a, &b[key], &format!("{what}.{key}")));
        }
        (Value::Number(a), Value::String(text)) => {
            let time = natsbridge::timestamp::parse(&text.replacen(' ', "T", 1)).expect(what);
            let millis = time.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
            assert_eq!(a.as_u64().map(u128::from), Some(millis), "{what}: {text}");
        }
        (Value::Number(a), Value::Number(b)) => {
            let (whole_a, whole_b) = (whole(a), whole(b));
            let equal = whole_a == whole_b && (whole_a.is_some() || a.as_f64() == b.as_f64());
            assert!(equal, "{what}: {a} is not {b}");
        }
        _ => assert_eq!(expected, found, "{what}"),
    }
}

/// A number that is a whole one, however it is spelt.
fn whole(number: &serde_json::Number) -> Option<i128> {
    if let Some(value) = number.as_i64() {
        return Some(value.into());
    }
    if let Some(value) = number.as_u64() {
        return Some(value.into());
    }
    let float = number.as_f64().unwrap();
    (float.fract() == 0.0 && float.abs() < 1e30).then_some(float as i128)
}

/// The engine writes a message that it has read again: what a port wrote by the rules comes out byte for byte.
pub(crate) fn rewritten(envelope: &Envelope) -> Vec<u8> {
    let parse = |json: &str| Metadata::from_json(json).unwrap();
    let metadata = parse(envelope.metadata().as_json());
    let mut fields = MessageFields::from(envelope);
    fields.metadata = Some(&metadata);
    let parts: Vec<_> = envelope
        .payloads()
        .map(|view| {
            let url = view.url();
            let bytes = if url.is_some() { Default::default() } else { view.decode().unwrap().into_bytes() };
            (view, url, bytes, parse(view.metadata().as_json()))
        })
        .collect();
    let payloads: Vec<_> = parts
        .iter()
        .map(|(view, url, bytes, metadata)| {
            let data = match url {
                Some(url) => Data::Link { url, size: view.size().unwrap() },
                None => Data::Bytes(bytes),
            };
            let mut payload = PayloadFields::new(view.dataname(), view.type_name(), data);
            payload.id = view.id();
            payload.metadata = Some(metadata);
            payload
        })
        .collect();
    let mut out = bytes::BytesMut::new();
    encode(envelope.dialect(), &fields, &payloads, &mut out);
    out.to_vec()
}
