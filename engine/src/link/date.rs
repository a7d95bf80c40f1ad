//! The date format of HTTP headers.

use std::time::{Duration, SystemTime};

/// Reads the preferred HTTP date format, as in `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn http_date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_weekday, rest) = text.trim().split_once(", ")?;
    let mut words = rest.split(' ');
    let day = number(words.next()?)?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let year = number(words.next()?)?;
    let [hour, minute, second] = fields(words.next()?, ":")?;
    if (words.next(), words.next()) != (Some("GMT"), None) {
        return None;
    }
    let seconds = u64::try_from(unix_seconds(year, month, day, hour, minute, second)?).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Three numbers between separators.
fn fields(text: &str, separator: &str) -> Option<[u64; 3]> {
    let mut parts = text.split(separator).map(number);
    let fields = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(fields)
}

/// One to nine digits, so that no sum of them overflows.
fn number(text: &str) -> Option<u64> {
    let valid = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if valid { text.parse().ok() } else { None }
}

/// Seconds since 1970 in the Gregorian calendar; `None` for what is no date. Days beyond a month's end roll over.
fn unix_seconds(year: u64, month: u64, day: u64, hour: u64, minute: u64, second: u64) -> Option<i64> {
    let valid = year <= 9999
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 60;
    if !valid {
        return None;
    }
    // Years begin in March here, so that the leap day is the last day of a year.
    let [year, month, day] = [year as i64, month as i64, day as i64];
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + (hour * 3600 + minute * 60 + second) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(time: Option<SystemTime>) -> Option<u128> {
        time.map(|time| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos())
    }

    #[test]
    fn http_dates_are_read() {
        assert_eq!(nanos(http_date("Sun, 06 Nov 1994 08:49:37 GMT")), Some(784_111_777_000_000_000));
        for text in ["", "3", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Foo 1994 08:49:37 GMT", "a, b"] {
            assert_eq!(http_date(text), None, "{text}");
        }
    }
}
