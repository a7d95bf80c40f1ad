"""Arrow tables (TYPE-6). pyarrow is imported only when a table is met."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from .errors import BridgeError

if TYPE_CHECKING:
    import pyarrow as pa


def write(value: Any) -> bytes:
    """The IPC stream, uncompressed, of a `Table`, a `RecordBatch`, a pandas `DataFrame` or a list of
    dicts."""
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
        if _endianness(_schema_of_file(raw) if is_file else _schema_of_stream(raw)):
            raise BridgeError("invalid_table", "TYPE-6", "the Arrow data is big-endian")
        reader = pa.ipc.open_file(raw) if is_file else pa.ipc.open_stream(raw)
        _check_batches(raw[8 : _footer(raw)] if is_file else raw, sum(map(_nodes, reader.schema.types)))
        table = reader.read_all()
        for column in table.columns:
            _check(column)
        return table
    except (pa.ArrowException, OSError, struct.error, MemoryError, OverflowError) as error:
        raise BridgeError("invalid_table", "TYPE-6", f"the Arrow data cannot be read: {error}") from None


def _check(column: pa.ChunkedArray) -> None:
    """Every offset and index against its bounds. pyarrow's full check also wants whole days of a date64,
    which the format does not (TYPE-6): as integers they are only bounds."""
    kind = _without_date64(column.type)
    for chunk in column.chunks:
        chunk.validate()
        (chunk if kind == column.type else chunk.view(kind)).validate(full=True)


def _without_date64(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa
    import pyarrow.types as is_

    if is_.is_date64(kind):
        return pa.int64()
    if is_.is_struct(kind):
        return pa.struct([field.with_type(_without_date64(field.type)) for field in kind])
    for test, make in (
        (is_.is_list, pa.list_),
        (is_.is_large_list, pa.large_list),
        (is_.is_list_view, pa.list_view),
        (is_.is_large_list_view, pa.large_list_view),
    ):
        if test(kind):
            return make(kind.value_field.with_type(_without_date64(kind.value_type)))
    if is_.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_without_date64(kind.value_type)), kind.list_size)
    return kind


def _nodes(kind: pa.DataType) -> int:
    """How many field nodes a batch has for a column of this type."""
    import pyarrow as pa
    import pyarrow.types as is_

    if isinstance(kind, pa.BaseExtensionType):
        return _nodes(kind.storage_type)
    if is_.is_dictionary(kind):
        return 1
    return 1 + sum(_nodes(kind.field(index).type) for index in range(kind.num_fields))


def _check_batches(stream: bytes, expected: int) -> None:
    """pyarrow ignores what a record batch has beyond its schema: another column, say."""
    at = 0
    while at + 4 <= len(stream):
        if stream[at : at + 4] == b"\xff\xff\xff\xff":
            at += 4
        (length,) = struct.unpack_from("<i", stream, at)
        at += 4
        if length <= 0:
            return
        message = at + struct.unpack_from("<I", stream, at)[0]
        kind, body = _field(stream, message, 1), _field(stream, message, 3)
        if kind is not None and stream[kind] == 3:  # RecordBatch
            batch = _subtable(stream, message, 2)
            nodes = None if batch is None else _subtable(stream, batch, 1)
            count = 0 if nodes is None else struct.unpack_from("<I", stream, nodes)[0]
            if count != expected:
                raise BridgeError(
                    "invalid_table", "TYPE-6", f"a batch has {count} field nodes, its schema {expected}"
                )
        body_len = 0 if body is None else struct.unpack_from("<q", stream, body)[0]
        if body_len < 0:
            raise struct.error("a body of negative length")
        at += length + body_len


# The endianness is looked up in the schema, because a reader may swap silently.


def _schema_of_stream(stream: bytes) -> tuple[bytes, int | None]:
    """The buffer and the place in it of the `Schema` table in the first message."""
    start = 8 if stream[:4] == b"\xff\xff\xff\xff" else 4  # the legacy framing has no continuation marker
    message = start + struct.unpack_from("<I", stream, start)[0]
    return stream, _subtable(stream, message, 2)


def _schema_of_file(file: bytes) -> tuple[bytes, int | None]:
    """The same in the footer."""
    start = _footer(file)
    footer = start + struct.unpack_from("<I", file, start)[0]
    return file, _subtable(file, footer, 1)


def _footer(file: bytes) -> int:
    """Where the footer begins, which stands before its length and the magic at the end."""
    (length,) = struct.unpack_from("<i", file, len(file) - 10)
    start = len(file) - 10 - length
    if length <= 0 or start < 8:
        raise struct.error("a footer outside the file")
    return start


def _endianness(schema: tuple[bytes, int | None]) -> int:
    """0 is little, 1 is big."""
    buffer, table = schema
    at = None if table is None else _field(buffer, table, 0)
    return 0 if at is None else struct.unpack_from("<h", buffer, at)[0]


def _subtable(buffer: bytes, table: int, index: int) -> int | None:
    at = _field(buffer, table, index)
    return None if at is None else at + struct.unpack_from("<I", buffer, at)[0]


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
