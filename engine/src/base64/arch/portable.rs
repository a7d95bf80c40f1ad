//! The portable tier: the `base64-simd` crate.

use std::mem::MaybeUninit;

use base64_simd::{Out, STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::super::decoded_len;
use super::super::scalar::Alphabet;

/// Characters that are decoded at once. The crate does not say where it found an error: if a block fails, its characters
/// are read again one by one. Chosen: large enough that the calls do not count, small enough that a hostile text
/// costs little more than a plain one.
const BLOCK: usize = 16 * 1024;

pub(super) fn encode(bytes: &[u8], space: &mut [MaybeUninit<u8>]) {
    let len = space.len();
    let written = STANDARD.encode(bytes, Out::from_uninit_slice(space));
    // That all of the space is initialised rests on this.
    assert_eq!(written.len(), len, "the base64 text has another length than announced");
}

pub(super) fn decode(alphabet: Alphabet, body: &[u8], space: &mut [MaybeUninit<u8>]) -> usize {
    let codec = match alphabet {
        Alphabet::Standard => STANDARD_NO_PAD,
        Alphabet::UrlSafe => URL_SAFE_NO_PAD,
    };
    let mut len = 0;
    for body in body.chunks(BLOCK) {
        let space = &mut space[len..][..decoded_len(body.len())];
        let start = space.as_ptr().cast::<u8>();
        let Ok(written) = codec.decode(body, Out::from_uninit_slice(space)) else { break };
        assert_eq!(written.as_ptr(), start, "the bytes are not where they were to be written");
        len += written.len();
    }
    len
}
