//! Base64 by the bridge's rules (SPEC `B64`): one-shot calls, and an encoder and a decoder that take their input in
//! pieces. Any split gives the same result, and so does every [`Tier`].
//!
//! Written: the standard alphabet, padded. Read: the standard or the URL-safe alphabet (one of them in one text),
//! padding present and right or absent, exactly one LF or CRLF at the end; nothing else.

#[expect(
    unsafe_code,
    reason = "vector instructions, and uninitialised space; the only unsafe code of the crate"
)]
pub(crate) mod arch;
mod codec;
mod decoder;
mod encoder;
pub(crate) mod scalar;
mod tier;

pub use self::arch::Buffer;
pub use self::codec::Codec;
pub use self::decoder::Decoder;
pub use self::encoder::Encoder;
pub use self::scalar::Invalid;
pub use self::tier::{Tier, TierError};

/// The length of the base64 text of `len` bytes, padding included: `4 * ceil(len / 3)`.
#[inline]
pub fn encoded_len(len: usize) -> usize {
    len.div_ceil(3) * 4
}

/// At most this many bytes come out of a text of `len` characters.
#[inline]
pub fn max_decoded_len(len: usize) -> usize {
    len / 4 * 3 + len % 4
}

/// The number of bytes of `len` characters without padding; `len % 4` is not 1.
#[inline]
fn decoded_len(len: usize) -> usize {
    len / 4 * 3 + (len % 4).saturating_sub(1)
}

/// Appends the base64 text of `bytes` to a `BytesMut` or a `Vec<u8>`.
///
/// # Cost
/// One pass, straight into the buffer's spare space; grows the buffer at most once.
///
/// # Examples
/// ```
/// let mut out = bytes::BytesMut::new();
/// natsbridge::base64::encode_append(b"Hello", &mut out);
/// assert_eq!(out, "SGVsbG8=");
/// ```
pub fn encode_append(bytes: &[u8], out: &mut impl Buffer) {
    Codec::new().encode_append(bytes, out);
}

/// Writes the base64 text of `bytes` to the start of `out`, and returns its length, [`encoded_len`] of the bytes'. What
/// is behind it in `out` stays.
///
/// # Panics
/// If `out` is shorter than that.
///
/// # Examples
/// ```
/// let mut out = *b"............";
/// assert_eq!(natsbridge::base64::encode_into(b"Hello", &mut out), 8);
/// assert_eq!(&out, b"SGVsbG8=....");
/// ```
pub fn encode_into(bytes: &[u8], out: &mut [u8]) -> usize {
    Codec::new().encode_into(bytes, out)
}

/// Appends the bytes of a whole base64 text to a `Vec<u8>` or a `BytesMut`.
///
/// # Errors
/// [`Invalid`] with the offset of the first offending character; `out` is then as long as it was before.
///
/// # Cost
/// One pass, straight into the buffer's spare space. A text that is wrong costs at most one pass more over what comes
/// before the error.
///
/// # Examples
/// ```
/// use natsbridge::base64;
///
/// let mut out = Vec::new();
/// base64::decode_append(b"-_8\n", &mut out)?; // URL-safe, unpadded, MicroPython's newline
/// assert_eq!(out, [0xfb, 0xff]);
/// assert_eq!(base64::decode_append(b"SGVs bG8=", &mut out).unwrap_err().offset, 4);
/// # Ok::<(), base64::Invalid>(())
/// ```
pub fn decode_append(text: &[u8], out: &mut impl Buffer) -> Result<(), Invalid> {
    Codec::new().decode_append(text, out)
}

/// Writes the bytes of a whole base64 text to the start of `out`, and returns how many they are. What is behind them in
/// `out` stays; [`max_decoded_len`] of the text's length is always room enough.
///
/// # Errors
/// [`Invalid`] with the offset of the first offending character, or, where the text is longer than `out` has room for,
/// of the first group of characters that does not fit. What is in `out` then is not specified.
///
/// # Examples
/// ```
/// let mut out = [0; 8];
/// assert_eq!(natsbridge::base64::decode_into(b"SGVsbG8=", &mut out)?, 5);
/// assert_eq!(&out, b"Hello\0\0\0");
/// # Ok::<(), natsbridge::base64::Invalid>(())
/// ```
pub fn decode_into(text: &[u8], out: &mut [u8]) -> Result<usize, Invalid> {
    Codec::new().decode_into(text, out)
}
