//! A payload to send: its name, its type, and its bytes, serialised once.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use smallvec::{SmallVec, smallvec};

use super::{PayloadType, dictionary};
use crate::envelope::{Data, Dialect, Metadata};
use crate::error::{Error, ErrorKind, Result};
use crate::link::Source;

/// One payload to send. The bytes are shared, not copied, wherever the value already is bytes.
///
/// # Examples
/// ```
/// use natsbridge::Payload;
///
/// let text = Payload::text("message_text", "Hello");
/// let config = Payload::dictionary("config", &serde_json::json!({"update_interval": 60}))?;
/// let photo = Payload::image("photo", vec![0x89, b'P', b'N', b'G']);
/// assert_eq!((text.len(), config.len(), photo.len()), (5, 22, 4));
/// # Ok::<(), natsbridge::Error>(())
/// ```
#[derive(Clone)]
pub struct Payload {
    dataname: String,
    type_name: Cow<'static, str>,
    /// The bytes; none as long as they are still where `source` says.
    chunks: SmallVec<[Bytes; 1]>,
    source: Option<Source>,
    metadata: Option<Metadata>,
}

impl Payload {
    /// UTF-8 text.
    pub fn text(dataname: impl Into<String>, text: impl Into<String>) -> Self {
        Self::of(PayloadType::Text, dataname, Bytes::from(text.into()))
    }

    /// A value as JSON: a map, a struct, an array, any JSON value. NaN and infinities become `null`.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it cannot be written as JSON, or nests deeper than
    /// [`MAX_DEPTH`](crate::MAX_DEPTH).
    pub fn dictionary(dataname: impl Into<String>, value: &(impl Serialize + ?Sized)) -> Result<Self> {
        Ok(Self::of(PayloadType::Dictionary, dataname, Bytes::from(dictionary::write(&value)?)))
    }

    /// A dictionary that is JSON text already; it is checked and sent as it is.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) with the offset if a reader would refuse it.
    pub fn dictionary_json(dataname: impl Into<String>, json: impl Into<Bytes>) -> Result<Self> {
        let json = json.into();
        checked_json(&json)?;
        Ok(Self::of(PayloadType::Dictionary, dataname, json))
    }

    /// Rows as a JSON array of objects (`jsontable`, which ports of the camelCase dialect do not know).
    ///
    /// # Errors
    /// As [`dictionary`](Self::dictionary), and if the value is not written as an array of objects.
    pub fn json_table(dataname: impl Into<String>, rows: &(impl Serialize + ?Sized)) -> Result<Self> {
        let json = dictionary::write(&rows)?;
        input(dictionary::check_rows(json.as_bytes()))?;
        Ok(Self::of(PayloadType::JsonTable, dataname, Bytes::from(json)))
    }

    /// Record batches as an Arrow IPC stream. The batches' buffers are referred to, not copied.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for no batch at all (there is no schema then: see
    /// [`table_with_schema`](Self::table_with_schema)) and for batches of different schemas.
    #[cfg(feature = "table")]
    pub fn table(dataname: impl Into<String>, batches: &[arrow_array::RecordBatch]) -> Result<Self> {
        let Some(first) = batches.first() else {
            return Err(Error::new(ErrorKind::InvalidInput, "a table without batches needs a schema"));
        };
        Self::table_with_schema(dataname, &first.schema(), batches)
    }

    /// The same with the schema given, for tables that may have no batches.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for batches of another schema.
    #[cfg(feature = "table")]
    pub fn table_with_schema(
        dataname: impl Into<String>,
        schema: &arrow_schema::SchemaRef,
        batches: &[arrow_array::RecordBatch],
    ) -> Result<Self> {
        let mut payload = Self::of(PayloadType::Table, dataname, Bytes::new());
        payload.chunks = super::table::encode(schema, batches)?.into();
        Ok(payload)
    }

    /// A table that is Arrow IPC bytes already; sent as they are, unchecked.
    pub fn table_ipc(dataname: impl Into<String>, ipc: impl Into<Bytes>) -> Self {
        Self::of(PayloadType::Table, dataname, ipc)
    }

    /// An image file's bytes.
    pub fn image(dataname: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self::of(PayloadType::Image, dataname, bytes)
    }

    /// An audio file's bytes.
    pub fn audio(dataname: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self::of(PayloadType::Audio, dataname, bytes)
    }

    /// A video file's bytes.
    pub fn video(dataname: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self::of(PayloadType::Video, dataname, bytes)
    }

    /// Any bytes.
    pub fn binary(dataname: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self::of(PayloadType::Binary, dataname, bytes)
    }

    /// Bytes under any type's name: those of another payload to pass on, or a type that this crate does not know.
    ///
    /// Of the known types, text, dictionaries and JSON tables are checked.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an empty type, for text that is not UTF-8 and JSON that is not valid.
    pub fn other(
        type_name: impl Into<Cow<'static, str>>,
        dataname: impl Into<String>,
        bytes: impl Into<Bytes>,
    ) -> Result<Self> {
        let (type_name, bytes) = (type_name.into(), bytes.into());
        check(&type_name, &bytes)?;
        Ok(Self {
            dataname: dataname.into(),
            type_name,
            chunks: smallvec![bytes],
            source: None,
            metadata: None,
        })
    }

    /// Bytes that are not in memory yet, under any type's name: a file, a reader, a stream.
    ///
    /// They are read when the message is sent, by a [`Bridge`](crate::Bridge): into the message where they are few, else
    /// straight to the file server, with 2 MiB of memory whatever their number. Text is checked on the way, dictionaries and
    /// JSON tables where they travel inside the message; by link these are passed as they are.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an empty type, and as [`other`](Self::other) for a source in memory.
    ///
    /// # Examples
    /// ```
    /// use natsbridge::{Payload, link::Source};
    ///
    /// # #[cfg(feature = "nats")]
    /// let payload = Payload::from_source("video", "day", Source::file("/data/day.mp4"))?;
    /// # Ok::<(), natsbridge::Error>(())
    /// ```
    pub fn from_source(
        type_name: impl Into<Cow<'static, str>>,
        dataname: impl Into<String>,
        source: Source,
    ) -> Result<Self> {
        let type_name = type_name.into();
        if type_name.is_empty() {
            check(&type_name, &[])?;
        }
        let mut payload = Self {
            dataname: dataname.into(),
            type_name,
            chunks: SmallVec::new(),
            source: None,
            metadata: None,
        };
        match source.memory() {
            Some(chunks) => payload.set_chunks(chunks.to_vec())?,
            None => payload.source = Some(source),
        }
        Ok(payload)
    }

    /// The bytes have been read.
    pub(crate) fn set_chunks(&mut self, chunks: Vec<Bytes>) -> Result<()> {
        let checked = matches!(
            PayloadType::from_name(&self.type_name),
            PayloadType::Text | PayloadType::Dictionary | PayloadType::JsonTable
        );
        self.chunks = match chunks.len() {
            0 | 1 => chunks.into(),
            _ if checked => smallvec![chunks.concat().into()],
            _ => chunks.into(),
        };
        if checked {
            check(&self.type_name, self.chunks.first().map_or(&[], |bytes| bytes))?;
        }
        self.source = None;
        Ok(())
    }

    /// Where its bytes come from, if they are not in memory.
    pub fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    #[cfg(feature = "nats")]
    pub(crate) fn source_mut(&mut self) -> &mut Option<Source> {
        &mut self.source
    }

    /// The number of raw bytes as far as it is known: of a source perhaps not before it has been read.
    pub fn known_len(&self) -> Option<u64> {
        match &self.source {
            Some(source) => source.known_len(),
            None => Some(self.len()),
        }
    }

    fn of(payload_type: PayloadType, dataname: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self {
            dataname: dataname.into(),
            type_name: Cow::Borrowed(payload_type.name(Dialect::Camel)),
            chunks: smallvec![bytes.into()],
            source: None,
            metadata: None,
        }
    }

    /// The same payload with bytes of its own.
    #[cfg(feature = "nats")]
    pub(crate) fn copy_of(payload: &super::PayloadRef<'_>) -> Self {
        let fields = payload.fields();
        let chunks = match fields.data {
            Data::Chunks(chunks) => chunks.iter().cloned().collect(),
            Data::Bytes(bytes) => smallvec![Bytes::copy_from_slice(bytes)],
            // A borrowed payload is never a link.
            Data::Link { .. } => SmallVec::new(),
        };
        Self {
            dataname: fields.dataname.to_owned(),
            type_name: Cow::Owned(fields.type_name.to_owned()),
            chunks,
            source: None,
            metadata: fields.metadata.cloned(),
        }
    }

    /// Adds a key to the payload's metadata.
    ///
    /// # Errors
    /// As [`Metadata::insert`].
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Serialize) -> Result<Self> {
        self.metadata.get_or_insert_default().insert(key, value)?;
        Ok(self)
    }

    /// Its name.
    pub fn dataname(&self) -> &str {
        &self.dataname
    }

    /// Its type's name; a table's is that of the camelCase dialect until it is written.
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// The number of raw bytes in memory; see [`known_len`](Self::known_len) for those of a source.
    pub fn len(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }

    /// Whether there are no bytes in memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The raw bytes, in pieces; none of a source.
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// Its metadata, if any was added.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }

    /// The bytes as data of a direct payload.
    pub fn direct(&self) -> Data<'_> {
        match self.chunks.as_slice() {
            [bytes] => Data::Bytes(bytes),
            chunks => Data::Chunks(chunks),
        }
    }
}

/// Whether a reader would take these bytes for a payload of this type.
pub(super) fn check(type_name: &str, bytes: &[u8]) -> Result<()> {
    match PayloadType::from_name(type_name) {
        PayloadType::Other if type_name.is_empty() => {
            Err(Error::new(ErrorKind::InvalidInput, "a payload's type must not be empty"))
        }
        PayloadType::Text => match std::str::from_utf8(bytes) {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::new(ErrorKind::InvalidInput, "the text is not valid UTF-8")
                .at(error.valid_up_to() as u64)),
        },
        PayloadType::Dictionary => checked_json(bytes),
        PayloadType::JsonTable => {
            input(dictionary::check_rows(bytes))?;
            checked_json(bytes)
        }
        _ => Ok(()),
    }
}

pub(super) fn checked_json(json: &[u8]) -> Result<()> {
    input(dictionary::check(json).map(|_| ()))
}

/// What is the sender's mistake when receiving is the caller's when sending.
fn input(checked: Result<()>) -> Result<()> {
    checked.map_err(|error| {
        let input = Error::new(ErrorKind::InvalidInput, error.explanation().to_owned());
        error.offset().into_iter().fold(input, Error::at)
    })
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("dataname", &self.dataname)
            .field("type", &self.type_name)
            .field("len", &self.known_len())
            .field("metadata", &self.metadata)
            .finish_non_exhaustive()
    }
}
