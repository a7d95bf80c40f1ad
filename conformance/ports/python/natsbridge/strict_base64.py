"""Base64 as section 7 of SPEC.md has it. Python's own decoder accepts much more than that."""

from __future__ import annotations

import base64
import re

from .errors import BridgeError

_PLAIN = re.compile(rb"[A-Za-z0-9]*")
_SYMBOLS = re.compile(rb"[A-Za-z0-9+/_-]*")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_VALUES = {byte: value for value, byte in enumerate(_ALPHABET)} | {ord("-"): 62, ord("_"): 63}
_PAIRS = {"standard": (b"+", b"/"), "URL-safe": (b"-", b"_")}
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")

# How far the text has come.
_BODY, _PAD, _PADDED, _CR, _END = range(5)


def _run(pattern: re.Pattern[bytes], text: bytes) -> bytes:
    """What `text` begins with, maybe nothing."""
    run = pattern.match(text)
    assert run is not None  # the patterns that come here match nothing as well
    return run.group()


def encode(raw: bytes) -> bytes:
    """Standard alphabet, padded, no line breaks (B64-1)."""
    return base64.b64encode(raw)


def decode(text: bytes) -> bytes:
    """The bytes of one whole text, or a `BridgeError` of kind `invalid_base64` whose offset counts
    from the start of `text`."""
    decoder = Decoder()
    out = decoder.update(text)
    return out + decoder.finish()


class Encoder:
    """Encodes bytes that come in pieces; the text is the same as for one piece."""

    def __init__(self) -> None:
        self._held = b""

    def update(self, piece: bytes) -> bytes:
        """The text of all whole groups of three bytes; holds back at most two."""
        piece = self._held + piece
        whole = len(piece) // 3 * 3
        self._held = piece[whole:]
        return base64.b64encode(piece[:whole])

    def finish(self) -> bytes:
        held, self._held = self._held, b""
        return base64.b64encode(held)


class Decoder:
    """Decodes text that comes in pieces of any size; the bytes, and the offset of an error, are
    the same as for one piece. After an error the decoder is of no more use."""

    def __init__(self) -> None:
        self._offset = 0
        self._held = b""  # 0 to 3 symbols of an unfinished group
        self._alphabet: str | None = None
        self._state = _BODY

    def update(self, piece: bytes) -> bytes:
        """The bytes of all whole groups of four symbols."""
        if self._state != _BODY:
            return self._ending(piece)
        symbols = _run(_SYMBOLS, piece)
        self._one_alphabet(symbols)
        self._offset += len(symbols)
        rest = piece[len(symbols) :]
        symbols = self._held + symbols
        whole = len(symbols) // 4 * 4
        self._held = symbols[whole:]
        out = base64.b64decode(symbols[:whole].translate(_TO_STANDARD))
        return out + self._ending(rest) if rest else out

    def finish(self) -> bytes:
        """The bytes that were held back; refuses a text that may not end here."""
        if self._state == _PAD:
            raise self._fail("B64-3", "one more padding character is needed")
        if self._state == _CR:
            raise self._fail("B64-4", "a carriage return without its line feed")
        return self._flush()

    def _one_alphabet(self, symbols: bytes) -> None:
        if len(_run(_PLAIN, symbols)) == len(symbols):
            return
        none = len(symbols)
        first = {
            alphabet: min((at for at in map(symbols.find, pair) if at >= 0), default=none)
            for alphabet, pair in _PAIRS.items()
        }
        if self._alphabet is None:
            self._alphabet = min(first, key=first.__getitem__)
        wrong = min(at for alphabet, at in first.items() if alphabet != self._alphabet)
        if wrong < none:
            raise self._fail("B64-2", "two alphabets in one text", self._offset + wrong)

    def _ending(self, rest: bytes) -> bytes:
        """Padding and line end, a byte at a time: seldom more than four of them."""
        out = b""
        for byte in rest:
            if self._state == _BODY and byte == ord("=") and len(self._held) >= 2:
                self._state = _PAD if len(self._held) == 2 else _PADDED
                out += self._flush()
            elif self._state == _PAD and byte == ord("="):
                self._state = _PADDED
            elif self._state in (_BODY, _PADDED) and byte in b"\r\n":
                self._state = _CR if byte == ord("\r") else _END
                out += self._flush()
            elif self._state == _CR and byte == ord("\n"):
                self._state = _END
            elif self._state in (_CR, _END):
                raise self._fail("B64-4", "more after the line end")
            elif byte == ord("=") or self._state == _PAD:
                raise self._fail("B64-3", "wrong padding")
            else:
                raise self._fail("B64-4", "a character outside the alphabet")
            self._offset += 1
        return out

    def _flush(self) -> bytes:
        held, self._held = self._held, b""
        if not held:
            return b""
        if len(held) == 1:
            raise self._fail("B64-5", "the text ends with a lone character")
        spare = 0b1111 if len(held) == 2 else 0b11
        if _VALUES[held[-1]] & spare:
            # Nothing but `=` and line ends has been counted since the last symbol.
            raise self._fail("B64-5", "left-over bits", self._offset - 1)
        return base64.b64decode(held.translate(_TO_STANDARD) + b"=" * (4 - len(held)))

    def _fail(self, clause: str, message: str, offset: int | None = None) -> BridgeError:
        return BridgeError("invalid_base64", clause, message, self._offset if offset is None else offset)
