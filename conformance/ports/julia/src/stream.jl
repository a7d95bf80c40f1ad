# TCP with deadlines, for NATS and for HTTP.

using Sockets

"The connection failed, broke or fell silent."
struct Unreachable <: Exception
    message::String
end

"A connection on which every wait ends after `silence` seconds, and everything after `total`."
mutable struct Stream
    socket::TCPSocket
    silence::Float64
    deadline::Float64
end

function Stream(host, port; connect = 5.0, silence = 30.0, total = Inf)
    host = String(strip(host, ['[', ']']))
    for address in addresses_of(host)
        socket = TCPSocket()
        try
            within(connect, socket) do
                Sockets.connect(socket, address, port)
            end
            return Stream(socket, silence, time() + total)
        catch error
            error isa InterruptException && rethrow()
            close(socket)
        end
    end
    throw(Unreachable("no connection"))
end

function addresses_of(host)
    (is_ipv4(host) || is_ipv6(host)) && return [parse(IPAddr, host)]
    host == "localhost" && return [ip"127.0.0.1", ip"::1"]
    try
        return getalladdrinfo(host)
    catch error
        error isa InterruptException && rethrow()
        throw(Unreachable("the host is not known"))
    end
end

"Runs `f`, and closes the socket when it takes longer than so many seconds, which ends every wait on it."
function within(f, seconds, socket)
    seconds > 0 || throw(Unreachable("the deadline passed"))
    timer = seconds == Inf ? nothing : Timer(_ -> close(socket), seconds)
    try
        return f()
    finally
        timer === nothing || close(timer)
    end
end

function guarded(f, stream::Stream)
    seconds = min(stream.silence, stream.deadline - time())
    try
        return within(f, seconds, stream.socket)
    catch error
        error isa Union{Unreachable,InterruptException} && rethrow()
        throw(Unreachable("the connection broke or fell silent"))
    end
end

send(stream::Stream, data) = guarded(() -> write(stream.socket, data), stream)

"A line without its line end, or `nothing` at the end of the connection."
function read_line(stream::Stream)
    line = guarded(() -> readuntil(stream.socket, '\n'; keep = true), stream)
    endswith(line, '\n') && return chomp(line)
    isempty(line) || throw(Unreachable("the connection broke"))
    return nothing
end

"Exactly so many bytes, or fewer where the connection ends before."
read_bytes(stream::Stream, count) = guarded(() -> read(stream.socket, count), stream)

"What is there, at the end nothing."
read_some(stream::Stream) = guarded(() -> eof(stream.socket) ? UInt8[] : readavailable(stream.socket), stream)

Base.close(stream::Stream) = close(stream.socket)
