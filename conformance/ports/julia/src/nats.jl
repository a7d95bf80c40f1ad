# A small NATS client on Sockets: connect, publish, subscribe, receive. One task, no reconnects, no TLS.
# Programs that have NATS.jl hand its connections and messages to `smartsend` and `smartreceive` instead.

const NATS_URL = "nats://localhost:4222"

"What a subscription received. `status` is that of the NATS header, as 503 where nobody listens."
struct NATSMessage
    subject::String
    reply_to::String
    payload::Vector{UInt8}
    status::Union{Int,Nothing}
end

"""
    Client(url = "nats://localhost:4222"; timeout = 5)

A connection to one server: `nats://[user:password@|token@]host[:port]`. Throws a `BridgeError` of kind
`:timeout` where the server cannot be reached, refuses, or closes the connection.
"""
mutable struct Client
    stream::Stream
    max_payload::Int
    sid::Int
    waiting::Vector{NATSMessage}
    line::Union{Task,Nothing}
end

function Client(url::AbstractString = NATS_URL; timeout = 5)
    host, port, options = parse_nats_url(url)
    return lost() do
        stream = Stream(host, port; connect = timeout, silence = timeout)
        info = something(read_line(stream), "")
        startswith(info, "INFO ") || throw(Unreachable("this is no NATS server"))
        told = read_json(Vector{UInt8}(codeunits(info[6:end])))
        get(told, "tls_required", false) === true && throw(Unreachable("the server wants TLS: use NATS.jl"))
        client = Client(stream, get(told, "max_payload", 1 << 20), 0, NATSMessage[], nothing)
        append!(options, [
            "verbose" => false, "pedantic" => false, "lang" => "julia", "version" => "0.1.0", "protocol" => 1,
            "name" => "natsbridge", "headers" => true, "no_responders" => get(told, "headers", false),
        ])
        send(stream, "CONNECT $(write_json(options))\r\nPING\r\n")
        until_pong(client, timeout)
        client
    end
end

"Turns what a broken connection throws into a `BridgeError`."
function lost(f)
    try
        return f()
    catch error
        error isa Unreachable || rethrow()
        throw(BridgeError(:timeout, "LINK-6", "the NATS server: $(error.message)"))
    end
end

function parse_nats_url(url)
    found = match(r"^(?:nats://)?(?:([^@/]*)@)?(\[[0-9A-Fa-f:.]+\]|[^@/:\[\]]+)(?::([0-9]{1,5}))?/?$", url)
    found === nothing && throw(BridgeError(:invalid_input, "FACADE-1", "the URL of a NATS server is nats://host:port"))
    options = Pair{String,Any}[]
    if found[1] !== nothing
        user, password = occursin(':', found[1]) ? split(found[1], ':'; limit = 2) : (found[1], nothing)
        secrets = password === nothing ? ("auth_token" => user,) : ("user" => user, "pass" => password)
        options = Pair{String,Any}[secrets...]
    end
    return found[2], parse(Int, something(found[3], "4222")), options
end

"Publishes bytes."
function publish(client::Client, subject, data; reply_to = "")
    check_publish(subject)
    isempty(reply_to) || check_publish(reply_to)
    if length(data) > client.max_payload
        why = "the message has $(length(data)) bytes, the server takes $(client.max_payload)"
        throw(BridgeError(:too_large, "PLAN-5", why; needed = length(data), limit = client.max_payload))
    end
    lost() do
        send(client.stream, "PUB $subject $(isempty(reply_to) ? "" : reply_to * " ")$(length(data))\r\n")
        send(client.stream, data)
        send(client.stream, "\r\n")
    end
    return nothing
end

"Returns once the server has taken everything; messages that arrive meanwhile are kept."
function flush_client(client::Client; timeout = 5)
    lost() do
        send(client.stream, "PING\r\n")
        until_pong(client, timeout)
    end
end

function subscribe(client::Client, subject)
    check_subscribe(subject)
    client.sid += 1
    lost(() -> send(client.stream, "SUB $subject $(client.sid)\r\n"))
    return client.sid
end

unsubscribe(client::Client, sid) = lost(() -> send(client.stream, "UNSUB $sid\r\n"))

"The next message of any subscription, or `nothing` when so many seconds are over."
function next_message(client::Client, timeout)
    isempty(client.waiting) || return popfirst!(client.waiting)
    deadline = time() + timeout
    return lost() do
        while true
            message = operation(client, deadline)
            message == :silence && return nothing
            message isa NATSMessage && return message
        end
    end
end

new_inbox() = "_INBOX." * bytes2hex(rand(RandomDevice(), UInt8, 12))

Base.close(client::Client) = close(client.stream)

function until_pong(client, timeout)
    deadline = time() + timeout
    while true
        message = operation(client, deadline)
        message == :pong && return nothing
        message == :silence && throw(Unreachable("the server does not answer"))
        message isa NATSMessage && push!(client.waiting, message)
    end
end

"""
Waits for one operation of the server: a message, `:pong`, `:silence` at the deadline, or `:other`. A wait
that ends without a line leaves the reading of it at work, for the next wait.
"""
function operation(client, deadline)
    if client.line === nothing
        client.line = @async try
            readuntil(client.stream.socket, '\n'; keep = true)
        catch
            ""
        end
    end
    timedwait(() -> istaskdone(client.line), max(0.001, deadline - time()); pollint = 0.002) == :ok || return :silence
    line, client.line = fetch(client.line), nothing
    endswith(line, '\n') || throw(Unreachable("the server closed the connection"))
    words = split(line)
    name = isempty(words) ? "" : uppercase(words[1])
    if name == "PING"
        send(client.stream, "PONG\r\n")
    elseif name == "PONG"
        return :pong
    elseif name in ("MSG", "HMSG")
        return read_message(client, words, name == "HMSG")
    elseif name == "-ERR"
        throw(Unreachable("the server refuses: $(strip(line[5:end]))"))
    end
    return :other
end

"MSG subject sid [reply] length, or HMSG subject sid [reply] header-length length."
function read_message(client, words, has_headers)
    full = has_headers ? 6 : 5
    len = length(words) in (full - 1, full) ? tryparse(Int, words[end]) : nothing
    head = has_headers && len !== nothing ? tryparse(Int, words[end-1]) : 0
    valid = len !== nothing && head !== nothing && 0 <= head <= len
    valid || throw(Unreachable("the server sends what is no NATS"))
    body = read_bytes(client.stream, len + 2)
    length(body) == len + 2 || throw(Unreachable("the connection ended in a message"))
    status = match(r"^NATS/1\.0 +([0-9]{3})", String(body[1:head]))
    reply_to = length(words) == full ? String(words[4]) : ""
    return NATSMessage(words[2], reply_to, body[head+1:len], status === nothing ? nothing : parse(Int, status[1]))
end
