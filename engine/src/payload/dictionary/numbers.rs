//! Numbers that the JSON parser must not see as they are: those that overflow, and those that are hard to round.

use std::cmp::Ordering;
use std::io::Write as _;
use std::ops::Range;

use crate::decimal::{Decimal, nearest_f64};

/// Whether any number is so long that [`shorten`] may find something to do. `json` is valid.
///
/// # Errors
/// Where a number stands that no f64 can hold.
pub(super) fn check(json: &[u8]) -> Result<bool, usize> {
    let mut long = false;
    let mut at = 0;
    while let Some(place) = next(json, at) {
        at = place.end;
        let number = &json[place.clone()];
        long |= number.len() >= LONG;
        // Shorter numbers without an exponent cannot overflow.
        let suspect = number.len() > 300 || memchr::memchr2(b'e', b'E', number).is_some();
        if suspect && overflows(number) {
            return Err(place.start);
        }
    }
    Ok(long)
}

/// Writes numbers that are hard to round as the f64 that they mean, with spaces behind it. `json` is valid, and nothing in it
/// overflows.
///
/// simd-json leaves them to the standard library: a message of 1 MiB could take a second, for what [`nearest_f64`] says.
pub(super) fn shorten(json: &mut [u8]) {
    let mut at = 0;
    let (mut text, mut short) = (Vec::new(), Vec::new());
    while let Some(place) = next(json, at) {
        at = place.end;
        let number = &mut json[place];
        if !is_hard(number) {
            continue;
        }
        let Some(value) = nearest_f64(number) else { continue };
        text.clear();
        if serde_json::to_writer(&mut text, &value).is_err() {
            continue;
        }
        short.clear();
        write_without_point(&text, &mut short);
        // It always is: of at least 20 digits, 17 are left.
        if short.len() <= number.len() {
            let (written, rest) = number.split_at_mut(short.len());
            written.copy_from_slice(&short);
            rest.fill(b' ');
        }
    }
}

/// `-12.34e5` as `-1234e3`.
fn write_without_point(number: &[u8], out: &mut Vec<u8>) {
    let Decimal { negative, whole, fraction, exponent } = Decimal::of(number);
    let fraction = if fraction == b"0" { &[] } else { fraction };
    out.extend(negative.then_some(b'-'));
    let start = out.len();
    out.extend(whole.iter().chain(fraction).skip_while(|digit| **digit == b'0'));
    if out.len() == start {
        out.push(b'0');
    }
    // Writing to a Vec cannot fail.
    _ = write!(out, "e{}", exponent - fraction.len() as i64);
}

/// Whether rounding a number takes more than a look at 64 bits of it. Integers of 64 bits need none.
fn is_hard(number: &[u8]) -> bool {
    if number.len() < LONG || number.len() < ENDLESS && digits(number) <= EXACT_DIGITS {
        return false;
    }
    let is_u64 = || std::str::from_utf8(number).is_ok_and(|text| text.parse::<u64>().is_ok());
    number.len() > LONG || !is_u64()
}

/// Where the next number stands, looked for from `at` on, which is not inside a string. `json` is valid.
fn next(json: &[u8], mut at: usize) -> Option<Range<usize>> {
    loop {
        match json.get(at)? {
            b'"' => {
                at += 1;
                while let Some(len) = memchr::memchr2(b'"', b'\\', json.get(at..)?) {
                    at += len;
                    if json[at] == b'"' {
                        break;
                    }
                    at += 2;
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let is_number = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let len = json[at..].iter().take_while(|byte| is_number(byte)).count();
                return Some(at..at + len);
            }
            _ => at += 1,
        }
    }
}

/// Digits from the first that is not zero on. Zeros behind them count: nobody is quick with those either.
fn digits(number: &[u8]) -> usize {
    let Decimal { whole, fraction, .. } = Decimal::of(number);
    let zeros = whole.iter().chain(fraction).take_while(|digit| **digit == b'0').count();
    whole.len() + fraction.len() - zeros
}

/// Numbers of fewer characters have no more digits than [`EXACT_DIGITS`].
const LONG: usize = 20;
/// All numbers of so many digits fit 64 bits, from which rounding is quick.
const EXACT_DIGITS: usize = 19;
/// From here on zeros alone may be more than the standard library counts (chosen, far below).
const ENDLESS: usize = 1000;

/// Whether a JSON number is nearer to infinity than to any f64. By its digits: parsing may take a thousand times as long.
fn overflows(number: &[u8]) -> bool {
    let Decimal { whole, fraction, exponent, .. } = Decimal::of(number);
    let digits = || whole.iter().chain(fraction);
    let zeros = digits().take_while(|digit| **digit == b'0').count();
    // Where the point belongs, counted from the first digit that is not zero.
    let point = whole.len() as i64 + exponent - zeros as i64;
    match point.cmp(&309) {
        Ordering::Less => false,
        Ordering::Equal => digits().skip(zeros).ge(HALFWAY_TO_INFINITY),
        Ordering::Greater => zeros < whole.len() + fraction.len(),
    }
}

/// 2^1024 - 2^970, of 309 digits, without the zero at its end: what is not less rounds to infinity.
const HALFWAY_TO_INFINITY: &[u8] = b"179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880177904174497792";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same text with its hard numbers shortened.
    fn shortened(text: &str) -> String {
        let mut json = text.as_bytes().to_vec();
        shorten(&mut json);
        assert_eq!(json.len(), text.len());
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn what_is_hard_to_round_is_rounded_and_all_else_stays() {
        for (text, short) in [
            ("2.4703282292062327208e-324", "0e0"),
            ("-2.4703282292062327208e-324", "-0e0"),
            ("2.4703282292062327209e-324", "5e-324"),
            ("1.7976931348623158079e308", "17976931348623157e292"),
            ("9007199254740993.00000", "9007199254740992e0"),
            ("9007199254740993.00001", "9007199254740994e0"),
            ("0.12345678901234567890", "12345678901234568e-17"),
            ("123456789012345678901234567890", "12345678901234568e13"),
            ("18446744073709551616", "18446744073709552e3"),
            ("143478101096192860160", "14347810109619287e4"),
            ("-99999999999999999999", "-1e20"),
            ("-12345678901234567891", "-12345678901234567e3"),
        ] {
            assert_eq!(shortened(text).trim_end_matches(' '), short);
            let [nearest, read]: [f64; 2] = [text, short].map(|text| text.parse().unwrap());
            assert_eq!(read.to_bits(), nearest.to_bits());
            let inside = |number: &str| format!("[-1,{number},{{\"{text}\\\"{text}\":{number}}}]");
            let padded = format!("{short:width$}", width = text.len());
            assert_eq!(shortened(&inside(text)), inside(&padded));
        }
        for text in [
            "18446744073709551615",
            "-9223372036854775808",
            "-9223372036854775809",
            "1234567890123456.789",
            "-0.0000000000001234567890123456789",
            "-1.234567890123456789e-300",
            "0.00000000000000000000000000000",
        ] {
            assert_eq!(shortened(text), text);
        }
    }

    #[test]
    fn zeros_and_exponents_outweigh_each_other_however_long_they_are() {
        for zeros in [1000, 655_358, 655_360, 3_000_000] {
            let (before, behind) = ("0".repeat(zeros), "0".repeat(zeros));
            let exponent = zeros + 16;
            assert_eq!(
                shortened(&format!("0.{before}9007199254740993e{exponent}")).trim_end(),
                "9007199254740992e0"
            );
            assert_eq!(
                shortened(&format!("9007199254740993{behind}e-{zeros}")).trim_end(),
                "9007199254740992e0"
            );
        }
    }

    #[test]
    fn what_overflows_is_known_by_its_digits() {
        let halfway = std::str::from_utf8(HALFWAY_TO_INFINITY).unwrap();
        let below = format!("{}7", &halfway[..307]);
        for digits in [halfway, &below, "1", "17976931348623157", "17976931348623158079372", "9", "0", "000"]
        {
            for exponent in [-400, -1, 0, 1, 2, 3, 50, 290, 291, 292, 293, 306, 307, 308, 309, 310, 1 << 30] {
                for zeros in ["", "0", "0000000"] {
                    for number in [
                        format!("{digits}{zeros}e{exponent}"),
                        format!("0.{zeros}{digits}E{exponent:+}"),
                        format!("-{}.{}0{zeros}e{exponent}", &digits[..1], &digits[1..]),
                    ] {
                        let parsed: f64 = number.parse().unwrap();
                        assert_eq!(overflows(number.as_bytes()), parsed.is_infinite(), "{number}");
                    }
                }
            }
        }
        assert!(overflows(format!("{halfway}0").as_bytes()) && !overflows(format!("{below}9").as_bytes()));
    }

    /// Odd multiples of half of the last bit, as decimals, and their nearest neighbours: all that a f64 of 53 bits and a
    /// bit more can be cut to.
    fn halfway() -> impl Strategy<Value = String> {
        let odd = (1_u64 << 53..1 << 54).prop_map(|bits| bits | 1);
        (odd, 0..32_u32, any::<bool>(), "|1|0{1,400}1", any::<bool>()).prop_map(
            |(odd, power, up, tail, negative)| {
                // Times or through two to the power.
                let (digits, point) = if up {
                    (u128::from(odd) << (2 * power), 0)
                } else {
                    (u128::from(odd) * 5_u128.pow(power), power)
                };
                let sign = if negative { "-" } else { "" };
                let digits = format!("{digits:0>width$}", width = point as usize + 1);
                let (whole, fraction) = digits.split_at(digits.len() - point as usize);
                format!("{sign}{whole}.{fraction}0{tail}")
            },
        )
    }

    proptest! {
        #[test]
        fn a_number_that_was_shortened_means_the_same(
            text in prop_oneof![
                halfway(),
                r"-?[1-9][0-9]{0,40}(\.[0-9]{1,40})?(e-?[0-9]{1,2})?",
                r"-?[1-9]\.[0-9]{18,800}e-?[0-9]{1,3}",
            ]
        ) {
            let nearest: f64 = text.parse().unwrap();
            prop_assume!(nearest.is_finite());
            let short = shortened(&text);
            let read: f64 = short.trim_end().parse().unwrap();
            prop_assert_eq!(read.to_bits(), nearest.to_bits(), "{}", short);
            // And it is still a float to who tells them from integers.
            prop_assert!(short == text || short.contains('e'), "{}", short);
            prop_assert!(!is_hard(short.trim_end().as_bytes()), "{}", short);
        }
    }
}
