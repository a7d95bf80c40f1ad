"""RFC 8259 and nothing else (ENV-R1, ENV-R2), with the place of everything in the text.

`json` of the standard library is not used for reading: it takes `NaN`, resolves lone surrogates,
forgets repeated keys and knows no depth."""

import re
from dataclasses import dataclass
from typing import Any

from refusal import Refusal

MAX_DEPTH = 128
SPACE = b" \t\n\r"

_ESCAPES = {b'"': '"', b"\\": "\\", b"/": "/", b"b": "\b", b"f": "\f", b"n": "\n", b"r": "\r", b"t": "\t"}
_LITERALS = {b"t": (b"true", True), b"f": (b"false", False), b"n": (b"null", None)}
_SPACES = re.compile(rb"[ \t\n\r]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_HEX = re.compile(rb"[0-9A-Fa-f]{4}")


@dataclass(slots=True)
class Node:
    """A value and its slice of the text.

    `content` of an object is a list of (key, offset of the key, Node), of an array a list of Nodes,
    of a string a str, of a number its text, of a literal True, False or None."""

    kind: str
    start: int
    end: int
    content: Any


def parse(text, kind="malformed"):
    """The one value that `text` is. A violation is a Refusal of this kind at the first byte that is wrong."""
    return _Parser(text, kind).document()


def to_value(node, kind="invalid_json"):
    """What TYPE-4 reads: the last of equal keys, exact 64-bit integers, doubles that must not overflow."""
    if node.kind == "object":
        return {key: to_value(value, kind) for key, _, value in node.content}
    if node.kind == "array":
        return [to_value(value, kind) for value in node.content]
    if node.kind != "number":
        return node.content
    text = node.content
    if text.lstrip("-").isdigit() and len(text) <= 20:
        number = int(text)
        if -(2**63) <= number < 2**64:
            return number
    number = float(text)
    if abs(number) == float("inf"):
        raise Refusal(kind, node.start)
    return number


class _Parser:
    def __init__(self, text, kind):
        self.text, self.kind, self.at = text, kind, 0

    def refuse(self, offset=None):
        raise Refusal(self.kind, self.at if offset is None else offset)

    def next(self):
        return self.text[self.at : self.at + 1]

    def skip_space(self):
        self.at = _SPACES.match(self.text, self.at).end()

    def take(self, byte):
        """Whether `byte` comes next, after white space; if so, it is consumed."""
        self.skip_space()
        found = self.next() == byte
        self.at += found
        return found

    def document(self):
        self.skip_space()
        node = self.value(1)
        self.skip_space()
        if self.at < len(self.text):
            self.refuse()
        return node

    def value(self, depth):
        start, first = self.at, self.next()
        if first in (b"{", b"["):
            if depth > MAX_DEPTH:
                self.refuse()
            self.at += 1
            kind, content = ("object", self.members(depth)) if first == b"{" else ("array", self.items(depth))
        elif first == b'"':
            kind, content = "string", self.string()
        elif first in _LITERALS:
            word, content = _LITERALS[first]
            if not self.text.startswith(word, start):
                self.refuse()
            kind = "null" if content is None else "boolean"
            self.at += len(word)
        else:
            match = _NUMBER.match(self.text, start)
            if match is None:
                self.refuse()
            kind, content = "number", match.group().decode()
            self.at = match.end()
        return Node(kind, start, self.at, content)

    def members(self, depth):
        members = []
        if self.take(b"}"):
            return members
        while True:
            self.skip_space()
            offset = self.at
            if self.next() != b'"':
                self.refuse()
            key = self.string()
            if not self.take(b":"):
                self.refuse()
            self.skip_space()
            members.append((key, offset, self.value(depth + 1)))
            if self.take(b"}"):
                return members
            if not self.take(b","):
                self.refuse()

    def items(self, depth):
        items = []
        if self.take(b"]"):
            return items
        while True:
            self.skip_space()
            items.append(self.value(depth + 1))
            if self.take(b"]"):
                return items
            if not self.take(b","):
                self.refuse()

    def string(self):
        self.at += 1
        parts = []
        while True:
            run = _PLAIN.match(self.text, self.at)
            try:
                parts.append(run.group().decode("utf-8"))
            except UnicodeDecodeError as error:
                self.refuse(run.start() + error.start)
            self.at = run.end()
            if self.next() == b'"':
                self.at += 1
                return "".join(parts)
            if self.next() != b"\\":  # a raw control character, or the end of the text
                self.refuse()
            parts.append(self.escape())

    def escape(self):
        start = self.at
        letter = self.text[start + 1 : start + 2]
        if letter in _ESCAPES:
            self.at += 2
            return _ESCAPES[letter]
        if letter != b"u":
            self.refuse(start)
        unit = self.hexadecimal(start, start + 2)
        if 0xD800 <= unit < 0xDC00 and self.text[self.at : self.at + 2] == b"\\u":
            low = self.hexadecimal(start, self.at + 2)
            if 0xDC00 <= low < 0xE000:
                return chr(0x10000 + (unit - 0xD800) * 0x400 + (low - 0xDC00))
        if 0xD800 <= unit < 0xE000:
            self.refuse(start)
        return chr(unit)

    def hexadecimal(self, start, at):
        digits = _HEX.match(self.text, at)
        if digits is None:
            self.refuse(start)
        self.at = at + 4
        return int(digits.group(), 16)
