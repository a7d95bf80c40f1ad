//! Values of two languages, and messages of two writers.

use bytes::BytesMut;
use natsbridge::{Data, Envelope, MessageFields, Metadata, PayloadFields, encode};
use serde_json::{Number, Value};

use crate::{Failure, Result};

/// Where two JSON values differ first, if they do. Numbers are compared by value, not by spelling: `1`, `1.0` and `1e0`
/// are one number.
pub fn difference(expected: &Value, found: &Value) -> Option<String> {
    let unlike = || Some(format!(" is {found:.300}, not {expected:.300}"));
    match (expected, found) {
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .find_map(|(at, (a, b))| difference(a, b).map(|rest| format!("[{at}]{rest}"))),
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().find_map(|(key, a)| difference(a, &b[key]).map(|rest| format!("[{key:?}]{rest}")))
        }
        (Value::Number(a), Value::Number(b)) if same_number(a, b) => None,
        _ if expected == found => None,
        _ => unlike(),
    }
}

fn same_number(a: &Number, b: &Number) -> bool {
    match (whole(a), whole(b)) {
        (None, None) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

/// The value of a number that is a whole one and not astronomic, however it is spelt.
fn whole(number: &Number) -> Option<i128> {
    let integer = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    let float = || number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 1e30);
    integer.or_else(|| float().map(|float| float as i128))
}

/// The message as the engine writes it anew from what it has read: what another port wrote by the rules comes out byte
/// for byte.
///
/// # Errors
/// If a payload cannot be read.
pub fn rewritten(envelope: &Envelope) -> Result<Vec<u8>> {
    let unreadable = |error: natsbridge::Error| Failure::new(format!("it cannot be written anew: {error}"));
    let metadata = |json: &str| Metadata::from_json(json).map_err(unreadable);
    let mut parts = Vec::new();
    for view in envelope.payloads() {
        let url = view.url();
        let bytes = match url {
            Some(_) => bytes::Bytes::new(),
            None => view.decode().map_err(unreadable)?.into_bytes(),
        };
        parts.push((view, url, bytes, metadata(view.metadata().as_json())?));
    }
    let payloads: Vec<PayloadFields<'_>> = parts
        .iter()
        .map(|(view, url, bytes, metadata)| {
            let data = match url {
                Some(url) => Data::Link { url, size: view.size().unwrap_or_default() },
                None => Data::Bytes(bytes),
            };
            let mut payload = PayloadFields::new(view.dataname(), view.type_name(), data);
            payload.id = view.id();
            payload.metadata = Some(metadata);
            payload
        })
        .collect();
    let own = metadata(envelope.metadata().as_json())?;
    let mut fields = MessageFields::from(envelope);
    fields.metadata = Some(&own);
    let mut out = BytesMut::new();
    encode(envelope.dialect(), &fields, &payloads, &mut out);
    Ok(out.to_vec())
}

/// The envelope's twelve strings under the names that the peers print: those of the camelCase dialect.
pub fn fields(envelope: &Envelope) -> [(&'static str, &str); 12] {
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

/// SHA-256 in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
