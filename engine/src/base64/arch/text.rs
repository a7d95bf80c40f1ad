//! JSON strings a block at a time: what ends them or needs an escape is found, or copied past, with the widest
//! instructions that the machine has.
//!
//! Code that handles many short strings is written once as a [`Job`] and compiled for each [`Level`], so that the
//! instructions stand in line instead of behind a call for every string.

use std::fmt;
use std::mem::MaybeUninit;

/// The instructions to use. A value is the proof that this machine has them.
///
/// # Safety
/// [`copy`](Self::copy) writes every byte of its destination: unsafe code relies on it.
pub(crate) unsafe trait Level: Copy + fmt::Debug {
    /// The position of the first byte that is a quote, a backslash, a control character or not ASCII; the text's
    /// length where there is none.
    fn special(self, text: &[u8]) -> usize;

    /// A bit for every such byte of a block, the first byte's lowest.
    fn specials(self, block: &[u8; WINDOW]) -> u64;

    /// The same for less than a block.
    fn specials_of_some(self, text: &[u8]) -> u64;

    /// Whether those bytes are the same in both whose bits are in the mask.
    fn matches(self, text: &[u8; PIECE], piece: &[u8; PIECE], mask: u32) -> bool;

    /// Copies a text of any bytes, and tells whether a JSON string may hold them as they are: no quote, no
    /// backslash, no control character.
    ///
    /// # Panics
    /// If the lengths differ.
    fn copy(self, text: &[u8], to: &mut [MaybeUninit<u8>]) -> bool;
}

/// Bytes that [`Level::specials`] looks at: one bit of a word for each.
pub(crate) const WINDOW: usize = 64;

/// Bytes that [`Level::matches`] compares: as many as the longest key with what stands around it.
pub(crate) const PIECE: usize = 32;

/// Work to do at the best level of the machine.
pub(crate) trait Job {
    type Output;

    /// Implementations are `#[inline(always)]`: only then do they get the level's instructions.
    fn run<L: Level>(self, level: L) -> Self::Output;
}

/// Does the job with the widest instructions that this machine has. Costs the look-up of a cached flag.
#[inline(always)]
pub(crate) fn dispatch<J: Job>(job: J) -> J::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(level) = avx512::Avx512::detect() {
        return level.run(job);
    }
    job.run(Baseline)
}

/// What every machine of the architecture has: SSE2 on x86-64, plain words elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Baseline;

// SAFETY: `copy_by_blocks` writes every byte: whole blocks and a last one that overlaps them, or for a text shorter than
// a block, pieces that together reach from its first byte to its last.
unsafe impl Level for Baseline {
    #[inline(always)]
    fn special(self, text: &[u8]) -> usize {
        let mut at = 0;
        while let Some(block) = text[at..].first_chunk::<BLOCK>() {
            let found = baseline::specials(block);
            if found != 0 {
                return at + found.trailing_zeros() as usize;
            }
            at += BLOCK;
            // What has gone on for so long is likely to go on: one look for four blocks.
            if at == WINDOW {
                let (windows, _) = text[at..].as_chunks::<WINDOW>();
                at += WINDOW * windows.iter().position(baseline::has_special).unwrap_or(windows.len());
            }
        }
        let rest = &text[at..];
        let special = |byte: &u8| needs_escape(*byte) || !byte.is_ascii();
        at + rest.iter().position(special).unwrap_or(rest.len())
    }

    #[inline(always)]
    fn specials(self, block: &[u8; WINDOW]) -> u64 {
        let (quarters, _) = block.as_chunks::<BLOCK>();
        quarters
            .iter()
            .rev()
            .fold(0, |found, quarter| found << BLOCK | u64::from(baseline::specials(quarter)))
    }

    #[inline(never)]
    fn specials_of_some(self, text: &[u8]) -> u64 {
        let mut block = [b' '; WINDOW];
        block[..text.len()].copy_from_slice(text);
        self.specials(&block)
    }

    #[inline(always)]
    fn matches(self, text: &[u8; PIECE], piece: &[u8; PIECE], mask: u32) -> bool {
        let half = |both: &[u8; PIECE], at| both.as_chunks::<BLOCK>().0[at];
        let equal = |at| baseline::equal(&half(text, at), &half(piece, at));
        (equal(0) | equal(1) << BLOCK) & mask == mask
    }

    #[inline(always)]
    fn copy(self, text: &[u8], to: &mut [MaybeUninit<u8>]) -> bool {
        copy_by_blocks(text, to)
    }
}

/// Whether a byte cannot stand in a JSON string as it is.
#[inline(always)]
pub(crate) const fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Bytes that the baseline takes at once.
const BLOCK: usize = 16;

#[inline(always)]
fn copy_by_blocks(text: &[u8], to: &mut [MaybeUninit<u8>]) -> bool {
    assert_eq!(text.len(), to.len(), "a text is copied to a place of its own length");
    let len = text.len();
    let mut clean = true;
    if let (Some(last), Some(last_to)) = (text.last_chunk::<BLOCK>(), to.last_chunk_mut::<BLOCK>()) {
        clean &= baseline::is_clean(last);
        *last_to = last.map(MaybeUninit::new);
        let (blocks, _) = text.as_chunks::<BLOCK>();
        for (block, to) in blocks.iter().zip(to.as_chunks_mut::<BLOCK>().0) {
            clean &= baseline::is_clean(block);
            *to = block.map(MaybeUninit::new);
        }
        return clean;
    }
    // Two halves that may overlap make one block.
    let mut both = [b' '; BLOCK];
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        both[..8].copy_from_slice(first);
        both[8..].copy_from_slice(last);
        to[..8].copy_from_slice(&first.map(MaybeUninit::new));
        to[len - 8..].copy_from_slice(&last.map(MaybeUninit::new));
    } else if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        both[..4].copy_from_slice(first);
        both[4..8].copy_from_slice(last);
        to[..4].copy_from_slice(&first.map(MaybeUninit::new));
        to[len - 4..].copy_from_slice(&last.map(MaybeUninit::new));
    } else {
        for (byte, to) in text.iter().zip(to) {
            clean &= !needs_escape(*byte);
            to.write(*byte);
        }
        return clean;
    }
    clean && baseline::is_clean(&both)
}

#[cfg(target_arch = "x86_64")]
mod baseline {
    use std::arch::x86_64::*;

    use super::WINDOW;

    /// Which bytes are a quote, a backslash, a control character or not ASCII.
    #[inline(always)]
    pub(super) fn specials(block: &[u8; 16]) -> u32 {
        // SAFETY: every x86-64 machine has SSE2.
        unsafe { sse2_specials(block) }
    }

    /// Whether there is one among 64 bytes.
    #[inline(always)]
    pub(super) fn has_special(window: &[u8; WINDOW]) -> bool {
        // SAFETY: every x86-64 machine has SSE2.
        unsafe { sse2_has_special(window) }
    }

    /// Which bytes are the same.
    #[inline(always)]
    pub(super) fn equal(block: &[u8; 16], other: &[u8; 16]) -> u32 {
        // SAFETY: every x86-64 machine has SSE2.
        unsafe { sse2_equal(block, other) }
    }

    /// Whether no byte needs an escape.
    #[inline(always)]
    pub(super) fn is_clean(block: &[u8; 16]) -> bool {
        // SAFETY: every x86-64 machine has SSE2.
        unsafe { sse2_is_clean(block) }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn load(block: &[u8; 16]) -> __m128i {
        // SAFETY: the block is 16 readable bytes; the load wants no alignment.
        unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn mark_specials(block: &[u8; 16]) -> __m128i {
        let block = load(block);
        // Below a space as a signed number: control characters, and whatever has the highest bit.
        let low = _mm_cmplt_epi8(block, _mm_set1_epi8(0x20));
        let quote = _mm_cmpeq_epi8(block, _mm_set1_epi8(b'"' as i8));
        let backslash = _mm_cmpeq_epi8(block, _mm_set1_epi8(b'\\' as i8));
        _mm_or_si128(low, _mm_or_si128(quote, backslash))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn sse2_specials(block: &[u8; 16]) -> u32 {
        _mm_movemask_epi8(mark_specials(block)) as u32
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn sse2_has_special(window: &[u8; WINDOW]) -> bool {
        let (blocks, _) = window.as_chunks::<16>();
        let mut found = _mm_setzero_si128();
        for block in blocks {
            found = _mm_or_si128(found, mark_specials(block));
        }
        _mm_movemask_epi8(found) != 0
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn sse2_equal(block: &[u8; 16], other: &[u8; 16]) -> u32 {
        _mm_movemask_epi8(_mm_cmpeq_epi8(load(block), load(other))) as u32
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn sse2_is_clean(block: &[u8; 16]) -> bool {
        let block = load(block);
        let control = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1f)), block);
        let quote = _mm_cmpeq_epi8(block, _mm_set1_epi8(b'"' as i8));
        let backslash = _mm_cmpeq_epi8(block, _mm_set1_epi8(b'\\' as i8));
        _mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, backslash))) == 0
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod baseline {
    use super::{WINDOW, needs_escape};

    /// Which bytes are a quote, a backslash, a control character or not ASCII. Written so that the compiler can turn
    /// it into vector code.
    #[inline(always)]
    pub(super) fn specials(block: &[u8; 16]) -> u32 {
        let mut found = 0;
        for (at, byte) in block.iter().enumerate() {
            found |= u32::from(needs_escape(*byte) || !byte.is_ascii()) << at;
        }
        found
    }

    /// Whether there is one among 64 bytes.
    #[inline(always)]
    pub(super) fn has_special(window: &[u8; WINDOW]) -> bool {
        window.iter().fold(false, |found, byte| found | needs_escape(*byte) | !byte.is_ascii())
    }

    /// Which bytes are the same.
    #[inline(always)]
    pub(super) fn equal(block: &[u8; 16], other: &[u8; 16]) -> u32 {
        block.iter().zip(other).rev().fold(0, |same, (a, b)| same << 1 | u32::from(a == b))
    }

    /// Whether no byte needs an escape.
    #[inline(always)]
    pub(super) fn is_clean(block: &[u8; 16]) -> bool {
        !block.iter().fold(false, |found, byte| found | needs_escape(*byte))
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;
    use std::mem::MaybeUninit;
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::{Job, Level, PIECE};

    /// AVX-512 with byte instructions. Exists only on machines that have it: `detect` makes the only one.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Avx512(());

    /// Bytes of a register.
    const WIDE: usize = 64;

    /// What has been found out about this machine: one load where the standard library needs one for each feature.
    static KNOWN: AtomicU8 = AtomicU8::new(0);
    const PRESENT: u8 = 1;
    const ABSENT: u8 = 2;

    impl Avx512 {
        #[inline(always)]
        pub(super) fn detect() -> Option<Self> {
            match KNOWN.load(Ordering::Relaxed) {
                PRESENT => Some(Self(())),
                ABSENT => None,
                _ => Self::look(),
            }
        }

        #[cold]
        fn look() -> Option<Self> {
            let found = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2");
            KNOWN.store(if found { PRESENT } else { ABSENT }, Ordering::Relaxed);
            found.then_some(Self(()))
        }

        #[inline(always)]
        pub(super) fn run<J: Job>(self, job: J) -> J::Output {
            // SAFETY: `self` exists, so the machine has these instructions.
            unsafe { run(self, job) }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2")]
    fn run<J: Job>(level: Avx512, job: J) -> J::Output {
        job.run(level)
    }

    // SAFETY: `copy` stores every block of 64 bytes and then, masked, the bytes that are left.
    unsafe impl Level for Avx512 {
        #[inline(always)]
        fn special(self, text: &[u8]) -> usize {
            // Most strings end in the first block, and most blocks have more of the message behind them.
            if let Some(first) = text.first_chunk::<WIDE>() {
                // SAFETY: `self` exists, so the machine has these instructions.
                let found = unsafe { specials_of(first) };
                if found != 0 {
                    return found.trailing_zeros() as usize;
                }
            }
            // SAFETY: as above.
            unsafe { special_far(text) }
        }

        #[inline(always)]
        fn specials(self, block: &[u8; WIDE]) -> u64 {
            // SAFETY: `self` exists, so the machine has these instructions.
            unsafe { specials_of(block) }
        }

        #[inline(always)]
        fn specials_of_some(self, text: &[u8]) -> u64 {
            // SAFETY: `self` exists, so the machine has these instructions.
            unsafe { specials_of_some(text) }
        }

        #[inline(always)]
        fn matches(self, text: &[u8; PIECE], piece: &[u8; PIECE], mask: u32) -> bool {
            // SAFETY: `self` exists, so the machine has these instructions.
            unsafe { matches(text, piece, mask) }
        }

        #[inline(always)]
        fn copy(self, text: &[u8], to: &mut [MaybeUninit<u8>]) -> bool {
            // SAFETY: `self` exists, so the machine has these instructions.
            unsafe { copy(text, to) }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn load(block: &[u8; WIDE]) -> __m512i {
        // SAFETY: the block is 64 readable bytes; the load wants no alignment.
        unsafe { _mm512_loadu_epi8(block.as_ptr().cast()) }
    }

    /// Loads less than 64 bytes, and zeros behind them; a bit for each of them.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,bmi2")]
    fn load_tail(tail: &[u8]) -> (__m512i, __mmask64) {
        let mask = _bzhi_u64(u64::MAX, tail.len() as u32);
        // SAFETY: the mask has a bit for each byte of `tail`, below 64 of them, and bytes without one are not read.
        (unsafe { _mm512_maskz_loadu_epi8(mask, tail.as_ptr().cast()) }, mask)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn specials(block: __m512i) -> u64 {
        // Below a space as a signed number: control characters, and whatever has the highest bit.
        _mm512_cmplt_epi8_mask(block, _mm512_set1_epi8(0x20))
            | _mm512_cmpeq_epi8_mask(block, _mm512_set1_epi8(b'"' as i8))
            | _mm512_cmpeq_epi8_mask(block, _mm512_set1_epi8(b'\\' as i8))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn specials_of(block: &[u8; WIDE]) -> u64 {
        specials(load(block))
    }

    /// The same for less than a block.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,bmi2")]
    fn specials_of_some(text: &[u8]) -> u64 {
        if text.is_empty() {
            return 0; // as in `copy_tail`
        }
        let (block, mask) = load_tail(text);
        specials(block) & mask
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn matches(text: &[u8; PIECE], piece: &[u8; PIECE], mask: u32) -> bool {
        // SAFETY: the text is 32 readable bytes; the load wants no alignment.
        let text = unsafe { _mm256_loadu_si256(text.as_ptr().cast()) };
        // SAFETY: so is the piece.
        let piece = unsafe { _mm256_loadu_si256(piece.as_ptr().cast()) };
        _mm256_mask_cmpneq_epi8_mask(mask, text, piece) == 0
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,bmi1,bmi2")]
    fn special_in_tail(tail: &[u8]) -> usize {
        if tail.is_empty() {
            return 0;
        }
        let (block, mask) = load_tail(tail);
        let found = specials(block) & mask;
        if found == 0 { tail.len() } else { found.trailing_zeros() as usize }
    }

    /// The position of the first special byte in what is long: four blocks at a time, and few instructions for each.
    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,bmi1,bmi2")]
    fn special_far(text: &[u8]) -> usize {
        let (quads, _) = text.as_chunks::<{ 4 * WIDE }>();
        // The quote and the backslash at the place that their low four bits say, and nowhere a byte that belongs to
        // its own place: a byte equals what it finds there if and only if it is one of the two.
        let mut table = [0xFFu8; 16];
        (table[15], table[0x2], table[0xC]) = (0, b'"', b'\\');
        // SAFETY: the array is 16 readable bytes; the load wants no alignment.
        let table = _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(table.as_ptr().cast()) });
        let mut at = 0;
        for quad in quads {
            let (blocks, _) = quad.as_chunks::<WIDE>();
            let mut equal = _mm512_set1_epi8(-1);
            let mut lowest = _mm512_set1_epi8(0x7f);
            for block in blocks {
                let block = load(block);
                let expected = _mm512_shuffle_epi8(table, block);
                equal = _mm512_min_epu8(equal, _mm512_xor_si512(block, expected));
                lowest = _mm512_min_epi8(lowest, block);
            }
            let low = _mm512_cmplt_epi8_mask(lowest, _mm512_set1_epi8(0x20));
            if low | _mm512_testn_epi8_mask(equal, equal) != 0 {
                break;
            }
            at += 4 * WIDE;
        }
        while let Some(block) = text[at..].first_chunk::<WIDE>() {
            let found = specials(load(block));
            if found != 0 {
                return at + found.trailing_zeros() as usize;
            }
            at += WIDE;
        }
        at + special_in_tail(&text[at..])
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn escapes(block: __m512i) -> u64 {
        _mm512_cmplt_epu8_mask(block, _mm512_set1_epi8(0x20))
            | _mm512_cmpeq_epi8_mask(block, _mm512_set1_epi8(b'"' as i8))
            | _mm512_cmpeq_epi8_mask(block, _mm512_set1_epi8(b'\\' as i8))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,bmi2")]
    fn copy(text: &[u8], to: &mut [MaybeUninit<u8>]) -> bool {
        assert_eq!(text.len(), to.len(), "a text is copied to a place of its own length");
        if text.len() < WIDE { copy_tail(text, to) } else { copy_far(text, to) }
    }

    /// The same for less than 64 bytes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,bmi2")]
    fn copy_tail(tail: &[u8], to: &mut [MaybeUninit<u8>]) -> bool {
        // An empty string may point anywhere, and a masked load from where there is no memory is slow, if harmless.
        if tail.is_empty() {
            return true;
        }
        let (block, mask) = load_tail(tail);
        // SAFETY: the mask has a bit for each byte of the tail, whose place is as long: `copy` has compared them. Bytes
        // without one are not written.
        unsafe { _mm512_mask_storeu_epi8(to.as_mut_ptr().cast(), mask, block) };
        escapes(block) & mask == 0
    }

    /// The same for 64 bytes and more.
    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,bmi2")]
    fn copy_far(text: &[u8], to: &mut [MaybeUninit<u8>]) -> bool {
        let (blocks, tail) = text.as_chunks::<WIDE>();
        let (block_places, tail_place) = to.as_chunks_mut::<WIDE>();
        let mut found = 0;
        for (block, to) in blocks.iter().zip(block_places) {
            let block = load(block);
            found |= escapes(block);
            // SAFETY: `to` is 64 writable bytes; the store wants no alignment.
            unsafe { _mm512_storeu_epi8(to.as_mut_ptr().cast(), block) };
        }
        copy_tail(tail, tail_place) && found == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Special<'a> = dyn Fn(&[u8]) -> usize + 'a;
    type Specials<'a> = dyn Fn(&[u8; WINDOW]) -> u64 + 'a;
    type Copied<'a> = dyn Fn(&[u8]) -> (Vec<u8>, bool) + 'a;

    /// Does the same at every level that the machine has, and says how many there are.
    fn at_every_level(check: impl Fn(&Special<'_>, &Specials<'_>, &Copied<'_>)) -> usize {
        fn copied<L: Level>(level: L, text: &[u8]) -> (Vec<u8>, bool) {
            // What is around the destination must stay as it is.
            let mut place = vec![MaybeUninit::new(0xA5); text.len() + 2];
            let clean = level.copy(text, &mut place[1..=text.len()]);
            // SAFETY: every byte has been written when the vector was made.
            let place: Vec<u8> = place.iter().map(|byte| unsafe { byte.assume_init() }).collect();
            assert_eq!((place[0], place[text.len() + 1]), (0xA5, 0xA5), "written outside");
            (place[1..=text.len()].to_vec(), clean)
        }
        check(&|text| Baseline.special(text), &|block| Baseline.specials(block), &|text| {
            copied(Baseline, text)
        });
        #[cfg(target_arch = "x86_64")]
        if let Some(level) = avx512::Avx512::detect() {
            check(&|text| level.special(text), &|block| level.specials(block), &|text| copied(level, text));
            return 2;
        }
        1
    }

    #[test]
    fn every_byte_at_every_place_of_every_length_is_judged_as_one_by_one() {
        let levels = at_every_level(|special, specials, copy| {
            for len in (0..140).chain([255, 256, 257, 319, 320, 321, 575, 600, 700]) {
                let mut text: Vec<u8> = (0..len).map(|at| b'#' + (at % 57) as u8).collect();
                text.iter_mut().filter(|byte| **byte == b'\\').for_each(|byte| *byte = b'~');
                assert_eq!(special(&text), len);
                assert_eq!(copy(&text), (text.clone(), true));
                let step = if len > 140 { 7 } else { 1 };
                for at in (0..len).step_by(step) {
                    for byte in
                        [0, 0x1f, 0x20, 0x21, b'"', b'#', b'[', b'\\', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff]
                    {
                        let kept = std::mem::replace(&mut text[at], byte);
                        let found = needs_escape(byte) || byte >= 0x80;
                        assert_eq!(
                            special(&text),
                            if found { at } else { len },
                            "{byte:#x} at {at} of {len}"
                        );
                        assert_eq!(
                            copy(&text),
                            (text.clone(), !needs_escape(byte)),
                            "{byte:#x} at {at} of {len}"
                        );
                        text[at] = kept;
                    }
                }
            }
            // All bytes, each in each lane of a quarter of a kilobyte.
            for byte in 0..=255 {
                for at in 0..320 {
                    let mut text = [b'a'; 321];
                    text[at] = byte;
                    let found = needs_escape(byte) || byte >= 0x80;
                    assert_eq!(special(&text), if found { at } else { 321 }, "{byte:#x} at {at}");
                    let (blocks, _) = text.as_chunks();
                    let bits: Vec<u64> = blocks.iter().map(specials).collect();
                    let mut expected = [0; 5];
                    expected[at / WINDOW] = u64::from(found) << (at % WINDOW);
                    assert_eq!(bits, expected, "{byte:#x} at {at}");
                }
            }
        });
        #[cfg(target_arch = "x86_64")]
        assert_eq!(
            levels,
            1 + usize::from(is_x86_feature_detected!("avx512bw")),
            "a level has not been tried"
        );
        #[cfg(not(target_arch = "x86_64"))]
        assert_eq!(levels, 1);
    }

    #[test]
    fn pieces_and_short_blocks_are_judged_as_one_by_one() {
        fn check<L: Level>(level: L) {
            let piece: [u8; PIECE] = std::array::from_fn(|at| b'a' + (at % 26) as u8);
            for len in 0..PIECE {
                let mask = (1u32 << len) - 1;
                assert!(level.matches(&piece, &piece, mask), "{len}");
                for at in 0..PIECE {
                    let mut text = piece;
                    text[at] ^= 0x80;
                    assert_eq!(level.matches(&text, &piece, mask), at >= len, "{at} of {len}");
                }
            }
            for len in 0..WINDOW {
                // What lies behind the text is as special as can be.
                let mut block = [b'"'; WINDOW];
                block[..len].fill(b'x');
                assert_eq!(level.specials_of_some(&block[..len]), 0, "{len}");
                for at in 0..len {
                    for byte in [0, 0x1f, b'"', b'\\', 0x80, 0xff] {
                        let kept = std::mem::replace(&mut block[at], byte);
                        assert_eq!(
                            level.specials_of_some(&block[..len]),
                            1 << at,
                            "{byte:#x} at {at} of {len}"
                        );
                        block[at] = kept;
                    }
                }
            }
        }
        check(Baseline);
        #[cfg(target_arch = "x86_64")]
        if let Some(level) = avx512::Avx512::detect() {
            check(level);
        }
    }
}
