//! Fields and payloads to bytes: one pass, the exact size known beforehand.

use bytes::{Bytes, BytesMut};

use super::metadata::Metadata;
use super::names::{Camel, Dialect, STRING_FIELDS, Snake, Spelling};
use super::{Envelope, Transport};
use crate::base64;
use crate::base64::arch::{Job, Level, Spare, dispatch, needs_escape};
use crate::digits::{DECIMAL_LEN, decimal, decimal_len};
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
    /// The values that are strings, in order.
    pub(crate) fn strings(&self) -> [&'a str; STRING_FIELDS] {
        [
            self.correlation_id,
            self.msg_id,
            self.timestamp,
            self.send_to,
            self.msg_purpose,
            self.sender_name,
            self.sender_id,
            self.receiver_name,
            self.receiver_id,
            self.reply_to,
            self.reply_to_msg_id,
            self.broker_url,
        ]
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
        match self.type_name {
            "table" | "arrowtable" => PayloadType::Table.name(dialect),
            name => name,
        }
    }
}

/// The exact number of bytes that [`encode`] appends.
///
/// # Cost
/// Reads the strings to find what must be escaped; the payloads' bytes are not touched.
pub fn encoded_len(dialect: Dialect, fields: &MessageFields<'_>, payloads: &[PayloadFields<'_>]) -> usize {
    let commas = payloads.len().saturating_sub(1);
    let mut len = frame_len(dialect) + commas + metadata_len(fields.metadata);
    len += fields.strings().map(escaped_len).iter().sum::<usize>();
    len + payloads.iter().map(|payload| payload_entry_len(dialect, payload)).sum::<usize>()
}

/// The exact number of bytes that one payload's object takes in the message, without the comma between two.
pub fn payload_entry_len(dialect: Dialect, payload: &PayloadFields<'_>) -> usize {
    let strings = [payload.id, payload.dataname, payload.written_type(dialect)];
    entry_frame_len(dialect, payload)
        + strings.map(escaped_len).iter().sum::<usize>()
        + decimal_len(payload.data.size())
        + payload.data.text_len()
        + metadata_len(payload.metadata)
}

/// The same two lengths for strings that need no escapes: nothing is read. Few do need some.
fn plain_len(dialect: Dialect, fields: &MessageFields<'_>, payloads: &[PayloadFields<'_>]) -> usize {
    let mut len = frame_len(dialect) + metadata_len(fields.metadata);
    for text in fields.strings() {
        len += text.len();
    }
    for payload in payloads {
        let data_len = match payload.data {
            Data::Link { url, .. } => url.len(),
            data => data.text_len(),
        };
        len += 1 + entry_frame_len(dialect, payload) + decimal_len(payload.data.size()) + data_len;
        len += payload.id.len() + payload.dataname.len() + payload.written_type(dialect).len();
        len += metadata_len(payload.metadata);
    }
    // A comma was counted for every payload, and the last has none.
    len - usize::from(!payloads.is_empty())
}

/// Everything in a message but its values.
fn frame_len(dialect: Dialect) -> usize {
    const fn of<S: Spelling>() -> usize {
        let mut len = S::METADATA.len() + S::PAYLOADS.len() + END.len();
        let mut field = 0;
        while field < S::STRINGS.len() {
            len += S::STRINGS[field].len();
            field += 1;
        }
        len
    }
    match dialect {
        Dialect::Camel => const { of::<Camel>() },
        Dialect::Snake => const { of::<Snake>() },
    }
}

/// Everything in a payload's object but its values.
fn entry_frame_len(dialect: Dialect, payload: &PayloadFields<'_>) -> usize {
    const fn of<S: Spelling>(size: &[u8]) -> usize {
        let strings = S::ID.len() + S::DATANAME.len() + S::TYPE.len();
        strings + size.len() + S::DATA.len() + S::PAYLOAD_METADATA.len() + ENTRY_END.len()
    }
    match (dialect, payload.data.transport()) {
        (Dialect::Camel, Transport::Direct) => const { of::<Camel>(Camel::DIRECT_SIZE) },
        (Dialect::Camel, Transport::Link) => const { of::<Camel>(Camel::LINK_SIZE) },
        (Dialect::Snake, Transport::Direct) => const { of::<Snake>(Snake::DIRECT_SIZE) },
        (Dialect::Snake, Transport::Link) => const { of::<Snake>(Snake::LINK_SIZE) },
    }
}

/// Appends the message to `out`: all keys of `dialect`, in order, as compact JSON in raw UTF-8.
///
/// # Cost
/// One pass, base64 straight into `out`, which does not grow where it has [`encoded_len`] bytes to spare. Where it has
/// not, it grows once, by one [`reserve`](BytesMut::reserve) for exactly these: an empty buffer to [`encoded_len`], one
/// in use to that or to twice its capacity, whichever is more. A pass over the strings is then made beforehand.
pub fn encode(
    dialect: Dialect,
    fields: &MessageFields<'_>,
    payloads: &[PayloadFields<'_>],
    out: &mut BytesMut,
) {
    dispatch(Encode { dialect, fields, payloads, out });
}

struct Encode<'a> {
    dialect: Dialect,
    fields: &'a MessageFields<'a>,
    payloads: &'a [PayloadFields<'a>],
    out: &'a mut BytesMut,
}

impl Job for Encode<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Level>(self, level: L) {
        let Self { dialect, fields, payloads, out } = self;
        let mut expected = plain_len(dialect, fields, payloads);
        // A buffer that has to grow shall grow once, so then it is worth looking for escapes beforehand.
        let measured = out.capacity() - out.len() < expected;
        if measured {
            expected = encoded_len(dialect, fields, payloads);
        }
        let spare = Spare::new(level, out, expected);
        let writer = Writer { spare, dialect, fields, payloads, measured };
        match dialect {
            Dialect::Camel => writer.message::<Camel>(),
            Dialect::Snake => writer.message::<Snake>(),
        }
    }
}

struct Writer<'a, L> {
    spare: Spare<'a, L>,
    dialect: Dialect,
    fields: &'a MessageFields<'a>,
    payloads: &'a [PayloadFields<'a>],
    /// Whether there is room for the whole message with its escapes; before the first escape nobody has looked.
    measured: bool,
}

impl<L: Level> Writer<'_, L> {
    #[inline(always)]
    fn message<S: Spelling>(mut self) {
        let fields = self.fields;
        self.string(S::STRINGS[0], fields.correlation_id);
        self.string(S::STRINGS[1], fields.msg_id);
        self.string(S::STRINGS[2], fields.timestamp);
        self.string(S::STRINGS[3], fields.send_to);
        self.string(S::STRINGS[4], fields.msg_purpose);
        self.string(S::STRINGS[5], fields.sender_name);
        self.string(S::STRINGS[6], fields.sender_id);
        self.string(S::STRINGS[7], fields.receiver_name);
        self.string(S::STRINGS[8], fields.receiver_id);
        self.string(S::STRINGS[9], fields.reply_to);
        self.string(S::STRINGS[10], fields.reply_to_msg_id);
        self.string(S::STRINGS[11], fields.broker_url);
        match fields.metadata {
            None => self.spare.put(S::NO_METADATA_PAYLOADS),
            Some(metadata) => {
                self.spare.put(S::METADATA);
                self.spare.with(|out| metadata.write(out));
                self.spare.put(S::PAYLOADS);
            }
        }
        for (at, payload) in self.payloads.iter().enumerate() {
            if at > 0 {
                self.spare.put(b",");
            }
            self.payload::<S>(payload);
        }
        self.spare.put(END);
        self.spare.finish();
    }

    #[inline(always)]
    fn payload<S: Spelling>(&mut self, payload: &PayloadFields<'_>) {
        self.string(S::ID, payload.id);
        self.string(S::DATANAME, payload.dataname);
        self.string(S::TYPE, payload.written_type(S::DIALECT));
        match payload.data {
            Data::Bytes(bytes) => {
                self.spare.put(S::DIRECT_SIZE);
                self.decimal(bytes.len() as u64);
                self.spare.put(S::DATA);
                self.spare.with(|out| base64::encode_append(bytes, out));
            }
            Data::Chunks(chunks) => {
                self.spare.put(S::DIRECT_SIZE);
                self.decimal(payload.data.size());
                self.spare.put(S::DATA);
                self.spare.with(|out| {
                    let mut encoder = base64::Encoder::new();
                    for chunk in chunks {
                        encoder.update(chunk, out);
                    }
                    encoder.finish(out);
                });
            }
            Data::Link { url, size } => {
                self.spare.put(S::LINK_SIZE);
                self.decimal(size);
                self.string(S::DATA, url);
            }
        }
        match payload.metadata {
            None => self.spare.put(S::NO_PAYLOAD_METADATA),
            Some(metadata) => {
                self.spare.put(S::PAYLOAD_METADATA);
                self.spare.with(|out| metadata.write(out));
                self.spare.put(ENTRY_END);
            }
        }
    }

    /// A key with what comes before it, and a string but for its closing quote, which the next piece brings.
    #[inline(always)]
    fn string(&mut self, key: &[u8], text: &str) {
        self.spare.put(key);
        if !self.spare.put_plain(text.as_bytes()) {
            self.escaped(text);
        }
    }

    /// A string with escapes. The first one shows that more room is needed: for all of them at once.
    #[cold]
    #[inline(never)]
    fn escaped(&mut self, text: &str) {
        if !self.measured {
            let len = encoded_len(self.dialect, self.fields, self.payloads);
            self.spare.reserve(len.saturating_sub(self.spare.written()));
            self.measured = true;
        }
        self.spare.with(|out| write_escaped(out, text));
    }

    #[inline(always)]
    fn decimal(&mut self, value: u64) {
        let mut digits = [0; DECIMAL_LEN];
        self.spare.put(decimal(value, &mut digits));
    }
}

const END: &[u8] = b"]}";
const ENTRY_END: &[u8] = b"}";

fn metadata_len(metadata: Option<&Metadata>) -> usize {
    metadata.map_or(2, Metadata::encoded_len)
}

/// The length of a JSON string with its quotes.
pub(super) fn string_len(text: &str) -> usize {
    2 + escaped_len(text)
}

fn escaped_len(text: &str) -> usize {
    let more = text.bytes().map(|byte| usize::from(ESCAPED_LEN[usize::from(byte)] - 1));
    text.len() + more.sum::<usize>()
}

/// Writes a JSON string: `"`, `\` and control characters escaped, everything else as it is (some ports cannot
/// read surrogate pairs).
pub(super) fn write_string(out: &mut BytesMut, text: &str) {
    out.extend_from_slice(b"\"");
    write_escaped(out, text);
    out.extend_from_slice(b"\"");
}

/// The same without the quotes.
fn write_escaped(out: &mut BytesMut, text: &str) {
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
        } else if needs_escape(byte as u8) {
            table[byte] = 6;
        }
        byte += 1;
    }
    table
};

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
}
