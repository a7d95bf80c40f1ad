//! The envelope: one JSON object a message, its fields, and its payloads as views into the received bytes.
//!
//! ```text
//! write   MessageFields + PayloadFields ─► encode ─► Bytes
//! read    Bytes ─► decode (scan) ─► Envelope ─► PayloadView ─► Content, decoded only when asked for
//! ```

mod content;
mod decode;
mod encode;
mod metadata;
mod names;
pub(crate) mod scan;

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

pub use self::content::{Base64Text, Content};
pub use self::encode::{Data, MessageFields, PayloadFields, encode, encoded_len, payload_entry_len};
pub(crate) use self::metadata::Sha256Entry;
pub use self::metadata::{Metadata, MetadataView};
pub use self::names::Dialect;
use self::names::{Field, STRING_FIELDS};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::payload::PayloadType;

/// A received message: its fields as text, its payloads as views. Nothing is copied out of the message but
/// strings that hold escapes, and no base64 is decoded before it is asked for.
///
/// A view keeps the whole receive buffer of the NATS client alive; [`into_owned`](Self::into_owned) lets go of it.
/// Cloning shares the bytes.
///
/// # Examples
/// ```
/// use natsbridge::Envelope;
///
/// let message = br#"{"correlationId":"c-1","payloads":[
///     {"dataname":"greeting","type":"text","transport":"direct","size":5,"data":"SGVsbG8="}]}"#;
/// let envelope = Envelope::decode(message.as_slice())?;
/// assert_eq!(envelope.correlation_id(), "c-1");
/// assert_eq!(envelope.sender_name(), ""); // missing
/// let payload = envelope.payload(0).expect("there is one");
/// assert_eq!(payload.decode()?.text()?, "Hello");
/// # Ok::<(), natsbridge::Error>(())
/// ```
#[derive(Clone)]
pub struct Envelope {
    body: Bytes,
    /// The strings that held escapes, resolved, one after the other.
    resolved: String,
    dialect: Dialect,
    strings: [Text; STRING_FIELDS],
    metadata: Span,
    payloads: SmallVec<[Entry; INLINE_PAYLOADS]>,
}

/// Up to this many payloads are read without an allocation.
const INLINE_PAYLOADS: usize = 8;

/// A slice of the message. Invariant: `start <= end <= body.len()`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Where a string's text is: in the message as it stands, or in `resolved` because it held escapes.
#[derive(Debug, Clone, Copy)]
enum Text {
    Body(Span),
    Resolved(Span),
}

impl Default for Text {
    fn default() -> Self {
        Self::Body(Span::default())
    }
}

/// What stands behind the key `data`.
#[derive(Debug, Clone, Copy, Default)]
enum DataSpan {
    #[default]
    Missing,
    /// A string's content, still with its escapes if it has any.
    String { span: Span, escaped: bool },
    /// A JSON object or array taken as it is.
    Json(Span),
}

/// One element of `payloads`.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    id: Text,
    dataname: Text,
    type_name: Text,
    transport: Text,
    encoding: Text,
    size: Option<u64>,
    data: DataSpan,
    metadata: Span,
    /// Why this payload cannot be read, and where; the first reason found.
    defect: Option<(u32, &'static str)>,
}

/// How a payload travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// Inside the message, as base64.
    Direct,
    /// On a file server; the message holds its URL.
    Link,
}

impl Transport {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Link => "link",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Envelope {
    /// Reads a message with the default [`Limits`]; see [`decode_with`](Self::decode_with).
    ///
    /// # Errors
    /// As [`decode_with`](Self::decode_with).
    pub fn decode(message: impl Into<Bytes>) -> Result<Self> {
        Self::decode_with(message, &Limits::default())
    }

    /// Reads a message in either dialect, keys in any order.
    ///
    /// A payload whose own entry is unusable does not fail the message: its
    /// [`content`](PayloadView::content) returns the error.
    ///
    /// # Errors
    /// [`Malformed`](ErrorKind::Malformed) with the byte offset for anything but one strict JSON object with a
    /// `payloads` array, for a known key given twice (in one spelling or two) and for a known top-level key of the
    /// wrong JSON type; [`LimitExceeded`](ErrorKind::LimitExceeded) above `limits`.
    ///
    /// # Cost
    /// One pass; no allocation for up to 8 payloads and strings without escapes.
    pub fn decode_with(message: impl Into<Bytes>, limits: &Limits) -> Result<Self> {
        decode::decode(message.into(), limits)
    }

    /// The dialect of the first key whose spelling tells it; camelCase where none does.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The message as it was received.
    pub fn as_bytes(&self) -> &Bytes {
        &self.body
    }

    /// Joins the messages of one exchange; tracing uses it.
    pub fn correlation_id(&self) -> &str {
        self.string(Field::CorrelationId)
    }

    /// This message's own id.
    pub fn msg_id(&self) -> &str {
        self.string(Field::MsgId)
    }

    /// When it was written, as the sender wrote it.
    pub fn timestamp(&self) -> &str {
        self.string(Field::Timestamp)
    }

    /// The timestamp parsed leniently: without a zone (UTC is meant), with 0 to 9 fractional digits, `Z` or an
    /// offset. `None` where it cannot be read or lies before 1970.
    pub fn sent_at(&self) -> Option<std::time::SystemTime> {
        crate::timestamp::parse(self.timestamp())
    }

    /// The NATS subject that the sender meant.
    pub fn send_to(&self) -> &str {
        self.string(Field::SendTo)
    }

    /// What the message is for: `chat`, `request`, `ACK`, `NACK`, `updateStatus`, `shutdown` and whatever else.
    pub fn msg_purpose(&self) -> &str {
        self.string(Field::MsgPurpose)
    }

    /// The sender's name.
    pub fn sender_name(&self) -> &str {
        self.string(Field::SenderName)
    }

    /// The sender's id.
    pub fn sender_id(&self) -> &str {
        self.string(Field::SenderId)
    }

    /// The receiver's name.
    pub fn receiver_name(&self) -> &str {
        self.string(Field::ReceiverName)
    }

    /// The receiver's id; empty for everybody on the subject.
    pub fn receiver_id(&self) -> &str {
        self.string(Field::ReceiverId)
    }

    /// The application's reply subject.
    pub fn reply_to(&self) -> &str {
        self.string(Field::ReplyTo)
    }

    /// The id of the message that this one answers.
    pub fn reply_to_msg_id(&self) -> &str {
        self.string(Field::ReplyToMsgId)
    }

    /// The sender's NATS server; may be a bare host.
    pub fn broker_url(&self) -> &str {
        self.string(Field::BrokerUrl)
    }

    /// The message's metadata; empty where it is missing.
    pub fn metadata(&self) -> MetadataView<'_> {
        MetadataView::new(&self.body[self.metadata.range()])
    }

    /// How many payloads there are.
    pub fn payload_count(&self) -> usize {
        self.payloads.len()
    }

    /// The payload at `index`, counted from 0.
    pub fn payload(&self, index: usize) -> Option<PayloadView<'_>> {
        self.payloads.get(index).map(|entry| PayloadView { envelope: self, entry, index })
    }

    /// The first payload with this name.
    pub fn payload_named(&self, dataname: &str) -> Option<PayloadView<'_>> {
        self.payloads().find(|payload| payload.dataname() == dataname)
    }

    /// The payloads in order.
    pub fn payloads(&self) -> impl ExactSizeIterator<Item = PayloadView<'_>> {
        self.payloads.iter().enumerate().map(|(index, entry)| PayloadView { envelope: self, entry, index })
    }

    /// The same envelope over a copy of its bytes, so that the buffer they arrived in can be freed.
    #[must_use]
    pub fn into_owned(mut self) -> Self {
        self.body = Bytes::copy_from_slice(&self.body);
        self
    }

    /// A message without anything in it.
    #[cfg(feature = "nats")]
    pub(crate) fn empty() -> Self {
        Self {
            body: Bytes::new(),
            resolved: String::new(),
            dialect: Dialect::default(),
            strings: Default::default(),
            metadata: Span::default(),
            payloads: SmallVec::new(),
        }
    }

    fn string(&self, field: Field) -> &str {
        // `field as usize` is below STRING_FIELDS for every field that a method above names.
        self.strings.get(field as usize).map_or("", |text| self.text(*text))
    }

    fn text(&self, text: Text) -> &str {
        match text {
            // The scanner has checked every string's bytes, so this cannot fail; checking a short string again is
            // cheaper than `unsafe` is to defend.
            Text::Body(span) => std::str::from_utf8(&self.body[span.range()]).unwrap_or_default(),
            Text::Resolved(span) => &self.resolved[span.range()],
        }
    }
}

impl fmt::Debug for Envelope {
    /// The fields, without payload data: it may be secret, and is long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("dialect", &self.dialect)
            .field("correlation_id", &self.correlation_id())
            .field("msg_id", &self.msg_id())
            .field("timestamp", &self.timestamp())
            .field("send_to", &self.send_to())
            .field("msg_purpose", &self.msg_purpose())
            .field("sender_name", &self.sender_name())
            .field("receiver_name", &self.receiver_name())
            .field("payloads", &self.payloads().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// One payload of a received message, still undecoded.
#[derive(Clone, Copy)]
pub struct PayloadView<'a> {
    envelope: &'a Envelope,
    entry: &'a Entry,
    index: usize,
}

impl<'a> PayloadView<'a> {
    /// Its position in the message, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its id.
    pub fn id(&self) -> &'a str {
        self.envelope.text(self.entry.id)
    }

    /// Its name, as the sender chose it: never use it as a path unchecked.
    pub fn dataname(&self) -> &'a str {
        self.envelope.text(self.entry.dataname)
    }

    /// The type's name on the wire.
    pub fn type_name(&self) -> &'a str {
        self.envelope.text(self.entry.type_name)
    }

    /// What the type's name means.
    pub fn payload_type(&self) -> PayloadType {
        PayloadType::from_name(self.type_name())
    }

    /// How it travels; `None` for a transport that nobody knows, which [`content`](Self::content) reports.
    pub fn transport(&self) -> Option<Transport> {
        match self.envelope.text(self.entry.transport) {
            "direct" => Some(Transport::Direct),
            "link" => Some(Transport::Link),
            _ => None,
        }
    }

    /// The `encoding` as written. Ports disagree on it, and nothing depends on it.
    pub fn encoding(&self) -> &'a str {
        self.envelope.text(self.entry.encoding)
    }

    /// The number of raw bytes that the sender announced, if it did.
    pub fn size(&self) -> Option<u64> {
        self.entry.size
    }

    /// The payload's metadata; empty where it is missing.
    pub fn metadata(&self) -> MetadataView<'a> {
        MetadataView::new(&self.envelope.body[self.entry.metadata.range()])
    }

    /// What is wrong with this payload's entry, if anything.
    pub fn defect(&self) -> Option<Error> {
        self.entry.defect.map(|(offset, what)| {
            Error::new(ErrorKind::InvalidPayload, what).at(u64::from(offset)).in_payload(self.index)
        })
    }
}

impl fmt::Debug for PayloadView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayloadView")
            .field("dataname", &self.dataname())
            .field("type", &self.type_name())
            .field("transport", &self.transport())
            .field("size", &self.size())
            .field("defect", &self.entry.defect)
            .finish_non_exhaustive()
    }
}
