//! The wire names of both dialects, once.

/// Which spelling of the keys a message uses. Readers understand both, in any mixture.
///
/// # Examples
/// ```
/// use natsbridge::{Dialect, Envelope};
///
/// let envelope = Envelope::decode(br#"{"msg_id":"7","payloads":[]}"#.as_slice())?;
/// assert_eq!(envelope.dialect(), Dialect::Snake);
/// # Ok::<(), natsbridge::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Dialect {
    /// `correlationId`, `msgId`, `type`: ports up to 0.4.2, and what is written by default.
    #[default]
    Camel,
    /// `correlation_id`, `msg_id`, `payload_type`: later releases.
    Snake,
}

impl Dialect {
    /// The default limit, in raw bytes, from which a payload travels by link (SPEC `PLAN`).
    pub fn default_threshold(self) -> u64 {
        match self {
            Self::Camel => 1_000_000,
            Self::Snake => 500_000,
        }
    }
}

/// Top-level keys in the order in which they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Field {
    CorrelationId,
    MsgId,
    Timestamp,
    SendTo,
    MsgPurpose,
    SenderName,
    SenderId,
    ReceiverName,
    ReceiverId,
    ReplyTo,
    ReplyToMsgId,
    BrokerUrl,
    Metadata,
    Payloads,
}

/// How many of the top-level fields are strings: all before `Metadata`.
pub(crate) const STRING_FIELDS: usize = Field::Metadata as usize;

/// Keys of a payload object in the order in which they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum PayloadField {
    Id,
    Dataname,
    Type,
    Transport,
    Encoding,
    Size,
    Data,
    Metadata,
}

/// One key in both spellings; the same text twice where the dialects agree.
pub(crate) struct Name<F> {
    pub(crate) field: F,
    pub(crate) camel: &'static str,
    pub(crate) snake: &'static str,
}

impl<F> Name<F> {
    pub(crate) const fn text(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Camel => self.camel,
            Dialect::Snake => self.snake,
        }
    }
}

const fn name<F>(field: F, camel: &'static str, snake: &'static str) -> Name<F> {
    Name { field, camel, snake }
}

pub(crate) const FIELDS: [Name<Field>; 14] = [
    name(Field::CorrelationId, "correlationId", "correlation_id"),
    name(Field::MsgId, "msgId", "msg_id"),
    name(Field::Timestamp, "timestamp", "timestamp"),
    name(Field::SendTo, "sendTo", "send_to"),
    name(Field::MsgPurpose, "msgPurpose", "msg_purpose"),
    name(Field::SenderName, "senderName", "sender_name"),
    name(Field::SenderId, "senderId", "sender_id"),
    name(Field::ReceiverName, "receiverName", "receiver_name"),
    name(Field::ReceiverId, "receiverId", "receiver_id"),
    name(Field::ReplyTo, "replyTo", "reply_to"),
    name(Field::ReplyToMsgId, "replyToMsgId", "reply_to_msg_id"),
    name(Field::BrokerUrl, "brokerURL", "broker_url"),
    name(Field::Metadata, "metadata", "metadata"),
    name(Field::Payloads, "payloads", "payloads"),
];

pub(crate) const PAYLOAD_FIELDS: [Name<PayloadField>; 8] = [
    name(PayloadField::Id, "id", "id"),
    name(PayloadField::Dataname, "dataname", "dataname"),
    name(PayloadField::Type, "type", "payload_type"),
    name(PayloadField::Transport, "transport", "transport"),
    name(PayloadField::Encoding, "encoding", "encoding"),
    name(PayloadField::Size, "size", "size"),
    name(PayloadField::Data, "data", "data"),
    name(PayloadField::Metadata, "metadata", "metadata"),
];

/// A third spelling, from an early draft of the format; read, never written, and counted as camelCase.
const DRAFT_BROKER_URL: &str = "BrokerURL";

/// Finds a top-level key: its field, and the dialect that this spelling gives away, if any.
///
/// `guess` is the position at which the key would stand in a message written in order, so that such a message
/// is read with one comparison a key.
pub(crate) fn find_field(key: &[u8], guess: usize) -> Option<(Field, Option<Dialect>)> {
    find(&FIELDS, key, guess)
        .or_else(|| (key == DRAFT_BROKER_URL.as_bytes()).then_some((Field::BrokerUrl, Some(Dialect::Camel))))
}

/// Finds a key of a payload object; see [`find_field`].
pub(crate) fn find_payload_field(key: &[u8], guess: usize) -> Option<(PayloadField, Option<Dialect>)> {
    find(&PAYLOAD_FIELDS, key, guess)
}

fn find<F: Copy>(table: &[Name<F>], key: &[u8], guess: usize) -> Option<(F, Option<Dialect>)> {
    let spelled = |name: &Name<F>| {
        if key == name.camel.as_bytes() {
            Some((name.field, (name.camel != name.snake).then_some(Dialect::Camel)))
        } else if key == name.snake.as_bytes() {
            Some((name.field, Some(Dialect::Snake)))
        } else {
            None
        }
    };
    table.get(guess).and_then(spelled).or_else(|| table.iter().find_map(spelled))
}
