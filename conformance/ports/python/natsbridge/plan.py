"""Direct or link, for each payload of a message (SPEC.md section 9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Sequence

from .errors import BridgeError

DEFAULT_THRESHOLD = {"camel": 1_000_000, "snake": 500_000}  # PLAN-2


@dataclass(frozen=True)
class Item:
    """The sizes of one payload in bytes: its raw bytes, and its object in the message if it travels inside
    (exact) or by link (an upper bound; `None` where it cannot be a link)."""

    size: int
    direct_len: int
    link_len: int | None


def plan(
    items: Sequence[Item], *, threshold: int, max_payload: int | None, base_len: int, has_store: bool
) -> list[Literal["direct", "link"]]:
    """The transport of every payload.

    `max_payload` is the limit that the server announced (`None`: not known), `base_len` the length of the
    message without its payloads' objects and the commas between them, NATS headers included. Raises
    `BridgeError` of kind `no_store` or `too_large` with `needed` and `limit`; nothing has been sent then.

    >>> items = [Item(5, 180, 400), Item(900_000, 1_200_180, 400)]
    >>> plan(items, threshold=1_000_000, max_payload=1_048_576, base_len=500, has_store=True)
    ['direct', 'link']
    """
    links = {index for index, item in enumerate(items) if item.size >= threshold}
    for index in sorted(links):
        if not has_store or items[index].link_len is None:
            raise BridgeError(
                "no_store",
                "PLAN-6",
                "a payload reaches the link threshold and there is no store for it",
                needed=items[index].size,
                limit=threshold,
            )
    needed = base_len + max(0, len(items) - 1)
    for index, item in enumerate(items):
        needed += item.link_len or 0 if index in links else item.direct_len
    if max_payload is not None and needed > max_payload:
        saved = [
            (item.direct_len - item.link_len, index)
            for index, item in enumerate(items)
            if has_store
            and index not in links
            and item.link_len is not None
            and item.direct_len > item.link_len
        ]
        for saving, index in sorted(saved, key=lambda entry: -entry[0]):  # stable: the first of equals first
            if needed <= max_payload:
                break
            links.add(index)
            needed -= saving
        if needed > max_payload:
            raise BridgeError(
                "too_large",
                "PLAN-5",
                f"the message needs {needed} bytes, the server takes {max_payload}",
                needed=needed,
                limit=max_payload,
            )
    return ["link" if index in links else "direct" for index in range(len(items))]
