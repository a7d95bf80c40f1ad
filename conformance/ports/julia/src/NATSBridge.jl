"""
NATSBridge for Julia: typed payloads over NATS, small ones inside the message, large ones by link.

    include("NATSBridge.jl")
    using .NATSBridge

    envelope = smartsend("chat.room1", [("message", "Hello World", "text")])

    message = smartreceive(msg)
    for (dataname, data, type) in message.payloads
        println(dataname, ": ", data)
    end

On the standard library alone, from Julia 1.5 on. Where they are installed, Arrow.jl reads and writes tables,
HTTP.jl fetches over https, and connections and messages of NATS.jl are taken. Written from SPEC.md; clauses
of it are named in the code.
"""
module NATSBridge

# Without the names that NATS.jl and others export too: NATSBridge.request, NATSBridge.decode, …
export BridgeError, Download, MessageEnvelope, MessagePayload, Plik, Policy, plik_oneshot_upload, plik_upload,
    smartreceive, smartsend

const VERSION_TEXT = "0.1.0"

include("errors.jl")
include("strict_json.jl")
include("strict_base64.jl")
include("timestamps.jl")
include("envelope.jl")
include("payloads.jl")
include("subjects.jl")
include("plan.jl")
include("retries.jl")
include("replies.jl")
include("policy.jl")
include("stream.jl")
include("exchange.jl")
include("plik.jl")
include("downloads.jl")
include("nats.jl")
include("bridge.jl")

end
