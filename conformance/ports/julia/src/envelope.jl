# The envelope: its keys in both dialects, reading and writing (SPEC.md sections 2 to 4, 6 and 8).

using SHA: sha256

# The twelve text fields of a message: field (which is the snake_case key), camelCase key.
const FIELDS = (
    :correlation_id => "correlationId",
    :msg_id => "msgId",
    :timestamp => "timestamp",
    :send_to => "sendTo",
    :msg_purpose => "msgPurpose",
    :sender_name => "senderName",
    :sender_id => "senderId",
    :receiver_name => "receiverName",
    :receiver_id => "receiverId",
    :reply_to => "replyTo",
    :reply_to_msg_id => "replyToMsgId",
    :broker_url => "brokerURL",
)

# Spelling -> (field, the dialect that it speaks for).
const MESSAGE_KEYS = let keys = Dict{String,Tuple{Symbol,Union{Symbol,Nothing}}}()
    keys["metadata"], keys["payloads"] = (:metadata, nothing), (:payloads, nothing)
    keys["BrokerURL"] = (:broker_url, :camel)
    for (field, camel) in FIELDS
        shared = string(field) == camel
        keys[camel] = (field, shared ? nothing : :camel)
        keys[string(field)] = (field, shared ? nothing : :snake)
    end
    keys
end
const PAYLOAD_KEYS = let keys = Dict{String,Tuple{Symbol,Union{Symbol,Nothing}}}()
    for name in (:id, :dataname, :transport, :encoding, :size, :data, :metadata)
        keys[string(name)] = (name, nothing)
    end
    keys["type"], keys["payload_type"] = (:type, :camel), (:type, :snake)
    keys
end

const INLINE_TYPES = ("dictionary", "table", "arrowtable", "jsontable")
const TABLES = ("table", "arrowtable")
const MAX_MESSAGE_LEN = 64 * 1024 * 1024  # chosen; NATS itself allows no more than that
const MAX_PAYLOADS = 4096  # chosen
const NO_METADATA = Vector{UInt8}(codeunits("{}"))

"""
One payload as it is on the wire. `data` is the raw bytes of a direct payload and the URL of a link. On
reading, `error` says why a payload cannot be had (`data` is `nothing` then), and `notes` holds what is odd
but no error.
"""
Base.@kwdef mutable struct MessagePayload
    id::String = ""
    dataname::String = ""
    type::String = ""
    transport::String = ""
    encoding::String = ""
    size::Union{Int64,Nothing} = nothing
    data::Union{Vector{UInt8},String,Nothing} = nothing
    metadata_json::Vector{UInt8} = NO_METADATA
    notes::Vector{String} = String[]
    error::Union{BridgeError,Nothing} = nothing
end

"""
A message: its twelve text fields, metadata, payloads, and the dialect it is written in, `:camel` or `:snake`.
"""
Base.@kwdef mutable struct MessageEnvelope
    correlation_id::String = ""
    msg_id::String = ""
    timestamp::String = ""
    send_to::String = ""
    msg_purpose::String = ""
    sender_name::String = ""
    sender_id::String = ""
    receiver_name::String = ""
    receiver_id::String = ""
    reply_to::String = ""
    reply_to_msg_id::String = ""
    broker_url::String = ""
    metadata_json::Vector{UInt8} = NO_METADATA
    payloads::Vector{MessagePayload} = MessagePayload[]
    dialect::Symbol = :camel
end

# `metadata` is read when it is asked for (TYPE-4), and written as JSON at once. Upstream's Julia names the
# fields in camelCase: `envelope.correlationId` works too.
function Base.getproperty(held::Union{MessageEnvelope,MessagePayload}, name::Symbol)
    name == :metadata && return read_json(getfield(held, :metadata_json))
    return getfield(held, held isa MessageEnvelope ? get(CAMEL_NAMES, name, name) : name)
end

function Base.setproperty!(held::Union{MessageEnvelope,MessagePayload}, name::Symbol, value)
    if name == :metadata
        text = write_json(value)
        # A message and, for a payload's, an array and an object are around it; no reader takes more than 128.
        around = held isa MessageEnvelope ? 2 : 4
        r = Reader(Vector{UInt8}(codeunits(text)), :invalid_input, "ENV-R2")
        startswith(text, '{') || fail(r, "metadata is no object", 1, "ENV-R7")
        skip_value(r, 1, around)
        return setfield!(held, :metadata_json, r.text)
    end
    name = held isa MessageEnvelope ? get(CAMEL_NAMES, name, name) : name
    return setfield!(held, name, convert(fieldtype(typeof(held), name), value))
end

const CAMEL_NAMES = Dict(Symbol(camel) => field for (field, camel) in FIELDS)

"The digest in the metadata if it is one that counts (VER-5), in lower case."
function digest(payload::MessagePayload)
    text = raw_digest(payload)
    text isa String && occursin(r"^[0-9A-Fa-f]{64}\z", text) && return lowercase(text)
    return nothing
end

function raw_digest(payload::MessagePayload)
    r, found = Reader(payload.metadata_json), nothing
    # A number elsewhere in it that no double can hold does not take the digest away.
    each_member(r, 1, 1) do key, _, place
        key == "sha256" && (found = place.kind == :string ? value_at(r, place) : missing)
    end
    return found
end

# --- reading
# ---------------------------------------------------------------------------------------------------

"""
    decode(body; max_message_len, max_payloads) -> MessageEnvelope

Reads a message body, or throws the `BridgeError` that fails the whole message. A payload that fails alone is
in its place, with its `error`.
"""
function decode(body::Vector{UInt8}; max_message_len = MAX_MESSAGE_LEN, max_payloads = MAX_PAYLOADS)
    if length(body) > max_message_len
        throw(BridgeError(:limit, "ENV-1", "the message is too long"; needed = length(body), limit = max_message_len))
    end
    r = Reader(body)
    root = document(r)
    root.kind == :object || fail(r, "the message is not an object", root.first, "ENV-1")
    known, spoke = known_members(r, root, 1, MESSAGE_KEYS)
    listed = get(known, :payloads, nothing)
    missing_at = listed === nothing ? root.last : listed.first
    is_given(r, listed) || fail(r, "no payloads", missing_at, "ENV-R3")
    listed.kind == :array || fail(r, "payloads is not an array", listed.first, "ENV-R7")
    envelope = MessageEnvelope()
    for (field, _) in FIELDS
        setfield!(envelope, field, text_at(r, get(known, field, nothing), field))
    end
    setfield!(envelope, :metadata_json, metadata_at(r, get(known, :metadata, nothing)))
    each_element(r, listed.first, 2) do item
        if length(envelope.payloads) == max_payloads
            error = BridgeError(:limit, "ENV-3", "too many payloads", item.first - 1; limit = max_payloads)
            throw(error)
        end
        members, said = item.kind == :object ? known_members(r, item, 3, PAYLOAD_KEYS) : (nothing, nothing)
        if said !== nothing && (spoke === nothing || said < spoke)
            spoke = said
        end
        push!(envelope.payloads, payload_at(r, item, members))
    end
    spoke === nothing || (envelope.dialect = spoke[2])
    return envelope
end

decode(body::AbstractString; options...) = decode(Vector{UInt8}(codeunits(body)); options...)

"The known members by field, and (offset, dialect) of the first key that tells."
function known_members(r, object, depth, table)
    known, spoke = Dict{Symbol,Place}(), nothing
    each_member(r, object.first, depth) do key, at, place
        haskey(table, key) || return
        field, dialect = table[key]
        haskey(known, field) && fail(r, "$field comes twice", at, "ENV-R5")
        known[field] = place
        if dialect !== nothing && spoke === nothing
            spoke = (at, dialect)
        end
    end
    return known, spoke
end

is_given(r, place) = place !== nothing && !(place.kind == :literal && byte(r, place.first) == UInt8('n'))

function text_at(r, place, field)
    is_given(r, place) || return ""
    place.kind == :string || fail(r, "$field is not a string", place.first, "ENV-R7")
    return string_at(r, place.first, place.last)
end

function metadata_at(r, place)
    is_given(r, place) || return NO_METADATA
    place.kind == :object || fail(r, "metadata is not an object", place.first, "ENV-R7")
    return slice(r, place)
end

function payload_at(message::Reader, item, members)
    r = Reader(message.text, :invalid_payload, "ENV-R7")
    payload = MessagePayload()
    try
        members === nothing && fail(r, "the payload is not an object", item.first)
        for field in (:id, :dataname, :type, :transport, :encoding)
            setfield!(payload, field, text_at(r, get(members, field, nothing), field))
        end
        setfield!(payload, :metadata_json, metadata_at(r, get(members, :metadata, nothing)))
        payload.size = size_at(r, get(members, :size, nothing))
        for field in (:type, :transport)
            at = haskey(members, field) ? members[field].first : item.first
            isempty(getfield(payload, field)) && fail(r, "no $field", at, "ENV-R8")
        end
        payload.transport in ("direct", "link") || fail(r, "unknown transport", members[:transport].first, "ENV-R8")
        place = get(members, :data, nothing)
        is_given(r, place) || fail(r, "no data", place === nothing ? item.first : place.first, "ENV-R8")
        payload.data = data_at(r, payload, place)
        payload.transport == "direct" && verify_direct(payload)
    catch error
        error isa BridgeError || rethrow()
        payload.data, payload.error = nothing, error
    end
    return payload
end

function data_at(r, payload, place)
    if payload.transport == "link"
        text = place.kind == :string ? string_at(r, place.first, place.last) : ""
        is_url(text) || fail(r, "the link is no absolute http or https URL", place.first, "LINK-1")
        at_place(place.first) do
            parse_link(text)  # one that no policy can allow is none
        end
        return text
    end
    inline = payload.type in INLINE_TYPES
    inline && place.kind in (:object, :array) && return slice(r, place)
    place.kind == :string || fail(r, "data of a $(payload.type) is no string", place.first, "DATA-4")
    text = codeunits(string_at(r, place.first, place.last))
    start = findfirst(b -> !(b in (0x20, 0x09, 0x0a, 0x0d)), text)
    inline && start !== nothing && text[start] in (UInt8('{'), UInt8('[')) && return Vector{UInt8}(text)
    try
        return decode_base64(text)
    catch error
        error isa BridgeError || rethrow()
        at_place(() -> throw(error), source_offset(r, place.first + 1, error.offset))
    end
end

"Runs `f`; what it refuses is refused at `at`."
function at_place(f, at)
    try
        return f()
    catch error
        error isa BridgeError || rethrow()
        throw(BridgeError(error.kind, error.clause, error.message, at - 1))
    end
end

"LINK-1: absolute, http or https, with a host; what may be fetched is the policy's."
is_url(text) = occursin(r"^https?://[^/?#]"i, text)

"Where in the message byte `offset` of the string that begins at `at` comes from, its escapes considered."
function source_offset(r, at, offset)
    while offset > 0
        if byte(r, at) == UInt8('\\')
            char, at = escape(r, at)
            offset -= ncodeunits(char)
        else
            at += 1
            offset -= 1
        end
    end
    return at
end

"ENV-R9: the exact value counts, not the spelling."
function size_at(r, place)
    is_given(r, place) || return nothing
    place.kind == :number || fail(r, "size is not a number", place.first)
    number = match(r"^(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE](.+))?$", String(slice(r, place)))
    sign, whole, fraction, exponent = number.captures
    fraction = something(fraction, "")
    digits = lstrip(whole * fraction, '0')
    isempty(digits) && return 0
    significant = rstrip(digits, '0')
    # The value is significant * 10^power. A hostile exponent is compared, never computed.
    power = bounded(exponent) - length(fraction) + length(digits) - length(significant)
    if sign != "-" && power >= 0 && length(significant) + power <= 19
        size = parse(Int128, significant) * Int128(10)^power
        size <= typemax(Int64) && return Int64(size)
    end
    fail(r, "size is no integer from 0 to 2^63-1", place.first, "ENV-R9")
end

"An exponent as an integer; one with absurdly many digits as a huge one of its sign."
function bounded(exponent)
    exponent === nothing && return 0
    digits = lstrip(lstrip(exponent, ['+', '-']), '0')
    number = isempty(digits) ? 0 : length(digits) < 15 ? parse(Int, digits) : 10^15
    return startswith(exponent, '-') ? -number : number
end

"VER-2 and VER-5: checks the digest; a wrong size is a note."
function verify_direct(payload)
    raw, expected = payload.data, digest(payload)
    if expected !== nothing && bytes2hex(sha256(raw)) != expected
        throw(BridgeError(:digest_mismatch, "VER-5", "the digest does not match"))
    end
    expected === nothing && raw_digest(payload) !== nothing && push!(payload.notes, "unverified")
    if payload.size !== nothing && payload.size != length(raw)
        push!(payload.notes, "size says $(payload.size), there are $(length(raw)) bytes")
    end
end

# --- writing
# ---------------------------------------------------------------------------------------------------

"TYPE-2: the name of an Arrow table is the dialect's."
written_type(type, dialect) = type in TABLES ? (dialect == :camel ? "table" : "arrowtable") : type

"A payload's JSON text up to and with the quote that opens `data`, and what follows the one that closes it."
function entry(dialect, payload)
    key = dialect == :camel ? "type" : "payload_type"
    encoding = payload.transport == "direct" ? "base64" : "none"
    head = string(
        "{\"id\":", write_json(payload.id), ",\"dataname\":", write_json(payload.dataname), ",\"", key, "\":",
        write_json(written_type(payload.type, dialect)), ",\"transport\":\"", payload.transport, "\",\"encoding\":\"",
        encoding, "\",\"size\":", something(payload.size, 0), ",\"data\":\"",
    )
    return head, "\",\"metadata\":" * String(copy(payload.metadata_json)) * "}"
end

"The exact length of a payload's object with `data` of so many characters."
function entry_len(dialect, payload, data_len)
    head, tail = entry(dialect, payload)
    return ncodeunits(head) + data_len + ncodeunits(tail)
end

"""
    encode(envelope) -> Vector{UInt8}

Writes a message: all keys, always, in order, compact, raw UTF-8. The same input gives the same bytes. Throws
a `BridgeError` of kind `:invalid_input` for what the format cannot say.
"""
function encode(envelope::MessageEnvelope)
    out = IOBuffer()
    print(out, '{')
    for (field, camel) in FIELDS
        key = envelope.dialect == :camel ? camel : string(field)
        print(out, '"', key, "\":", write_json(getfield(envelope, field)), ',')
    end
    print(out, "\"metadata\":")
    write(out, envelope.metadata_json)
    print(out, ",\"payloads\":[")
    for (index, payload) in enumerate(envelope.payloads)
        isempty(payload.type) && throw(BridgeError(:invalid_input, "TYPE-1", "a payload needs a type"))
        index > 1 && print(out, ',')
        head, tail = entry(envelope.dialect, payload)
        print(out, head)
        if payload.transport == "link" && payload.data isa String && is_url(payload.data)
            print(out, chop(write_json(payload.data); head = 1, tail = 1))
        elseif payload.transport == "direct" && payload.data isa Vector{UInt8}
            write(out, encode_base64(payload.data))
        else
            throw(BridgeError(:invalid_input, "ENV-4", "a direct payload needs bytes, a link its http or https URL"))
        end
        print(out, tail)
    end
    print(out, "]}")
    return take!(out)
end
