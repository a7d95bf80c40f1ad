//! The inputs: seeded payload bytes, and the messages that carry them. The same on every machine and in every run.

use bytes::{Bytes, BytesMut};
use natsbridge::{Data, Dialect, MessageFields, PayloadFields};

use crate::{engine, rival::naive};

/// A size of payload and its name in the scenarios.
pub type Size = (&'static str, usize);

/// One cache line, one page and less, then within L1, L2, about L2, L3 and memory.
pub const SIZES: [Size; 7] = [
    ("64B", 64),
    ("1KiB", 1 << 10),
    ("16KiB", 16 << 10),
    ("64KiB", 64 << 10),
    ("512KiB", 512 << 10),
    ("1MiB", 1 << 20),
    ("16MiB", 16 << 20),
];

/// Bytes without a pattern (SplitMix64), so that no branch predictor learns them.
pub fn random_bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        out.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    out.truncate(len);
    out
}

pub(crate) const IDS: [&str; 4] = [
    "5f0c3a4e-1b7d-4c52-9a3e-8d2f6b1c0e47",
    "c1d9e8f7-2a3b-4c5d-8e6f-708192a3b4c5",
    "0b6e2f1a-9c8d-4e7f-a5b4-c3d2e1f00112",
    "a3b8d1b6-0b3b-4b1a-9c1a-1a2b3c4d5e6f",
];
pub(crate) const TIMESTAMP: &str = "2026-02-22T14:15:24.250Z";

/// How the text of a message differs from the plain case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// As the engine writes it: the documented order of keys, the camelCase dialect, nothing escaped.
    Plain,
    /// The keys of the message and of its payloads in another order.
    AnyOrder,
    /// Strings with characters that are written as escapes.
    Escapes,
    /// Every `/` of the base64 text written as `\/`, as some JSON writers do.
    Slashes,
    /// The snake_case dialect.
    Snake,
}

impl Shape {
    pub(crate) fn dialect(self) -> Dialect {
        if self == Self::Snake { Dialect::Snake } else { Dialect::Camel }
    }
}

/// The fields of every message.
pub fn fields(shape: Shape) -> MessageFields<'static> {
    let mut fields = MessageFields::default();
    [fields.correlation_id, fields.msg_id, fields.sender_id, _] = IDS;
    fields.timestamp = TIMESTAMP;
    fields.send_to = "/chat/room1";
    fields.msg_purpose = "chat";
    fields.sender_name = "NATSBridge";
    fields.broker_url = "nats://localhost:4222";
    if shape == Shape::Escapes {
        fields.sender_name = "The \"bridge\"\nof Zoë \\ Grüße";
        fields.receiver_name = "tab\tand\u{1}control";
    }
    fields
}

/// A message's payloads, as the engine takes them.
pub fn payloads(raws: &[Vec<u8>]) -> Vec<PayloadFields<'_>> {
    raws.iter().map(|raw| payload(raw)).collect()
}

/// One payload, as the engine takes it.
pub fn payload(raw: &[u8]) -> PayloadFields<'_> {
    let mut payload = PayloadFields::new("large_file", "binary", Data::Bytes(raw));
    payload.id = IDS[3];
    payload
}

/// `count` payloads of `len` bytes each, and the message with them.
#[non_exhaustive]
pub struct Input {
    /// The payloads' bytes.
    pub raws: Vec<Vec<u8>>,
    /// The encoded message.
    pub message: Bytes,
    /// How it is written.
    pub shape: Shape,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("message_len", &self.message.len()).finish_non_exhaustive()
    }
}

impl Input {
    /// Makes the message with the engine where it can, else with serde_json.
    pub fn new(shape: Shape, count: usize, len: usize) -> Self {
        let raws: Vec<_> = (0..count as u64).map(|seed| random_bytes(len, seed)).collect();
        let mut out = BytesMut::new();
        engine::encode(shape.dialect(), &fields(shape), &payloads(&raws), &mut out);
        let message = match shape {
            Shape::AnyOrder => naive::reordered(&out).into(),
            Shape::Slashes => escape_slashes(&out).into(),
            _ => out.freeze(),
        };
        Self { raws, message, shape }
    }

    /// All payloads' bytes, one after the other.
    pub fn concatenated(&self) -> Vec<u8> {
        self.raws.concat()
    }
}

fn escape_slashes(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() * 65 / 64 + 64);
    for &byte in message {
        if byte == b'/' {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out
}
