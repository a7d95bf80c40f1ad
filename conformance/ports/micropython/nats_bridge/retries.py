# When to try a download again (SPEC.md section 11).

import os

from . import timestamps

MAX_RETRIES, BASE_DELAY_MS, MAX_DELAY_MS = 5, 100, 5000
_MASK = (1 << 64) - 1
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def delay(retry, base_delay=BASE_DELAY_MS, max_delay=MAX_DELAY_MS, seed=None, retry_after=None):
    """The wait in whole ms before a retry, counted from 1. The same seed gives the same wait."""
    # Beyond 2^64 times any base but 0 the limit has long been reached.
    longest = min(max_delay, base_delay << min(retry - 1, 64))
    if seed is None:
        seed = int.from_bytes(os.urandom(8), "big")
    half = longest - longest // 2  # rounded up: never less than d/2
    wait = half + _splitmix64(seed ^ retry * 0x9E3779B97F4A7C15) * (longest - half + 1) // (_MASK + 1)
    return max(wait, min(retry_after or 0, max_delay))


def _splitmix64(seed):
    z = (seed + 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & _MASK
    return z ^ z >> 31


def is_retried(status):
    """RETRY-4, of an answer's status."""
    return status in (408, 425, 429) or 500 <= status <= 599


def retry_after(text):
    """The header `Retry-After` in ms: seconds, or a date as in `Sun, 06 Nov 1994 08:49:37 GMT`; else
    `None`."""
    text = (text or "").strip()
    if text and all(c in "0123456789" for c in text):
        return min(int(text[:12]), 10**9) * 1000
    words = text.split()
    if len(words) != 6 or words[5] != "GMT" or words[2] not in _MONTHS:
        return None
    date = "%s-%02d-%sT%sZ" % (words[3], _MONTHS.index(words[2]) + 1, words[1], words[4])
    when = timestamps.parse(date)
    return None if when is None else max(0, when // 1000000 - timestamps.unix_seconds() * 1000)
