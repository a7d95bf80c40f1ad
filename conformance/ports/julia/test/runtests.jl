# What the vectors of the kit do not reach:  julia conformance/ports/julia/test/runtests.jl

include(joinpath(@__DIR__, "..", "src", "NATSBridge.jl"))

using .NATSBridge
using .NATSBridge: Client, encode, next_message, publish
using Sockets, Test
const NB = NATSBridge

refusal(f) =
    try
        f()
        nothing
    catch error
        error isa BridgeError ? error.kind : rethrow()
    end

@testset "base64 in pieces gives what the whole gives" begin
    for len in 0:40
        raw = rand(UInt8, len)
        text = NB.encode_base64(raw)
        for cut in 0:length(text)
            decoder = NB.Decoder()
            out = vcat(NB.update!(decoder, text[1:cut]), NB.update!(decoder, text[cut+1:end]), NB.finish!(decoder))
            @test out == raw
        end
        encoder = NB.Encoder()
        pieces = [NB.update!(encoder, raw[at:at]) for at in 1:len]
        @test vcat(UInt8[], pieces..., NB.finish!(encoder)) == text
    end
end

@testset "JSON keeps the order of pairs and sorts dictionaries" begin
    @test NB.write_json(["b" => 1, "a" => [true, nothing, 2.5, "é\n"]]) == "{\"b\":1,\"a\":[true,null,2.5,\"é\\n\"]}"
    @test NB.write_json(Dict("b" => 1, "a" => 2)) == NB.write_json((a = 2, b = 1)) == "{\"a\":2,\"b\":1}"
    @test NB.read_json(Vector{UInt8}("{\"a\":18446744073709551615,\"a\":[1]}")) == Dict("a" => [1])
    for bad in (NaN, Inf, "\xff", Dict(1 => 2), [Base])
        @test refusal(() -> NB.write_json(bad)) == :invalid_input
    end
end

@testset "properties have upstream's names too" begin
    envelope = MessageEnvelope(; correlation_id = "c")
    envelope.metadata = ["z" => 1, "a" => 2]
    @test envelope.correlationId == "c"
    @test endswith(String(encode(envelope)), "\"metadata\":{\"z\":1,\"a\":2},\"payloads\":[]}")
    message = smartreceive(encode(envelope))
    @test message["correlationId"] == message.correlation_id == "c"
    @test message.metadata == Dict("z" => 1, "a" => 2)
end

@testset "a payload that cannot be had fails alone, and loudly" begin
    message = smartreceive("""{"payloads":[{"type":"text","transport":"direct","data":"QQ="},
        {"dataname":"b","type":"text","transport":"direct","data":"QQ=="}]}""")
    @test message.payloads[1].error.kind == :invalid_base64
    @test refusal(() -> message.payloads[1].data) == :invalid_base64
    dataname, data, type = message.payloads[2]
    @test (dataname, data, type) == ("b", "A", "text")
end

@testset "handlers of one's own are checked behind" begin
    kept = Dict{String,Vector{UInt8}}()
    function keep(server, dataname, data)
        kept["http://files.example/$dataname"] = data
        Dict("status" => 200, "url" => "http://files.example/$dataname")
    end
    contents = NB.draft([("x", UInt8[1, 2, 3], "binary"), ("numbers", [1.0, 2.0], "binary")])
    envelope = MessageEnvelope()
    body = NB.prepare!(envelope, contents, NB.Handler(keep, ""), 3, nothing)
    @test [payload.transport for payload in envelope.payloads] == ["link", "link"]
    fetch(url, delays...) = kept[url]
    @test smartreceive(body, fetch).payloads[1].data == UInt8[1, 2, 3]
    @test reinterpret(Float64, smartreceive(body, fetch).payloads[2].data) == [1.0, 2.0]
    kept["http://files.example/x"] = UInt8[1, 2, 4]
    @test smartreceive(body, fetch).payloads[1].error.kind == :digest_mismatch
end

@testset "a wait for a message that does not come loses nothing" begin
    server = listen(IPv4("127.0.0.1"), 0)
    port = getsockname(server)[2]
    @async begin
        socket = accept(server)
        write(socket, "INFO {\"max_payload\":1048576,\"headers\":true}\r\n")
        readline(socket), readline(socket)
        write(socket, "PONG\r\nMSG a")  # a line that comes in two parts
        sleep(0.5)
        write(socket, ".b 1 2\r\nhi\r\nPING\r\n")
        readline(socket) == "PONG" && write(socket, "HMSG c 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n")
    end
    client = Client("nats://127.0.0.1:$port")
    @test next_message(client, 0.1) === nothing
    message = next_message(client, 5)
    @test (message.subject, message.payload) == ("a.b", codeunits("hi"))
    @test next_message(client, 5).status == 503
    @test refusal(() -> publish(client, "a b", "x")) == :invalid_subject
    @test refusal(() -> publish(client, "a", zeros(UInt8, 1048577))) == :too_large
    close(client)
end
