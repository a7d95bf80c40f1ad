//! Unpacks the compressed body of a batch, so that Arrow's decoder sees plain ones only.
//!
//! Arrow takes memory for what a buffer claims before a byte of it has come out, and for LZ4 up to 16 MiB more, because a
//! frame may declare large blocks. Here all buffers of a batch are unpacked into one body, which is where their values
//! stay. A claim is believed as long as it is small or in proportion; beyond that the body grows with what comes out.

mod lz4;

use std::io::Cursor;

use arrow_buffer::Buffer;
use arrow_ipc::{
    CompressionType, DictionaryBatch, DictionaryBatchArgs, Message, MessageArgs, MessageHeader, RecordBatch,
    RecordBatchArgs, root_as_message,
};
use flatbuffers::FlatBufferBuilder;
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, zstd_sys};

use super::table_guard::{Header, Part, exceeded, invalid};
use crate::{Error, ErrorKind, Result};

/// The message that a sender without compression would have written.
pub(super) struct Unpacked {
    message: FlatBufferBuilder<'static>,
    pub(super) body: Buffer,
}

impl Unpacked {
    pub(super) fn header(&self) -> Result<Header<'_>> {
        root_as_message(self.message.finished_data())
            .ok()
            .and_then(|message| {
                let batch = message.header_as_record_batch().map(Header::Batch);
                batch.or_else(|| message.header_as_dictionary_batch().map(Header::Dictionary))
            })
            .ok_or_else(|| Error::new(ErrorKind::Bug, "the header of an unpacked batch cannot be read"))
    }
}

/// Unpacks the buffers of a batch; `None` where they are not compressed. `data` is the input that `part` is of. ZSTD frames
/// that claim much have windows of at most two to the `window_log`. `zstd` is kept from batch to batch: small ones take less
/// than it does.
///
/// # Errors
/// [`ErrorKind::InvalidTable`] with the offset of a buffer that is damaged, or that is longer or shorter than it claims;
/// [`ErrorKind::LimitExceeded`] for [`LARGE_WINDOW`].
pub(super) fn unpack(
    part: &Part<'_>,
    data: &[u8],
    window_log: u32,
    zstd: &mut Option<DCtx<'static>>,
) -> Result<Option<Unpacked>> {
    let batch = match part.header {
        Header::Batch(batch) => Some(batch),
        Header::Dictionary(dictionary) => dictionary.data(),
    };
    let compressed = batch.and_then(|batch| Some((batch, batch.compression()?.codec(), batch.buffers()?)));
    let Some((batch, codec, places)) = compressed else { return Ok(None) };

    let mut buffers = Vec::with_capacity(places.len());
    for place in places {
        // The guard has seen that it lies inside.
        let at = part.body.start + place.offset() as usize;
        let bytes = &data[at..at + place.length() as usize];
        buffers.push((at, Packed::new(bytes).map_err(|what| invalid(at, what))?));
    }
    let believed = if codec == CompressionType::LZ4_FRAME { 1 } else { ZSTD_RATIO };
    let mut body = Body::new(&buffers, part.body.len().saturating_mul(believed));
    let mut unpacked = Vec::with_capacity(buffers.len());
    for (at, buffer) in buffers {
        let start = body.start_buffer();
        let done = match buffer {
            Packed::Stored(bytes) => {
                body.room(bytes.len()).1.copy_from_slice(bytes);
                body.end += bytes.len();
                Ok(())
            }
            // Arrow does not look at the bytes of a buffer that claims none.
            Packed::Compressed { len: 0, .. } => Ok(()),
            Packed::Compressed { bytes, len } if codec == CompressionType::LZ4_FRAME => {
                lz4::unpack(bytes, len, &mut body)
            }
            Packed::Compressed { bytes, len } => unpack_zstd(zstd, bytes, len, window_log, &mut body),
        };
        done.map_err(|what| match what {
            LARGE_WINDOW => exceeded(at, what),
            _ => invalid(at, format!("a compressed buffer is damaged: {what}")),
        })?;
        let (len, claimed) = (body.end - start, buffer.len());
        if len != claimed {
            let what = format!("a compressed buffer claims to unpack into {claimed} bytes, and holds {len}");
            return Err(invalid(at, what));
        }
        unpacked.push(arrow_ipc::Buffer::new(start as i64, len as i64));
    }
    let body = Buffer::from_vec(body.bytes).slice_with_length(0, body.end);
    Ok(Some(Unpacked { message: message(part, batch, &unpacked), body }))
}

/// A buffer of a compressed body.
#[derive(Clone, Copy)]
pub(super) enum Packed<'a> {
    /// As it is in memory: no codec would have made it shorter.
    Stored(&'a [u8]),
    Compressed {
        bytes: &'a [u8],
        /// What it claims to unpack into.
        len: usize,
    },
}

impl<'a> Packed<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, &'static str> {
        if bytes.is_empty() {
            return Ok(Self::Stored(bytes));
        }
        let (prefix, bytes) =
            bytes.split_first_chunk().ok_or("a compressed buffer is too short for its length")?;
        match i64::from_le_bytes(*prefix) {
            -1 => Ok(Self::Stored(bytes)),
            ..0 => Err("a compressed buffer has a negative length"),
            len => Ok(Self::Compressed { bytes, len: usize::try_from(len).unwrap_or(usize::MAX) }),
        }
    }

    /// Bytes in memory.
    pub(super) fn len(&self) -> usize {
        match *self {
            Self::Stored(bytes) => bytes.len(),
            Self::Compressed { len, .. } => len,
        }
    }
}

/// The unpacked buffers, one behind the other.
struct Body {
    /// What lies behind `end` has any content.
    bytes: Vec<u8>,
    end: usize,
    /// What all buffers together claim to need.
    claimed: usize,
}

impl Body {
    /// Of what the buffers claim, `believed` and a little more is taken at once.
    fn new(buffers: &[(usize, Packed<'_>)], believed: usize) -> Self {
        let places = buffers.iter().map(|(_, buffer)| buffer.len().saturating_add(ALIGNMENT));
        let claimed = places.fold(0, usize::saturating_add);
        Self { bytes: Vec::with_capacity(claimed.min(believed.saturating_add(UNTRIED))), end: 0, claimed }
    }

    /// Where the next buffer starts.
    fn start_buffer(&mut self) -> usize {
        self.room(self.end.next_multiple_of(ALIGNMENT) - self.end);
        self.end = self.end.next_multiple_of(ALIGNMENT);
        self.end
    }

    /// What there is so far, and room for `len` bytes behind it; [`end`](Self::end) tells how many of them are used.
    fn room(&mut self, len: usize) -> (&mut [u8], &mut [u8]) {
        let end = self.end + len;
        self.reserve(end);
        if end > self.bytes.len() {
            self.bytes.resize(end, 0);
        }
        self.bytes[..end].split_at_mut(self.end)
    }

    /// Room for at least `len` bytes that nobody has written to yet, behind what there is.
    fn spare(&mut self, len: usize) -> &mut Vec<u8> {
        self.reserve(self.end + len);
        self.bytes.truncate(self.end);
        &mut self.bytes
    }

    /// Takes memory up to `end`, and as much as has come out beyond it: moving that is dear.
    fn reserve(&mut self, end: usize) {
        if end > self.bytes.capacity() {
            let grown = self.end.saturating_mul(2).min(self.claimed).max(end);
            self.bytes.reserve_exact(grown - self.bytes.len());
        }
    }
}

/// Unpacks ZSTD frames to the end of `body`: in one go, unless what they claim is out of proportion.
fn unpack_zstd(
    context: &mut Option<DCtx<'static>>,
    bytes: &[u8],
    claimed: usize,
    window_log: u32,
    body: &mut Body,
) -> Result<(), &'static str> {
    if claimed > UNTRIED.saturating_add(bytes.len().saturating_mul(ZSTD_RATIO)) {
        return unpack_zstd_in_steps(bytes, claimed, window_log, body);
    }
    let context = match context {
        Some(context) => context,
        None => context.insert(DCtx::try_create().ok_or(NO_MEMORY)?),
    };
    let start = body.end as u64;
    let mut room = Cursor::new(body.spare(claimed));
    room.set_position(start);
    body.end += context.decompress(&mut room, bytes).map_err(zstd_safe::get_error_name)?;
    Ok(())
}

/// Slower by a copy, but a step is only taken when all before it has come out.
///
/// ZSTD keeps a window of that as well, as large as the frame declares: another claim, so it is bounded.
fn unpack_zstd_in_steps(
    bytes: &[u8],
    claimed: usize,
    window_log: u32,
    body: &mut Body,
) -> Result<(), &'static str> {
    let mut context = DCtx::try_create().ok_or(NO_MEMORY)?;
    let window = DParameter::WindowLogMax(window_log);
    context.set_parameter(window).map_err(zstd_safe::get_error_name)?;
    let start = body.end;
    let mut input = InBuffer::around(bytes);
    loop {
        let (read, end) = (input.pos(), body.end);
        let left = claimed - (end - start);
        let mut output = OutBuffer::around_pos(body.spare(left.min(UNTRIED)), end);
        let missing = context.decompress_stream(&mut output, &mut input).map_err(|code| match code {
            ZSTD_LARGE_WINDOW => LARGE_WINDOW,
            _ => zstd_safe::get_error_name(code),
        })?;
        body.end = output.pos();
        if body.end - start > claimed {
            return Err(TOO_LONG);
        }
        if missing == 0 && input.pos() == bytes.len() {
            return Ok(());
        }
        if body.end == end && input.pos() == read {
            return Err(if left == 0 { TOO_LONG } else { "it is cut short" });
        }
    }
}

fn message(
    part: &Part<'_>,
    batch: RecordBatch<'_>,
    buffers: &[arrow_ipc::Buffer],
) -> FlatBufferBuilder<'static> {
    let nodes: Vec<_> = batch.nodes().into_iter().flatten().copied().collect();
    let mut builder = FlatBufferBuilder::new();
    let args = RecordBatchArgs {
        length: batch.length(),
        nodes: Some(builder.create_vector(&nodes)),
        buffers: Some(builder.create_vector(buffers)),
        compression: None,
        variadicBufferCounts: batch
            .variadicBufferCounts()
            .map(|counts| builder.create_vector_from_iter(counts.iter())),
    };
    let batch = RecordBatch::create(&mut builder, &args);
    let (header_type, header) = match part.header {
        Header::Batch(_) => (MessageHeader::RecordBatch, batch.as_union_value()),
        Header::Dictionary(dictionary) => {
            let id = dictionary.id();
            let args = DictionaryBatchArgs { id, data: Some(batch), isDelta: dictionary.isDelta() };
            let dictionary = DictionaryBatch::create(&mut builder, &args);
            (MessageHeader::DictionaryBatch, dictionary.as_union_value())
        }
    };
    let args =
        MessageArgs { version: part.version, header_type, header: Some(header), ..MessageArgs::default() };
    let message = Message::create(&mut builder, &args);
    builder.finish(message, None);
    builder
}

/// That of Arrow's widest numbers.
const ALIGNMENT: usize = 16;
/// Bytes that are taken on a claim alone, beside as many as are packed (chosen: a column of half a million numbers).
const UNTRIED: usize = 4 << 20;
/// What is believed of ZSTD beside that, as a multiple of its bytes (chosen): ordinary columns claim no more.
const ZSTD_RATIO: usize = 16;
/// ZSTD's codes are negative numbers without a sign.
const ZSTD_LARGE_WINDOW: usize =
    (zstd_sys::ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge as usize).wrapping_neg();
const NO_MEMORY: &str = "there is no memory to unpack it";
const LARGE_WINDOW: &str = "a ZSTD frame claims more than 4 MiB and 16 times its bytes, and needs a window above 8 MiB, \
                            which is read only without a `Limits::table_len`";
const TOO_LONG: &str = "it holds more than it claims";

#[cfg(test)]
mod tests {
    use allocation_counter::measure;
    use zstd_safe::CParameter;

    use super::super::table_guard::Budget;
    use super::*;
    use crate::Limits;

    fn unpacked(frames: &[u8], claimed: usize) -> Result<Vec<u8>, &'static str> {
        let mut body = Body::new(&[(0, Packed::Compressed { bytes: frames, len: claimed })], frames.len());
        body.room(5);
        body.end = 5;
        unpack_zstd(&mut None, frames, claimed, 23, &mut body)?;
        Ok(body.bytes[5..body.end].to_vec())
    }

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(zstd_safe::compress_bound(content.len()));
        zstd_safe::compress(&mut frame, content, 1).unwrap();
        frame
    }

    #[test]
    fn zstd_is_read_in_one_go_and_step_by_step() {
        let ordinary: Vec<u8> = (0..3_000_000_u32).map(|at| (at.wrapping_mul(at) >> 13) as u8).collect();
        let bomb: Vec<u8> = (0..11_000_000_u32).map(|at| (at >> 16) as u8).collect();
        for (content, out_of_proportion) in
            [(&b""[..], false), (b"1", false), (&ordinary, false), (&bomb, true)]
        {
            let (len, frame) = (content.len(), packed(content));
            assert_eq!(len > UNTRIED + frame.len() * ZSTD_RATIO, out_of_proportion);
            assert!(unpacked(&frame, len).as_deref() == Ok(content), "{len}");
            // Frames follow each other.
            let half = len / 2;
            let two = [packed(&content[..half]), packed(&content[half..])].concat();
            assert!(unpacked(&two, len).as_deref() == Ok(content), "{len}");

            assert!(unpacked(&frame, len + 1).as_deref() == Ok(content), "{len}: left to the caller");
            if len > 0 {
                let less = unpacked(&frame, len - 1);
                assert!(
                    less.is_err() || less.as_deref() == Ok(content),
                    "{len}: never cut to what it claims"
                );
            }
            assert!(unpacked(&frame[..frame.len() - 1], len).is_err(), "{len}");
            assert!(unpacked(&[&frame[..], b"more"].concat(), len).is_err(), "{len}");
            let mut damaged = frame;
            damaged[0] ^= 1;
            assert!(unpacked(&damaged, len).is_err(), "{len}");
        }
    }

    #[test]
    fn the_body_grows_with_what_comes_out_and_to_no_more_than_is_claimed() {
        let packed = vec![0; 1000];
        let claimed = 100 << 20;
        let mut body = Body::new(&[(0, Packed::Compressed { bytes: &packed, len: claimed })], packed.len());
        let first = UNTRIED + 1000;
        assert_eq!(body.bytes.capacity(), first);
        // Asked for much while nothing has come out, it takes that and no more.
        body.room(first + 1);
        assert_eq!(body.bytes.capacity(), first + 1);
        while body.end < claimed {
            body.room((claimed - body.end).min(1 << 20));
            body.end = (body.end + (1 << 20)).min(claimed);
            assert!(body.bytes.capacity() <= (2 * body.end).max(first + 1).min(claimed + ALIGNMENT));
        }
    }

    #[test]
    fn zstd_windows_are_kept_small_or_not_at_all() {
        // A window of 128 MiB, and 8 bytes in a raw block.
        let tiny = b"\x28\xB5\x2F\xFD\x00\x88\x41\x00\x0012345678";
        let taken = measure(|| assert_eq!(unpacked(tiny, 8).as_deref(), Ok(&b"12345678"[..]))).bytes_max;
        assert!(taken < 1 << 20, "{taken}");

        // What is out of proportion needs one. The third frame says how long it is, and is its own window. The window is
        // taken by C code, which is not counted: that a large one is refused is what holds it. The body is counted.
        let content: Vec<u8> = (0..11_000_000_u32).map(|at| (at >> 16) as u8).collect();
        for (window_log, says_len) in [(20, false), (23, false), (24, true), (27, false)] {
            let mut context = zstd_safe::CCtx::create();
            for parameter in [CParameter::WindowLog(window_log), CParameter::ContentSizeFlag(says_len)] {
                context.set_parameter(parameter).unwrap();
            }
            let mut frame = Vec::with_capacity(1 << 20);
            context.compress2(&mut frame, &content).unwrap();
            assert!(content.len() > UNTRIED + frame.len() * ZSTD_RATIO);
            for limits in [Limits::default(), Limits::none()] {
                let allowed = Budget::new(&limits).zstd_window_log();
                let mut body = Body::new(&[], 0);
                body.claimed = content.len();
                let mut result = Ok(());
                let unpack = || result = unpack_zstd(&mut None, &frame, content.len(), allowed, &mut body);
                let taken = measure(unpack).bytes_max;
                let fits = window_log <= allowed;
                assert_eq!(result, if fits { Ok(()) } else { Err(LARGE_WINDOW) }, "{window_log}");
                assert!(!fits || body.bytes[..body.end] == content, "{window_log}");
                assert!(taken < if fits { 30 << 20 } else { 5 << 20 }, "{window_log}: {taken}");
            }
        }
    }
}
