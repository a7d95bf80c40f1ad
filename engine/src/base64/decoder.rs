//! Base64 to bytes in pieces.

use super::scalar::{Alphabet, Invalid, Machine};
use super::{Buffer, Codec, arch};

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
    codec: Codec,
    machine: Machine,
}

impl Decoder {
    /// A decoder at the start of a text, by the tier of the process.
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn by(codec: Codec) -> Self {
        Self { codec, machine: Machine::default() }
    }

    /// Appends the bytes of all whole groups of four characters; holds back at most three characters.
    ///
    /// # Errors
    /// [`Invalid`] at the first offending character, counted from the start of the text; the bytes before its group
    /// have been appended.
    pub fn update(&mut self, text: &[u8], out: &mut impl Buffer) -> Result<(), Invalid> {
        let mut rest = text;
        while let [byte, after @ ..] = rest {
            let len = if self.machine.is_aligned() { groups_len(rest) } else { 0 };
            if len == 0 {
                self.machine.step(*byte, out)?;
                rest = after;
                continue;
            }
            let taken = self.groups(&rest[..len], out);
            rest = &rest[taken..];
            if taken < len {
                rest = self.step_by_step(rest, out)?;
            }
        }
        Ok(())
    }

    /// Takes whole groups as long as they are of the alphabet that came before, or, if none came, of the standard one;
    /// returns how many characters that were.
    fn groups(&mut self, groups: &[u8], out: &mut impl Buffer) -> usize {
        let alphabet = self.machine.alphabet.unwrap_or(Alphabet::Standard);
        let taken = arch::decode_append(self.codec.tier_proof(), alphabet, groups, out) / 3 * 4;
        if self.machine.alphabet.is_none() && memchr::memchr2(b'+', b'/', &groups[..taken]).is_some() {
            self.machine.alphabet = Some(Alphabet::Standard);
        }
        self.machine.offset += taken;
        taken
    }

    /// Goes on where the groups were not taken: to the error, or until the text has shown its alphabet, so that they can
    /// be tried again with the right one. Happens at most twice in a text, for a few hundred characters each time;
    /// for a few thousand in the portable tier. Returns what it leaves over.
    fn step_by_step<'t>(&mut self, text: &'t [u8], out: &mut impl Buffer) -> Result<&'t [u8], Invalid> {
        let known = self.machine.alphabet;
        let mut rest = text;
        while let [byte, after @ ..] = rest {
            if self.machine.alphabet != known && self.machine.is_aligned() {
                break;
            }
            self.machine.step(*byte, out)?;
            rest = after;
        }
        Ok(rest)
    }

    /// Ends the text: appends what was held back, and judges its padding.
    ///
    /// # Errors
    /// [`Invalid`] if the text may not end here.
    pub fn finish(&mut self, out: &mut impl Buffer) -> Result<(), Invalid> {
        self.machine.finish(out)?;
        self.machine = Machine::default();
        Ok(())
    }
}

/// The length of the whole groups at the start of the text, without what may be its end: at most two characters of
/// padding and a line end.
fn groups_len(text: &[u8]) -> usize {
    let ending = text.iter().rev().take(4).take_while(|byte| matches!(byte, b'=' | b'\r' | b'\n')).count();
    (text.len() - ending) / 4 * 4
}
