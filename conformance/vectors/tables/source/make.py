#!/usr/bin/env python3
"""Writes the table vectors. Expected tables stand beside the values that were put in, or, for what other
writers made, are what pyarrow reads from them.

    cargo run > rust.txt            (make.rs, in a package of its own)
    node make.mjs > javascript.txt
    python make.py rust.txt javascript.txt          (with pyarrow 26)

Cases keep their order, so that their ids stay: new ones go to the end of a file."""

import decimal
import json
import pathlib
import struct
import sys

import pyarrow as pa
from pyarrow import ipc

from cells import read_by_pyarrow, table
from flatbuffer import field, messages, patched

FOLDER = pathlib.Path(__file__).parent.parent
PROFILES = ["full", "browser"]  # MicroPython has no Arrow
FULL = ["full"]
REFUSED = ["invalid_table", "limit"]


class File:
    def __init__(self, name, prefix, source, version):
        self.name, self.prefix, self.source, self.version, self.tests = name, prefix, source, version, []

    def add(self, comment, data, expect, confirmed_by, level="must", profiles=PROFILES, clause="TYPE-6", type_name="table"):
        assert len(data) <= 65536, comment
        self.tests.append({
            "id": f"{self.prefix}-{len(self.tests) + 1:04d}", "level": level, "clause": clause, "comment": comment,
            "op": "payload.read", "in": {"type": type_name, "data": {"hex": data.hex()}}, "expect": expect,
            "confirmed_by": confirmed_by, "profiles": profiles,
        })

    def holds(self, comment, data, columns, rows, **options):
        """A table of columns (name, kind, values) as they were put in; pyarrow must find the same."""
        expected = table(columns, rows)
        if options.pop("check", True):
            found = read_by_pyarrow(data)
            assert found == expected, f"{comment}\n{found}\n{expected}"
        self.add(comment, data, {"accept": {"table": expected}}, options.pop("by", "by hand: the values written; pyarrow 26 reads the same"), **options)

    def refused(self, comment, data, by="by hand: TYPE-6", kinds=REFUSED, **options):
        self.add(comment, data, {"reject": kinds}, by, **options)

    def write(self):
        def compact(value):
            return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

        head = {"schema": "../../protocol/vectors.schema.json", "area": "tables", "source": {"name": self.source, "version": self.version}}
        lines = [f'  "{key}": {compact(value)},' for key, value in head.items()]
        tests = ",\n".join("    " + compact(test) for test in self.tests)
        text = "\n".join(["{", *lines, '  "tests": [', tests, "  ]", "}", ""])
        (FOLDER / self.name).write_text(text, encoding="utf-8")
        print(self.name, len(self.tests))


def written(batches, kind=ipc.new_stream, schema=None, **options):
    sink = pa.BufferOutputStream()
    with kind(sink, batches[0].schema if schema is None else schema, options=ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def batch(columns):
    """A record batch of (name, array) pairs; names may repeat."""
    return pa.RecordBatch.from_arrays([array for _, array in columns], schema=pa.schema(
        [pa.field(name, array.type) for name, array in columns]))


def one(name, kind, arrow_type, values):
    """A stream of one column, and that column as it is expected."""
    return written([batch([(name, pa.array(values, arrow_type))])]), [(name, kind, values)]


def common_types():
    out = File("types.json", "tbl", "pyarrow", "26.0.1")

    def simple(comment, kind, arrow_type, values, **options):
        data, columns = one("v", kind, arrow_type, values)
        out.holds(comment, data, columns, len(values), **options)

    for bits in (8, 16, 32, 64):
        low = -(2 ** (bits - 1))
        simple(f"int{bits}: its bounds, zero and null", f"int{bits}", getattr(pa, f"int{bits}")(), [low, None, -1, 0, -low - 1])
        simple(f"uint{bits}: its bounds and null", f"uint{bits}", getattr(pa, f"uint{bits}")(), [0, None, 2**bits - 1])
    inf = float("inf")
    simple("float64: bounds, both zeros, infinities, NaN, the smallest", "float64", pa.float64(), [1.7976931348623157e308, None, -0.0, 0.0, inf, -inf, float("nan"), 5e-324, 0.1])
    simple("float32: what is exact in it, both zeros, infinities, NaN", "float32", pa.float32(), [1.5, None, -0.0, inf, -inf, float("nan"), 3.4028234663852886e38, 2.0**-149])
    halves = pa.Array.from_buffers(pa.float16(), 4, [None, pa.py_buffer(struct.pack("<4e", 1.5, -2.0, 65504.0, 2.0**-24))])
    half = written([batch([("v", halves)])])
    out.holds("float16: its bounds", half, [("v", "float16", [1.5, -2.0, 65504.0, 2.0**-24])], 4, level="should", profiles=FULL)
    simple("booleans, more than eight, with nulls: bits of two bitmaps", "bool", pa.bool_(), [True, False, None, True, True, False, False, True, None, True, False])
    words = ["Grüße 👋", None, "", "a\0b", "x" * 40, "line\nend"]
    simple("text with nulls, an empty one, NUL and an emoji", "utf8", pa.string(), words)
    simple("text with offsets of 64 bits", "utf8", pa.large_string(), words)
    simple("text views: short ones inside, long ones beside", "utf8", pa.string_view(), words, level="should", profiles=FULL)
    raws = [b"\x00\xff", None, b"", bytes(range(20))]
    simple("binary with nulls and an empty one", "binary", pa.binary(), raws)
    simple("binary with offsets of 64 bits", "binary", pa.large_binary(), raws)
    simple("binary views", "binary", pa.binary_view(), raws, level="should", profiles=FULL)
    simple("binary of fixed length", "binary", pa.binary(3), [b"abc", None, b"\0\xff\0"])
    simple("date32: days, before 1970 too", "date32", pa.date32(), [0, None, 19782, -1])
    simple("date64: whole days in milliseconds", "date64", pa.date64(), [0, None, 86400000 * 19782, -86400000])
    odd = written([pa.RecordBatch.from_arrays([pa.Array.from_buffers(pa.date64(), 2, [None, pa.py_buffer(struct.pack("<qq", 1, 86400001))])], names=["v"])])
    out.holds("date64 that is no whole day is handed over as it is", odd, [("v", "date64", [1, 86400001])], 2, check=False, by="by hand: the values written")
    for unit, kind in (("s", pa.time32), ("ms", pa.time32), ("us", pa.time64), ("ns", pa.time64)):
        simple(f"time of day in {unit}", "time32" if unit in ("s", "ms") else "time64", kind(unit), [0, None, 86399])
    for unit in ("s", "ms", "us", "ns"):
        simple(f"timestamps in {unit} without a zone", "timestamp", pa.timestamp(unit), [0, None, -1, 1709202600])
    simple("timestamps with a zone that is a name", "timestamp", pa.timestamp("ms", tz="Europe/Berlin"), [0, None, 1709202600000])
    simple("timestamps with an offset, at the bounds of 64 bits", "timestamp", pa.timestamp("ns", tz="+02:00"), [2**63 - 1, None, -(2**63) + 1])
    simple("durations, negative too", "duration", pa.duration("us"), [0, None, -1, 2**62])

    def decimals(comment, arrow_type, stored, **options):
        scale = arrow_type.scale
        with decimal.localcontext(prec=100):
            values = [None if v is None else decimal.Decimal(v).scaleb(-scale) for v in stored]
        data = written([batch([("v", pa.array(values, arrow_type))])])
        out.holds(comment, data, [("v", "decimal", stored)], len(stored), **options)

    decimals("decimals of 128 bits with two digits behind the point", pa.decimal128(9, 2), [12345, None, -1, 0])
    decimals("decimals of 128 bits with all their digits", pa.decimal128(38, 0), [10**38 - 1, None, -(10**38) + 1])
    decimals("decimals of 256 bits", pa.decimal256(76, 10), [10**75, None, -1], level="should")
    simple("lists of integers: null, empty, with nulls inside", ("list", "int32"), pa.list_(pa.int32()), [[1, None, 3], None, [], [4]])
    simple("lists with offsets of 64 bits", ("list", "utf8"), pa.large_list(pa.string()), [["a", None], None, []], profiles=FULL)
    simple("lists of fixed length", ("list", "int16"), pa.list_(pa.int16(), 2), [[1, 2], None, [None, 3]])
    simple("lists of lists", ("list", ("list", "int8")), pa.list_(pa.list_(pa.int8())), [[[1], [], None], [], None, [[2, 3]]])
    structs = pa.array([{"x": 1, "y": "é"}, None, {"x": None, "y": None}, {"x": 4, "y": ""}], pa.struct([("x", pa.int16()), ("y", pa.string())]))
    out.holds("structs: null ones, and ones of nulls", written([batch([("v", structs)])]), [("v", ("struct", "int16", "utf8"), [(1, "é"), None, (None, None), (4, "")])], 4)
    nested = pa.array([[{"a": [1], "b": True}], [], None], pa.list_(pa.struct([("a", pa.list_(pa.int32())), ("b", pa.bool_())])))
    out.holds("lists of structs of lists", written([batch([("v", nested)])]), [("v", ("list", ("struct", ("list", "int32"), "bool")), [[([1], True)], [], None])], 3)
    maps = pa.array([[("a", 1), ("b", None)], None, []], pa.map_(pa.string(), pa.int64()))
    out.holds("maps: null, empty, with null values", written([batch([("v", maps)])]), [("v", ("map", "utf8", "int64"), [[("a", 1), ("b", None)], None, []])], 3)
    simple("a column of nulls that has no buffers", "null", pa.null(), [None, None, None])
    simple("a column of an ordinary type that holds nulls only", "int32", pa.int32(), [None, None])
    simple("a column without nulls", "int32", pa.int32(), [1, 2, 3])
    required = pa.schema([pa.field("v", pa.int32(), nullable=False)])
    out.holds("a column that may not be null", written([pa.record_batch([pa.array([1, 2], pa.int32())], schema=required)]), [("v", "int32", [1, 2])], 2)

    # Dictionaries.
    def words_of(index_type, keys, values, ordered=False):
        return pa.DictionaryArray.from_arrays(pa.array(keys, index_type), pa.array(values), ordered=ordered)

    for index in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint32()):
        data = written([batch([("v", words_of(index, [1, None, 0, 1], ["b", "a"]))])])
        out.holds(f"a dictionary with keys of type {index}", data, [("v", "utf8", ["a", None, "b", "a"])], 4)
    data = written([batch([("v", words_of(pa.int8(), [0, 1, 2], ["a", None, "c"]))])])
    out.holds("a dictionary that holds a null among its values", data, [("v", "utf8", ["a", None, "c"])], 3, level="should")
    data = written([batch([("v", words_of(pa.int8(), [1, 0, 1], [10**18, -1]))])])
    out.holds("a dictionary of integers", data, [("v", "int64", [-1, 10**18, -1])], 3)
    data = written([batch([("v", words_of(pa.int8(), [1, 0], ["lo", "hi"], ordered=True))])])
    out.holds("an ordered dictionary", data, [("v", "utf8", ["hi", "lo"])], 2)
    data = written([batch([("v", words_of(pa.int8(), [], ["a"]))])])
    out.holds("a dictionary without rows", data, [("v", "utf8", [])], 0)
    data = written([batch([("v", words_of(pa.int8(), [None, None], pa.array([], pa.string())))])])
    out.holds("an empty dictionary and rows that are null", data, [("v", "utf8", [None, None])], 2)
    both = words_of(pa.int8(), [0, 1], ["x", "y"])
    data = written([batch([("a", both), ("b", words_of(pa.int16(), [1, 1], ["p", "q"])), ("n", pa.array([1, 2]))])])
    out.holds("two dictionaries and a plain column", data, [("a", "utf8", ["x", "y"]), ("b", "utf8", ["q", "q"]), ("n", "int64", [1, 2])], 2)
    data = written([batch([("v", pa.ListArray.from_arrays([0, 2, 3], words_of(pa.int8(), [0, 1, 0], ["x", "y"])))])])
    out.holds("a dictionary inside lists", data, [("v", ("list", "utf8"), [["x", "y"], ["x"]])], 2, level="should")
    data = written([batch([("v", pa.StructArray.from_arrays([both], names=["w"]))])])
    out.holds("a dictionary inside structs", data, [("v", ("struct", "utf8"), [("x",), ("y",)])], 2, level="should")

    # Names and many columns.
    numbers = pa.array([1, 2])
    data = written([batch([("same", numbers), ("same", pa.array(["a", "b"]))])])
    out.holds("two columns of one name", data, [("same", "int64", [1, 2]), ("same", "utf8", ["a", "b"])], 2, level="should")
    data = written([batch([("", numbers), ("größe 👋", numbers), ("a\nb", numbers)])])
    out.holds("column names that are empty, not ASCII, or hold a line end", data, [("", "int64", [1, 2]), ("größe 👋", "int64", [1, 2]), ("a\nb", "int64", [1, 2])], 2)
    data = written([batch([(f"c{i}", pa.array([i], pa.int8())) for i in range(40)])])
    out.holds("forty columns", data, [(f"c{i}", "int8", [i]) for i in range(40)], 1)
    schema = pa.schema([pa.field("v", pa.int64(), metadata={"unit": "none", "größe": "1"})], metadata={"origin": "here", "pandas": "{}"})
    out.holds("metadata of schema and fields says nothing about the values", written([pa.record_batch([numbers], schema=schema)]), [("v", "int64", [1, 2])], 2)

    # Slices, whose bits and offsets do not begin at zero.
    whole = batch([
        ("b", pa.array([i % 3 == 0 if i % 5 else None for i in range(20)])),
        ("s", pa.array([f"s{i}" if i % 4 else None for i in range(20)])),
        ("l", pa.array([list(range(i % 3)) if i % 6 else None for i in range(20)], pa.list_(pa.int32()))),
    ])
    rows = range(3, 14)
    out.holds("a slice that begins inside a byte of the bitmaps", written([whole.slice(3, 11)]), [
        ("b", "bool", [i % 3 == 0 if i % 5 else None for i in rows]),
        ("s", "utf8", [f"s{i}" if i % 4 else None for i in rows]),
        ("l", ("list", "int32"), [list(range(i % 3)) if i % 6 else None for i in rows]),
    ], 11)
    return out


def framings():
    out = File("framings.json", "tfr", "pyarrow", "26.0.1")
    n = [pa.record_batch([pa.array(v, pa.int32())], names=["n"]) for v in ([1, 2], [], [3])]
    holds = [("n", "int32", [1, 2, 3])]
    stream = written(n)
    out.holds("a stream of three batches, one of them empty", stream, holds, 3)
    out.holds("the same under the name arrowtable", stream, holds, 3, type_name="arrowtable", clause="TYPE-1, TYPE-6")
    out.holds("the same as a file", written(n, ipc.new_file), holds, 3)
    out.holds("no batch: a schema and the end", written([], schema=n[0].schema), [("n", "int32", [])], 0)
    out.holds("no batch, as a file", written([], ipc.new_file, schema=n[0].schema), [("n", "int32", [])], 0)
    out.holds("one empty batch", written(n[1:2]), [("n", "int32", [])], 0)
    none = pa.schema([])
    out.holds("no columns and no rows", written([], schema=none), [], 0)
    out.holds("no end-of-stream marker", stream[:-8], holds, 3)
    found = messages(stream)
    out.holds("cut behind the second batch: a whole table, as far as it goes", stream[: found[2].end], [("n", "int32", [1, 2])], 2, by="by hand: a missing end-of-stream marker is no error")
    out.holds("cut behind the schema: a table without rows", stream[: found[0].end], [("n", "int32", [])], 0, by="by hand: a missing end-of-stream marker is no error")
    out.holds("bytes behind the end-of-stream marker belong to nobody", stream + stream, holds, 3, by="by hand: the stream has ended", level="may")
    old = written(n, use_legacy_format=True, metadata_version=ipc.MetadataVersion.V4)
    assert old[:4] != b"\xff\xff\xff\xff"
    out.holds("the legacy framing without continuation markers", old, holds, 3)
    out.holds("the legacy framing without its end marker", old[:-4], holds, 3)
    out.holds("version 4 of the metadata in the framing of today", written(n, metadata_version=ipc.MetadataVersion.V4), holds, 3)
    grown = [(["a", "b"], [0, 1, 0]), (["a", "b", "c"], [2, None, 0]), (["a", "b", "c", "d"], [3])]
    other = [(["a", "b"], [0, 1, 0]), (["x", "y", "z"], [2, None, 0]), (["q"], [0])]

    def dictionaries(parts):
        return [pa.record_batch([pa.DictionaryArray.from_arrays(pa.array(keys, pa.int32()), pa.array(values))], names=["word"]) for values, keys in parts]

    words = [("word", "utf8", ["a", "b", "a", "c", None, "a", "d"])]
    out.holds("dictionaries that grow by deltas", written(dictionaries(grown), emit_dictionary_deltas=True), words, 7)
    out.holds("dictionaries that grow and are written whole each time", written(dictionaries(grown)), words, 7)
    out.holds("dictionaries that grow by deltas, in a file", written(dictionaries(grown), ipc.new_file, emit_dictionary_deltas=True), words, 7)
    out.holds("dictionaries that are replaced by others", written(dictionaries(other)), [("word", "utf8", ["a", "b", "a", "z", None, "x", "q"])], 7)
    long = batch([("i", pa.array([i // 4 if i % 10 != 7 else None for i in range(200)])), ("s", pa.array([f"row {i % 3}" if i % 9 != 4 else None for i in range(200)]))])
    values = [("i", "int64", [i // 4 if i % 10 != 7 else None for i in range(200)]), ("s", "utf8", [f"row {i % 3}" if i % 9 != 4 else None for i in range(200)])]
    for codec in ("lz4", "zstd"):
        out.holds(f"bodies compressed with {codec.upper()}", written([long], compression=codec), values, 200)
        out.holds(f"bodies compressed with {codec.upper()}, in a file", written([long], ipc.new_file, compression=codec), values, 200)
        out.holds(f"{codec.upper()}: empty buffers, and batches without rows", written(n, compression=codec), holds, 3)
        out.holds(f"{codec.upper()} in the legacy framing, with a dictionary", written(dictionaries(grown), use_legacy_format=True, compression=codec), words, 7)

    # What is refused.
    out.refused("big-endian data", big_endian(stream))
    out.refused("big-endian data in a file", big_endian_file(n), by="by hand: the same flag in the schema of a file's footer and stream")
    out.refused("nothing at all", b"")
    out.refused("an end-of-stream marker and no schema", b"\xff\xff\xff\xff\0\0\0\0")
    out.refused("four zero bytes: the legacy end marker", bytes(4))
    out.refused("the file magic alone", b"ARROW1")
    out.refused("the file magic at both ends of nothing", b"ARROW1\0\0ARROW1")
    out.refused("64 zero bytes", bytes(64))
    out.refused("64 bytes of ones", b"\xff" * 64)
    for comment, data in [("CSV", b"a,b\n1,2\n"), ("a JSON object", b'{"a":[1,2]}'), ("Parquet's magic", b"PAR1" + bytes(40) + b"PAR1"), ("Feather version 1", b"FEA1" + bytes(40) + b"FEA1"), ("a PNG image", b"\x89PNG\r\n\x1a\n" + bytes(40)), ("a ZIP archive", b"PK\x03\x04" + bytes(40)), ("base64 of a stream", b"/////4gAAAAQAAAA"), ("text", "สวัสดี".encode())]:
        out.refused(f"not Arrow but {comment}", data, clause="TYPE-6")
    out.refused("a stream with white space in front", b" \n" + stream, clause="TYPE-6, TYPE-7")
    out.refused("a stream without its schema", stream[found[0].end :])
    return out


def big_endian(stream):
    """The same stream marked big-endian: its schema's byte order, left out for little-endian, is pointed at a 1."""
    data = bytearray(stream)
    schema = messages(stream)[0].header
    vtable = schema - struct.unpack_from("<i", data, schema)[0]
    assert struct.unpack_from("<H", data, vtable + 4) == (0,)
    place = next(at for at in range(schema + 4, len(data), 2) if data[at : at + 2] == b"\1\0")
    struct.pack_into("<H", data, vtable + 4, place - schema)
    # pyarrow swaps the bytes of such a stream, which proves that it is taken for big-endian.
    assert ipc.open_stream(bytes(data)).read_all().to_pydict() == {"n": [1 << 24, 2 << 24, 3 << 24]}
    return bytes(data)


def big_endian_file(batches):
    file = written(batches, ipc.new_file)
    data = bytearray(file)
    stream = file[8:]
    schema = 8 + messages(stream[: stream.index(b"\xff\xff\xff\xff\0\0\0\0") + 8])[0].header
    (footer_length,) = struct.unpack_from("<i", file, len(file) - 10)
    footer = len(file) - 10 - footer_length
    root = footer + struct.unpack_from("<I", file, footer)[0]
    at = field(file, root, 1)
    for table_at in (schema, at + struct.unpack_from("<I", file, at)[0]):
        vtable = table_at - struct.unpack_from("<i", data, table_at)[0]
        assert struct.unpack_from("<H", data, vtable + 4) == (0,)
        place = next(i for i in range(table_at + 4, len(data), 2) if data[i : i + 2] == b"\1\0")
        struct.pack_into("<H", data, vtable + 4, place - table_at)
    return bytes(data)


def hostile():
    out = File("hostile.json", "thx", "falsified by hand", "1")
    by = "by hand: one number falsified"
    array = pa.array([1, None, 3], pa.int32())
    text = pa.array(["ab", "c", "def"])
    data = written([batch([("n", array), ("s", text)])])
    schema, record = messages(data)
    body = record.body_length
    buffers, nodes = record.buffers(data), record.nodes(data)  # n: bitmap, values; s: bitmap, offsets, bytes

    def patch(comment, at, number, form="<q", **options):
        out.refused(comment, patched(data, at, number, form), by, **options)

    patch("a buffer that begins beyond the body", buffers[1], body + 8)
    patch("a buffer that begins far beyond the body", buffers[1], 2**62)
    patch("a buffer that begins before the body", buffers[1], -8)
    patch("a buffer whose length is negative", buffers[1] + 8, -1)
    patch("a buffer that is longer than the body", buffers[1] + 8, body + 1)
    patch("a buffer whose end overflows 64 bits", buffers[1] + 8, 2**63 - 1)
    patch("a bitmap too short for the rows", buffers[0] + 8, 0)
    patch("values too short for the rows", buffers[1] + 8, 8)
    patch("offsets too short for the rows", buffers[3] + 8, 12)
    patch("text bytes shorter than the last offset", buffers[4] + 8, 3)
    patch("a negative row count", record.row_count_at(data), -1)
    patch("a row count far above what the buffers hold", record.row_count_at(data), 2**40)
    patch("a row count of 2^63-1", record.row_count_at(data), 2**63 - 1)
    patch("a column longer than its buffers", nodes[0], 1_000_000)
    patch("a column of negative length", nodes[0], -3)
    patch("a column of text longer than its offsets", nodes[1], 1_000_000)
    offsets = record.body + struct.unpack_from("<q", data, buffers[3])[0]
    patch("a text's offset below zero", offsets + 4, -1, "<i")
    patch("text offsets that go backwards", offsets + 4, 5, "<i")
    patch("a text's end beyond its bytes", offsets + 12, 1000, "<i")
    patch("a text's end of 2^31-1", offsets + 12, 2**31 - 1, "<i")
    out.refused("text that is not UTF-8", data[: record.body + struct.unpack_from("<q", data, buffers[4])[0]] + b"\xff" + data[record.body + struct.unpack_from("<q", data, buffers[4])[0] + 1 :], "by hand: Arrow's Utf8 is UTF-8", level="should")
    patch("a message whose length goes beyond the stream", record.start + 4, 2**31 - 8, "<i")
    patch("a message of negative length", record.start + 4, -8, "<i")
    patch("a body that goes beyond the stream", record.body_length_at, 2**40)
    patch("a body of negative length", record.body_length_at, -8)
    patch("a body whose end overflows 64 bits", record.body_length_at, 2**63 - 1)
    patch("a root table beyond the message", record.meta, 2**31, "<I")
    patch("a root table that points into nothing", record.meta, 2**32 - 1, "<I")
    patch("the root table of the schema beyond the message", schema.meta, 2**30, "<I")
    nodes_at = field(data, record.header, 1)
    patch("a vector of columns beyond the message", nodes_at, 2**31, "<I")
    vector = nodes_at + struct.unpack_from("<I", data, nodes_at)[0]
    patch("a vector of columns with four thousand million entries", vector, 2**32 - 1, "<I")
    patch("fewer columns than the schema has", vector, 1, "<I")
    at = field(data, record.header, 2)
    vector = at + struct.unpack_from("<I", data, at)[0]
    patch("fewer buffers than the columns need", vector, 3, "<I")
    patch("an unknown kind of message", field(data, record.root, 1), 77, "<B")

    def nested(comment, array, patch_at, number, form="<i", **options):
        data = written([batch([("v", array)])])
        record = messages(data)[-1]
        buffers = record.buffers(data)
        out.refused(comment, patched(data, record.body + struct.unpack_from("<q", data, buffers[patch_at[0]])[0] + patch_at[1], number, form), by, **options)

    lists = pa.array([[1, 2], [3]], pa.list_(pa.int32()))
    nested("a list that ends beyond its items", lists, (1, 8), 1000)
    nested("list offsets that go backwards", lists, (1, 4), 9)
    nested("a list's offset below zero", lists, (1, 4), -1)
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int32()), ["a", "b"])
    nested("a dictionary key beyond the dictionary", words, (1, 4), 2)
    nested("a dictionary key far beyond the dictionary", words, (1, 4), 2**31 - 1)
    nested("a negative dictionary key", words, (1, 4), -1)
    stream = written([batch([("v", words)])])
    first, dictionary, last = messages(stream)
    out.refused("a dictionary column without its dictionary", stream[: first.end] + stream[last.start :], by)

    for codec in ("lz4", "zstd"):
        packed = written([batch([("v", pa.array([i // 8 for i in range(256)]))])], compression=codec)
        record = messages(packed)[-1]
        start, length = struct.unpack_from("<qq", packed, record.buffers(packed)[1])
        at = record.body + start
        name = codec.upper()
        for comment, number in [("an uncompressed length of 2^62", 2**62), ("an uncompressed length of 1 TiB", 2**40), ("a negative uncompressed length", -2), ("an uncompressed length one byte too short", 2047), ("an uncompressed length one byte too long", 2049), ("no uncompressed bytes at all", 0)]:
            level = "must" if abs(number) > 2**30 or number == -2 else "should"
            out.refused(f"{name}: {comment}", patched(packed, at, number), by, level=level)
        out.refused(f"{name}: a frame that is garbage", packed[: at + 8] + b"\x55" * (length - 8) + packed[at + length :], by)
        out.refused(f"{name}: a frame cut short", patched(packed, record.buffers(packed)[1] + 8, length // 2), by)
        out.refused(f"{name}: a buffer too short for the length in front of it", patched(packed, record.buffers(packed)[1] + 8, 4), by)

    # Cuts.
    stream = written([batch([("n", array), ("s", text)])])
    schema, record = messages(stream)
    for comment, cut in [("inside the first length", 6), ("inside the schema", schema.meta + 20), ("one byte before the schema's end", schema.end - 1), ("inside the continuation marker of the batch", record.start + 2), ("inside the length of the batch", record.start + 6), ("inside the batch's header", record.meta + 30), ("behind the batch's header", record.body), ("inside the batch's body", record.body + 10), ("one byte before the body's end", record.end - 1)]:
        out.refused(f"a stream cut {comment}", stream[:cut], "by hand: a part of a message is no table")
    many = written([batch([("n", array)])] * 3)
    last = messages(many)[-1]
    out.refused("a stream of three batches cut inside the third: two are no table", many[: last.body + 4], "by hand: a part of a message is no table")
    file = written([batch([("n", array), ("s", text)])], ipc.new_file)
    for comment, cut in [("behind the magic", 8), ("inside the batch", len(file) // 2), ("in front of the footer's length", len(file) - 10), ("inside the last magic", len(file) - 3), ("by its last byte", len(file) - 1)]:
        out.refused(f"a file cut {comment}", file[:cut], "by hand: a file ends with ARROW1")
    out.refused("a file with bytes behind its end", file + bytes(8), "by hand: a file ends with ARROW1", level="should")
    out.refused("a file whose footer is longer than the file", patched(file, len(file) - 10, 2**31 - 1, "<i"), by)
    out.refused("a file whose footer has a negative length", patched(file, len(file) - 10, -1, "<i"), by)
    out.refused("a file whose footer has no length", patched(file, len(file) - 10, 0, "<i"), by)
    (footer_length,) = struct.unpack_from("<i", file, len(file) - 10)
    footer = len(file) - 10 - footer_length
    root = footer + struct.unpack_from("<I", file, footer)[0]
    at = field(file, root, 3)
    block = at + struct.unpack_from("<I", file, at)[0] + 4
    out.refused("a file whose batch stands beyond its end", patched(file, block, 2**40), by)
    out.refused("a file whose batch stands before its beginning", patched(file, block, -8), by)
    out.refused("a file whose batch stands inside the magic", patched(file, block, 0), by, level="should")
    # More contradictions, found by taking checks out of a reader.
    stream = written([batch([("n", array), ("s", text)])])
    schema, record = messages(stream)
    out.refused("two schemas", stream[: schema.end] + stream, "by hand: one stream, one schema", level="should")
    out.refused("more nulls than rows", patched(stream, record.nodes(stream)[0] + 8, 4), by, level="should")
    fewer = written([batch([("n", array)])])
    out.refused("a batch of two columns under a schema of one", fewer[: messages(fewer)[0].end] + stream[schema.end :], by, level="should")
    out.refused("a batch of one column under a schema of two", stream[: schema.end] + fewer[messages(fewer)[0].end :], by)
    out.refused("an unknown version of the metadata", patched(stream, field(stream, schema.root, 0), 99, "<h"), by, level="should")
    packed = written([batch([("v", pa.array(range(64)))])], compression="zstd")
    record = messages(packed)[-1]
    compression = field(packed, record.header, 3)
    compression += struct.unpack_from("<I", packed, compression)[0]
    out.refused("an unknown codec", patched(packed, field(packed, compression, 0), 9, "<B"), by)
    out.refused("a ZSTD body that says LZ4", patched(packed, field(packed, compression, 0), 0, "<B"), by)
    out.refused("a file that ends with ARROW2", file[:-1] + b"2", "by hand: a file ends with ARROW1")
    out.refused("a file whose footer says less of a batch's body than the batch itself", patched(file, block + 16, 8), by, level="should")
    return out


def julia():
    out = File("julia.json", "tjl", "pyarrow, in the shapes of Arrow.jl 2", "26.0.1")
    by = "by hand: the stored values; pyarrow 26 reads the same"

    def column(comment, storage, kind, values, name, extension=None, **options):
        metadata = {"ARROW:extension:name": extension, "ARROW:extension:metadata": ""} if extension else None
        schema = pa.schema([pa.field(name, storage.type, nullable=storage.null_count > 0, metadata=metadata)])
        out.holds(comment, written([pa.record_batch([storage], schema=schema)]), [(name, kind, values)], len(values), by=by, **options)

    letters = [ord(c) for c in "aé👋"]
    column("a Char column: code points in a number, with a tag in the field's metadata", pa.array(letters, pa.uint32()), "uint32", letters, "letter", "JuliaLang.Char")
    column("a Char column with a missing value", pa.array([97, None, 122], pa.uint32()), "uint32", [97, None, 122], "letter", "JuliaLang.Char")
    column("a Symbol column: text with a tag", pa.array(["alpha", "β"]), "utf8", ["alpha", "β"], "symbol", "JuliaLang.Symbol")
    column("a UUID column: 16 bytes with a tag", pa.array([bytes(range(16)), bytes(16)], pa.binary(16)), "binary", [bytes(range(16)), bytes(16)], "id", "JuliaLang.UUID")
    column("a column of Dates.Date: date32", pa.array([19782, 0], pa.date32()), "date32", [19782, 0], "day")
    column("a column of Dates.DateTime: timestamps in milliseconds with a tag", pa.array([1709202600123, 0], pa.timestamp("ms")), "timestamp", [1709202600123, 0], "at", "JuliaLang.DateTime-ms")
    column("a column of ZonedDateTime: timestamps with a zone and a tag", pa.array([1709202600123], pa.timestamp("ms", tz="UTC")), "timestamp", [1709202600123], "at", "JuliaLang.ZonedDateTime-UTC")
    column("a column of Dates.Time: nanoseconds of the day", pa.array([0, 86399999999999], pa.time64("ns")), "time64", [0, 86399999999999], "time")
    column("a column of Dates.Second: durations", pa.array([60, -1], pa.duration("s")), "duration", [60, -1], "took")
    column("a column of Union{Missing, Float64}", pa.array([1.5, None, float("nan")]), "float64", [1.5, None, float("nan")], "x")
    column("a column of nothing but missing", pa.nulls(3), "null", [None, None, None], "gap")
    column("a column of nothing, with a tag", pa.nulls(2), "null", [None, None], "nothing", "JuliaLang.Nothing")
    column("a column of Bool", pa.array([True, False, True]), "bool", [True, False, True], "ok")
    column("a column of vectors with missing ones", pa.array([[1.0, 2.0], None, []], pa.list_(pa.float64())), ("list", "float64"), [[1.0, 2.0], None, []], "v")
    pairs = pa.array([[1, 2], [3, 4]], pa.list_(pa.int64(), 2))
    column("a column of NTuple{2, Int64}: lists of fixed length", pairs, ("list", "int64"), [[1, 2], [3, 4]], "pair")
    named = pa.array([{"a": 1, "b": "x"}], pa.struct([("a", pa.int64()), ("b", pa.string())]))
    column("a column of named tuples, with a tag", named, ("struct", "int64", "utf8"), [(1, "x")], "row", "JuliaLang.NamedTuple")
    tuples = pa.array([{"1": 1, "2": "x"}], pa.struct([("1", pa.int64()), ("2", pa.string())]))
    column("a column of tuples: structs whose fields are called 1 and 2", tuples, ("struct", "int64", "utf8"), [(1, "x")], "tuple", "JuliaLang.Tuple")
    version = pa.array([{"major": 1, "minor": 10, "patch": 4}], pa.struct([("major", pa.uint32()), ("minor", pa.uint32()), ("patch", pa.uint32())]))
    column("a column of version numbers: structs with a tag", version, ("struct", "uint32", "uint32", "uint32"), [(1, 10, 4)], "version", "JuliaLang.VersionNumber")
    counts = pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64()))
    column("a column of Dict: maps", counts, ("map", "utf8", "int64"), [[("a", 1)], []], "counts")
    pooled = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0, None], pa.int8()), ["rain", "sun"])
    column("a PooledArray of strings with a missing value: dictionary-encoded", pooled, "utf8", ["rain", "sun", "rain", None], "weather")
    tagged = pa.DictionaryArray.from_arrays(pa.array([1, 0, 1], pa.int8()), pa.array([97, 98], pa.uint32()))
    column("a PooledArray of Char: dictionary-encoded code points with a tag", tagged, "uint32", [98, 97, 98], "letter", "JuliaLang.Char")
    column("integers of 8 bits and a tag that nobody knows", pa.array([1, -1], pa.int8()), "int8", [1, -1], "odd", "JuliaLang.Example.Thing")
    parts = [pa.record_batch([pa.array(v, pa.int64()), pa.array(w)], names=["id", "name"]) for v, w in (([1, 2], ["a", "b"]), ([3], ["c"]))]
    out.holds("two partitions: two batches", written(parts), [("id", "int64", [1, 2, 3]), ("name", "utf8", ["a", "b", "c"])], 3, by=by)
    return out


def foreign(name, prefix, source, version, lines, comments):
    """What other writers made; pyarrow says what is in it."""
    out = File(name, prefix, source, version)
    for line in lines.splitlines():
        key, data = line.split()
        data = bytes.fromhex(data)
        comment, options = comments[key]
        out.add(comment, data, {"accept": {"table": read_by_pyarrow(data)}}, "pyarrow 26", **options)
    return out


def main():
    rust, javascript = (pathlib.Path(name).read_text() for name in sys.argv[1:])
    for file in (common_types(), framings(), hostile(), julia()):
        file.write()
    foreign("arrow-rs.json", "trs", "arrow-rs", "60.1.0", rust, {
        "stream": ("arrow-rs: a stream of many types", {"profiles": FULL}),
        "file": ("arrow-rs: a file of many types", {"profiles": FULL}),
        "stream-lz4": ("arrow-rs: a stream with LZ4", {}),
        "stream-zstd": ("arrow-rs: a stream with ZSTD", {}),
        "file-zstd": ("arrow-rs: a file with ZSTD", {}),
        "stream-batches": ("arrow-rs: three batches, one of them empty", {}),
        "file-batches": ("arrow-rs: three batches in a file", {}),
        "stream-sliced": ("arrow-rs: one row sliced out of three, all of it null", {"profiles": FULL}),
        "stream-dictionary": ("arrow-rs: a dictionary that is replaced", {}),
        "stream-delta": ("arrow-rs: a dictionary that grows by a delta", {}),
        "stream-legacy": ("arrow-rs: the legacy framing and version 4", {}),
        "stream-incompressible": ("arrow-rs: a compressed body whose buffer was left as it was, since it would have grown (length -1)", {}),
        "stream-alignment-8": ("arrow-rs: buffers aligned to 8 bytes", {}),
    }).write()
    foreign("javascript.json", "tjs", "apache-arrow for JavaScript", "21.2.0", javascript, {
        f"{key}-{form}": (f"apache-arrow for JavaScript: {comment}, as a {form}", {})
        for key, comment in {"arrays": "plain arrays, whose strings become dictionary columns", "json": "rows of JSON", "types": "columns of given types", "empty": "a table without rows"}.items()
        for form in ("stream", "file")
    }).write()


if __name__ == "__main__":
    main()
