"""Strict JSON (ENV-R1, ENV-R2) that keeps what `json` throws away: byte offsets, the order of
keys, duplicate keys and the exact text of numbers."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from .errors import BridgeError

MAX_DEPTH = 128
I64_MIN, U64_MAX = -(2**63), 2**64 - 1

_SPACE = re.compile(rb"[ \t\n\r]*")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_HEX4 = re.compile(rb"[0-9a-fA-F]{4}")
_SHORT = {ord(k): v for k, v in zip('"\\/bfnrt', '"\\/\b\f\n\r\t')}
_LITERALS = ((b"true", True), (b"false", False), (b"null", None))


class Value:
    """One JSON value with its slice of the text. `held` is a list of (key, key offset, Value)
    for an object, a list of Values for an array, a str for a string, the digits for a number,
    and True, False or None for a literal."""

    __slots__ = ("kind", "start", "end", "held")

    def __init__(self, kind: str, start: int, end: int, held: Any) -> None:
        self.kind, self.start, self.end, self.held = kind, start, end, held


def parse(
    text: bytes, kind: str = "malformed", clause: str = "ENV-R1", depth_clause: str = "ENV-R2"
) -> Value:
    """The one value that `text` is, or a `BridgeError` of the given kind."""
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BridgeError(kind, clause, "invalid UTF-8", error.start) from None
    return _Parser(text, kind, clause, depth_clause).document()


def to_python(value: Value) -> Any:
    """Plain Python for a `Value` (TYPE-4): the last of equal keys wins, integers that fit 64 bits are
    exact, other numbers are doubles, and one that overflows a double is refused."""
    if value.kind == "object":
        return {key: to_python(member) for key, _, member in value.held}
    if value.kind == "array":
        return [to_python(item) for item in value.held]
    if value.kind != "number":
        return value.held
    digits = value.held
    if not any(c in digits for c in ".eE") and len(digits) <= 20 and I64_MIN <= int(digits) <= U64_MAX:
        return int(digits)
    number = float(digits)
    if math.isinf(number):
        raise BridgeError("invalid_json", "TYPE-4", "a number overflows a double", value.start)
    return number


def compact(value: Any) -> str:
    """ENV-W2, ENV-W3, ENV-W7: compact raw UTF-8, or a `BridgeError` of kind `invalid_input` for what JSON
    cannot say or no reader takes: keys that are no strings, infinities and NaN, lone surrogates,
    objects of other types, and nesting deeper than 128."""
    try:
        _check(value, 1)
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BridgeError(
            "invalid_input", "ENV-W3", f"the value cannot be written as JSON: {error}"
        ) from None
    return text


def _check(value: Any, depth: int) -> None:
    if isinstance(value, (dict, list, tuple)):
        if depth > MAX_DEPTH:
            raise ValueError("it is nested too deeply")
        if isinstance(value, dict) and not all(isinstance(key, str) for key in value):
            raise TypeError("keys must be strings")
        for item in value.values() if isinstance(value, dict) else value:
            _check(item, depth + 1)


def _run(pattern: re.Pattern[bytes], text: bytes, at: int) -> re.Match[bytes]:
    """A run of characters, an empty one too."""
    run = pattern.match(text, at)
    assert run is not None  # the patterns that come here match nothing as well
    return run


class _Parser:
    def __init__(self, text: bytes, kind: str, clause: str, depth_clause: str) -> None:
        self.text, self.at = text, 0
        self.kind, self.clause, self.depth_clause = kind, clause, depth_clause

    def fail(self, message: str, at: int | None = None) -> NoReturn:
        raise BridgeError(self.kind, self.clause, message, self.at if at is None else at)

    def space(self) -> None:
        self.at = _run(_SPACE, self.text, self.at).end()

    def peek(self) -> bytes:
        return self.text[self.at : self.at + 1]

    def expect(self, byte: bytes) -> None:
        if self.peek() != byte:
            self.fail(f"expected {byte.decode()}")
        self.at += 1

    def document(self) -> Value:
        self.space()
        value = self.value(1)
        self.space()
        if self.at != len(self.text):
            self.fail("bytes after the value")
        return value

    def value(self, depth: int) -> Value:
        start, byte = self.at, self.peek()
        if byte in (b"{", b"["):
            if depth > MAX_DEPTH:
                raise BridgeError(self.kind, self.depth_clause, "nested too deeply", start)
            self.at += 1
            held: Any = self.members(depth) if byte == b"{" else self.items(depth)
            return Value("object" if byte == b"{" else "array", start, self.at, held)
        if byte == b'"':
            held = self.string()
            return Value("string", start, self.at, held)
        for literal, meaning in _LITERALS:
            if self.text.startswith(literal, self.at):
                self.at += len(literal)
                return Value("null" if meaning is None else "boolean", start, self.at, meaning)
        match = _NUMBER.match(self.text, self.at)
        if not match:
            self.fail("expected a value")
        self.at = match.end()
        return Value("number", start, self.at, match.group().decode())

    def members(self, depth: int) -> list[tuple[str, int, Value]]:
        held: list[tuple[str, int, Value]] = []
        self.space()
        if self.peek() == b"}":
            self.at += 1
            return held
        while True:
            self.space()
            key_at = self.at
            if self.peek() != b'"':
                self.fail("expected a key")
            key = self.string()
            self.space()
            self.expect(b":")
            self.space()
            held.append((key, key_at, self.value(depth + 1)))
            self.space()
            if self.peek() == b"}":
                self.at += 1
                return held
            self.expect(b",")

    def items(self, depth: int) -> list[Value]:
        held: list[Value] = []
        self.space()
        if self.peek() == b"]":
            self.at += 1
            return held
        while True:
            self.space()
            held.append(self.value(depth + 1))
            self.space()
            if self.peek() == b"]":
                self.at += 1
                return held
            self.expect(b",")

    def string(self) -> str:
        self.at += 1
        parts = []
        while True:
            run = _run(_PLAIN, self.text, self.at)
            parts.append(run.group().decode())
            self.at = run.end()
            byte = self.peek()
            if byte == b'"':
                self.at += 1
                return "".join(parts)
            if byte == b"":
                self.fail("the string does not end")
            if byte != b"\\":
                self.fail("a raw control character in a string")
            parts.append(self.escape())

    def escape(self) -> str:
        start = self.at
        letter = self.text[start + 1 : start + 2]
        if letter == b"u":
            first = self.hex4(start)
            if 0xDC00 <= first <= 0xDFFF:
                self.fail("a lone surrogate", start)
            if not 0xD800 <= first <= 0xDBFF:
                return chr(first)
            if self.text[self.at : self.at + 2] != b"\\u":
                self.fail("a lone surrogate", start)
            second = self.hex4(self.at)
            if not 0xDC00 <= second <= 0xDFFF:
                self.fail("a lone surrogate", start)
            return chr(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
        if not letter or letter[0] not in _SHORT:
            self.fail("an unknown escape", start)
        self.at += 2
        return _SHORT[letter[0]]

    def hex4(self, start: int) -> int:
        match = _HEX4.match(self.text, start + 2)
        if not match:
            self.fail("a broken \\u escape", start)
        self.at = match.end()
        return int(match.group(), 16)
