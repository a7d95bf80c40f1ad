"""Where the numbers of an Arrow IPC message stand, so that they can be falsified one at a time."""

import struct


class Message:
    """One encapsulated message of a stream: continuation marker, length, FlatBuffers message, body."""

    def __init__(self, data, at):
        self.start = at
        marker, self.length = struct.unpack_from("<Ii", data, at)
        assert marker == 0xFFFFFFFF
        self.meta = at + 8
        self.body = self.meta + self.length
        self.root = _pointer(data, self.meta)
        self.type = data[field(data, self.root, 1)]  # 1 schema, 2 dictionary batch, 3 record batch
        self.header = _pointer(data, field(data, self.root, 2))
        self.body_length_at = field(data, self.root, 3)
        self.body_length = struct.unpack_from("<q", data, self.body_length_at)[0] if self.body_length_at else 0
        self.end = self.body + self.body_length

    def batch(self, data):
        """The table of the record batch, also inside a dictionary batch."""
        return self.header if self.type == 3 else _pointer(data, field(data, self.header, 1))

    def row_count_at(self, data):
        return field(data, self.batch(data), 0)

    def nodes(self, data):
        """Offsets of the (length, null count) pairs."""
        return _structs(data, field(data, self.batch(data), 1))

    def buffers(self, data):
        """Offsets of the (offset, length) pairs."""
        return _structs(data, field(data, self.batch(data), 2))


def messages(data):
    """All messages of a stream, without its end-of-stream marker."""
    found, at = [], 0
    while at < len(data) and data[at : at + 8] != b"\xff\xff\xff\xff\0\0\0\0":
        found.append(Message(data, at))
        at = found[-1].end
    return found


def field(data, table, index):
    """Where field `index` of a FlatBuffers table is; None where it is left out."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if 4 + 2 * index >= struct.unpack_from("<H", data, vtable)[0]:
        return None
    offset = struct.unpack_from("<H", data, vtable + 4 + 2 * index)[0]
    return table + offset if offset else None


def _pointer(data, at):
    return at + struct.unpack_from("<I", data, at)[0]


def _structs(data, at):
    vector = _pointer(data, at)
    return [vector + 4 + 16 * i for i in range(struct.unpack_from("<I", data, vector)[0])]


def patched(data, at, number, form="<q"):
    """The same bytes with another number at one place."""
    out = bytearray(data)
    struct.pack_into(form, out, at, number)
    return bytes(out)
