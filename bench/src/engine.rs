//! The engine as the scenarios call it: the one file to change when its interface does.

use bytes::{Bytes, BytesMut};
use natsbridge::{Content, Dialect, Envelope, MessageFields, PayloadFields, base64};

/// Appends the message to `out`.
pub fn encode(
    dialect: Dialect,
    fields: &MessageFields<'_>,
    payloads: &[PayloadFields<'_>],
    out: &mut BytesMut,
) {
    natsbridge::encode(dialect, fields, payloads, out);
}

/// The same with ids and the time made for this message, as a producer does.
#[cfg(feature = "rivals")]
pub fn encode_fresh(fields: MessageFields<'_>, payload: PayloadFields<'_>, out: &mut BytesMut) {
    let mut ids = [[0; uuid::fmt::Hyphenated::LENGTH]; 3];
    let [correlation_id, msg_id, payload_id] =
        ids.each_mut().map(|id| uuid::Uuid::new_v4().hyphenated().encode_lower(id) as &str);
    let timestamp = natsbridge::timestamp::format(std::time::SystemTime::now());
    let (mut fields, mut payload) = (fields, payload); // they live as long as the ids
    fields.correlation_id = correlation_id;
    fields.msg_id = msg_id;
    fields.timestamp = &timestamp;
    payload.id = payload_id;
    encode(Dialect::Camel, &fields, &[payload], out);
}

/// Reads the envelope, then decodes every payload into `out`, one after the other.
pub fn decode(message: &Bytes, out: &mut Vec<u8>) {
    decode_lazily(message, out);
}

/// The same in two steps: the whole envelope first, then each payload as it is asked for.
pub fn decode_lazily(message: &Bytes, out: &mut Vec<u8>) {
    let envelope = Envelope::decode(message.clone()).expect("the message is valid");
    for payload in envelope.payloads() {
        let Ok(Content::Base64(text)) = payload.content() else { panic!("the payload is direct") };
        text.decode_into(out).expect("the base64 is valid");
    }
}

/// Reads the envelope alone; the number of its payloads.
pub fn scan(message: &Bytes) -> usize {
    Envelope::decode(message.clone()).expect("the message is valid").payloads().len()
}

/// The base64 tiers that this machine has, the one in use last.
pub fn tiers() -> Vec<&'static str> {
    vec!["portable"]
}

/// The tier that the engine uses on this machine.
pub fn tier() -> &'static str {
    tiers().last().expect("there is one")
}

/// Appends the base64 text of `bytes`, written by this tier.
pub fn base64_encode(_tier: &str, bytes: &[u8], out: &mut BytesMut) {
    base64::encode_append(bytes, out);
}

/// Appends the bytes of a base64 text, read by this tier.
pub fn base64_decode(_tier: &str, text: &[u8], out: &mut Vec<u8>) {
    base64::decode_append(text, out).expect("the base64 is valid");
}
