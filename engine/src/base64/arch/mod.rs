//! The kernels by tier, and the crate's unsafe code: uninitialised space, and the call of what not every machine has.
//!
//! What a kernel promises, and the tests hold it to: `encode` writes the whole of its space, `decode` the first bytes
//! of it, as many as it returns; neither touches anything else.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
mod buffer;
mod portable;
#[cfg(target_arch = "x86_64")]
mod prefetch;
mod room;
mod spare;
mod text;

use std::convert::Infallible;
use std::mem::MaybeUninit;

pub use self::buffer::Buffer;
pub(super) use self::buffer::append;
pub(super) use self::room::Room;
pub(crate) use self::spare::Spare;
pub(crate) use self::text::{Baseline, Job, Level, PIECE, WINDOW, dispatch, needs_escape};
use super::scalar::{self, Alphabet};
use super::tier::{Available, Tier};
use super::{decoded_len, encoded_len};

/// Writes the padded text of `bytes`, which fills `space`: it is [`encoded_len`] long.
#[inline(always)] // into the few public calls: a call and its prologue count for short inputs
pub(super) fn encode<'s>(tier: Available, bytes: &[u8], space: &'s mut [MaybeUninit<u8>]) -> &'s mut [u8] {
    assert_eq!(space.len(), encoded_len(bytes.len()), "space for the text, and no more");
    match tier.tier() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the function asks for the features of its tier, which an `Available` of that tier has found.
        Tier::Avx512 => unsafe { avx512::encode(bytes, space) },
        tier => encode_otherwise(tier, bytes, space),
    }
    // SAFETY: every kernel has written the whole of its space; see the head of the file.
    unsafe { written(space) }
}

/// The other tiers, out of the way of the first.
#[inline(never)]
fn encode_otherwise(tier: Tier, bytes: &[u8], space: &mut [MaybeUninit<u8>]) {
    match tier {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the function asks for the features of its tier, which an `Available` of that tier has found.
        Tier::Avx2 => unsafe { avx2::encode(bytes, space) },
        Tier::Scalar => scalar::encode(bytes, space),
        _ => portable::encode(bytes, space),
    }
}

/// Writes the bytes of `body`, characters without padding or line end, to `space`, which has room for exactly these:
/// `body.len() % 4` is not 1. Stops at what is not of the alphabet, or has spare bits that are not zero.
///
/// What it returns is as long as `space` if the body is right as a whole. Otherwise it is the bytes of whole groups that
/// are right, not necessarily of all those before the error, but of all but the last few hundred of them, or, in the
/// portable tier, a few thousand.
#[inline(always)] // as above
pub(super) fn decode<'s>(
    tier: Available,
    alphabet: Alphabet,
    body: &[u8],
    space: &'s mut [MaybeUninit<u8>],
) -> &'s mut [u8] {
    assert_ne!(body.len() % 4, 1, "no bytes have such a text");
    assert_eq!(space.len(), decoded_len(body.len()), "space for the bytes, and no more");
    let len = match tier.tier() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the function asks for the features of its tier, which an `Available` of that tier has found.
        Tier::Avx512 => unsafe { avx512::decode(alphabet, body, space) },
        tier => decode_otherwise(tier, alphabet, body, space),
    };
    // SAFETY: every kernel has written as many bytes as it returns; see the head of the file.
    unsafe { written(&mut space[..len]) }
}

/// The other tiers, out of the way of the first.
#[inline(never)]
fn decode_otherwise(tier: Tier, alphabet: Alphabet, body: &[u8], space: &mut [MaybeUninit<u8>]) -> usize {
    match tier {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Tier::Avx2 => unsafe { avx2::decode(alphabet, body, space) },
        Tier::Scalar => scalar::decode(alphabet, body, space),
        _ => portable::decode(alphabet, body, space),
    }
}

/// Appends the bytes of whole groups as far as they are right, and returns how many bytes that were; see [`decode`].
pub(super) fn decode_append(
    tier: Available,
    alphabet: Alphabet,
    groups: &[u8],
    out: &mut impl Buffer,
) -> usize {
    append(out, decoded_len(groups.len()), |space| Ok::<_, Infallible>(decode(tier, alphabet, groups, space)))
        .unwrap_or_else(|never| match never {})
}

/// Bytes that may be overwritten with anything, in the form in which the kernels take their space.
#[inline]
pub(super) fn as_uninit(bytes: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: the layouts are the same, and the kernels, which get this, write bytes and never "uninitialised".
    unsafe { &mut *(std::ptr::from_mut(bytes) as *mut [MaybeUninit<u8>]) }
}

/// The same memory as bytes.
///
/// # Safety
/// * All of `space` is initialised.
#[inline]
unsafe fn written(space: &mut [MaybeUninit<u8>]) -> &mut [u8] {
    // SAFETY: the layouts are the same, the borrow stays exclusive, and the caller has initialised all of it.
    unsafe { &mut *(std::ptr::from_mut(space) as *mut [u8]) }
}
