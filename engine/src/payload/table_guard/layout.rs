//! Whether a batch's buffers lie inside its body and are long enough for the columns of its schema.

use std::ops::Range;

use arrow_ipc::{BodyCompressionMethod, CompressionType, MetadataVersion, RecordBatch};
use arrow_schema::{DataType, UnionFields, UnionMode};

use super::{Budget, Views, invalid};
use crate::Result;
use crate::payload::table_unpack::Packed;

/// Where the values of a batch are.
pub(super) struct Values<'a> {
    pub(super) data: &'a [u8],
    /// `body.end <= data.len()`.
    pub(super) body: Range<usize>,
    pub(super) version: MetadataVersion,
    /// Where the message starts.
    pub(super) at: usize,
}

/// What a batch holds.
pub(super) struct Checked {
    pub(super) rows: u64,
    /// Its columns of text in views.
    pub(super) views: Vec<Views>,
    /// Buffers that views look into.
    pub(super) view_buffers: u64,
}

/// Checks a batch of the given columns, and charges every byte that its buffers hold once decompressed.
pub(super) fn check<'t>(
    batch: RecordBatch<'_>,
    types: impl Iterator<Item = &'t DataType>,
    values: &Values<'_>,
    budget: &mut Budget,
) -> Result<Checked> {
    let at = values.at;
    let rows =
        u64::try_from(batch.length()).map_err(|_| invalid(at, "a batch has a negative number of rows"))?;
    budget.charge(rows.div_ceil(8), at)?;
    let codec = match batch.compression() {
        None => None,
        Some(body) if body.method() != BodyCompressionMethod::BUFFER => {
            return Err(invalid(at, "a body is compressed in an unknown way"));
        }
        Some(body) => match body.codec() {
            codec @ (CompressionType::LZ4_FRAME | CompressionType::ZSTD) => Some(codec),
            _ => return Err(invalid(at, "a body is compressed with an unknown codec")),
        },
    };
    let (Some(nodes), Some(buffers)) = (batch.nodes(), batch.buffers()) else {
        return Err(invalid(at, "a batch lists no columns or no buffers"));
    };
    let mut cursor = Cursor {
        nodes: nodes.iter(),
        buffers: buffers.iter(),
        view_counts: batch.variadicBufferCounts().into_iter().flatten(),
        codec,
        depth: 0,
        taken: 0,
        body_left: values.body.len(),
        views: Vec::new(),
        view_buffers: 0,
        values,
        budget,
    };
    for data_type in types {
        if cursor.column(data_type)? != rows {
            return Err(invalid(at, "a column is longer or shorter than its batch"));
        }
    }
    if cursor.nodes.next().is_some() || cursor.buffers.next().is_some() || cursor.view_counts.next().is_some()
    {
        return Err(invalid(at, "a batch has more columns or buffers than its schema"));
    }
    let Cursor { views, view_buffers, .. } = cursor;
    let places = buffers.iter().filter(|buffer| buffer.length() > 0);
    // They lie inside the body.
    let mut taken = places.map(|buffer| (buffer.offset(), buffer.offset() + buffer.length()));
    // As everybody writes them: no need to sort.
    if !taken.clone().is_sorted_by(|before, after| before.1 <= after.0) {
        let mut sorted: Vec<_> = taken.by_ref().collect();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[1].0 < pair[0].1) {
            return Err(invalid(values.body.start + pair[1].0 as usize, OVERLAP));
        }
    }
    Ok(Checked { rows, views, view_buffers })
}

/// Takes a batch's lists apart in the order in which the columns use them.
struct Cursor<'a, N, B, V> {
    nodes: N,
    buffers: B,
    view_counts: V,
    codec: Option<CompressionType>,
    /// Of the column that is looked at; 1 for one of the table itself.
    depth: u64,
    /// Buffers so far.
    taken: usize,
    /// Bytes of the body that no buffer has had: nobody may have the same ones unpacked, copied or validated again and again.
    body_left: usize,
    views: Vec<Views>,
    view_buffers: u64,
    values: &'a Values<'a>,
    budget: &'a mut Budget,
}

impl<'f, N, B, V> Cursor<'_, N, B, V>
where
    N: Iterator<Item = &'f arrow_ipc::FieldNode>,
    B: Iterator<Item = &'f arrow_ipc::Buffer>,
    V: Iterator<Item = i64>,
{
    /// Checks one column with all below it, and returns its number of rows.
    fn column(&mut self, data_type: &DataType) -> Result<u64> {
        self.depth += 1;
        let (rows, nulls) = self.node()?;
        let validity = Need::at_least(if nulls > 0 { rows.div_ceil(8) } else { 0 });
        let values = |width| Need::at_least(rows.saturating_mul(width));
        // The decoder looks at these as at numbers, and panics at the fraction of one.
        let numbers = |width| Need { len: rows.saturating_mul(width), unit: width };
        // An empty column may leave out even the one offset that it should have.
        let offset_count = if rows == 0 { 0 } else { rows.saturating_add(1) };
        let offsets = |width| Need { len: offset_count.saturating_mul(width), unit: width };
        let any = Need::at_least(0);
        match data_type {
            DataType::Null => self.no_bytes(rows, true)?,
            DataType::Boolean => self.buffers([validity, Need::at_least(rows.div_ceil(8))])?,
            DataType::Utf8 | DataType::Binary => self.buffers([validity, offsets(4), any])?,
            DataType::LargeUtf8 | DataType::LargeBinary => self.buffers([validity, offsets(8), any])?,
            DataType::Utf8View | DataType::BinaryView => {
                self.buffers([validity, numbers(16)])?;
                let buffer = self.taken - 1;
                let before = self.budget.used;
                let missing = || invalid(self.values.at, "a batch does not say how many buffers a view has");
                let count = self.view_counts.next().ok_or_else(missing)?;
                let negative = |_| invalid(self.values.at, "a view has a negative number of buffers");
                // Ends at the first buffer that is not there.
                let count = u64::try_from(count).map_err(negative)?;
                for _ in 0..count {
                    self.buffers([any])?;
                }
                self.view_buffers += count;
                // Of what other views point to, the decoder compares four bytes.
                if *data_type == DataType::Utf8View {
                    // The rows' 16 bytes each are there.
                    self.views.push(Views { buffer, rows: rows as usize, own: self.budget.used - before });
                }
            }
            DataType::FixedSizeBinary(width) => {
                self.no_bytes(rows, *width == 0)?;
                self.buffers([validity, values(width.unsigned_abs().into())])?;
            }
            DataType::List(item) | DataType::Map(item, _) => {
                self.buffers([validity, offsets(4)])?;
                self.column(item.data_type())?;
            }
            DataType::LargeList(item) => {
                self.buffers([validity, offsets(8)])?;
                self.column(item.data_type())?;
            }
            DataType::ListView(item) => {
                self.buffers([validity, numbers(4), numbers(4)])?;
                self.look_again(rows, 8)?;
                self.column(item.data_type())?;
            }
            DataType::LargeListView(item) => {
                self.buffers([validity, numbers(8), numbers(8)])?;
                self.look_again(rows, 16)?;
                self.column(item.data_type())?;
            }
            DataType::FixedSizeList(item, size) => {
                self.no_bytes(rows, *size == 0)?;
                self.buffers([validity])?;
                let items = self.column(item.data_type())?;
                if items < rows.saturating_mul(size.unsigned_abs().into()) {
                    return Err(invalid(self.values.at, "a fixed-size list has too few items"));
                }
            }
            DataType::Struct(fields) => {
                self.no_bytes(rows, fields.is_empty())?;
                self.buffers([validity])?;
                for field in fields {
                    if self.column(field.data_type())? != rows {
                        return Err(invalid(
                            self.values.at,
                            "a struct has columns of other lengths than its own",
                        ));
                    }
                }
            }
            DataType::RunEndEncoded(run_ends, run_values) => {
                self.no_bytes(rows, true)?;
                self.no_nulls(nulls)?;
                let (runs, _) = self.node()?;
                let width = width(run_ends.data_type());
                self.buffers([any, Need { len: runs.saturating_mul(width), unit: width }])?;
                self.column(run_values.data_type())?;
            }
            DataType::Dictionary(keys, values) => {
                self.buffers([validity, numbers(width(keys))])?;
                // The decoder takes the values apart again for each batch.
                self.budget.count_parts(self.depth.saturating_mul(parts_of(values)), self.values.at)?;
            }
            DataType::Union(fields, mode) => {
                // Before V5 there may be a buffer that says which values are null, and the decoder does not look at it.
                self.no_nulls(nulls)?;
                self.budget.count_parts(slots_of(fields), self.values.at)?;
                if self.values.version < MetadataVersion::V5 {
                    self.buffers([any])?;
                }
                self.buffers([values(1)])?;
                // The decoder copies any other buffer that is misaligned, and panics at this one. What is unpacked is aligned.
                if *mode == UnionMode::Dense
                    && !self.buffer(values(4))?.is_multiple_of(4)
                    && self.codec.is_none()
                {
                    return Err(invalid(self.values.at, "the offsets of a union are not aligned"));
                }
                for (_, field) in fields.iter() {
                    self.column(field.data_type())?;
                }
            }
            primitive => self.buffers([validity, values(width(primitive))])?,
        }
        self.depth -= 1;
        Ok(rows)
    }

    /// The next column's rows and nulls; `nulls <= rows`.
    fn node(&mut self) -> Result<(u64, u64)> {
        let at = self.values.at;
        // The decoder looks at it again for each column that it is part of.
        self.budget.count_parts(self.depth, at)?;
        let node =
            self.nodes.next().ok_or_else(|| invalid(at, "a batch has fewer columns than its schema"))?;
        match (u64::try_from(node.length()), u64::try_from(node.null_count())) {
            (Ok(rows), Ok(nulls)) if nulls <= rows => Ok((rows, nulls)),
            _ => Err(invalid(at, "a column has an impossible number of rows or nulls")),
        }
    }

    /// Charges a bit for each row of a type whose rows may take no bytes, so that a claim of 2^62 rows has a price.
    ///
    /// Where there are really none, and the column is part of another, a few bytes of that may stand for any number of rows,
    /// and the decoder makes bits of them: these cost as much as numbers.
    fn no_bytes(&mut self, rows: u64, none: bool) -> Result<()> {
        let len = if none && self.depth > 1 { rows.saturating_mul(8) } else { rows.div_ceil(8) };
        self.budget.charge(len, self.values.at)
    }

    /// Charges for what the decoder looks at again for each column that this one is part of.
    fn look_again(&mut self, rows: u64, width: u64) -> Result<()> {
        let len = rows.saturating_mul(width).saturating_mul(self.depth - 1);
        self.budget.charge(len, self.values.at)
    }

    /// Refuses nulls of a column that has nothing to tell them by.
    fn no_nulls(&self, nulls: u64) -> Result<()> {
        if nulls > 0 {
            return Err(invalid(self.values.at, "a union or a column of runs has nulls of its own"));
        }
        Ok(())
    }

    /// Takes one buffer for each need.
    fn buffers<const COUNT: usize>(&mut self, needed: [Need; COUNT]) -> Result<()> {
        needed.into_iter().try_for_each(|needed| self.buffer(needed).map(drop))
    }

    /// Takes one buffer, and returns where it starts in the body.
    fn buffer(&mut self, needed: Need) -> Result<usize> {
        let Values { data, ref body, at, .. } = *self.values;
        self.budget.count_parts(1, at)?;
        let buffer =
            self.buffers.next().ok_or_else(|| invalid(at, "a batch has fewer buffers than its schema"))?;
        let outside = || invalid(at, "a batch has a buffer outside its body");
        let from = usize::try_from(buffer.offset()).map_err(|_| outside())?;
        let len = usize::try_from(buffer.length()).map_err(|_| outside())?;
        let end = from.checked_add(len).ok_or_else(outside)?;
        let bytes = data[body.clone()].get(from..end).ok_or_else(outside)?;

        let start = body.start + from;
        self.taken += 1;
        let left = self.body_left.checked_sub(len);
        self.body_left = left.ok_or_else(|| invalid(start, OVERLAP))?;
        let held = match self.codec {
            Some(codec) => unpacked_len(bytes, codec, start)?,
            None => len as u64,
        };
        self.budget.charge(held, start)?;
        if held < needed.len {
            let what = format!("a buffer of {held} bytes, and its column needs {}", needed.len);
            return Err(invalid(start, what));
        }
        if !held.is_multiple_of(needed.unit) {
            return Err(invalid(
                start,
                format!("a buffer of {held} bytes for numbers of {} bytes", needed.unit),
            ));
        }
        Ok(from)
    }
}

/// What a column asks of one buffer, in bytes.
#[derive(Clone, Copy)]
struct Need {
    len: u64,
    /// The length is a multiple of this; above 0.
    unit: u64,
}

impl Need {
    fn at_least(len: u64) -> Self {
        Self { len, unit: 1 }
    }
}

/// The length that a buffer of a compressed body claims to have, if its codec can make so much of so little.
fn unpacked_len(bytes: &[u8], codec: CompressionType, at: usize) -> Result<u64> {
    let packed = Packed::new(bytes).map_err(|what| invalid(at, what))?;
    let claimed = packed.len() as u64;
    if let Packed::Compressed { bytes, .. } = packed {
        let packed_len = bytes.len() as u64;
        // LZ4 lengthens a match by 255 for a byte; the smallest ZSTD block is 3 bytes and makes at most 128 KiB.
        let most = match codec {
            CompressionType::LZ4_FRAME => packed_len.saturating_mul(255),
            _ => packed_len.saturating_mul(128 * 1024 / 3 + 1),
        };
        if claimed > most {
            let what = format!("a compressed buffer of {packed_len} bytes claims to unpack into {claimed}");
            return Err(invalid(at, what));
        }
    }
    Ok(claimed)
}

/// Columns and buffers of a type, with those that are part of it, as if each column had the most that there are.
fn parts_of(data_type: &DataType) -> u64 {
    let below = match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => parts_of(item.data_type()),
        DataType::Struct(fields) => fields.iter().map(|field| parts_of(field.data_type())).sum(),
        DataType::Union(fields, _) => {
            slots_of(fields) + fields.iter().map(|(_, field)| parts_of(field.data_type())).sum::<u64>()
        }
        DataType::RunEndEncoded(ends, values) => parts_of(ends.data_type()) + parts_of(values.data_type()),
        DataType::Dictionary(_, values) => parts_of(values),
        _ => 0,
    };
    4 + below
}

/// What the decoder's table of a union's types takes, by which it finds a column: 16 bytes for each id up to the largest.
fn slots_of(fields: &UnionFields) -> u64 {
    let ids = fields.iter().map(|(id, _)| u64::from(id.unsigned_abs()) + 1).max();
    ids.unwrap_or(0) * 16 / 250
}

/// Bytes of one value of a type that has a fixed number of them; at least 1.
fn width(data_type: &DataType) -> u64 {
    data_type.primitive_width().map_or(1, |width| width as u64)
}

const OVERLAP: &str = "the buffers of a batch overlap";
