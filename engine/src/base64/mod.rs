//! Base64 by the bridge's rules (SPEC `B64`): one-shot calls, and an encoder and a decoder that take their input in
//! pieces. Any split gives the same result.
//!
//! Written: the standard alphabet, padded. Read: the standard or the URL-safe alphabet (one of them in one text),
//! padding present and right or absent, exactly one LF or CRLF at the end; nothing else.

#[expect(unsafe_code, reason = "writes into uninitialised buffer space; the only unsafe code of the crate")]
mod arch;
mod decoder;
mod encoder;
pub(crate) mod scalar;

use bytes::BytesMut;

pub use self::decoder::Decoder;
pub use self::encoder::Encoder;
pub use self::scalar::Invalid;

/// The length of the base64 text of `len` bytes, padding included: `4 * ceil(len / 3)`.
pub fn encoded_len(len: usize) -> usize {
    len.div_ceil(3) * 4
}

/// At most this many bytes come out of a text of `len` characters.
pub fn max_decoded_len(len: usize) -> usize {
    len / 4 * 3 + len % 4
}

/// Appends the base64 text of `bytes`.
///
/// # Examples
/// ```
/// let mut out = bytes::BytesMut::new();
/// natsbridge::base64::encode_append(b"Hello", &mut out);
/// assert_eq!(out, "SGVsbG8=");
/// ```
pub fn encode_append(bytes: &[u8], out: &mut BytesMut) {
    arch::encode_append(bytes, out);
}

/// Appends the bytes of a whole base64 text.
///
/// # Errors
/// [`Invalid`] with the offset of the first offending character; `out` is then as long as it was before.
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
pub fn decode_append(text: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
    let body = scalar::body(text);
    let start = out.len();
    // Nearly all text is plain; if this fails, the alphabet is the other one, or the decoder in pieces finds out why.
    if let Some(body) = body
        && base64_simd::STANDARD_NO_PAD.decode_append(body, out).is_ok()
    {
        return Ok(());
    }
    out.truncate(start);
    if let Some(body) = body
        && base64_simd::URL_SAFE_NO_PAD.decode_append(body, out).is_ok()
    {
        return Ok(());
    }
    out.truncate(start);
    let mut decoder = Decoder::new();
    let decoded = decoder.update(text, out).and_then(|()| decoder.finish(out));
    decoded.inspect_err(|_| out.truncate(start))
}
