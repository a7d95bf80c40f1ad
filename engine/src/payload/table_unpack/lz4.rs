//! The LZ4 frame format: a header, blocks of up to 4 MiB, an end mark, and checksums as the header announces them.
//!
//! The blocks are lz4_flex's, without unsafe code. Its frames are not: they hold up to three blocks beside the result.
//!
//! See <https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>.

use lz4_flex::block::{decompress_into, decompress_into_with_dict};
use twox_hash::XxHash32;

use super::Body;

/// Unpacks one frame that claims `claimed` bytes to the end of `body`; what lies behind the frame is ignored.
pub(super) fn unpack(frame: &[u8], claimed: usize, body: &mut Body) -> Result<(), &'static str> {
    let mut input = frame;
    let header = Header::take(&mut input)?;
    let start = body.end;
    loop {
        let word = u32::from_le_bytes(take(&mut input)?);
        if word == 0 {
            break;
        }
        let len = (word & !STORED) as usize;
        if len > header.block_len {
            return Err("an LZ4 block is longer than its frame allows");
        }
        let block = input.split_off(..len).ok_or(CUT)?;
        if header.flags & BLOCK_CHECKSUMS != 0 && take(&mut input)? != checksum(block) {
            return Err("an LZ4 block has another checksum");
        }

        let left = claimed - (body.end - start);
        let (before, room) = body.room(header.block_len.min(left));
        let added = if word & STORED != 0 {
            room.get_mut(..len).ok_or(TOO_LONG)?.copy_from_slice(block);
            len
        } else if header.flags & INDEPENDENT != 0 {
            decompress_into(block, room).map_err(|err| reason(&err))?
        } else {
            let window = &before[start.max(before.len().saturating_sub(WINDOW_LEN))..];
            decompress_into_with_dict(block, room, window).map_err(|err| reason(&err))?
        };
        body.end += added;
    }
    let content = &body.bytes[start..body.end];
    // 0 stands for a length that was not known.
    if header.content_len.is_some_and(|len| len != 0 && len != content.len() as u64) {
        return Err("an LZ4 frame has another length than its header says");
    }
    if header.flags & CONTENT_CHECKSUM != 0 && take(&mut input)? != checksum(content) {
        return Err("an LZ4 frame has another checksum");
    }
    Ok(())
}

struct Header {
    flags: u8,
    /// The most that a block holds, packed and unpacked.
    block_len: usize,
    content_len: Option<u64>,
}

impl Header {
    fn take(input: &mut &[u8]) -> Result<Self, &'static str> {
        if take(input)? != MAGIC {
            return Err("not an LZ4 frame");
        }
        let described = *input;
        let [flags, sizes] = take(input)?;
        if flags & VERSION != VERSION_1 || flags & RESERVED_FLAGS != 0 || sizes & RESERVED_SIZES != 0 {
            return Err("an LZ4 frame of an unknown version");
        }
        let block_len = match sizes >> 4 {
            size @ 4..=7 => 1 << (8 + 2 * size),
            _ => return Err("an LZ4 frame with blocks of an unknown size"),
        };
        let content_len =
            if flags & CONTENT_LEN != 0 { Some(u64::from_le_bytes(take(input)?)) } else { None };
        if flags & DICTIONARY_ID != 0 {
            return Err("an LZ4 frame that needs a dictionary");
        }
        let described = &described[..described.len() - input.len()];
        let [expected] = take(input)?;
        if checksum(described)[1] != expected {
            return Err("an LZ4 frame whose header has another checksum");
        }
        Ok(Self { flags, block_len, content_len })
    }
}

/// xxHash-32, as it is written.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    XxHash32::oneshot(0, bytes).to_le_bytes()
}

fn take<const LEN: usize>(input: &mut &[u8]) -> Result<[u8; LEN], &'static str> {
    let (taken, rest) = input.split_first_chunk().ok_or(CUT)?;
    *input = rest;
    Ok(*taken)
}

fn reason(err: &lz4_flex::block::DecompressError) -> &'static str {
    match err {
        lz4_flex::block::DecompressError::OutputTooSmall { .. } => TOO_LONG,
        _ => "an LZ4 block cannot be unpacked",
    }
}

const CUT: &str = "an LZ4 frame is cut short";
const TOO_LONG: &str = "an LZ4 frame holds more than it claims";

const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
const VERSION: u8 = 0b1100_0000;
const VERSION_1: u8 = 0b0100_0000;
const INDEPENDENT: u8 = 0b0010_0000;
const BLOCK_CHECKSUMS: u8 = 0b0001_0000;
const CONTENT_LEN: u8 = 0b0000_1000;
const CONTENT_CHECKSUM: u8 = 0b0000_0100;
const RESERVED_FLAGS: u8 = 0b0000_0010;
const DICTIONARY_ID: u8 = 0b0000_0001;
const RESERVED_SIZES: u8 = 0b1000_1111;
/// In front of a block that is not compressed.
const STORED: u32 = 1 << 31;
/// How far a block may look back into those before it.
const WINDOW_LEN: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

    use super::*;
    use crate::payload::table_unpack::Packed;

    fn ours(frame: &[u8], claimed: usize) -> Result<Vec<u8>, &'static str> {
        let mut body = Body::new(&[(0, Packed::Compressed { bytes: frame, len: claimed })], frame.len());
        // Something of another buffer's, which is no part of any window.
        body.room(5).1.copy_from_slice(b"older");
        body.end = 5;
        unpack(frame, claimed, &mut body)?;
        Ok(body.bytes[5..body.end].to_vec())
    }

    fn theirs(frame: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![];
        FrameDecoder::new(frame).read_to_end(&mut out).ok().map(|_| out)
    }

    /// Text that repeats itself, near and far, with numbers in between that do not.
    fn content(len: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut content = Vec::with_capacity(len + 64);
        while content.len() < len {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            content.extend_from_slice(if state >> 30 == 0 { b"the same again, " } else { b"or, " });
            content.extend_from_slice(&state.to_le_bytes()[..(state >> 20 & 3) as usize]);
            if state >> 27 == 0 && content.len() > 60_000 {
                let far = content.len() - 60_000;
                content.extend_from_within(far..far + 100);
            }
        }
        content.truncate(len);
        content
    }

    /// Every kind of frame that their writer makes of some content.
    fn frames(content: &[u8]) -> impl Iterator<Item = (FrameInfo, Vec<u8>)> + '_ {
        let sizes = [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB];
        let bits = [false, true];
        sizes.into_iter().flat_map(move |size| (0..16).map(move |which| (size, which))).map(
            move |(size, which)| {
                let info = FrameInfo::new()
                    .block_size(size)
                    .block_mode(if bits[which & 1] { BlockMode::Linked } else { BlockMode::Independent })
                    .block_checksums(bits[which >> 1 & 1])
                    .content_checksum(bits[which >> 2 & 1])
                    .content_size(bits[which >> 3 & 1].then_some(content.len() as u64));
                let mut writer = FrameEncoder::with_frame_info(info.clone(), vec![]);
                writer.write_all(content).unwrap();
                (info, writer.finish().unwrap())
            },
        )
    }

    #[test]
    fn frames_of_every_kind_are_read() {
        for len in [0, 1, 12, 13, 100, 65_535, 65_536, 65_537, 200_000, 300_000, 1_100_000] {
            let content = content(len);
            for (info, frame) in frames(&content) {
                assert_eq!(ours(&frame, len).as_deref(), Ok(&content[..]), "{len} {info:?}");
                // What lies behind it is not looked at, and what is missing at its end is missed.
                assert_eq!(ours(&[&frame[..], b"padding"].concat(), len).as_deref(), Ok(&content[..]));
                assert_eq!(ours(&frame[..frame.len() - 1], len), Err(CUT));
                if len > 0 {
                    assert_eq!(ours(&frame, len - 1), Err(TOO_LONG), "{len} {info:?}");
                }
                assert_eq!(ours(&frame, len + 1).as_deref(), Ok(&content[..]), "left to the caller");
            }
        }
    }

    #[test]
    fn a_damaged_frame_is_refused_or_means_what_it_means_to_others() {
        let content = content(80_000);
        let mut read = 0;
        for (info, frame) in frames(&content) {
            let mut damaged = frame.clone();
            // All of the header and the first block's beginning, and then here and there.
            for at in (0..64).chain((64..frame.len()).step_by(frame.len() / 40)) {
                for flip in [0x01, 0x80] {
                    damaged[at] ^= flip;
                    if let Ok(out) = ours(&damaged, content.len()) {
                        assert_eq!(theirs(&damaged), Some(out), "{at} {flip:#x} {info:?}");
                        assert!(!info.content_checksum, "{at} {flip:#x} {info:?}");
                        read += 1;
                    }
                    damaged[at] = frame[at];
                }
            }
        }
        assert!(read > 100, "literals without a checksum may be anything: {read}");
    }

    #[test]
    fn what_a_header_may_not_say() {
        let (_, frame) = frames(b"1234567890123").next().unwrap();
        let with = |flags: u8, sizes: u8| {
            let mut frame = frame.clone();
            frame[4..6].copy_from_slice(&[flags, sizes]);
            frame[6] = checksum(&[flags, sizes])[1];
            ours(&frame, 13)
        };
        assert!(with(0x60, 0x40).is_ok());
        for (flags, sizes) in [(0xA0, 0x40), (0x20, 0x40), (0x62, 0x40), (0x60, 0xC0), (0x60, 0x41)] {
            assert_eq!(
                with(flags, sizes),
                Err("an LZ4 frame of an unknown version"),
                "{flags:#x} {sizes:#x}"
            );
        }
        for sizes in [0x00, 0x10, 0x20, 0x30] {
            assert_eq!(with(0x60, sizes), Err("an LZ4 frame with blocks of an unknown size"));
        }
        assert_eq!(with(0x61, 0x40), Err("an LZ4 frame that needs a dictionary"));

        let info = FrameInfo::new().content_size(Some(13));
        let mut writer = FrameEncoder::with_frame_info(info, vec![]);
        writer.write_all(b"1234567890123").unwrap();
        let mut frame = writer.finish().unwrap();
        for (len, read) in [(13_u64, true), (12, false), (0, true)] {
            frame[6..14].copy_from_slice(&len.to_le_bytes());
            frame[14] = checksum(&frame[4..14])[1];
            assert_eq!(ours(&frame, 13).is_ok(), read, "{len}");
        }
        assert_eq!(ours(b"", 13), Err(CUT));
        assert_eq!(ours(b"\x02\x21\x4C\x18rest", 13), Err("not an LZ4 frame"));
    }
}
