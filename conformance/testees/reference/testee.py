#!/usr/bin/env python3
"""The reference testee: an independent reading of SPEC.md in Python's standard library, for confirming
expected values. It is written to be checked against the clauses, not to be fast or to be used.

    natsbridge-conformance run --testee "python3 conformance/testees/reference/testee.py"

One request and one reply a line; conformance/protocol/testee.md has the rules."""

import hashlib
import json
import sys

import base64_text
import envelope
import links
import payloads
import planner
import subjects
import times
from refusal import Refusal, Skip


def main():
    sys.stdin.reconfigure(encoding="utf-8")
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    for line in sys.stdin:
        request = json.loads(line)
        if request["cmd"] == "stop":
            break
        reply = STARTED if request["cmd"] == "start" else run(request)
        print(json.dumps(reply, ensure_ascii=False, separators=(",", ":")), flush=True)


def run(request):
    reply = {"seq": request["seq"]}
    try:
        if "split" in request:
            raise Skip("no streaming interface")
        reply["ok"] = OPERATIONS[request["op"]](request["in"], request.get("limits", {}))
    except Refusal as refusal:
        reply["reject"] = refusal.as_json()
    except Skip as why:
        reply["skip"] = str(why)
    except Exception as error:  # noqa: BLE001: whatever broke is this testee's own bug, and must be told as one
        reply["error"] = f"{type(error).__name__}: {error}"
    return reply


def bytes_in(value):
    """B of a request."""
    if "hex" in value:
        return bytes.fromhex(value["hex"])
    if "text" in value:
        return value["text"].encode("ascii")
    return generated(**value["gen"])


def generated(seed, len):
    """The protocol's generator, xorshift64*."""
    mask = 2**64 - 1
    x, out = seed * 2 + 1, bytearray()
    for _ in range(len):
        x ^= x >> 12
        x = (x ^ x << 25) & mask
        x ^= x >> 27
        out.append((x * 0x2545F4914F6CDD1D & mask) >> 56)
    return bytes(out)


def bytes_out(data):
    if len(data) <= 65_536:
        return {"hex": data.hex()}
    return {"sha256": hashlib.sha256(data).hexdigest(), "len": len(data)}


def string_in(value):
    """S of a request."""
    return bytes.fromhex(value["hex"]).decode() if isinstance(value, dict) else value


def string_out(text):
    return text if all(" " <= c <= "~" for c in text) else {"hex": text.encode().hex()}


def json_in(value):
    """V of a request, as JSON text."""
    return None if value is None else bytes_in(value)


def json_out(value):
    return {"hex": json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode().hex()}


def number_out(number):
    return number if number is None or abs(number) < 2**53 else str(number)


def decode_envelope(given, limits):
    body = bytes_in(given["body"])
    message = envelope.Message(body, **{name: int(limit) for name, limit in limits.items()})

    def metadata_out(node):
        # The text itself, so that nothing is lost; equal keys and huge numbers are the reader's affair.
        return {"hex": (body[node.start : node.end] if node else b"{}").hex()}

    def payload_out(payload):
        if isinstance(payload, Refusal):
            return {"reject": payload.as_json()}
        answer = {name: string_out(payload[name]) for name in ("id", "dataname", "type", "transport", "encoding")}
        answer |= {"size": number_out(payload["size"]), "metadata": metadata_out(payload["metadata"])}
        if "url" in payload:
            return answer | {"url": string_out(payload["url"])}
        return answer | {"bytes": bytes_out(payload["bytes"])}

    return {
        "dialect": message.dialect,
        "fields": {name: string_out(text) for name, text in message.fields.items()},
        "metadata": metadata_out(message.metadata),
        "payloads": [payload_out(payload) for payload in message.payloads],
    }


def encode_envelope(given, _limits):
    def payload_in(payload):
        taken = {name: string_in(payload[name]) for name in ("id", "dataname", "type", "url") if name in payload}
        if "data" in payload:
            taken["data"] = bytes_in(payload["data"])
        if "size" in payload:
            taken["size"] = int(payload["size"])
        return taken | {"metadata": json_in(payload.get("metadata"))}

    fields = {name: string_in(text) for name, text in given["fields"].items()}
    entries = [payload_in(payload) for payload in given["payloads"]]
    body = envelope.encode(given["dialect"], fields, json_in(given.get("metadata")), entries)
    return {"body": bytes_out(body)}


def read_payload(given, _limits):
    form, value = payloads.read(string_in(given["type"]), bytes_in(given["data"]))
    out = {"text": string_out, "json": json_out, "rows": json_out, "bytes": bytes_out}
    return {form: out[form](value)}


def write_payload(given, _limits):
    form = next(name for name in given if name != "type")
    value = string_in(given[form]) if form == "text" else bytes_in(given[form])
    return {"data": bytes_out(payloads.write(string_in(given["type"]), form, value))}


def plan(given, _limits):
    def number(value):
        return None if value is None else int(value)

    entries = [{name: number(value) for name, value in payload.items()} for payload in given["payloads"]]
    limits = {name: number(given[name]) for name in ("threshold", "max_payload", "base_len")}
    return {"transports": planner.plan(entries, store=given["store"], **limits)}


def policy(given, _limits):
    request = links.check(string_in(given["url"]), map(string_in, given["origins"]))
    return {"request": string_out(request)}


def wide_policy(given, _limits):
    taken = {name: given[name] for name in ("any_host", "allow_private") if name in given}
    for name in ("origins", "domains", "resolved"):
        taken[name] = [string_in(text) for text in given.get(name, [])]
    return {"request": string_out(links.check_wide(string_in(given["url"]), **taken))}


def retry_delay(given, _limits):
    numbers = {name: None if value is None else int(value) for name, value in given.items()}
    return {"ms": links.retry_delay(**numbers)}


def plik_reply(given, _limits):
    link = links.plik_link(string_in(given["server"]), bytes_in(given["upload"]), bytes_in(given["file"]))
    return {name: string_out(text) for name, text in link.items()}


def check_subject(given, _limits):
    subjects.check(string_in(given["subject"]), given["use"])
    return {}


def plan_reply(given, _limits):
    nats_reply = given["nats_reply"]
    reply = subjects.reply(bytes_in(given["request"]), None if nats_reply is None else string_in(nats_reply))
    if reply["subject"] is not None:
        reply["subject"] = string_out(reply["subject"])
        reply["fields"] = {name: string_out(text) for name, text in reply["fields"].items()}
    return reply


OPERATIONS = {
    "envelope.decode": decode_envelope,
    "envelope.encode": encode_envelope,
    "base64.encode": lambda given, _: {"data": bytes_out(base64_text.encode(bytes_in(given["data"])))},
    "base64.decode": lambda given, _: {"data": bytes_out(base64_text.decode(bytes_in(given["data"])))},
    "payload.read": read_payload,
    "payload.write": write_payload,
    "timestamp.parse": lambda given, _: {"unix_ns": number_out(times.parse(string_in(given["text"])))},
    "timestamp.write": lambda given, _: {"text": times.write(int(given["unix_ms"]))},
    "plan": plan,
    "link.policy": policy,
    "link.policy.wide": wide_policy,
    "retry.delay": retry_delay,
    "retry.class": lambda given, _: {"retry": links.is_retried(**given)},
    "plik.reply": plik_reply,
    "subject.check": check_subject,
    "reply.plan": plan_reply,
}

STARTED = {
    "version": 1,
    "testee": {"name": "reference", "language": f"Python {sys.version.split()[0]}", "version": "1"},
    # No Arrow, which is what this profile says; check.py runs all other cases of `full` too.
    "profile": "micro",
    "supports": sorted(OPERATIONS),
}

if __name__ == "__main__":
    main()
