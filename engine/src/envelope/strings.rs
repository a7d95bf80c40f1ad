//! The strings of a message: where they stand, and where their escapes go.

use std::ops::Range;

use super::escape::{unescape_into, unescaped_len};
use super::names::{WORD_LEN, Word};
use super::scan::{RawString, Scan, Scanner};
use super::{Span, Text};
use crate::base64::arch::Level;

#[inline(always)]
pub(super) fn string<L: Level>(scanner: &mut Scanner<'_, L>, resolved: &mut Resolved<'_>) -> Scan<Text> {
    scanner.expect(b'"', "expected a string")?;
    rest_of_text(scanner, resolved)
}

/// A string from behind its opening quote.
#[inline(always)]
pub(super) fn rest_of_text<L: Level>(
    scanner: &mut Scanner<'_, L>,
    resolved: &mut Resolved<'_>,
) -> Scan<Text> {
    let RawString { range, escaped } = scanner.rest_of_string()?;
    Ok(if escaped { resolved.resolve(scanner.input(), range) } else { Text::in_body(span(&range)) })
}

/// Where strings that hold escapes go.
pub(super) struct Resolved<'a> {
    pub(super) text: &'a mut Vec<u8>,
    pub(super) max_name: usize,
}

impl Resolved<'_> {
    /// A text that is too long stays where it is, escapes and all: `bounds` refuses the message for it.
    #[inline(never)]
    fn resolve(&mut self, input: &[u8], range: Range<usize>) -> Text {
        let raw = &input[range.clone()];
        // No escape is longer than six times what it stands for: most of what is too long need not be counted.
        let len = if raw.len() / 6 > self.max_name { usize::MAX } else { unescaped_len(raw) };
        if len > self.max_name {
            return Text::in_body(span(&range));
        }
        let start = self.text.len();
        self.text.reserve(len);
        unescape_into(raw, self.text);
        Text::in_resolved(span(&(start..self.text.len())))
    }
}

/// A key that holds escapes.
#[inline(never)]
pub(super) fn resolved_word(raw: &[u8]) -> Word {
    if unescaped_len(raw) > WORD_LEN {
        return Word::NONE;
    }
    let mut resolved = Vec::new();
    unescape_into(raw, &mut resolved);
    Word::new(&resolved)
}

/// Positions fit 32 bits: `decode` refuses longer messages, and resolved text is never longer than its escapes.
pub(super) fn span(range: &Range<usize>) -> Span {
    Span { start: range.start as u32, end: range.end as u32 }
}
