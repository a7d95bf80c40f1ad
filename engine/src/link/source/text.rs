//! Text on its way out: bytes that are not UTF-8 end it.

use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::Pieces;
use crate::{Error, ErrorKind, Result};

/// Pieces that together must be UTF-8; a character may be cut between two.
pub(super) struct Text {
    pieces: Box<dyn Pieces>,
    check: Check,
}

impl Text {
    pub(super) fn new(pieces: Box<dyn Pieces>) -> Self {
        Self { pieces, check: Check::default() }
    }
}

impl Pieces for Text {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        Poll::Ready(match ready!(self.pieces.poll_piece(cx)) {
            Some(Ok(piece)) => Some(self.check.piece(&piece).map(|()| piece)),
            None => self.check.end().err().map(Err),
            failed => failed,
        })
    }
}

#[derive(Default)]
struct Check {
    /// The beginning of a character, at most three bytes.
    begun: Vec<u8>,
    /// Bytes before `begun`.
    checked: u64,
}

impl Check {
    fn piece(&mut self, mut bytes: &[u8]) -> Result<()> {
        while let (false, Some((&next, rest))) = (self.begun.is_empty(), bytes.split_first()) {
            self.begun.push(next);
            bytes = rest;
            match std::str::from_utf8(&self.begun) {
                Ok(_) => {
                    self.checked += self.begun.len() as u64;
                    self.begun.clear();
                }
                Err(error) if error.error_len().is_some() => return Err(self.invalid()),
                Err(_) => {} // still only begun
            }
        }
        match std::str::from_utf8(bytes) {
            Ok(_) => self.checked += bytes.len() as u64,
            Err(error) => {
                self.checked += error.valid_up_to() as u64;
                if error.error_len().is_some() {
                    return Err(self.invalid());
                }
                self.begun.extend_from_slice(&bytes[error.valid_up_to()..]);
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if self.begun.is_empty() { Ok(()) } else { Err(self.invalid()) }
    }

    fn invalid(&self) -> Error {
        Error::new(ErrorKind::InvalidInput, "the text is not valid UTF-8").at(self.checked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The offset of the error, or `None` for text.
    fn check<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<u64> {
        let mut check = Check::default();
        let checked = pieces.into_iter().try_for_each(|piece| check.piece(piece)).and_then(|()| check.end());
        checked.err().map(|error| error.offset().unwrap())
    }

    #[test]
    fn every_cut_gives_the_same_answer_as_the_whole() {
        let mut invalid = 0;
        for bytes in [
            &b"plain"[..],
            "é日𝄞x".as_bytes(),
            b"",
            b"a\xff",
            b"\xe6\x97",
            b"ab\xe6\x97z",
            b"\xf0\x9d\x84\x9e\xf0\x9d",
            b"\xed\xa0\x80",
            b"\xc0\xaf",
        ] {
            let expected = std::str::from_utf8(bytes).err().map(|error| error.valid_up_to() as u64);
            invalid += usize::from(expected.is_some());
            for first in 0..=bytes.len() {
                for second in first..=bytes.len() {
                    let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                    assert_eq!(check(pieces), expected, "{bytes:?} cut at {first} and {second}");
                }
            }
            assert_eq!(check(bytes.chunks(1)), expected, "{bytes:?} byte by byte");
        }
        assert_eq!(invalid, 6);
    }
}
