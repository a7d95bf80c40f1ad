//! Times on the wire: `YYYY-MM-DDTHH:MM:SS.mmmZ` when writing, whatever is recognisable when reading.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::digits::pair;

const DAY: u64 = 86_400;

/// The length of a time as [`format()`] writes it, in bytes.
pub const LEN: usize = 24;

/// Writes a time as the format wants it, in UTC with milliseconds. Times before 1970 are written as 1970, times
/// beyond the year 9999 as its end.
///
/// # Examples
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
///
/// let time = UNIX_EPOCH + Duration::from_millis(1_705_314_600_123);
/// assert_eq!(natsbridge::timestamp::format(time), "2024-01-15T10:30:00.123Z");
/// ```
pub fn format(time: SystemTime) -> String {
    format_into(time, &mut [0; LEN]).to_owned()
}

/// The same text in the caller's place: no formatter, no allocation, a few nanoseconds.
///
/// # Examples
/// ```
/// use natsbridge::timestamp;
///
/// let mut place = [0; timestamp::LEN];
/// assert_eq!(timestamp::format_into(std::time::UNIX_EPOCH, &mut place), "1970-01-01T00:00:00.000Z");
/// ```
pub fn format_into(time: SystemTime, place: &mut [u8; LEN]) -> &str {
    const LAST: Duration = Duration::from_millis(253_402_300_799_999);
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().min(LAST);
    // Below 3 million days, so that what follows fits 32 bits.
    let (days, second) = ((since.as_secs() / DAY) as u32, (since.as_secs() % DAY) as u32);
    let (year, month, day) = date_of(days);
    let millis = since.subsec_millis();
    let [y1, y2] = pair(year / 100);
    let [y3, y4] = pair(year % 100);
    let [m1, m2] = pair(month);
    let [d1, d2] = pair(day);
    let [h1, h2] = pair(second / 3600);
    let [n1, n2] = pair(second / 60 % 60);
    let [s1, s2] = pair(second % 60);
    let [f1, f2] = pair(millis / 10);
    let f3 = b'0' + (millis % 10) as u8;
    *place = [
        y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2, b'.', f1, f2,
        f3, b'Z',
    ];
    // Digits and punctuation.
    std::str::from_utf8(place).unwrap_or_default()
}

/// Reads a time leniently: `T`, `t` or a space between date and time, no zone (UTC is meant), `Z` or an offset, 0 to 9
/// fractional digits. `None` for anything else, and for times before 1970.
pub fn parse(text: &str) -> Option<SystemTime> {
    let bytes = text.trim().as_bytes();
    let (date, rest) = (bytes.get(..10)?, bytes.get(10..)?);
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *date else { return None };
    let year = number(&[y1, y2, y3, y4])?;
    let (month, day) = (number(&[m1, m2])?, number(&[d1, d2])?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    let [b'T' | b't' | b' ', h1, h2, b':', n1, n2, b':', s1, s2, rest @ ..] = rest else { return None };
    let (hour, minute, second) = (number(&[*h1, *h2])?, number(&[*n1, *n2])?, number(&[*s1, *s2])?);
    // A leap second is written as 60; it is the first moment of the next minute.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (nanos, zone) = fraction(rest)?;
    let days = days_of(year as i64, month as i64, day as i64);
    let seconds = days * DAY as i64 + (hour * 3600 + minute * 60 + second) as i64 - offset(zone)?;
    Some(UNIX_EPOCH + Duration::new(u64::try_from(seconds).ok()?, nanos))
}

/// The fraction's nanoseconds, and what follows it.
fn fraction(rest: &[u8]) -> Option<(u32, &[u8])> {
    let Some(digits) = rest.strip_prefix(b".").or_else(|| rest.strip_prefix(b",")) else {
        return Some((0, rest));
    };
    let len = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if len == 0 || len > 9 {
        return None;
    }
    let value = number(&digits[..len])? as u32;
    Some((value * 10u32.pow(9 - len as u32), &digits[len..]))
}

/// Seconds east of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match *zone {
        [] | [b'Z' | b'z'] => return Some(0),
        [sign, h1, h2, b':', m1, m2] | [sign, h1, h2, m1, m2] => (sign, [h1, h2], [m1, m2]),
        [sign, h1, h2] => (sign, [h1, h2], *b"00"),
        _ => return None,
    };
    let (hours, minutes) = (number(&hours)?, number(&minutes)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = (hours * 3600 + minutes * 60) as i64;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

/// At most nine digits, so the value fits.
fn number(digits: &[u8]) -> Option<u64> {
    digits
        .iter()
        .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + u64::from(digit - b'0')))
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01. The year is counted from March, so that the leap day comes last.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_of`], for days from 1970 to 9999.
fn date_of(days: u32) -> (u32, u32, u32) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    (era * 400 + year_of_era + u32::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> Option<u128> {
        parse(text).map(|time| time.duration_since(UNIX_EPOCH).unwrap().as_millis())
    }

    #[test]
    fn every_day_of_four_centuries_goes_there_and_back() {
        for day in 0..146_097 * 2 {
            let (year, month, date) = date_of(day);
            assert_eq!(days_of(year.into(), month.into(), date.into()), i64::from(day));
        }
        assert_eq!(date_of(19_737), (2024, 1, 15));
    }

    #[test]
    fn lenient_spellings_mean_the_same_moment() {
        let expected = Some(1_705_314_600_000);
        for text in [
            "2024-01-15T10:30:00Z",
            "2024-01-15T10:30:00",
            "2024-01-15 10:30:00.000000000",
            "2024-01-15t10:30:00.0z",
            "2024-01-15T12:30:00+02:00",
            "2024-01-15T12:30:00+0200",
            "2024-01-15T05:00:00-05:30",
        ] {
            assert_eq!(millis(text), expected, "{text}");
        }
        assert_eq!(millis("2024-01-15T10:30:00.123456789Z"), Some(1_705_314_600_123));
    }

    #[test]
    fn what_is_no_time_is_none_and_never_a_panic() {
        for text in [
            "",
            "uuid4",
            "2024",
            "2024-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-01-15T24:00:00Z",
            "2024-01-15T10:30:00.Z",
            "2024-01-15T10:30:00.1234567890Z",
            "2024-01-15T10:30:00+1",
            "1969-12-31T23:59:59Z",
            "2024-01-15T10:30:00é",
            "٢٠٢٤-01-15T10:30:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for millis in [0, 951_782_399_999, 951_827_696_789, 4_102_444_800_000, 253_402_300_799_999] {
            let time = UNIX_EPOCH + Duration::from_millis(millis);
            assert_eq!(parse(&format(time)), Some(time), "{}", format(time));
        }
        for second in (0..253_402_300_799).step_by(86_400 * 97 + 3_607) {
            let time = UNIX_EPOCH + Duration::from_millis(second * 1000 + second % 1000);
            assert_eq!(parse(&format(time)), Some(time), "{}", format(time));
        }
        assert_eq!(format(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
        assert_eq!(format(UNIX_EPOCH + Duration::from_secs(u64::MAX >> 2)), "9999-12-31T23:59:59.999Z");
    }
}
