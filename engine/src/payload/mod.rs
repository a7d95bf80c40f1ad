//! Payloads: values to bytes when sending, bytes to values when receiving, by the payload's type.

pub(crate) mod aligned;
mod borrowed;
pub(crate) mod dictionary;
mod incoming;
mod outgoing;
#[cfg(feature = "table")]
pub mod table;
#[cfg(feature = "table")]
mod table_guard;
#[cfg(feature = "table")]
mod table_unpack;

pub use self::borrowed::PayloadRef;
pub use self::incoming::{PayloadData, Verification};
pub use self::outgoing::Payload;
use crate::envelope::Dialect;

/// What a payload's bytes mean. The type decides how they are read, never the `encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PayloadType {
    /// UTF-8 text.
    Text,
    /// A JSON value in UTF-8.
    Dictionary,
    /// Arrow IPC; `table` in the camelCase dialect, `arrowtable` in the snake_case one.
    Table,
    /// A JSON array of row objects.
    JsonTable,
    /// An image file's bytes.
    Image,
    /// An audio file's bytes.
    Audio,
    /// A video file's bytes.
    Video,
    /// Any bytes.
    Binary,
    /// A type that this version does not know: bytes, with the name kept beside them.
    Other,
}

impl PayloadType {
    /// The type behind a name on the wire, in either dialect.
    pub fn from_name(name: &str) -> Self {
        Self::from_bytes(name.as_bytes())
    }

    pub(crate) fn from_bytes(name: &[u8]) -> Self {
        match name {
            b"text" => Self::Text,
            b"dictionary" => Self::Dictionary,
            b"table" | b"arrowtable" => Self::Table,
            b"jsontable" => Self::JsonTable,
            b"image" => Self::Image,
            b"audio" => Self::Audio,
            b"video" => Self::Video,
            b"binary" => Self::Binary,
            _ => Self::Other,
        }
    }

    /// The name on the wire; empty for [`Other`](Self::Other), whose name is the payload's own.
    pub fn name(self, dialect: Dialect) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Dictionary => "dictionary",
            Self::Table if dialect == Dialect::Snake => "arrowtable",
            Self::Table => "table",
            Self::JsonTable => "jsontable",
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Binary => "binary",
            Self::Other => "",
        }
    }

    /// Whether `data` may be JSON itself instead of base64 (SPEC `B64`).
    pub(crate) fn may_be_inline_json(self) -> bool {
        matches!(self, Self::Dictionary | Self::Table | Self::JsonTable)
    }
}
