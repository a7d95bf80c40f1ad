//! The envelope: one JSON object a message, its fields, and its payloads as views into the received bytes.
//!
//! ```text
//! write   MessageFields + PayloadFields ─► encode ─► Bytes
//! read    Bytes ─► decode (scan) ─► Envelope ─► PayloadView ─► Content, decoded only when asked for
//! ```

mod bounds;
mod content;
mod decode;
mod early;
mod encode;
pub(crate) mod escape;
mod metadata;
mod names;
pub(crate) mod scan;
mod size;
mod strings;

use std::fmt;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

pub use self::content::{Base64Text, Content};
use self::early::{Decoded, Early};
pub use self::encode::{Data, MessageFields, PayloadFields, encode, encoded_len, payload_entry_len};
pub(crate) use self::metadata::Sha256Entry;
pub use self::metadata::{Metadata, MetadataView};
pub use self::names::Dialect;
use self::names::{Field, PAYLOAD_STRING_FIELDS, PayloadField, STRING_FIELDS};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{Limits, ReadLimits};
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
    resolved: Vec<u8>,
    dialect: Dialect,
    strings: [Text; STRING_FIELDS],
    metadata: Span,
    payloads: SmallVec<[Entry; INLINE_PAYLOADS]>,
    /// The payloads that were decoded while the message was read.
    decoded: Bytes,
    /// How its payloads may be read.
    limits: ReadLimits,
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
///
/// Small, because there are many: a text in `resolved` has its ends swapped. It is never empty, as no escape is, so the
/// two cannot be taken for each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Text(Span);

impl Text {
    fn in_body(span: Span) -> Self {
        Self(span)
    }

    /// `span` is not empty.
    fn in_resolved(span: Span) -> Self {
        Self(Span { start: span.end, end: span.start })
    }

    fn is_empty(self) -> bool {
        self.0.start == self.0.end
    }

    fn len(self) -> usize {
        self.0.start.abs_diff(self.0.end) as usize
    }

    /// The text itself, out of the message or of the resolved strings.
    #[inline]
    fn of<'a>(self, body: &'a [u8], resolved: &'a [u8]) -> &'a str {
        // The scanner has checked every string's bytes, so this cannot fail; checking a short string again is cheaper
        // than `unsafe` is to defend.
        std::str::from_utf8(self.bytes_of(body, resolved)).unwrap_or_default()
    }

    #[inline]
    fn bytes_of<'a>(self, body: &'a [u8], resolved: &'a [u8]) -> &'a [u8] {
        let Span { start, end } = self.0;
        if start <= end { &body[self.0.range()] } else { &resolved[end as usize..start as usize] }
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
    texts: [Text; PAYLOAD_STRING_FIELDS],
    /// What `transport` means.
    way: Option<Transport>,
    size: Size,
    data: DataSpan,
    /// Where its bytes are in [`Envelope::decoded`] or the caller's buffer, if they were decoded while the message was
    /// read.
    decoded: Option<Decoded>,
    metadata: Span,
    /// Why this payload cannot be read, and where; the first reason found.
    defect: Option<(u32, Defect)>,
}

impl Entry {
    /// The text of a field that is a string.
    fn text(&self, field: PayloadField) -> Text {
        self.texts.get(field as usize).copied().unwrap_or_default()
    }

    /// Nothing for a field that is no string.
    fn set_text(&mut self, field: PayloadField, text: Text) {
        if let Some(place) = self.texts.get_mut(field as usize) {
            *place = text;
        }
    }
}

/// An announced size; none is kept as a number that no size can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size(u64);

impl Default for Size {
    fn default() -> Self {
        Self(u64::MAX)
    }
}

impl Size {
    fn get(self) -> Option<u64> {
        (self != Self::default()).then_some(self.0)
    }
}

/// What can be wrong with a payload alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    NoObject,
    SizeNotWhole,
    SizeNoNumber,
    DataNoString,
    MetadataNoObject,
    NoString,
    NoType,
    NoTransport,
    UnknownTransport,
    NoData,
    LinkNoString,
    TypeNoInlineJson,
    TooLong,
}

impl Defect {
    fn kind(self) -> ErrorKind {
        match self {
            Self::TooLong => ErrorKind::LimitExceeded,
            _ => ErrorKind::InvalidPayload,
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::NoObject => "a payload must be an object",
            Self::SizeNotWhole => "size must be a whole number from 0 to 2^63-1",
            Self::SizeNoNumber => "size must be a number",
            Self::DataNoString => "data must be a string",
            Self::MetadataNoObject => "metadata must be an object",
            Self::NoString => "this key's value must be a string",
            Self::NoType => "the payload has no type",
            Self::NoTransport => "the payload has no transport",
            Self::UnknownTransport => "unknown transport",
            Self::NoData => "the payload has no data",
            Self::LinkNoString => "a link's data must be a string",
            Self::TypeNoInlineJson => "data of this type must be a string",
            Self::TooLong => "the payload is longer than `Limits::payload_len` allows",
        }
    }
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

    fn from_name(name: &str) -> Option<Self> {
        match name {
            "direct" => Some(Self::Direct),
            "link" => Some(Self::Link),
            _ => None,
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
        decode::decode(message.into(), limits, None, true)
    }

    /// The same, and base64 is decoded into `out` while the message is read, where that is the shortest way: no byte of
    /// it is then read twice. [`PayloadView::decode`] hands such a payload out without a copy.
    ///
    /// Everything else is as if the message had been read by [`decode_with`](Self::decode_with): the same messages are
    /// accepted, payloads fail alone, with the same errors, and only when they are asked for.
    ///
    /// What `out` held before is dropped. The decoded bytes are split off and shared, so `out` comes back empty; used for
    /// message after message, its memory is used again as soon as no envelope and no payload from it is left, and
    /// nothing is allocated. A payload that is kept keeps the bytes of all payloads of its message, and their buffer.
    ///
    /// # Errors
    /// As [`decode_with`](Self::decode_with).
    ///
    /// # Cost
    /// One pass. For the first payload to decode, `out` grows by one [`reserve`](BytesMut::reserve) of three quarters of
    /// the message's remaining length and 64 bytes. Decoded now are direct payloads without escapes in their text, as
    /// long as that room is enough for them and for the gaps that align each to 64 bytes; the others when they are asked
    /// for, each into memory of its own. Where type, transport and right size come before the data, as in the documented
    /// order of keys, the text is read once; elsewhere it is searched for its end first.
    ///
    /// # Examples
    /// ```
    /// use natsbridge::{Envelope, Limits};
    ///
    /// let message = br#"{"payloads":[
    ///     {"dataname":"greeting","type":"text","transport":"direct","size":5,"data":"SGVsbG8="}]}"#;
    /// let mut buffer = bytes::BytesMut::new();
    /// for _ in 0..3 {
    ///     // The buffer is the same each time.
    ///     let envelope = Envelope::decode_into(message.as_slice(), &Limits::default(), &mut buffer)?;
    ///     assert_eq!(envelope.payload(0).expect("there is one").decode()?.text()?, "Hello");
    /// }
    /// # Ok::<(), natsbridge::Error>(())
    /// ```
    pub fn decode_into(message: impl Into<Bytes>, limits: &Limits, out: &mut BytesMut) -> Result<Self> {
        out.clear();
        decode::decode(message.into(), limits, Some(Early::Shared(out)), true)
    }

    /// The same with a buffer that the caller keeps: the decoded bytes stay in `out`, where
    /// [`PayloadView::bytes_in`] finds them. The quickest way to a small payload, because nothing is counted that is
    /// shared.
    ///
    /// What `out` held before is dropped. [`PayloadView::decode`] works as always, and decodes once more.
    ///
    /// # Errors
    /// As [`decode_with`](Self::decode_with).
    ///
    /// # Cost
    /// As [`decode_into`](Self::decode_into).
    ///
    /// # Examples
    /// ```
    /// use natsbridge::{Envelope, Limits};
    ///
    /// let message = br#"{"payloads":[
    ///     {"dataname":"greeting","type":"text","transport":"direct","size":5,"data":"SGVsbG8="}]}"#;
    /// let mut buffer = Vec::new();
    /// let envelope = Envelope::decode_into_vec(message.as_slice(), &Limits::default(), &mut buffer)?;
    /// let greeting = envelope.payload(0).expect("there is one").bytes_in(&buffer)?;
    /// assert_eq!(*greeting, *b"Hello");
    /// # Ok::<(), natsbridge::Error>(())
    /// ```
    pub fn decode_into_vec(message: impl Into<Bytes>, limits: &Limits, out: &mut Vec<u8>) -> Result<Self> {
        out.clear();
        decode::decode(message.into(), limits, Some(Early::Kept(out)), true)
    }

    /// [`decode_with`](Self::decode_with) by the general path alone: what the fast ones are compared with.
    #[doc(hidden)]
    pub fn decode_in_any_order(message: impl Into<Bytes>, limits: &Limits) -> Result<Self> {
        decode::decode(message.into(), limits, None, false)
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

    /// A message of which nothing has been read.
    #[inline]
    fn unread(body: Bytes, limits: &Limits) -> Self {
        Self {
            body,
            resolved: Vec::new(),
            dialect: Dialect::default(),
            strings: Default::default(),
            metadata: Span::default(),
            payloads: SmallVec::new(),
            decoded: Bytes::new(),
            limits: limits.reading(),
        }
    }

    /// A message without anything in it.
    #[cfg(feature = "nats")]
    pub(crate) fn empty() -> Self {
        Self::unread(Bytes::new(), &Limits::default())
    }

    fn string(&self, field: Field) -> &str {
        // `field as usize` is below STRING_FIELDS for every field that a method above names.
        self.strings.get(field as usize).map_or("", |text| self.text(*text))
    }

    fn text(&self, text: Text) -> &str {
        text.of(&self.body, &self.resolved)
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
        self.text(PayloadField::Id)
    }

    /// Its name, as the sender chose it: never use it as a path unchecked.
    pub fn dataname(&self) -> &'a str {
        self.text(PayloadField::Dataname)
    }

    /// The type's name on the wire.
    pub fn type_name(&self) -> &'a str {
        self.text(PayloadField::Type)
    }

    /// What the type's name means.
    pub fn payload_type(&self) -> PayloadType {
        let Envelope { body, resolved, .. } = self.envelope;
        PayloadType::from_bytes(self.entry.text(PayloadField::Type).bytes_of(body, resolved))
    }

    /// How it travels; `None` for a transport that nobody knows, which [`content`](Self::content) reports.
    pub fn transport(&self) -> Option<Transport> {
        self.entry.way
    }

    /// The `encoding` as written. Ports disagree on it, and nothing depends on it.
    pub fn encoding(&self) -> &'a str {
        self.text(PayloadField::Encoding)
    }

    /// The number of raw bytes that the sender announced, if it did.
    pub fn size(&self) -> Option<u64> {
        self.entry.size.get()
    }

    /// The payload's metadata; empty where it is missing.
    pub fn metadata(&self) -> MetadataView<'a> {
        MetadataView::new(&self.envelope.body[self.entry.metadata.range()])
    }

    fn text(&self, field: PayloadField) -> &'a str {
        self.envelope.text(self.entry.text(field))
    }

    /// What is wrong with this payload's entry, if anything.
    pub fn defect(&self) -> Option<Error> {
        self.entry.defect.map(|(offset, what)| {
            Error::new(what.kind(), what.what()).at(u64::from(offset)).in_payload(self.index)
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
            .field("defect", &self.entry.defect.map(|(offset, what)| (offset, what.what())))
            .finish_non_exhaustive()
    }
}
