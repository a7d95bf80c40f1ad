# The envelope: its keys in both dialects, reading and writing (SPEC.md sections 2 to 4, 6 and 8).

from binascii import hexlify
from hashlib import sha256

from . import policy, strict_base64, strict_json
from .errors import BridgeError

# The twelve text fields of a message: attribute (which is the snake_case key), camelCase key.
FIELDS = (
    ("correlation_id", "correlationId"),
    ("msg_id", "msgId"),
    ("timestamp", "timestamp"),
    ("send_to", "sendTo"),
    ("msg_purpose", "msgPurpose"),
    ("sender_name", "senderName"),
    ("sender_id", "senderId"),
    ("receiver_name", "receiverName"),
    ("receiver_id", "receiverId"),
    ("reply_to", "replyTo"),
    ("reply_to_msg_id", "replyToMsgId"),
    ("broker_url", "brokerURL"),
)

# Spelling -> (field, the dialect that it speaks for, or None).
_MESSAGE_KEYS = {
    "metadata": ("metadata", None),
    "payloads": ("payloads", None),
    "BrokerURL": ("broker_url", "camel"),
}
for _snake, _camel in FIELDS:
    _MESSAGE_KEYS[_camel] = (_snake, None if _snake == _camel else "camel")
    _MESSAGE_KEYS[_snake] = (_snake, None if _snake == _camel else "snake")
_PAYLOAD_KEYS = {
    key: (key, None) for key in ("id", "dataname", "transport", "encoding", "size", "data", "metadata")
}
_PAYLOAD_KEYS["type"] = ("type", "camel")
_PAYLOAD_KEYS["payload_type"] = ("type", "snake")

INLINE_TYPES = ("dictionary", "table", "arrowtable", "jsontable")
TABLES = ("table", "arrowtable")
MAX_SIZE = (1 << 63) - 1
MAX_MESSAGE_LEN = 64 * 1024 * 1024
MAX_PAYLOADS = 4096


class MessagePayload:
    """One payload as it is on the wire. `data` is the raw bytes of a direct payload (a file's path, while it
    is being sent, also is) and the URL of a link. On reading, `error` says why a payload cannot be had, and
    `notes` what is odd but no error."""

    def __init__(self, id="", dataname="", type="", transport="", size=None, data=None, metadata=None):
        self.id, self.dataname, self.type, self.transport = id, dataname, type, transport
        self.encoding, self.size, self.data, self.notes, self.error = "", size, data, [], None
        self.metadata_text = b"{}"
        self._metadata = metadata

    @property
    def metadata(self):
        """The metadata as values, read when asked for (TYPE-4)."""
        if self._metadata is None:
            self._metadata = strict_json.loads(self.metadata_text)
        return self._metadata

    @metadata.setter
    def metadata(self, value):
        self._metadata = value

    @property
    def sha256(self):
        """The digest in the metadata if it is one that counts (VER-5), in lower case."""
        digest = self.raw_sha256
        if isinstance(digest, str) and len(digest) == 64:
            digest = digest.lower()
            if all(c in "0123456789abcdef" for c in digest):
                return digest
        return None

    @property
    def raw_sha256(self):
        if self._metadata is not None:
            return self._metadata.get("sha256")
        if b"sha256" not in self.metadata_text and b"\\" not in self.metadata_text:
            return None  # as in most messages
        # A number elsewhere in it that no float can hold does not take the digest away.
        digest = None
        for key, start, end in members(strict_json.Reader(self.metadata_text), 0, 1):
            if key == "sha256":
                digest = strict_json.loads(self.metadata_text[start:end])
        return digest


class MessageEnvelope:
    """A message: its twelve text fields as attributes, `metadata`, `payloads`, and its `dialect`."""

    def __init__(self, dialect="camel", metadata=None, **fields):
        for name, _ in FIELDS:
            setattr(self, name, fields.pop(name, ""))
        if fields:
            raise TypeError("no such field: " + ", ".join(fields))
        self.dialect, self.payloads = dialect, []
        self.metadata_text = b"{}"
        self._metadata = metadata

    @property
    def fields(self):
        return {name: getattr(self, name) for name, _ in FIELDS}

    @property
    def metadata(self):
        if self._metadata is None:
            self._metadata = strict_json.loads(self.metadata_text)
        return self._metadata

    @metadata.setter
    def metadata(self, value):
        self._metadata = value


# --- reading -------------------------------------------------------------------------------------


def members(reader, at, depth):
    """The members of the object at `at`: (key, start and end of the value), the values checked and not
    kept."""
    for key, _, start, end in _members(reader, at, depth):
        yield key, start, end


def _members(reader, at, depth):
    at = reader.space(at + 1)
    if reader.byte(at) == 125:
        return
    while True:
        key_at = at
        key, start = reader.key(at)
        _, end = reader.value(start, depth + 1, False)
        yield key, key_at, start, end
        at = reader.space(end)
        if reader.byte(at) != 44:
            return  # the bracket: the object has been checked before
        at = reader.space(at + 1)


def decode(body, max_message_len=MAX_MESSAGE_LEN, max_payloads=MAX_PAYLOADS):
    """Reads a message body (bytes), or raises the `BridgeError` that fails the whole message. A payload that
    fails alone is in its place, with its `error`.

    The text is checked as a whole first, then looked up by position: nothing is built that is not handed
    over."""
    if len(body) > max_message_len:
        raise BridgeError("limit", "ENV-1", "the message is too long", None, len(body), max_message_len)
    reader = strict_json.Reader(body)
    reader.document(False)
    root = reader.space(0)
    if body[root] != 123:
        raise BridgeError("malformed", "ENV-1", "the message is not an object", root)
    known, spoke = _known(reader, root, 1, _MESSAGE_KEYS)
    if "payloads" not in known or _is_null(body, known["payloads"]):
        raise BridgeError("malformed", "ENV-R3", "no payloads", known.get("payloads", (root,))[0])
    at = known["payloads"][0]
    if body[at] != 91:
        raise BridgeError("malformed", "ENV-R7", "payloads is not an array", at)
    envelope = MessageEnvelope()
    for name, _ in FIELDS:
        setattr(envelope, name, _text(reader, known.get(name), name, "malformed"))
    envelope.metadata_text = _metadata(body, known.get("metadata"), "malformed")
    for start, end in _elements(reader, at, 2):
        if len(envelope.payloads) == max_payloads:
            raise BridgeError("limit", "ENV-3", "too many payloads", start, max_payloads + 1, max_payloads)
        keys, said = _known(reader, start, 3, _PAYLOAD_KEYS) if body[start] == 123 else (None, None)
        if said and (spoke is None or said < spoke):
            spoke = said
        envelope.payloads.append(_payload(reader, start, keys))
    if spoke:
        envelope.dialect = spoke[1]
    return envelope


def _elements(reader, at, depth):
    at = reader.space(at + 1)
    if reader.byte(at) == 93:
        return
    while True:
        _, end = reader.value(at, depth + 1, False)
        yield at, end
        at = reader.space(end)
        if reader.byte(at) != 44:
            return
        at = reader.space(at + 1)


def _known(reader, at, depth, table):
    """The known members as positions by field, and (offset, dialect) of the first key that tells."""
    known, spoke = {}, None
    for key, key_at, start, end in _members(reader, at, depth):
        if key in table:
            name, dialect = table[key]
            if name in known:
                raise BridgeError("malformed", "ENV-R5", name + " comes twice", key_at)
            known[name] = (start, end)
            if dialect and spoke is None:
                spoke = (key_at, dialect)
    return known, spoke


def _is_null(body, place):
    return body[place[0]] == 110


def _text(reader, place, name, kind):
    if place is None or _is_null(reader.text, place):
        return ""
    if reader.text[place[0]] != 34:
        raise BridgeError(kind, "ENV-R7", name + " is not a string", place[0])
    return reader.string(place[0])[0]


def _metadata(body, place, kind):
    if place is None or _is_null(body, place):
        return b"{}"
    if body[place[0]] != 123:
        raise BridgeError(kind, "ENV-R7", "metadata is not an object", place[0])
    return body[place[0] : place[1]]


def _payload(reader, at, keys):
    payload, kind, body = MessagePayload(), "invalid_payload", reader.text
    try:
        if keys is None:
            raise BridgeError(kind, "ENV-R7", "the payload is not an object", at)
        for name in ("id", "dataname", "type", "transport", "encoding"):
            setattr(payload, name, _text(reader, keys.get(name), name, kind))
        payload.metadata_text = _metadata(body, keys.get("metadata"), kind)
        payload.size = _size(body, keys.get("size"))
        for name in ("type", "transport"):
            if not getattr(payload, name):
                raise BridgeError(kind, "ENV-R8", "no " + name, keys.get(name, (at,))[0])
        if payload.transport not in ("direct", "link"):
            raise BridgeError(kind, "ENV-R8", "unknown transport", keys["transport"][0])
        if "data" not in keys or _is_null(body, keys["data"]):
            raise BridgeError(kind, "ENV-R8", "no data", keys.get("data", (at,))[0])
        payload.data = _data(reader, payload, keys["data"])
        if payload.transport == "direct":
            verify_direct(payload)
    except BridgeError as error:
        payload.data, payload.error = None, error
    return payload


def _data(reader, payload, place):
    body, (start, end) = reader.text, place
    if payload.transport == "link":
        url = reader.string(start)[0] if body[start] == 34 else ""
        if not is_url(url):
            raise BridgeError("invalid_payload", "LINK-1", "the link is no absolute http or https URL", start)
        try:
            policy.parse_link(url)  # one that no policy can allow is none
        except BridgeError as error:
            error.offset = start
            raise
        return url
    inline = payload.type in INLINE_TYPES
    if body[start] in b"{[" and inline:
        return body[start:end]
    if body[start] != 34:
        raise BridgeError("invalid_payload", "DATA-4", "data of a " + payload.type + " is no string", start)
    text = body[start + 1 : end - 1]
    if b"\\" in text:
        text = reader.string(start)[0].encode()
    if inline and text.lstrip(b" \t\n\r")[:1] in (b"{", b"["):
        return text
    try:
        return strict_base64.decode(text)
    except BridgeError as error:
        error.offset = _source_offset(reader, start + 1, error.offset)
        raise


def is_url(text):
    """LINK-1: absolute, http or https, with a host; what may be fetched is the policy's."""
    scheme, _, rest = text.partition("://")
    return scheme.lower() in ("http", "https") and rest[:1] not in ("", "/", "?", "#")


def _source_offset(reader, at, offset):
    """Where in the message byte `offset` of the string at `at` comes from, its escapes considered."""
    while offset > 0:
        if reader.text[at] == 92:
            char, at = reader.escape(at)
            offset -= len(char.encode())
        else:
            at += 1
            offset -= 1
    return at


def _size(body, place):
    """ENV-R9: the exact value counts, not the spelling."""
    if place is None or _is_null(body, place):
        return None
    start, end = place
    if body[start] not in b"-0123456789":
        raise BridgeError("invalid_payload", "ENV-R7", "size is not a number", start)
    number = body[start:end].decode().lower()
    number, _, exponent = number.partition("e")
    whole, _, fraction = number.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return 0
    significant = digits.rstrip("0")
    # The value is significant * 10^power. A hostile exponent is compared, never computed.
    power = _bounded(exponent) - len(fraction) + len(digits) - len(significant)
    if number[0] != "-" and power >= 0 and len(significant) + power <= 19:
        size = int(significant) * 10**power
        if size <= MAX_SIZE:
            return size
    raise BridgeError("invalid_payload", "ENV-R9", "size is no integer from 0 to 2^63-1", start)


def _bounded(exponent):
    """An exponent as an int; one with absurdly many digits as a huge one of its sign."""
    digits = exponent.lstrip("+-").lstrip("0")
    number = int(digits or "0") if len(digits) < 15 else 10**15
    return -number if exponent[:1] == "-" else number


def verify_direct(payload):
    """VER-2 and VER-5: checks the digest; a wrong size is a note."""
    raw, digest = payload.data, payload.sha256
    if digest and hexlify(sha256(raw).digest()).decode() != digest:
        raise BridgeError("digest_mismatch", "VER-5", "the digest does not match")
    if not digest and payload.raw_sha256 is not None:
        payload.notes.append("unverified")
    if payload.size is not None and payload.size != len(raw):
        payload.notes.append("size says %d, there are %d bytes" % (payload.size, len(raw)))


# --- writing -------------------------------------------------------------------------------------


def written_type(kind, dialect):
    """TYPE-2: the name of an Arrow table is the dialect's."""
    if kind in TABLES:
        return "table" if dialect == "camel" else "arrowtable"
    return kind


def _head(dialect, payload):
    """A payload's JSON text up to and with the quote that opens `data`, and what follows the one that closes
    it."""
    quoted = strict_json.quoted
    head = '{"id":%s,"dataname":%s,"%s":%s,"transport":"%s","encoding":"%s","size":%d,"data":"' % (
        quoted(payload.id),
        quoted(payload.dataname),
        "type" if dialect == "camel" else "payload_type",
        quoted(written_type(payload.type, dialect)),
        payload.transport,
        "base64" if payload.transport == "direct" else "none",
        payload.size or 0,
    )
    metadata = strict_json.dumps(payload.metadata)
    # Three containers are around it; no reader takes more than 128.
    strict_json.Reader(metadata, "invalid_input").value(0, 4, False)
    return head.encode(), b'","metadata":' + metadata + b"}"


def entry_len(dialect, payload, data_len):
    """The exact length of a payload's object with `data` of so many characters."""
    head, tail = _head(dialect, payload)
    return len(head) + data_len + len(tail)


def pieces(envelope):
    """A message as pieces of text (bytes) and, where a payload's base64 goes, its raw bytes in a tuple:
    `(raw,)`.

    So a message is sent without being in memory whole. `encode` joins them."""
    camel = envelope.dialect == "camel"
    text = "{"
    for name, camel_name in FIELDS:
        text += '"%s":%s,' % (camel_name if camel else name, strict_json.quoted(getattr(envelope, name)))
    metadata = strict_json.dumps(envelope.metadata)
    strict_json.Reader(metadata, "invalid_input").value(0, 2, False)
    out = [text.encode() + b'"metadata":' + metadata + b',"payloads":[']
    for index, payload in enumerate(envelope.payloads):
        if not payload.type:
            raise BridgeError("invalid_input", "TYPE-1", "a payload needs a type")
        head, tail = _head(envelope.dialect, payload)
        out.append(b"," + head if index else head)
        if payload.transport == "link" and isinstance(payload.data, str) and is_url(payload.data):
            out.append(strict_json.quoted(payload.data)[1:-1].encode())
        elif payload.transport == "direct" and isinstance(payload.data, (bytes, bytearray, memoryview)):
            out.append((payload.data,))
        else:
            raise BridgeError(
                "invalid_input", "ENV-4", "a direct payload needs bytes, a link its http or https URL"
            )
        out.append(tail)
    out.append(b"]}")
    return out


def pieces_len(parts):
    """The length of what `pieces` gave, once it is written."""
    return sum(strict_base64.encoded_len(len(p[0])) if isinstance(p, tuple) else len(p) for p in parts)


def encode(envelope):
    """Writes a message (bytes): all keys, always, in order, compact, raw UTF-8. The same input gives the same
    bytes."""
    return b"".join(strict_base64.encode(p[0]) if isinstance(p, tuple) else p for p in pieces(envelope))
