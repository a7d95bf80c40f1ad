//! Memory for one download: its data starts on a boundary, and it grows with what really arrives.

use bytes::Bytes;

use crate::{Error, ErrorKind, Result};

/// How much is taken at once on the word of a header alone. 16 MiB (chosen): whoever claims more has to send it first.
const UP_FRONT: u64 = 16 * 1024 * 1024;

/// Collects bytes into one piece whose first byte is aligned.
///
/// Tables are read in place, and their numbers want to start on a 64-byte boundary. The memory is over-allocated by less
/// than one boundary and the data starts where the boundary falls.
pub(super) struct AlignedBuf {
    /// `start` bytes of padding, then the data.
    memory: Vec<u8>,
    /// The first address after the start of `memory` that is a multiple of `align`.
    start: usize,
    /// A power of two.
    align: usize,
    /// No growth step goes beyond this, unless the data does.
    expected_len: u64,
}

impl AlignedBuf {
    /// `expected_len` is how long the data will probably be, as somebody said who need not be right; 0 if nobody did.
    pub(super) fn new(expected_len: u64, align: usize) -> Result<Self> {
        let align = align.clamp(1, 4096).next_power_of_two();
        let (memory, start) = allocate(expected_len.min(UP_FRONT) as usize, align)?;
        Ok(Self { memory, start, align, expected_len })
    }

    pub(super) fn len(&self) -> usize {
        self.memory.len() - self.start
    }

    /// Appends a piece; what is there already moves at most once for each doubling.
    pub(super) fn extend(&mut self, piece: &[u8]) -> Result<()> {
        let needed = self.len() + piece.len();
        if self.start + needed > self.memory.capacity() {
            let doubled = (self.memory.capacity() - self.start).saturating_mul(2);
            let expected = usize::try_from(self.expected_len).unwrap_or(usize::MAX);
            let capacity = if needed <= expected { doubled.min(expected) } else { doubled };
            let (mut memory, start) = allocate(capacity.max(needed), self.align)?;
            memory.extend_from_slice(&self.memory[self.start..]);
            (self.memory, self.start) = (memory, start);
        }
        self.memory.extend_from_slice(piece);
        Ok(())
    }

    /// The data, without a copy.
    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from(self.memory).slice(self.start..)
    }
}

/// Memory for `capacity` bytes after the padding, and the length of the padding, which is there already.
fn allocate(capacity: usize, align: usize) -> Result<(Vec<u8>, usize)> {
    let mut memory = Vec::<u8>::new();
    memory.try_reserve_exact(capacity.saturating_add(align - 1)).map_err(|error| {
        Error::new(ErrorKind::LimitExceeded, "there is not enough memory for the download")
            .with_size(capacity as u64, 0)
            .with_source(error)
    })?;
    let start = memory.as_ptr().align_offset(align);
    memory.resize(start, 0);
    Ok((memory, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_whole_and_aligned_however_it_grows() {
        for align in [1, 8, 64, 4096] {
            for expected in [0, 1, 63, 1000, u64::MAX] {
                for piece_len in [1, 7, 64, 1000] {
                    let data: Vec<u8> = (0..5000).map(|n| n as u8).collect();
                    let mut buffer = AlignedBuf::new(expected, align).unwrap();
                    for piece in data.chunks(piece_len) {
                        buffer.extend(piece).unwrap();
                    }
                    assert_eq!(buffer.len(), data.len());
                    let bytes = buffer.into_bytes();
                    assert_eq!(bytes, data);
                    assert_eq!(bytes.as_ptr() as usize % align, 0);
                }
            }
        }
    }

    #[test]
    fn a_claim_takes_no_more_than_the_first_step() {
        let buffer = AlignedBuf::new(u64::MAX, 64).unwrap();
        assert!(buffer.memory.capacity() <= UP_FRONT as usize + 63);
    }

    #[test]
    fn a_true_claim_wastes_nothing() {
        let mut buffer = AlignedBuf::new(UP_FRONT * 3, 64).unwrap();
        for _ in 0..48 {
            buffer.extend(&[0; 1024 * 1024]).unwrap();
        }
        assert!(buffer.memory.capacity() <= 3 * UP_FRONT as usize + 63);
    }

    #[test]
    fn odd_alignments_are_rounded_up() {
        assert_eq!(AlignedBuf::new(0, 0).unwrap().align, 1);
        assert_eq!(AlignedBuf::new(0, 65).unwrap().align, 128);
        assert_eq!(AlignedBuf::new(0, usize::MAX).unwrap().align, 4096);
    }
}
