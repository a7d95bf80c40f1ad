# The module under the conformance kit: JSON lines on standard input and output, see protocol/testee.md.
#
#     julia testee.jl

include(joinpath(@__DIR__, "src", "NATSBridge.jl"))

module Testee

using ..NATSBridge
using ..NATSBridge: Client, FIELDS, Decoder, Encoder, check_publish, check_subscribe, decode, encode, finish!,
    next_message, reply, request, subscribe, update!
const NB = NATSBridge

const MOST_INLINE = 65_536  # bytes that are answered in hex; more are answered by their digest

# --- values of the protocol
# --------------------------------------------------------------------------------------

function bytes_in(given)
    haskey(given, "hex") && return hex2bytes(given["hex"])
    haskey(given, "text") && return Vector{UInt8}(codeunits(given["text"]))
    return generated(given["gen"]["seed"], given["gen"]["len"])
end

"xorshift64*, the top byte of each product."
function generated(seed, len)
    x, out = UInt64(seed) * 2 + 1, Vector{UInt8}(undef, len)
    for index in 1:len
        x ⊻= x >> 12
        x ⊻= x << 25
        x ⊻= x >> 27
        out[index] = (x * 0x2545f4914f6cdd1d) >> 56
    end
    return out
end

function bytes_out(raw)
    length(raw) <= MOST_INLINE && return Dict("hex" => bytes2hex(raw))
    return Dict("sha256" => bytes2hex(NB.sha256(raw)), "len" => length(raw))
end

string_in(given) = given isa String ? given : String(hex2bytes(given["hex"]))
string_out(text) = all(c -> ' ' <= c <= '~', text) ? text : Dict("hex" => bytes2hex(codeunits(text)))
integer_in(given) = given isa String ? parse(Int128, given) : given
integer_out(number) = number === nothing || abs(Int128(number)) < Int128(2)^53 ? number : string(number)
json_in(given) = NB.read_json(bytes_in(given); kind = :invalid_input, ordered = true)
json_out(value) = Dict("hex" => bytes2hex(codeunits(NB.write_json(value))))

function rejection(error)
    told = Dict{String,Any}("kind" => string(error.kind), "text" => "$(error.clause): $(error.message)")
    for name in (:offset, :needed, :limit)
        value = getfield(error, name)
        value === nothing || (told[string(name)] = integer_out(value))
    end
    return told
end

"An envelope; with `opened`, its links as they were fetched."
function envelope_out(envelope, opened = nothing)
    entries = map(enumerate(envelope.payloads)) do (index, payload)
        out = Dict{String,Any}(
            string(name) => string_out(getproperty(payload, name))
            for name in (:id, :dataname, :type, :transport, :encoding)
        )
        out["size"] = integer_out(payload.size)
        out["metadata"] = Dict("hex" => bytes2hex(payload.metadata_json))
        error, raw = opened === nothing ? (payload.error, payload.data) : (opened[index].error, opened[index].raw)
        if error !== nothing
            out["reject"] = rejection(error)
        elseif raw isa String
            out["url"] = string_out(raw)
        else
            out["bytes"] = bytes_out(raw)
        end
        out
    end
    return Dict(
        "dialect" => string(envelope.dialect),
        "fields" => Dict(string(field) => string_out(getproperty(envelope, field)) for (field, _) in FIELDS),
        "metadata" => Dict("hex" => bytes2hex(envelope.metadata_json)),
        "payloads" => entries,
    )
end

# --- operations
# --------------------------------------------------------------------------------------------------

function envelope_decode(given, limits)
    names = Dict("message_len" => :max_message_len, "payload_count" => :max_payloads)
    options = (; (names[name] => integer_in(value) for (name, value) in limits)...)
    return envelope_out(decode(bytes_in(given["body"]); options...))
end

function envelope_encode(given)
    envelope = MessageEnvelope(; dialect = Symbol(given["dialect"]))
    for (name, text) in given["fields"]
        setproperty!(envelope, Symbol(name), string_in(text))
    end
    haskey(given, "metadata") && (envelope.metadata = json_in(given["metadata"]))
    for entry in given["payloads"]
        payload = MessagePayload()
        for name in ("id", "dataname", "type")
            setproperty!(payload, Symbol(name), string_in(get(entry, name, "")))
        end
        haskey(entry, "metadata") && (payload.metadata = json_in(entry["metadata"]))
        is_link = haskey(entry, "url")
        payload.transport = is_link ? "link" : "direct"
        payload.data = is_link ? string_in(entry["url"]) : bytes_in(entry["data"])
        payload.size = is_link ? integer_in(entry["size"]) : length(payload.data)
        push!(envelope.payloads, payload)
    end
    return Dict("body" => bytes_out(encode(envelope)))
end

"In one piece, or through the streaming interface."
function base64(coder, given, split)
    data, out = bytes_in(given["data"]), UInt8[]
    cuts = [0; split === nothing ? Int[] : split; length(data)]
    for index in 2:length(cuts)
        append!(out, update!(coder, data[cuts[index-1]+1:cuts[index]]))
    end
    return Dict("data" => bytes_out(append!(out, finish!(coder))))
end

const HAS_ARROW = Base.identify_package("Arrow") !== nothing

function payload_read(given)
    type, raw = string_in(given["type"]), bytes_in(given["data"])
    is_rows = type == "jsontable" || type in NB.TABLES && NB.is_json_rows(raw)
    type in NB.TABLES && !is_rows && !HAS_ARROW && return nothing
    value = NB.read_payload(type, raw)
    type == "text" && return Dict("text" => string_out(value))
    type == "dictionary" && return Dict("json" => json_out(value))
    is_rows && return Dict("rows" => json_out(value))
    type in NB.TABLES && return nothing  # what an Arrow.Table holds is not compared yet
    return Dict("bytes" => bytes_out(value))
end

function payload_write(given)
    type = string_in(given["type"])
    type in NB.TABLES && !haskey(given, "bytes") && !HAS_ARROW && return nothing
    for (name, take) in (("text", string_in), ("json", json_in), ("rows", json_in), ("bytes", bytes_in))
        haskey(given, name) && return Dict("data" => bytes_out(NB.write_payload(type, take(given[name]))))
    end
end

function plan_op(given)
    number(value) = value === nothing ? nothing : integer_in(value)
    items = [NB.PlanItem(number(i["size"]), number(i["direct_len"]), number(i["link_len"])) for i in given["payloads"]]
    limit = number(given["max_payload"])
    transports = NB.plan(
        convert(Vector{NB.PlanItem}, items); threshold = integer_in(given["threshold"]), max_payload = limit,
        base_len = integer_in(given["base_len"]), has_store = given["store"],
    )
    return Dict("transports" => string.(transports))
end

function link_policy(given)
    policy = Policy(string_in.(given["origins"]))
    link = NB.parse_link(string_in(given["url"]))
    NB.check(policy, link)
    return Dict("request" => string_out(NB.url(link)))
end

function retry_delay(given)
    after = get(given, "retry_after_ms", nothing)
    wait = NB.retry_delay(
        integer_in(given["retry"]); base_delay = integer_in(given["base_ms"]), max_delay = integer_in(given["max_ms"]),
        seed = integer_in(given["seed"]), retry_after = after === nothing ? nothing : integer_in(after),
    )
    return Dict("ms" => wait)
end

function retry_class(given)
    haskey(given, "status") && return Dict("retry" => NB.is_retried(given["status"]))
    return Dict("retry" => given["failure"] in ("connect", "timeout", "cut_short"))
end

function plik_reply(given)
    created = NB.read_created(bytes_in(given["upload"]), string_in(given["server"]))
    added = NB.read_added(bytes_in(given["file"]))
    url = NB.link_of(created, added)
    told = ("upload_id" => created.id, "file_id" => added.id, "token" => created.token, "url" => url)
    return Dict(name => string_out(text) for (name, text) in told)
end

function subject_check(given)
    (given["use"] == "publish" ? check_publish : check_subscribe)(string_in(given["subject"]))
    return Dict()
end

function reply_plan(given)
    request = decode(bytes_in(given["request"]))
    nats_reply = given["nats_reply"] === nothing ? nothing : string_in(given["nats_reply"])
    subject = NB.reply_subject(request, nats_reply)
    subject === nothing && return Dict("subject" => nothing)
    fields = Dict(string(name) => string_out(text) for (name, text) in pairs(NB.reply_fields(request)))
    return Dict("subject" => string_out(subject), "dialect" => string(request.dialect), "fields" => fields)
end

function link_download(given)
    names = Dict("max_retries" => :max_retries, "base_ms" => :base_delay, "max_ms" => :max_delay)
    options = (; (names[name] => integer_in(given[name]) for name in keys(names) if haskey(given, name))...)
    download = Download(Policy(string_in.(given["origins"])); options...)
    payload = MessagePayload(; transport = "link", data = string_in(given["url"]))
    size, digest = get(given, "size", nothing), get(given, "sha256", nothing)
    size === nothing || (payload.size = integer_in(size))
    digest === nothing || (payload.metadata = ["sha256" => string_in(digest)])
    return Dict("bytes" => bytes_out(NB.fetch_link(download, payload)))
end

function link_upload(given)
    lifetime = given["lifetime"]
    options = haskey(lifetime, "one_shot") ? (one_shot = true,) : (ttl = integer_in(lifetime["ttl"]),)
    stored = NB.upload(Plik(string_in(given["server"]); options...), string_in(given["name"]), bytes_in(given["data"]))
    told = ("url" => stored.url, "upload_id" => stored.uploadid, "file_id" => stored.fileid)
    return Dict(name => string_out(text) for (name, text) in told)
end

# --- operations over NATS
# ----------------------------------------------------------------------------------------

function send_options(given)
    options = Dict{Symbol,Any}()
    haskey(given, "dialect") && (options[:dialect] = Symbol(given["dialect"]))
    for (name, value) in get(given, "options", Dict())
        if name == "threshold"
            options[:size_threshold] = integer_in(value)
        else
            options[Symbol(name)] = name == "metadata" ? json_in(value) : string_in(value)
        end
    end
    server = get(given, "server", nothing)
    options[:fileserver_url] = server === nothing ? nothing : string_in(server)
    return options
end

function send_items(given)
    value(entry) =
        haskey(entry, "data") ? bytes_in(entry["data"]) :
        haskey(entry, "json") ? json_in(entry["json"]) : string_in(entry["text"])
    return [(string_in(e["dataname"]), value(e), string_in(e["type"])) for e in given["payloads"]]
end

function bridge_send(given, _)
    url = string_in(given["nats_url"])
    sent = smartsend(string_in(given["subject"]), send_items(given); nats_url = url, send_options(given)...)
    return Dict("msg_id" => string_out(sent.msg_id))
end

function with_client(work, given)
    client = Client(string_in(given["nats_url"]))
    try
        return work(client)
    finally
        close(client)
    end
end

function bridge_request(given, _)
    return with_client(given) do client
        answer = request(
            client, string_in(given["subject"]), send_items(given); timeout = given["timeout_ms"] / 1000,
            send_options(given)...,
        )
        received = smartreceive(answer; allow_origins = string_in.(get(given, "origins", [])))
        Dict("reply" => envelope_out(received.envelope, received.payloads))
    end
end

"Subscribes, says so after a round trip to the server, and calls `f` with `count` messages."
function incoming(f, client, given, ready)
    subscribe(client, string_in(given["subject"]))
    NB.flush_client(client)
    ready()
    deadline = time() + given["timeout_ms"] / 1000
    for _ in 1:given["count"]
        message = next_message(client, deadline - time())
        message === nothing && throw(BridgeError(:timeout, "FACADE-2", "no message in time"))
        f(smartreceive(message; allow_origins = string_in.(given["origins"])))
    end
end

function bridge_receive(given, ready)
    return with_client(given) do client
        messages = []
        incoming(message -> push!(messages, envelope_out(message.envelope, message.payloads)), client, given, ready)
        Dict("messages" => messages)
    end
end

function bridge_respond(given, ready)
    return with_client(given) do client
        answered, server = 0, get(given, "server", nothing)
        incoming(client, given, ready) do received
            echoes = [(p.dataname, "echo:" * p.dataname, "text") for p in received.payloads]
            reply(client, received, echoes; fileserver_url = server === nothing ? nothing : string_in(server))
            answered += 1
        end
        NB.flush_client(client)
        Dict("answered" => answered)
    end
end

const PLAIN = Dict(
    "envelope.encode" => envelope_encode, "payload.read" => payload_read, "payload.write" => payload_write,
    "timestamp.parse" => given -> Dict("unix_ns" => integer_out(NB.parse_time(string_in(given["text"])))),
    "timestamp.write" => given -> Dict("text" => NB.write_time(integer_in(given["unix_ms"]))),
    "plan" => plan_op, "link.policy" => link_policy, "retry.delay" => retry_delay, "retry.class" => retry_class,
    "plik.reply" => plik_reply, "subject.check" => subject_check, "reply.plan" => reply_plan,
    "link.download" => link_download, "link.upload" => link_upload,
)
const STREAMING = Dict("base64.encode" => Encoder, "base64.decode" => Decoder)
const OVER_NATS = Dict(
    "bridge.send" => bridge_send, "bridge.request" => bridge_request,
    "bridge.receive" => bridge_receive, "bridge.respond" => bridge_respond,
)

# --- the loop
# ----------------------------------------------------------------------------------------------------

function run(request)
    seq, op, given, split = request["seq"], request["op"], request["in"], get(request, "split", nothing)
    pieces = split === nothing ? [] : ["pieces" => length(split) + 1]
    try
        ok = if op == "envelope.decode"
            envelope_decode(given, get(request, "limits", Dict()))
        elseif haskey(STREAMING, op)
            base64(STREAMING[op](), given, split)
        elseif haskey(OVER_NATS, op)
            OVER_NATS[op](given, () -> say(Pair{String,Any}["seq" => seq, "ready" => true]))
        elseif haskey(PLAIN, op)
            PLAIN[op](given)
        else
            return ["seq" => seq, "skip" => "no $op"]
        end
        return ok === nothing ? ["seq" => seq, "skip" => "no Arrow here"] : ["seq" => seq, "ok" => ok, pieces...]
    catch error
        error isa BridgeError && return ["seq" => seq, "reject" => rejection(error), pieces...]
        error isa InterruptException && rethrow()
        return ["seq" => seq, "error" => sprint(showerror, error, catch_backtrace())]
    end
end

function say(line)
    println(NB.write_json(convert(Vector{Pair{String,Any}}, line)))
    flush(stdout)
end

function main()
    for line in eachline(stdin)
        request = NB.read_json(Vector{UInt8}(codeunits(line)))
        if request["cmd"] == "start"
            testee = Dict("name" => "julia", "language" => "Julia $VERSION", "version" => NB.VERSION_TEXT)
            tables = (PLAIN, STREAMING, OVER_NATS)
            supports = sort!(["envelope.decode"; (collect(keys(table)) for table in tables)...])
            say(["version" => 1, "testee" => testee, "profile" => "micro", "supports" => supports])
        elseif request["cmd"] == "run"
            say(run(request))
        else
            return
        end
    end
end

end

Testee.main()
