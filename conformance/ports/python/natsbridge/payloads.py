"""Payload types: values to raw bytes and back (TYPE-)."""

import math
import struct

from envelope import JSON_SPACE, compact
from strict_json import PeerError, parse, to_python


def serialise(kind, entry, read_file):
    """The raw bytes for one entry of a spec file: `path`, `text`, `json` or `rows`."""
    if "path" in entry:
        return read_file(entry["path"])
    if "text" in entry:
        return entry["text"].encode()
    if "json" in entry:
        return compact(entry["json"]).encode()
    if "rows" in entry:
        if kind in ("table", "arrowtable"):
            return rows_to_arrow(entry["rows"])
        return compact(entry["rows"]).encode()
    raise PeerError("TYPE-1", "a spec entry needs path, text, json or rows")


def read_value(kind, raw):
    """What a reader hands over besides the bytes: {"text"}, {"value"}, {"rows"} or nothing."""
    if kind == "text":
        try:
            return {"text": raw.decode()}
        except UnicodeDecodeError as error:
            raise PeerError("TYPE-1", "the text is not UTF-8", error.start) from None
    if kind == "dictionary":
        return {"value": to_python(parse(raw, "TYPE-4", "TYPE-4"))}
    if kind == "jsontable":
        return {"rows": _json_rows(raw)}
    if kind in ("table", "arrowtable"):
        if raw.lstrip(JSON_SPACE.encode())[:1] == b"[":  # TYPE-7
            return {"rows": _json_rows(raw)}
        return {"rows": arrow_to_rows(raw)}
    return {}


def _json_rows(raw):
    root = parse(raw, "TYPE-5", "TYPE-4")
    if root.kind != "array":
        raise PeerError("TYPE-5", "the rows are not an array", root.start)
    for row in root.held:
        if row.kind != "object":
            raise PeerError("TYPE-5", "a row is not an object", row.start)
    return to_python(root)


def rows_to_arrow(rows):
    import pyarrow as pa

    names = dict.fromkeys(name for row in rows for name in row)  # in order of first appearance
    table = pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def arrow_to_rows(raw):
    """TYPE-6: either container, little-endian only."""
    import pyarrow as pa

    try:
        is_file = raw[:6] == b"ARROW1"
        if _is_big_endian(raw[8:] if is_file else raw):
            raise PeerError("TYPE-6", "the Arrow data is big-endian")
        reader = pa.ipc.open_file(raw) if is_file else pa.ipc.open_stream(raw)
        table = reader.read_all()
        table.validate(full=True)
        return [_plain(row) for row in table.to_pylist()]
    except (pa.ArrowException, OSError, struct.error) as error:
        raise PeerError("TYPE-6", f"the Arrow data cannot be read: {error}") from None


def _is_big_endian(stream):
    """Looks the endianness up in the schema message, because a reader may swap silently."""
    (length,) = struct.unpack_from("<I", stream, 0)
    start = 4
    if length == 0xFFFFFFFF:  # the continuation marker; the legacy framing has none
        start = 8
    message = start + struct.unpack_from("<I", stream, start)[0]
    header = _field(stream, message, 2)
    if header is None:
        return False
    schema = header + struct.unpack_from("<I", stream, header)[0]
    endianness = _field(stream, schema, 0)
    return endianness is not None and struct.unpack_from("<h", stream, endianness)[0] == 1


def _field(buffer, table, index):
    """Where field `index` of a FlatBuffers table is, or None where it has its default."""
    vtable = table - struct.unpack_from("<i", buffer, table)[0]
    (size,) = struct.unpack_from("<H", buffer, vtable)
    if 4 + 2 * index >= size:
        return None
    (offset,) = struct.unpack_from("<H", buffer, vtable + 4 + 2 * index)
    return table + offset if offset else None


def _plain(value):
    """What JSON can say of an Arrow value."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
