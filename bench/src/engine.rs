//! The engine as the scenarios call it: the one file to change when its interface does.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use natsbridge::base64::{Codec, Tier, TierError};
use natsbridge::{Content, Dialect, Envelope, Limits, MessageFields, PayloadFields};

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
    let mut timestamp = [0; natsbridge::timestamp::LEN];
    let timestamp = natsbridge::timestamp::format_into(std::time::SystemTime::now(), &mut timestamp);
    let (mut fields, mut payload) = (fields, payload); // they live as long as the ids
    fields.correlation_id = correlation_id;
    fields.msg_id = msg_id;
    fields.timestamp = timestamp;
    payload.id = payload_id;
    encode(Dialect::Camel, &fields, &[payload], out);
}

/// Where [`decode`] puts what it reads.
#[derive(Debug, Default)]
pub struct Decoded {
    buffer: Vec<u8>,
    /// Where each payload is: in the buffer, or in memory of its own.
    payloads: Vec<Result<Range<usize>, Vec<u8>>>,
}

impl Decoded {
    /// All payloads' bytes, one after the other.
    pub fn concat(&self) -> Vec<u8> {
        let bytes = |payload: &Result<Range<usize>, Vec<u8>>| match payload {
            Ok(range) => self.buffer[range.clone()].to_vec(),
            Err(own) => own.clone(),
        };
        self.payloads.iter().flat_map(bytes).collect()
    }
}

/// Reads the envelope and decodes every payload, into a buffer that is used again: the quickest way to raw bytes.
pub fn decode(message: &Bytes, out: &mut Decoded) {
    let Decoded { buffer, payloads } = out;
    let limits = Limits::default();
    let envelope = Envelope::decode_into_vec(message.clone(), &limits, buffer).expect("the message is valid");
    payloads.clear();
    for payload in envelope.payloads() {
        payloads.push(match payload.bytes_in(buffer).expect("the payload is direct") {
            Cow::Borrowed(bytes) => {
                let start = bytes.as_ptr().addr() - buffer.as_ptr().addr();
                Ok(start..start + bytes.len())
            }
            Cow::Owned(bytes) => Err(bytes),
        });
    }
}

/// Where [`decode_shared`] puts what it reads.
#[derive(Debug, Default)]
pub struct Shared {
    buffer: BytesMut,
    /// The payloads' bytes. They keep the buffer, so they go before the next message is read.
    pub payloads: Vec<Bytes>,
}

/// The same, and the payloads can be kept and sent elsewhere: the buffer is shared.
pub fn decode_shared(message: &Bytes, out: &mut Shared) {
    out.payloads.clear();
    let limits = Limits::default();
    let envelope =
        Envelope::decode_into(message.clone(), &limits, &mut out.buffer).expect("the message is valid");
    for payload in envelope.payloads() {
        out.payloads.push(payload.decode().expect("the payload is direct").into_bytes());
    }
}

/// The same in two steps: the whole envelope first, then each payload as it is asked for, one after the other.
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

/// The names of the base64 tiers that this machine has, the fastest last.
pub fn tiers() -> Vec<&'static str> {
    Tier::available().map(Tier::name).collect()
}

/// The tier in use: the fastest, or the one that `NATSBRIDGE_BASE64_TIER` names.
pub fn tier() -> &'static str {
    Tier::current().name()
}

/// The base64 of one tier.
///
/// # Errors
/// If this machine has no such tier.
pub fn base64(tier: &str) -> Result<Codec, TierError> {
    Codec::with_tier(tier.parse()?)
}
