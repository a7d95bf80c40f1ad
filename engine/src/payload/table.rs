//! Tables as Arrow IPC: record batches to stream buffers, and untrusted bytes back to record batches.

use std::fmt;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::StreamEncoder;
use arrow_schema::{ArrowError, SchemaRef};
use bytes::{Bytes, BytesMut};

use crate::{Error, ErrorKind, Limits, Result};

/// A table as it was received: its schema and its record batches, in order.
#[derive(Clone)]
pub struct Table {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Table {
    /// The schema, with the metadata of the table and of its columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The record batches, in the order in which they were written; none for an empty table.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// The record batches, without the table around them.
    pub fn into_batches(self) -> Vec<RecordBatch> {
        self.batches
    }

    /// The rows of all batches together.
    pub fn row_count(&self) -> u64 {
        // The bound on rows that take no bytes keeps the sum far from overflowing.
        self.batches.iter().map(|batch| batch.num_rows() as u64).sum()
    }
}

impl fmt::Debug for Table {
    /// Shape only: a table in a log line must not spill its values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("columns", &self.schema.fields().len())
            .field("batches", &self.batches.len())
            .field("rows", &self.row_count())
            .finish()
    }
}

/// Serialises record batches as one uncompressed Arrow IPC stream, end-of-stream marker included.
///
/// The stream is the concatenation of the returned buffers. Columns of 4 KiB and more are not copied: those
/// buffers share the arrays' memory. Everything smaller is joined with its neighbours, so that the pieces stay few.
///
/// Metadata of the schema and of its fields is kept. No batches make a valid table without rows.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] where the columns of a batch (names, types, nullability, metadata) are not those of
/// `schema`, and for types that Arrow IPC cannot carry, such as a dictionary of dictionaries. Metadata of the schemas
/// as a whole is not compared: that of `schema` is written.
///
/// # Examples
/// ```
/// use natsbridge::{Limits, payload::table};
/// use arrow_array::record_batch;
///
/// let batch = record_batch!(("id", Int32, [1, 2, 3]), ("name", Utf8, [Some("a"), None, Some("c")]))?;
/// let pieces = table::encode(&batch.schema(), std::slice::from_ref(&batch))?;
/// let stream = bytes::Bytes::from(pieces.concat());
///
/// let back = table::decode(&stream, &Limits::default())?;
/// assert_eq!(back.row_count(), 3);
/// assert_eq!(back.batches(), [batch]);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub fn encode(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<Bytes>> {
    let mut encoder = StreamEncoder::try_new(schema).map_err(refused)?;
    let mut pieces = Pieces::default();
    for (index, batch) in batches.iter().enumerate() {
        if batch.schema_ref().fields() != schema.fields() {
            let what = format!("record batch {index} has other columns than the table's schema");
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
        encoder.encode(batch).map_err(refused)?.into_iter().for_each(|buffer| pieces.push(buffer));
    }
    encoder.finish().map_err(refused)?.into_iter().for_each(|buffer| pieces.push(buffer));
    Ok(pieces.finish())
}

/// Reads a table in the stream or in the file format.
///
/// # Errors
/// [`ErrorKind::InvalidTable`].
pub fn decode(data: &Bytes, _limits: &Limits) -> Result<Table> {
    let invalid = |err: ArrowError| Error::new(ErrorKind::InvalidTable, "Arrow refuses it").with_source(err);
    let mut rest = Buffer::from(data.clone());
    let mut decoder = StreamDecoder::new();
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let Some(batch) = decoder.decode(&mut rest).map_err(invalid)? else { break };
        batches.push(batch);
    }
    decoder.finish().map_err(invalid)?;
    let schema = decoder.schema().ok_or_else(|| Error::new(ErrorKind::InvalidTable, "there is no schema"))?;
    Ok(Table { schema, batches })
}

/// Whether bytes of the type `table` are JSON rows: they start, after JSON white space, with `[`.
///
/// Early ports send rows of objects under that name. Arrow never starts so: a stream's first byte is 0xFF or, in the
/// oldest framing, the low byte of a length that is 4 modulo 8, and a file's is `A`.
///
/// # Examples
/// ```
/// use natsbridge::payload::table::is_json_rows;
///
/// assert!(is_json_rows(b" \n[{\"id\": 1}]"));
/// assert!(!is_json_rows(b"ARROW1\0\0"));
/// ```
pub fn is_json_rows(data: &[u8]) -> bool {
    data.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) == Some(&b'[')
}

fn refused(err: ArrowError) -> Error {
    Error::new(ErrorKind::InvalidInput, "Arrow cannot write this table").with_source(err)
}

/// Collects buffers, joining small ones: a batch is mostly headers and padding of a few bytes each.
#[derive(Default)]
struct Pieces {
    out: Vec<Bytes>,
    /// Small buffers since the last large one, in order.
    small: BytesMut,
}

impl Pieces {
    fn push(&mut self, buffer: Buffer) {
        if buffer.len() < SHARED_LEN {
            self.small.extend_from_slice(&buffer);
        } else {
            self.flush();
            self.out.push(Bytes::from_owner(buffer));
        }
    }

    fn flush(&mut self) {
        if !self.small.is_empty() {
            self.out.push(self.small.split().freeze());
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.flush();
        self.out
    }
}

/// Buffers below this are copied: sharing costs an allocation and a longer list (chosen: one memory page).
const SHARED_LEN: usize = 4096;
