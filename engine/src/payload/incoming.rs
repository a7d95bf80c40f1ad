//! The bytes of a received payload, and the getters for its type.

use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{PayloadType, dictionary};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;

/// The raw bytes of one payload, decoded or fetched, whole and verified as far as the message allows.
///
/// # Examples
/// ```
/// use natsbridge::{PayloadData, PayloadType};
///
/// let data = PayloadData::new(PayloadType::Dictionary, br#"{"n":1}"#.as_slice(), None, 0);
/// assert_eq!(data.json_value()?["n"], 1);
/// assert!(data.text().is_err()); // a dictionary is not a text
/// # Ok::<(), natsbridge::Error>(())
/// ```
#[derive(Clone)]
pub struct PayloadData {
    payload_type: PayloadType,
    bytes: Bytes,
    announced: Option<u64>,
    index: usize,
    verification: Verification,
    limits: Limits,
}

/// What is proved about a payload's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verification {
    /// They came inside the message itself, which says nothing more about them.
    Inline,
    /// Their SHA-256 is the one in the message, however they came.
    Digest,
    /// They came by link, and their number is the one in the message.
    Length,
    /// They came by link, and the message says nothing about them: only HTTP says that they are whole. Or, however they
    /// came, the message has something for their SHA-256 that is none.
    Unverified,
}

impl PayloadData {
    /// `announced` is the `size` in the message, `index` the payload's position in it, for error texts.
    pub fn new(
        payload_type: PayloadType,
        bytes: impl Into<Bytes>,
        announced: Option<u64>,
        index: usize,
    ) -> Self {
        Self {
            payload_type,
            bytes: bytes.into(),
            announced,
            index,
            verification: Verification::Inline,
            limits: Limits::default(),
        }
    }

    /// Says how the bytes were verified; [`Verification::Inline`] unless told.
    #[must_use]
    pub fn verified(mut self, verification: Verification) -> Self {
        self.verification = verification;
        self
    }

    /// Sets what reading it may cost; the defaults unless told.
    #[must_use]
    pub fn limited(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What is proved about the bytes.
    pub fn verification(&self) -> Verification {
        self.verification
    }

    /// The payload's type.
    pub fn payload_type(&self) -> PayloadType {
        self.payload_type
    }

    /// The raw bytes, whatever the type; cloning them is cheap.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The raw bytes, given away.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The wrong `size` that the message announced, if it did: reported, and no error as long as the bytes are whole.
    pub fn size_mismatch(&self) -> Option<u64> {
        self.announced.filter(|&size| size != self.bytes.len() as u64)
    }

    /// The text of a text payload.
    ///
    /// # Errors
    /// [`InvalidText`](ErrorKind::InvalidText) with the offset in the bytes if it is not UTF-8;
    /// [`WrongType`](ErrorKind::WrongType) for every other type.
    pub fn text(&self) -> Result<&str> {
        self.expect(&[PayloadType::Text], "text")?;
        std::str::from_utf8(&self.bytes).map_err(|error| {
            Error::new(ErrorKind::InvalidText, "the text is not valid UTF-8")
                .at(error.valid_up_to() as u64)
                .in_payload(self.index)
        })
    }

    /// A dictionary, or JSON rows, as the caller's type.
    ///
    /// Of a key given twice the last value counts. Integers within `i64` and `u64` are exact.
    ///
    /// # Errors
    /// [`InvalidJson`](ErrorKind::InvalidJson) with the offset if it is not strict JSON, or rows are not an array of
    /// objects, and without one if it is not of the shape of `T`; [`LimitExceeded`](ErrorKind::LimitExceeded) above
    /// [`Limits::json_len`], [`Limits::json_values`] and [`Limits::json_depth`]; [`WrongType`](ErrorKind::WrongType) for types that are not JSON.
    ///
    /// # Cost
    /// A copy of the text, a check, and a pass over both; see [`Limits::json_len`] for the memory.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        self.expect_json()?;
        dictionary::read(&self.bytes).map_err(|error| error.in_payload(self.index))
    }

    /// The same as a value of any shape.
    ///
    /// # Errors
    /// As [`json`](Self::json).
    pub fn json_value(&self) -> Result<serde_json::Value> {
        self.json()
    }

    /// The same for one of several values that are kept together: takes what it holds off the limits.
    #[cfg(feature = "nats")]
    pub(crate) fn json_value_within(&self, limits: &mut Limits) -> Result<serde_json::Value> {
        let value = self.clone().limited(*limits).json_value()?;
        limits.json_values = limits.json_values.saturating_sub(dictionary::count_values(&self.bytes));
        Ok(value)
    }

    /// The checked JSON text itself, with its key order and its spelling of numbers.
    ///
    /// # Errors
    /// As [`json`](Self::json).
    pub fn json_text(&self) -> Result<&str> {
        self.expect_json()?;
        dictionary::check(&self.bytes).map_err(|error| error.in_payload(self.index))
    }

    /// Whether this is JSON rows: a `jsontable`, or a table from a port that sends rows under that name.
    pub fn is_json_rows(&self) -> bool {
        match self.payload_type {
            PayloadType::JsonTable => true,
            PayloadType::Table => begins_with_bracket(&self.bytes),
            _ => false,
        }
    }

    /// The record batches of an Arrow table, in place where the bytes are aligned (those of [`PayloadView::decode`](
    /// crate::PayloadView::decode) and of links are).
    ///
    /// # Errors
    /// [`InvalidTable`](ErrorKind::InvalidTable) for anything but little-endian Arrow IPC, stream or file;
    /// [`LimitExceeded`](ErrorKind::LimitExceeded); [`WrongType`](ErrorKind::WrongType) for other types and for JSON rows.
    #[cfg(feature = "table")]
    pub fn record_batches(&self) -> Result<Vec<arrow_array::RecordBatch>> {
        Ok(self.table(&self.limits)?.into_batches())
    }

    /// The Arrow table with its schema, under the given limits.
    ///
    /// # Errors
    /// As [`record_batches`](Self::record_batches).
    #[cfg(feature = "table")]
    pub fn table(&self, limits: &Limits) -> Result<super::table::Table> {
        self.table_within(&mut { *limits })
    }

    /// The same for one of several tables that are kept together: takes what it holds off the limits.
    #[cfg(feature = "table")]
    pub(crate) fn table_within(&self, limits: &mut Limits) -> Result<super::table::Table> {
        self.expect(&[PayloadType::Table], "an Arrow table")?;
        if self.is_json_rows() {
            return Err(self.wrong("this table holds JSON rows: read it as JSON"));
        }
        super::table::decode_within(&self.bytes, limits).map_err(|error| error.in_payload(self.index))
    }

    fn expect_json(&self) -> Result<()> {
        let rows = self.is_json_rows();
        if self.payload_type != PayloadType::Dictionary && !rows {
            return Err(self.wrong(format!("a payload of type {:?} is not JSON", self.payload_type)));
        }
        dictionary::check_limits(&self.bytes, &self.limits)
            .and_then(|()| if rows { dictionary::check_rows(&self.bytes) } else { Ok(()) })
            .map_err(|error| error.in_payload(self.index))
    }

    fn expect(&self, types: &[PayloadType], what: &str) -> Result<()> {
        if types.contains(&self.payload_type) {
            Ok(())
        } else {
            Err(self.wrong(format!("a payload of type {:?} is not {what}", self.payload_type)))
        }
    }

    fn wrong(&self, what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        Error::new(ErrorKind::WrongType, what).in_payload(self.index)
    }
}

/// Whether the bytes begin, after JSON white space, with a bracket: Arrow's containers never do.
fn begins_with_bracket(bytes: &[u8]) -> bool {
    bytes.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) == Some(&b'[')
}

impl fmt::Debug for PayloadData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayloadData")
            .field("payload_type", &self.payload_type)
            .field("len", &self.bytes.len())
            .finish_non_exhaustive()
    }
}
