//! Fields and payloads to bytes: one pass, the exact size known beforehand.

use bytes::{Bytes, BytesMut};

use super::metadata::Metadata;
use super::names::{Dialect, FIELDS, Field, PAYLOAD_FIELDS, PayloadField};
use super::{Envelope, Transport};
use crate::base64;
use crate::payload::PayloadType;

/// The fields of a message to write, borrowed: ids and the time are arguments, so the same input gives the same bytes.
///
/// # Examples
/// ```
/// use natsbridge::{Data, Dialect, Envelope, MessageFields, PayloadFields, encode, encoded_len};
///
/// let mut fields = MessageFields::default();
/// fields.correlation_id = "c-1";
/// fields.send_to = "/chat/room1";
/// let payloads = [PayloadFields::new("greeting", "text", Data::Bytes(b"Hello"))];
/// let mut out = bytes::BytesMut::new();
/// encode(Dialect::Camel, &fields, &payloads, &mut out);
/// assert_eq!(out.len(), encoded_len(Dialect::Camel, &fields, &payloads));
/// assert_eq!(Envelope::decode(out.freeze())?.payload(0).expect("one").decode()?.text()?, "Hello");
/// # Ok::<(), natsbridge::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct MessageFields<'a> {
    /// See [`Envelope::correlation_id`].
    pub correlation_id: &'a str,
    /// See [`Envelope::msg_id`].
    pub msg_id: &'a str,
    /// See [`Envelope::timestamp`].
    pub timestamp: &'a str,
    /// See [`Envelope::send_to`].
    pub send_to: &'a str,
    /// See [`Envelope::msg_purpose`].
    pub msg_purpose: &'a str,
    /// See [`Envelope::sender_name`].
    pub sender_name: &'a str,
    /// See [`Envelope::sender_id`].
    pub sender_id: &'a str,
    /// See [`Envelope::receiver_name`].
    pub receiver_name: &'a str,
    /// See [`Envelope::receiver_id`].
    pub receiver_id: &'a str,
    /// See [`Envelope::reply_to`].
    pub reply_to: &'a str,
    /// See [`Envelope::reply_to_msg_id`].
    pub reply_to_msg_id: &'a str,
    /// See [`Envelope::broker_url`]. Never put credentials here: every subscriber reads it.
    pub broker_url: &'a str,
    /// Written as `{}` where it is `None`.
    pub metadata: Option<&'a Metadata>,
}

impl<'a> MessageFields<'a> {
    fn string(&self, field: Field) -> &'a str {
        match field {
            Field::CorrelationId => self.correlation_id,
            Field::MsgId => self.msg_id,
            Field::Timestamp => self.timestamp,
            Field::SendTo => self.send_to,
            Field::MsgPurpose => self.msg_purpose,
            Field::SenderName => self.sender_name,
            Field::SenderId => self.sender_id,
            Field::ReceiverName => self.receiver_name,
            Field::ReceiverId => self.receiver_id,
            Field::ReplyTo => self.reply_to,
            Field::ReplyToMsgId => self.reply_to_msg_id,
            Field::BrokerUrl => self.broker_url,
            // Not strings; the writer does not ask for them.
            Field::Metadata | Field::Payloads => "",
        }
    }
}

impl<'a> From<&'a Envelope> for MessageFields<'a> {
    /// The fields of a received message, but for its metadata.
    fn from(envelope: &'a Envelope) -> Self {
        Self {
            correlation_id: envelope.correlation_id(),
            msg_id: envelope.msg_id(),
            timestamp: envelope.timestamp(),
            send_to: envelope.send_to(),
            msg_purpose: envelope.msg_purpose(),
            sender_name: envelope.sender_name(),
            sender_id: envelope.sender_id(),
            receiver_name: envelope.receiver_name(),
            receiver_id: envelope.receiver_id(),
            reply_to: envelope.reply_to(),
            reply_to_msg_id: envelope.reply_to_msg_id(),
            broker_url: envelope.broker_url(),
            metadata: None,
        }
    }
}

/// What goes behind a payload's `data`.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Data<'a> {
    /// Raw bytes to travel inside the message.
    Bytes(&'a [u8]),
    /// The same in pieces, such as an Arrow stream's buffers; they are never glued together.
    Chunks(&'a [Bytes]),
    /// A link: its URL, and how many bytes are behind it.
    Link {
        /// The absolute URL.
        url: &'a str,
        /// The number of raw bytes behind it.
        size: u64,
    },
}

impl std::fmt::Debug for Data<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            Self::Bytes(_) => "Bytes",
            Self::Chunks(_) => "Chunks",
            Self::Link { .. } => "Link",
        };
        f.debug_struct(name).field("size", &self.size()).finish_non_exhaustive()
    }
}

impl Data<'_> {
    /// The number of raw bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Chunks(chunks) => chunks.iter().map(|chunk| chunk.len() as u64).sum(),
            Self::Link { size, .. } => *size,
        }
    }

    /// How it travels.
    pub fn transport(&self) -> Transport {
        match self {
            Self::Bytes(_) | Self::Chunks(_) => Transport::Direct,
            Self::Link { .. } => Transport::Link,
        }
    }

    fn encoding(&self) -> &'static str {
        match self.transport() {
            Transport::Direct => "base64",
            Transport::Link => "none",
        }
    }

    /// The length of the JSON string's content.
    fn text_len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => base64::encoded_len(bytes.len()),
            // A sum that does not fit memory cannot be the length of buffers that are in it.
            Self::Chunks(_) => base64::encoded_len(self.size() as usize),
            Self::Link { url, .. } => escaped_len(url),
        }
    }
}

/// The fields of a payload to write, borrowed.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct PayloadFields<'a> {
    /// See [`PayloadView::id`](super::PayloadView::id).
    pub id: &'a str,
    /// See [`PayloadView::dataname`](super::PayloadView::dataname).
    pub dataname: &'a str,
    /// The type's name; a table is written with the dialect's word for it, whichever is given here.
    pub type_name: &'a str,
    /// The bytes, or the link to them.
    pub data: Data<'a>,
    /// Written as `{}` where it is `None`.
    pub metadata: Option<&'a Metadata>,
}

impl<'a> PayloadFields<'a> {
    /// A payload with an empty id and no metadata.
    pub fn new(dataname: &'a str, type_name: &'a str, data: Data<'a>) -> Self {
        Self { id: "", dataname, type_name, data, metadata: None }
    }

    /// The type's name as this dialect writes it.
    pub fn written_type(&self, dialect: Dialect) -> &'a str {
        match PayloadType::from_name(self.type_name) {
            PayloadType::Table => PayloadType::Table.name(dialect),
            _ => self.type_name,
        }
    }

    fn string(&self, field: PayloadField, dialect: Dialect) -> &'a str {
        match field {
            PayloadField::Id => self.id,
            PayloadField::Dataname => self.dataname,
            PayloadField::Type => self.written_type(dialect),
            PayloadField::Transport => self.data.transport().as_str(),
            PayloadField::Encoding => self.data.encoding(),
            // Not plain strings; the writer does not ask for them.
            PayloadField::Size | PayloadField::Data | PayloadField::Metadata => "",
        }
    }
}

/// The exact number of bytes that [`encode`] appends.
///
/// # Cost
/// Reads the strings to find what must be escaped; the payloads' bytes are not touched.
pub fn encoded_len(dialect: Dialect, fields: &MessageFields<'_>, payloads: &[PayloadFields<'_>]) -> usize {
    let mut len = 2 + FIELDS.len() - 1; // braces and commas
    for name in &FIELDS {
        len += name.text(dialect).len() + 3; // quotes and colon
        len += match name.field {
            Field::Metadata => metadata_len(fields.metadata),
            Field::Payloads => {
                let commas = payloads.len().saturating_sub(1);
                2 + commas + payloads.iter().map(|payload| payload_entry_len(dialect, payload)).sum::<usize>()
            }
            string => string_len(fields.string(string)),
        };
    }
    len
}

/// The exact number of bytes that one payload's object takes in the message, without the comma between two.
pub fn payload_entry_len(dialect: Dialect, payload: &PayloadFields<'_>) -> usize {
    let mut len = 2 + PAYLOAD_FIELDS.len() - 1;
    for name in &PAYLOAD_FIELDS {
        len += name.text(dialect).len() + 3;
        len += match name.field {
            PayloadField::Size => decimal_len(payload.data.size()),
            PayloadField::Data => 2 + payload.data.text_len(),
            PayloadField::Metadata => metadata_len(payload.metadata),
            string => string_len(payload.string(string, dialect)),
        };
    }
    len
}

/// Appends the message to `out`: all keys of `dialect`, in order, as compact JSON in raw UTF-8.
///
/// # Cost
/// One pass, base64 straight into `out`, which grows at most once and not at all when it has
/// [`encoded_len`] bytes to spare.
pub fn encode(
    dialect: Dialect,
    fields: &MessageFields<'_>,
    payloads: &[PayloadFields<'_>],
    out: &mut BytesMut,
) {
    out.reserve(encoded_len(dialect, fields, payloads));
    for (at, name) in FIELDS.iter().enumerate() {
        write_key(out, at, name.text(dialect));
        match name.field {
            Field::Metadata => write_metadata(out, fields.metadata),
            Field::Payloads => {
                out.extend_from_slice(b"[");
                for (at, payload) in payloads.iter().enumerate() {
                    if at > 0 {
                        out.extend_from_slice(b",");
                    }
                    write_payload(dialect, payload, out);
                }
                out.extend_from_slice(b"]");
            }
            string => write_string(out, fields.string(string)),
        }
    }
    out.extend_from_slice(b"}");
}

fn write_payload(dialect: Dialect, payload: &PayloadFields<'_>, out: &mut BytesMut) {
    for (at, name) in PAYLOAD_FIELDS.iter().enumerate() {
        write_key(out, at, name.text(dialect));
        match name.field {
            PayloadField::Size => write_decimal(out, payload.data.size()),
            PayloadField::Data => write_data(out, payload.data),
            PayloadField::Metadata => write_metadata(out, payload.metadata),
            string => write_string(out, payload.string(string, dialect)),
        }
    }
    out.extend_from_slice(b"}");
}

fn write_data(out: &mut BytesMut, data: Data<'_>) {
    match data {
        Data::Bytes(bytes) => {
            out.extend_from_slice(b"\"");
            base64::encode_append(bytes, out);
            out.extend_from_slice(b"\"");
        }
        Data::Chunks(chunks) => {
            out.extend_from_slice(b"\"");
            let mut encoder = base64::Encoder::new();
            for chunk in chunks {
                encoder.update(chunk, out);
            }
            encoder.finish(out);
            out.extend_from_slice(b"\"");
        }
        Data::Link { url, .. } => write_string(out, url),
    }
}

/// The key at position `at` of its object, with what goes before and after it. Keys hold nothing to escape.
fn write_key(out: &mut BytesMut, at: usize, key: &str) {
    out.extend_from_slice(if at == 0 { b"{\"" } else { b",\"" });
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

fn metadata_len(metadata: Option<&Metadata>) -> usize {
    metadata.map_or(2, Metadata::encoded_len)
}

fn write_metadata(out: &mut BytesMut, metadata: Option<&Metadata>) {
    match metadata {
        Some(metadata) => metadata.write(out),
        None => out.extend_from_slice(b"{}"),
    }
}

/// The length of a JSON string with its quotes.
pub(super) fn string_len(text: &str) -> usize {
    2 + escaped_len(text)
}

fn escaped_len(text: &str) -> usize {
    text.bytes().map(|byte| usize::from(ESCAPED_LEN[usize::from(byte)])).sum()
}

/// Writes a JSON string: `"`, `\` and control characters escaped, everything else as it is (some ports cannot
/// read surrogate pairs).
pub(super) fn write_string(out: &mut BytesMut, text: &str) {
    out.extend_from_slice(b"\"");
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if ESCAPED_LEN[usize::from(byte)] == 1 {
            continue;
        }
        out.extend_from_slice(&bytes[plain..at]);
        plain = at + 1;
        match short_escape(byte) {
            Some(letter) => out.extend_from_slice(&[b'\\', letter]),
            None => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
    }
    out.extend_from_slice(&bytes[plain..]);
    out.extend_from_slice(b"\"");
}

const fn short_escape(byte: u8) -> Option<u8> {
    match byte {
        b'"' | b'\\' => Some(byte),
        0x08 => Some(b'b'),
        b'\t' => Some(b't'),
        b'\n' => Some(b'n'),
        0x0C => Some(b'f'),
        b'\r' => Some(b'r'),
        _ => None,
    }
}

/// How many bytes each byte takes inside a JSON string.
const ESCAPED_LEN: [u8; 256] = {
    let mut table = [1; 256];
    let mut byte = 0;
    while byte < 256 {
        if short_escape(byte as u8).is_some() {
            table[byte] = 2;
        } else if byte < 0x20 {
            table[byte] = 6;
        }
        byte += 1;
    }
    table
};

fn decimal_len(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

fn write_decimal(out: &mut BytesMut, value: u64) {
    let mut digits = [0; 20]; // u64::MAX has 20
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_escaped_as_serde_json_does_but_for_del() {
        let text: String = (0u8..=0x7f).map(char::from).chain("é€😀".chars()).collect();
        let mut out = BytesMut::new();
        write_string(&mut out, &text);
        assert_eq!(out, serde_json::to_string(&text).unwrap());
        assert_eq!(out.len(), string_len(&text));
    }

    #[test]
    fn decimals_have_the_length_that_was_announced() {
        for value in [0, 9, 10, 99, 100, 1_000_000, u64::MAX] {
            let mut out = BytesMut::new();
            write_decimal(&mut out, value);
            assert_eq!(out, value.to_string());
            assert_eq!(out.len(), decimal_len(value));
        }
    }
}
