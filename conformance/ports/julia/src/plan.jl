# Direct or link, for each payload of a message (SPEC.md section 9).

default_threshold(dialect) = dialect == :camel ? 1_000_000 : 500_000  # PLAN-2

"""
The sizes of one payload in bytes: its raw bytes, and its object in the message if it travels inside (exact)
or by link (an upper bound; `nothing` where it cannot be a link).
"""
struct PlanItem
    size::Int128
    direct_len::Int128
    link_len::Union{Int128,Nothing}
end

"""
    plan(items; threshold, max_payload, base_len, has_store) -> [:direct, :link, …]

`max_payload` is the limit that the server announced (`nothing`: not known), `base_len` the length of the
message without its payloads' objects and the commas between them. Throws a `BridgeError` of kind `:no_store`
or `:too_large`, with `needed` and `limit`; nothing has been sent then.
"""
function plan(items::AbstractVector{PlanItem}; threshold, max_payload, base_len, has_store)
    links = [item.size >= threshold for item in items]
    for (item, is_link) in zip(items, links)
        if is_link && (!has_store || item.link_len === nothing)
            why = "a payload reaches the link threshold and there is no store for it"
            throw(BridgeError(:no_store, "PLAN-6", why; needed = item.size, limit = threshold))
        end
    end
    needed = Int128(base_len) + max(0, length(items) - 1)
    for (item, is_link) in zip(items, links)
        needed += is_link ? item.link_len : item.direct_len
    end
    while max_payload !== nothing && needed > max_payload
        best, saves = 0, Int128(0)
        for (index, item) in enumerate(items)
            has_store && !links[index] && item.link_len !== nothing || continue
            if item.direct_len - item.link_len > saves
                best, saves = index, item.direct_len - item.link_len
            end
        end
        if best == 0
            why = "the message needs $needed bytes, the server takes $max_payload"
            throw(BridgeError(:too_large, "PLAN-5", why; needed = needed, limit = max_payload))
        end
        links[best] = true
        needed -= saves
    end
    return [is_link ? :link : :direct for is_link in links]
end
