//! A payload's `size`: a whole number, judged by its value and not by how it is written.

use crate::decimal::Decimal;

/// A whole number as this crate writes it, of up to 18 digits, and their count, if a comma follows; anything else is left
/// to the general path.
#[inline(always)]
pub(super) fn plain_integer(text: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (at, &byte) in text.iter().enumerate().take(19) {
        match byte {
            b'0'..=b'9' if at < 18 && (at != 1 || value != 0) => value = value * 10 + u64::from(byte - b'0'),
            b',' if at > 0 => return Some((value, at)),
            _ => return None,
        }
    }
    None
}

/// The value of a JSON number if it is a whole number from 0 to 2^63-1, however it is spelt: `12`, `12.0`, `1.2e1`.
pub(super) fn integer(number: &[u8]) -> Option<u64> {
    let Decimal { negative, whole, fraction, exponent } = Decimal::of(number);
    // The digits without the point, and where the point belongs among them.
    let mut point = whole.len() as i64 + exponent;
    let mut digits = whole.iter().chain(fraction);
    let mut value: u64 = 0;
    loop {
        match digits.next() {
            Some(&digit) if point > 0 => {
                value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
                point -= 1;
            }
            // Behind the point only zeros keep the number whole.
            Some(b'0') => {}
            Some(_) => return None,
            None => break,
        }
    }
    while point > 0 && value != 0 {
        value = value.checked_mul(10)?;
        point -= 1;
    }
    (value <= i64::MAX as u64 && !(negative && value != 0)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_judged_by_its_value() {
        for (text, value) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("12", Some(12)),
            ("12.0", Some(12)),
            ("1.2e1", Some(12)),
            ("120e-1", Some(12)),
            ("1e3", Some(1000)),
            ("0e999999999999", Some(0)),
            ("0.0e5", Some(0)),
            ("9223372036854775807", Some(i64::MAX as u64)),
            ("9223372036854775808", None),
            ("1e19", None),
            ("1e999999999999999999999", None),
            ("-1", None),
            ("1.5", None),
            ("15e-1", None),
            ("1e-1", None),
            ("0.1e1", Some(1)),
            ("18446744073709551616", None),
        ] {
            assert_eq!(integer(text.as_bytes()), value, "{text}");
        }
    }
}
