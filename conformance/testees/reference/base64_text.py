"""Base64 as section 7 wants it: RFC 4648 section 4 when writing, a little leniency when reading."""

import binascii

from refusal import Refusal

_STANDARD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_VALUES = {symbol: value for value, symbol in enumerate(_STANDARD)}
_VALUES |= {ord("-"): 62, ord("_"): 63}


def encode(data):
    """B64-1. Checked against the arithmetic below, so that the library is not believed blindly."""
    text = binascii.b2a_base64(data, newline=False)
    assert len(text) == 4 * ((len(data) + 2) // 3)
    return text


def decode(text):
    """B64-2 to B64-6, one character after the other. The offset counts from the first byte of `text`."""
    groups = bytearray()  # the characters of the alphabet, in its standard form
    padding, line_end = 0, b""
    alphabet = None  # the two characters of their own that one alphabet has, as soon as one of them was there
    for offset, character in enumerate(text):
        used = len(groups) % 4  # characters in the last group
        byte = bytes([character])
        if line_end + byte in (b"\n", b"\r", b"\r\n") and padding in (0, -used % 4):
            if not line_end:
                _check_end(groups, offset)
            line_end += byte
        elif line_end:
            raise Refusal("invalid_base64", offset)  # B64-4: something behind the line end
        elif character == ord("="):
            if padding == -used % 4 or used == 1:
                raise Refusal("invalid_base64", offset)  # B64-3: surplus, or alone
            if padding == 0:
                _check_end(groups, offset)
            padding += 1
        elif padding or character not in _VALUES:
            raise Refusal("invalid_base64", offset)  # B64-4
        else:
            own = next((own for own in (b"+/", b"-_") if character in own), alphabet)
            if alphabet not in (None, own):
                raise Refusal("invalid_base64", offset)  # B64-2
            alphabet = own
            groups.append(_STANDARD[_VALUES[character]])
    due = -len(groups) % 4
    if not padding:
        _check_end(groups, len(text))
    if padding not in (0, due) or line_end == b"\r":
        raise Refusal("invalid_base64", len(text))  # B64-3: partial; B64-4: half a line end
    return binascii.a2b_base64(bytes(groups) + b"=" * due)


def _check_end(groups, end):
    """B64-5: no lone last character, and no bits left over in the last one, which is the wrong one then (B64-6)."""
    used = len(groups) % 4
    if used == 1:
        raise Refusal("invalid_base64", end)
    unused_bits = {0: 0, 2: 0b1111, 3: 0b11}[used]
    if unused_bits and _VALUES[groups[-1]] & unused_bits:
        raise Refusal("invalid_base64", end - 1)
