# Payload types: values to raw bytes and back (SPEC.md section 5). No Arrow: tables are handed over as bytes.

from . import strict_json
from .envelope import INLINE_TYPES, TABLES
from .errors import BridgeError


def write(kind, value):
    """The raw bytes of a value: `text` takes a str, `dictionary` what JSON can say, `jsontable` a list of
    dicts, every other type bytes. A table is bytes that are Arrow already. Bytes are taken as they are for
    every type, once JSON and UTF-8 in them are checked."""
    if not kind:
        raise BridgeError("invalid_input", "TYPE-1", "a payload needs a type")
    if isinstance(value, (bytes, bytearray, memoryview)):
        if kind == "text" or kind in INLINE_TYPES and kind not in TABLES:
            value = bytes(value)
            try:
                read(kind, value)
            except BridgeError as error:
                raise BridgeError("invalid_input", error.clause, "the bytes are no " + kind, error.offset)
        return value
    if kind == "text" and isinstance(value, str):
        raw = value.encode()
        strict_json.check_utf8(raw, 0, len(raw), strict_json.Reader(raw, "invalid_input", "TYPE-1"))
        return raw
    if kind == "dictionary":
        return strict_json.dumps(value)
    if (
        kind == "jsontable"
        and isinstance(value, (list, tuple))
        and all(isinstance(row, dict) for row in value)
    ):
        return strict_json.dumps(value)
    if kind in TABLES:
        raise BridgeError(
            "invalid_input", "TYPE-6", "MicroPython has no Arrow: send a jsontable, or Arrow bytes"
        )
    raise BridgeError("invalid_input", "TYPE-1", "a " + kind + " cannot be made of this value")


def read(kind, raw):
    """The value of raw bytes: str, JSON values, a list of rows, or the bytes themselves (a table's too)."""
    if kind == "text":
        strict_json.check_utf8(raw, 0, len(raw), strict_json.Reader(raw, "invalid_text", "TYPE-1"))
        return raw.decode()
    if kind == "dictionary":
        return strict_json.loads(raw)
    if kind == "jsontable" or kind in TABLES and is_json_rows(raw):
        return _rows(raw)
    return raw


def is_json_rows(raw):
    """TYPE-7: a table that is JSON rows."""
    return raw.lstrip(b" \t\n\r")[:1] == b"["


def _rows(raw):
    rows = strict_json.loads(raw, "invalid_json", "TYPE-5")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BridgeError("invalid_json", "TYPE-5", "the rows are not an array of objects", 0)
    return rows
