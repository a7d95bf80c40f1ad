#!/usr/bin/env python3
"""The package under the conformance kit: JSON lines on standard input and output, see protocol/testee.md."""

from __future__ import annotations

import asyncio
import decimal
import hashlib
import json
import platform
import struct
import sys
import traceback
from typing import Any, Callable

import natsbridge
from natsbridge import (
    payloads,
    plan,
    plik,
    policy,
    replies,
    retries,
    strict_base64,
    subjects,
    tables,
    timestamps,
)
from natsbridge.envelope import FIELDS, Metadata
from natsbridge.strict_json import compact, parse, to_python

MOST_INLINE = 65_536  # bytes that are answered in hex; more are answered by their digest


# --- values of the protocol ----------------------------------------------------------------


def bytes_in(given: dict) -> bytes:
    if "hex" in given:
        return bytes.fromhex(given["hex"])
    if "text" in given:
        return given["text"].encode()
    return generated(given["gen"]["seed"], given["gen"]["len"])


def generated(seed: int, length: int) -> bytes:
    """xorshift64*, the top byte of each product."""
    mask = 2**64 - 1
    x, out = (seed * 2 + 1) & mask, bytearray(length)
    for index in range(length):
        x ^= x >> 12
        x ^= (x << 25) & mask
        x ^= x >> 27
        out[index] = ((x * 0x2545F4914F6CDD1D) & mask) >> 56
    return bytes(out)


def bytes_out(raw: bytes) -> dict:
    if len(raw) <= MOST_INLINE:
        return {"hex": raw.hex()}
    return {"sha256": hashlib.sha256(raw).hexdigest(), "len": len(raw)}


def string_in(given: str | dict) -> str:
    return given if isinstance(given, str) else bytes.fromhex(given["hex"]).decode()


def string_out(text: str) -> str | dict:
    return text if all(" " <= c <= "~" for c in text) else {"hex": text.encode().hex()}


def integer_out(number: int | None) -> int | str | None:
    return number if number is None or abs(number) < 2**53 else str(number)


def json_in(given: dict) -> Any:
    """A value the way the port's own JSON reads it: integers stay exact."""
    return to_python(parse(bytes_in(given), "invalid_input"))


def json_out(value: Any) -> dict:
    text = value.text if isinstance(value, Metadata) and value.unreadable else compact(value).encode()
    return {"hex": text.hex()}


def rejection(error: natsbridge.BridgeError) -> dict:
    told = {"kind": error.kind, "text": f"{error.clause}: {error}"}
    for name in ("offset", "needed", "limit"):
        if getattr(error, name) is not None:
            told[name] = integer_out(getattr(error, name))
    return told


def envelope_out(envelope: natsbridge.MessageEnvelope, opened: list | None = None) -> dict:
    """An envelope; with `opened`, its links as they were fetched."""
    entries = []
    for index, payload in enumerate(envelope.payloads):
        entry: dict[str, Any] = {
            name: string_out(getattr(payload, name))
            for name in ("id", "dataname", "type", "transport", "encoding")
        }
        entry["size"], entry["metadata"] = integer_out(payload.size), json_out(payload.metadata)
        error, raw = payload.error, payload.data
        if opened is not None:
            error, raw = opened[index].error, opened[index].raw
        if error:
            entry["reject"] = rejection(error)
        elif isinstance(raw, str):
            entry["url"] = string_out(raw)
        else:
            entry["bytes"] = bytes_out(raw)
        entries.append(entry)
    return {
        "dialect": envelope.dialect,
        "fields": {name: string_out(text) for name, text in envelope.fields.items()},
        "metadata": json_out(envelope.metadata),
        "payloads": entries,
    }


# --- tables ----------------------------------------------------------------------------------


def table_out(table) -> dict:
    columns = [
        {
            "name": string_out(table.schema.field(index).name),
            "type": type_name(column.type),
            "values": cells(column),
        }
        for index, column in enumerate(table.columns)
    ]
    return {"columns": columns, "rows": table.num_rows}


def type_name(kind) -> str:
    import pyarrow.types as is_

    if is_.is_dictionary(kind):
        return type_name(kind.value_type)
    if isinstance(kind, _extension()):
        return type_name(kind.storage_type)
    for name, test in {
        "float16": is_.is_float16,
        "float32": is_.is_float32,
        "float64": is_.is_float64,
        "bool": is_.is_boolean,
        "utf8": lambda t: is_.is_string(t) or is_.is_large_string(t) or is_.is_string_view(t),
        "binary": lambda t: (
            is_.is_binary(t)
            or is_.is_large_binary(t)
            or is_.is_binary_view(t)
            or is_.is_fixed_size_binary(t)
            and not is_.is_decimal(t)
        ),
        "date32": is_.is_date32,
        "date64": is_.is_date64,
        "time32": is_.is_time32,
        "time64": is_.is_time64,
        "timestamp": is_.is_timestamp,
        "duration": is_.is_duration,
        "decimal": is_.is_decimal,
        "map": is_.is_map,
        "list": lambda t: (
            is_.is_list(t)
            or is_.is_large_list(t)
            or is_.is_fixed_size_list(t)
            or is_.is_list_view(t)
            or is_.is_large_list_view(t)
        ),
        "struct": is_.is_struct,
        "null": is_.is_null,
        "interval": is_.is_interval,
        "union": is_.is_union,
    }.items():
        if test(kind):
            return name
    return str(kind)  # int8 … uint64


def _extension():
    import pyarrow as pa

    return pa.BaseExtensionType


def cells(array) -> list:
    """A column's values as the protocol writes them."""
    import pyarrow as pa
    import pyarrow.types as is_

    if isinstance(array, pa.ChunkedArray):
        return [cell for chunk in array.chunks for cell in cells(chunk)]
    kind = array.type
    if is_.is_dictionary(kind):
        values = cells(array.dictionary)
        return [None if index is None else values[index] for index in array.indices.to_pylist()]
    if isinstance(kind, pa.BaseExtensionType):
        return cells(array.storage)
    if is_.is_run_end_encoded(kind):
        return cells(pa.compute.run_end_decode(array))
    if is_.is_struct(kind):
        fields = [cells(array.field(index)) for index in range(kind.num_fields)]
        return [
            [field[row] for field in fields] if array[row].is_valid else None for row in range(len(array))
        ]
    if type_name(kind) in ("list", "map"):
        return [cells(item.values) if item.is_valid else None for item in array]
    if is_.is_union(kind):
        return [cells(pa.array([item.value.as_py()], item.value.type))[0] for item in array]
    if is_.is_temporal(kind) and kind.bit_width in (32, 64):
        array = array.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    elif is_.is_float16(kind):
        array = array.cast(pa.float32())
    return [cell(kind, value) for value in array.to_pylist()]


def cell(kind, value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return string_out(value)
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, float):
        return {"f": "nan" if value != value else struct.pack(">d", value).hex()}
    if isinstance(value, decimal.Decimal):
        with decimal.localcontext(prec=100):
            return str(int(value.scaleb(kind.scale)))
    if isinstance(value, tuple):  # months, days, nanoseconds
        return [str(part) for part in value]
    return str(value)


# --- operations --------------------------------------------------------------------------------


def envelope_decode(given: dict, limits: dict) -> dict:
    names = {"message_len": "max_message_len", "payload_count": "max_payloads"}
    options = {names[name]: int(value) for name, value in limits.items()}
    return envelope_out(natsbridge.decode(bytes_in(given["body"]), **options))


def envelope_encode(given: dict) -> dict:
    fields = {name: string_in(text) for name, text in given["fields"].items()}
    envelope = natsbridge.MessageEnvelope(**fields, dialect=given["dialect"])
    if "metadata" in given:
        envelope.metadata = json_in(given["metadata"])
    for entry in given["payloads"]:
        texts = {name: string_in(entry.get(name, "")) for name in ("id", "dataname", "type")}
        payload = natsbridge.MessagePayload(**texts, transport="link" if "url" in entry else "direct")
        payload.data = string_in(entry["url"]) if "url" in entry else bytes_in(entry["data"])
        payload.size = int(entry["size"]) if "url" in entry else len(payload.data)
        payload.metadata = json_in(entry["metadata"]) if "metadata" in entry else {}
        envelope.payloads.append(payload)
    return {"body": bytes_out(natsbridge.encode(envelope))}


def base64_op(coder: Callable) -> Callable[[bytes], bytes]:
    """In one piece, or through the streaming interface; `pieces` is told in either case that has a split."""

    def run(given: dict, split: list[int] | None) -> bytes:
        data = bytes_in(given["data"])
        machine = coder()
        cuts = [0, *(split or ()), len(data)]
        out = b"".join(machine.update(data[start:end]) for start, end in zip(cuts, cuts[1:]))
        return out + machine.finish()

    return run


def payload_read(given: dict) -> dict:
    kind, raw = string_in(given["type"]), bytes_in(given["data"])
    value = payloads.read(kind, raw)
    if kind == "text":
        return {"text": string_out(value)}
    if kind == "dictionary":
        return {"json": json_out(value)}
    if kind == "jsontable" or kind in payloads.TABLES and payloads.is_json_rows(raw):
        return {"rows": json_out(value)}
    if kind in payloads.TABLES:
        return {"table": table_out(value)}
    return {"bytes": bytes_out(value)}


def payload_write(given: dict) -> dict:
    kind = string_in(given["type"])
    for name, take in (("text", string_in), ("json", json_in), ("rows", json_in), ("bytes", bytes_in)):
        if name in given:
            return {"data": bytes_out(payloads.write(kind, take(given[name])))}
    raise KeyError("a value")


def plan_op(given: dict) -> dict:
    def number(value):
        return None if value is None else int(value)

    items = [
        plan.Item(int(item["size"]), int(item["direct_len"]), number(item["link_len"]))
        for item in given["payloads"]
    ]
    transports = plan.plan(
        items,
        threshold=int(given["threshold"]),
        max_payload=number(given["max_payload"]),
        base_len=int(given["base_len"]),
        has_store=given["store"],
    )
    return {"transports": transports}


def link_policy(given: dict) -> dict:
    allowed = policy.Policy(
        [string_in(origin) for origin in given["origins"]],
        [string_in(domain) for domain in given.get("domains", ())],
        given.get("any_host", False),
        given.get("allow_private", False),
    )
    link = policy.parse_link(string_in(given["url"]))
    if not allowed.check(link):
        allowed.check_addresses(link, [string_in(address) for address in given.get("resolved", ())])
    return {"request": string_out(link.url)}


def retry_delay(given: dict) -> dict:
    after = given.get("retry_after_ms")
    wait = retries.delay(
        int(given["retry"]),
        base_delay=int(given["base_ms"]),
        max_delay=int(given["max_ms"]),
        seed=int(given["seed"]),
        retry_after=None if after is None else int(after),
    )
    return {"ms": wait}


def retry_class(given: dict) -> dict:
    if "status" in given:
        return {"retry": retries.is_retried(given["status"])}
    return {"retry": given["failure"] in ("connect", "timeout", "cut_short")}


def plik_reply(given: dict) -> dict:
    created = plik.read_created(bytes_in(given["upload"]), string_in(given["server"]))
    added = plik.read_added(bytes_in(given["file"]))
    told = {
        "upload_id": created.upload_id,
        "file_id": added.file_id,
        "token": created.token,
        "url": plik.link_of(created, added),
    }
    return {name: string_out(text) for name, text in told.items()}


def subject_check(given: dict) -> dict:
    check = subjects.check_publish if given["use"] == "publish" else subjects.check_subscribe
    check(string_in(given["subject"]))
    return {}


def reply_plan(given: dict) -> dict:
    request = natsbridge.decode(bytes_in(given["request"]))
    nats_reply = given["nats_reply"]
    subject = replies.reply_subject(request, None if nats_reply is None else string_in(nats_reply))
    if subject is None:
        return {"subject": None}
    fields = {name: string_out(text) for name, text in replies.reply_fields(request).items()}
    return {"subject": string_out(subject), "dialect": request.dialect, "fields": fields}


def link_download(given: dict) -> dict:
    names = {"max_retries": "max_retries", "base_ms": "base_delay", "max_ms": "max_delay"}
    options = {names[name]: int(given[name]) for name in names if name in given}
    fetch = natsbridge.Download(natsbridge.Policy(map(string_in, given["origins"])), **options)
    payload = natsbridge.MessagePayload(transport="link", data=string_in(given["url"]))
    payload.size = None if given.get("size") is None else int(given["size"])
    if given.get("sha256") is not None:
        payload.metadata = {"sha256": string_in(given["sha256"])}
    return {"bytes": bytes_out(fetch(payload))}


def link_upload(given: dict) -> dict:
    lifetime = given["lifetime"]
    options = {"one_shot": True} if "one_shot" in lifetime else {"ttl": int(lifetime["ttl"])}
    upload = natsbridge.Plik(string_in(given["server"]), **options).upload(
        string_in(given["name"]), bytes_in(given["data"])
    )
    told = {"url": upload.url, "upload_id": upload.uploadid, "file_id": upload.fileid}
    return {name: string_out(text) for name, text in told.items()}


# --- operations over NATS ------------------------------------------------------------------------


def send_options(given: dict) -> dict:
    options = {"dialect": given["dialect"]} if "dialect" in given else {}
    for name, value in given.get("options", {}).items():
        if name == "threshold":
            options["size_threshold"] = int(value)
        else:
            options[name] = json_in(value) if name == "metadata" else string_in(value)
    server = given.get("server")
    options["fileserver_url"] = None if server is None else string_in(server)
    return options


def send_items(given: dict) -> list[tuple]:
    def value(entry):
        for name, take in (("data", bytes_in), ("json", json_in), ("text", string_in)):
            if name in entry:
                return take(entry[name])

    return [
        (string_in(entry["dataname"]), value(entry), string_in(entry["type"])) for entry in given["payloads"]
    ]


async def bridge_send(given: dict) -> dict:
    sent = await natsbridge.smartsend(
        string_in(given["subject"]), send_items(given), string_in(given["nats_url"]), **send_options(given)
    )
    return {"msg_id": string_out(sent.msg_id)}


async def bridge_request(given: dict) -> dict:
    client = await natsbridge.connect(string_in(given["nats_url"]))
    try:
        answer = await natsbridge.request(
            client,
            string_in(given["subject"]),
            send_items(given),
            timeout=given["timeout_ms"] / 1000,
            **send_options(given),
        )
        origins = [string_in(origin) for origin in given.get("origins", ())]
        received = await natsbridge.smartreceive(answer, allow_origins=origins)
        return {"reply": envelope_out(received.envelope, received.payloads)}
    finally:
        await client.close()


async def incoming(client, given: dict, ready: Callable[[], None]):
    """Subscribes, says so after a round trip to the server, and yields `count` messages."""
    subject = string_in(given["subject"])
    subjects.check_subscribe(subject)
    queue: asyncio.Queue = asyncio.Queue()
    await client.subscribe(subject, cb=queue.put)
    await natsbridge.flush(client)
    ready()
    deadline = asyncio.get_running_loop().time() + given["timeout_ms"] / 1000
    origins = [string_in(origin) for origin in given["origins"]]
    for _ in range(given["count"]):
        left = max(0.0, deadline - asyncio.get_running_loop().time())
        try:
            message = await asyncio.wait_for(queue.get(), left)
        except TimeoutError:
            raise natsbridge.BridgeError("timeout", "FACADE-2", "no message in time") from None
        yield await natsbridge.smartreceive(message, allow_origins=origins)


async def bridge_receive(given: dict, ready: Callable[[], None]) -> dict:
    client = await natsbridge.connect(string_in(given["nats_url"]))
    try:
        messages = [envelope_out(m.envelope, m.payloads) async for m in incoming(client, given, ready)]
        return {"messages": messages}
    finally:
        await client.close()


async def bridge_respond(given: dict, ready: Callable[[], None]) -> dict:
    client = await natsbridge.connect(string_in(given["nats_url"]))
    answered = 0
    try:
        async for received in incoming(client, given, ready):
            echoes = [(p.dataname, "echo:" + p.dataname, "text") for p in received.payloads]
            server = given.get("server")
            url = None if server is None else string_in(server)
            await natsbridge.reply(client, received, echoes, fileserver_url=url)
            answered += 1
        await natsbridge.flush(client)
        return {"answered": answered}
    finally:
        await client.close()


PLAIN = {
    "envelope.encode": envelope_encode,
    "payload.read": payload_read,
    "payload.write": payload_write,
    "timestamp.parse": lambda given: {"unix_ns": integer_out(timestamps.parse(string_in(given["text"])))},
    "timestamp.write": lambda given: {"text": timestamps.write(int(given["unix_ms"]))},
    "plan": plan_op,
    "link.policy": link_policy,
    "link.policy.wide": link_policy,
    "retry.delay": retry_delay,
    "retry.class": retry_class,
    "plik.reply": plik_reply,
    "subject.check": subject_check,
    "reply.plan": reply_plan,
    "link.download": link_download,
    "link.upload": link_upload,
}
STREAMING = {
    "base64.encode": base64_op(strict_base64.Encoder),
    "base64.decode": base64_op(strict_base64.Decoder),
}
OVER_NATS = {"bridge.send": bridge_send, "bridge.request": bridge_request}
LISTENING = {"bridge.receive": bridge_receive, "bridge.respond": bridge_respond}
SUPPORTS = ["envelope.decode", *PLAIN, *STREAMING, *OVER_NATS, *LISTENING]


# --- the loop --------------------------------------------------------------------------------


def run(request: dict) -> dict:
    seq, op, given = request["seq"], request["op"], request["in"]
    split = request.get("split")
    pieces = {} if split is None else {"pieces": len(split) + 1}
    try:
        if op == "envelope.decode":
            ok = envelope_decode(given, request.get("limits", {}))
        elif op in STREAMING:
            ok = {"data": bytes_out(STREAMING[op](given, split))}
        elif op in OVER_NATS:
            ok = asyncio.run(OVER_NATS[op](given))
        elif op in LISTENING:
            ok = asyncio.run(LISTENING[op](given, lambda: say({"seq": seq, "ready": True})))
        elif op in PLAIN:
            ok = PLAIN[op](given)
        else:
            return {"seq": seq, "skip": f"no {op}"}
        return {"seq": seq, "ok": ok, **pieces}
    except natsbridge.BridgeError as error:
        return {"seq": seq, "reject": rejection(error), **pieces}
    except Exception:
        return {"seq": seq, "error": traceback.format_exc(limit=-4)}


def say(line: dict) -> None:
    sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if request["cmd"] == "start":
            language = f"Python {platform.python_version()}"
            testee = {"name": "python", "language": language, "version": natsbridge.__version__}
            say({"version": 1, "testee": testee, "profile": "full", "supports": SUPPORTS})
        elif request["cmd"] == "run":
            say(run(request))
        else:
            return


if __name__ == "__main__":
    main()
