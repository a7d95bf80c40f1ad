//! Borrowed payloads for senders of many messages: bytes that stay where they are until they are encoded.

use std::fmt;

use super::PayloadType;
use super::outgoing::{Payload, check, checked_json};
use crate::envelope::{Data, Dialect, Metadata, PayloadFields};
use crate::error::Result;

/// What [`Payload`] is, borrowed: no allocation and no copy before the bytes are encoded into a message.
///
/// # Examples
/// ```
/// use natsbridge::{Payload, PayloadRef};
///
/// let samples = [0u8; 64]; // on the stack, or in a buffer that is used again
/// let payload = PayloadRef::binary("samples", &samples);
/// assert_eq!((payload.dataname(), payload.type_name(), payload.len()), ("samples", "binary", 64));
///
/// let ready = Payload::text("station", "roof-3");
/// assert_eq!(PayloadRef::from(&ready).len(), 6);
/// ```
#[derive(Clone, Copy)]
pub struct PayloadRef<'a> {
    fields: PayloadFields<'a>,
    /// Whether the bytes are not here: only a bridge can send them.
    elsewhere: bool,
}

impl<'a> PayloadRef<'a> {
    /// UTF-8 text.
    pub fn text(dataname: &'a str, text: &'a str) -> Self {
        Self::of(PayloadType::Text, dataname, text.as_bytes())
    }

    /// A dictionary that is JSON text; it is checked and sent as it is.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) with the offset if a reader would refuse it.
    pub fn dictionary_json(dataname: &'a str, json: &'a str) -> Result<Self> {
        checked_json(json.as_bytes())?;
        Ok(Self::of(PayloadType::Dictionary, dataname, json.as_bytes()))
    }

    /// Text that was written as JSON by this crate, and checked then.
    #[cfg(feature = "nats")]
    pub(crate) fn written_dictionary(dataname: &'a str, json: &'a [u8]) -> Self {
        Self::of(PayloadType::Dictionary, dataname, json)
    }

    /// A table that is Arrow IPC bytes; sent as they are, unchecked.
    pub fn table_ipc(dataname: &'a str, ipc: &'a [u8]) -> Self {
        Self::of(PayloadType::Table, dataname, ipc)
    }

    /// An image file's bytes.
    pub fn image(dataname: &'a str, bytes: &'a [u8]) -> Self {
        Self::of(PayloadType::Image, dataname, bytes)
    }

    /// An audio file's bytes.
    pub fn audio(dataname: &'a str, bytes: &'a [u8]) -> Self {
        Self::of(PayloadType::Audio, dataname, bytes)
    }

    /// A video file's bytes.
    pub fn video(dataname: &'a str, bytes: &'a [u8]) -> Self {
        Self::of(PayloadType::Video, dataname, bytes)
    }

    /// Any bytes.
    pub fn binary(dataname: &'a str, bytes: &'a [u8]) -> Self {
        Self::of(PayloadType::Binary, dataname, bytes)
    }

    /// Bytes under any type's name; see [`Payload::other`].
    ///
    /// # Errors
    /// As [`Payload::other`].
    pub fn other(type_name: &'a str, dataname: &'a str, bytes: &'a [u8]) -> Result<Self> {
        check(type_name, bytes)?;
        Ok(Self { fields: PayloadFields::new(dataname, type_name, Data::Bytes(bytes)), elsewhere: false })
    }

    fn of(payload_type: PayloadType, dataname: &'a str, bytes: &'a [u8]) -> Self {
        let type_name = payload_type.name(Dialect::Camel);
        Self { fields: PayloadFields::new(dataname, type_name, Data::Bytes(bytes)), elsewhere: false }
    }

    /// Adds metadata, which is written with the payload.
    #[must_use]
    pub fn with_metadata(mut self, metadata: &'a Metadata) -> Self {
        self.fields.metadata = Some(metadata);
        self
    }

    /// Its name.
    pub fn dataname(&self) -> &'a str {
        self.fields.dataname
    }

    /// Its type's name; a table's is that of the camelCase dialect until it is written.
    pub fn type_name(&self) -> &'a str {
        self.fields.type_name
    }

    /// The number of raw bytes.
    pub fn len(&self) -> u64 {
        self.fields.data.size()
    }

    /// Its length, or more than any threshold where that is not known here.
    #[cfg(feature = "nats")]
    pub(crate) fn planned_len(&self) -> u64 {
        if self.elsewhere { u64::MAX } else { self.len() }
    }

    #[cfg(feature = "nats")]
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.elsewhere
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What [`encode`](crate::encode()) takes: a direct payload with an empty id.
    pub fn fields(&self) -> PayloadFields<'a> {
        self.fields
    }
}

impl<'a> From<&'a Payload> for PayloadRef<'a> {
    fn from(payload: &'a Payload) -> Self {
        let mut fields = PayloadFields::new(payload.dataname(), payload.type_name(), payload.direct());
        fields.metadata = payload.metadata();
        Self { fields, elsewhere: payload.source().is_some() }
    }
}

impl fmt::Debug for PayloadRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayloadRef")
            .field("dataname", &self.dataname())
            .field("type", &self.type_name())
            .field("len", &(!self.elsewhere).then_some(self.len()))
            .field("metadata", &self.fields.metadata)
            .finish_non_exhaustive()
    }
}
