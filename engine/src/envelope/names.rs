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

/// Everything that a message of one dialect has between its values, joined when this is compiled: what ends the value
/// before, the key, and what begins its own value. All but the first piece of an object begin with what ends a string.
pub(crate) trait Spelling {
    const DIALECT: Dialect;
    /// `{"correlationId":"`, then `","msgId":"` and so on, as far as values are strings.
    const STRINGS: [&'static [u8]; STRING_FIELDS];
    /// `","metadata":`
    const METADATA: &'static [u8];
    /// `,"payloads":[`
    const PAYLOADS: &'static [u8];
    /// Both for a message without metadata.
    const NO_METADATA_PAYLOADS: &'static [u8];
    /// `{"id":"`
    const ID: &'static [u8];
    /// `","dataname":"`
    const DATANAME: &'static [u8];
    /// `","type":"`: of a payload's keys the only one that the dialects spell differently.
    const TYPE: &'static [u8];
    /// Transport and encoding of a direct payload, up to the digits of its size.
    const DIRECT_SIZE: &'static [u8];
    /// The same for a link.
    const LINK_SIZE: &'static [u8];
    /// `,"data":"`
    const DATA: &'static [u8];
    /// `","metadata":`, which an object and the payload's closing brace follow.
    const PAYLOAD_METADATA: &'static [u8];
    /// The same for a payload without metadata, to its end.
    const NO_PAYLOAD_METADATA: &'static [u8];
}

/// The spelling of camelCase.
pub(crate) struct Camel;

/// The spelling of snake_case.
pub(crate) struct Snake;

const fn key(field: Field, dialect: Dialect) -> &'static str {
    FIELDS[field as usize].text(dialect)
}

const fn payload_key(field: PayloadField, dialect: Dialect) -> &'static str {
    PAYLOAD_FIELDS[field as usize].text(dialect)
}

const fn joined_len(parts: &[&str]) -> usize {
    let (mut len, mut part) = (0, 0);
    while part < parts.len() {
        len += parts[part].len();
        part += 1;
    }
    len
}

const fn join<const LEN: usize>(parts: &[&str]) -> [u8; LEN] {
    let mut joined = [0; LEN];
    let (mut at, mut part) = (0, 0);
    while part < parts.len() {
        let bytes = parts[part].as_bytes();
        let mut byte = 0;
        while byte < bytes.len() {
            joined[at] = bytes[byte];
            at += 1;
            byte += 1;
        }
        part += 1;
    }
    assert!(at == LEN);
    joined
}

macro_rules! joined {
    ($($part:expr),+) => {{
        const PARTS: &[&str] = &[$($part),+];
        const JOINED: [u8; joined_len(PARTS)] = join(PARTS);
        &JOINED
    }};
}

macro_rules! spelling {
    ($name:ident, $dialect:expr) => {
        impl Spelling for $name {
            const DIALECT: Dialect = $dialect;
            const STRINGS: [&'static [u8]; STRING_FIELDS] = [
                joined!("{\"", key(Field::CorrelationId, $dialect), "\":\""),
                joined!("\",\"", key(Field::MsgId, $dialect), "\":\""),
                joined!("\",\"", key(Field::Timestamp, $dialect), "\":\""),
                joined!("\",\"", key(Field::SendTo, $dialect), "\":\""),
                joined!("\",\"", key(Field::MsgPurpose, $dialect), "\":\""),
                joined!("\",\"", key(Field::SenderName, $dialect), "\":\""),
                joined!("\",\"", key(Field::SenderId, $dialect), "\":\""),
                joined!("\",\"", key(Field::ReceiverName, $dialect), "\":\""),
                joined!("\",\"", key(Field::ReceiverId, $dialect), "\":\""),
                joined!("\",\"", key(Field::ReplyTo, $dialect), "\":\""),
                joined!("\",\"", key(Field::ReplyToMsgId, $dialect), "\":\""),
                joined!("\",\"", key(Field::BrokerUrl, $dialect), "\":\""),
            ];
            const METADATA: &'static [u8] = joined!("\",\"", key(Field::Metadata, $dialect), "\":");
            const PAYLOADS: &'static [u8] = joined!(",\"", key(Field::Payloads, $dialect), "\":[");
            const NO_METADATA_PAYLOADS: &'static [u8] = joined!(
                "\",\"",
                key(Field::Metadata, $dialect),
                "\":{},\"",
                key(Field::Payloads, $dialect),
                "\":["
            );
            const ID: &'static [u8] = joined!("{\"", payload_key(PayloadField::Id, $dialect), "\":\"");
            const DATANAME: &'static [u8] =
                joined!("\",\"", payload_key(PayloadField::Dataname, $dialect), "\":\"");
            const TYPE: &'static [u8] = joined!("\",\"", payload_key(PayloadField::Type, $dialect), "\":\"");
            const DIRECT_SIZE: &'static [u8] = joined!(
                "\",\"",
                payload_key(PayloadField::Transport, $dialect),
                "\":\"direct\",\"",
                payload_key(PayloadField::Encoding, $dialect),
                "\":\"base64\",\"",
                payload_key(PayloadField::Size, $dialect),
                "\":"
            );
            const LINK_SIZE: &'static [u8] = joined!(
                "\",\"",
                payload_key(PayloadField::Transport, $dialect),
                "\":\"link\",\"",
                payload_key(PayloadField::Encoding, $dialect),
                "\":\"none\",\"",
                payload_key(PayloadField::Size, $dialect),
                "\":"
            );
            const DATA: &'static [u8] = joined!(",\"", payload_key(PayloadField::Data, $dialect), "\":\"");
            const PAYLOAD_METADATA: &'static [u8] =
                joined!("\",\"", payload_key(PayloadField::Metadata, $dialect), "\":");
            const NO_PAYLOAD_METADATA: &'static [u8] =
                joined!("\",\"", payload_key(PayloadField::Metadata, $dialect), "\":{}}");
        }
    };
}

spelling!(Camel, Dialect::Camel);
spelling!(Snake, Dialect::Snake);

/// A third spelling, from an early draft of the format; read, never written, and counted as camelCase.
const DRAFT_BROKER_URL: &str = "BrokerURL";

/// Finds a top-level key: its field, and the dialect that this spelling gives away, if any.
#[inline]
pub(crate) fn find_field(key: &[u8]) -> Option<(Field, Option<Dialect>)> {
    const SLOTS: [u8; SLOT_COUNT] = slots(&FIELDS);
    find(&FIELDS, &SLOTS, key)
        .or_else(|| (key == DRAFT_BROKER_URL.as_bytes()).then_some((Field::BrokerUrl, Some(Dialect::Camel))))
}

/// Finds a key of a payload object; see [`find_field`].
#[inline]
pub(crate) fn find_payload_field(key: &[u8]) -> Option<(PayloadField, Option<Dialect>)> {
    const SLOTS: [u8; SLOT_COUNT] = slots(&PAYLOAD_FIELDS);
    find(&PAYLOAD_FIELDS, &SLOTS, key)
}

#[inline(always)]
fn find<F: Copy>(table: &[Name<F>], slots: &[u8; SLOT_COUNT], key: &[u8]) -> Option<(F, Option<Dialect>)> {
    let name = table.get(usize::from(slots[slot(key)]))?;
    if key == name.camel.as_bytes() {
        Some((name.field, (name.camel != name.snake).then_some(Dialect::Camel)))
    } else if key == name.snake.as_bytes() {
        Some((name.field, Some(Dialect::Snake)))
    } else {
        None
    }
}

const SLOT_COUNT: usize = 128;

/// The slot of a key: no two known keys of one table have the same, which is checked when the tables are made.
#[inline(always)]
const fn slot(key: &[u8]) -> usize {
    if key.is_empty() {
        return 0;
    }
    (key.len() + 2 * key[0] as usize + 3 * key[key.len() / 2] as usize) % SLOT_COUNT
}

/// Which place of its table the key of each slot has, if there is one; otherwise a number beyond all places.
const fn slots<F: Copy>(table: &[Name<F>]) -> [u8; SLOT_COUNT] {
    let mut slots = [u8::MAX; SLOT_COUNT];
    let mut place = 0;
    while place < table.len() {
        let spellings = [table[place].camel, table[place].snake];
        let mut spelling = 0;
        while spelling < spellings.len() {
            let slot = slot(spellings[spelling].as_bytes());
            assert!(slots[slot] == u8::MAX || slots[slot] == place as u8, "two keys in one slot");
            slots[slot] = place as u8;
            spelling += 1;
        }
        place += 1;
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_and_nothing_else() {
        for name in &FIELDS {
            let telling = name.camel != name.snake;
            assert_eq!(
                find_field(name.camel.as_bytes()),
                Some((name.field, telling.then_some(Dialect::Camel)))
            );
            if telling {
                assert_eq!(find_field(name.snake.as_bytes()), Some((name.field, Some(Dialect::Snake))));
            }
        }
        for name in &PAYLOAD_FIELDS {
            assert_eq!(find_payload_field(name.camel.as_bytes()).map(|found| found.0), Some(name.field));
            assert_eq!(find_payload_field(name.snake.as_bytes()).map(|found| found.0), Some(name.field));
        }
        assert_eq!(find_field(b"BrokerURL"), Some((Field::BrokerUrl, Some(Dialect::Camel))));
        for unknown in ["", "x", "correlationid", "msgID", "broker_URL", "payload", "payloadss"] {
            assert_eq!(find_field(unknown.as_bytes()), None, "{unknown}");
            assert_eq!(find_payload_field(unknown.as_bytes()), None, "{unknown}");
        }
    }
}
