"""Writes the Arrow fixtures of this folder with pyarrow, and what a reader must find in them.

    python3 -m venv venv && venv/bin/pip install pyarrow==26.0.1
    venv/bin/python make.py

The files ending in `.json` hold the expected rows: `sales.json` those of all `py-*` files but the two that say
otherwise in their name. The `js-*` files come from `make.mjs`.
"""

import datetime
import decimal
import json
import pathlib
import struct

import pyarrow as pa
from pyarrow import ipc

HERE = pathlib.Path(__file__).parent
UTC = datetime.timezone.utc


def sales():
    """Three batches of 60, 0 and 40 rows, with nulls in every column that may have them."""
    schema = pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False, metadata={"unit": "none"}),
            pa.field("name", pa.string()),
            pa.field("score", pa.float64()),
            pa.field("ok", pa.bool_()),
            pa.field("at", pa.timestamp("ms", tz="UTC")),
            pa.field("city", pa.dictionary(pa.int8(), pa.string())),
            pa.field("tags", pa.list_(pa.large_string())),
            pa.field("price", pa.decimal128(9, 2)),
            pa.field("place", pa.struct([("x", pa.int16()), ("y", pa.uint32())])),
            pa.field("nothing", pa.null()),
        ],
        metadata={"origin": "make.py", "größe": "100"},
    )
    cities = pa.array(["Bangkok", "Köln", "São Paulo"])

    def batch(start, count):
        ids = range(start, start + count)
        columns = [
            list(ids),
            [None if i % 7 == 3 else f"name {i % 10} äöü" for i in ids],
            [None if i % 5 == 1 else i / 4 for i in ids],
            [None if i % 6 == 2 else i % 2 == 0 for i in ids],
            [None if i % 9 == 4 else datetime.datetime(2024, 2, 29, 12, tzinfo=UTC) + datetime.timedelta(hours=i) for i in ids],
            None,
            [None if i % 8 == 5 else [f"t{j}" for j in range(i % 3)] for i in ids],
            [None if i % 4 == 2 else decimal.Decimal(i * 125) / 100 for i in ids],
            [None if i % 11 == 6 else {"x": -i, "y": i * 1000} for i in ids],
            [None] * count,
        ]
        city_keys = pa.array([None if i % 10 == 7 else i % 3 for i in ids], pa.int8())
        arrays = [
            pa.DictionaryArray.from_arrays(city_keys, cities) if values is None else pa.array(values, field.type)
            for field, values in zip(schema, columns)
        ]
        return pa.record_batch(arrays, schema=schema)

    return schema, [batch(0, 60), batch(60, 0), batch(60, 40)]


def plain(value):
    if isinstance(value, datetime.datetime):
        return int(value.timestamp() * 1000)
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def write_expected(name, schema, batches):
    expected = {
        "columns": {field.name: str(field.type) for field in schema},
        "metadata": {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()},
        "batch_rows": [batch.num_rows for batch in batches],
        "rows": [[plain(value) for value in row.values()] for batch in batches for row in batch.to_pylist()],
    }
    text = json.dumps(expected, ensure_ascii=False, separators=(",", ":")).replace('"rows":[', '"rows":[\n').replace("],[", "],\n[")
    (HERE / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def write(name, schema, batches, kind=ipc.new_stream, **options):
    sink = pa.BufferOutputStream()
    with kind(sink, schema, options=ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    data = sink.getvalue().to_pybytes()
    (HERE / f"{name}.arrow").write_bytes(data)
    return data


def dictionaries(*values_and_keys):
    """One batch for each list of values and keys."""
    schema = pa.schema([pa.field("word", pa.dictionary(pa.int32(), pa.string()))])
    return schema, [
        pa.record_batch([pa.DictionaryArray.from_arrays(pa.array(keys, pa.int32()), pa.array(values))], schema=schema)
        for values, keys in values_and_keys
    ]


def big_endian(data):
    """The same stream with its schema marked big-endian, as no writer at hand can make one.

    A little-endian schema leaves its byte order out. The table's entry for it is pointed at two bytes that read as 1.
    """
    data = bytearray(data)
    (message,) = struct.unpack_from("<I", data, 8)
    message += 8

    def entry(table, slot):
        (vtable,) = struct.unpack_from("<i", data, table)
        return table - vtable + 4 + 2 * slot

    def field(table, slot):
        (offset,) = struct.unpack_from("<H", data, entry(table, slot))
        return table + offset

    header = field(message, 2)
    schema = header + struct.unpack_from("<I", data, header)[0]
    assert struct.unpack_from("<H", data, entry(schema, 0)) == (0,)
    one = next(at for at in range(schema + 4, len(data), 2) if data[at : at + 2] == b"\1\0")
    struct.pack_into("<H", data, entry(schema, 0), one - schema)
    return bytes(data)


def main():
    schema, batches = sales()
    write_expected("sales", schema, batches)
    write("py-stream", schema, batches)
    write("py-stream-lz4", schema, batches, compression="lz4")
    write("py-stream-zstd", schema, batches, compression="zstd")
    write("py-stream-legacy", schema, batches, use_legacy_format=True, metadata_version=ipc.MetadataVersion.V4)
    write("py-file", schema, batches, kind=ipc.new_file)
    write("py-file-lz4", schema, batches, kind=ipc.new_file, compression="lz4")
    write("py-file-zstd", schema, batches, kind=ipc.new_file, compression="zstd")

    grown = dictionaries((["a", "b"], [0, 1, 0]), (["a", "b", "c"], [2, None, 0]), (["a", "b", "c", "d"], [3]))
    write_expected("delta", *grown)
    write("py-stream-delta", *grown, emit_dictionary_deltas=True)
    write("py-file-delta", *grown, kind=ipc.new_file, emit_dictionary_deltas=True)

    other = dictionaries((["a", "b"], [0, 1, 0]), (["x", "y", "z"], [2, None, 0]), (["q"], [0]))
    write_expected("replacement", *other)
    write("py-stream-replacement", *other)

    one = pa.schema([pa.field("n", pa.int32(), nullable=False)])
    little = write("py-stream-big-endian", one, [pa.record_batch([pa.array([1, 2, 258], pa.int32())], schema=one)])
    big = big_endian(little)
    # pyarrow swaps the bytes of such a stream: proof that it is taken for big-endian.
    assert ipc.open_stream(big).read_all().to_pydict() == {"n": [1 << 24, 2 << 24, 0x02010000]}
    (HERE / "py-stream-big-endian.arrow").write_bytes(big)


main()
