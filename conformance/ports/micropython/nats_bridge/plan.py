# Direct or link, for each payload of a message (SPEC.md section 9).

from .errors import BridgeError

DEFAULT_THRESHOLD = {"camel": 1000000, "snake": 500000}  # PLAN-2


def plan(items, threshold, max_payload, base_len, has_store):
    """The transports of payloads given as `(size, direct_len, link_len)`: raw bytes, and the length of the
    payload's object in the message inside (exact) or as a link (upper bound; `None`: it cannot be one).
    `max_payload` is the server's (`None`: not known), `base_len` the length without the payloads and the
    commas between them."""
    links = [size >= threshold for size, _, _ in items]
    for (size, _, link_len), is_link in zip(items, links):
        if is_link and (not has_store or link_len is None):
            why = "a payload reaches the link threshold and there is no store for it"
            raise BridgeError("no_store", "PLAN-6", why, None, size, threshold)
    needed = base_len + max(0, len(items) - 1)
    for (_, direct_len, link_len), is_link in zip(items, links):
        needed += link_len if is_link else direct_len
    while max_payload is not None and needed > max_payload:
        best, saves = None, 0
        for index, (_, direct_len, link_len) in enumerate(items):
            if has_store and not links[index] and link_len is not None and direct_len - link_len > saves:
                best, saves = index, direct_len - link_len
        if best is None:
            why = "the message needs %d bytes, the server takes %d" % (needed, max_payload)
            raise BridgeError("too_large", "PLAN-5", why, None, needed, max_payload)
        links[best] = True
        needed -= saves
    return ["link" if is_link else "direct" for is_link in links]
