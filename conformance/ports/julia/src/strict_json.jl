# Strict JSON (ENV-R1, ENV-R2, ENV-W3), with byte offsets, on nothing but Base.

const MAX_DEPTH = 128

"""
A value's place in the text, `first` to `last`, and what it is: `:object`, `:array`, `:string`, `:number`,
`:literal`.
"""
struct Place
    kind::Symbol
    first::Int
    last::Int
end

"Reads values out of `text`; faults are of `kind`, and rest on `clause`."
struct Reader
    text::Vector{UInt8}
    kind::Symbol
    clause::String
end

Reader(text) = Reader(text, :malformed, "ENV-R1")

fail(r::Reader, message, at, clause = r.clause) = throw(BridgeError(r.kind, clause, message, at - 1))

"The byte at `at`, or 0 at the end: no JSON begins with it."
byte(r::Reader, at) = at <= length(r.text) ? (@inbounds r.text[at]) : 0x00

function space(r::Reader, at)
    while byte(r, at) in (0x20, 0x09, 0x0a, 0x0d)
        at += 1
    end
    return at
end

is_digit(b) = 0x30 <= b <= 0x39
is_hex(b) = is_digit(b) || 0x41 <= b <= 0x46 || 0x61 <= b <= 0x66

"Checks the value at `at`, nested `depth` deep, and says where it ends."
function skip_value(r::Reader, at, depth)
    b = byte(r, at)
    if b == UInt8('{') || b == UInt8('[')
        depth > MAX_DEPTH && fail(r, "nested too deeply", at, "ENV-R2")
        start = at
        visit = b == UInt8('{') ? each_member : each_element
        at = visit((_...) -> nothing, r, start, depth)
        return Place(b == UInt8('{') ? :object : :array, start, at)
    elseif b == UInt8('"')
        return Place(:string, at, skip_string(r, at))
    elseif b in (UInt8('t'), UInt8('f'), UInt8('n'))
        word = b == UInt8('t') ? "true" : b == UInt8('f') ? "false" : "null"
        last = at + length(word) - 1
        if last > length(r.text) || view(r.text, at:last) != codeunits(word)
            fail(r, "expected a value", at)
        end
        return Place(:literal, at, last)
    end
    return Place(:number, at, skip_number(r, at))
end

"Calls `f(key, key_at, place)` for every member of the object at `at`; returns where it ends."
function each_member(f, r::Reader, at, depth)
    at = space(r, at + 1)
    byte(r, at) == UInt8('}') && return at
    while true
        byte(r, at) == UInt8('"') || fail(r, "expected a key", at)
        key_at, last = at, skip_string(r, at)
        at = space(r, last + 1)
        byte(r, at) == UInt8(':') || fail(r, "expected a colon", at)
        place = skip_value(r, space(r, at + 1), depth + 1)
        f(string_at(r, key_at, last), key_at, place)
        at = space(r, place.last + 1)
        byte(r, at) == UInt8('}') && return at
        byte(r, at) == UInt8(',') || fail(r, "expected a comma or the end", at)
        at = space(r, at + 1)
    end
end

"Calls `f(place)` for every element of the array at `at`; returns where it ends."
function each_element(f, r::Reader, at, depth)
    at = space(r, at + 1)
    byte(r, at) == UInt8(']') && return at
    while true
        place = skip_value(r, at, depth + 1)
        f(place)
        at = space(r, place.last + 1)
        byte(r, at) == UInt8(']') && return at
        byte(r, at) == UInt8(',') || fail(r, "expected a comma or the end", at)
        at = space(r, at + 1)
    end
end

"Checks the string whose quote is at `at`, and says where the other one is."
function skip_string(r::Reader, at)
    at += 1
    while true
        b = byte(r, at)
        if b == UInt8('"')
            return at
        elseif b == UInt8('\\')
            at = escape(r, at)[2]
        elseif b < 0x20
            fail(r, at > length(r.text) ? "the string does not end" : "a raw control character in a string", at)
        elseif b < 0x80
            at += 1
        else
            at = after_character(r, at)
        end
    end
end

"Checks one character of UTF-8 outside ASCII, and says where it ends."
function after_character(r::Reader, at)
    b = byte(r, at)
    len, low, high = b in 0xc2:0xdf ? (2, 0x80, 0xbf) :
        b in 0xe0:0xef ? (3, b == 0xe0 ? 0xa0 : 0x80, b == 0xed ? 0x9f : 0xbf) :
        b in 0xf0:0xf4 ? (4, b == 0xf0 ? 0x90 : 0x80, b == 0xf4 ? 0x8f : 0xbf) : (0, 0x00, 0x00)
    valid = len > 0 && low <= byte(r, at + 1) <= high && all(i -> byte(r, at + i) & 0xc0 == 0x80, 2:len-1)
    valid || fail(r, "invalid UTF-8", at)
    return at + len
end

"The character of the escape at `at`, and where the text goes on."
function escape(r::Reader, at)
    letter = byte(r, at + 1)
    short = findfirst(isequal(letter), codeunits("\"\\/bfnrt"))
    short === nothing || return "\"\\/\b\f\n\r\t"[short], at + 2
    letter == UInt8('u') || fail(r, "an unknown escape", at)
    high = hex4(r, at)
    0xdc00 <= high < 0xe000 && fail(r, "a lone surrogate", at)
    0xd800 <= high < 0xdc00 || return Char(high), at + 6
    pair = byte(r, at + 6) == UInt8('\\') && byte(r, at + 7) == UInt8('u')
    low = pair ? hex4(r, at + 6) : UInt32(0)
    0xdc00 <= low < 0xe000 || fail(r, "a lone surrogate", at)
    return Char(0x10000 + ((high - 0xd800) << 10) + low - 0xdc00), at + 12
end

function hex4(r::Reader, at)
    all(i -> is_hex(byte(r, at + i)), 2:5) || fail(r, "a broken \\u escape", at)
    return parse(UInt32, String(r.text[at+2:at+5]); base = 16)
end

function skip_number(r::Reader, at)
    start = at
    byte(r, at) == UInt8('-') && (at += 1)
    leading_zero = byte(r, at) == UInt8('0')
    at = leading_zero ? at + 1 : digits_end(r, at, "expected a value")
    leading_zero && is_digit(byte(r, at)) && fail(r, "digits after a leading 0", at)
    if byte(r, at) == UInt8('.')
        at = digits_end(r, at + 1, "no digits after the point")
    end
    if byte(r, at) in (UInt8('e'), UInt8('E'))
        at += byte(r, at + 1) in (UInt8('+'), UInt8('-')) ? 2 : 1
        at = digits_end(r, at, "no digits in the exponent")
    end
    return at - 1
end

function digits_end(r::Reader, at, message)
    is_digit(byte(r, at)) || fail(r, message, at)
    while is_digit(byte(r, at))
        at += 1
    end
    return at
end

"Checks that the whole text is one value, and says where it is."
function document(r::Reader)
    place = skip_value(r, space(r, 1), 1)
    rest = space(r, place.last + 1)
    rest <= length(r.text) && fail(r, "bytes after the value", rest)
    return place
end

# --- values out of text that has been checked
# ------------------------------------------------------------------

"The string between the quotes at `first` and `last`."
function string_at(r::Reader, first, last)
    raw = view(r.text, first+1:last-1)
    UInt8('\\') in raw || return String(raw[:])
    out, at = IOBuffer(), first + 1
    while at < last
        if r.text[at] == UInt8('\\')
            char, at = escape(r, at)
            print(out, char)
        else
            write(out, r.text[at])
            at += 1
        end
    end
    return String(take!(out))
end

slice(r::Reader, place::Place) = r.text[place.first:place.last]

"""
The value at a place (TYPE-4): `Dict{String,Any}` (the last of equal keys wins), `Vector{Any}`, `String`,
`Int64`, `UInt64`, `Float64`, `Bool` or `nothing`. With `ordered`, objects are vectors of pairs in the order
of the text.
"""
function value_at(r::Reader, place::Place; ordered = false)
    if place.kind == :object
        if ordered
            pairs = Pair{String,Any}[]
            each_member(r, place.first, 1 - MAX_DEPTH) do key, _, member
                filter!(pair -> first(pair) != key, pairs)
                push!(pairs, key => value_at(r, member; ordered = true))
            end
            return pairs
        end
        object = Dict{String,Any}()
        each_member((key, _, member) -> object[key] = value_at(r, member), r, place.first, 1 - MAX_DEPTH)
        return object
    elseif place.kind == :array
        items = Any[]
        each_element(item -> push!(items, value_at(r, item; ordered = ordered)), r, place.first, 1 - MAX_DEPTH)
        return items
    elseif place.kind == :string
        return string_at(r, place.first, place.last)
    elseif place.kind == :literal
        b = r.text[place.first]
        return b == UInt8('n') ? nothing : b == UInt8('t')
    end
    return number_at(r, place)
end

function number_at(r::Reader, place::Place)
    digits = String(slice(r, place))
    if !any(c -> c in ".eE", digits) && length(digits) <= 20
        number = parse(Int128, digits)
        typemin(Int64) <= number <= typemax(Int64) && return Int64(number)
        number <= typemax(UInt64) && number >= 0 && return UInt64(number)
    end
    number = nearest_double(digits)
    isinf(number) && throw(BridgeError(:invalid_json, "TYPE-4", "a number overflows a double", place.first - 1))
    return number
end

"""
Base's own reading gives up where C's reports a range error, which it does for subnormal and vanishing numbers
too.
"""
function nearest_double(digits)
    number = tryparse(Float64, digits)
    number === nothing || return number
    return setprecision(() -> Float64(parse(BigFloat, digits)), BigFloat, 4096)
end

"The value of JSON text."
function read_json(text::Vector{UInt8}; kind = :invalid_json, clause = "TYPE-4", ordered = false)
    r = Reader(text, kind, clause)
    return value_at(r, document(r); ordered = ordered)
end

# --- writing
# ---------------------------------------------------------------------------------------------------

"""
Compact JSON in raw UTF-8 (ENV-W2, ENV-W3, ENV-W7). Objects are dictionaries (keys in sorted order, since they
have none of their own and the same input has to give the same bytes), named tuples, or vectors of pairs.
Refuses what JSON cannot say, and what is nested deeper than readers take.
"""
function write_json(value)
    out = IOBuffer()
    write_json(out, value, 1)
    return String(take!(out))
end

unwritable(message) = throw(BridgeError(:invalid_input, "ENV-W3", "the value cannot be written as JSON: $message"))

write_json(out::IO, ::Union{Nothing,Missing}, _) = print(out, "null")
write_json(out::IO, value::Bool, _) = print(out, value)
write_json(out::IO, value::Integer, _) = print(out, string(value; base = 10))
write_json(out::IO, value::Union{Symbol,Char}, depth) = write_json(out, string(value), depth)
write_json(out::IO, value, _) = unwritable("it holds a $(typeof(value))")

function write_json(out::IO, value::AbstractFloat, _)
    isfinite(value) || unwritable("there are no infinities and no NaN")
    print(out, Float64(value))
end

const SHORT_ESCAPES = Dict(
    '"' => "\\\"", '\\' => "\\\\", '\b' => "\\b", '\t' => "\\t", '\n' => "\\n", '\f' => "\\f", '\r' => "\\r"
)

function write_json(out::IO, text::AbstractString, _)
    isvalid(text) || unwritable("a text is not valid UTF-8")
    print(out, '"')
    for char in text
        if haskey(SHORT_ESCAPES, char)
            print(out, SHORT_ESCAPES[char])
        elseif char < ' '
            print(out, "\\u", string(UInt32(char); base = 16, pad = 4))
        else
            print(out, char)
        end
    end
    print(out, '"')
end

function write_json(out::IO, items::Union{AbstractVector,Tuple}, depth)
    depth > MAX_DEPTH && unwritable("it is nested too deeply")
    print(out, '[')
    for (index, item) in enumerate(items)
        index > 1 && print(out, ',')
        write_json(out, item, depth + 1)
    end
    print(out, ']')
end

write_json(out::IO, object::AbstractVector{<:Pair}, depth) = write_members(out, object, depth)
write_json(out::IO, object::NamedTuple, depth) = write_members(out, pairs(object), depth)
write_json(out::IO, object::AbstractDict, depth) =
    write_members(out, sort!(collect(object); by = pair -> string(first(pair))), depth)

function write_members(out::IO, members, depth)
    depth > MAX_DEPTH && unwritable("it is nested too deeply")
    print(out, '{')
    is_first = true
    for (key, member) in members
        key isa Union{AbstractString,Symbol} || unwritable("keys must be strings")
        is_first || print(out, ',')
        is_first = false
        write_json(out, string(key), depth)
        print(out, ':')
        write_json(out, member, depth + 1)
    end
    print(out, '}')
end
