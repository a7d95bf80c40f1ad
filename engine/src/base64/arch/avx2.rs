//! 256-bit kernels (AVX2): 24 bytes and 32 characters at a time, in two lanes of 12 and 16.
//!
//! ```text
//! encode  12 bytes a lane ── shuffle ──► 4 groups of 3, one byte of each twice ── multiply ──► 16 sextets
//!         ── look up by range what to add ──► 16 characters
//! decode  16 characters a lane ── look up both halves of each byte: their common bit is the class ──► add by class
//!         ──► 16 sextets ── multiply and add, twice ──► 4 lanes of 24 bits ── shuffle ──► 12 bytes
//! ```
//!
//! The encoder is that of Mula and Lemire, "Faster Base64 Encoding and Decoding using AVX2 Instructions" (arXiv
//! 1704.00605), with one step less; so is the end of the decoder. Its classes are described at [`Classes`]. What is shorter
//! than a vector is left to the scalar code.

use std::arch::asm;
use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm_storeu_si128, _mm256_add_epi8, _mm256_and_si256,
    _mm256_broadcastsi128_si256, _mm256_castsi256_si128, _mm256_cmpeq_epi8, _mm256_cmpgt_epi8,
    _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_min_epu8,
    _mm256_movemask_epi8, _mm256_mullo_epi16, _mm256_or_si256, _mm256_set_m128i, _mm256_set1_epi8,
    _mm256_set1_epi32, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16, _mm256_storeu_si256,
    _mm256_sub_epi8, _mm256_subs_epu8, _mm256_xor_si256,
};
use std::hint::black_box;
use std::mem::MaybeUninit;

use super::super::scalar::{self, Alphabet, STANDARD, sextet};
use super::prefetch::prefetch;

/// Bytes and characters of one vector.
const BYTES: usize = 24;
const CHARS: usize = 32;

/// Vectors in one turn of the main loops.
const TURN: usize = 4;

/// Bytes that one vector loads or stores: the second lane's 16 begin at the 12th.
const SPAN: usize = 28;

pub(in super::super) fn is_available() -> bool {
    is_x86_feature_detected!("avx2")
}

#[target_feature(enable = "avx2")]
pub(super) fn encode(bytes: &[u8], space: &mut [MaybeUninit<u8>]) {
    let letters = Letters::new();
    let mut rest = bytes;
    let mut done = 0;
    for text in space.as_chunks_mut::<{ TURN * CHARS }>().0 {
        let Some(window) = rest.first_chunk::<{ (TURN - 1) * BYTES + SPAN }>() else { break };
        prefetch::<2>(window.as_ptr(), text.as_ptr().cast());
        store_at::<0, _>(letters.of(load_lanes_at::<0, _>(window)), text);
        store_at::<32, _>(letters.of(load_lanes_at::<24, _>(window)), text);
        store_at::<64, _>(letters.of(load_lanes_at::<48, _>(window)), text);
        store_at::<96, _>(letters.of(load_lanes_at::<72, _>(window)), text);
        rest = &rest[TURN * BYTES..];
        done += TURN * CHARS;
    }
    for text in space[done..].as_chunks_mut::<CHARS>().0 {
        let Some(window) = rest.first_chunk::<SPAN>() else { break };
        store_at::<0, _>(letters.of(load_lanes_at::<0, _>(window)), text);
        rest = &rest[BYTES..];
        done += CHARS;
    }
    // Of at most 27 bytes, one lane takes 12.
    if let (Some(window), Some(text)) = (rest.first_chunk(), space[done..].first_chunk_mut()) {
        store_lane(letters.of(both_lanes(window)), text);
        rest = &rest[BYTES / 2..];
        done += CHARS / 2;
    }
    // Measured: faster one by one than through a buffer and one more vector.
    scalar::encode(rest, &mut space[done..]);
}

/// What turns bytes into letters, in registers.
#[derive(Clone, Copy)]
struct Letters {
    spread: __m256i,
    shifts: __m256i,
    to_high: __m256i,
    to_low: __m256i,
}

impl Letters {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new() -> Self {
        // Were this factor known, the compiler would turn the multiplication into three shifts and permutations.
        Self {
            spread: both_lanes(&SPREAD),
            shifts: both_lanes(&LETTER_SHIFTS),
            to_high: _mm256_set1_epi32(0x0400_0040),
            to_low: _mm256_set1_epi32(black_box(0x0100_0010)),
        }
    }

    /// The letters of the 12 bytes at the start of each lane.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn of(self, bytes: __m256i) -> __m256i {
        // input    aaaaaabb bbbbcccc ccdddddd, the first byte lowest
        // spread   bbbbcccc ccdddddd aaaaaabb bbbbcccc, the highest first
        let spread = _mm256_shuffle_epi8(bytes, self.spread);
        // high     0000cccc cc000000 aaaaaa00 00000000 -> 00000000 00cccccc 00000000 00aaaaaa, by multiplication
        let high = _mm256_and_si256(spread, _mm256_set1_epi32(0x0FC0_FC00));
        let high = multiply_high(high, self.to_high);
        // low      00000000 00dddddd 000000bb bbbb0000 -> 00dddddd 00000000 00bbbbbb 00000000
        let low = _mm256_and_si256(spread, _mm256_set1_epi32(0x003F_03F0));
        let low = _mm256_mullo_epi16(low, self.to_low);
        let sextets = _mm256_or_si256(high, low);
        // 0 for A to Z, 1 for a to z, 2 to 11 for the digits, 12 and 13 for the last two: one more than what is above
        // 51, but for A to Z.
        let above = _mm256_subs_epu8(sextets, _mm256_set1_epi8(51));
        let row = _mm256_sub_epi8(above, _mm256_cmpgt_epi8(sextets, _mm256_set1_epi8(25)));
        _mm256_add_epi8(sextets, _mm256_shuffle_epi8(self.shifts, row))
    }
}

/// The upper halves of the products of 16-bit numbers.
///
/// As an intrinsic, the compiler (LLVM 22) takes it apart, since it knows which bits are zero, and puts seven instructions in
/// its place: measured, half the speed of the whole encoder.
#[inline]
#[target_feature(enable = "avx2")]
fn multiply_high(left: __m256i, right: __m256i) -> __m256i {
    let product;
    // SAFETY: the instruction reads two registers and writes a third; it is part of AVX2.
    unsafe {
        asm!(
            "vpmulhuw {product}, {left}, {right}",
            left = in(ymm_reg) left,
            right = in(ymm_reg) right,
            product = lateout(ymm_reg) product,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    product
}

/// For each byte of a lane, which of its 12 it is.
static SPREAD: [u8; 16] = [1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10];

/// What is added to a sextet, by its row.
static LETTER_SHIFTS: [u8; 16] = {
    let first_of_row = [0, 26, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63];
    let mut table = [0; 16];
    let mut row = 0;
    while row < first_of_row.len() {
        table[row] = STANDARD[first_of_row[row]].wrapping_sub(first_of_row[row] as u8);
        row += 1;
    }
    table
};

#[target_feature(enable = "avx2")]
pub(super) fn decode(alphabet: Alphabet, body: &[u8], space: &mut [MaybeUninit<u8>]) -> usize {
    let values = Values::new(alphabet);
    let mut done = 0;
    // Each vector stores four bytes too many, which the next one overwrites.
    for text in body.as_chunks::<{ TURN * CHARS }>().0 {
        let Some(bytes) = space[done..].first_chunk_mut::<{ (TURN - 1) * BYTES + SPAN }>() else { break };
        prefetch::<2>(text.as_ptr(), bytes.as_ptr().cast());
        let mut classes = all_classes();
        store_lanes_at::<0, _>(values.of(load_at::<0, _>(text), &mut classes), bytes);
        store_lanes_at::<24, _>(values.of(load_at::<32, _>(text), &mut classes), bytes);
        store_lanes_at::<48, _>(values.of(load_at::<64, _>(text), &mut classes), bytes);
        store_lanes_at::<72, _>(values.of(load_at::<96, _>(text), &mut classes), bytes);
        if has_none(classes) {
            return done;
        }
        done += TURN * BYTES;
    }
    let rest = &body[done / 3 * 4..];
    for text in rest.as_chunks::<CHARS>().0 {
        let Some(bytes) = space[done..].first_chunk_mut::<SPAN>() else { break };
        let mut classes = all_classes();
        store_lanes_at::<0, _>(values.of(load_at::<0, _>(text), &mut classes), bytes);
        if has_none(classes) {
            return done;
        }
        done += BYTES;
    }
    // Of at most 36 characters, one lane takes 16.
    if let (Some(text), Some(bytes)) = (body[done / 3 * 4..].first_chunk(), space[done..].first_chunk_mut()) {
        let mut classes = all_classes();
        store_lane(values.of(both_lanes(text), &mut classes), bytes);
        if has_none(classes) {
            return done;
        }
        done += BYTES / 2;
    }
    done + scalar::decode(alphabet, &body[done / 3 * 4..], &mut space[done..])
}

/// What turns characters into bytes, in registers.
#[derive(Clone, Copy)]
struct Values {
    by_low: __m256i,
    by_high: __m256i,
    shifts: __m256i,
    pack: __m256i,
}

impl Values {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(alphabet: Alphabet) -> Self {
        let classes = match alphabet {
            Alphabet::Standard => &STANDARD_CLASSES,
            Alphabet::UrlSafe => &URL_SAFE_CLASSES,
        };
        Self {
            by_low: both_lanes(&classes.by_low),
            by_high: both_lanes(&classes.by_high),
            shifts: both_lanes(&classes.shifts),
            pack: both_lanes(&PACK),
        }
    }

    /// The bytes of 16 characters a lane: 12, and 4 zeros. `classes` becomes the least of what it was and the class of
    /// the character, byte by byte.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn of(self, text: __m256i, classes: &mut __m256i) -> __m256i {
        let high_half = _mm256_and_si256(_mm256_srli_epi16::<4>(text), _mm256_set1_epi8(0x0F));
        // A shuffle goes by the low half of each byte, and gives zero, no class, if the top bit is set.
        let by_low = _mm256_shuffle_epi8(self.by_low, text);
        let by_high = _mm256_shuffle_epi8(self.by_high, high_half);
        let class = _mm256_and_si256(by_low, by_high);
        *classes = _mm256_min_epu8(*classes, class);
        let shifts = _mm256_shuffle_epi8(self.shifts, _mm256_xor_si256(high_half, class));
        let sextets = _mm256_add_epi8(text, shifts);
        // bytes   00dddddd 00cccccc 00bbbbbb 00aaaaaa, the first character lowest
        // pairs   0000cccc ccdddddd 0000aaaa aabbbbbb: the first of two times 64, plus the second
        let pairs = _mm256_maddubs_epi16(sextets, _mm256_set1_epi32(0x0140_0140));
        // fours   00000000 aaaaaabb bbbbcccc ccdddddd: the first of two times 4096, plus the second
        let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x0001_1000));
        _mm256_shuffle_epi8(fours, self.pack)
    }
}

/// For each byte of a lane's output, which byte of the fours it is; the top bit alone for zeros.
static PACK: [u8; 16] = [2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, 0x80, 0x80, 0x80, 0x80];

/// Tables that tell the class of a character, a single bit, and what to add to it.
///
/// Each half of a byte has the bits of the classes that it may belong to; the common bit of both halves is the class, and
/// where there is none, the character is not of the alphabet. The letters and digits have three classes by which low
/// halves there are: 1 to 15 in the rows 4 and 6, 0 to 10 in 5 and 7, 0 to 9 in 3. Their bits lie where a shuffle does not
/// look, so that `high half ^ class` is the row for them. The two other characters have classes of their own, whose
/// bits lead out of their rows, to 0 and to 8 or more.
struct Classes {
    by_low: [u8; 16],
    by_high: [u8; 16],
    shifts: [u8; 16],
}

const DIGIT: u8 = 1 << 4;
const FROM_1: u8 = 1 << 5;
const TO_10: u8 = 1 << 6;
/// Of the character for 62, which is in row 2 in both alphabets: `2 ^ 2` is 0.
const OF_62: u8 = 1 << 1;
/// Of the character for 63, which is in row 2 or 5: 10 or 13.
const OF_63: u8 = 1 << 3;

static STANDARD_CLASSES: Classes = classes(b'+', b'/');
static URL_SAFE_CLASSES: Classes = classes(b'-', b'_');

const fn classes(of_62: u8, of_63: u8) -> Classes {
    let mut tables = Classes { by_low: [0; 16], by_high: [0; 16], shifts: [0; 16] };
    let rows = [0, 0, 0, DIGIT, FROM_1, TO_10, FROM_1, TO_10];
    let mut character = 0;
    while character < 128 {
        let row = character >> 4;
        let class = if character == of_62 {
            OF_62
        } else if character == of_63 {
            OF_63
        } else {
            rows[row as usize]
        };
        let belongs = match sextet(character) {
            Some((_, None)) => true,
            _ => character == of_62 || character == of_63,
        };
        if let (true, Some((sextet, _))) = (belongs, sextet(character)) {
            tables.by_low[(character & 0x0F) as usize] |= class;
            tables.by_high[row as usize] |= class;
            tables.shifts[((row ^ class) & 0x0F) as usize] = sextet.wrapping_sub(character);
        }
        character += 1;
    }
    tables
}

/// What is not less than any class.
#[inline]
#[target_feature(enable = "avx2")]
fn all_classes() -> __m256i {
    _mm256_set1_epi8(-1)
}

/// Whether a character had no class.
#[inline]
#[target_feature(enable = "avx2")]
fn has_none(classes: __m256i) -> bool {
    _mm256_movemask_epi8(_mm256_cmpeq_epi8(classes, _mm256_setzero_si256())) != 0
}

#[inline]
#[target_feature(enable = "avx2")]
fn both_lanes(bytes: &[u8; 16]) -> __m256i {
    // SAFETY: the load reads 16 bytes, which is the array; it needs no alignment.
    let lane = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
    _mm256_broadcastsi128_si256(lane)
}

/// The 32 bytes from `AT` on.
#[inline]
#[target_feature(enable = "avx2")]
fn load_at<const AT: usize, const LEN: usize>(bytes: &[u8; LEN]) -> __m256i {
    const { assert!(AT + 32 <= LEN) };
    // SAFETY: the load reads 32 bytes from `AT` on, which are within the array, as asserted; it needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().wrapping_add(AT).cast()) }
}

/// The bytes from `AT` on in the first lane, and those from 12 more on in the second.
#[inline]
#[target_feature(enable = "avx2")]
fn load_lanes_at<const AT: usize, const LEN: usize>(bytes: &[u8; LEN]) -> __m256i {
    const { assert!(AT + SPAN <= LEN) };
    // SAFETY: the load reads 16 bytes from `AT` on, which are within the 28 asserted; it needs no alignment.
    let first = unsafe { _mm_loadu_si128(bytes.as_ptr().wrapping_add(AT).cast()) };
    // SAFETY: as above, from `AT + 12` on, the last 16 of the 28.
    let second = unsafe { _mm_loadu_si128(bytes.as_ptr().wrapping_add(AT + 12).cast()) };
    _mm256_set_m128i(second, first)
}

/// Writes the 32 bytes from `AT` on.
#[inline]
#[target_feature(enable = "avx2")]
fn store_at<const AT: usize, const LEN: usize>(vector: __m256i, space: &mut [MaybeUninit<u8>; LEN]) {
    const { assert!(AT + 32 <= LEN) };
    // SAFETY: the store writes 32 bytes from `AT` on, which are within the array, as asserted; it needs no alignment.
    unsafe { _mm256_storeu_si256(space.as_mut_ptr().wrapping_add(AT).cast(), vector) }
}

/// Writes the first lane from `AT` on, and the second from 12 bytes more on, over the first one's end.
#[inline]
#[target_feature(enable = "avx2")]
fn store_lanes_at<const AT: usize, const LEN: usize>(vector: __m256i, space: &mut [MaybeUninit<u8>; LEN]) {
    const { assert!(AT + SPAN <= LEN) };
    let start = space.as_mut_ptr().wrapping_add(AT);
    let (first, second) = (_mm256_castsi256_si128(vector), _mm256_extracti128_si256::<1>(vector));
    // SAFETY: the store writes 16 bytes from `AT` on, which are within the 28 asserted; it needs no alignment.
    unsafe { _mm_storeu_si128(start.cast(), first) };
    // SAFETY: as above, from `AT + 12` on, the last 16 of the 28.
    unsafe { _mm_storeu_si128(start.wrapping_add(12).cast(), second) };
}

/// Writes the first lane.
#[inline]
#[target_feature(enable = "avx2")]
fn store_lane(vector: __m256i, space: &mut [MaybeUninit<u8>; 16]) {
    let lane = _mm256_castsi256_si128(vector);
    // SAFETY: the store writes 16 bytes, which is the array; it needs no alignment.
    unsafe { _mm_storeu_si128(space.as_mut_ptr().cast(), lane) };
}
