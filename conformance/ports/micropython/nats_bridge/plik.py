# Plik, the reference store: uploads with a lifetime, links, deletion (LINK-3 to LINK-5).

import os
from binascii import hexlify
from hashlib import sha256

from . import strict_json, timestamps
from .errors import BridgeError
from .exchange import CutShort, Exchange
from .policy import Link, encoded_segment, parse_link
from .stream import CHUNK, Unreachable

KEPT_SECONDS = 86400
_MAX_ANSWER = 65536
_MAX_ID, _MAX_DOMAIN, _MAX_NAME = 32, 256, 255
_PLAIN = "-_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Upload:
    """A stored file. `token` deletes it; it stays with the sender and is never in a message."""

    def __init__(self, url, digest, uploadid="", fileid="", token="", expires_at=None):
        self.url, self.sha256, self.status = url, digest, 200
        self.uploadid, self.fileid, self.token, self.expires_at = uploadid, fileid, token, expires_at


class Plik:
    """A Plik by its base URL. Uploads are kept for `ttl` seconds, 24 hours unless told otherwise. `one_shot`
    deletes a file at its first download, **even one that breaks off**."""

    def __init__(
        self, server, ttl=KEPT_SECONDS, one_shot=False, ssl_context=None, deadlines=(5000, 30000, 300000)
    ):
        self.server, self.ssl_context, self.deadlines = base_url(server), ssl_context, deadlines
        self.lifetime = {"oneShot": True} if one_shot else {"ttl": ttl}

    def url_bound(self, dataname):
        """The most bytes that the URL of an upload of this name can have."""
        name = encoded_segment(file_name(dataname))
        return max(len(self.server), _MAX_DOMAIN) + len("/file/") + 2 * (_MAX_ID + 1) + len(name)

    def upload(self, dataname, data):
        """Stores bytes, or an open binary file, which is read in pieces. Raises `BridgeError` of kind
        `store`; nothing is left behind."""
        body = strict_json.dumps(self.lifetime)
        headers = (("Content-Type", "application/json"), ("Content-Length", len(body)))
        created = read_created(self._ask("POST", "/upload", headers, (body,)), self.server)
        try:
            return self._add(created, dataname, data)
        except BaseException:
            # The file may have arrived although its answer has not.
            try:
                self._exchange(
                    "DELETE", "/upload/" + created.upload_id, (("X-UploadToken", created.token),)
                ).close()
            except BridgeError:
                pass  # the failure that led here is the one to report
            raise

    def _add(self, created, dataname, data):
        size, boundary = data_len(data), "natsbridge-" + hexlify(os.urandom(16)).decode()
        head = '--%s\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n' % (
            boundary,
            file_name(dataname),
        )
        head = (head + "Content-Type: application/octet-stream\r\n\r\n").encode()
        tail = ("\r\n--%s--\r\n" % boundary).encode()
        headers = (
            ("X-UploadToken", created.token),
            ("Content-Type", "multipart/form-data; boundary=" + boundary),
            ("Content-Length", len(head) + size + len(tail)),
        )
        hasher = sha256()

        def form():
            yield head
            for piece in data_pieces(data, size):
                hasher.update(piece)
                yield piece
            yield tail

        added = read_added(self._ask("POST", "/file/" + created.upload_id, headers, form()))
        if added.size != size:
            raise BridgeError("store", "LINK-3", "the store kept %s bytes instead of %d" % (added.size, size))
        digest = hexlify(hasher.digest()).decode()
        url = link_of(created, added)
        return Upload(url, digest, created.upload_id, added.file_id, created.token, created.expires_at)

    def delete(self, upload):
        """LINK-4, over the server itself. A file that is not there any more counts as deleted."""
        path = upload.url[upload.url.find("/file/") :]
        answer = self._exchange("DELETE", path, (("X-UploadToken", upload.token),))
        answer.close()
        if not 200 <= answer.status <= 299 and answer.status != 404:
            raise BridgeError("store", "LINK-4", "the file server answers %d" % answer.status)

    def _ask(self, method, path, headers, body):
        answer = self._exchange(method, path, headers, body)
        try:
            if answer.status != 200:
                raise BridgeError("store", "LINK-3", "the file server answers %d" % answer.status)
            return answer.read(_MAX_ANSWER)
        except (CutShort, Unreachable) as error:
            raise BridgeError("store", "LINK-3", "the file server: %s" % error)
        finally:
            answer.close()

    def _exchange(self, method, path, headers, body=()):
        base = parse_link(self.server)
        link = Link(base.scheme, base.host, base.port, base.target.rstrip("/") + path)
        try:
            return Exchange(method, link, headers, body, self.ssl_context, self.deadlines)
        except Unreachable as error:
            raise BridgeError("store", "LINK-3", "the file server %s: %s" % (link, error))


def data_len(data):
    if isinstance(data, (bytes, bytearray, memoryview)):
        return len(data)
    size = data.seek(0, 2)
    data.seek(0)
    return size


def data_pieces(data, size):
    if isinstance(data, (bytes, bytearray, memoryview)):
        view = memoryview(data)
        for start in range(0, size, CHUNK):
            yield view[start : start + CHUNK]
        return
    while size:
        piece = data.read(min(size, CHUNK))
        if not piece:
            raise BridgeError("invalid_input", "LINK-3", "the file became shorter while it was sent")
        size -= len(piece)
        yield piece


def file_name(dataname):
    """A name that servers keep as it is, made of any text; the real name stays in the envelope."""
    name = dataname.replace("\\", "/").split("/")[-1].strip()
    safe, length = "", 0
    for char in name:
        if char < " " or "\x7f" <= char <= "\x9f" or char in '"%':
            char = "_"
        length += len(char.encode())
        if length > _MAX_NAME:
            break
        safe += char
    safe = safe.strip()
    return "file" if safe in ("", ".", "..") else safe


# --- the server's answers, as those of a server that may say anything ----------------------------


class Created:
    def __init__(self, upload_id, token, base, expires_at):
        self.upload_id, self.token, self.base, self.expires_at = upload_id, token, base, expires_at


class Added:
    def __init__(self, file_id, name, size):
        self.file_id, self.name, self.size = file_id, name, size


def base_url(text):
    """A base URL without its last slash, its host in lower case; no query, no fragment."""
    link = parse_link(text)
    if "?" in text or "#" in text:
        raise BridgeError("invalid_input", "LINK-3", "the URL of a file server has no query and no fragment")
    return link.url.rstrip("/")


def read_created(answer, server):
    """The answer to `POST /upload`."""
    told = _object(answer)
    token = told.get("uploadToken")
    if not isinstance(token, str) or not 1 <= len(token) <= 256 or not all("!" <= c <= "~" for c in token):
        raise _nonsense("there is no usable uploadToken")
    expires_at = told.get("expireAt")
    nanos = timestamps.parse(expires_at) if isinstance(expires_at, str) else None
    # Milliseconds are cut: what is promised is not longer than what the store said.
    expires_at = None if nanos is None else timestamps.write(nanos // 1000000)
    return Created(_id(told), token, _domain(told) or base_url(server), expires_at)


def read_added(answer):
    """The answer to `POST /file/{id}`."""
    told = _object(answer)
    name, size = told.get("fileName"), told.get("fileSize")
    # A path that servers clean up cannot be fetched.
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name:
        raise _nonsense("there is no usable fileName")
    return Added(_id(told), name, size if isinstance(size, int) and not isinstance(size, bool) else None)


def link_of(created, added):
    """LINK-3: the name is the server's, as one path segment."""
    return "%s/file/%s/%s/%s" % (created.base, created.upload_id, added.file_id, encoded_segment(added.name))


def _object(answer):
    """The answer is JSON although it is labelled text/plain."""
    try:
        told = strict_json.loads(answer)
    except BridgeError:
        told = None
    if not isinstance(told, dict):
        raise _nonsense("it is no JSON object")
    return told


def _id(told):
    text = told.get("id")
    if not isinstance(text, str) or not 1 <= len(text) <= _MAX_ID or not all(c in _PLAIN for c in text):
        raise _nonsense("there is no usable id")
    return text


def _domain(told):
    domain = told.get("downloadDomain")
    if domain is None or domain == "":
        return None
    try:
        base = base_url(domain) if isinstance(domain, str) else ""
    except BridgeError:
        base = ""
    if not base or len(base) > _MAX_DOMAIN:
        raise _nonsense("the downloadDomain is no usable URL")
    return base


def _nonsense(why):
    return BridgeError("store", "LINK-3", "the file server's answer makes no sense: " + why)
