//! Values as the ports' callers see them, and their way into and out of payloads.

use std::fmt;

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::payload::{Payload, PayloadData, PayloadType};

/// A value to send or that was received, before or after its type turned it into bytes.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum SmartData {
    /// For `text`.
    Text(String),
    /// For `dictionary` and `jsontable`.
    Json(serde_json::Value),
    /// For `table`.
    #[cfg(feature = "table")]
    Table(Vec<arrow_array::RecordBatch>),
    /// For `image`, `audio`, `video`, `binary` and everything else; and for any type whose bytes are ready.
    Bytes(Bytes),
}

impl fmt::Debug for SmartData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Json(_) => f.write_str("Json(…)"),
            #[cfg(feature = "table")]
            Self::Table(batches) => write!(f, "Table({} batches)", batches.len()),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
        }
    }
}

impl From<&str> for SmartData {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for SmartData {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<serde_json::Value> for SmartData {
    fn from(value: serde_json::Value) -> Self {
        Self::Json(value)
    }
}

impl From<Vec<u8>> for SmartData {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<&[u8]> for SmartData {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Bytes::copy_from_slice(bytes))
    }
}

impl From<Bytes> for SmartData {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

#[cfg(feature = "table")]
impl From<Vec<arrow_array::RecordBatch>> for SmartData {
    fn from(batches: Vec<arrow_array::RecordBatch>) -> Self {
        Self::Table(batches)
    }
}

#[cfg(feature = "table")]
impl From<arrow_array::RecordBatch> for SmartData {
    fn from(batch: arrow_array::RecordBatch) -> Self {
        Self::Table(vec![batch])
    }
}

impl SmartData {
    /// The payload that carries this value under `type_name`.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the value does not suit the type, such as a text for an image.
    pub fn into_payload(self, dataname: String, type_name: &str) -> Result<Payload> {
        let payload_type = PayloadType::from_name(type_name);
        match (self, payload_type) {
            (Self::Text(text), PayloadType::Text) => Ok(Payload::text(dataname, text)),
            (Self::Text(text), PayloadType::Dictionary) => Payload::dictionary(dataname, &text),
            (Self::Json(value), PayloadType::Dictionary) => Payload::dictionary(dataname, &value),
            (Self::Json(value), PayloadType::JsonTable) => Payload::json_table(dataname, &value),
            #[cfg(feature = "table")]
            (Self::Table(batches), PayloadType::Table) => Payload::table(dataname, &batches),
            (Self::Bytes(bytes), _) => Payload::other(type_name.to_owned(), dataname, bytes),
            (other, _) => {
                let what = format!("{other:?} cannot be sent as {type_name:?}");
                Err(Error::new(ErrorKind::InvalidInput, what))
            }
        }
    }

    /// The value of a payload's bytes, by its type. It is kept, so what it holds is taken off the limits.
    pub(super) fn from_payload(data: &PayloadData, left: &mut Limits) -> Result<Self> {
        match data.payload_type() {
            PayloadType::Text => data.text().map(Self::from),
            PayloadType::Dictionary => data.json_value_within(left).map(Self::Json),
            _ if data.is_json_rows() => data.json_value_within(left).map(Self::Json),
            #[cfg(feature = "table")]
            PayloadType::Table => Ok(Self::Table(data.table_within(left)?.into_batches())),
            _ => Ok(Self::Bytes(data.bytes().clone())),
        }
    }
}
