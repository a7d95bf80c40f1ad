//! Tables as Arrow IPC: record batches to stream buffers, and untrusted bytes back to record batches.

use std::collections::HashMap;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_buffer::Buffer;
use arrow_ipc::reader::{read_dictionary, read_record_batch};
use arrow_ipc::writer::StreamEncoder;
use arrow_schema::{ArrowError, SchemaRef};
use bytes::{Bytes, BytesMut};
use zstd_safe::DCtx;

use super::table_guard::{self, Budget, Dictionaries, Header, Inspected, Part};
use super::table_unpack;
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

/// Reads a table in the stream or in the file format, whatever else the sender chose: LZ4 or ZSTD bodies, dictionaries
/// with deltas and replacements, either framing of messages, metadata version V4 or V5.
///
/// All of `data` must have arrived. A stream without its end-of-stream marker is read as far as it goes, so one that
/// was cut between two messages has fewer batches; the payload's size or digest is what tells. Bytes behind the marker
/// are ignored, as every Arrow reader does. The message-level metadata of a batch or file is dropped.
///
/// Values are validated (UTF-8, offsets, dictionary keys, null counts); odd but well-formed ones, such as a date64 that
/// is not a whole day, are handed over as they are.
///
/// Limits: the bytes of all buffers after decompression together are bounded by [`Limits::table_len`], default 1 GiB,
/// before any is decompressed. Rows that take no bytes, such as those of a null column, count as a bit each, or as 8 bytes
/// inside of another column; texts of a view column that share bytes each with its length; nested values of a dictionary
/// for each batch; and the entries of a list view for each column that it is part of.
/// [`Limits::table_rows`], [`Limits::table_columns`] and [`Limits::table_buffers`] bound the shape, and columns nest at
/// most 64 deep.
///
/// # Errors
/// [`ErrorKind::LimitExceeded`] for the limits above, and for ZSTD that claims much and needs a window above 8 MiB, unless
/// [`Limits::table_len`] is none; otherwise [`ErrorKind::InvalidTable`]: empty or truncated input, big-endian data, tensors,
/// buffers that overlap, unions or runs with nulls of their own, deltas for dictionaries of nested values, anything that does
/// not fit together. [`Error::offset`] is the start of the message or buffer at fault; what cannot be known more closely has
/// the start of the message.
///
/// A panic inside Arrow, of which the checks before decoding are meant to leave none, becomes [`ErrorKind::Bug`]: please
/// report it. That is a second net only, and none at all in programs built with `panic = "abort"`.
///
/// # Cost
/// Arrays share `data` (and keep it alive) where it is aligned to 8 bytes; a message body that is not is copied once.
/// Compressed buffers are unpacked into memory of their own, one piece for each batch, that grows as they unpack: what they
/// claim is believed up to a bound that [`Limits::table_len`] gives. All values are read once, to validate them.
pub fn decode(data: &Bytes, limits: &Limits) -> Result<Table> {
    decode_within(data, &mut { *limits })
}

/// The same for one of several tables that are kept together: takes what it holds off the limits, or claims to hold if it
/// turns out to be damaged, or to share more than is allowed. What is refused by its headers takes nothing.
pub(crate) fn decode_within(data: &Bytes, limits: &mut Limits) -> Result<Table> {
    let inspected = caught(0, || table_guard::inspect(data, limits))?;
    let Inspected { schema, dictionaries, parts, mut budget } = inspected;
    let shared = Buffer::from(data.clone());
    let mut state = State { values: HashMap::new(), zstd: None };
    let mut decode = |part: &Part<'_>| {
        caught(part.at, || decode_part(part, &shared, &schema, &dictionaries, &mut state, &mut budget))
    };
    let batches = parts.iter().filter_map(|part| decode(part).transpose()).collect::<Result<_>>();
    // For one that is damaged, too: the work has been done.
    limits.table_len = limits.table_len.saturating_sub(budget.used);
    limits.table_buffers = limits.table_buffers.saturating_sub(budget.parts);
    limits.table_columns = limits.table_columns.saturating_sub(schema.flattened_fields().len());
    Ok(Table { schema, batches: batches? })
}

/// Makes an error of a panic in `work`, of whose mutable state nothing may be used after an error.
fn caught<T>(at: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let what = "Arrow's decoder cannot handle this table, and the checks before it let it through";
        Err(Error::new(ErrorKind::Bug, what).at(at as u64))
    })
}

/// What is kept from one batch to the next.
struct State {
    /// The dictionaries so far.
    values: HashMap<i64, ArrayRef>,
    zstd: Option<DCtx<'static>>,
}

/// Reads a batch into arrays; one of a dictionary is added to the state.
fn decode_part(
    part: &Part<'_>,
    data: &Buffer,
    schema: &SchemaRef,
    dictionaries: &Dictionaries,
    state: &mut State,
    budget: &mut Budget,
) -> Result<Option<RecordBatch>> {
    let unpacked = table_unpack::unpack(part, data, budget.zstd_window_log(), &mut state.zstd)?;
    let values = &mut state.values;
    let (header, body) = match &unpacked {
        Some(unpacked) => (unpacked.header()?, unpacked.body.clone()),
        None => (part.header, data.slice_with_length(part.body.start, part.body.len())),
    };
    part.charge_views(header, &body, budget)?;
    // Types that want 16 bytes are rare: the decoder copies their buffers where 8 are not enough.
    let body = if body.as_ptr().align_offset(8) == 0 { body } else { Buffer::from_slice_ref(&body) };
    let decoded = match header {
        Header::Batch(batch) => {
            read_record_batch(&body, batch, Arc::clone(schema), values, None, &part.version).map(Some)
        }
        // The decoder searches the whole schema for the id, so it is given the one column.
        Header::Dictionary(batch) => match dictionaries.get(&batch.id()) {
            Some(known) => read_dictionary(&body, batch, &known.schema, values, &part.version).map(|()| None),
            None => Err(ArrowError::SchemaError("unknown dictionary".to_owned())),
        },
    };
    decoded.map_err(|err| {
        table_guard::invalid(part.at, "a message's values are not what its schema says")
            .with_source(summary(&err))
    })
}

/// The start of a foreign error's text, in one line: it may name columns, which are the sender's and of any length.
pub(super) fn summary(err: &dyn fmt::Display) -> String {
    let text = err.to_string();
    text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_bug_with_its_place() {
        let error = caught(7, || -> Result<()> { panic!("of Arrow's") }).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Bug, Some(7)));
        assert_eq!(caught(7, || Ok(1)).unwrap(), 1);
    }
}
