"""Times on the wire (ENV-9, ENV-R12)."""

import datetime
import re

_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2}))?"
)
_EPOCH = datetime.datetime(1970, 1, 1)


def parse(text):
    """Nanoseconds since 1970 in UTC, or None."""
    match = _TIME.fullmatch(text.strip(" \t\n\r"))
    if match is None:
        return None
    *numbers, fraction, sign, hours, minutes = match.groups()
    try:
        moment = datetime.datetime(*map(int, numbers))
    except ValueError:
        return None
    nanoseconds = (moment - _EPOCH) // datetime.timedelta(seconds=1) * 10**9 + int((fraction or "").ljust(9, "0"))
    if sign is None:
        return nanoseconds
    if int(hours) > 23 or int(minutes) > 59:
        return None
    offset = (int(hours) * 60 + int(minutes)) * 60 * 10**9
    return nanoseconds - offset if sign == "+" else nanoseconds + offset


def write(unix_ms):
    """YYYY-MM-DDTHH:MM:SS.mmmZ"""
    moment = _EPOCH + datetime.timedelta(milliseconds=unix_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.").rjust(20, "0") + f"{moment.microsecond // 1000:03d}Z"
