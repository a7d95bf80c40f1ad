//! The buffers that grow: text and bytes go straight into their spare space, which is not cleared first.

use std::mem::MaybeUninit;

use bytes::BytesMut;

use super::super::scalar::Sink;

/// A buffer that base64 is appended to: `Vec<u8>` or `BytesMut`.
pub trait Buffer: sealed::Spare {}

impl Buffer for Vec<u8> {}
impl Buffer for BytesMut {}

/// Appends what `fill` writes to the start of `len` spare bytes; nothing if it fails. Returns its length.
pub(in super::super) fn append<E>(
    out: &mut impl Buffer,
    len: usize,
    fill: impl for<'s> FnOnce(&'s mut [MaybeUninit<u8>]) -> Result<&'s mut [u8], E>,
) -> Result<usize, E> {
    let spare = &mut out.spare(len)[..len];
    let start = spare.as_ptr().cast::<u8>();
    let written = fill(spare)?;
    let written_len = written.len();
    // The proof below rests on these two; each is one comparison a call.
    assert_eq!(written.as_ptr(), start, "the bytes are not where they were to be written");
    assert!(written_len <= len, "more bytes than announced");
    // SAFETY: `written` is a `&mut [u8]`, so its bytes are initialised; it begins where the spare capacity begins and is
    // not longer than that, as asserted above.
    unsafe { out.grow(written_len) };
    Ok(written_len)
}

impl<B: sealed::Spare> Sink for B {
    fn put(&mut self, bytes: &[u8]) {
        self.extend(bytes);
    }
}

mod sealed {
    use bytes::BufMut as _;

    use super::{BytesMut, MaybeUninit};

    #[expect(unnameable_types, reason = "sealed: its unsafe method is for this module alone")]
    pub trait Spare {
        /// Spare space of at least `len` bytes.
        fn spare(&mut self, len: usize) -> &mut [MaybeUninit<u8>];

        /// Makes the first `len` bytes of the spare space part of the content.
        ///
        /// # Safety
        /// * The spare space has `len` bytes.
        /// * They are initialised.
        unsafe fn grow(&mut self, len: usize);

        /// Appends a copy.
        fn extend(&mut self, bytes: &[u8]);
    }

    impl Spare for Vec<u8> {
        fn spare(&mut self, len: usize) -> &mut [MaybeUninit<u8>] {
            self.reserve(len);
            self.spare_capacity_mut()
        }

        unsafe fn grow(&mut self, len: usize) {
            let len = self.len() + len;
            // SAFETY: the caller promises that the bytes up to `len` are within the capacity and initialised.
            unsafe { self.set_len(len) };
        }

        fn extend(&mut self, bytes: &[u8]) {
            self.extend_from_slice(bytes);
        }
    }

    impl Spare for BytesMut {
        fn spare(&mut self, len: usize) -> &mut [MaybeUninit<u8>] {
            self.reserve(len);
            self.spare_capacity_mut()
        }

        unsafe fn grow(&mut self, len: usize) {
            // SAFETY: the caller promises that the next `len` bytes are within the capacity and initialised.
            unsafe { self.advance_mut(len) };
        }

        fn extend(&mut self, bytes: &[u8]) {
            self.extend_from_slice(bytes);
        }
    }
}
