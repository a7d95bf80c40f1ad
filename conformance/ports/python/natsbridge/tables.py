"""Arrow tables (TYPE-6). pyarrow is imported only when a table is met."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from .errors import BridgeError

if TYPE_CHECKING:
    import pyarrow as pa


def write(value: Any) -> bytes:
    """The IPC stream, uncompressed, of a `Table`, a `RecordBatch`, a pandas `DataFrame` or a list of dicts."""
    import pyarrow as pa

    try:
        if isinstance(value, (list, tuple)):
            names = dict.fromkeys(name for row in value for name in row)  # in order of first appearance
            value = pa.table({name: pa.array([row.get(name) for row in value]) for name in names})
        elif isinstance(value, pa.RecordBatch):
            value = pa.Table.from_batches([value])
        elif not isinstance(value, pa.Table):
            value = pa.Table.from_pandas(value, preserve_index=False)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema) as writer:
            writer.write_table(value)
    except (pa.ArrowException, AttributeError, TypeError) as error:
        raise BridgeError("invalid_input", "TYPE-6", f"the value cannot be an Arrow table: {error}") from None
    return sink.getvalue().to_pybytes()


def read(raw: bytes) -> pa.Table:
    """A table of either container, little-endian only, checked through before it is handed over."""
    import pyarrow as pa

    try:
        is_file = raw[:6] == b"ARROW1"
        if is_big_endian(raw[8:] if is_file else raw):
            raise BridgeError("invalid_table", "TYPE-6", "the Arrow data is big-endian")
        reader = pa.ipc.open_file(raw) if is_file else pa.ipc.open_stream(raw)
        table = reader.read_all()
        table.validate(full=True)
        return table
    except (pa.ArrowException, OSError, struct.error, MemoryError, OverflowError) as error:
        raise BridgeError("invalid_table", "TYPE-6", f"the Arrow data cannot be read: {error}") from None


def is_big_endian(stream: bytes) -> bool:
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


def _field(buffer: bytes, table: int, index: int) -> int | None:
    """Where field `index` of a FlatBuffers table is, or None where it has its default."""
    vtable = table - struct.unpack_from("<i", buffer, table)[0]
    if vtable < 0:
        raise struct.error("a table outside the buffer")
    (size,) = struct.unpack_from("<H", buffer, vtable)
    if 4 + 2 * index >= size:
        return None
    (offset,) = struct.unpack_from("<H", buffer, vtable + 4 + 2 * index)
    return table + offset if offset else None
