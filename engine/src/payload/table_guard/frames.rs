//! Where the messages are: the framing of the stream format and the footer of the file format.

use std::ops::Range;

use arrow_ipc::{
    Block, Message, MessageHeader, MetadataVersion, Schema, root_as_footer_with_opts,
    root_as_message_with_opts,
};
use flatbuffers::{InvalidFlatbuffer, VerifierOptions};

use super::invalid;
use crate::payload::table::summary;
use crate::{Error, Result};

/// What it takes to verify a header of `len` bytes: no more work than its size justifies.
///
/// Flatbuffers may share parts, so a small one can unfold into an enormous tree; no writer of tables makes use of it.
fn options(len: usize) -> VerifierOptions {
    VerifierOptions {
        max_depth: MAX_FLATBUFFER_DEPTH,
        max_apparent_size: len.saturating_mul(8).saturating_add(64 * 1024),
        // A table with something in it takes as much, unless it is shared.
        max_tables: (len / 16).max(1_000_000),
        ..VerifierOptions::default()
    }
}

fn unverified(err: &InvalidFlatbuffer, at: usize) -> Error {
    invalid(at, "a header is not a valid flatbuffer").with_source(summary(err))
}

/// The first six bytes and the last six bytes of the file format.
pub(super) const FILE_MAGIC: &[u8] = b"ARROW1";

/// The messages of a table, in the order in which to decode them.
pub(super) struct Layout<'a> {
    pub(super) schema: Schema<'a>,
    pub(super) schema_at: usize,
    /// Dictionary and record batches only.
    pub(super) frames: Vec<Frame<'a>>,
    /// Whether a dictionary may be sent again with other values: the order of a stream tells which batches use which.
    pub(super) replaceable: bool,
}

/// A message with a verified header.
pub(super) struct Frame<'a> {
    pub(super) at: usize,
    pub(super) message: Message<'a>,
    /// `body.end <= input.len()`.
    pub(super) body: Range<usize>,
}

/// Walks a stream up to its end-of-stream marker, or to its end where there is none; nothing behind the marker is read.
pub(super) fn stream(data: &[u8]) -> Result<Layout<'_>> {
    let mut schema = None;
    let mut frames = Vec::new();
    let mut at = 0;
    while at < data.len() {
        let Some(prefix) = prefix(data, at)? else { break };
        let metadata = take(data, prefix.metadata_at, prefix.metadata_len, at, "metadata")?;
        let message = verified_message(&data[metadata.clone()], at)?;
        let body = take(data, metadata.end, body_len(message, at)?, at, "body")?;
        match (message.header_type(), schema) {
            (MessageHeader::Schema, None) => {
                let header =
                    message.header_as_schema().ok_or_else(|| invalid(at, "a schema without fields"))?;
                schema = Some((header, at));
            }
            (MessageHeader::Schema, Some(_)) => return Err(invalid(at, "a second schema")),
            (MessageHeader::RecordBatch | MessageHeader::DictionaryBatch, Some(_)) => {
                frames.push(Frame { at, message, body: body.clone() });
            }
            (MessageHeader::RecordBatch | MessageHeader::DictionaryBatch, None) => {
                return Err(invalid(at, "data before the schema"));
            }
            (other, _) => return Err(unsupported(other, at)),
        }
        at = body.end;
    }
    let Some((schema, schema_at)) = schema else {
        return Err(invalid(
            0,
            if data.is_empty() { "a table of zero bytes" } else { "a table without a schema" },
        ));
    };
    Ok(Layout { schema, schema_at, frames, replaceable: true })
}

/// Walks a file by its footer: all dictionaries, then all record batches.
pub(super) fn file(data: &[u8]) -> Result<Layout<'_>> {
    let cut = || invalid(data.len(), "a table in the file format does not end as one: it may be cut short");
    let tail =
        data.len().checked_sub(4 + FILE_MAGIC.len()).filter(|tail| *tail >= HEAD_LEN).ok_or_else(cut)?;
    if !data.ends_with(FILE_MAGIC) {
        return Err(cut());
    }
    let footer_len = word(data, tail).and_then(|len| usize::try_from(len).ok()).ok_or_else(cut)?;
    let footer_at = tail
        .checked_sub(footer_len)
        .filter(|at| *at >= HEAD_LEN && footer_len > 0)
        .ok_or_else(|| invalid(tail, format!("the footer claims {footer_len} bytes, more than there are")))?;

    let footer = &data[footer_at..tail];
    let footer = root_as_footer_with_opts(&options(footer.len()), footer)
        .map_err(|err| unverified(&err, footer_at))?;
    if footer.version() > MetadataVersion::V5 {
        return Err(invalid(footer_at, "the footer has an unknown version"));
    }
    let schema = footer.schema().ok_or_else(|| invalid(footer_at, "the footer holds no schema"))?;

    let dictionaries = footer.dictionaries().into_iter().flatten();
    let batches = footer.recordBatches().into_iter().flatten();
    let data = &data[..footer_at];
    let blocks = dictionaries
        .map(|block| (block, MessageHeader::DictionaryBatch))
        .chain(batches.map(|block| (block, MessageHeader::RecordBatch)));

    // Blocks that share bytes would let 24 bytes of footer stand for a whole batch, or its header, any number of times.
    let places = blocks.clone().map(|(block, _)| Ok(place(data, block, footer_at)?.all));
    let mut taken = places.collect::<Result<Vec<_>>>()?;
    taken.sort_unstable_by_key(|all| (all.start, all.end));
    if let Some(pair) = taken.windows(2).find(|pair| pair[1].start < pair[0].end) {
        return Err(invalid(pair[1].start, "two blocks of the file overlap"));
    }
    let frames = blocks.map(|(block, kind)| framed(data, block, kind, footer_at)).collect::<Result<_>>()?;
    Ok(Layout { schema, schema_at: footer_at, frames, replaceable: false })
}

/// Where a block of the footer lies.
struct Place {
    all: Range<usize>,
    body_at: usize,
}

/// Where a block says that it lies; `data` ends where the footer starts.
fn place(data: &[u8], block: &Block, footer_at: usize) -> Result<Place> {
    let find = || {
        let at = usize::try_from(block.offset()).ok().filter(|at| *at >= HEAD_LEN)?;
        let body_at = at.checked_add(usize::try_from(block.metaDataLength()).ok()?)?;
        let end = body_at.checked_add(usize::try_from(block.bodyLength()).ok()?)?;
        (end <= data.len()).then_some(Place { all: at..end, body_at })
    };
    find().ok_or_else(|| invalid(footer_at, "the footer has a block that lies outside the file's messages"))
}

/// The message that a block of the footer points to; `data` ends where the footer starts.
fn framed<'a>(data: &'a [u8], block: &Block, kind: MessageHeader, footer_at: usize) -> Result<Frame<'a>> {
    let Place { all, body_at } = place(data, block, footer_at)?;
    let at = all.start;
    let head = &data[..body_at];
    let prefix = prefix(head, at)?.ok_or_else(|| invalid(at, "a block of the file holds no message"))?;
    let metadata = take(head, prefix.metadata_at, prefix.metadata_len, at, "metadata")?;
    let message = verified_message(&data[metadata], at)?;
    if message.header_type() != kind {
        return Err(unsupported(message.header_type(), at));
    }
    let body = body_at..all.end;
    if body_len(message, at)? != body.len() as u64 {
        return Err(invalid(at, "a message is longer or shorter than its block in the footer"));
    }
    Ok(Frame { at, message, body })
}

struct Prefix {
    metadata_at: usize,
    metadata_len: u64,
}

/// Reads a message's length, in either framing: since 0.15 a continuation marker of four 0xFF bytes comes first.
///
/// `None` at an end-of-stream marker.
fn prefix(data: &[u8], at: usize) -> Result<Option<Prefix>> {
    let cut = || invalid(at, "the input ends inside the length of a message");
    let mut metadata_at = at + 4;
    let mut len = word(data, at).ok_or_else(cut)?;
    if len == -1 {
        len = word(data, metadata_at).ok_or_else(cut)?;
        metadata_at += 4;
    }
    let metadata_len = u64::try_from(len).map_err(|_| invalid(at, "a message has a negative length"))?;
    Ok((metadata_len > 0).then_some(Prefix { metadata_at, metadata_len }))
}

fn word(data: &[u8], at: usize) -> Option<i32> {
    data.get(at..)?.first_chunk().map(|bytes| i32::from_le_bytes(*bytes))
}

/// The range of `len` bytes from `from`, if the input has them; `at` is the message's start, for the error.
fn take(data: &[u8], from: usize, len: u64, at: usize, part: &str) -> Result<Range<usize>> {
    let left = data.len() - from;
    match usize::try_from(len) {
        Ok(len) if len <= left => Ok(from..from + len),
        _ => Err(invalid(at, format!("a message claims {len} bytes of {part}, and {left} are left"))),
    }
}

fn body_len(message: Message<'_>, at: usize) -> Result<u64> {
    u64::try_from(message.bodyLength()).map_err(|_| invalid(at, "a message has a body of negative length"))
}

fn verified_message(metadata: &[u8], at: usize) -> Result<Message<'_>> {
    let message =
        root_as_message_with_opts(&options(metadata.len()), metadata).map_err(|err| unverified(&err, at))?;
    // Arrow 0.17 said it here that a body is compressed; whoever does not look takes it for a plain one.
    let mut pairs = message.custom_metadata().into_iter().flatten();
    if pairs.any(|pair| pair.key() == Some("ARROW:experimental_compression")) {
        return Err(invalid(at, "a body that is compressed as Arrow 0.17 did it"));
    }
    match message.version() {
        MetadataVersion::V4 | MetadataVersion::V5 => Ok(message),
        other => {
            Err(invalid(at, format!("a message has the version {}; read are V4 and V5", version_name(other))))
        }
    }
}

fn version_name(version: MetadataVersion) -> String {
    version.variant_name().map_or_else(|| version.0.to_string(), str::to_owned)
}

fn unsupported(kind: MessageHeader, at: usize) -> Error {
    let name = kind.variant_name().unwrap_or("unknown");
    invalid(at, format!("a message of the kind {name} where a batch is expected"))
}

/// Every file starts with its magic and two bytes of padding.
const HEAD_LEN: usize = 8;

/// Above what a schema of the deepest allowed nesting takes, so that its own, clearer error comes first.
const MAX_FLATBUFFER_DEPTH: usize = 3 * super::schema::MAX_NESTING;
