# Plik, the reference store: uploads with a lifetime, links, deletion (LINK-3 to LINK-5).

const KEPT_SECONDS = 86_400
const MAX_ANSWER = 1 << 20
const MAX_ID, MAX_DOMAIN, MAX_NAME = 32, 256, 255

"A stored file. `token` deletes it; it stays with the sender and is never in a message."
Base.@kwdef struct Upload
    url::String
    sha256::String
    uploadid::String = ""
    fileid::String = ""
    token::String = ""
    expires_at::Union{String,Nothing} = nothing
end
Base.show(io::IO, upload::Upload) = print(io, "Upload(", parse_link(upload.url), ")")

"""
    Plik(server; ttl = 86_400, one_shot = false)

A Plik by its base URL. Uploads are kept for `ttl` seconds. `one_shot` deletes a file at its first download,
**even one that breaks off**: a retry, a second subscriber and a replay find nothing.
"""
struct Plik
    server::String
    lifetime::String
    deadlines::Deadlines
end

function Plik(server::AbstractString; ttl = KEPT_SECONDS, one_shot = false, deadlines = Deadlines())
    return Plik(base_url(server), one_shot ? "{\"oneShot\":true}" : "{\"ttl\":$(Int(ttl))}", deadlines)
end

"The most bytes that the URL of an upload of this name can have."
function url_bound(plik::Plik, dataname)
    name = encoded_segment(file_name(dataname))
    return max(ncodeunits(plik.server), MAX_DOMAIN) + ncodeunits("/file/") + 2 * (MAX_ID + 1) + length(name)
end

"Stores bytes. Throws a `BridgeError` of kind `:store`; nothing is left behind."
function upload(plik::Plik, dataname, data::Vector{UInt8})
    headers = ("Content-Type" => "application/json", "Content-Length" => length(plik.lifetime))
    created = read_created(ask(plik, "POST", "/upload", headers, (plik.lifetime,)), plik.server)
    try
        return add_file(plik, created, dataname, data)
    catch
        # The file may have arrived although its answer has not.
        forget(plik, created)
        rethrow()
    end
end

function add_file(plik, created, dataname, data)
    boundary = "natsbridge-" * bytes2hex(rand(RandomDevice(), UInt8, 16))
    disposition = "form-data; name=\"file\"; filename=\"$(file_name(dataname))\""
    head = "--$boundary\r\nContent-Disposition: $disposition\r\nContent-Type: application/octet-stream\r\n\r\n"
    tail = "\r\n--$boundary--\r\n"
    headers = (
        "X-UploadToken" => created.token,
        "Content-Type" => "multipart/form-data; boundary=$boundary",
        "Content-Length" => ncodeunits(head) + length(data) + ncodeunits(tail),
    )
    pieces = (view(data, at:min(at + CHUNK - 1, length(data))) for at in 1:CHUNK:length(data))
    body = Iterators.flatten(((codeunits(head),), pieces, (codeunits(tail),)))
    added = read_added(ask(plik, "POST", "/file/" * created.id, headers, body))
    if added.size != length(data)
        throw(BridgeError(:store, "LINK-3", "the store kept $(added.size) bytes instead of $(length(data))"))
    end
    digest = bytes2hex(sha256(data))
    return Upload(link_of(created, added), digest, created.id, added.id, created.token, created.expires_at)
end

"LINK-4, over the server itself. A file that is not there any more counts as deleted."
function delete(plik::Plik, upload::Upload)
    path = upload.url[first(findfirst("/file/", upload.url)):end]
    status = reached(plik, "DELETE", path, ("X-UploadToken" => upload.token,), ()) do answer
        answer.status
    end
    200 <= status <= 299 || status == 404 || throw(BridgeError(:store, "LINK-4", "the file server answers $status"))
    return nothing
end

function forget(plik, created)
    try
        reached(answer -> nothing, plik, "DELETE", "/upload/" * created.id, ("X-UploadToken" => created.token,), ())
    catch error
        error isa BridgeError || rethrow()  # the failure that led here is the one to report
    end
end

function ask(plik, method, path, headers, body)
    return reached(plik, method, path, headers, body) do answer
        answer.status == 200 || throw(BridgeError(:store, "LINK-3", "the file server answers $(answer.status)"))
        read_body(answer, MAX_ANSWER)
    end
end

function reached(f, plik, method, path, headers, body)
    base = parse_link(plik.server)
    link = Link(base.scheme, base.host, base.port, rstrip(base.target, '/') * path)
    try
        return exchange(f, method, link, headers, body; deadlines = plik.deadlines)
    catch error
        error isa Union{Unreachable,CutShort} || rethrow()
        throw(BridgeError(:store, "LINK-3", "the file server $link: $(error.message)"))
    end
end

"A name that servers keep as it is, made of any text; the real name stays in the envelope."
function file_name(dataname)
    name = strip(last(split(dataname, ['/', '\\'])))
    safe = IOBuffer()
    for char in name
        char = !isvalid(char) || iscntrl(char) || char in ('"', '%') ? '_' : char
        position(safe) + ncodeunits(char) <= MAX_NAME || break
        print(safe, char)
    end
    name = strip(String(take!(safe)))
    return name in ("", ".", "..") ? "file" : String(name)
end

# --- the server's answers, as those of a server that may say anything
# ---------------------------------------------

"A base URL without its last slash, its host in lower case; no query, no fragment."
function base_url(text)
    link = parse_link(text)
    why = "the URL of a file server has no query and no fragment"
    occursin(r"[?#]", text) && throw(BridgeError(:invalid_input, "LINK-3", why))
    return String(rstrip(url(link), '/'))
end

"The answer to `POST /upload`."
function read_created(answer, server)
    told = object_told(answer)
    token, expires = get(told, "uploadToken", nothing), get(told, "expireAt", nothing)
    token isa String && occursin(r"^[!-~]{1,256}\z", token) || nonsense("there is no usable uploadToken")
    nanos = expires isa String ? parse_time(expires) : nothing
    # Milliseconds are cut: what is promised is not longer than what the store said.
    expires_at = nanos === nothing ? nothing : write_time(fld(nanos, 1_000_000))
    base = something(domain_told(told), base_url(server))
    return (id = id_told(told), token = token, base = base, expires_at = expires_at)
end

"The answer to `POST /file/{id}`."
function read_added(answer)
    told = object_told(answer)
    name, size = get(told, "fileName", nothing), get(told, "fileSize", nothing)
    # A path that servers clean up cannot be fetched.
    usable = name isa String && !(name in ("", ".", "..")) && !occursin('/', name)
    usable || nonsense("there is no usable fileName")
    return (id = id_told(told), name = name, size = size isa Integer && !(size isa Bool) ? size : nothing)
end

"LINK-3: the name is the server's, as one path segment."
link_of(created, added) = "$(created.base)/file/$(created.id)/$(added.id)/$(encoded_segment(added.name))"

"The answer is JSON although it is labelled text/plain."
function object_told(answer)
    told = try
        read_json(answer)
    catch error
        error isa BridgeError || rethrow()
        nothing
    end
    told isa Dict || nonsense("it is no JSON object")
    return told
end

function id_told(told)
    id = get(told, "id", nothing)
    id isa String && occursin(r"^[A-Za-z0-9_-]{1,32}\z", id) || nonsense("there is no usable id")
    return id
end

function domain_told(told)
    domain = get(told, "downloadDomain", nothing)
    domain in (nothing, "") && return nothing
    base = try
        domain isa String ? base_url(domain) : ""
    catch error
        error isa BridgeError || rethrow()
        ""
    end
    isempty(base) || ncodeunits(base) > MAX_DOMAIN ? nonsense("the downloadDomain is no usable URL") : base
end

nonsense(why) = throw(BridgeError(:store, "LINK-3", "the file server's answer makes no sense: $why"))
