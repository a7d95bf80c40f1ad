//! Telling the caches what comes.

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

/// How far ahead, in bytes. Measured: anything from 512 to 2,048 serves.
const AHEAD: usize = 1024;

/// Announces that the `LINES` cache lines which lie [`AHEAD`] will be read and written.
#[inline]
pub(super) fn prefetch<const LINES: usize>(from: *const u8, to: *const u8) {
    for line in 0..LINES {
        let at = AHEAD + line * 64;
        // SAFETY: a prefetch is a hint; it reads nothing that a program could see and does not fault, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(at).cast()) };
        // SAFETY: as above.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(to.wrapping_add(at).cast()) };
    }
}
