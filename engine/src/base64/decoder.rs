//! Base64 to bytes in pieces.

use super::scalar::{Alphabet, Invalid, Machine};

/// Characters that the fast path takes at once: if it fails, so many are read again one by one to find out why. Chosen:
/// large enough that the calls do not count, small enough that a hostile text costs little more than a plain one.
const BLOCK: usize = 16 * 1024;

/// Decodes text that comes in pieces of any size; the bytes, and the offset of an error, are the same as for one piece.
///
/// Call [`update`](Self::update) for each piece, in order, then [`finish`](Self::finish) once. After an error the
/// decoder is of no more use.
///
/// # Examples
/// ```
/// use natsbridge::base64::Decoder;
///
/// let mut out = Vec::new();
/// let mut decoder = Decoder::new();
/// decoder.update(b"SGVsb", &mut out)?;
/// decoder.update(b"G8=", &mut out)?;
/// decoder.finish(&mut out)?;
/// assert_eq!(out, b"Hello");
/// # Ok::<(), natsbridge::base64::Invalid>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    machine: Machine,
}

impl Decoder {
    /// A decoder at the start of a text.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the bytes of all whole groups of four characters; holds back at most three characters.
    ///
    /// # Errors
    /// [`Invalid`] at the first offending character, counted from the start of the text; the bytes before its group
    /// have been appended.
    pub fn update(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
        // What surely holds no padding and no line end: all but what may be the end of the text.
        let plain = memchr::memchr3(b'=', b'\n', b'\r', text).unwrap_or(text.len());
        let mut at = 0;
        while at < text.len() {
            if self.machine.is_aligned() && plain >= at + 4 {
                let len = (plain - at).min(BLOCK) / 4 * 4;
                let groups = &text[at..at + len];
                at += if self.groups(groups, out) { len } else { self.step_by_step(groups, out)? };
            } else {
                self.machine.step(text[at], out)?;
                at += 1;
            }
        }
        Ok(())
    }

    /// Takes whole groups in one go if they are all of one alphabet, and of the one that came before.
    fn groups(&mut self, groups: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let decoded = match self.machine.alphabet {
            None | Some(Alphabet::Standard) => base64_simd::STANDARD_NO_PAD.decode_append(groups, out),
            Some(Alphabet::UrlSafe) => base64_simd::URL_SAFE_NO_PAD.decode_append(groups, out),
        };
        if decoded.is_err() {
            out.truncate(start);
            return false;
        }
        if self.machine.alphabet.is_none() && memchr::memchr2(b'+', b'/', groups).is_some() {
            self.machine.alphabet = Some(Alphabet::Standard);
        }
        self.machine.offset += groups.len();
        true
    }

    /// Goes on where the fast path has failed: to the error, or until the text has shown its alphabet, so that the
    /// fast path can be tried again with the right one. Happens at most twice in a text, for one block each time.
    fn step_by_step(&mut self, groups: &[u8], out: &mut Vec<u8>) -> Result<usize, Invalid> {
        let known = self.machine.alphabet;
        for (at, &byte) in groups.iter().enumerate() {
            if self.machine.alphabet != known && self.machine.is_aligned() {
                return Ok(at);
            }
            self.machine.step(byte, out)?;
        }
        Ok(groups.len())
    }

    /// Ends the text: appends what was held back, and judges its padding.
    ///
    /// # Errors
    /// [`Invalid`] if the text may not end here.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Invalid> {
        self.machine.finish(out)?;
        *self = Self::new();
        Ok(())
    }
}
