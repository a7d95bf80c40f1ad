"""Raw bytes to values and back, by the type and never by `encoding` (section 5). Arrow is not read here."""

from refusal import Refusal, Skip
from strict_json import SPACE, parse, to_value


def read(type_name, raw):
    """What the bytes are, as ("text", str), ("json", value), ("rows", list) or ("bytes", bytes)."""
    if type_name == "":
        raise Refusal("invalid_payload")  # ENV-R8
    if type_name == "text":
        try:
            return "text", raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Refusal("invalid_text", error.start) from None
    if type_name == "dictionary":
        return "json", to_value(parse(raw, "invalid_json"))
    if type_name == "jsontable":
        return "rows", _rows(raw)
    if type_name in ("table", "arrowtable"):
        if raw.lstrip(SPACE)[:1] == b"[":
            return "rows", _rows(raw)  # TYPE-7
        raise Skip("no Arrow in the standard library")
    return "bytes", raw


def _rows(raw):
    root = parse(raw, "invalid_json")
    if root.kind != "array":
        raise Refusal("invalid_json", root.start)
    for row in root.content:
        if row.kind != "object":
            raise Refusal("invalid_json", row.start)
    return to_value(root)


def write(type_name, form, value):
    """The bytes of a value. `form` is text, json, rows or bytes; JSON comes as text and is checked."""
    if type_name == "":
        raise Refusal("invalid_input")
    allowed = {"text": ("text",), "dictionary": ("json",), "jsontable": ("rows", "json")}.get(type_name, ("bytes",))
    if form not in allowed:
        if type_name in ("table", "arrowtable"):
            raise Skip("no Arrow in the standard library")
        raise Refusal("wrong_type")
    if form == "text":
        return value.encode()
    if form == "bytes":
        return value
    try:
        read(type_name, value)
    except Refusal:
        raise Refusal("invalid_input") from None
    return value
