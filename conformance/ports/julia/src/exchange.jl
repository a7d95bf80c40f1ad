# One HTTP request: with deadlines, without redirects, retries or decoding (POL-6).

const USER_AGENT = "plik_client/1.0 (natsbridge julia)"  # LINK-8: Plik answers others with redirects
const CHUNK = 65536

"The body ended before its end."
struct CutShort <: Exception
    message::String
end

"Seconds: to connect, of silence, and for the whole."
Base.@kwdef struct Deadlines
    connect::Float64 = 5
    silence::Float64 = 30
    total::Float64 = 300
end

"An answer: `status`, `headers` (names in lower case), and the body, which `each_piece` reads."
struct Answer
    status::Int
    headers::Dict{String,String}
    stream::Union{Stream,Vector{UInt8}}
end

"""
    exchange(f, method, link, headers, body; deadlines)

Sends a request, its body in the pieces of an iterator, and calls `f(answer)`. Throws `Unreachable` where
there is none. https goes through HTTP.jl, where that is installed.
"""
function exchange(f, method, link::Link, headers = (), body = (); deadlines = Deadlines())
    link.scheme == "https" && return exchange_tls(f, method, link, headers, body, deadlines)
    stream = Stream(
        link.host, link.port; connect = deadlines.connect, silence = deadlines.silence, total = deadlines.total
    )
    try
        head = IOBuffer()
        print(head, method, " ", link.target, " HTTP/1.1\r\nHost: ", authority(link), "\r\nUser-Agent: ", USER_AGENT)
        print(head, "\r\nAccept-Encoding: identity\r\nConnection: close\r\n")
        for (name, value) in headers
            print(head, name, ": ", value, "\r\n")
        end
        print(head, "\r\n")
        send(stream, take!(head))
        for piece in body
            send(stream, piece)
        end
        return f(read_head(stream))
    finally
        close(stream)
    end
end

function exchange_tls(f, method, link, headers, body, deadlines)
    http = optional("HTTP")
    why = "https needs the package HTTP: using Pkg; Pkg.add(\"HTTP\")"
    http === nothing && throw(BridgeError(:link_failed, "POL-6", why))
    given = [string(name) => string(value) for (name, value) in headers]
    all_headers = ["User-Agent" => USER_AGENT, "Accept-Encoding" => "identity", given...]
    answer = try
        Base.invokelatest(
            http.request, method, url(link), all_headers, reduce(vcat, body; init = UInt8[]);
            redirect = false, retry = false, status_exception = false, decompress = false, connect_timeout = ceil(Int, deadlines.connect),
            readtimeout = ceil(Int, deadlines.total),
        )
    catch error
        error isa InterruptException && rethrow()
        throw(Unreachable("no answer over TLS: $(typeof(error))"))
    end
    told = Dict(lowercase(string(name)) => string(value) for (name, value) in answer.headers)
    return f(Answer(answer.status, told, Vector{UInt8}(answer.body)))
end

function read_head(stream)
    while true
        first_line = read_line(stream)
        found = first_line === nothing ? nothing : match(r"^HTTP/1\.[01] ([0-9]{3})", first_line)
        found === nothing && throw(Unreachable("the answer is no HTTP"))
        status, headers = parse(Int, found[1]), Dict{String,String}()
        while true
            line = read_line(stream)
            line === nothing && throw(Unreachable("the answer is not complete"))
            isempty(line) && break
            length(headers) < 64 || throw(Unreachable("the answer has too many headers"))
            name, value = occursin(':', line) ? split(line, ':'; limit = 2) : (line, "")
            headers[lowercase(strip(name))] = strip(value)
        end
        status >= 200 && return Answer(status, headers, stream)  # 1xx announce another one
    end
end

is_chunked(answer) = lowercase(get(answer.headers, "transfer-encoding", "")) == "chunked"

"The Content-Length, where it is what tells the body's end."
function content_length(answer)
    text = get(answer.headers, "content-length", "")
    return is_chunked(answer) ? nothing : tryparse(Int, text)
end

"""
Calls `f` with the body's pieces. Throws `CutShort` where it ends before its Content-Length or its last chunk.
"""
function each_piece(f, answer::Answer)
    answer.stream isa Vector && return f(answer.stream)
    if is_chunked(answer)
        while true
            line = something(read_line(answer.stream), "")
            left = tryparse(Int, String(strip(split(line, ';')[1])); base = 16)
            (left === nothing || left < 0) && throw(CutShort("the last chunk is missing"))
            left == 0 && return nothing
            while left > 0
                piece = read_bytes(answer.stream, min(left, CHUNK))
                isempty(piece) && throw(CutShort("the last chunk is missing"))
                left -= length(piece)
                f(piece)
            end
            read_line(answer.stream)
        end
    end
    left = content_length(answer)
    while left === nothing || left > 0
        piece = left === nothing ? read_some(answer.stream) : read_bytes(answer.stream, min(left, CHUNK))
        if isempty(piece)
            left === nothing && return nothing
            throw(CutShort("$left bytes are missing"))
        end
        left === nothing || (left -= length(piece))
        f(piece)
    end
    return nothing
end

"A small body whole."
function read_body(answer::Answer, most)
    body = UInt8[]
    each_piece(answer) do piece
        append!(body, piece)
        length(body) <= most || throw(CutShort("the answer has more than $most bytes"))
    end
    return body
end
