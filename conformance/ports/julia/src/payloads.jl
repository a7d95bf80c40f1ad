# Payload types: values to raw bytes and back (SPEC.md section 5).

"A package that is used where it is installed, or `nothing`."
function optional(name)
    id = Base.identify_package(name)
    return id === nothing ? nothing : Base.require(id)
end

"""
    write_payload(type, value) -> Vector{UInt8}

The raw bytes of a value: `text` takes a string, `dictionary` what JSON can say, `jsontable` a vector of
objects, a table whatever Arrow.jl takes for one (where it is installed), every other type bytes. Bytes are
taken as they are for all types, once JSON and UTF-8 in them are checked.
"""
function write_payload(type::AbstractString, value)
    isempty(type) && throw(BridgeError(:invalid_input, "TYPE-1", "a payload needs a type"))
    if value isa AbstractVector{UInt8}
        raw = Vector{UInt8}(value)
        if type == "text" || type in ("dictionary", "jsontable")
            try
                read_payload(type, raw)
            catch error
                error isa BridgeError || rethrow()
                why = "the bytes are no $type: $(error.message)"
                throw(BridgeError(:invalid_input, error.clause, why, error.offset))
            end
        end
        return raw
    elseif type == "text" && value isa AbstractString
        isvalid(value) || throw(BridgeError(:invalid_input, "TYPE-1", "the text is not valid UTF-8"))
        return Vector{UInt8}(codeunits(value))
    elseif type == "dictionary"
        return Vector{UInt8}(codeunits(write_json(value)))
    elseif type == "jsontable" && value isa AbstractVector && all(is_row, value)
        return Vector{UInt8}(codeunits(write_json(value)))
    elseif type in TABLES
        return write_table(value)
    elseif !(type in ("text", "jsontable")) && value isa AbstractVector && isbitstype(eltype(value))
        return Vector{UInt8}(reinterpret(UInt8, Vector(value)))  # upstream's walkthrough sends rand(10_000_000)
    end
    throw(BridgeError(:invalid_input, "TYPE-1", "a $type cannot be made of a $(typeof(value))"))
end

is_row(value) = value isa Union{AbstractDict,NamedTuple,AbstractVector{<:Pair}}

"The value of raw bytes: a string, JSON values, a vector of rows, an `Arrow.Table`, or the bytes themselves."
function read_payload(type::AbstractString, raw::Vector{UInt8})
    if type == "text"
        r, at = Reader(raw, :invalid_text, "TYPE-1"), 1
        while at <= length(raw)
            at = raw[at] < 0x80 ? at + 1 : after_character(r, at)
        end
        return String(copy(raw))
    elseif type == "dictionary"
        return read_json(raw)
    elseif type == "jsontable" || type in TABLES && is_json_rows(raw)
        return read_rows(raw)
    elseif type in TABLES
        return read_table(raw)
    end
    return raw
end

"TYPE-7: a table that is JSON rows."
function is_json_rows(raw)
    start = findfirst(b -> !(b in (0x20, 0x09, 0x0a, 0x0d)), raw)
    return start !== nothing && raw[start] == UInt8('[')
end

function read_rows(raw)
    rows = read_json(raw; clause = "TYPE-5")
    if !(rows isa Vector) || !all(row -> row isa Dict, rows)
        throw(BridgeError(:invalid_json, "TYPE-5", "the rows are not an array of objects", 0))
    end
    return rows
end

# --- tables: with Arrow.jl, where it is installed
# ----------------------------------------------------------------

const NEEDS_ARROW = "tables need the package Arrow: using Pkg; Pkg.add(\"Arrow\")"
needs_arrow() = throw(BridgeError(:invalid_table, "TYPE-6", NEEDS_ARROW))

"The IPC stream of a table (a `DataFrame`, a named tuple of vectors, …)."
function write_table(value)
    arrow = optional("Arrow")
    arrow === nothing && needs_arrow()
    out = IOBuffer()
    Base.invokelatest(arrow.write, out, value; file = false)
    return take!(out)
end

"An `Arrow.Table` of either container, little-endian only."
function read_table(raw)
    arrow = optional("Arrow")
    arrow === nothing && needs_arrow()
    try
        is_big_endian(raw) && throw(BridgeError(:invalid_table, "TYPE-6", "the Arrow data is big-endian"))
        return Base.invokelatest(arrow.Table, copy(raw))
    catch error
        error isa Union{BridgeError,InterruptException} && rethrow()
        throw(BridgeError(:invalid_table, "TYPE-6", "the Arrow data cannot be read: $(typeof(error))"))
    end
end

"Looks the endianness up in the schema, in the first message or in a file's footer: Arrow.jl does not."
function is_big_endian(raw)
    number(T, at) = ltoh(reinterpret(T, raw[at+1:at+sizeof(T)])[1])
    function field(table, index)
        vtable = table - number(Int32, table)
        4 + 2index < number(UInt16, vtable) || return nothing
        offset = number(UInt16, vtable + 4 + 2index)
        return offset == 0 ? nothing : table + offset
    end
    is_file = length(raw) > 18 && raw[1:6] == codeunits("ARROW1")
    footer() = length(raw) - 10 - number(Int32, length(raw) - 10)
    start = is_file ? footer() : number(UInt32, 0) == 0xffffffff ? 8 : 4
    at = field(start + number(UInt32, start), is_file ? 1 : 2)
    at === nothing && return false
    endianness = field(at + number(UInt32, at), 0)
    return endianness !== nothing && number(Int16, endianness) == 1
end
