# The one error of this module.

"""
    BridgeError

Why something was refused. `kind` is what a program can act on (`:malformed`, `:invalid_base64`,
`:link_refused`, …), `clause` the clause of SPEC.md it rests on. `offset` is the byte, from 0, where the fault
was found: counted from the start of the message, or for what a payload holds from the start of its raw bytes.
A message that does not fit has `needed` and `limit`. No text holds a credential or a whole link.
"""
struct BridgeError <: Exception
    kind::Symbol
    clause::String
    message::String
    offset::Union{Int,Nothing}
    needed::Union{Integer,Nothing}
    limit::Union{Integer,Nothing}
end

BridgeError(kind, clause, message, offset = nothing; needed = nothing, limit = nothing) =
    BridgeError(kind, clause, message, offset, needed, limit)

Base.showerror(io::IO, error::BridgeError) = print(io, error.clause, ": ", error.message)
