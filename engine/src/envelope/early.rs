//! Decoding payloads while the message is read, as long as what has to be known of them is known.

use std::num::NonZeroU32;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::base64;
use crate::payload::aligned::ALIGNMENT;

/// Where payloads are decoded while the message is read: a buffer of which they are split off and shared, or one in which
/// they stay.
pub(super) enum Early<'a> {
    Shared(&'a mut BytesMut),
    Kept(&'a mut Vec<u8>),
}

impl Early<'_> {
    #[inline(always)]
    pub(super) fn reborrow(&mut self) -> Early<'_> {
        match self {
            Self::Shared(out) => Early::Shared(out),
            Self::Kept(out) => Early::Kept(out),
        }
    }

    /// The bytes of a base64 text, on the boundary that Arrow wants; nothing if it is none, or for want of room.
    /// `rest_len` bytes of the message are left, this text included.
    #[inline]
    pub(super) fn decode(mut self, text: &[u8], rest_len: usize) -> Option<Decoded> {
        let reserved = rest_len / 4 * 3 + ALIGNMENT;
        let (len, spare) = match &mut self {
            Self::Shared(out) => {
                if out.is_empty() {
                    out.reserve(reserved);
                }
                (out.len(), out.spare_capacity_mut())
            }
            Self::Kept(out) => {
                if out.is_empty() {
                    out.reserve(reserved);
                }
                (out.len(), out.spare_capacity_mut())
            }
        };
        let gap = spare.as_ptr().align_offset(ALIGNMENT);
        // What is decoded already must not move: it would lose its alignment.
        if spare.len() < gap.checked_add(base64::max_decoded_len(text.len()))? {
            return None;
        }
        let start = len + gap;
        let end = match self {
            Self::Shared(out) => {
                out.resize(start, 0);
                if base64::decode_append(text, out).is_err() {
                    out.truncate(len);
                    return None;
                }
                out.len()
            }
            Self::Kept(out) => {
                out.resize(start, 0);
                if base64::decode_append(text, out).is_err() {
                    out.truncate(len);
                    return None;
                }
                out.len()
            }
        };
        let end = u32::try_from(end).ok().and_then(|end| NonZeroU32::new(end.checked_add(1)?));
        // The end was the larger of the two, so the start fits too.
        Some(Decoded { start: start as u32, end: end? })
    }

    /// What was decoded and is to be shared.
    pub(super) fn finish(self) -> Bytes {
        match self {
            Self::Shared(out) if !out.is_empty() => out.split().freeze(),
            Self::Shared(_) | Self::Kept(_) => Bytes::new(),
        }
    }
}

/// A slice of `Envelope::decoded`, or of the caller's buffer: its start, and its end plus one, which is never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decoded {
    start: u32,
    end: NonZeroU32,
}

impl Decoded {
    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end.get() as usize - 1
    }
}
