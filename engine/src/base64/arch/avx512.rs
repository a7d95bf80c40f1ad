//! 512-bit kernels (AVX-512 F, BW and VBMI; BMI2): 48 bytes and 64 characters at a time, after Mula and Lemire, "Base64 encoding
//! and decoding at almost the speed of a memory copy" (arXiv 1910.05109).
//!
//! ```text
//! encode  48 bytes ── permute ──► 8 lanes of 8 bytes, the first 6 of each lane's own ── multishift ──► 64 sextets
//!         ── look up in 64 letters ──► 64 characters
//! decode  64 characters ── look up in 128 values, with the top bit for "not of the alphabet" ──► 64 sextets
//!         ── multiply and add, twice ──► 16 lanes of 24 bits ── permute ──► 48 bytes
//! ```
//!
//! What is shorter than a block is loaded and stored under a mask, so nothing is left for a scalar loop.
//!
//! Measured and kept: stores on 64-byte boundaries, wherever the text begins (a tenth to a quarter faster than stores that
//! cross cache lines); prefetching, the lines to be written above all (encode: up to a quarter, in the first-level cache too);
//! decoded blocks whose stores overlap (a tenth faster than masked stores of 48 bytes).
//! Measured and dropped: 16-bit shifts in place of the multishift; joining four decoded blocks into three stores; aligned
//! loads joined by a permutation; non-temporal stores.

use std::arch::x86_64::{
    __m512i, _bzhi_u64, _mm512_loadu_si512, _mm512_madd_epi16, _mm512_maddubs_epi16, _mm512_mask_loadu_epi8,
    _mm512_mask_permutexvar_epi8, _mm512_mask_storeu_epi8, _mm512_maskz_loadu_epi8, _mm512_movepi8_mask,
    _mm512_multishift_epi64_epi8, _mm512_permutex2var_epi8, _mm512_permutexvar_epi8, _mm512_set1_epi8,
    _mm512_set1_epi32, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_storeu_si512,
    _mm512_ternarylogic_epi32, _mm512_test_epi8_mask,
};
use std::mem::MaybeUninit;

use super::super::scalar::{Alphabet, STANDARD, values};
use super::prefetch::prefetch;

/// Bytes and characters of one vector.
const BYTES: usize = 48;
const CHARS: usize = 64;

/// Vectors in one turn of the main loops.
const TURN: usize = 4;

/// Below this many bytes, finding the boundary costs more than it brings. Measured.
const WORTH_ALIGNING: usize = 512;

pub(in super::super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("bmi2")
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,bmi2")]
pub(super) fn encode(bytes: &[u8], space: &mut [MaybeUninit<u8>]) {
    if bytes.len() <= BYTES {
        encode_tail(Letters::new(0), bytes, space)
    } else {
        encode_blocks(bytes, space)
    }
}

/// At most one block, the last one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,bmi2")]
fn encode_tail(letters: Letters, bytes: &[u8], space: &mut [MaybeUninit<u8>]) {
    let characters = low_bits((bytes.len() * 4).div_ceil(3));
    store_some(letters.padded(load_some(bytes), characters), space);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,bmi2")]
fn encode_blocks(bytes: &[u8], space: &mut [MaybeUninit<u8>]) {
    let done = if bytes.len() < WORTH_ALIGNING { 0 } else { encode_aligned(bytes, space) };
    let (bytes, space) = (&bytes[done / 4 * 3..], &mut space[done..]);
    let letters = Letters::new(0);
    let (blocks, tail) = bytes.as_chunks::<BYTES>();
    let (texts, last) = space.split_at_mut(blocks.len() * CHARS);
    for (block, text) in blocks.iter().zip(texts.as_chunks_mut::<CHARS>().0) {
        store(letters.of(load_some(block)), text);
    }
    encode_tail(letters, tail, last);
}

/// Encodes from the start, but not all to the end, with stores that lie on boundaries. Returns how many characters of
/// whole groups are done.
///
/// A boundary may fall in the middle of a group: bit `6 * n` of the input is where character `n` begins, and the shifts
/// take any phase of it within its byte.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,bmi2")]
fn encode_aligned(bytes: &[u8], space: &mut [MaybeUninit<u8>]) -> usize {
    let (Some(block), Some(text)) = (bytes.first_chunk::<BYTES>(), space.first_chunk_mut::<CHARS>()) else {
        return 0;
    };
    store(Letters::new(0).of(load_some(block)), text);
    let start = CHARS - space.as_ptr().addr() % CHARS;
    let letters = Letters::new(start * 6 % 8);
    let mut done = start;
    let mut rest = &bytes[start * 6 / 8..];
    for text in space[start..].as_chunks_mut::<{ TURN * CHARS }>().0 {
        // The last vector of a turn loads a whole 64 bytes.
        let Some(window) = rest.first_chunk::<{ (TURN - 1) * BYTES + 64 }>() else { break };
        prefetch::<TURN>(window.as_ptr(), text.as_ptr().cast());
        store_at::<0, _>(letters.of(load_at::<0, _>(window)), text);
        store_at::<64, _>(letters.of(load_at::<48, _>(window)), text);
        store_at::<128, _>(letters.of(load_at::<96, _>(window)), text);
        store_at::<192, _>(letters.of(load_at::<144, _>(window)), text);
        rest = &rest[TURN * BYTES..];
        done += TURN * CHARS;
    }
    done / 4 * 4
}

/// What turns bytes into letters, in registers.
#[derive(Clone, Copy)]
struct Letters {
    shifts: __m512i,
    spread: __m512i,
    alphabet: __m512i,
}

impl Letters {
    /// For bytes in which the first character begins at bit `phase`, counted from the top: 0 to 7.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,bmi2")]
    fn new(phase: usize) -> Self {
        // In a lane of 64 bits, character n is what is left of bit 58 - phase - 6n, after a rotation to the right by so
        // many. The rows are the bytes 58, 52, .. 16, less the phase each.
        let shifts = 0x1016_1C22_282E_343A - 0x0101_0101_0101_0101 * phase as i64;
        Self { shifts: _mm512_set1_epi64(shifts), spread: load(&SPREAD.0), alphabet: load(STANDARD) }
    }

    /// The letters of the first 48 bytes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,bmi2")]
    fn of(self, bytes: __m512i) -> __m512i {
        // The lookup takes the low six bits of each index.
        _mm512_permutexvar_epi8(self.sextets(bytes), self.alphabet)
    }

    /// The same, with padding for all but these characters.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,bmi2")]
    fn padded(self, bytes: __m512i, characters: u64) -> __m512i {
        let padding = _mm512_set1_epi8(b'='.cast_signed());
        _mm512_mask_permutexvar_epi8(padding, characters, self.sextets(bytes), self.alphabet)
    }

    /// One in the low six bits of each byte.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,bmi2")]
    fn sextets(self, bytes: __m512i) -> __m512i {
        // bytes  [.. a2 a1 a0], the first byte lowest
        // lanes  [a0 a1 a2 a3 a4 a5 a6 a7] [a6 a7 ..] ..: eight bytes from every sixth, the first highest
        let lanes = _mm512_permutexvar_epi8(self.spread, bytes);
        _mm512_multishift_epi64_epi8(self.shifts, lanes)
    }
}

/// For each byte of the lanes, which byte of the input it is.
static SPREAD: Table = Table({
    let mut table = [0; 64];
    let mut at = 0;
    while at < 64 {
        table[at] = (at / 8 * 6 + 7 - at % 8) as u8;
        at += 1;
    }
    table
});

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,bmi2")]
pub(super) fn decode(alphabet: Alphabet, body: &[u8], space: &mut [MaybeUninit<u8>]) -> usize {
    let values = Values::new(alphabet);
    if body.len() <= CHARS { decode_tail(values, body, space) } else { decode_blocks(values, body, space) }
}

/// At most one block, the last one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,bmi2")]
fn decode_tail(values: Values, body: &[u8], space: &mut [MaybeUninit<u8>]) -> usize {
    let mut wrong = _mm512_setzero_si512();
    // Behind the end come letters for zero bits: in the bytes there, only spare bits can be set.
    let bytes = values.of(load_some_or_a(body), &mut wrong);
    let spare = _mm512_test_epi8_mask(bytes, bytes) & !low_bits(space.len());
    if _mm512_movepi8_mask(wrong) | spare != 0 {
        return 0;
    }
    store_some(bytes, space);
    space.len()
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,bmi2")]
fn decode_blocks(values: Values, body: &[u8], space: &mut [MaybeUninit<u8>]) -> usize {
    let mut done = 0;
    // Each vector stores a whole 64 bytes, of which the next one overwrites what is too much.
    for text in body.as_chunks::<{ TURN * CHARS }>().0 {
        let Some(bytes) = space[done..].first_chunk_mut::<{ (TURN - 1) * BYTES + 64 }>() else { break };
        prefetch::<TURN>(text.as_ptr(), bytes.as_ptr().cast());
        let mut wrong = _mm512_setzero_si512();
        store_at::<0, _>(values.of(load_at::<0, _>(text), &mut wrong), bytes);
        store_at::<48, _>(values.of(load_at::<64, _>(text), &mut wrong), bytes);
        store_at::<96, _>(values.of(load_at::<128, _>(text), &mut wrong), bytes);
        store_at::<144, _>(values.of(load_at::<192, _>(text), &mut wrong), bytes);
        if _mm512_movepi8_mask(wrong) != 0 {
            return done;
        }
        done += TURN * BYTES;
    }
    let rest = &body[done / 3 * 4..];
    let (blocks, tail) = rest.as_chunks::<CHARS>();
    for text in blocks {
        let mut wrong = _mm512_setzero_si512();
        let bytes = values.of(load(text), &mut wrong);
        if _mm512_movepi8_mask(wrong) != 0 {
            return done;
        }
        store_some(bytes, &mut space[done..done + BYTES]);
        done += BYTES;
    }
    done + decode_tail(values, tail, &mut space[done..])
}

/// What turns characters into bytes, in registers.
#[derive(Clone, Copy)]
struct Values {
    /// Of the characters 0 to 63, and of those from 64 on.
    low: __m512i,
    high: __m512i,
    pack: __m512i,
}

impl Values {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,bmi2")]
    fn new(alphabet: Alphabet) -> Self {
        let tables = match alphabet {
            Alphabet::Standard => &STANDARD_VALUES,
            Alphabet::UrlSafe => &URL_SAFE_VALUES,
        };
        Self { low: load(&tables[0].0), high: load(&tables[1].0), pack: load(&PACK.0) }
    }

    /// The bytes of 64 characters, and zeros behind them. Sets the top bit of a byte of `wrong` for each character that
    /// is not of the alphabet.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,bmi2")]
    fn of(self, text: __m512i, wrong: &mut __m512i) -> __m512i {
        const OR_OF_THREE: i32 = 0xFE;
        let sextets = _mm512_permutex2var_epi8(self.low, text, self.high);
        // A character above 127 has the top bit itself.
        *wrong = _mm512_ternarylogic_epi32::<OR_OF_THREE>(*wrong, text, sextets);
        // bytes   00dddddd 00cccccc 00bbbbbb 00aaaaaa, the first character lowest
        // pairs   0000cccc ccdddddd 0000aaaa aabbbbbb: the first of two times 64, plus the second
        let pairs = _mm512_maddubs_epi16(sextets, _mm512_set1_epi32(0x0140_0140));
        // fours   00000000 aaaaaabb bbbbcccc ccdddddd: the first of two times 4096, plus the second
        let fours = _mm512_madd_epi16(pairs, _mm512_set1_epi32(0x0001_1000));
        _mm512_permutexvar_epi8(self.pack, fours)
    }
}

/// For each byte of the output, which byte of the fours it is.
static PACK: Table = Table({
    let mut table = [3; 64]; // the zero byte of the first four
    let mut at = 0;
    while at < BYTES {
        table[at] = (at / 3 * 4 + 2 - at % 3) as u8;
        at += 1;
    }
    table
});

static STANDARD_VALUES: [Table; 2] = ascii_values(Alphabet::Standard);
static URL_SAFE_VALUES: [Table; 2] = ascii_values(Alphabet::UrlSafe);

/// The values of the first 128 characters; those that are not of the alphabet have the top bit.
const fn ascii_values(alphabet: Alphabet) -> [Table; 2] {
    let mut tables = [Table([0; 64]), Table([0; 64])];
    let mut character = 0;
    while character < 128 {
        tables[character / 64].0[character % 64] = values(alphabet)[character];
        character += 1;
    }
    tables
}

/// In one cache line.
#[repr(align(64))]
struct Table([u8; 64]);

/// The lowest `count` bits; some or all of the 64 for more than these.
#[inline]
#[target_feature(enable = "bmi2")]
fn low_bits(count: usize) -> u64 {
    // The instruction looks at the lowest eight bits of the count.
    _bzhi_u64(u64::MAX, count as u32)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; 64]) -> __m512i {
    load_at::<0, 64>(bytes)
}

/// The 64 bytes from `AT` on.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_at<const AT: usize, const LEN: usize>(bytes: &[u8; LEN]) -> __m512i {
    const { assert!(AT + 64 <= LEN) };
    // SAFETY: the load reads 64 bytes from `AT` on, which are within the array, as asserted; it needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().wrapping_add(AT).cast()) }
}

/// The bytes, at most 64, and zeros behind them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,bmi2")]
fn load_some(bytes: &[u8]) -> __m512i {
    let mask = low_bits(bytes.len());
    // SAFETY: the load reads the bytes whose bit is set in the mask, which has no more bits than the slice has bytes; it does not access the
    // others, and needs no alignment.
    unsafe { _mm512_maskz_loadu_epi8(mask, bytes.as_ptr().cast()) }
}

/// The characters, at most 64, and `A` behind them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,bmi2")]
fn load_some_or_a(text: &[u8]) -> __m512i {
    let mask = low_bits(text.len());
    let fill = _mm512_set1_epi8(b'A'.cast_signed());
    // SAFETY: as for `load_some`.
    unsafe { _mm512_mask_loadu_epi8(fill, mask, text.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(vector: __m512i, space: &mut [MaybeUninit<u8>; 64]) {
    store_at::<0, 64>(vector, space);
}

/// Writes the 64 bytes from `AT` on.
#[inline]
#[target_feature(enable = "avx512f")]
fn store_at<const AT: usize, const LEN: usize>(vector: __m512i, space: &mut [MaybeUninit<u8>; LEN]) {
    const { assert!(AT + 64 <= LEN) };
    // SAFETY: the store writes 64 bytes from `AT` on, which are within the array, as asserted; it needs no alignment.
    unsafe { _mm512_storeu_si512(space.as_mut_ptr().wrapping_add(AT).cast(), vector) }
}

/// Fills the space, at most 64 bytes, with the vector's first bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,bmi2")]
fn store_some(vector: __m512i, space: &mut [MaybeUninit<u8>]) {
    let mask = low_bits(space.len());
    // SAFETY: the store writes the bytes whose bit is set in the mask, which has no more bits than the slice has bytes; it does not access the
    // others, and needs no alignment.
    unsafe { _mm512_mask_storeu_epi8(space.as_mut_ptr().cast(), mask, vector) }
}
