//! The rules, one character at a time: what the fast paths leave over, and what finds the offset of an error.

use std::fmt;
use std::mem::MaybeUninit;

/// Base64 text that breaks the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invalid {
    /// The position of the first offending character, from 0; the text's length where something is missing at its end.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at character {})", self.what, self.offset)
    }
}

impl std::error::Error for Invalid {}

/// Which of the two alphabets a text has shown itself to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alphabet {
    Standard,
    UrlSafe,
}

/// The six bits of a character, and the alphabet that it belongs to if only one has it.
pub(super) const fn sextet(byte: u8) -> Option<(u8, Option<Alphabet>)> {
    Some(match byte {
        b'A'..=b'Z' => (byte - b'A', None),
        b'a'..=b'z' => (byte - b'a' + 26, None),
        b'0'..=b'9' => (byte - b'0' + 52, None),
        b'+' => (62, Some(Alphabet::Standard)),
        b'/' => (63, Some(Alphabet::Standard)),
        b'-' => (62, Some(Alphabet::UrlSafe)),
        b'_' => (63, Some(Alphabet::UrlSafe)),
        _ => return None,
    })
}

/// The text without its newline and its padding, if both are as they must be; the alphabet is not looked at.
#[inline]
pub(super) fn body(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_suffix(b"\n").map_or(text, |text| text.strip_suffix(b"\r").unwrap_or(text));
    match text {
        [body @ .., b'=', b'='] if body.len() % 4 == 2 => Some(body),
        [body @ .., b'='] if body.len() % 4 == 3 => Some(body),
        [.., b'='] => None,
        body if body.len() % 4 != 1 => Some(body),
        _ => None,
    }
}

pub(super) const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Writes the padded text of `bytes`, which fills `space`.
pub(super) fn encode(bytes: &[u8], space: &mut [MaybeUninit<u8>]) {
    let (groups, tail) = bytes.as_chunks::<3>();
    let (texts, _) = space.as_chunks_mut::<4>();
    for (&[a, b, c], text) in groups.iter().zip(texts.iter_mut()) {
        *text = letters(u32::from_be_bytes([0, a, b, c])).map(MaybeUninit::new);
    }
    let (bits, padding) = match *tail {
        [a] => (u32::from_be_bytes([0, a, 0, 0]), 2),
        [a, b] => (u32::from_be_bytes([0, a, b, 0]), 1),
        _ => return,
    };
    if let Some(last) = texts.last_mut() {
        *last = letters(bits).map(MaybeUninit::new);
        last[4 - padding..].fill(MaybeUninit::new(b'='));
    }
}

/// The four letters of 24 bits.
fn letters(bits: u32) -> [u8; 4] {
    [18, 12, 6, 0].map(|shift| STANDARD[(bits >> shift & 0x3F) as usize])
}

/// Writes the bytes of the groups at the start of `body` that are of this alphabet alone, and returns their number;
/// `space` is as long as the bytes of all. An unfinished group must be the last, and without spare bits.
pub(super) fn decode(alphabet: Alphabet, body: &[u8], space: &mut [MaybeUninit<u8>]) -> usize {
    let values = match alphabet {
        Alphabet::Standard => &STANDARD_VALUES,
        Alphabet::UrlSafe => &URL_SAFE_VALUES,
    };
    let value = |character: u8| u32::from(values[usize::from(character)]);
    let (groups, tail) = body.as_chunks::<4>();
    let (bytes, last) = space.as_chunks_mut::<3>();
    for (at, (&[a, b, c, d], bytes)) in groups.iter().zip(bytes).enumerate() {
        let [wrong, all @ ..] = group(value(a), value(b), value(c), value(d));
        if wrong != 0 {
            return at * 3;
        }
        *bytes = all.map(MaybeUninit::new);
    }
    let done = groups.len() * 3;
    let [wrong, all @ ..] = match *tail {
        [a, b] => group(value(a), value(b), 0, 0),
        [a, b, c] => group(value(a), value(b), value(c), 0),
        _ => return done,
    };
    let (whole, spare) = all.split_at(last.len());
    if wrong != 0 || spare.iter().any(|&byte| byte != 0) {
        return done;
    }
    for (space, &byte) in last.iter_mut().zip(whole) {
        space.write(byte);
    }
    done + whole.len()
}

/// The 24 bits of four values, below a byte that is not zero if one of them is not six bits.
fn group(a: u32, b: u32, c: u32, d: u32) -> [u8; 4] {
    let wrong = (a | b | c | d) & u32::from(WRONG);
    (wrong << 24 | (a & 0x3F) << 18 | (b & 0x3F) << 12 | (c & 0x3F) << 6 | d & 0x3F).to_be_bytes()
}

/// Stands for the value of a character that is not of the alphabet. Not a value of six bits.
pub(super) const WRONG: u8 = 0x80;

static STANDARD_VALUES: [u8; 256] = values(Alphabet::Standard);
static URL_SAFE_VALUES: [u8; 256] = values(Alphabet::UrlSafe);

/// The value of each character, or [`WRONG`].
pub(super) const fn values(alphabet: Alphabet) -> [u8; 256] {
    let mut values = [WRONG; 256];
    let mut character = 0;
    while character < values.len() {
        values[character] = match (sextet(character as u8), alphabet) {
            (Some((value, None)), _)
            | (Some((value, Some(Alphabet::Standard))), Alphabet::Standard)
            | (Some((value, Some(Alphabet::UrlSafe))), Alphabet::UrlSafe) => value,
            _ => WRONG,
        };
        character += 1;
    }
    values
}

/// Where decoded bytes go.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

/// The decoder as a state machine over single characters.
#[derive(Debug, Clone, Default)]
pub(super) struct Machine {
    /// How many characters went in.
    pub(super) offset: usize,
    /// The characters of the unfinished group, 0 to 3 of them, as bits, the newest lowest.
    bits: u32,
    pub(super) count: u8,
    /// Where the newest character of the group stands, for the error about its spare bits.
    last: usize,
    pub(super) alphabet: Option<Alphabet>,
    tail: Tail,
}

/// How far the text has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Tail {
    #[default]
    Body,
    /// One `=` more is needed.
    Pad,
    /// The group is complete; only a newline may follow.
    Padded,
    /// A CR wants its LF.
    Cr,
    End,
}

impl Machine {
    /// As after `offset` characters of whole groups, in which this much was seen of the alphabet.
    pub(super) fn resume(offset: usize, alphabet: Option<Alphabet>) -> Self {
        Self { offset, alphabet, ..Self::default() }
    }

    /// Whether characters of the body may follow and none is held back, so that a fast path may take over.
    pub(super) fn is_aligned(&self) -> bool {
        self.count == 0 && self.tail == Tail::Body
    }

    pub(super) fn step(&mut self, byte: u8, out: &mut impl Sink) -> Result<(), Invalid> {
        let fail = |what| Err(Invalid { offset: self.offset, what });
        self.tail = match (self.tail, byte) {
            (Tail::Body, b'=') => match self.count {
                2 => {
                    self.flush(out)?;
                    Tail::Pad
                }
                3 => {
                    self.flush(out)?;
                    Tail::Padded
                }
                _ => return fail("padding where none belongs"),
            },
            (Tail::Pad, b'=') => Tail::Padded,
            (Tail::Pad, _) => return fail("one more padding character is needed here"),
            (Tail::Body | Tail::Padded | Tail::Cr, b'\n') => {
                self.flush(out)?;
                Tail::End
            }
            (Tail::Body | Tail::Padded, b'\r') => {
                self.flush(out)?;
                Tail::Cr
            }
            (Tail::Padded, b'=') => return fail("surplus padding"),
            (Tail::Padded, _) => return fail("data after the padding"),
            (Tail::Cr, _) => return fail("a carriage return must be followed by a line feed"),
            (Tail::End, _) => return fail("nothing may follow the newline at the end"),
            (Tail::Body, _) => {
                let Some((bits, alphabet)) = sextet(byte) else {
                    return fail("not a base64 character");
                };
                if let Some(alphabet) = alphabet
                    && *self.alphabet.get_or_insert(alphabet) != alphabet
                {
                    return fail("both base64 alphabets in one text");
                }
                self.bits = self.bits << 6 | u32::from(bits);
                self.count += 1;
                self.last = self.offset;
                if self.count == 4 {
                    let [_, bytes @ ..] = self.bits.to_be_bytes();
                    out.put(&bytes);
                    (self.bits, self.count) = (0, 0);
                }
                Tail::Body
            }
        };
        self.offset += 1;
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut impl Sink) -> Result<(), Invalid> {
        match self.tail {
            Tail::Pad => {
                Err(Invalid { offset: self.offset, what: "one more padding character is needed here" })
            }
            Tail::Cr => Err(Invalid {
                offset: self.offset,
                what: "a carriage return must be followed by a line feed",
            }),
            Tail::Body => self.flush(out),
            Tail::Padded | Tail::End => Ok(()),
        }
    }

    /// Ends the body: writes the bytes of an unfinished group of two or three characters. Does nothing a second time.
    fn flush(&mut self, out: &mut impl Sink) -> Result<(), Invalid> {
        let (group, len) = match self.count {
            0 => return Ok(()),
            // 12 bits, of which 4 are spare, or 18 with 2; moved up to three whole bytes.
            2 => (self.bits << 12, 1),
            3 => (self.bits << 6, 2),
            _ => {
                let what = "the text ends with a single character, which is less than a byte";
                return Err(Invalid { offset: self.offset, what });
            }
        };
        let [_, bytes @ ..] = group.to_be_bytes();
        let (bytes, spare) = bytes.split_at(len);
        if spare.iter().any(|&byte| byte != 0) {
            return Err(Invalid {
                offset: self.last,
                what: "the last character has spare bits that are not zero",
            });
        }
        out.put(bytes);
        (self.bits, self.count) = (0, 0);
        Ok(())
    }
}
