//! Looks through untrusted Arrow IPC bytes before Arrow's decoder sees them.
//!
//! That decoder takes offsets, lengths and counts on trust: hostile ones make it panic, and a few bytes can claim any
//! amount of memory. [`inspect`] walks all messages first, without touching a value: frames inside the input, verified
//! headers, a schema within bounds, buffers inside their bodies and long enough for their columns, and one budget for
//! every byte that decoding will hold or allocate. What is left to the decoder is the validation of values.

mod frames;
mod layout;
mod schema;

use std::collections::HashMap;
use std::ops::Range;

use arrow_ipc::{DictionaryBatch, MetadataVersion, RecordBatch};
use arrow_schema::{DataType, Schema, SchemaRef};

use self::frames::Frame;
use crate::{Error, ErrorKind, Limits, Result};

/// Input that holds what its headers promise, in the order in which to decode it.
pub(super) struct Inspected<'a> {
    pub(super) schema: SchemaRef,
    pub(super) dictionaries: Dictionaries,
    pub(super) parts: Vec<Part<'a>>,
    pub(super) budget: Budget,
}

/// One dictionary or record batch.
pub(super) struct Part<'a> {
    pub(super) header: Header<'a>,
    pub(super) version: MetadataVersion,
    /// Where the message starts in the input.
    pub(super) at: usize,
    /// `body.end <= input.len()`, and every buffer of the header lies inside.
    pub(super) body: Range<usize>,
    views: Vec<Views>,
}

/// A column of text in views into buffers behind them. Any number of rows may look at the same bytes, and the decoder
/// validates them for each.
struct Views {
    /// Which buffer of the batch holds the views.
    buffer: usize,
    rows: usize,
    /// Bytes of the buffers that they look into.
    own: u64,
}

#[derive(Clone, Copy)]
pub(super) enum Header<'a> {
    Batch(RecordBatch<'a>),
    Dictionary(DictionaryBatch<'a>),
}

/// The dictionaries that the schema declares, by id.
pub(super) type Dictionaries = HashMap<i64, Dictionary>;

pub(super) struct Dictionary {
    /// A schema of the one column whose values these are: all that decoding them takes.
    pub(super) schema: Schema,
    value_type: DataType,
    /// Whether columns of the values are dictionaries in their turn.
    holds_others: bool,
    /// Bytes of the values so far, deltas included; `None` before the first batch.
    held: Option<u64>,
    /// Buffers that views among them look into.
    view_buffers: u64,
    /// How often the decoder takes the values apart for one batch: for each column, and for each column that this is part of.
    uses: u64,
}

/// What the decoder goes through again for each batch, though it was sent once: nested values of dictionaries, which it
/// validates, and the lists of buffers that views in dictionaries look into, which it copies.
#[derive(Default)]
struct Again {
    bytes: u64,
    buffers: u64,
}

/// Checks everything about `data` that can be checked without looking at a value.
///
/// # Errors
/// [`ErrorKind::InvalidTable`] and [`ErrorKind::LimitExceeded`], with the offset of the message or buffer.
pub(super) fn inspect<'a>(data: &'a [u8], limits: &Limits) -> Result<Inspected<'a>> {
    let layout =
        if data.starts_with(frames::FILE_MAGIC) { frames::file(data)? } else { frames::stream(data)? };
    let (schema, mut dictionaries) = schema::read(layout.schema, layout.schema_at, limits)?;
    let mut budget = Budget::new(limits);
    let mut again = Again::default();
    let mut parts = Vec::with_capacity(layout.frames.len());
    for frame in layout.frames {
        let Frame { at, message, body } = frame;
        let version = message.version();
        let values = layout::Values { data, body: body.clone(), version, at };
        let (header, views) = if let Some(batch) = message.header_as_record_batch() {
            let types = schema.fields().iter().map(|field| field.data_type());
            let checked = layout::check(batch, types, &values, &mut budget)?;
            budget.count_rows(checked.rows, at)?;
            budget.charge_again(&again, at)?;
            (Header::Batch(batch), checked.views)
        } else if let Some(batch) = message.header_as_dictionary_batch() {
            let known = dictionaries.get_mut(&batch.id());
            let known =
                known.ok_or_else(|| invalid(at, "a dictionary has an id that the schema does not use"))?;
            let views = known.take(batch, &values, layout.replaceable, &mut budget, &mut again)?;
            (Header::Dictionary(batch), views)
        } else {
            return Err(invalid(at, "a message that is neither a record batch nor a dictionary"));
        };
        parts.push(Part { header, version, at, body, views });
    }
    Ok(Inspected { schema, dictionaries, parts, budget })
}

impl Dictionary {
    fn take(
        &mut self,
        batch: DictionaryBatch<'_>,
        values: &layout::Values<'_>,
        replaceable: bool,
        budget: &mut Budget,
        again: &mut Again,
    ) -> Result<Vec<Views>> {
        let at = values.at;
        let data = batch.data().ok_or_else(|| invalid(at, "a dictionary without values"))?;
        let before = budget.used;
        let checked = layout::check(data, std::iter::once(&self.value_type), values, budget)?;
        let added = budget.used - before;
        if self.holds_others {
            budget.charge_again(again, at)?;
        }
        self.count_again(again, |sum, part| sum.saturating_sub(part));
        self.view_buffers = checked.view_buffers + if batch.isDelta() { self.view_buffers } else { 0 };
        self.held = Some(match (self.held, batch.isDelta()) {
            (None, true) => return Err(invalid(at, "a delta for a dictionary that was not sent")),
            (Some(_), false) if !replaceable => {
                return Err(invalid(at, "a dictionary is sent twice, which the file format does not allow"));
            }
            (_, false) => added,
            // What joining them takes is known of flat values only: shared ones would be copied for each that shares them.
            (Some(_), true) if !is_flat(&self.value_type) => {
                return Err(invalid(at, "a delta for a dictionary of nested values"));
            }
            // The decoder joins both into a new array, and batches so far keep the old one alive.
            (Some(held), true) => {
                budget.charge(held.saturating_add(added), at)?;
                budget.count_parts(self.view_buffers, at)?;
                held.saturating_add(added)
            }
        });
        self.count_again(again, u64::saturating_add);
        Ok(checked.views)
    }

    /// Adds this dictionary to what is gone through for each batch, or takes it off.
    fn count_again(&self, again: &mut Again, count: impl Fn(u64, u64) -> u64) {
        let bytes = if is_flat(&self.value_type) { 0 } else { self.held.unwrap_or(0) };
        again.bytes = count(again.bytes, bytes.saturating_mul(self.uses));
        again.buffers = count(again.buffers, self.view_buffers.saturating_mul(self.uses));
    }
}

impl Part<'_> {
    /// Charges what views share: each value counts with its length, however few bytes there are of it.
    ///
    /// `header` and `body` are the part's own, or what they were unpacked into.
    pub(super) fn charge_views(&self, header: Header<'_>, body: &[u8], budget: &mut Budget) -> Result<()> {
        let batch = match header {
            Header::Batch(batch) => Some(batch),
            Header::Dictionary(dictionary) => dictionary.data(),
        };
        let places = batch.and_then(|batch| batch.buffers());
        for column in &self.views {
            let views = places
                .filter(|places| column.buffer < places.len())
                .and_then(|places| body.get(places.get(column.buffer).offset() as usize..))
                .and_then(|bytes| bytes.get(..column.rows * 16));
            // It was there when the layout was checked.
            let views = views.ok_or_else(|| Error::new(ErrorKind::Bug, "a column of views got lost"))?;
            let lens =
                views.as_chunks::<16>().0.iter().map(|[a, b, c, d, ..]| u32::from_le_bytes([*a, *b, *c, *d]));
            let shared: u64 = lens.filter(|len| *len > INLINE_VIEW_LEN).map(u64::from).sum();
            budget.charge(shared.saturating_sub(column.own), self.at)?;
        }
        Ok(())
    }
}

fn is_flat(data_type: &DataType) -> bool {
    !data_type.is_nested() && !matches!(data_type, DataType::Dictionary(..) | DataType::RunEndEncoded(..))
}

/// What decoding may hold or allocate, all batches and dictionaries together.
pub(super) struct Budget {
    /// Bytes of buffers, and of values that share them.
    pub(super) used: u64,
    rows: u64,
    /// Columns and buffers: each takes some memory beside its values, even without any.
    pub(super) parts: u64,
    limits: Limits,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { used: 0, rows: 0, parts: 0, limits: *limits }
    }

    /// How far back a ZSTD frame may look if it claims more than is believed: 8 MiB, which is what every decoder should have
    /// (RFC 8878, 3.1.1.1.2) and levels up to 19 use; without a limit 128 MiB, for all levels.
    pub(super) fn zstd_window_log(&self) -> u32 {
        let unlimited = self.limits.table_len > i64::MAX as u64;
        if unlimited { 27 } else { 23 }
    }

    fn charge(&mut self, len: u64, at: usize) -> Result<()> {
        let what = "the table's buffers hold more bytes than `Limits::table_len` allows";
        add(&mut self.used, len, self.limits.table_len, what, at)
    }

    fn charge_again(&mut self, again: &Again, at: usize) -> Result<()> {
        self.charge(again.bytes, at)?;
        self.count_parts(again.buffers, at)
    }

    fn count_rows(&mut self, rows: u64, at: usize) -> Result<()> {
        let what = "the table has more rows than `Limits::table_rows` allows";
        add(&mut self.rows, rows, self.limits.table_rows, what, at)
    }

    fn count_parts(&mut self, count: u64, at: usize) -> Result<()> {
        let what =
            "the table has more columns and buffers in its batches than `Limits::table_buffers` allows";
        add(&mut self.parts, count, self.limits.table_buffers, what, at)
    }
}

fn add(sum: &mut u64, more: u64, limit: u64, what: &'static str, at: usize) -> Result<()> {
    let total = sum.saturating_add(more);
    if total > limit {
        return Err(exceeded(at, what).with_size(total, limit));
    }
    // What is refused is not held.
    *sum = total;
    Ok(())
}

pub(super) fn invalid(at: usize, what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidTable, what).at(at as u64)
}

pub(super) fn exceeded(at: usize, what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::LimitExceeded, what).at(at as u64)
}

/// Up to so many bytes stand in a view itself.
const INLINE_VIEW_LEN: u32 = 12;
