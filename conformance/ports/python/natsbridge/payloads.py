"""Payload types: values to raw bytes and back (SPEC.md section 5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import tables
from .envelope import INLINE_TYPES, JSON_SPACE
from .errors import BridgeError
from .strict_json import compact, parse, to_python

TABLES = frozenset({"table", "arrowtable"})
BYTES_LIKE = (bytes, bytearray, memoryview)


def write(kind: str, value: Any) -> bytes | Path:
    """The raw bytes of a value: `text` takes a str, `dictionary` what JSON can say, `jsontable` a list of
    dicts, a table also a `pyarrow.Table`, a `RecordBatch` or a pandas `DataFrame`, every other type bytes.
    For all types bytes are taken as they are (JSON is checked), and a `Path` of a file is taken for its
    content.

    >>> write("dictionary", {"pins": [4, 7]})
    b'{"pins":[4,7]}'
    """
    if not kind:
        raise BridgeError("invalid_input", "TYPE-1", "a payload needs a type")
    if isinstance(value, Path):
        return value if kind not in INLINE_TYPES | {"text"} else write(kind, value.read_bytes())
    if isinstance(value, BYTES_LIKE):
        raw = bytes(value)
        if kind not in TABLES:
            _readable(kind, raw)
        return raw
    if kind == "text" and isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise BridgeError(
                "invalid_input", "TYPE-1", f"the text cannot be UTF-8: {error.reason}"
            ) from None
    if kind == "dictionary":
        return compact(value).encode()
    if (
        kind == "jsontable"
        and isinstance(value, (list, tuple))
        and all(isinstance(row, dict) for row in value)
    ):
        return compact(value).encode()
    if kind in TABLES:
        return tables.write(value)
    raise BridgeError("invalid_input", "TYPE-1", f"a {kind} cannot be made of {type(value).__name__}")


def read(kind: str, raw: bytes) -> Any:
    """The value of raw bytes: str, JSON values, a list of rows, a `pyarrow.Table`, or the bytes themselves.

    >>> read("text", b"hello")
    'hello'
    """
    if kind == "text":
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise BridgeError("invalid_text", "TYPE-1", "the text is not UTF-8", error.start) from None
    if kind == "dictionary":
        return to_python(parse(raw, "invalid_json", "TYPE-4", "TYPE-4"))
    if kind == "jsontable" or kind in TABLES and is_json_rows(raw):
        return _rows(raw)
    if kind in TABLES:
        return tables.read(raw)
    return raw


def is_json_rows(raw: bytes) -> bool:
    """TYPE-7: a table that is JSON rows."""
    return raw.lstrip(JSON_SPACE.encode())[:1] == b"["


def _rows(raw: bytes) -> list[dict[str, Any]]:
    root = parse(raw, "invalid_json", "TYPE-5", "TYPE-4")
    if root.kind != "array":
        raise BridgeError("invalid_json", "TYPE-5", "the rows are not an array", root.start)
    for row in root.held:
        if row.kind != "object":
            raise BridgeError("invalid_json", "TYPE-5", "a row is not an object", row.start)
    return to_python(root)


def _readable(kind: str, raw: bytes) -> None:
    """Nothing is sent that a reader would refuse."""
    try:
        read(kind, raw)
    except BridgeError as error:
        raise BridgeError(
            "invalid_input", error.clause, f"the bytes are no {kind}: {error}", error.offset
        ) from None
