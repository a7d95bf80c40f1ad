//! What is behind `data`: base64, inline JSON, or a URL; and turning the first two into bytes.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::escape::{escape_value, raw_offset, unescape_into};
use super::{DataSpan, PayloadView, Sha256Entry, Transport};
use crate::base64;
use crate::error::{Error, ErrorKind, Result};
use crate::payload::{PayloadData, Verification, aligned};

/// The data of one payload, as the message carries it.
#[non_exhaustive]
pub enum Content<'a> {
    /// Base64 text, not looked at yet.
    Base64(Base64Text<'a>),
    /// JSON that stands in the message itself (SPEC `B64`): an object or array as is, or JSON text in a string.
    Json(Bytes),
    /// The URL of a link: a secret that opens the file, and a request that somebody else wrote.
    Link(Cow<'a, str>),
}

impl fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base64(_) => "Base64(…)",
            Self::Json(_) => "Json(…)",
            Self::Link(_) => "Link(…)",
        })
    }
}

/// Undecoded base64 of a direct payload.
#[derive(Clone, Copy)]
pub struct Base64Text<'a> {
    /// The string's content as it stands in the message.
    raw: &'a [u8],
    escaped: bool,
    /// Where `raw` begins in the message.
    start: usize,
    index: usize,
}

impl Base64Text<'_> {
    /// An upper bound of the decoded length in bytes; exact to 3 bytes for text without escapes.
    pub fn max_decoded_len(&self) -> usize {
        base64::max_decoded_len(self.raw.len())
    }

    /// Decodes, appending to `out`.
    ///
    /// # Errors
    /// [`InvalidBase64`](ErrorKind::InvalidBase64) with the offset of the offending byte in the message; `out` then
    /// has the length it had before.
    pub fn decode_into(&self, out: &mut Vec<u8>) -> Result<()> {
        let text = self.text();
        base64::decode_append(&text, out).map_err(|error| {
            let offset = if self.escaped { raw_offset(self.raw, error.offset) } else { error.offset };
            Error::new(ErrorKind::InvalidBase64, error.what)
                .at((self.start + offset) as u64)
                .in_payload(self.index)
        })
    }

    /// The text without escapes: some JSON writers turn every `/` into `\/`.
    fn text(&self) -> Cow<'_, [u8]> {
        if !self.escaped {
            return Cow::Borrowed(self.raw);
        }
        let mut text = Vec::with_capacity(self.raw.len());
        unescape_into(self.raw, &mut text);
        Cow::Owned(text)
    }
}

impl fmt::Debug for Base64Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Base64Text").field("len", &self.raw.len()).finish_non_exhaustive()
    }
}

impl<'a> PayloadView<'a> {
    /// What the message carries for this payload.
    ///
    /// # Errors
    /// [`InvalidPayload`](ErrorKind::InvalidPayload) if the payload's entry is unusable: see [`defect`](Self::defect);
    /// [`LimitExceeded`](ErrorKind::LimitExceeded) above [`Limits::payload_len`](crate::Limits::payload_len).
    pub fn content(&self) -> Result<Content<'a>> {
        if let Some(defect) = self.defect() {
            return Err(defect);
        }
        let body = &self.envelope.body;
        match self.entry.data {
            DataSpan::Json(span) => Ok(Content::Json(body.slice(span.range()))),
            DataSpan::String { span, escaped } => {
                let raw = &body[span.range()];
                let start = span.range().start;
                let text = Base64Text { raw, escaped, start, index: self.index };
                if self.transport() == Some(Transport::Link) {
                    return Ok(Content::Link(match text_of(raw, escaped) {
                        Cow::Borrowed(url) => Cow::Borrowed(std::str::from_utf8(url).unwrap_or_default()),
                        Cow::Owned(url) => Cow::Owned(String::from_utf8(url).unwrap_or_default()),
                    }));
                }
                if self.payload_type().may_be_inline_json() && begins_json(raw, escaped) {
                    return Ok(Content::Json(match text_of(raw, escaped) {
                        Cow::Borrowed(_) => body.slice(span.range()),
                        Cow::Owned(text) => Bytes::from(text),
                    }));
                }
                Ok(Content::Base64(text))
            }
            // `defect` has reported it.
            DataSpan::Missing => Err(Error::new(ErrorKind::Bug, "a payload without data was not reported")),
        }
    }

    /// The URL of a link; `None` for anything else. Whoever knows it has the file.
    pub fn url(&self) -> Option<Cow<'a, str>> {
        match self.content() {
            Ok(Content::Link(url)) => Some(url),
            _ => None,
        }
    }

    /// The bytes of a direct payload, with the getters for its type.
    ///
    /// The bytes begin on a 64-byte boundary, so that a table is read without a further copy.
    ///
    /// # Errors
    /// As [`content`](Self::content); [`InvalidBase64`](ErrorKind::InvalidBase64) with the offset in the message;
    /// [`DigestMismatch`](ErrorKind::DigestMismatch) if the metadata has a `sha256` and it is not that of the bytes;
    /// [`WrongType`](ErrorKind::WrongType) for a link, which has to be fetched.
    ///
    /// # Cost
    /// One pass over the text and one allocation of the decoded size, or nothing where
    /// [`Envelope::decode_into`](super::Envelope::decode_into) has decoded it already; where there is a `sha256`, a pass
    /// over the bytes.
    pub fn decode(&self) -> Result<PayloadData> {
        let bytes = match self.content()? {
            Content::Base64(text) => match self.decoded_bytes() {
                Some(bytes) => bytes,
                None => {
                    let (mut out, start) = aligned::buffer(text.max_decoded_len());
                    text.decode_into(&mut out)?;
                    aligned::bytes(out, start)
                }
            },
            Content::Json(bytes) => bytes,
            Content::Link(_) => {
                return Err(Error::new(
                    ErrorKind::WrongType,
                    "a link has to be fetched, it holds no bytes itself",
                )
                .in_payload(self.index));
            }
        };
        let verification = self.verify(&bytes)?;
        let data = PayloadData::new(self.payload_type(), bytes, self.size(), self.index);
        Ok(data.verified(verification).limited(self.envelope.limits.limits()))
    }

    /// The bytes of a direct payload of an envelope that
    /// [`Envelope::decode_into_vec`](super::Envelope::decode_into_vec) has read: a slice of `out`, which is the buffer as
    /// that call has left it, where the payload was decoded on the way, and otherwise the bytes of
    /// [`decode`](Self::decode). Another buffer gives other bytes.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn bytes_in<'b>(&self, out: &'b [u8]) -> Result<Cow<'b, [u8]>> {
        if let Some(bytes) = self.entry.decoded.and_then(|decoded| out.get(decoded.range()))
            && self.entry.defect.is_none()
        {
            self.verify(bytes)?;
            return Ok(Cow::Borrowed(bytes));
        }
        Ok(Cow::Owned(self.decode()?.into_bytes().into()))
    }

    /// What was decoded while the message was read, if it was, and was not left to the caller.
    fn decoded_bytes(&self) -> Option<Bytes> {
        let range = self.entry.decoded?.range();
        let decoded = &self.envelope.decoded;
        (range.end <= decoded.len()).then(|| decoded.slice(range))
    }

    /// Compares the bytes with the digest in the metadata, where there is one.
    fn verify(&self, bytes: &[u8]) -> Result<Verification> {
        match self.metadata().sha256() {
            None => Ok(Verification::Inline),
            Some(Sha256Entry::Unusable) => Ok(Verification::Unverified),
            Some(Sha256Entry::Digest(digest)) if Sha256::digest(bytes).as_slice() == digest => {
                Ok(Verification::Digest)
            }
            Some(Sha256Entry::Digest(_)) => {
                let what = "the data is not that whose SHA-256 the metadata gives";
                Err(Error::new(ErrorKind::DigestMismatch, what).in_payload(self.index))
            }
        }
    }
}

fn text_of(raw: &[u8], escaped: bool) -> Cow<'_, [u8]> {
    if !escaped {
        return Cow::Borrowed(raw);
    }
    let mut text = Vec::with_capacity(raw.len());
    unescape_into(raw, &mut text);
    Cow::Owned(text)
}

/// Whether the string's text starts, after white space, with a brace or a bracket, which base64 never does.
pub(super) fn begins_json(raw: &[u8], escaped: bool) -> bool {
    let mut rest = raw;
    loop {
        let (byte, used) = match rest {
            [b'\\', b'n' | b'r' | b't', ..] if escaped => (b' ', 2),
            // `{` and white space may be written as \u escapes too.
            [b'\\', b'u', ..] if escaped => {
                let (text, used) = escape_value(rest);
                (u8::try_from(text).unwrap_or_default(), used)
            }
            [byte, ..] => (*byte, 1),
            [] => return false,
        };
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => rest = &rest[used..],
            byte => return matches!(byte, b'{' | b'['),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::envelope::Envelope;
    use crate::error::ErrorKind;
    use crate::payload::Verification;

    #[test]
    fn a_digest_beside_direct_data_is_verified() {
        const OF_A: &str = "559aead08264d5795d3909718cdd05abd49572e84fe55590eef31a88a08fdffd";
        let decode = |data: &str, metadata: &str| {
            let message = format!(
                r#"{{"payloads":[{{"type":"dictionary","transport":"direct","data":{data},"metadata":{{{metadata}}}}}]}}"#
            );
            let envelope = Envelope::decode(message.into_bytes()).unwrap();
            envelope.payload(0).unwrap().decode().map(|data| data.verification())
        };
        let right = format!(r#""sha256":"{OF_A}""#);
        assert_eq!(decode(r#""QQ==""#, &right).unwrap(), Verification::Digest);
        assert_eq!(decode(r#""QQ""#, &right.replace("559aead", "559AEAD")).unwrap(), Verification::Digest);
        assert_eq!(decode(r#""QQ""#, "").unwrap(), Verification::Inline);
        for unusable in [r#""sha256":"00""#, r#""sha256":1"#, r#""sha256":null"#] {
            assert_eq!(decode(r#""QQ""#, unusable).unwrap(), Verification::Unverified, "{unusable}");
        }
        // Inline JSON is judged by its exact slice of the message.
        let error = decode("[ ]", &right).unwrap_err();
        assert_eq!((error.kind(), error.payload()), (ErrorKind::DigestMismatch, Some(0)));
        let empty = r#""sha256":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945""#;
        assert_eq!(decode("[]", empty).unwrap(), Verification::Digest);
        assert!(decode("[ ]", empty).is_err());
        assert!(decode(r#""QQ=""#, &right).is_err());
    }
}
