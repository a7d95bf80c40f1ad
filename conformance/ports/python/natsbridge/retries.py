"""When to try a download again (SPEC.md section 11)."""

from __future__ import annotations

import email.utils
import random
import time

MAX_RETRIES, BASE_DELAY_MS, MAX_DELAY_MS = 5, 100, 5000
_RETRIED = {408, 425, 429}


def delay(
    retry: int,
    *,
    base_delay: float = BASE_DELAY_MS,
    max_delay: float = MAX_DELAY_MS,
    seed: int | None = None,
    retry_after: float | None = None,
) -> float:
    """The wait in ms before a retry, counted from 1. The same seed gives the same wait; `retry_after` is what
    the server asked for, in ms.

    >>> 200 <= delay(3) <= 400
    True
    """
    # Beyond 2^64 times any base but 0 the limit has long been reached.
    longest = min(max_delay, base_delay * 2 ** min(retry - 1, 64))
    drawn = random.Random(None if seed is None else f"{seed}/{retry}").uniform(longest / 2, longest)
    return max(drawn, min(retry_after or 0, max_delay))


def is_retried(status: int) -> bool:
    """RETRY-4, of an answer's status."""
    return status in _RETRIED or 500 <= status <= 599


def retry_after(text: str | None) -> float | None:
    """The header `Retry-After` in ms: seconds or a date; `None` for anything else."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:12]), 10**9) * 1000
    try:
        when = email.utils.parsedate_to_datetime(text)
        return max(0.0, (when.timestamp() - time.time()) * 1000)
    except (ValueError, TypeError, OverflowError):
        return None
