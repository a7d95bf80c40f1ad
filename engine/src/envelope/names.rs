//! The wire names of both dialects, once.

use crate::base64::arch::PIECE;

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

/// How many of a payload's fields are strings: all before `Size`.
pub(crate) const PAYLOAD_STRING_FIELDS: usize = PayloadField::Size as usize;

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

/// A piece of a message in the documented order of keys: short enough to be compared at once.
pub(crate) struct Piece {
    /// Zeros behind it.
    pub(crate) bytes: [u8; PIECE],
    /// A bit for each byte of it.
    pub(crate) mask: u32,
    pub(crate) len: usize,
}

impl Piece {
    /// The piece without its first bytes, which have been read.
    const fn behind(read: usize, piece: &[u8]) -> Self {
        let mut bytes = [0; PIECE];
        let len = piece.len() - read;
        assert!(len < PIECE, "longer than a piece may be");
        let mut at = 0;
        while at < len {
            bytes[at] = piece[read + at];
            at += 1;
        }
        Self { bytes, mask: (1 << len) - 1, len }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// What follows the closing quotes of the top-level strings, in one dialect.
pub(crate) struct Order {
    pub(crate) dialect: Dialect,
    /// The last is what follows the last string in a message without metadata, up to the first payload.
    pub(crate) behind: [Piece; STRING_FIELDS],
    /// What follows the last string in any other, up to the object.
    pub(crate) metadata: Piece,
    /// What follows the metadata.
    pub(crate) payloads: Piece,
}

const fn order<S: Spelling>() -> Order {
    let mut behind = [const { Piece::behind(0, b"") }; STRING_FIELDS];
    let mut field = 1;
    while field < STRING_FIELDS {
        behind[field - 1] = Piece::behind(1, S::STRINGS[field]);
        field += 1;
    }
    behind[STRING_FIELDS - 1] = Piece::behind(1, S::NO_METADATA_PAYLOADS);
    Order {
        dialect: S::DIALECT,
        behind,
        metadata: Piece::behind(1, S::METADATA),
        payloads: Piece::behind(0, S::PAYLOADS),
    }
}

pub(crate) static CAMEL_ORDER: Order = order::<Camel>();
pub(crate) static SNAKE_ORDER: Order = order::<Snake>();

/// What follows the closing quotes of a payload's first strings, the second in either dialect.
pub(crate) static DATANAME: Piece = Piece::behind(1, Camel::DATANAME);
pub(crate) static CAMEL_TYPE: Piece = Piece::behind(1, Camel::TYPE);
pub(crate) static SNAKE_TYPE: Piece = Piece::behind(1, Snake::TYPE);

/// A third spelling, from an early draft of the format; read, never written, and counted as camelCase.
const DRAFT_BROKER_URL: &str = "BrokerURL";

/// Finds a top-level key: its field, and the dialect that this spelling gives away, if any.
#[inline(always)]
pub(crate) fn find_field(key: Word) -> Option<(Field, Option<Dialect>)> {
    const KEYS: Keys<Field> =
        Keys::of(&FIELDS).with(DRAFT_BROKER_URL, (Field::BrokerUrl, Some(Dialect::Camel)));
    static TABLE: Keys<Field> = KEYS;
    TABLE.find(key)
}

/// Finds a key of a payload object; see [`find_field`].
#[inline(always)]
pub(crate) fn find_payload_field(key: Word) -> Option<(PayloadField, Option<Dialect>)> {
    static TABLE: Keys<PayloadField> = Keys::of(&PAYLOAD_FIELDS);
    TABLE.find(key)
}

/// The same as a number: those whose values are strings come first, so it is also their index.
#[inline(always)]
pub(crate) fn find_string_field(key: Word) -> Option<(usize, Option<Dialect>)> {
    find_field(key).map(|(field, dialect)| (field as usize, dialect))
}

/// As [`find_string_field`], in a payload.
#[inline(always)]
pub(crate) fn find_payload_string_field(key: Word) -> Option<(usize, Option<Dialect>)> {
    find_payload_field(key).map(|(field, dialect)| (field as usize, dialect))
}

/// A key in one number: its bytes, zeros, and its length in the highest byte. No two keys have the same, and none of
/// the known keys is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(u128);

/// Bytes of a key that fit a [`Word`].
pub(super) const WORD_LEN: usize = 15;

/// Masks for the first bytes of a number, by how many they are.
static FIRST: [u128; WORD_LEN + 1] = {
    let mut masks = [0; WORD_LEN + 1];
    let mut len = 1;
    while len < masks.len() {
        masks[len] = masks[len - 1] << 8 | 0xFF;
        len += 1;
    }
    masks
};

impl Word {
    /// What no key has.
    pub(super) const NONE: Self = Self(u128::MAX);

    pub(crate) const fn new(key: &[u8]) -> Self {
        if key.len() > WORD_LEN {
            return Self::NONE;
        }
        let mut word = 0;
        let mut at = key.len();
        while at > 0 {
            at -= 1;
            word = word << 8 | key[at] as u128;
        }
        Self(word | (key.len() as u128) << (8 * WORD_LEN))
    }

    /// The same for a key of `len` bytes that is the beginning of `text`; in a few steps where enough follows it.
    #[inline(always)]
    pub(crate) fn at_start_of(text: &[u8], len: usize) -> Self {
        match text.first_chunk() {
            Some(bytes) if len <= WORD_LEN => {
                Self(u128::from_le_bytes(*bytes) & FIRST[len] | (len as u128) << (8 * WORD_LEN))
            }
            _ => Self::new(&text[..len]),
        }
    }

    /// The slot of a known key: no two of a table have the same, which is checked when the tables are made.
    #[inline(always)]
    const fn slot(self) -> usize {
        let mixed = self.0 as u64 ^ (self.0 >> 64) as u64 >> 5;
        // Found by trying: an odd number that keeps the known keys apart.
        (mixed.wrapping_mul(0xc360_b3b7_1251_310b) >> 58) as usize
    }
}

/// Every spelling of the keys of one kind of object, each in its slot.
struct Keys<F> {
    words: [Word; SLOT_COUNT],
    found: [Option<(F, Option<Dialect>)>; SLOT_COUNT],
}

const SLOT_COUNT: usize = 64;

impl<F: Copy> Keys<F> {
    const fn of(table: &[Name<F>]) -> Self {
        let mut keys = Self { words: [Word::NONE; SLOT_COUNT], found: [None; SLOT_COUNT] };
        let mut place = 0;
        while place < table.len() {
            let Name { field, camel, snake } = table[place];
            if Word::new(camel.as_bytes()).0 == Word::new(snake.as_bytes()).0 {
                keys = keys.with(camel, (field, None));
            } else {
                keys = keys.with(camel, (field, Some(Dialect::Camel)));
                keys = keys.with(snake, (field, Some(Dialect::Snake)));
            }
            place += 1;
        }
        keys
    }

    const fn with(mut self, key: &str, found: (F, Option<Dialect>)) -> Self {
        assert!(key.len() <= WORD_LEN, "the key is too long for a word");
        let word = Word::new(key.as_bytes());
        let slot = word.slot();
        assert!(self.found[slot].is_none(), "two keys in one slot");
        self.words[slot] = word;
        self.found[slot] = Some(found);
        self
    }

    #[inline(always)]
    fn find(&self, key: Word) -> Option<(F, Option<Dialect>)> {
        let slot = key.slot();
        if self.words[slot] == key { self.found[slot] } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_and_nothing_else() {
        fn both<F: Copy + PartialEq + std::fmt::Debug>(key: &str, find: fn(Word) -> Option<F>) -> Option<F> {
            let long = format!("{key}\": 1, and more of the message");
            let found = find(Word::new(key.as_bytes()));
            assert_eq!(find(Word::at_start_of(long.as_bytes(), key.len())), found, "{key}");
            assert_eq!(find(Word::at_start_of(key.as_bytes(), key.len())), found, "{key}");
            found
        }
        for name in &FIELDS {
            let telling = name.camel != name.snake;
            let dialects = [Dialect::Camel, Dialect::Snake].map(|dialect| telling.then_some(dialect));
            assert_eq!(both(name.camel, find_field), Some((name.field, dialects[0])));
            assert_eq!(both(name.snake, find_field), Some((name.field, dialects[1])));
        }
        for name in &PAYLOAD_FIELDS {
            let telling = name.camel != name.snake;
            let dialects = [Dialect::Camel, Dialect::Snake].map(|dialect| telling.then_some(dialect));
            assert_eq!(both(name.camel, find_payload_field), Some((name.field, dialects[0])));
            assert_eq!(both(name.snake, find_payload_field), Some((name.field, dialects[1])));
        }
        assert_eq!(both("BrokerURL", find_field), Some((Field::BrokerUrl, Some(Dialect::Camel))));
        for unknown in [
            "",
            "x",
            "correlationid",
            "msgID",
            "broker_URL",
            "payload",
            "payloadss",
            "msgId\0",
            "\0",
            "replyToMsgIds12",
            "replyToMsgIds123",
            "reply_to_msg_id_",
            "a key that is as long as they come",
        ] {
            assert_eq!(both(unknown, find_field), None, "{unknown}");
            assert_eq!(both(unknown, find_payload_field), None, "{unknown}");
        }
    }
}
