//! Tables from strangers: any bytes, and well-formed tables that were damaged where it matters.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow_array::builder::StringViewBuilder;
use arrow_array::types::Int8Type;
use arrow_array::{Array, DictionaryArray, Int8Array, RecordBatch};
use arrow_ipc::writer::{DictionaryHandling, FileWriter, IpcWriteOptions, StreamWriter};
use arrow_ipc::{CompressionType, Message, MetadataVersion, root_as_footer, root_as_message};
use arrow_schema::DataType;
use twox_hash::XxHash32;

use crate::columns::{batch, compressible, every_type, small};
use crate::property::{OVERHEAD, attack_at};
use crate::source::Source;

/// The bytes as a table.
pub(crate) fn any(bytes: &[u8]) {
    check(0, bytes);
}

/// A table of the bytes' choice, damaged as they say; seldom none that is not read.
pub(crate) fn structured(bytes: &[u8]) {
    let source = &mut Source::new(bytes);
    let mut table = well_formed(source);
    let offset = source.pick(&[0, 0, 0, 8, 4, 1]);
    let places = Places::of(&table);
    let mutations = source.below(5);
    for _ in 0..mutations {
        damage(source, &mut table, &places);
    }
    match source.below(12) {
        0 => table.truncate(source.below(table.len() + 1)),
        1 => rearrange(source, &mut table, &places),
        _ => {}
    }
    check(offset, &table);
}

fn check(offset: usize, table: &[u8]) {
    // A field of a schema takes up to 64 times its bytes on the wire: name, type, metadata, each in memory of its own.
    let _ = attack_at(offset, table, LIMIT, OVERHEAD + 64 * table.len());
}

/// `table_len`, low enough to be reached by claims that are not absurd.
const LIMIT: usize = 1 << 16;

/// A table in either container, as its writer and its options make it.
fn well_formed(source: &mut Source<'_>) -> Vec<u8> {
    if source.one_in(5) {
        return source.pick(&FIXTURES).to_vec();
    }
    let batches = batches(source);
    let compression =
        source.pick(&[None, None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)]);
    let legacy = source.one_in(6);
    let version = if legacy || source.one_in(6) { MetadataVersion::V4 } else { MetadataVersion::V5 };
    let compression = compression.filter(|_| version == MetadataVersion::V5);
    let options = IpcWriteOptions::try_new(source.pick(&[8, 64]), legacy, version)
        .and_then(|options| options.try_with_compression(compression))
        .expect("the options fit each other")
        .with_dictionary_handling(source.pick(&[DictionaryHandling::Delta, DictionaryHandling::Resend]));
    let schema = batches[0].schema();
    if source.one_in(3) && !legacy {
        let mut writer = FileWriter::try_new_with_options(vec![], &schema, options).expect("a valid schema");
        // A file cannot replace a dictionary: what has others is left out.
        batches.iter().for_each(|batch| drop(writer.write(batch)));
        return writer.into_inner().expect("a vector takes everything");
    }
    let mut writer = StreamWriter::try_new_with_options(vec![], &schema, options).expect("a valid schema");
    // Some types are no values of dictionaries to the writer.
    batches.iter().for_each(|batch| drop(writer.write(batch)));
    writer.into_inner().expect("a vector takes everything")
}

fn batches(source: &mut Source<'_>) -> Vec<RecordBatch> {
    static EVERY_TYPE: OnceLock<RecordBatch> = OnceLock::new();
    match source.below(8) {
        0 => small().to_vec(),
        1 => vec![compressible()],
        2 => {
            // Long columns of little variety, as bombs are.
            let len = source.below(1 << 12);
            let numbers = arrow_array::Int64Array::from_iter_values((0..len).map(|_| 7));
            vec![batch([("n", Arc::new(numbers) as _)])]
        }
        3 => {
            // Any type as the values of a dictionary, which grows or is replaced; but no dictionary, which Arrow does not write.
            let all = EVERY_TYPE.get_or_init(every_type);
            let values = all.column(source.below(all.num_columns()));
            let values =
                Some(values).filter(|values| !matches!(values.data_type(), DataType::Dictionary(..)));
            let values = values.unwrap_or_else(|| all.column(0));
            (1..=values.len())
                .map(|count| {
                    let keys = Int8Array::from_iter_values(0..count as i8);
                    let values = values.slice(if source.one_in(6) { values.len() - count } else { 0 }, count);
                    batch([("d", Arc::new(DictionaryArray::<Int8Type>::new(keys, values)) as _)])
                })
                .collect()
        }
        4 => {
            // Many rows that look at the same text.
            let mut views = StringViewBuilder::new().with_deduplicate_strings();
            let text = "é".repeat(source.below(200));
            (0..source.below(1 << 10)).for_each(|_| views.append_value(&text));
            vec![batch([("text", Arc::new(views.finish()) as _)])]
        }
        _ => {
            let all = EVERY_TYPE.get_or_init(every_type);
            let columns: Vec<usize> =
                (0..1 + source.below(4)).map(|_| source.below(all.num_columns())).collect();
            let batch = all.project(&columns).expect("there are as many");
            (0..1 + source.below(3))
                .map(|_| {
                    let from = source.below(3);
                    batch.slice(from, batch.num_rows() - from)
                })
                .collect()
        }
    }
}

/// Tables of other writers: dictionaries that grow and are replaced, files with a footer, JavaScript's.
const FIXTURES: [&[u8]; 7] = [
    include_bytes!("../../engine/tests/data/arrow/py-stream-delta.arrow"),
    include_bytes!("../../engine/tests/data/arrow/py-file-delta.arrow"),
    include_bytes!("../../engine/tests/data/arrow/py-stream-replacement.arrow"),
    include_bytes!("../../engine/tests/data/arrow/py-stream-big-endian.arrow"),
    include_bytes!("../../engine/tests/data/arrow/js-stream.arrow"),
    include_bytes!("../../engine/tests/data/arrow/js-file.arrow"),
    include_bytes!("../../engine/tests/data/arrow/py-stream-lz4.arrow"),
];

/// Where a table has what its reader goes by.
#[derive(Default)]
struct Places {
    /// Lengths in front of messages.
    frames: Vec<usize>,
    /// Whole messages, bodies included.
    messages: Vec<Range<usize>>,
    /// Flatbuffers: of messages, and of a file's footer.
    headers: Vec<Range<usize>>,
    /// Numbers of 64 bits in headers: rows, nulls, offsets and lengths of buffers.
    numbers: Vec<usize>,
    /// Buffers inside bodies; a compressed one begins with its length.
    buffers: Vec<Range<usize>>,
}

impl Places {
    fn of(table: &[u8]) -> Self {
        let mut places = Self::default();
        if table.starts_with(b"ARROW1") {
            let tail = table.len() - 10;
            places.frames.push(tail);
            let footer_len = word(table, tail);
            let footer = tail - footer_len..tail;
            let blocks = root_as_footer(&table[footer.clone()]).expect("the writer's footer");
            let blocks: Vec<_> =
                blocks.dictionaries().into_iter().chain(blocks.recordBatches()).flatten().collect();
            for block in blocks {
                places.message(table, block.offset() as usize);
                // Offset, length of the metadata and padding, length of the body.
                let at = block as *const arrow_ipc::Block as usize - table.as_ptr() as usize;
                places.numbers.extend([at, at + 8, at + 16]);
            }
            places.headers.push(footer);
        } else {
            let mut at = 0;
            while at + 8 <= table.len() {
                match places.message(table, at) {
                    Some(end) => at = end,
                    None => break,
                }
            }
        }
        places
    }

    /// Notes the message at `at` and returns where it ends; `None` for the end-of-stream marker.
    fn message(&mut self, table: &[u8], at: usize) -> Option<usize> {
        self.frames.push(at);
        let prefix_len = if table[at..].starts_with(&[0xFF; 4]) { 8 } else { 4 };
        let header_at = at + prefix_len;
        let header = header_at..header_at + word(table, header_at - 4);
        if header.is_empty() {
            return None;
        }
        let message = root_as_message(&table[header.clone()]).expect("the writer's header");
        let body_at = header.end;
        let end = body_at + message.bodyLength() as usize;
        self.batch(table, message, body_at);
        self.headers.push(header);
        self.messages.push(at..end);
        Some(end)
    }

    fn batch(&mut self, table: &[u8], message: Message<'_>, body_at: usize) {
        let batch = message
            .header_as_record_batch()
            .or_else(|| message.header_as_dictionary_batch().and_then(|batch| batch.data()));
        let Some(batch) = batch else { return };
        let offset_of = |bytes: &[u8]| bytes.as_ptr() as usize - table.as_ptr() as usize;
        for lists in [batch.nodes().map(|list| list.bytes()), batch.buffers().map(|list| list.bytes())] {
            let Some(list) = lists else { continue };
            let start = offset_of(list);
            self.numbers.extend((start..start + list.len()).step_by(8));
        }
        for buffer in batch.buffers().into_iter().flatten() {
            let start = body_at + buffer.offset() as usize;
            if buffer.length() > 0 {
                self.buffers.push(start..start + buffer.length() as usize);
            }
        }
    }
}

fn word(table: &[u8], at: usize) -> usize {
    table[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize)
}

/// Changes one thing; the table keeps its length.
fn damage(source: &mut Source<'_>, table: &mut [u8], places: &Places) {
    match source.below(16) {
        0..=4 if !places.numbers.is_empty() => {
            let at = pick_place(source, &places.numbers);
            let number = number(source, long(table, at));
            put(table, at, &number.to_le_bytes());
        }
        5 if places.numbers.len() > 1 => {
            // Something that is true elsewhere: buffers that overlap, the rows of another column.
            let (from, to) = (pick_place(source, &places.numbers), pick_place(source, &places.numbers));
            let number = long(table, from);
            put(table, to, &number.to_le_bytes());
        }
        6..=7 => {
            let at = pick_place(source, &places.frames);
            let at = at + source.pick(&[0, 4]);
            let number = number(source, word(table, at.min(table.len())) as i64) as i32;
            put(table, at, &number.to_le_bytes());
        }
        8..=11 if !places.headers.is_empty() => {
            // Anything in a header: types, widths, ids, versions, kinds, offsets of the flatbuffer itself.
            let header = places.headers[source.below(places.headers.len())].clone();
            if header.is_empty() {
                return;
            }
            let at = header.start + source.below(header.len());
            let change = source.below(4);
            match change {
                0 => table[at] = source.byte(),
                1 => table[at] ^= 1 << source.below(8),
                2 => {
                    let at = at - (at - header.start) % 4;
                    let number = number(source, word(table, at) as i64) as i32;
                    put(table, at, &number.to_le_bytes());
                }
                _ => {
                    let at = at - (at - header.start) % 4;
                    let from = header.start + source.below(header.len()) / 4 * 4;
                    let number = word(table, from) as u32;
                    put(table, at, &number.to_le_bytes());
                }
            }
        }
        12..=14 if !places.buffers.is_empty() => {
            // Values: offsets, keys, run ends, type ids; and what a compressed buffer claims.
            let buffer = places.buffers[source.below(places.buffers.len())].clone();
            let change = source.below(6);
            let at = if change < 2 { buffer.start } else { buffer.start + source.below(buffer.len()) };
            match change {
                0 | 1 => {
                    let number = number(source, long(table, at));
                    put(table, at, &number.to_le_bytes());
                }
                2 => {
                    let at = at - (at - buffer.start) % 4;
                    let number = number(source, word(table, at) as i64) as i32;
                    put(table, at, &number.to_le_bytes());
                }
                3 => lz4_header(source, &mut table[buffer]),
                _ => put(table, at, &[source.byte()]),
            }
        }
        _ => {
            let at = source.below(table.len().max(1));
            let byte = source.byte();
            put(table, at, &[byte]);
        }
    }
}

/// Lets an LZ4 frame say something else of itself: how large its blocks are, whether they look back, what is checked.
fn lz4_header(source: &mut Source<'_>, buffer: &mut [u8]) {
    const HEADER: Range<usize> = 12..15; // behind a length and the frame's magic
    let Some([flags, sizes, checksum]) = buffer.get_mut(HEADER) else { return };
    *flags ^= 1 << source.below(8);
    *sizes = source.pick(&[0x40, 0x50, 0x60, 0x70, 0x30]);
    *checksum = (XxHash32::oneshot(0, &[*flags, *sizes]) >> 8) as u8;
}

fn pick_place(source: &mut Source<'_>, places: &[usize]) -> usize {
    places[source.below(places.len())]
}

fn long(table: &[u8], at: usize) -> i64 {
    table.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| i64::from_le_bytes(*bytes))
}

/// Overwrites what is there; nothing behind the end.
fn put(table: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(room) = table.get_mut(at..at + bytes.len()) {
        room.copy_from_slice(bytes);
    }
}

/// A number near the one that was there, or one that has broken readers before.
fn number(source: &mut Source<'_>, old: i64) -> i64 {
    let numbers = [
        0,
        1,
        2,
        7,
        8,
        -1,
        -8,
        i64::from(i8::MIN),
        i64::from(u8::MAX),
        i64::from(u16::MAX),
        i64::from(i32::MAX),
        i64::from(i32::MIN),
        i64::from(u32::MAX),
        1 << 20,
        100 << 30,
        1 << 61,
        1 << 62,
        i64::MAX,
        i64::MIN,
    ];
    match source.below(10) {
        0 => old.wrapping_add(1),
        1 => old.wrapping_sub(1),
        2 => old.wrapping_add(8),
        3 => old.wrapping_sub(8),
        4 => old.wrapping_mul(2),
        5 => i64::from(source.byte()),
        6 => old / 2,
        _ => source.pick(&numbers),
    }
}

/// Puts the messages together in another way: one left out, twice or elsewhere.
fn rearrange(source: &mut Source<'_>, table: &mut Vec<u8>, places: &Places) {
    let Some(message) = places.messages.get(source.below(places.messages.len())).cloned() else { return };
    let Some(bytes) = table.get(message.clone()).map(<[u8]>::to_vec) else { return };
    match source.below(3) {
        0 => drop(table.drain(message)),
        1 => drop(table.splice(message.end..message.end, bytes)),
        _ => {
            table.drain(message);
            let to = places.messages[source.below(places.messages.len())].start.min(table.len());
            table.splice(to..to, bytes);
        }
    }
}
