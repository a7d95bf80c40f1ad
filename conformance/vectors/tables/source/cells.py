"""Expected tables: values as the protocol spells them, written by hand beside what was put into the columns."""

import decimal
import math
import struct


def text(value):
    """S of the protocol."""
    return value if all(" " <= c <= "~" for c in value) else {"hex": value.encode().hex()}


def cell(kind, value):
    """One value of a column of this kind. `kind` is a name, or for nested columns a tuple:
    ("list", item), ("struct", kind, ...) or ("map", key, value)."""
    if value is None:
        return None
    if isinstance(kind, tuple):
        if kind[0] == "list":
            return [cell(kind[1], item) for item in value]
        if kind[0] == "struct":
            return [cell(inner, item) for inner, item in zip(kind[1:], value)]
        return [[cell(kind[1], key), cell(kind[2], item)] for key, item in value]
    if kind == "bool":
        return value
    if kind.startswith("float"):
        return {"f": "nan" if math.isnan(value) else struct.pack(">d", value).hex()}
    if kind == "utf8":
        return text(value)
    if kind == "binary":
        return {"hex": value.hex()}
    return str(value)  # integers, and what is stored as one


def table(columns, rows):
    """T of the protocol. A column is (name, kind, values)."""
    return {
        "columns": [
            {"name": text(name), "type": kind[0] if isinstance(kind, tuple) else kind, "values": [cell(kind, v) for v in values]}
            for name, kind, values in columns
        ],
        "rows": rows,
    }


def stored(array):
    """(kind, values) of a pyarrow array, for confirming with another reader what a table holds."""
    import pyarrow as pa
    import pyarrow.types as t

    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return stored(array.storage)
    if t.is_dictionary(kind):
        return stored(array.dictionary_decode())
    if t.is_struct(kind):
        parts = [stored(array.field(i)) for i in range(kind.num_fields)]
        valid = array.is_valid().to_pylist()
        rows = list(zip(*[values for _, values in parts])) if parts else [()] * len(array)
        return ("struct", *[k for k, _ in parts]), [row if ok else None for row, ok in zip(rows, valid)]
    if t.is_map(kind):
        keys, items = stored(array.keys), stored(array.items)
        values = [None if v is None else len(v) for v in array.to_pylist()]
        pairs = iter(zip(keys[1], items[1]))
        return ("map", keys[0], items[0]), [None if n is None else [next(pairs) for _ in range(n)] for n in values]
    if t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        items = stored(array.flatten())
        rest = iter(items[1])
        lengths = array.value_lengths().to_pylist() if not t.is_fixed_size_list(kind) else [
            kind.list_size if ok else None for ok in array.is_valid().to_pylist()]
        return ("list", items[0]), [None if n is None else [next(rest) for _ in range(n)] for n in lengths]
    name = (
        "utf8" if t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind)
        else "decimal" if t.is_decimal(kind)
        else "binary" if t.is_binary(kind) or t.is_large_binary(kind) or t.is_binary_view(kind) or t.is_fixed_size_binary(kind)
        else {"halffloat": "float16", "float": "float32", "double": "float64"}.get(str(kind), str(kind).split("[")[0])
    )
    if t.is_temporal(kind):
        array = array.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
    values = array.to_pylist()
    if name == "decimal":
        with decimal.localcontext(prec=100):
            values = [None if v is None else int(v.scaleb(kind.scale)) for v in values]
    return name, values


def read_by_pyarrow(data):
    """T of what pyarrow finds in a stream or file."""
    import pyarrow as pa

    reader = pa.ipc.open_file if data[:6] == b"ARROW1" else pa.ipc.open_stream
    content = reader(data).read_all()
    content.validate(full=True)
    columns = []
    for name, column in zip(content.column_names, content.columns):
        parts = [stored(chunk) for chunk in column.chunks] or [stored(pa.array([], column.type))]
        columns.append((name, parts[0][0], [value for _, values in parts for value in values]))
    return table(columns, content.num_rows)


