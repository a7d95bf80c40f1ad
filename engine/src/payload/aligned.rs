//! Buffers whose content begins on a 64-byte boundary: what Arrow wants in order to read in place.

use bytes::Bytes;

/// Bytes; what Arrow recommends, and a cache line.
pub(crate) const ALIGNMENT: usize = 64;

/// A buffer with room for `capacity` more bytes behind its current end, which lies on the boundary; and that end,
/// where the content is to begin.
pub(crate) fn buffer(capacity: usize) -> (Vec<u8>, usize) {
    let mut buffer: Vec<u8> = Vec::with_capacity(capacity + ALIGNMENT);
    let start = buffer.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
    buffer.resize(start, 0);
    (buffer, start)
}

/// The content of such a buffer once it is filled.
pub(crate) fn bytes(buffer: Vec<u8>, start: usize) -> Bytes {
    Bytes::from(buffer).slice(start..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_of_any_length_lies_on_the_boundary() {
        for len in [0, 1, 63, 64, 1000, 100_000] {
            let (mut out, start) = buffer(len);
            out.resize(start + len, 7);
            let bytes = bytes(out, start);
            assert_eq!((bytes.len(), bytes.as_ptr() as usize % ALIGNMENT), (len, 0));
        }
    }
}
