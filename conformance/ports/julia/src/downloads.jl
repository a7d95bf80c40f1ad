# Fetching what is behind a link: policy, retries, and proof that the bytes are whole (SPEC.md sections 8, 10
# to 12).

const CEILING = 1 << 30  # chosen

"Worth another try; `error` is what remains where there is none left. `retry_after` is in ms."
struct Again <: Exception
    error::BridgeError
    retry_after::Union{Real,Nothing}
end

"""
    Download(policy; max_retries = 5, base_delay = 100, max_delay = 5000, ceiling, require_proof = false,
    seed)

Fetches links with retries and checks what came. Delays are in ms, `ceiling` in bytes. `require_proof` refuses
links with neither a usable digest nor a size (VER-6). `seed` makes the waits repeatable; leave it out in
production.
"""
Base.@kwdef struct Download
    policy::Policy
    max_retries::Int = MAX_RETRIES
    base_delay::Int = BASE_DELAY_MS
    max_delay::Int = MAX_DELAY_MS
    ceiling::Int = CEILING
    require_proof::Bool = false
    seed::Union{UInt64,Nothing} = nothing
    deadlines::Deadlines = Deadlines()
end

Download(policy::Policy; options...) = Download(; policy = policy, options...)

"The verified bytes of a link payload. What is odd about them is added to its `notes`."
function fetch_link(download::Download, payload::MessagePayload)
    if download.require_proof && digest(payload) === nothing && something(payload.size, 0) == 0
        throw(BridgeError(:link_refused, "VER-6", "the link has neither a digest nor a size"))
    end
    link = parse_link(payload.data)
    check(download.policy, link)
    retry = 0
    while true
        again = try
            return fetch_once(download, payload, link)
        catch error
            error isa Unreachable ? Again(BridgeError(:link_failed, "RETRY-4", "$link: $(error.message)"), nothing) :
            error isa CutShort ? Again(BridgeError(:cut_short, "VER-7", "$link: $(error.message)"), nothing) :
            error isa Again ? error : rethrow()
        end
        retry += 1
        retry <= download.max_retries || throw(again.error)
        wait = retry_delay(
            retry; base_delay = download.base_delay, max_delay = download.max_delay, seed = download.seed,
            retry_after = again.retry_after,
        )
        sleep(wait / 1000)
    end
end

function fetch_once(download, payload, link)
    return exchange("GET", link; deadlines = download.deadlines) do answer
        status = answer.status
        if is_retried(status)
            error = BridgeError(:link_failed, "RETRY-4", "the file server answers $status")
            throw(Again(error, retry_after_ms(get(answer.headers, "retry-after", nothing))))
        end
        status in (404, 410) && throw(BridgeError(:link_gone, "LINK-7", "the file is not there any more ($status)"))
        status == 200 || throw(BridgeError(:link_failed, "LINK-7", "the file server answers $status"))
        if lowercase(get(answer.headers, "content-encoding", "identity")) != "identity"
            throw(BridgeError(:link_failed, "LINK-7", "the file has a Content-Encoding that nobody asked for"))
        end
        # A wrong size with a right digest is only reported, so only a digest can allow more than `size`.
        size = something(payload.size, 0)
        most = digest(payload) !== nothing || size == 0 ? download.ceiling : min(download.ceiling, size)
        body = UInt8[]
        each_piece(answer) do piece
            if length(body) + length(piece) > most
                clause = most == size ? "VER-3" : "POL-6"
                throw(BridgeError(:too_long, clause, "the file has more than $most bytes"; limit = most))
            end
            append!(body, piece)
        end
        verify_link(payload, body)
        body
    end
end

"VER-3 to VER-7. A digest decides; without one the size does; with neither HTTP alone."
function verify_link(payload, body)
    expected, size = digest(payload), something(payload.size, 0)
    matches = expected !== nothing && bytes2hex(sha256(body)) == expected
    !matches && size > 0 && length(body) < size && throw(CutShort("$(length(body)) of $size bytes"))
    if expected !== nothing && !matches
        throw(BridgeError(:digest_mismatch, "VER-7", "the digest of the file does not match"))
    end
    if expected === nothing && size > 0 && length(body) > size
        throw(BridgeError(:too_long, "VER-3", "the file has more than $size bytes"; limit = size))
    end
    if expected === nothing && (size == 0 || raw_digest(payload) !== nothing)
        push!(payload.notes, "unverified")
    end
    size > 0 && length(body) != size && push!(payload.notes, "size says $size, there are $(length(body)) bytes")
    return nothing
end
