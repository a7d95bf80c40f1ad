# When to try a download again (SPEC.md section 11).

using Random

const MAX_RETRIES, BASE_DELAY_MS, MAX_DELAY_MS = 5, 100, 5000

"The wait in ms before a retry, counted from 1. The same seed gives the same wait; `retry_after` is in ms."
function retry_delay(
    retry::Integer; base_delay = BASE_DELAY_MS, max_delay = MAX_DELAY_MS, seed = nothing, retry_after = nothing
)
    # As floats they do not overflow, and 0 times anything that a float can hold is 0.
    longest = min(Float64(max_delay), Float64(base_delay) * 2.0^min(retry - 1, 1000))
    drawn = seed === nothing ? rand() : splitmix(UInt64(seed) ⊻ (retry % UInt64) * 0x9e3779b97f4a7c15)
    wait = longest / 2 + drawn * longest / 2
    return max(wait, min(something(retry_after, 0), max_delay))
end

"A number from 0 to 1 that any seed, consecutive ones too, mixes well: one step of SplitMix64."
function splitmix(seed::UInt64)
    z = seed + 0x9e3779b97f4a7c15
    z = (z ⊻ z >> 30) * 0xbf58476d1ce4e5b9
    z = (z ⊻ z >> 27) * 0x94d049bb133111eb
    return Float64((z ⊻ z >> 31) >> 11) / 2.0^53
end

"RETRY-4, of an answer's status."
is_retried(status) = status in (408, 425, 429) || 500 <= status <= 599

"The header `Retry-After` in ms: seconds, or a date as in `Sun, 06 Nov 1994 08:49:37 GMT`; else `nothing`."
function retry_after_ms(text)
    text === nothing && return nothing
    text = strip(text)
    occursin(r"^[0-9]+$", text) && return min(parse(Int, first(text, 12)), 10^9) * 1000
    found = match(r"^[A-Z][a-z]{2}, (\d\d? [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d) GMT$", text)
    found === nothing && return nothing
    when = tryparse(DateTime, found[1], dateformat"d u y H:M:S")
    return when === nothing ? nothing : max(0, (datetime2unix(when) - time()) * 1000)
end
