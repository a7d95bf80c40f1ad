//! A cursor through a buffer's spare capacity: nothing is cleared first, and short pieces are moves in line instead of
//! calls.

use std::mem::MaybeUninit;
use std::slice;

use bytes::{BufMut as _, BytesMut};

use super::text::Level;

/// Appends to a buffer, which has the new bytes once [`finish`](Self::finish) was called; without it they are dropped.
///
/// Every write checks the room that is left and grows the buffer where it must, so a wrong forecast of the length costs
/// time and nothing else.
#[derive(Debug)]
pub(crate) struct Spare<'a, L> {
    out: &'a mut BytesMut,
    /// The spare capacity of `out`, which is not touched meanwhile. Invariant: `at..end` is the part of it that is
    /// unwritten; what lies before `at` is initialised.
    start: *mut MaybeUninit<u8>,
    at: *mut MaybeUninit<u8>,
    room: usize,
    /// The length of `out` at the beginning.
    begin: usize,
    level: L,
}

impl<'a, L: Level> Spare<'a, L> {
    /// A cursor at the end of `out`, with room for `expected` bytes.
    #[inline(always)]
    pub(crate) fn new(level: L, out: &'a mut BytesMut, expected: usize) -> Self {
        out.reserve(expected);
        let spare = out.spare_capacity_mut();
        let (start, room) = (spare.as_mut_ptr(), spare.len());
        Self { begin: out.len(), out, start, at: start, room, level }
    }

    /// How many bytes have been written.
    pub(crate) fn written(&self) -> usize {
        self.out.len() - self.begin + self.uncommitted()
    }

    fn uncommitted(&self) -> usize {
        self.at as usize - self.start as usize
    }

    /// The next `len` bytes, yet to be written.
    #[inline(always)]
    fn take(&mut self, len: usize) -> &mut [MaybeUninit<u8>] {
        if self.room < len {
            self.grow(len);
        }
        // SAFETY: `at` begins `room` bytes of the buffer's spare capacity (invariant), and `room` is at least `len`:
        // `grow` has seen to it. The memory is borrowed through `out`, which the returned slice keeps borrowed.
        unsafe { slice::from_raw_parts_mut(self.at, len) }
    }

    /// Counts the next `len` bytes as written.
    ///
    /// # Safety
    /// They are initialised, and there are so many: they came from [`take`](Self::take).
    #[inline(always)]
    unsafe fn advance(&mut self, len: usize) {
        // SAFETY: `len` is at most `room` by this function's contract, so the result is inside the spare capacity or at
        // its end.
        self.at = unsafe { self.at.add(len) };
        self.room -= len;
    }

    /// Writes bytes; a few moves where their number is known when this is compiled.
    #[inline(always)]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        let place = self.take(bytes.len()).as_mut_ptr().cast();
        // SAFETY: both are `bytes.len()` long, and `bytes` is not part of memory that `out` holds exclusively.
        unsafe { bytes.as_ptr().copy_to_nonoverlapping(place, bytes.len()) };
        // SAFETY: just written.
        unsafe { self.advance(bytes.len()) };
    }

    /// Writes text if a JSON string may hold all of it as it is; otherwise writes nothing and says so.
    #[inline(always)]
    #[must_use]
    pub(crate) fn put_plain(&mut self, text: &[u8]) -> bool {
        let level = self.level;
        let plain = level.copy(text, self.take(text.len()));
        if plain {
            // SAFETY: `copy` writes every byte of its destination, as the trait demands.
            unsafe { self.advance(text.len()) };
        }
        plain
    }

    /// Hands out the buffer with all that has been written, to append to it by other means.
    #[inline(always)]
    pub(crate) fn with<T>(&mut self, append: impl FnOnce(&mut BytesMut) -> T) -> T {
        self.commit();
        let result = append(self.out);
        self.reopen();
        result
    }

    /// Makes room for `additional` bytes.
    pub(crate) fn reserve(&mut self, additional: usize) {
        if self.room < additional {
            self.grow(additional);
        }
    }

    /// Ends the writing: the buffer has the bytes.
    #[inline(always)]
    pub(crate) fn finish(mut self) {
        self.commit();
    }

    #[cold]
    fn grow(&mut self, additional: usize) {
        self.with(|out| out.reserve(additional));
    }

    #[inline(always)]
    fn commit(&mut self) {
        let written = self.uncommitted();
        // SAFETY: the spare capacity of `out` begins at `start`, and so many bytes from there on are initialised
        // (invariant).
        unsafe { self.out.advance_mut(written) };
        self.start = self.at;
    }

    #[inline(always)]
    fn reopen(&mut self) {
        let spare = self.out.spare_capacity_mut();
        (self.start, self.at, self.room) = (spare.as_mut_ptr(), spare.as_mut_ptr(), spare.len());
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::Baseline;
    use super::*;

    #[test]
    fn what_is_written_is_appended_whatever_was_expected() {
        for expected in [0, 1, 5, 100] {
            let mut out = BytesMut::from("before");
            let mut spare = Spare::new(Baseline, &mut out, expected);
            spare.put(b"one");
            assert!(spare.put_plain("two é".as_bytes()));
            assert!(!spare.put_plain(b"no\"t"));
            assert_eq!(spare.written(), 9);
            spare.with(|out| out.extend_from_slice(&[b'x'; 300]));
            spare.put(b"");
            spare.put(b"end");
            spare.reserve(10_000);
            spare.put(b"!");
            spare.finish();
            assert_eq!(out, format!("beforeonetwo é{}end!", "x".repeat(300)));
        }
    }

    #[test]
    fn without_a_finish_nothing_is_appended() {
        let mut out = BytesMut::from("before");
        Spare::new(Baseline, &mut out, 10).put(b"lost");
        assert_eq!(out, "before");
    }
}
