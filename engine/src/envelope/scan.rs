//! The JSON scans that the envelope needs: white space, strings, numbers, values to skip. Strict RFC 8259.
//!
//! A general parser would build a tree and touch every byte of `data` more than once; this reads each byte once
//! and keeps positions only.

use std::ops::Range;

use super::escape::hex4;
use super::names::Piece;
use crate::base64::arch::{Baseline, Level, PIECE, WINDOW, needs_escape};
use crate::limits::MAX_DEPTH;

/// What is wrong, and where. Small, so that the scanner's results stay in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScanError {
    pub(crate) offset: usize,
    pub(crate) what: &'static str,
}

pub(crate) type Scan<T> = Result<T, ScanError>;

/// A string's content, between the quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawString {
    pub(crate) range: Range<usize>,
    /// Whether it holds at least one backslash escape.
    pub(crate) escaped: bool,
}

/// The JSON type of a value, as its first byte tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    String,
    Number,
    Object,
    Array,
    Bool,
    Null,
}

/// Reads JSON from left to right. Invariant: `pos <= input.len()`.
///
/// Small, and copied where something is not inlined: no function may hold a reference to one, or it would have to live
/// in memory, and every step would wait for the position of the step before to come back from there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scanner<'a, L = Baseline> {
    input: &'a [u8],
    pos: usize,
    /// How strings are searched for their ends.
    level: L,
    /// Which [`WINDOW`] bytes `specials` is about: where they begin, a multiple of their number.
    window: usize,
    /// A bit for each of them that is a quote, a backslash, a control character or not ASCII.
    specials: u64,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self::at_level(Baseline, input)
    }
}

impl<'a, L: Level> Scanner<'a, L> {
    #[inline(always)]
    pub(crate) fn at_level(level: L, input: &'a [u8]) -> Self {
        Self { input, pos: 0, level, window: usize::MAX, specials: 0 }
    }

    pub(crate) fn pos(&self) -> usize {
        self.pos
    }

    pub(crate) fn input(&self) -> &'a [u8] {
        self.input
    }

    /// The next byte after white space, without consuming it.
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let byte = *self.input.get(self.pos)?;
        if byte > b' ' {
            return Some(byte);
        }
        self.pos = skip_space(self.input, self.pos);
        self.input.get(self.pos).copied()
    }

    /// Consumes `byte` after white space, or says that `what` was expected.
    #[inline(always)]
    pub(crate) fn expect(&mut self, byte: u8, what: &'static str) -> Scan<()> {
        if self.take(byte) { Ok(()) } else { self.fail(what) }
    }

    /// Consumes `byte` after white space if it is next.
    #[inline(always)]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.pos += usize::from(found);
        found
    }

    /// Consumes exactly these bytes if they are next.
    #[inline(always)]
    pub(crate) fn skip_exact(&mut self, bytes: &[u8]) -> bool {
        let found = self.input[self.pos..].starts_with(bytes);
        if found {
            self.pos += bytes.len();
        }
        found
    }

    /// The same for a piece of a message.
    #[inline(always)]
    pub(crate) fn skip_piece(&mut self, piece: &Piece) -> bool {
        let rest = &self.input[self.pos..];
        let found = match rest.first_chunk::<PIECE>() {
            Some(text) => self.level.matches(text, &piece.bytes, piece.mask),
            None => rest.starts_with(piece.as_bytes()),
        };
        if found {
            self.pos += piece.len;
        }
        found
    }

    /// The same if `next` follows it, which is not consumed.
    #[inline(always)]
    pub(crate) fn skip_piece_before(&mut self, piece: &Piece, next: u8) -> bool {
        self.input.get(self.pos + piece.len) == Some(&next) && self.skip_piece(piece)
    }

    /// [`skip_exact`](Self::skip_exact) if `next` follows, which is not consumed.
    #[inline(always)]
    pub(crate) fn skip_exact_before(&mut self, bytes: &[u8], next: u8) -> bool {
        self.input.get(self.pos + bytes.len()) == Some(&next) && self.skip_exact(bytes)
    }

    /// Consumes bytes that have been looked at: `end` is not beyond the input.
    #[inline(always)]
    pub(crate) fn skip_to(&mut self, end: usize) {
        debug_assert!((self.pos..=self.input.len()).contains(&end), "a position further on in the input");
        self.pos = end;
    }

    /// An error at the current position.
    #[inline(always)]
    pub(crate) fn fail<T>(&self, what: &'static str) -> Scan<T> {
        Err(ScanError { offset: self.pos, what })
    }

    /// The input must end here, but for white space.
    #[inline(always)]
    pub(crate) fn end(&mut self) -> Scan<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.fail("something follows the JSON value"),
        }
    }

    /// The type of the next value, which is not consumed.
    #[inline(always)]
    pub(crate) fn kind(&mut self) -> Scan<Kind> {
        match self.peek() {
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            Some(_) => self.fail("expected a JSON value"),
            None => self.fail("the text ends where a JSON value is expected"),
        }
    }

    /// A string: valid UTF-8, no raw control characters, whole escapes, paired surrogates.
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Scan<RawString> {
        self.expect(b'"', "expected a string")?;
        self.rest_of_string()
    }

    /// The same from behind the opening quote.
    #[inline(always)]
    pub(crate) fn rest_of_string(&mut self) -> Scan<RawString> {
        let start = self.pos;
        let end = self.special_from(start);
        if self.input.get(end) == Some(&b'"') {
            self.pos = end + 1;
            return Ok(RawString { range: start..end, escaped: false });
        }
        let (pos, escaped) = self.at(end).rest_of_unusual_string()?;
        self.pos = pos;
        Ok(RawString { range: start..pos - 1, escaped })
    }

    /// The same scanner elsewhere.
    #[inline(always)]
    fn at(self, pos: usize) -> Self {
        Self { pos, ..self }
    }

    /// The first position from `start` on that is not plain ASCII, but a quote, a backslash, a control character or more
    /// than ASCII; the input's length where there is none.
    ///
    /// The strings of a message are short and close to each other, so one look at a block of it tells the ends of several.
    /// The blocks are where they are, wherever strings begin: so the looks wait for nothing.
    #[inline(always)]
    fn special_from(&mut self, start: usize) -> usize {
        let window = start / WINDOW * WINDOW;
        if self.window != window {
            self.look_at(window);
        }
        let found = self.specials >> (start % WINDOW);
        if found != 0 {
            return start + found.trailing_zeros() as usize;
        }
        let next = window + WINDOW;
        if next >= self.input.len() {
            return self.input.len();
        }
        self.look_at(next);
        if self.specials != 0 {
            return next + self.specials.trailing_zeros() as usize;
        }
        self.input.len().min(next + WINDOW)
            + self.level.special(self.input.get(next + WINDOW..).unwrap_or_default())
    }

    #[inline(always)]
    fn look_at(&mut self, window: usize) {
        self.window = window;
        let rest = &self.input[window..];
        self.specials = match rest.first_chunk() {
            Some(block) => self.level.specials(block),
            None => self.level.specials_of_some(rest),
        };
    }

    /// Goes on to the end of a string where it has something else than plain ASCII: the position behind it, and whether
    /// it holds escapes.
    #[inline(never)]
    fn rest_of_unusual_string(mut self) -> Scan<(usize, bool)> {
        let mut escaped = false;
        loop {
            match self.input.get(self.pos) {
                Some(b'"') => return Ok((self.pos + 1, escaped)),
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                    // Escapes come in rows, and then there is nothing to search for.
                    if !matches!(self.input.get(self.pos), Some(b'\\' | b'"')) {
                        self.pos += self.level.special(&self.input[self.pos..]);
                    }
                }
                Some(0x80..) => {
                    let rest = &self.input[self.pos..];
                    let run = &rest[..run_without_escapes(rest)];
                    if let Err(error) = std::str::from_utf8(run) {
                        self.pos += error.valid_up_to();
                        return self.fail("invalid UTF-8");
                    }
                    self.pos += run.len();
                }
                Some(_) => return self.fail("a control character inside a string must be escaped"),
                None => return self.fail("the text ends inside a string"),
            }
        }
    }

    /// One escape sequence, or the two of a surrogate pair; `pos` is at the backslash.
    fn escape(&mut self) -> Scan<()> {
        let at = self.pos;
        match self.input.get(self.pos + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.pos += 2;
                Ok(())
            }
            Some(b'u') => {
                let unit = self.hex_unit(at)?;
                match unit {
                    0xD800..=0xDBFF => {
                        let low = self.pos;
                        if self.input[low..].starts_with(b"\\u")
                            && matches!(self.hex_unit(low)?, 0xDC00..=0xDFFF)
                        {
                            Ok(())
                        } else {
                            Err(ScanError { offset: at, what: "a high surrogate without its low half" })
                        }
                    }
                    0xDC00..=0xDFFF => {
                        Err(ScanError { offset: at, what: "a low surrogate without its high half" })
                    }
                    _ => Ok(()),
                }
            }
            Some(_) => self.fail("unknown escape sequence"),
            None => self.fail("the text ends inside an escape sequence"),
        }
    }

    /// The code unit of `\uXXXX` at `at`; `pos` moves behind it.
    fn hex_unit(&mut self, at: usize) -> Scan<u16> {
        let unit = self.input.get(at + 2..at + 6).and_then(hex4);
        match unit {
            Some(unit) => {
                self.pos = at + 6;
                Ok(unit)
            }
            None => {
                Err(ScanError { offset: at, what: "expected four hexadecimal digits after the escape's u" })
            }
        }
    }

    /// A number, by RFC 8259's grammar; any length and magnitude.
    #[inline(always)]
    pub(crate) fn number(&mut self) -> Scan<Range<usize>> {
        self.peek();
        let start = self.pos;
        self.pos += usize::from(self.input.get(self.pos) == Some(&b'-'));
        match self.input.get(self.pos) {
            Some(b'0') => self.pos += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return self.fail("expected a digit"),
        }
        if self.input.get(self.pos) == Some(&b'.') {
            self.pos += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.input.get(self.pos) {
            self.pos += 1;
            if let Some(b'+' | b'-') = self.input.get(self.pos) {
                self.pos += 1;
            }
            self.some_digits()?;
        }
        if let Some(b'0'..=b'9') = self.input.get(self.pos) {
            return self.fail("a number must not have leading zeros");
        }
        Ok(start..self.pos)
    }

    #[inline(always)]
    fn digits(&mut self) {
        let rest = &self.input[self.pos..];
        self.pos += rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    }

    #[inline(always)]
    fn some_digits(&mut self) -> Scan<()> {
        let start = self.pos;
        self.digits();
        if self.pos == start { self.fail("expected a digit") } else { Ok(()) }
    }

    /// `true`, `false` or `null`.
    #[inline(always)]
    pub(crate) fn literal(&mut self) -> Scan<()> {
        self.peek();
        for word in [b"true".as_slice(), b"false", b"null"] {
            if self.input[self.pos..].starts_with(word) {
                self.pos += word.len();
                return Ok(());
            }
        }
        self.fail("expected a JSON value")
    }

    /// Any value, checked to its end; its slice of the input. `depth` is the depth at which it stands: 1 for the
    /// outermost. No recursion: the open brackets are bits of a word, as deep as the format allows.
    #[inline(always)]
    pub(crate) fn value(&mut self, depth: usize) -> Scan<Range<usize>> {
        let value = self.value_from_here(depth)?;
        self.pos = value.end;
        Ok(value)
    }

    #[inline(never)]
    fn value_from_here(mut self, depth: usize) -> Scan<Range<usize>> {
        // Bit n tells whether the bracket n levels up from the innermost is an object's.
        let mut objects: u128 = 0;
        let mut open: usize = 0;
        self.peek();
        let start = self.pos;
        'value: loop {
            match self.kind()? {
                Kind::String => {
                    self.string()?;
                }
                Kind::Number => {
                    self.number()?;
                }
                Kind::Bool | Kind::Null => self.literal()?,
                kind @ (Kind::Object | Kind::Array) => {
                    if depth + open > MAX_DEPTH {
                        return self.fail(TOO_DEEP);
                    }
                    let object = kind == Kind::Object;
                    self.pos += 1;
                    if !self.take(if object { b'}' } else { b']' }) {
                        open += 1;
                        objects = objects << 1 | u128::from(object);
                        if object {
                            self.key()?;
                        }
                        continue 'value;
                    }
                }
            }
            // A value has ended: close what ends with it, or go on to the next one.
            while open > 0 {
                let object = objects & 1 == 1;
                if self.take(b',') {
                    if object {
                        self.key()?;
                    }
                    continue 'value;
                }
                if object {
                    self.expect(b'}', "expected a comma or the end of the object")?;
                } else {
                    self.expect(b']', "expected a comma or the end of the array")?;
                }
                open -= 1;
                objects >>= 1;
            }
            return Ok(start..self.pos);
        }
    }

    /// The same where the slice is of no interest.
    #[inline(always)]
    pub(crate) fn skip(&mut self, depth: usize) -> Scan<()> {
        self.value(depth).map(|_| ())
    }

    /// A key as nearly all are: plain, next, and with its colon behind it. Consumes both; its range.
    #[inline(always)]
    pub(crate) fn compact_key(&mut self) -> Option<Range<usize>> {
        let key = self.plain_key()?;
        if self.input.get(key.end..key.end + 2) != Some(b"\":") {
            return None;
        }
        self.pos = key.end + 2;
        Some(key)
    }

    /// The range of the next key, if it is plain and a string follows it, all without white space. Consumes nothing.
    #[inline(always)]
    pub(crate) fn compact_string_key(&mut self) -> Option<Range<usize>> {
        let key = self.plain_key()?;
        (self.input.get(key.end..key.end + 3) == Some(b"\":\"")).then_some(key)
    }

    /// What stands next between a quote and whatever ends plain text.
    #[inline(always)]
    fn plain_key(&mut self) -> Option<Range<usize>> {
        if self.input.get(self.pos) != Some(&b'"') {
            return None;
        }
        let start = self.pos + 1;
        Some(start..self.special_from(start))
    }

    /// A key and its colon.
    #[inline(always)]
    pub(crate) fn key(&mut self) -> Scan<RawString> {
        if self.peek() != Some(b'"') {
            return self.fail("expected a key");
        }
        let key = self.string()?;
        self.expect(b':', "expected a colon after the key")?;
        Ok(key)
    }
}

/// The first position from `pos` on that is no white space. By value, so that a scanner can stay in registers.
#[inline(never)]
fn skip_space(input: &[u8], pos: usize) -> usize {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    pos + input[pos..].iter().take_while(|byte| is_space(byte)).count()
}

pub(crate) const TOO_DEEP: &str = "nested too deeply";

/// Checks that `text` is one JSON value of at most [`MAX_DEPTH`], and nothing else.
pub(crate) fn check(text: &[u8]) -> Scan<()> {
    check_at(text, 1)
}

/// The same for a value that will stand at `depth`.
pub(crate) fn check_at(text: &[u8], depth: usize) -> Scan<()> {
    if text.starts_with(b"\xEF\xBB\xBF") {
        return Err(ScanError { offset: 0, what: "a byte order mark is not allowed" });
    }
    let mut scanner = Scanner::new(text);
    scanner.value(depth)?;
    scanner.end()
}

/// Checks that `text` is one JSON array of objects, and nothing else.
pub(crate) fn check_rows(text: &[u8]) -> Scan<()> {
    let mut scanner = Scanner::new(text);
    if scanner.kind()? != Kind::Array {
        return scanner.fail("rows must be an array of objects");
    }
    scanner.take(b'[');
    if !scanner.take(b']') {
        loop {
            if scanner.kind()? != Kind::Object {
                return scanner.fail("a row must be an object");
            }
            scanner.skip(2)?;
            if !scanner.take(b',') {
                scanner.expect(b']', "expected a comma or the end of the array")?;
                break;
            }
        }
    }
    scanner.end()
}

/// How many bytes at the start of `bytes` are neither a quote, a backslash nor a control character.
///
/// The blocks are written so that the compiler turns them into vector code: long text that is not ASCII is read at the
/// speed of memory too.
#[inline]
fn run_without_escapes(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks::<64>();
    let clean = |block: &[u8; 64]| !block.iter().fold(false, |found, byte| found | needs_escape(*byte));
    let at = blocks.iter().position(|block| !clean(block)).unwrap_or(blocks.len()) * 64;
    let rest = &bytes[at..];
    at + rest.iter().position(|byte| needs_escape(*byte)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_string_is_found_whole_at_every_length_and_end() {
        for len in 0..200 {
            for (last, ok) in [("\"", true), ("\n\"", false), ("\\n\"", true), ("é\"", true), ("", false)] {
                let text = format!("\"{}{last} ", "a".repeat(len));
                let mut scanner = Scanner::new(text.as_bytes());
                assert_eq!(scanner.string().is_ok(), ok, "{text}");
            }
        }
    }

    #[test]
    fn surrogates_must_come_in_pairs() {
        for (text, ok) in [
            (r#""\ud83d\ude00""#, true),
            (r#""\ud83d""#, false),
            (r#""\ude00""#, false),
            (r#""\ud83d\ud83d""#, false),
            (r#""\ud83dx""#, false),
            (r#""\ud83d\n""#, false),
            (r#""\uD83D\uDE0""#, false),
            (r#""\u00e9""#, true),
            (r#""\u00g9""#, false),
        ] {
            assert_eq!(check(text.as_bytes()).is_ok(), ok, "{text}");
        }
    }

    #[test]
    fn depth_is_counted_from_one_and_bounded() {
        for (depth, ok) in [(1, true), (127, true), (128, true), (129, false), (100_000, false)] {
            let text = "[".repeat(depth) + &"]".repeat(depth);
            assert_eq!(check(text.as_bytes()).is_ok(), ok, "{depth}");
            let mixed = "{\"a\":[".repeat(depth / 2) + "1" + &"]}".repeat(depth / 2);
            assert_eq!(check(mixed.as_bytes()).is_ok(), depth / 2 * 2 <= 128, "{depth}");
        }
    }

    #[test]
    fn offsets_point_at_the_offending_byte() {
        for (text, offset) in [
            ("[1,]", 3),
            ("{\"a\" 1}", 5),
            ("[01]", 2),
            ("[1.]", 3),
            ("[1e]", 3),
            ("tru", 0),
            ("[\"\u{1}\"]", 2),
            ("{} x", 3),
            ("", 0),
            ("{\"a\":1,}", 7),
            ("[\"a\\x\"]", 3),
        ] {
            assert_eq!(check(text.as_bytes()).unwrap_err().offset, offset, "{text}");
        }
        assert_eq!(check(b"[\"ab\xff\"]").unwrap_err().offset, 4);
    }

    proptest! {
        #[test]
        fn accepts_what_serde_json_accepts(text in r#"[\[\]{}",:0-9eE.+\-\\untrfalsb/ \n\u{7f}é]{0,40}"#) {
            // serde_json's IgnoredAny does not look at surrogates; a String does, so this reads the value whole.
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            let overflow = theirs.as_ref().err().is_some_and(|e| e.to_string().contains("out of range"));
            if !overflow {
                prop_assert_eq!(check(text.as_bytes()).is_ok(), theirs.is_ok(), "{}", text);
            }
        }
    }
}
