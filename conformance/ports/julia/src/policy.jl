# Link URLs, and which of them a receiver may fetch (SPEC.md section 12): only origins that it names.

using Sockets

const MAX_URL_LEN = 8192
const DEFAULT_PORT = Dict("http" => 80, "https" => 443)
const ONE_HOST = ("localhost", "127.0.0.1", "[::1]")
const KEPT = Set(codeunits("!\$&'()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"))
const SEGMENT = Set(codeunits("-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"))

"An absolute http or https URL, fit for a request. It is a secret: it prints as its origin only."
struct Link
    scheme::String
    host::String  # lower case; an IPv6 address has its brackets
    port::Int
    target::String  # path and query, percent-encoded
end

"POL-4: what is compared with the allowed origins."
origin(link::Link) = (link.scheme, link.host in ONE_HOST ? "localhost" : link.host, link.port)
authority(link::Link) = link.port == DEFAULT_PORT[link.scheme] ? link.host : "$(link.host):$(link.port)"
"The whole URL as it is requested."
url(link::Link) = "$(link.scheme)://$(authority(link))$(link.target)"
Base.show(io::IO, link::Link) = print(io, link.scheme, "://", link.host, ":", link.port, "/…")

refused(clause, why) = throw(BridgeError(:link_refused, clause, "the link is refused: $why"))

"""
    parse_link(text) -> Link

Reads the `data` of a link payload; refuses what is no http or https URL, and what parsers disagree about
(user info, backslashes, control characters, odd spellings of addresses). Spaces and raw UTF-8 are
percent-encoded.
"""
function parse_link(text::AbstractString)
    ncodeunits(text) <= MAX_URL_LEN || refused("POL-1", "it is longer than $MAX_URL_LEN bytes")
    odd(char) = !isvalid(char) || iscntrl(char) || char == '\\'
    any(odd, text) && refused("POL-5", "it has a backslash or a control character")
    found = match(r"^(https?)://([^/?#]*)([^#]*)"i, text)
    found === nothing && refused("POL-1", "it is no absolute http or https URL")
    scheme, place, target = lowercase(found[1]), found[2], found[3]
    '@' in place && refused("POL-5", "it has user info in front of the host")
    host, port = startswith(place, '[') ? ipv6_and_port(place) : name_and_port(place)
    valid = length(port) <= 5 && (isempty(port) || 1 <= parse(Int, port) <= 65535)
    valid || refused("POL-1", "its port is not between 1 and 65535")
    startswith(target, '/') || (target = "/" * target)
    return Link(scheme, lowercase(host), isempty(port) ? DEFAULT_PORT[scheme] : parse(Int, port), encoded(target))
end

function ipv6_and_port(place)
    found = match(r"^\[([0-9A-Fa-f:.]+)\](?::([0-9]*))?$", place)
    (found === nothing || !is_ipv6(found[1])) && refused("POL-1", "its IPv6 address is not valid")
    return "[" * found[1] * "]", something(found[2], "")
end

function name_and_port(place)
    found = match(r"^([A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?)(?::([0-9]*))?$", place)
    (found === nothing || length(found[1]) > 253) && refused("POL-1", "its host or port is not valid")
    host = String(found[1])
    last = split(rstrip(host, '.'), '.')[end]
    # `127.1`, `2130706433` and `0x7f.1` are this machine to some resolvers and nonsense to others.
    if occursin(r"^([0-9]+$|0x)"i, last) && !is_ipv4(host)
        refused("POL-1", "its host looks like an IPv4 address but is not four decimal numbers")
    end
    return host, something(found[2], "")
end

function is_ipv4(text)
    parts = split(text, '.')
    return length(parts) == 4 && all(p -> occursin(r"^(0|[1-9][0-9]{0,2})$", p) && parse(Int, p) <= 255, parts)
end

function is_ipv6(text)
    halves = split(text, "::")
    length(halves) <= 2 || return false
    groups = 0
    for (h, half) in enumerate(halves)
        parts = isempty(half) ? SubString{String}[] : split(half, ':')
        for (p, part) in enumerate(parts)
            if '.' in part && h == length(halves) && p == length(parts) && is_ipv4(part)
                groups += 2
            elseif occursin(r"^[0-9A-Fa-f]{1,4}$", part)
                groups += 1
            else
                return false
            end
        end
    end
    return length(halves) == 2 ? groups <= 7 : groups == 8
end

escaped(b::UInt8) = "%" * uppercase(string(b; base = 16, pad = 2))

function encoded(target)
    raw, out = codeunits(target), IOBuffer()
    for (at, b) in enumerate(raw)
        kept = b in KEPT
        if b == UInt8('%')  # an escape stays, a lone percent sign is data
            kept = at + 2 <= length(raw) && is_hex(raw[at+1]) && is_hex(raw[at+2])
        end
        kept ? write(out, b) : print(out, escaped(b))
    end
    return String(take!(out))
end

"One path segment with everything escaped but letters, digits and `-._~`."
encoded_segment(text) = join(b in SEGMENT ? string(Char(b)) : escaped(b) for b in codeunits(text))

"What a receiver may fetch: the origins named here, such as `http://localhost:8080`, and nothing else."
struct Policy
    origins::Set{Tuple{String,String,Int}}
end

Policy(origins) = Policy(Set{Tuple{String,String,Int}}(parse_origin(text) for text in origins))

function parse_origin(text)
    link = try
        parse_link(text)
    catch error
        error isa BridgeError || rethrow()
        throw(BridgeError(:invalid_input, error.clause, "not an origin: $(error.message)"))
    end
    if link.target != "/" || occursin(r"[?#]", text)
        throw(BridgeError(:invalid_input, "POL-4", "an origin is scheme, host and port: http://localhost:8080"))
    end
    return origin(link)
end

function check(policy::Policy, link::Link)
    origin(link) in policy.origins && return nothing
    name = "$(link.scheme)://$(link.host):$(link.port)"
    refused("POL-2", "$name is not allowed; if it is trusted, put it into allow_origins")
end
