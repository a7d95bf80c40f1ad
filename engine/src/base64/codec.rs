//! One-shot calls: a whole text or all the bytes at once, by a given tier.

use std::convert::Infallible;
use std::mem::MaybeUninit;

use super::arch::{self, Room};
use super::scalar::{self, Alphabet, Invalid, Machine};
use super::tier::{Available, Tier, TierError};
use super::{Buffer, Decoder, Encoder, decoded_len, encoded_len};

/// Base64 by one [`Tier`]. The functions of this module are those of [`Codec::new`].
///
/// # Examples
/// ```
/// use natsbridge::base64::{Codec, Tier};
///
/// for tier in Tier::available() {
///     let codec = Codec::with_tier(tier)?;
///     let mut text = [0; 8];
///     assert_eq!(codec.encode_into(b"Hello", &mut text), 8);
///     assert_eq!(&text, b"SGVsbG8=");
/// }
/// # Ok::<(), natsbridge::base64::TierError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Codec {
    tier: Available,
}

impl Default for Codec {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec {
    /// By the tier of the process: [`Tier::current`].
    #[inline]
    pub fn new() -> Self {
        Self { tier: Available::current() }
    }

    /// By a forced tier, for tests and benchmarks.
    ///
    /// # Errors
    /// [`TierError::Unavailable`] if this machine lacks it.
    pub fn with_tier(tier: Tier) -> Result<Self, TierError> {
        Available::new(tier).map(|tier| Self { tier })
    }

    /// The tier that runs.
    pub fn tier(&self) -> Tier {
        self.tier.tier()
    }

    pub(super) fn tier_proof(self) -> Available {
        self.tier
    }

    /// An encoder for bytes that come in pieces.
    pub fn encoder(self) -> Encoder {
        Encoder::by(self)
    }

    /// A decoder for text that comes in pieces.
    pub fn decoder(self) -> Decoder {
        Decoder::by(self)
    }

    /// See [`encode_append`](super::encode_append).
    pub fn encode_append(&self, bytes: &[u8], out: &mut impl Buffer) {
        arch::append(out, encoded_len(bytes.len()), |space| Ok(self.encode_uninit(bytes, space)))
            .unwrap_or_else(|never: Infallible| match never {});
    }

    /// See [`encode_into`](super::encode_into).
    ///
    /// # Panics
    /// If `out` is shorter than [`encoded_len`] of the bytes.
    pub fn encode_into(&self, bytes: &[u8], out: &mut [u8]) -> usize {
        let len = encoded_len(bytes.len());
        let out = &mut out[..len];
        arch::encode(self.tier, bytes, arch::as_uninit(out));
        len
    }

    /// See [`decode_append`](super::decode_append).
    ///
    /// # Errors
    /// [`Invalid`] with the offset of the first offending character; `out` is then as long as it was before.
    pub fn decode_append(&self, text: &[u8], out: &mut impl Buffer) -> Result<(), Invalid> {
        let len = scalar::body(text).map_or(text.len() / 4 * 3, |body| decoded_len(body.len()));
        arch::append(out, len, |space| self.decode_uninit(text, space)).map(drop)
    }

    /// See [`decode_into`](super::decode_into).
    ///
    /// # Errors
    /// [`Invalid`] with the offset of the first offending character, or where the room ends.
    pub fn decode_into(&self, text: &[u8], out: &mut [u8]) -> Result<usize, Invalid> {
        self.decode_uninit(text, arch::as_uninit(out)).map(|bytes| bytes.len())
    }

    /// Writes the text of `bytes` at the start of `space`, which must have room for it: [`encoded_len`].
    #[inline]
    pub(crate) fn encode_uninit<'s>(&self, bytes: &[u8], space: &'s mut [MaybeUninit<u8>]) -> &'s mut [u8] {
        arch::encode(self.tier, bytes, &mut space[..encoded_len(bytes.len())])
    }

    /// Writes the bytes of a whole text at the start of `space`, which need be no longer than they are.
    #[inline(always)] // as `arch::decode`
    pub(crate) fn decode_uninit<'s>(
        &self,
        text: &[u8],
        space: &'s mut [MaybeUninit<u8>],
    ) -> Result<&'s mut [u8], Invalid> {
        if let Some(body) = scalar::body(text)
            && decoded_len(body.len()) <= space.len()
        {
            let len = decoded_len(body.len());
            let mut room = Room::new(&mut space[..len]);
            room.decode(self.tier, Alphabet::Standard, body);
            if room.len() == len {
                return Ok(room.into_written());
            }
            return self.find_out(text, body, room);
        }
        self.find_out_at_the_end(text, space)
    }

    /// What is the matter with a text that is wrong at its end, or for which there is no room.
    #[cold]
    fn find_out_at_the_end<'s>(
        &self,
        text: &[u8],
        space: &'s mut [MaybeUninit<u8>],
    ) -> Result<&'s mut [u8], Invalid> {
        let whole = text.len() / 4;
        let groups = whole.min(space.len() / 3);
        if scalar::body(text).is_some() || groups + 2 < whole {
            return Err(Invalid { offset: groups * 4, what: "the decoded bytes do not fit the output" });
        }
        let mut room = Room::new(&mut space[..groups * 3]);
        room.decode(self.tier, Alphabet::Standard, &text[..groups * 4]);
        self.find_out(text, &text[..groups * 4], room)
    }

    /// What is the matter where the standard alphabet leads no further: the text is in the other one, or wrong. `room`
    /// holds the bytes of the groups before.
    ///
    /// # Cost
    /// At most one pass more over what comes before the place, and a few hundred characters one by one.
    #[cold]
    fn find_out<'s>(&self, text: &[u8], body: &[u8], mut room: Room<'s>) -> Result<&'s mut [u8], Invalid> {
        let (before, after) = body.split_at(room.len() / 3 * 4);
        let mut alphabet = None;
        if memchr::memchr2(b'+', b'/', before).is_some() {
            alphabet = Some(Alphabet::Standard);
        } else {
            let start = room.len();
            room.decode(self.tier, Alphabet::UrlSafe, after);
            let taken = (room.len() - start) / 3 * 4;
            if memchr::memchr2(b'-', b'_', &after[..taken]).is_some() {
                alphabet = Some(Alphabet::UrlSafe);
            }
        }
        // Whole groups only: what is more, the machine writes again.
        room.truncate(room.len() / 3 * 3);
        let at = room.len() / 3 * 4;
        let mut machine = Machine::resume(at, alphabet);
        for &byte in &text[at..] {
            machine.step(byte, &mut room)?;
        }
        machine.finish(&mut room)?;
        Ok(room.into_written())
    }
}
