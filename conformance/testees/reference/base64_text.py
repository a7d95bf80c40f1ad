"""Base64 as section 7 wants it: RFC 4648 section 4 when writing, a little leniency when reading."""

import binascii

from refusal import Refusal

_STANDARD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_VALUES = {symbol: value for value, symbol in enumerate(_STANDARD)}
_VALUES |= {ord("-"): 62, ord("_"): 63}
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


def encode(data):
    """B64-1. Checked against the arithmetic below, so that the library is not believed blindly."""
    text = binascii.b2a_base64(data, newline=False)
    assert len(text) == 4 * ((len(data) + 2) // 3)
    return text


def decode(text):
    """B64-2 to B64-6. The offset counts from the first byte of `text`."""
    body = _without_line_end(text)
    end = 0
    alphabet = None  # "+/" or "-_", as soon as one of its characters was there
    while end < len(body) and body[end] in _VALUES:
        own = b"+/" if body[end] in b"+/" else b"-_" if body[end] in b"-_" else None
        if own is not None:
            if alphabet not in (None, own):
                raise Refusal("invalid_base64", end)  # B64-2
            alphabet = own
        end += 1

    used = end % 4  # characters in the last, unfinished group
    if end < len(body) and body[end] not in b"=\r\n":
        raise Refusal("invalid_base64", end)  # B64-4: the symbols did not end here
    if used == 1:
        raise Refusal("invalid_base64", end)  # B64-5: no byte fits into six bits
    if used:
        unused_bits = 0b1111 if used == 2 else 0b11
        if _VALUES[body[end - 1]] & unused_bits:
            raise Refusal("invalid_base64", end - 1)  # B64-5, B64-6

    due = -used % 4
    padding = 0
    while end + padding < len(body) and body[end + padding] == ord("="):
        if padding == due:
            raise Refusal("invalid_base64", end + padding)  # B64-3: surplus
        padding += 1
    if end + padding < len(body):
        raise Refusal("invalid_base64", end + padding)  # B64-4: something behind
    if padding not in (0, due):
        raise Refusal("invalid_base64", len(body))  # B64-3: partial
    return binascii.a2b_base64(body[:end].translate(_TO_STANDARD) + b"=" * due)


def _without_line_end(text):
    """B64-4: exactly one LF or CRLF may end the text."""
    if text.endswith(b"\r\n"):
        return text[:-2]
    return text[:-1] if text.endswith(b"\n") else text
