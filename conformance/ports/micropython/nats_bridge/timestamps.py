# Times on the wire: strict when written (ENV-9), lenient when read (ENV-R12).

import time

_LAST_MS = 253402300799999  # the end of the year 9999
# Some boards count from 2000.
_EPOCH_SECONDS = 946684800 if time.gmtime(0)[0] == 2000 else 0


def now():
    if hasattr(time, "time_ns"):
        return write(time.time_ns() // 1000000 + _EPOCH_SECONDS * 1000)
    return write((int(time.time()) + _EPOCH_SECONDS) * 1000)


def unix_seconds():
    return int(time.time()) + _EPOCH_SECONDS


def write(unix_ms):
    """`YYYY-MM-DDTHH:MM:SS.mmmZ`. Times before 1970 are written as 1970, those beyond the year 9999 as its
    end."""
    unix_ms = min(max(unix_ms, 0), _LAST_MS)
    seconds, ms = unix_ms // 1000, unix_ms % 1000
    year, month, day = _date_of(seconds // 86400)
    second = seconds % 86400
    return "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ" % (
        year,
        month,
        day,
        second // 3600,
        second // 60 % 60,
        second % 60,
        ms,
    )


def parse(text):
    """Nanoseconds since 1970, or `None` for what is no time."""
    text = text.strip()
    date = text[:19]
    if len(date) != 19 or date[4] + date[7] + date[13] + date[16] != "--::" or date[10] not in "Tt ":
        return None
    year, month, day = _number(date[:4]), _number(date[5:7]), _number(date[8:10])
    hour, minute, second = _number(date[11:13]), _number(date[14:16]), _number(date[17:19])
    if None in (year, month, day, hour, minute, second) or not 1 <= month <= 12:
        return None
    # A leap second, written as 60, is the first moment of the next minute.
    if not 1 <= day <= _days_in(year, month) or hour > 23 or minute > 59 or second > 60:
        return None
    rest, nanos = text[19:], 0
    if rest[:1] in (".", ",") and rest:
        end = 1
        while end < len(rest) and rest[end] in "0123456789":
            end += 1
        if not 2 <= end <= 10:
            return None
        nanos = int(rest[1:end]) * 10 ** (10 - end)
        rest = rest[end:]
    offset = _offset(rest)
    if offset is None:
        return None
    seconds = _days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset
    return seconds * 1000000000 + nanos if seconds >= 0 else None


def _offset(zone):
    """Seconds east of UTC."""
    if zone in ("", "Z", "z"):
        return 0
    digits = zone[1:3] + (zone[4:] if zone[3:4] == ":" else zone[3:])
    if len(digits) == 2 and len(zone) == 3:
        digits += "00"
    number = _number(digits)
    if zone[0] not in "+-" or len(digits) != 4 or number is None:
        return None
    hours, minutes = number // 100, number % 100
    if hours > 23 or minutes > 59:
        return None
    return (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)


def _number(digits):
    return int(digits) if digits and all(c in "0123456789" for c in digits) else None


def _days_in(year, month):
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def _days_of(year, month, day):
    """Days since 1970-01-01. The year is counted from March, so that the leap day comes last."""
    if month <= 2:
        year -= 1
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + day_of_year - 719468


def _date_of(days):
    days += 719468
    era = days // 146097
    of_era = days % 146097
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return era * 400 + year + (1 if month <= 2 else 0), month, of_year - (153 * shifted + 2) // 5 + 1
