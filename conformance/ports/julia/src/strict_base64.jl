# Base64 as section 7 of SPEC.md has it, in pieces of any size.

const SYMBOLS = codeunits("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
const SEXTETS = let table = fill(0xff, 256)
    for (value, symbol) in enumerate(SYMBOLS)
        table[symbol+1] = value - 1
    end
    table[UInt8('-')+1], table[UInt8('_')+1] = 62, 63
    table
end

"Encodes bytes that come in pieces. Call `update!` for each, then `finish!` once."
mutable struct Encoder
    held::Vector{UInt8}
end

Encoder() = Encoder(UInt8[])

"The text of all whole groups of three bytes; holds back at most two."
function update!(encoder::Encoder, piece::AbstractVector{UInt8})
    bytes = isempty(encoder.held) ? piece : vcat(encoder.held, piece)
    whole = length(bytes) ÷ 3 * 3
    encoder.held = bytes[whole+1:end]
    out = Vector{UInt8}(undef, whole ÷ 3 * 4)
    to = 0
    @inbounds for from in 1:3:whole
        group = UInt32(bytes[from]) << 16 | UInt32(bytes[from+1]) << 8 | bytes[from+2]
        for shift in (18, 12, 6, 0)
            to += 1
            out[to] = SYMBOLS[(group>>shift&63)+1]
        end
    end
    return out
end

function finish!(encoder::Encoder)
    held, encoder.held = encoder.held, UInt8[]
    isempty(held) && return UInt8[]
    group = UInt32(held[1]) << 16 | (length(held) > 1 ? UInt32(held[2]) << 8 : UInt32(0))
    third = length(held) > 1 ? SYMBOLS[(group>>6&63)+1] : UInt8('=')
    return [SYMBOLS[(group>>18&63)+1], SYMBOLS[(group>>12&63)+1], third, UInt8('=')]
end

"Standard alphabet, padded, no line breaks (B64-1)."
function encode_base64(raw::AbstractVector{UInt8})
    encoder = Encoder()
    return append!(update!(encoder, raw), finish!(encoder))
end

"""
Decodes text that comes in pieces; the bytes, and the offset of an error, are the same as for one piece. After
an error the decoder is of no more use.
"""
mutable struct Decoder
    offset::Int
    bits::UInt32
    count::Int        # symbols of the unfinished group
    alphabet::Symbol  # :none until one of +/-_ has come
    state::Symbol     # :body, :pad (one more is needed), :padded, :cr, :end
end

Decoder() = Decoder(0, 0, 0, :none, :body)

wrong(d::Decoder, clause, message, offset = d.offset) =
    throw(BridgeError(:invalid_base64, clause, message, offset))

function update!(d::Decoder, piece::AbstractVector{UInt8})
    out = UInt8[]
    sizehint!(out, length(piece) ÷ 4 * 3 + 3)
    for symbol in piece
        if d.state == :body && (@inbounds SEXTETS[symbol+1]) != 0xff
            take_symbol!(d, symbol, out)
        elseif d.state == :body && symbol == UInt8('=') && d.count >= 2
            d.state = d.count == 2 ? :pad : :padded
            flush!(d, out)
        elseif d.state == :pad && symbol == UInt8('=')
            d.state = :padded
        elseif d.state in (:body, :padded) && symbol in (0x0a, 0x0d)
            d.state = symbol == 0x0a ? :end : :cr
            flush!(d, out)
        elseif d.state == :cr && symbol == 0x0a
            d.state = :end
        elseif d.state in (:cr, :end)
            wrong(d, "B64-4", "more after the line end")
        elseif symbol == UInt8('=') || d.state == :pad
            wrong(d, "B64-3", "wrong padding")
        else
            wrong(d, "B64-4", "a character outside the alphabet")
        end
        d.offset += 1
    end
    return out
end

function take_symbol!(d::Decoder, symbol, out)
    alphabet = symbol in (UInt8('+'), UInt8('/')) ? :standard : symbol in (UInt8('-'), UInt8('_')) ? :url_safe : :none
    if alphabet != :none
        d.alphabet in (:none, alphabet) || wrong(d, "B64-2", "two alphabets in one text")
        d.alphabet = alphabet
    end
    d.bits = d.bits << 6 | SEXTETS[symbol+1]
    d.count += 1
    if d.count == 4
        push!(out, d.bits >> 16 % UInt8, d.bits >> 8 % UInt8, d.bits % UInt8)
        d.bits, d.count = 0, 0
    end
end

"Ends the body: the bytes of an unfinished group. Does nothing a second time."
function flush!(d::Decoder, out)
    d.count == 1 && wrong(d, "B64-5", "the text ends with a lone character")
    spare = d.count == 2 ? 4 : 2
    if d.count > 1
        # Nothing but `=` and line ends has been counted since the last symbol.
        d.bits & (1 << spare - 1) == 0 || wrong(d, "B64-5", "left-over bits", d.offset - 1)
        bits = d.bits >> spare
        d.count == 3 && push!(out, bits >> 8 % UInt8)
        push!(out, bits % UInt8)
    end
    d.bits, d.count = 0, 0
end

"The bytes that were held back; refuses a text that may not end here."
function finish!(d::Decoder)
    d.state == :pad && wrong(d, "B64-3", "one more padding character is needed")
    d.state == :cr && wrong(d, "B64-4", "a carriage return without its line feed")
    out = UInt8[]
    flush!(d, out)
    return out
end

"The bytes of a whole text, or a `BridgeError` whose offset counts from its start."
function decode_base64(text::AbstractVector{UInt8})
    decoder = Decoder()
    return append!(update!(decoder, text), finish!(decoder))
end
