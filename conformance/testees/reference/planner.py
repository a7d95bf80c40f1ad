"""Direct or link (section 9), written down as the clauses are: nothing is sorted, everything is measured again."""

from refusal import Refusal


def plan(payloads, threshold, max_payload, base_len, store):
    """`payloads` are dicts of size, direct_len and link_len (None: it cannot be a link)."""
    transports = []
    for payload in payloads:
        link = payload["size"] >= threshold  # PLAN-1
        if link and (not store or payload["link_len"] is None):
            raise Refusal("no_store", needed=payload["size"], limit=threshold)  # PLAN-6
        transports.append("link" if link else "direct")
    if max_payload is None:
        return transports

    def measured():
        entries = [p["direct_len" if t == "direct" else "link_len"] for p, t in zip(payloads, transports)]
        return base_len + sum(entries) + max(0, len(payloads) - 1)

    while measured() > max_payload:  # PLAN-4
        best, most = None, 0
        for index, payload in enumerate(payloads):
            if transports[index] == "direct" and store and payload["link_len"] is not None:
                saving = payload["direct_len"] - payload["link_len"]
                if saving > most:
                    best, most = index, saving
        if best is None:
            raise Refusal("too_large", needed=measured(), limit=max_payload)  # PLAN-5
        transports[best] = "link"
    return transports
