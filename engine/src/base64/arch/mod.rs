//! Kernels, and the one place of the crate with unsafe code.

use base64_simd::{Out, STANDARD};
use bytes::{BufMut as _, BytesMut};

/// Appends the base64 text of `bytes` straight into the buffer's spare space, which is not cleared first.
pub(super) fn encode_append(bytes: &[u8], out: &mut BytesMut) {
    let len = super::encoded_len(bytes.len());
    if len == 0 {
        return;
    }
    out.reserve(len);
    let spare = &mut out.spare_capacity_mut()[..len];
    let start = spare.as_ptr().cast::<u8>();
    let written = STANDARD.encode(bytes, Out::from_uninit_slice(spare));
    // The proof below rests on these two; both are one comparison a call.
    assert_eq!(written.len(), len, "the base64 text has another length than announced");
    assert_eq!(written.as_ptr(), start, "the base64 text is not where it was to be written");
    // SAFETY: `advance_mut` requires that the next `len` bytes of the spare capacity are initialised. `written` is a
    // `&mut [u8]` of `len` bytes, so its bytes are initialised, and it begins where the spare capacity begins, as
    // asserted above. `reserve` has made sure that the capacity is there (the slice to `len` would have panicked).
    unsafe { out.advance_mut(len) };
}
