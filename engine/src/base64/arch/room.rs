//! Space that is filled from its start.

use std::mem::MaybeUninit;

use super::super::decoded_len;
use super::super::scalar::{Alphabet, Sink};
use super::super::tier::Available;

/// Uninitialised space, and how much of it is written.
pub(in super::super) struct Room<'s> {
    space: &'s mut [MaybeUninit<u8>],
    /// Invariant: the first `len` bytes of `space` are initialised; `len <= space.len()`.
    len: usize,
}

impl<'s> Room<'s> {
    #[inline]
    pub(in super::super) fn new(space: &'s mut [MaybeUninit<u8>]) -> Self {
        Self { space, len: 0 }
    }

    #[inline]
    pub(in super::super) fn len(&self) -> usize {
        self.len
    }

    /// Takes back what is behind the first `len` bytes.
    pub(in super::super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Adds the bytes of the characters as far as they are right; see [`decode`](super::decode).
    #[inline(always)] // as `decode` itself
    pub(in super::super) fn decode(&mut self, tier: Available, alphabet: Alphabet, body: &[u8]) {
        let space = &mut self.space[self.len..][..decoded_len(body.len())];
        self.len += super::decode(tier, alphabet, body, space).len();
    }

    /// What was written.
    #[inline]
    pub(in super::super) fn into_written(self) -> &'s mut [u8] {
        // SAFETY: the first `len` bytes are initialised, by the invariant.
        unsafe { super::written(&mut self.space[..self.len]) }
    }
}

impl Sink for Room<'_> {
    /// Drops what does not fit.
    fn put(&mut self, bytes: &[u8]) {
        let space = &mut self.space[self.len..];
        for (space, byte) in space.iter_mut().zip(bytes) {
            space.write(*byte);
        }
        self.len += bytes.len().min(space.len());
    }
}
