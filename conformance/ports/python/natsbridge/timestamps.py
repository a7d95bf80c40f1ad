"""Times on the wire: strict when written (ENV-9), lenient when read (ENV-R12)."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LAST_MS = 253_402_300_799_999  # the end of the year 9999
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?"
    r"(?:[Zz]|([+-])(\d\d)(?::?(\d\d))?)?",
    re.ASCII,
)


def write(unix_ms: int) -> str:
    """`YYYY-MM-DDTHH:MM:SS.mmmZ`. Times before 1970 are written as 1970, those beyond the year 9999 as its
    end.

    >>> write(1705314600123)
    '2024-01-15T10:30:00.123Z'
    """
    when = _EPOCH + timedelta(milliseconds=min(max(unix_ms, 0), _LAST_MS))
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03}Z"


def now() -> str:
    return write(time.time_ns() // 1_000_000)


def parse(text: str) -> int | None:
    """Nanoseconds since 1970, or `None` for what is no time: with no zone (UTC is meant), `Z` or an offset,
    and 0 to 9 fractional digits.

    >>> parse("2024-01-15T12:30:00+02:00") == parse("2024-01-15T10:30:00")
    True
    """
    match = _TIME.fullmatch(text.strip())
    if not match:
        return None
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    fraction, sign, zone_hours, zone_minutes = match.groups()[6:]
    offset = 0
    if sign:
        offset = int(zone_hours) * 60 + int(zone_minutes or "0")
        if int(zone_hours) > 23 or int(zone_minutes or "0") > 59:
            return None
        offset = -offset if sign == "-" else offset
    try:
        # A leap second, written as 60, is the first moment of the next minute.
        day_start = datetime(year, month, day, hour, minute, tzinfo=timezone.utc)
    except ValueError:
        return None
    if second > 60:
        return None
    seconds = (day_start - _EPOCH) // timedelta(seconds=1) + second - offset * 60
    nanos = seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0"))
    return nanos if nanos >= 0 else None
