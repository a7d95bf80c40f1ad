# `smartsend` and `smartreceive`, and request and reply on top of them (SPEC.md sections 9, 10, 14, 15).

using UUIDs


const FILESERVER_URL = "http://localhost:8080"
const SENDER_ID = Ref("")  # one for each process

# --- sending
# ---------------------------------------------------------------------------------------------------

"""
    smartsend(subject, [(dataname, data, type), …]; options...) -> MessageEnvelope

Sends payloads, each inside the message or, from `size_threshold` raw bytes on or where the message would be
too large for the server, by link. The link of a link payload is `envelope.payloads[1].data`.

| option | default | |
|---|---|---|
| `nats_url` | `nats://localhost:4222` | a connection for this message, unless there is a `connection` |
| `connection` | | a `Client`, or a connection of NATS.jl |
| `fileserver_url` | `http://localhost:8080` | the Plik for links; `nothing`: there is no store |
| `fileserverUploadHandler` | Plik, kept for 24 hours | `plik_oneshot_upload`, `(url, dataname, data) -> Dict("url" => …)`, or a `Plik` |
| `size_threshold` | 1,000,000; snake: 500,000 | |
| `correlation_id`, `msg_purpose`, `sender_name`, `receiver_name`, `receiver_id`, `reply_to`, `reply_to_msg_id`, `metadata` | as upstream | |
| `dialect` | `:camel` | or `:snake` |

Throws a `BridgeError`; before the message is handed to the server the uploads are taken back.
"""
function smartsend(
    subject::AbstractString, data; nats_url = NATS_URL, connection = nothing, fileserver_url = FILESERVER_URL,
    fileserverUploadHandler = nothing, size_threshold = nothing, correlation_id = string(uuid4(RandomDevice())),
    msg_purpose = "chat", sender_name = "NATSBridge", receiver_name = "", receiver_id = "", reply_to = "",
    reply_to_msg_id = "", metadata = NamedTuple(), dialect = :camel, broker_url = nothing, nats_reply = "",
)
    check_publish(subject)
    isempty(nats_reply) || check_publish(nats_reply)
    isempty(SENDER_ID[]) && (SENDER_ID[] = string(uuid4(RandomDevice())))
    envelope = MessageEnvelope(;
        correlation_id = correlation_id, msg_id = string(uuid4(RandomDevice())), timestamp = now_text(), send_to = subject,
        msg_purpose = msg_purpose, sender_name = sender_name, sender_id = SENDER_ID[], receiver_name = receiver_name,
        receiver_id = receiver_id, reply_to = reply_to, reply_to_msg_id = reply_to_msg_id, dialect = dialect,
        broker_url = without_credentials(something(broker_url, connection === nothing ? nats_url : "")),
    )
    envelope.metadata = metadata
    contents = draft(data)
    store = store_of(fileserverUploadHandler, fileserver_url)
    threshold = something(size_threshold, default_threshold(dialect))
    own = connection === nothing
    own && (connection = Client(nats_url))
    try
        body = prepare!(envelope, contents, store, threshold, max_payload(connection))
        # From here on the message may arrive whatever happens (LINK-6).
        publish(connection, subject, body; reply_to = nats_reply)
        own && flush_client(connection)
    finally
        own && close(connection)
    end
    return envelope
end

max_payload(connection::Client) = connection.max_payload

function max_payload(connection)
    known = hasproperty(connection, :info) && connection.info !== nothing
    return known ? connection.info.max_payload : nothing
end

"A connection of NATS.jl, or whatever else has a `publish` in its module."
function publish(connection, subject, data; reply_to = "")
    nats = parentmodule(typeof(connection))
    options = isempty(reply_to) ? NamedTuple() : (reply_to = reply_to,)
    Base.invokelatest(nats.publish, connection, subject, data; options...)
    return nothing
end

"The payloads without their data, and their raw bytes."
function draft(data)
    valid = data isa Union{AbstractVector,Tuple} && all(entry -> entry isa Tuple && length(entry) == 3, data)
    valid || throw(BridgeError(:invalid_input, "FACADE-1", "give a list of (dataname, data, type)"))
    return map(collect(data)) do (dataname, value, type)
        raw = write_payload(type, value)
        id = string(uuid4(RandomDevice()))
        MessagePayload(; id = id, dataname = dataname, type = type, transport = "direct", size = length(raw)), raw
    end
end

"Plans, uploads and encodes."
function prepare!(envelope, contents, store, threshold, limit)
    items = PlanItem[]
    for (payload, raw) in contents
        direct_len = entry_len(envelope.dialect, payload, cld(length(raw), 3) * 4)
        link_len = nothing
        if store !== nothing
            payload.transport = "link"
            payload.metadata = ["sha256" => "0"^64, "expiresAt" => write_time(0)]
            link_len = entry_len(envelope.dialect, payload, url_bound(store, payload.dataname))
            payload.transport, payload.metadata = "direct", NamedTuple()
        end
        push!(items, PlanItem(length(raw), direct_len, link_len))
    end
    transports = plan(
        items; threshold = threshold, max_payload = limit, base_len = length(encode(envelope)),
        has_store = store !== nothing,
    )
    uploads = []
    try
        for ((payload, raw), transport) in zip(contents, transports)
            if transport == :link
                push!(uploads, upload(store, payload.dataname, raw))
                link_to!(payload, uploads[end])
            else
                payload.encoding, payload.data = "base64", raw
            end
            push!(envelope.payloads, payload)
        end
        body = encode(envelope)
        if limit !== nothing && length(body) > limit  # PLAN-7
            why = "the message has $(length(body)) bytes, the server takes $limit"
            throw(BridgeError(:too_large, "PLAN-7", why; needed = length(body), limit = limit))
        end
        return body
    catch
        for stored in uploads
            try
                delete(store, stored)
            catch error
                error isa BridgeError || rethrow()  # its lifetime will end it; the failure that led here is reported
            end
        end
        rethrow()
    end
end

"ENV-W8."
function link_to!(payload, stored)
    payload.transport, payload.encoding, payload.data = "link", "none", stored.url
    expiry = stored.expires_at === nothing ? [] : ["expiresAt" => stored.expires_at]
    payload.metadata = Pair{String,Any}["sha256" => stored.sha256, expiry...]
end

"ENV-7."
function without_credentials(url)
    scheme, rest = occursin("://", url) ? split(url, "://"; limit = 2) : ("", url)
    return (isempty(scheme) ? "" : scheme * "://") * split(rest, '@')[end]
end

"Uploads to a Plik, kept for 24 hours: `status`, `uploadid`, `fileid`, `url`."
plik_upload(fileserver_url, dataname, data) = handled(upload(Plik(fileserver_url), dataname, data))

"Uploads to a Plik that deletes the file at its first download, **even one that breaks off**."
plik_oneshot_upload(fileserver_url, dataname, data) =
    handled(upload(Plik(fileserver_url; one_shot = true), dataname, data))

handled(stored) = Dict{String,Any}(
    "status" => 200, "uploadid" => stored.uploadid, "fileid" => stored.fileid, "url" => stored.url
)

"A function as a store. It knows no deletion, and its URLs are taken to be of at most 2,048 bytes."
struct Handler
    call::Any
    fileserver_url::String
end

url_bound(::Handler, _) = 2048
delete(::Handler, _) = nothing

function upload(handler::Handler, dataname, data)
    answer = handler.call(handler.fileserver_url, dataname, data)
    url = get(answer, "url", nothing)
    failed = !(get(answer, "status", 200) in (200, nothing)) || !(url isa AbstractString)
    failed && throw(BridgeError(:store, "LINK-2", "the upload handler has failed"))
    return Upload(; url = url, sha256 = bytes2hex(sha256(data)))
end

function store_of(handler, fileserver_url)
    handler isa Plik && return handler
    handler === plik_oneshot_upload && fileserver_url !== nothing && return Plik(fileserver_url; one_shot = true)
    handler in (nothing, plik_upload) && return fileserver_url === nothing ? nothing : Plik(fileserver_url)
    return Handler(handler, something(fileserver_url, ""))
end

# --- receiving
# -------------------------------------------------------------------------------------------------

"""
One payload, verified and read by its type; unpacks as `(dataname, data, type)`. Where it could not be had,
`error` says why, and asking for `data` throws that. `raw` is its raw bytes, `wire` the payload as the message
has it.
"""
mutable struct ReceivedPayload
    wire::MessagePayload
    raw::Union{Vector{UInt8},Nothing}
    value::Any
    error::Union{BridgeError,Nothing}
end

function Base.getproperty(payload::ReceivedPayload, name::Symbol)
    name in (:dataname, :type, :notes) && return getfield(getfield(payload, :wire), name)
    if name == :data
        payload.error === nothing || throw(payload.error)
        return getfield(payload, :value)
    end
    return getfield(payload, name)
end

Base.length(::ReceivedPayload) = 3
function Base.iterate(payload::ReceivedPayload, at = 1)
    at > 3 && return nothing
    return getproperty(payload, (:dataname, :data, :type)[at]), at + 1
end

"""
A message with its fields as properties (`msg_id`, `reply_to`, …; `envelope[\"payloads\"]` works too), and
`payloads`.
"""
struct ReceivedMessage
    envelope::MessageEnvelope
    nats_reply::String
    payloads::Vector{ReceivedPayload}
end

function Base.getproperty(message::ReceivedMessage, name::Symbol)
    hasfield(ReceivedMessage, name) && return getfield(message, name)
    return getproperty(getfield(message, :envelope), name)
end

Base.getindex(message::ReceivedMessage, name::AbstractString) = getproperty(message, Symbol(name))

"""
    smartreceive(msg; max_retries = 5, base_delay = 100, max_delay = 5000, options...) -> ReceivedMessage

Reads a NATS message (of NATS.jl too), its bytes or its JSON text, fetches its links and reads every payload
by its type:

    message = smartreceive(msg)
    for (dataname, data, type) in message.payloads
        println(dataname, ": ", data)
    end

Only links to `allow_origins` (default: `["http://localhost:8080"]`) are fetched. Delays are in ms.
`download`, a `Download` of your own, replaces these options; `fileserverDownloadHandler(url, max_retries,
base_delay, max_delay, correlation_id)` replaces the fetching itself, and answers for what it fetches from.
Throws a `BridgeError` for a message that cannot be read; a payload that cannot be had fails alone.
"""
function smartreceive(
    msg, fileserverDownloadHandler = nothing; max_retries = MAX_RETRIES, base_delay = BASE_DELAY_MS,
    max_delay = MAX_DELAY_MS, allow_origins = (FILESERVER_URL,), download = nothing,
)
    body, nats_reply = body_of(msg)
    envelope = decode(body)
    fetching = something(
        download,
        Download(Policy(allow_origins); max_retries = max_retries, base_delay = base_delay, max_delay = max_delay),
    )
    received = [ReceivedPayload(payload, nothing, nothing, payload.error) for payload in envelope.payloads]
    for payload in received
        payload.error === nothing || continue
        try
            payload.raw = if payload.wire.transport == "direct"
                payload.wire.data
            elseif fileserverDownloadHandler !== nothing
                delays = (max_retries, base_delay, max_delay)
                raw = fileserverDownloadHandler(payload.wire.data, delays..., envelope.correlation_id)
                verified(payload.wire, Vector{UInt8}(raw))
            else
                fetch_link(fetching, payload.wire)
            end
            payload.value = read_payload(payload.type, payload.raw)
        catch error
            error isa BridgeError || rethrow()
            payload.error = error
        end
    end
    return ReceivedMessage(envelope, nats_reply, received)
end

function verified(wire, raw)
    try
        verify_link(wire, raw)
    catch error
        error isa CutShort || rethrow()
        throw(BridgeError(:cut_short, "VER-7", "the download is cut short: $(error.message)"))
    end
    return raw
end

body_of(msg::AbstractVector{UInt8}) = Vector{UInt8}(msg), ""
body_of(msg::AbstractString) = Vector{UInt8}(codeunits(msg)), ""
body_of(msg::NATSMessage) = msg.payload, msg.reply_to

function body_of(msg)  # of NATS.jl, whose payload begins with the headers
    headers = hasproperty(msg, :headers_length) ? Int(msg.headers_length) : 0
    reply_to = hasproperty(msg, :reply_to) ? msg.reply_to : nothing
    return Vector{UInt8}(msg.payload)[headers+1:end], something(reply_to, "")
end

# --- request and reply
# -------------------------------------------------------------------------------------------

"""
    request(client, subject, data; timeout = 30, options...) -> NATSMessage

Sends a request and waits for the reply to it, for `smartreceive`. `options` are those of `smartsend`. Throws
a `BridgeError` of kind `:timeout`, also where nobody listens.
"""
function request(client::Client, subject, data; timeout = 30, msg_purpose = "request", options...)
    inbox = new_inbox()
    sid = subscribe(client, inbox)
    others = NATSMessage[]
    try
        sent = smartsend(
            subject, data; options..., connection = client, msg_purpose = msg_purpose, reply_to = inbox,
            nats_reply = inbox,
        )
        deadline = time() + timeout
        while true
            message = next_message(client, deadline - time())
            message === nothing && throw(BridgeError(:timeout, "REQ-1", "no reply within $timeout seconds"))
            if message.subject != inbox
                push!(others, message)  # of another subscription: kept for its next_message
            elseif message.status == 503
                throw(BridgeError(:timeout, "REQ-1", "nobody listens on the subject"))
            elseif answers(sent, message.payload)
                return message
            end
        end
    finally
        prepend!(client.waiting, others)
        unsubscribe(client, sid)
    end
end

"REQ-3. A message that cannot be read is let through, to be reported."
function answers(sent, body)
    try
        return decode(body).correlation_id == sent.correlation_id
    catch error
        error isa BridgeError || rethrow()
        return true
    end
end

"""
    reply(connection, received, data; options...)

Answers a received request, to where it asks for it. `options` are those of `smartsend` and win over what the
request decides. Throws a `BridgeError` of kind `:invalid_subject` where no reply can be given.
"""
function reply(connection, received::ReceivedMessage, data; options...)
    subject = reply_subject(received, received.nats_reply)
    subject === nothing && throw(BridgeError(:invalid_subject, "REQ-2", "the request names no subject to answer to"))
    decided = merge((dialect = received.dialect,), reply_fields(received))
    return smartsend(subject, data; merge(decided, values(options))..., connection = connection)
end
