//! JSON numbers by their digits, and the f64 nearest to one, at a cost that nobody can drive up.

use lexical_parse_float::FromLexical;

/// The parts of a JSON number.
pub(crate) struct Decimal<'a> {
    pub(crate) negative: bool,
    pub(crate) whole: &'a [u8],
    pub(crate) fraction: &'a [u8],
    /// Held within bounds that no message's digits can outweigh.
    pub(crate) exponent: i64,
}

impl<'a> Decimal<'a> {
    pub(crate) fn of(number: &'a [u8]) -> Self {
        let (negative, number) = match number.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, number),
        };
        let (mantissa, exponent) = match number.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (&number[..at], exponent(&number[at + 1..])),
            None => (number, 0),
        };
        let (whole, fraction) = match mantissa.iter().position(|&byte| byte == b'.') {
            Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
            None => (mantissa, &[][..]),
        };
        Self { negative, whole, fraction, exponent }
    }
}

/// The nearest f64: not by the standard library, which takes up to 50 microseconds for what lies in the middle of two, and
/// stops counting exponents at 655,360, as if nobody wrote so many zeros before or behind the digits.
pub(crate) fn nearest_f64(number: &[u8]) -> Option<f64> {
    f64::from_lexical(number).ok()
}

/// The value of an exponent's text.
fn exponent(digits: &[u8]) -> i64 {
    const BOUND: i64 = 1 << 40;
    let (sign, digits) = match digits {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        rest => (1, rest),
    };
    sign * digits.iter().fold(0, |value: i64, digit| (value * 10 + i64::from(digit - b'0')).min(BOUND))
}
