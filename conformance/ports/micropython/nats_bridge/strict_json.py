# Strict JSON (ENV-R1, ENV-R2, ENV-W3). MicroPython's own `json` takes much that is no JSON, makes invalid
# UTF-8 of surrogate pairs, is quadratic in long strings and forgets the order of keys.

import math

from .errors import BridgeError

MAX_DEPTH = 128
_SPACE = b" \t\n\r"
_ESCAPES = {34: '"', 92: "\\", 47: "/", 98: "\b", 102: "\f", 110: "\n", 114: "\r", 116: "\t"}
_LITERALS = {116: (b"true", True), 102: (b"false", False), 110: (b"null", None)}


class Reader:
    """Reads values out of `text` (bytes). Every method takes and gives positions in it."""

    def __init__(self, text, kind="malformed", clause="ENV-R1"):
        self.text, self.kind, self.clause = text, kind, clause

    def fail(self, message, at, clause=None):
        raise BridgeError(self.kind, clause or self.clause, message, at)

    def space(self, at):
        text = self.text
        while at < len(text) and text[at] in _SPACE:
            at += 1
        return at

    def byte(self, at):
        """The byte there, or -1 at the end."""
        return self.text[at] if at < len(self.text) else -1

    def document(self, build=True, mapping=dict):
        """The one value that the whole text is."""
        value, at = self.value(self.space(0), 1, build, mapping)
        at = self.space(at)
        if at != len(self.text):
            self.fail("bytes after the value", at)
        return value

    def value(self, at, depth, build=True, mapping=dict):
        """The value at `at`, which is nested `depth` deep, and where it ends. Without `build` it is only
        checked.

        No recursion: MicroPython has little stack."""
        text = self.text
        open_ = []  # (container, key) for each one around the value that is being read
        while True:
            byte = self.byte(at)
            if byte == 123 or byte == 91:  # { [
                if depth + len(open_) > MAX_DEPTH:
                    self.fail("nested too deeply", at, "ENV-R2")
                held = mapping() if byte == 123 else []
                at = self.space(at + 1)
                if self.byte(at) == byte + 2:
                    value = held
                    at += 1
                elif byte == 123:
                    key, at = self.key(at, build)
                    open_.append((held, key, True))
                    continue
                else:
                    open_.append((held, None, False))
                    continue
            elif byte == 34:
                value, at = self.string(at, build)
            elif byte in _LITERALS:
                word, value = _LITERALS[byte]
                if text[at : at + len(word)] != word:
                    self.fail("expected a value", at)
                at += len(word)
            else:
                value, at = self.number(at, build)
            # A value is complete: it goes into what is around it, which may be complete with it.
            while open_:
                held, key, is_object = open_[-1]
                if build:
                    if is_object:
                        held[key] = value
                    else:
                        held.append(value)
                at = self.space(at)
                byte = self.byte(at)
                if byte == 44:
                    at = self.space(at + 1)
                    if is_object:
                        key, at = self.key(at, build)
                        open_[-1] = (held, key, True)
                    break
                if byte != (125 if is_object else 93):
                    self.fail("expected a comma or the end", at)
                at += 1
                open_.pop()
                value = held
            else:
                return value, at

    def key(self, at, build=True):
        """An object's key, and where its value begins."""
        if self.byte(at) != 34:
            self.fail("expected a key", at)
        key, at = self.string(at, build)
        at = self.space(at)
        if self.byte(at) != 58:
            self.fail("expected a colon", at)
        return key, self.space(at + 1)

    def string(self, at, build=True):
        """The string whose quote is at `at`."""
        text, start = self.text, at + 1
        end = text.find(b'"', start)
        slash = text.find(b"\\", start, end if end >= 0 else len(text))
        if slash < 0 and end >= 0:  # without escapes: all at C's speed
            self.plain(start, end)
            return (text[start:end].decode() if build else None), end + 1
        parts = []
        while True:
            end = text.find(b'"', start)
            slash = text.find(b"\\", start, end if end >= 0 else len(text))
            if slash < 0:
                stop = end if end >= 0 else len(text)
                self.plain(start, stop)
                if end < 0:
                    self.fail("the string does not end", stop)
                if build:
                    parts.append(text[start:end].decode())
                return "".join(parts), end + 1
            self.plain(start, slash)
            char, after = self.escape(slash)
            if build:
                parts.append(text[start:slash].decode())
                parts.append(char)
            start = after

    def plain(self, start, end):
        """Refuses control characters and invalid UTF-8 between the escapes of a string."""
        text = self.text
        for at in range(start, end, 256):
            piece = text[at : min(at + 256, end)]
            if min(piece) < 32:
                for index, byte in enumerate(piece):
                    if byte < 32:
                        # What comes before it may be wrong too.
                        check_utf8(text, start, at + index, self)
                        self.fail("a raw control character in a string", at + index)
            if max(piece) > 127:
                break
        else:
            return
        check_utf8(text, at, end, self)
        for index in range(at, end):
            if text[index] < 32:
                self.fail("a raw control character in a string", index)

    def escape(self, at):
        """The character of the escape at `at`, and where it ends."""
        letter = self.byte(at + 1)
        if letter in _ESCAPES:
            return _ESCAPES[letter], at + 2
        if letter != 117:
            self.fail("an unknown escape", at)
        code = self.hex4(at)
        if 0xDC00 <= code < 0xE000:
            self.fail("a lone surrogate", at)
        if not 0xD800 <= code < 0xDC00:
            return chr(code), at + 6
        if self.byte(at + 6) != 92 or self.byte(at + 7) != 117:
            self.fail("a lone surrogate", at)
        low = self.hex4(at + 6)
        if not 0xDC00 <= low < 0xE000:
            self.fail("a lone surrogate", at)
        return chr(0x10000 + ((code - 0xD800) << 10) + low - 0xDC00), at + 12

    def hex4(self, at):
        digits = self.text[at + 2 : at + 6]
        if len(digits) < 4 or not all(d in b"0123456789abcdefABCDEF" for d in digits):
            self.fail("a broken \\u escape", at)
        return int(digits.decode(), 16)

    def number(self, at, build=True):
        """A number: integers that fit 64 bits exactly, others as the nearest float (TYPE-4)."""
        start, at = at, at + (self.byte(at) == 45)
        first = self.byte(at)
        at = self.digits(at, start, "expected a value")
        if first == 48 and self.text[start:at] not in (b"0", b"-0"):
            self.fail("digits after a leading 0", start + (self.text[start] == 45) + 1)
        is_integer = True
        if self.byte(at) == 46:
            at, is_integer = self.digits(at + 1, start, "a number without digits after its point"), False
        if self.byte(at) in (69, 101):
            at, is_integer = at + 1, False
            if self.byte(at) in (43, 45):
                at += 1
            at = self.digits(at, start, "a number without digits in its exponent")
        if not build:
            return None, at
        digits = self.text[start:at].decode()
        if is_integer and len(digits) <= 20:
            value = int(digits)
            if -(1 << 63) <= value < 1 << 64:
                return value, at
        value = nearest_float(digits)
        if value in (float("inf"), -float("inf")):
            raise BridgeError("invalid_json", "TYPE-4", "a number overflows a float", start)
        return value, at

    def digits(self, at, start, message):
        text, first = self.text, at
        while at < len(text) and 48 <= text[at] <= 57:
            at += 1
        if at == first:
            self.fail(message, at)
        return at


def nearest_float(digits):
    """The float nearest to a JSON number, half to even. The runtime's own `float` is only near for long
    numbers."""
    number, _, exponent = digits.lower().partition("e")
    whole, _, fraction = number.lstrip("-").partition(".")
    power = _bounded(exponent) - len(fraction)
    significant = (whole + fraction).lstrip("0")
    if len(significant) <= 15:
        return float(digits)
    if len(significant) > 800:  # what comes after can only break a tie
        power += len(significant) - 800
        significant = significant[:799] + "1"
    if not -400 < power + len(significant) < 400:
        value = 0.0 if power < 0 else float("inf")
        return -value if number[0] == "-" else value
    top, bottom = int(significant), 1
    if power < 0:
        bottom = 10**-power
    else:
        top *= 10**power
    # top / bottom = mantissa * 2^shift with a mantissa of 53 bits, or fewer at the lower end.
    shift = max(len(bin(top)) - len(bin(bottom)) - 53, -1074)
    while True:
        scaled_top = top << -shift if shift < 0 else top
        scaled_bottom = bottom << shift if shift > 0 else bottom
        mantissa, rest = divmod(scaled_top, scaled_bottom)
        if mantissa >> 53 == 0:
            break
        shift += 1
    if 2 * rest > scaled_bottom or 2 * rest == scaled_bottom and mantissa & 1:
        mantissa += 1
    if len(bin(mantissa)) - 2 + shift > 1024:
        value = float("inf")
    else:
        value = math.ldexp(float(mantissa), shift)
    return -value if number[0] == "-" else value


def _bounded(exponent):
    """An exponent as an int; one with absurdly many digits as a huge one of its sign."""
    digits = exponent.lstrip("+-").lstrip("0")
    value = int(digits or "0") if len(digits) < 9 else 10**9
    return -value if exponent[:1] == "-" else value


def check_utf8(text, at, end, reader):
    """Refuses what is no UTF-8: MicroPython's `decode` lets surrogates and overlong forms through."""
    while at < end:
        first = text[at]
        if first < 0x80:
            at += 1
            continue
        if 0xC2 <= first < 0xE0:
            length, low, high = 2, 0x80, 0xBF
        elif 0xE0 <= first < 0xF0:
            length, low, high = 3, 0xA0 if first == 0xE0 else 0x80, 0x9F if first == 0xED else 0xBF
        elif 0xF0 <= first < 0xF5:
            length, low, high = 4, 0x90 if first == 0xF0 else 0x80, 0x8F if first == 0xF4 else 0xBF
        else:
            reader.fail("invalid UTF-8", at)
        if at + length > end or not low <= text[at + 1] <= high:
            reader.fail("invalid UTF-8", at)
        for index in range(at + 2, at + length):
            if text[index] & 0xC0 != 0x80:
                reader.fail("invalid UTF-8", at)
        at += length


def loads(text, kind="invalid_json", clause="TYPE-4", mapping=dict):
    """The value of JSON text (bytes). With `collections.OrderedDict` as `mapping` the order of keys is
    kept."""
    return Reader(text, kind, clause).document(True, mapping)


def dumps(value):
    """Compact JSON in raw UTF-8, as bytes (ENV-W2, ENV-W3, ENV-W7); refuses what JSON cannot say and what is
    nested deeper than readers take. No recursion here either."""
    out = []
    open_ = []  # [iterator, closing bracket, whether an item has been written] of the containers around
    while True:
        if isinstance(value, (dict, list, tuple)):
            if len(open_) == MAX_DEPTH:
                raise BridgeError("invalid_input", "ENV-R2", "the value is nested too deeply")
            is_object = isinstance(value, dict)
            out.append("{" if is_object else "[")
            open_.append([iter(value.items() if is_object else value), "}" if is_object else "]", False])
        else:
            out.append(_scalar(value))
        while open_:
            items, closing, has_items = open_[-1]
            try:
                value = next(items)
            except StopIteration:
                out.append(closing)
                open_.pop()
                continue
            if has_items:
                out.append(",")
            open_[-1][2] = True
            if closing == "}":
                key, value = value
                if not isinstance(key, str):
                    raise BridgeError("invalid_input", "ENV-W3", "keys must be strings")
                out.append(quoted(key))
                out.append(":")
            break
        else:
            return "".join(out).encode()


def _scalar(value):
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if value != value or value in (float("inf"), -float("inf")):
            raise BridgeError("invalid_input", "ENV-W7", "JSON has no infinities and no NaN")
        return repr(value)
    raise BridgeError("invalid_input", "ENV-W3", "the value is nothing that JSON can say")


_SHORT = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}


def quoted(text):
    """A JSON string in raw UTF-8."""
    raw = text.encode()
    if max(raw or b" ") > 127:
        check_utf8(raw, 0, len(raw), Reader(raw, "invalid_input", "ENV-W3"))
    if raw and min(raw) >= 32 and b'"' not in raw and b"\\" not in raw:
        return '"' + text + '"'
    out = ['"']
    for char in text:
        code = ord(char)
        if code in _SHORT:
            out.append(_SHORT[code])
        elif code < 32:
            out.append("\\u%04x" % code)
        else:
            out.append(char)
    out.append('"')
    return "".join(out)
