"""The envelope: its keys in both dialects, reading and writing (ENV-, DATA-, B64-)."""

import base64
import json
import re
from dataclasses import dataclass, field

from strict_json import PeerError, parse, to_python

CAMEL = (
    "correlationId msgId timestamp sendTo msgPurpose senderName senderId receiverName receiverId "
    "replyTo replyToMsgId brokerURL metadata payloads"
).split()
SNAKE = (
    "correlation_id msg_id timestamp send_to msg_purpose sender_name sender_id receiver_name "
    "receiver_id reply_to reply_to_msg_id broker_url metadata payloads"
).split()
TYPE_KEY = {"camel": "type", "snake": "payload_type"}

# spelling -> (field, dialect it speaks for, or None)
MESSAGE_KEYS = {"BrokerURL": ("brokerURL", "camel")}
for _camel, _snake in zip(CAMEL, SNAKE):
    _shared = _camel == _snake
    MESSAGE_KEYS[_camel] = (_camel, None if _shared else "camel")
    MESSAGE_KEYS[_snake] = (_camel, None if _shared else "snake")
PAYLOAD_KEYS = {k: (k, None) for k in "id dataname transport encoding size data metadata".split()}
PAYLOAD_KEYS["type"] = ("type", "camel")
PAYLOAD_KEYS["payload_type"] = ("type", "snake")

INLINE_TYPES = {"dictionary", "table", "arrowtable", "jsontable"}
MAX_SIZE = 2**63 - 1
JSON_SPACE = " \t\n\r"


@dataclass
class Payload:
    id: str = ""
    dataname: str = ""
    type: str = ""
    transport: str = ""
    encoding: str = ""
    size: int | None = None
    data: str | None = None  # the JSON string
    inline: bytes | None = None  # the slice, where `data` is an object or array
    metadata: dict = field(default_factory=dict)
    error: PeerError | None = None

    def direct_bytes(self):
        """The raw bytes of a direct payload (DATA-1, DATA-2)."""
        if self.inline is not None:
            return self.inline
        if self.type in INLINE_TYPES and self.data.lstrip(JSON_SPACE)[:1] in ("{", "["):
            return self.data.encode()
        return decode_base64(self.data)


@dataclass
class Envelope:
    dialect: str
    fields: dict  # camelCase name -> str, the first twelve keys
    metadata: dict
    payloads: list


def decode(text):
    """Reads a message body, or raises the PeerError that fails the whole message."""
    root = parse(text)
    if root.kind != "object":
        raise PeerError("ENV-1", "the message is not an object", root.start)
    members, dialect = _known(root, MESSAGE_KEYS)
    listed = members.get("payloads")
    if listed is None or listed.kind == "null":
        raise PeerError("ENV-R3", "no payloads", root.start if listed is None else listed.start)
    if listed.kind != "array":
        raise PeerError("ENV-R7", "payloads is not an array", listed.start)
    fields = {name: _text(members.get(name), name) for name in CAMEL[:12]}
    metadata = _metadata(members.get("metadata"))

    payloads = []
    first_in_payloads = None
    for item in listed.held:
        if item.kind != "object":
            error = PeerError("ENV-R7", "the payload is not an object", item.start)
            payloads.append(Payload(error=error))
            continue
        keys, spoke = _known(item, PAYLOAD_KEYS)
        if spoke and (first_in_payloads is None):
            first_in_payloads = spoke
        payloads.append(_payload(item, keys, text))
    candidates = [hit for hit in (dialect, first_in_payloads) if hit]
    return Envelope(min(candidates)[1] if candidates else "camel", fields, metadata, payloads)


def _known(value, table):
    """The known members by field name, and (offset, dialect) of the first key that tells."""
    members, spoke = {}, None
    for key, at, member in value.held:
        if key not in table:
            continue
        name, dialect = table[key]
        if name in members:
            raise PeerError("ENV-R5", f"{name} comes twice", at)
        members[name] = member
        if dialect and spoke is None:
            spoke = (at, dialect)
    return members, spoke


def _text(value, name):
    if value is None or value.kind == "null":
        return ""
    if value.kind != "string":
        raise PeerError("ENV-R7", f"{name} is not a string", value.start)
    return value.held


def _metadata(value):
    if value is None or value.kind == "null":
        return {}
    if value.kind != "object":
        raise PeerError("ENV-R7", "metadata is not an object", value.start)
    return to_python(value, errors=[])


def _payload(item, keys, text):
    payload = Payload()
    try:
        for name in ("id", "dataname", "type", "transport", "encoding"):
            setattr(payload, name, _text(keys.get(name), name))
        payload.metadata = _metadata(keys.get("metadata"))
        payload.size = _size(keys.get("size"))
        for name in ("type", "transport"):
            if not getattr(payload, name):
                raise PeerError("ENV-R8", f"no {name}", item.start)
        if payload.transport not in ("direct", "link"):
            raise PeerError("ENV-R8", "unknown transport", keys["transport"].start)
        _data(payload, keys.get("data"), item, text)
    except PeerError as error:
        payload.error = error
    return payload


def _data(payload, value, item, text):
    if value is None or value.kind == "null":
        raise PeerError("ENV-R8", "no data", item.start)
    if value.kind == "string":
        payload.data = value.held
        if payload.transport == "link" and not re.match(r"https?://", value.held, re.I):
            raise PeerError("LINK-1", "the link is not an http or https URL", value.start)
    elif payload.transport == "link":
        raise PeerError("LINK-1", "the link is not a string", value.start)
    elif value.kind in ("object", "array") and payload.type in INLINE_TYPES:
        payload.inline = text[value.start : value.end]
    else:
        raise PeerError("DATA-4", f"data of a {payload.type} is {value.kind}", value.start)


def _size(value):
    """ENV-R9: the exact value counts, not the spelling."""
    if value is None or value.kind == "null":
        return None
    if value.kind != "number":
        raise PeerError("ENV-R7", "size is not a number", value.start)
    sign, whole, fraction, exponent = re.fullmatch(
        r"(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?", value.held
    ).groups()
    fraction = fraction or ""
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return 0
    zeros = len(digits) - len(digits.rstrip("0"))
    # The value is digits[:-zeros] * 10^power. A hostile exponent is compared, never computed.
    power = _bounded(exponent) - len(fraction) + zeros
    digits = digits.rstrip("0")
    if sign or power < 0 or len(digits) + power > 19:
        raise PeerError("ENV-R9", "size is out of range", value.start)
    size = int(digits) * 10**power
    if size > MAX_SIZE:
        raise PeerError("ENV-R9", "size is out of range", value.start)
    return size


def _bounded(exponent):
    """An exponent as an int; one with absurdly many digits as a huge one of its sign."""
    if not exponent:
        return 0
    digits = exponent.lstrip("+-").lstrip("0")
    number = int(digits or "0") if len(digits) < 15 else 10**15
    return -number if exponent[0] == "-" else number


_ALPHABET = re.compile(r"[A-Za-z0-9+/_-]*")


def decode_base64(data):
    """Section 7. Offsets count from the first byte of `data`."""
    body = data[:-2] if data.endswith("\r\n") else data[:-1] if data.endswith("\n") else data
    end = _ALPHABET.match(body).end()
    symbols, rest = body[:end], body[end:]
    standard = [i for i in map(symbols.find, "+/") if i >= 0]
    url_safe = [i for i in map(symbols.find, "-_") if i >= 0]
    if standard and url_safe:
        raise PeerError("B64-2", "two alphabets", max(min(standard), min(url_safe)))
    padding = len(rest) - len(rest.lstrip("="))
    junk = rest[padding:]
    if padding == 0 and junk and junk[0] not in "\r\n":
        raise PeerError("B64-4", "a character outside the alphabet", end)
    # The symbols are at their end, whatever is wrong behind it.
    if len(symbols) % 4 == 1:
        raise PeerError("B64-5", "a lone last character", end)
    due = -len(symbols) % 4
    raw = base64.b64decode(symbols.replace("-", "+").replace("_", "/") + "=" * due)
    last = base64.b64encode(raw[len(raw) // 3 * 3 :])[len(symbols) % 4 - 1 :][:1].decode()
    if due and last != symbols[-1].translate(_TO_STANDARD):
        raise PeerError("B64-5", "left-over bits", end - 1)
    if padding not in (0, due):
        raise PeerError("B64-3", "wrong padding", end + min(due, padding))
    if junk:
        raise PeerError("B64-4", "a character outside the alphabet", end + padding)
    return raw


_TO_STANDARD = str.maketrans("-_", "+/")


def encode_base64(raw):
    return base64.b64encode(raw).decode()


def compact(value):
    """ENV-W2, ENV-W3, ENV-W7."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def written_type(kind, dialect):
    """TYPE-2."""
    if kind in ("table", "arrowtable"):
        return "table" if dialect == "camel" else "arrowtable"
    return kind


def payload_entry(dialect, payload):
    """One payload's JSON text, in the order of ENV-4."""
    return compact(
        {
            "id": payload.id,
            "dataname": payload.dataname,
            TYPE_KEY[dialect]: written_type(payload.type, dialect),
            "transport": payload.transport,
            "encoding": "base64" if payload.transport == "direct" else "none",
            "size": payload.size or 0,
            "data": payload.data,
            "metadata": payload.metadata,
        }
    )


def encode(envelope):
    """Section 3: all keys, always, in order, compact, raw UTF-8."""
    names = CAMEL if envelope.dialect == "camel" else SNAKE
    head = {name: envelope.fields[field] for name, field in zip(names, CAMEL[:12])}
    head["metadata"] = envelope.metadata
    entries = ",".join(payload_entry(envelope.dialect, p) for p in envelope.payloads)
    return (compact(head)[:-1] + f',"payloads":[{entries}]}}').encode()
