//! Bytes to base64 in pieces.

use super::{Buffer, Codec};

/// Encodes bytes that come in pieces of any size; the text is the same as for one piece.
///
/// Call [`update`](Self::update) for each piece, in order, then [`finish`](Self::finish) once.
///
/// # Examples
/// ```
/// use natsbridge::base64::Encoder;
///
/// let mut out = bytes::BytesMut::new();
/// let mut encoder = Encoder::new();
/// encoder.update(b"Hel", &mut out);
/// encoder.update(b"lo", &mut out);
/// encoder.finish(&mut out);
/// assert_eq!(out, "SGVsbG8=");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Encoder {
    codec: Codec,
    /// The bytes of the unfinished group. Invariant: `count <= 2`.
    carry: [u8; 3],
    count: usize,
}

impl Encoder {
    /// An encoder at the start of a text, by the tier of the process.
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn by(codec: Codec) -> Self {
        Self { codec, carry: [0; 3], count: 0 }
    }

    /// Appends the text of all whole groups of three bytes; holds back at most two bytes.
    pub fn update(&mut self, bytes: &[u8], out: &mut impl Buffer) {
        let mut rest = bytes;
        if self.count > 0 {
            let (fill, after) = rest.split_at(rest.len().min(3 - self.count));
            self.carry[self.count..self.count + fill.len()].copy_from_slice(fill);
            self.count += fill.len();
            rest = after;
            if self.count < 3 {
                return;
            }
            self.codec.encode_append(&self.carry, out);
            self.count = 0;
        }
        let (groups, tail) = rest.split_at(rest.len() - rest.len() % 3);
        self.codec.encode_append(groups, out);
        self.carry[..tail.len()].copy_from_slice(tail);
        self.count = tail.len();
    }

    /// Appends what was held back, with its padding; the encoder is at the start of a text again.
    pub fn finish(&mut self, out: &mut impl Buffer) {
        self.codec.encode_append(&self.carry[..self.count], out);
        self.count = 0;
    }
}
