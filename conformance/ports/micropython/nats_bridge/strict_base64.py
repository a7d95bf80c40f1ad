# Base64 as section 7 of SPEC.md has it. MicroPython's own decoder skips what it does not know.

from binascii import a2b_base64, b2a_base64

from .errors import BridgeError

_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
CHUNK = 3 * 256


def encode(raw):
    """Standard alphabet, padded, no line break (B64-1)."""
    return b2a_base64(raw)[:-1]


def encoded_len(length):
    return (length + 2) // 3 * 4


def pieces(raw):
    """The text of `raw` bytes in small pieces, so that it need not be in memory whole."""
    view = memoryview(raw)
    for start in range(0, len(raw), CHUNK):
        yield b2a_base64(view[start : start + CHUNK])[:-1]


def decode(text):
    """The bytes of a text, or a `BridgeError` whose offset counts from its start.

    The runtime's decoder and encoder do the work: what comes back as it went in was well-formed. Only a text
    that does not is looked at byte by byte."""
    body = text
    if body[-1:] == b"\n":
        body = body[: -2 if body[-2:-1] == b"\r" else -1]
    if b"-" in body or b"_" in body:
        if b"+" in body or b"/" in body:
            raise _error(text)
        body = body.replace(b"-", b"+").replace(b"_", b"/")
    if len(body) % 4 and b"=" not in body:
        body += b"=" * (-len(body) % 4)
    try:
        raw = a2b_base64(body)
    except ValueError:
        raise _error(text)
    if len(body) != encoded_len(len(raw)):
        raise _error(text)
    # Piece by piece: a heap of 2 MB has no room for another two long copies in one place.
    for at in range(0, len(raw), CHUNK):
        start = at // 3 * 4
        if b2a_base64(raw[at : at + CHUNK])[:-1] != body[start : start + CHUNK // 3 * 4]:
            raise _error(text)
    return raw


def _error(text):
    """Where and why a text is wrong: B64-6."""
    alphabet, last, count, pads, line_end = None, 0, 0, 0, None
    for at, byte in enumerate(text):
        if line_end is not None:
            if text[line_end] == 13 and at == line_end + 1 and byte == 10:
                continue
            return _fail("B64-4", "more after the line end", at)
        if byte == 61:  # =
            due = -count % 4
            if pads == 0 and due in (1, 2) and _spare(last, due):
                return _fail("B64-5", "left-over bits", at - 1)
            if due not in (1, 2) or pads == due:
                return _fail("B64-3", "wrong padding", at)
            pads += 1
        elif byte in b"\r\n":
            if pads and pads != -count % 4:
                return _fail("B64-3", "one more padding character is needed", at)
            if not pads and count % 4 == 1:
                return _fail("B64-5", "the text ends with a lone character", at)
            if not pads and _spare(last, -count % 4):
                return _fail("B64-5", "left-over bits", at - 1)
            line_end = at
        elif pads:
            clause = "B64-3" if pads != -count % 4 else "B64-4"
            return _fail(clause, "more after the padding", at)
        elif byte in _LETTERS:
            last, count = _LETTERS.find(bytes([byte])), count + 1
        elif byte in b"+/-_":
            mine = byte in b"+/"
            if alphabet is not None and alphabet != mine:
                return _fail("B64-2", "two alphabets in one text", at)
            alphabet, last, count = mine, 62 if byte in b"+-" else 63, count + 1
        else:
            return _fail("B64-4", "a character outside the alphabet", at)
    if line_end is not None and text[line_end:] == b"\r":
        return _fail("B64-4", "a carriage return without its line feed", len(text))
    if pads and pads != -count % 4:
        return _fail("B64-3", "one more padding character is needed", len(text))
    if count % 4 == 1:
        return _fail("B64-5", "the text ends with a lone character", len(text))
    return _fail("B64-5", "left-over bits", len(text) - 1)


def _spare(last, due):
    """Whether the last symbol has bits that no byte uses."""
    return bool(last & (3 if due == 1 else 15)) if due in (1, 2) else False


def _fail(clause, message, at):
    return BridgeError("invalid_base64", clause, message, at)
