"""The envelope: its keys in both dialects, reading and writing (SPEC.md sections 2 to 4, 6 and 8)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from . import strict_base64
from .errors import BridgeError
from .policy import parse_link
from .strict_json import Value, compact, parse, to_python

Dialect = Literal["camel", "snake"]

# The twelve text fields of a message: attribute (which is the snake_case key), camelCase key.
FIELDS = {
    "correlation_id": "correlationId",
    "msg_id": "msgId",
    "timestamp": "timestamp",
    "send_to": "sendTo",
    "msg_purpose": "msgPurpose",
    "sender_name": "senderName",
    "sender_id": "senderId",
    "receiver_name": "receiverName",
    "receiver_id": "receiverId",
    "reply_to": "replyTo",
    "reply_to_msg_id": "replyToMsgId",
    "broker_url": "brokerURL",
}
TYPE_KEY = {"camel": "type", "snake": "payload_type"}

# Spelling -> (field, the dialect that it speaks for, or None).
MESSAGE_KEYS: dict[str, tuple[str, Dialect | None]] = {
    "metadata": ("metadata", None),
    "payloads": ("payloads", None),
    "BrokerURL": ("broker_url", "camel"),
}
for _snake, _camel in FIELDS.items():
    _shared = _snake == _camel
    MESSAGE_KEYS[_camel] = (_snake, None if _shared else "camel")
    MESSAGE_KEYS[_snake] = (_snake, None if _shared else "snake")
PAYLOAD_KEYS: dict[str, tuple[str, Dialect | None]] = {
    key: (key, None) for key in "id dataname transport encoding size data metadata".split()
}
PAYLOAD_KEYS["type"] = ("type", "camel")
PAYLOAD_KEYS["payload_type"] = ("type", "snake")

INLINE_TYPES = frozenset({"dictionary", "table", "arrowtable", "jsontable"})
MAX_SIZE = 2**63 - 1
MAX_MESSAGE_LEN = 64 * 1024 * 1024  # chosen; NATS itself allows no more than that
MAX_PAYLOADS = 4096  # chosen
JSON_SPACE = " \t\n\r"
_NUMBER = re.compile(r"(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?")
_URL = re.compile(r"https?://[^/?#]", re.I)


@dataclass
class MessagePayload:
    """One payload as it is on the wire.

    `data` is the raw bytes of a direct payload and the URL of a link. On reading, `error` says why a
    payload cannot be had (its `data` is then `None`), and `notes` holds what is odd but no error:
    a wrong `size`, or `unverified`.
    """

    id: str = ""
    dataname: str = ""
    type: str = ""
    transport: str = ""
    encoding: str = ""
    size: int | None = None
    data: bytes | str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    error: BridgeError | None = None

    @property
    def sha256(self) -> str | None:
        """The digest in the metadata if it is one that counts (VER-5), in lower case."""
        digest = self.metadata.get("sha256")
        if isinstance(digest, str) and re.fullmatch(r"[0-9a-fA-F]{64}", digest):
            return digest.lower()
        return None


@dataclass
class MessageEnvelope:
    """A message: its twelve text fields, metadata, payloads, and the dialect it is written in."""

    correlation_id: str = ""
    msg_id: str = ""
    timestamp: str = ""
    send_to: str = ""
    msg_purpose: str = ""
    sender_name: str = ""
    sender_id: str = ""
    receiver_name: str = ""
    receiver_id: str = ""
    reply_to: str = ""
    reply_to_msg_id: str = ""
    broker_url: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    payloads: list[MessagePayload] = field(default_factory=list)
    dialect: Dialect = "camel"

    @property
    def fields(self) -> dict[str, str]:
        """The text fields under their snake_case names."""
        return {name: getattr(self, name) for name in FIELDS}


# --- reading -------------------------------------------------------------------------------


def decode(
    body: bytes, *, max_message_len: int = MAX_MESSAGE_LEN, max_payloads: int = MAX_PAYLOADS
) -> MessageEnvelope:
    """Reads a message body, or raises the `BridgeError` that fails the whole message.

    A payload that fails alone is in its place, with its `error`.

    >>> message = decode(b'{"payloads":[{"type":"text","transport":"direct","data":"QUJD"}]}')
    >>> message.payloads[0].data
    b'ABC'
    """
    if len(body) > max_message_len:
        raise BridgeError(
            "limit", "ENV-1", "the message is too long", needed=len(body), limit=max_message_len
        )
    root = parse(body)
    if root.kind != "object":
        raise BridgeError("malformed", "ENV-1", "the message is not an object", root.start)
    members, spoke = _known(root, MESSAGE_KEYS)
    listed = members.get("payloads")
    if listed is None or listed.kind == "null":
        at = root.end - 1 if listed is None else listed.start
        raise BridgeError("malformed", "ENV-R3", "no payloads", at)
    if listed.kind != "array":
        raise BridgeError("malformed", "ENV-R7", "payloads is not an array", listed.start)
    if len(listed.held) > max_payloads:
        raise BridgeError(
            "limit",
            "ENV-3",
            "too many payloads",
            listed.held[max_payloads].start,
            needed=len(listed.held),
            limit=max_payloads,
        )
    envelope = MessageEnvelope()
    for name in FIELDS:
        setattr(envelope, name, _text(members.get(name), name, "malformed"))
    envelope.metadata = _metadata(members.get("metadata"), body, "malformed")
    for item in listed.held:
        keys, said = _known(item, PAYLOAD_KEYS) if item.kind == "object" else ({}, None)
        spoke = min(filter(None, (spoke, said)), default=None)
        envelope.payloads.append(_payload(item, keys, body))
    if spoke:
        envelope.dialect = spoke[1]
    return envelope


def _known(value: Value, table: dict) -> tuple[dict[str, Value], tuple[int, Dialect] | None]:
    """The known members by field, and (offset, dialect) of the first key that tells."""
    members: dict[str, Value] = {}
    spoke = None
    for key, at, member in value.held:
        if key not in table:
            continue
        name, dialect = table[key]
        if name in members:
            raise BridgeError("malformed", "ENV-R5", f"{name} comes twice", at)
        members[name] = member
        if dialect and spoke is None:
            spoke = (at, dialect)
    return members, spoke


def _text(value: Value | None, name: str, kind: str) -> str:
    if value is None or value.kind == "null":
        return ""
    if value.kind != "string":
        raise BridgeError(kind, "ENV-R7", f"{name} is not a string", value.start)
    return value.held


def _metadata(value: Value | None, body: bytes, kind: str) -> dict[str, Any]:
    if value is None or value.kind == "null":
        return {}
    if value.kind != "object":
        raise BridgeError(kind, "ENV-R7", "metadata is not an object", value.start)
    return Metadata(value, body)


class Metadata(dict):
    """Metadata as values. An entry that cannot be one, because a number in it overflows a double, is left
    out, fails only who asks for it by name (TYPE-4), and is still in `text`, which is the exact JSON of the
    message."""

    def __init__(self, value: Value, body: bytes) -> None:
        super().__init__()
        self.text = body[value.start : value.end]
        self.unreadable: dict[str, BridgeError] = {}
        for key, _, member in value.held:
            self.pop(key, None)
            self.unreadable.pop(key, None)
            try:
                self[key] = to_python(member)
            except BridgeError as error:
                self.unreadable[key] = error

    def __missing__(self, key: str) -> Any:
        raise self.unreadable.get(key, KeyError(key))


def _payload(item: Value, keys: dict[str, Value], body: bytes) -> MessagePayload:
    payload = MessagePayload()
    kind = "invalid_payload"
    try:
        if item.kind != "object":
            raise BridgeError(kind, "ENV-R7", "the payload is not an object", item.start)
        for name in ("id", "dataname", "type", "transport", "encoding"):
            setattr(payload, name, _text(keys.get(name), name, kind))
        payload.metadata = _metadata(keys.get("metadata"), body, kind)
        payload.size = _size(keys.get("size"))
        for name in ("type", "transport"):
            if not getattr(payload, name):
                at = keys[name].start if name in keys else item.start
                raise BridgeError(kind, "ENV-R8", f"no {name}", at)
        if payload.transport not in ("direct", "link"):
            raise BridgeError(kind, "ENV-R8", "unknown transport", keys["transport"].start)
        payload.data = _data(payload, keys.get("data"), item, body)
        if isinstance(payload.data, bytes):
            verify_direct(payload, payload.data)
    except BridgeError as error:
        payload.data, payload.error = None, error
    return payload


def _data(payload: MessagePayload, value: Value | None, item: Value, body: bytes) -> bytes | str:
    kind = "invalid_payload"
    if value is None or value.kind == "null":
        raise BridgeError(kind, "ENV-R8", "no data", item.start if value is None else value.start)
    if payload.transport == "link":
        if value.kind != "string" or not _URL.match(value.held):
            raise BridgeError(kind, "LINK-1", "the link is no absolute http or https URL", value.start)
        try:
            parse_link(value.held)  # one that no policy can allow is none
        except BridgeError as error:
            error.offset = value.start
            raise
        return value.held
    inline = payload.type in INLINE_TYPES
    if value.kind in ("object", "array") and inline:
        return body[value.start : value.end]
    if value.kind != "string":
        raise BridgeError(kind, "DATA-4", f"data of a {payload.type} is {value.kind}", value.start)
    if inline and value.held.lstrip(JSON_SPACE)[:1] in ("{", "["):
        return value.held.encode()
    try:
        # Characters outside ASCII are wrong at their own offset, whatever bytes stand for them.
        return strict_base64.decode(value.held.encode())
    except BridgeError as error:
        error.data_offset = error.offset
        error.offset = _source_offset(body, value, error.offset or 0)
        raise


def _source_offset(body: bytes, string: Value, offset: int) -> int:
    """Where in the message byte `offset` of a string comes from, its escapes considered."""
    at = string.start + 1
    if b"\\" not in body[string.start : string.end]:
        return at + offset
    while offset > 0:
        escape = re.compile(rb"\\(?:u[dD][89abAB]..\\u....|u....|.)").match(body, at)
        made = 1
        if escape and escape.group()[1:2] == b"u":
            made = len(parse(b'"' + escape.group() + b'"').held.encode())
        at += len(escape.group()) if escape else 1
        offset -= made
    return at


def _size(value: Value | None) -> int | None:
    """ENV-R9: the exact value counts, not the spelling."""
    if value is None or value.kind == "null":
        return None
    if value.kind != "number":
        raise BridgeError("invalid_payload", "ENV-R7", "size is not a number", value.start)
    number = _NUMBER.fullmatch(value.held)
    assert number is not None  # the parser took it for a number
    sign, whole, fraction, exponent = number.groups()
    fraction = fraction or ""
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return 0
    significant = digits.rstrip("0")
    # The value is significant * 10^power. A hostile exponent is compared, never computed.
    power = _bounded(exponent) - len(fraction) + len(digits) - len(significant)
    if not sign and power >= 0 and len(significant) + power <= 19:
        size = int(significant) * 10**power
        if size <= MAX_SIZE:
            return size
    raise BridgeError("invalid_payload", "ENV-R9", "size is no integer from 0 to 2^63-1", value.start)


def _bounded(exponent: str | None) -> int:
    """An exponent as an int; one with absurdly many digits as a huge one of its sign."""
    if not exponent:
        return 0
    digits = exponent.lstrip("+-").lstrip("0")
    number = int(digits or "0") if len(digits) < 15 else 10**15
    return -number if exponent[0] == "-" else number


# --- verifying -----------------------------------------------------------------------------


def verify_direct(payload: MessagePayload, raw: bytes) -> None:
    """VER-2 and VER-5: checks the digest; a wrong size is a note."""
    if payload.sha256 and hashlib.sha256(raw).hexdigest() != payload.sha256:
        raise BridgeError("digest_mismatch", "VER-5", "the digest does not match")
    if payload.sha256 is None and "sha256" in payload.metadata:
        payload.notes.append("unverified")
    if payload.size is not None and payload.size != len(raw):
        payload.notes.append(f"size says {payload.size}, there are {len(raw)} bytes")


# --- writing -------------------------------------------------------------------------------


def written_type(kind: str, dialect: str) -> str:
    """TYPE-2: the name of an Arrow table is the dialect's."""
    if kind in ("table", "arrowtable"):
        return "table" if dialect == "camel" else "arrowtable"
    return kind


def entry_len(dialect: str, payload: MessagePayload, data_len: int) -> int:
    """The exact length of a payload's object with `data` of so many characters."""
    return len(_entry(dialect, payload, "").encode()) + data_len


def _entry(dialect: str, payload: MessagePayload, data: str) -> str:
    """One payload's JSON text, in the order of ENV-4."""
    return compact(
        {
            "id": payload.id,
            "dataname": payload.dataname,
            TYPE_KEY[dialect]: written_type(payload.type, dialect),
            "transport": payload.transport,
            "encoding": "base64" if payload.transport == "direct" else "none",
            "size": payload.size or 0,
            "data": data,
            "metadata": payload.metadata,
        }
    )


def encode(envelope: MessageEnvelope) -> bytes:
    """Writes a message: all keys, always, in order, compact, raw UTF-8. The same input gives the same bytes.

    >>> encode(MessageEnvelope(msg_id="a"))[:40]
    b'{"correlationId":"","msgId":"a","timesta'

    Raises `BridgeError` of kind `invalid_input` for what the format cannot say.
    """
    camel = envelope.dialect == "camel"
    head: dict[str, Any] = {FIELDS[name] if camel else name: text for name, text in envelope.fields.items()}
    head["metadata"] = envelope.metadata
    entries = []
    for payload in envelope.payloads:
        if not payload.type:
            raise BridgeError("invalid_input", "TYPE-1", "a payload needs a type")
        if payload.transport == "link":
            if not isinstance(payload.data, str) or not _URL.match(payload.data):
                raise BridgeError("invalid_input", "LINK-1", "a link must be an http or https URL")
            data = payload.data
        elif payload.transport == "direct" and isinstance(payload.data, bytes):
            data = strict_base64.encode(payload.data).decode()
        else:
            raise BridgeError("invalid_input", "ENV-4", "a direct payload needs bytes, a link its URL")
        entries.append(_entry(envelope.dialect, payload, data))
    return (compact(head)[:-1] + f',"payloads":[{",".join(entries)}]}}').encode()
