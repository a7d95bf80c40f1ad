//! To come: kernels of our own. Until then no machine has this tier.

use std::mem::MaybeUninit;

use super::super::scalar::Alphabet;

pub(in super::super) fn is_available() -> bool {
    false
}

pub(super) unsafe fn encode(bytes: &[u8], space: &mut [MaybeUninit<u8>]) {
    super::portable::encode(bytes, space);
}

pub(super) unsafe fn decode(alphabet: Alphabet, body: &[u8], space: &mut [MaybeUninit<u8>]) -> usize {
    super::portable::decode(alphabet, body, space)
}
