"""The envelope, read and written (sections 2 to 4, 6 and 8)."""

import hashlib
import json
import re
from decimal import Decimal, InvalidOperation

import base64_text
from refusal import Refusal
from strict_json import SPACE, parse, to_value

# ENV-3: name of the field in snake_case, and its two spellings; BrokerURL is a third one (ENV-R5).
FIELDS = [
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
]
MESSAGE_KEYS = {"metadata": ("metadata", None), "payloads": ("payloads", None), "BrokerURL": ("broker_url", "camel")}
for _snake, _camel in FIELDS:
    MESSAGE_KEYS[_snake] = (_snake, "snake" if _snake != _camel else None)
    MESSAGE_KEYS[_camel] = (_snake, "camel" if _snake != _camel else None)

# ENV-4.
PAYLOAD_KEYS = {name: (name, None) for name in ("id", "dataname", "transport", "encoding", "size", "data", "metadata")}
PAYLOAD_KEYS |= {"type": ("type", "camel"), "payload_type": ("type", "snake")}

INLINE_TYPES = {"dictionary", "table", "arrowtable", "jsontable"}
MAX_SIZE = 2**63 - 1


class Message:
    """A message as read. Every entry of `payloads` is a dict, or the Refusal that it came to."""

    def __init__(self, text, message_len=None, payload_count=None):
        if message_len is not None and len(text) > message_len:
            raise Refusal("limit")
        root = parse(text)
        if root.kind != "object":
            raise Refusal("malformed", root.start)  # ENV-1
        dialect_keys = []
        members = _known_members(root, MESSAGE_KEYS, dialect_keys)

        self.fields = {name: _string(members.get(name), "malformed") for name, _ in FIELDS}
        self.metadata = _metadata(members.get("metadata"), "malformed")
        listed = members.get("payloads")
        if listed is None or listed.kind != "array":
            raise Refusal("malformed", listed.start if listed else root.end - 1)  # ENV-R3, ENV-R7
        if payload_count is not None and len(listed.content) > payload_count:
            raise Refusal("limit", listed.content[payload_count].start)
        known = [
            _known_members(item, PAYLOAD_KEYS, dialect_keys) if item.kind == "object" else None
            for item in listed.content
        ]
        # ENV-R6: the first in the text, whether of the message or of a payload.
        self.dialect = min(dialect_keys, default=(0, "camel"))[1]
        self.payloads = []
        for item, keys in zip(listed.content, known):
            try:
                if keys is None:
                    raise Refusal("invalid_payload", item.start)  # ENV-R7
                self.payloads.append(_payload(text, item, keys))
            except Refusal as refusal:
                self.payloads.append(refusal)


def _known_members(node, table, dialect_keys):
    """The members that `table` knows, by field. Another spelling is a repetition too (ENV-R5)."""
    members = {}
    for key, offset, value in node.content:
        if key not in table:
            continue  # ENV-R4
        name, dialect = table[key]
        if name in members:
            raise Refusal("malformed", offset)
        members[name] = value
        if dialect:
            dialect_keys.append((offset, dialect))
    return members


def _string(node, kind):
    if node is None or node.kind == "null":
        return ""
    if node.kind != "string":
        raise Refusal(kind, node.start)
    return node.content


def _metadata(node, kind):
    """The Node of an object, or None."""
    if node is None or node.kind == "null":
        return None
    if node.kind != "object":
        raise Refusal(kind, node.start)
    return node


def _payload(text, item, keys):
    strings = ("id", "dataname", "type", "transport", "encoding")
    payload = {name: _string(keys.get(name), "invalid_payload") for name in strings}
    payload["size"] = size_of(keys.get("size"))
    payload["metadata"] = _metadata(keys.get("metadata"), "invalid_payload")
    data = keys.get("data")
    missing = data is None or data.kind == "null"
    if missing or not payload["type"] or payload["transport"] not in ("direct", "link"):
        raise Refusal("invalid_payload", item.start)  # ENV-R8

    if payload["transport"] == "link":
        if data.kind != "string" or not re.match(r"https?://[^/?#]", data.content, re.IGNORECASE):
            raise Refusal("invalid_payload", data.start)  # LINK-1
        payload["url"] = data.content
    else:
        payload["bytes"] = _direct_bytes(text, payload["type"], data)
        digest = _digest(payload["metadata"])
        if digest is not None and hashlib.sha256(payload["bytes"]).hexdigest() != digest:
            raise Refusal("digest_mismatch")  # VER-5
    return payload


def _direct_bytes(text, type_name, data):
    """DATA-1 to DATA-4."""
    may_be_inline = type_name in INLINE_TYPES
    if data.kind in ("object", "array") and may_be_inline:
        return text[data.start : data.end]
    if data.kind != "string":
        raise Refusal("invalid_payload", data.start)
    raw = data.content.encode()
    if may_be_inline and raw.lstrip(SPACE)[:1] in (b"{", b"["):
        return raw
    try:
        return base64_text.decode(raw)
    except Refusal as refusal:
        # The offset is one of the string's content; where the message is counted from is said nowhere here.
        raise Refusal(refusal.kind) from None


def _digest(metadata):
    """VER-5: a sha256 counts when it is 64 hexadecimal digits. The last of equal keys wins."""
    found = None
    for key, _, value in metadata.content if metadata else ():
        if key == "sha256":
            found = value
    if found is not None and found.kind == "string" and re.fullmatch(r"[0-9A-Fa-f]{64}", found.content):
        return found.content.lower()
    return None


def size_of(node):
    """ENV-R9, by exact decimal arithmetic. None where there is no size."""
    if node is None or node.kind == "null":
        return None
    if node.kind != "number":
        raise Refusal("invalid_payload", node.start)
    try:
        number = Decimal(node.content)
    except InvalidOperation:  # an exponent beyond even these numbers: only of zero is that an integer
        if re.fullmatch(r"-?[0.]+[eE].*", node.content):
            return 0
        raise Refusal("invalid_payload", node.start) from None
    if number == 0:
        return 0
    # `adjusted` is the exponent of the first digit: nothing huge is ever written out.
    if number < 0 or number.adjusted() > 18 or number.adjusted() < 0 or number != number.to_integral_value():
        raise Refusal("invalid_payload", node.start)
    if int(number) > MAX_SIZE:
        raise Refusal("invalid_payload", node.start)
    return int(number)


def encode(dialect, fields, metadata, payloads):
    """Section 3. `metadata` is JSON text or None; a payload has `data` or `url` and `size`."""
    members = [
        (snake if dialect == "snake" else camel, quote(fields.get(snake, ""))) for snake, camel in FIELDS
    ]
    members.append(("metadata", _written_metadata(metadata)))
    entries = ",".join(_entry(dialect, payload) for payload in payloads)
    members.append(("payloads", f"[{entries}]"))
    return _object(members).encode()


def _entry(dialect, payload):
    direct = "data" in payload
    type_name = payload["type"]
    if type_name in ("table", "arrowtable"):  # TYPE-2
        type_name = "table" if dialect == "camel" else "arrowtable"
    data = base64_text.encode(payload["data"]).decode() if direct else payload["url"]
    return _object(
        [
            ("id", quote(payload.get("id", ""))),
            ("dataname", quote(payload.get("dataname", ""))),
            ("type" if dialect == "camel" else "payload_type", quote(type_name)),
            ("transport", quote("direct" if direct else "link")),
            ("encoding", quote("base64" if direct else "none")),
            ("size", str(len(payload["data"]) if direct else payload["size"])),
            ("data", quote(data)),
            ("metadata", _written_metadata(payload.get("metadata"))),
        ]
    )


def _object(members):
    return "{" + ",".join(f"{quote(key)}:{value}" for key, value in members) + "}"


def _written_metadata(text):
    """ENV-W2, ENV-W3, ENV-W7: the same value, compact, in the same order."""
    return _rewritten(parse(text, "invalid_input")) if text is not None else "{}"


def _rewritten(node):
    if node.kind == "object":
        return _object([(key, _rewritten(value)) for key, _, value in node.content])
    if node.kind == "array":
        return "[" + ",".join(map(_rewritten, node.content)) + "]"
    if node.kind == "string":
        return quote(node.content)
    return json.dumps(to_value(node, "invalid_input"))  # a number or a literal


def quote(text):
    """ENV-W3."""
    short = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
    return '"' + "".join(short.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in text) + '"'
