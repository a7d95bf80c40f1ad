//! The two date formats that file servers speak: RFC 3339 in Plik's answers, HTTP dates in headers.

use std::time::{Duration, SystemTime};

/// Reads an RFC 3339 time with any number of fractional digits; nanoseconds are kept. `None` if it is not one, or lies
/// before 1970.
pub(super) fn rfc3339(text: &str) -> Option<SystemTime> {
    let (date, rest) = text.split_at_checked(10)?;
    let [year, month, day] = fields(date, "-")?;
    let (time, rest) = rest.strip_prefix(['T', 't', ' '])?.split_at_checked(8)?;
    let [hour, minute, second] = fields(time, ":")?;
    let (nanos, zone) = match rest.strip_prefix('.') {
        Some(rest) => {
            let (digits, zone) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
            let kept = &digits[..digits.len().min(9)];
            (number(kept)? * 10u64.pow(9 - kept.len() as u32), zone)
        }
        None => (0, rest),
    };
    let offset = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => 0,
        (sign @ ("+" | "-"), offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let seconds = i64::try_from(number(hours)? * 3600 + number(minutes)? * 60).ok()?;
            if sign == "+" { seconds } else { -seconds }
        }
        _ => return None,
    };
    let seconds = u64::try_from(unix_seconds(year, month, day, hour, minute, second)? - offset).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, u32::try_from(nanos).ok()?))
}

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
    fn rfc_3339_times_are_read() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-03-01T12:00:00.123456789Z", 1_772_366_400_123_456_789),
            ("2026-03-01T12:00:00.1234567899Z", 1_772_366_400_123_456_789),
            ("2026-03-01T13:30:00.5+01:30", 1_772_366_400_500_000_000),
            ("2026-03-01t07:00:00-05:00", 1_772_366_400_000_000_000),
            ("2024-02-29T00:00:00z", 1_709_164_800_000_000_000),
            ("2000-12-31T23:59:59Z", 978_307_199_000_000_000),
        ] {
            assert_eq!(nanos(rfc3339(text)), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_rfc_3339_times() {
        for text in [
            "",
            "2026",
            "2026-03-01",
            "2026-03-01T12:00:00",
            "2026-13-01T12:00:00Z",
            "2026-03-00T12:00:00Z",
            "2026-03-01T24:00:00Z",
            "2026-03-01T12:00:00.Z",
            "2026-03-01T12:00:00.5",
            "2026-03-01T12:00:00+1",
            "2026-03-01T12:00:00Zx",
            "1969-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
            "2026-03-01T12:00:00+999999999:999999999",
            "日本日本日本日本",
            "+026-03-01T12:00:00Z",
        ] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn http_dates_are_read() {
        assert_eq!(nanos(http_date("Sun, 06 Nov 1994 08:49:37 GMT")), Some(784_111_777_000_000_000));
        for text in ["", "3", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Foo 1994 08:49:37 GMT", "a, b"] {
            assert_eq!(http_date(text), None, "{text}");
        }
    }
}
