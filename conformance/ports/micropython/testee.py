# The package under the conformance kit: JSON lines on standard input and output, see protocol/testee.md.
#
#     micropython -X heapsize=64M testee.py

import io
import json
import sys
import time
from binascii import hexlify, unhexlify
from collections import OrderedDict
from hashlib import sha256

# Beside this file, whatever the working directory is.
sys.path.insert(0, __file__.rpartition("/")[0] or ".")

import nats_bridge
from nats_bridge import (
    bridge,
    envelope,
    payloads,
    plan,
    plik,
    policy,
    replies,
    retries,
    strict_base64,
    strict_json,
    subjects,
    timestamps,
)

MOST_INLINE = 65536  # bytes that are answered in hex; more are answered by their digest


# --- values of the protocol ------------------------------------------------------------------------


def bytes_in(given):
    if "hex" in given:
        return unhexlify(given["hex"])
    if "text" in given:
        return given["text"].encode()
    return generated(int(given["gen"]["seed"]), given["gen"]["len"])


def generated(seed, length):
    """xorshift64*, the top byte of each product."""
    mask = (1 << 64) - 1
    x, out = (seed * 2 + 1) & mask, bytearray(length)
    for index in range(length):
        x ^= x >> 12
        x ^= (x << 25) & mask
        x ^= x >> 27
        out[index] = ((x * 0x2545F4914F6CDD1D) & mask) >> 56
    return bytes(out)


def bytes_out(raw):
    if len(raw) <= MOST_INLINE:
        return {"hex": hexlify(raw).decode()}
    return {"sha256": hexlify(sha256(raw).digest()).decode(), "len": len(raw)}


def string_in(given):
    """What is no UTF-8 cannot be a string: no case gives such."""
    return given if isinstance(given, str) else unhexlify(given["hex"]).decode()


def string_out(text):
    return text if all(" " <= c <= "~" for c in text) else {"hex": hexlify(text.encode()).decode()}


def integer_out(number):
    return number if number is None or -(1 << 53) < number < 1 << 53 else str(number)


def json_in(given):
    """A value the way the port's own JSON reads it: integers stay exact, keys in order."""
    return strict_json.loads(bytes_in(given), "invalid_input", mapping=OrderedDict)


def json_out(value):
    return {"hex": hexlify(strict_json.dumps(value)).decode()}


def rejection(error):
    told = {"kind": error.kind, "text": "%s: %s" % (error.clause, error.message)}
    for name in ("offset", "needed", "limit"):
        if getattr(error, name) is not None:
            told[name] = integer_out(getattr(error, name))
    return told


def envelope_out(message, opened=None):
    """An envelope; with `opened`, its links as they were fetched."""
    entries = []
    for index, payload in enumerate(message.payloads):
        entry = {
            name: string_out(getattr(payload, name))
            for name in ("id", "dataname", "type", "transport", "encoding")
        }
        entry["size"] = integer_out(payload.size)
        entry["metadata"] = {"hex": hexlify(payload.metadata_text).decode()}
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
        "dialect": message.dialect,
        "fields": {name: string_out(text) for name, text in message.fields.items()},
        "metadata": {"hex": hexlify(message.metadata_text).decode()},
        "payloads": entries,
    }


# --- operations ------------------------------------------------------------------------------------


def envelope_decode(given, limits):
    names = {"message_len": "max_message_len", "payload_count": "max_payloads"}
    options = {names[name]: int(value) for name, value in limits.items()}
    return envelope_out(nats_bridge.decode(bytes_in(given["body"]), **options))


def envelope_encode(given):
    fields = {name: string_in(text) for name, text in given["fields"].items()}
    metadata = json_in(given["metadata"]) if "metadata" in given else {}
    message = nats_bridge.MessageEnvelope(given["dialect"], metadata, **fields)
    for entry in given["payloads"]:
        payload = nats_bridge.MessagePayload(
            *[string_in(entry.get(name, "")) for name in ("id", "dataname", "type")]
        )
        payload.transport = "link" if "url" in entry else "direct"
        payload.data = string_in(entry["url"]) if "url" in entry else bytes_in(entry["data"])
        payload.size = int(entry["size"]) if "url" in entry else len(payload.data)
        payload.metadata = json_in(entry["metadata"]) if "metadata" in entry else {}
        message.payloads.append(payload)
    return {"body": bytes_out(nats_bridge.encode(message))}


def base64_encode(given):
    return {"data": bytes_out(strict_base64.encode(bytes_in(given["data"])))}


def base64_decode(given):
    return {"data": bytes_out(strict_base64.decode(bytes_in(given["data"])))}


def payload_read(given):
    kind, raw = string_in(given["type"]), bytes_in(given["data"])
    if kind in envelope.TABLES and not payloads.is_json_rows(raw):
        return None  # no Arrow here: the bytes are handed over, which is no reading
    value = payloads.read(kind, raw)
    if kind == "text":
        return {"text": string_out(value)}
    if kind == "dictionary":
        return {"json": json_out(value)}
    if kind == "jsontable" or kind in envelope.TABLES:
        return {"rows": json_out(value)}
    return {"bytes": bytes_out(value)}


def payload_write(given):
    kind = string_in(given["type"])
    if kind in envelope.TABLES and "bytes" not in given:
        return None
    for name, take in (("text", string_in), ("json", json_in), ("rows", json_in), ("bytes", bytes_in)):
        if name in given:
            return {"data": bytes_out(payloads.write(kind, take(given[name])))}


def number_in(given):
    return None if given is None else int(given)


def plan_op(given):
    items = [
        (int(item["size"]), int(item["direct_len"]), number_in(item["link_len"]))
        for item in given["payloads"]
    ]
    max_payload = number_in(given["max_payload"])
    transports = plan.plan(
        items, int(given["threshold"]), max_payload, int(given["base_len"]), given["store"]
    )
    return {"transports": transports}


def link_policy(given):
    link = policy.parse_link(string_in(given["url"]))
    policy.Policy([string_in(origin) for origin in given["origins"]]).check(link)
    return {"request": string_out(link.url)}


def retry_delay(given):
    numbers = [int(given[name]) for name in ("retry", "base_ms", "max_ms", "seed")]
    return {"ms": retries.delay(*numbers, number_in(given.get("retry_after_ms")))}


def retry_class(given):
    if "status" in given:
        return {"retry": retries.is_retried(given["status"])}
    return {"retry": given["failure"] in ("connect", "timeout", "cut_short")}


def plik_reply(given):
    created = plik.read_created(bytes_in(given["upload"]), string_in(given["server"]))
    added = plik.read_added(bytes_in(given["file"]))
    return {
        "upload_id": string_out(created.upload_id),
        "file_id": string_out(added.file_id),
        "token": string_out(created.token),
        "url": string_out(plik.link_of(created, added)),
    }


def subject_check(given):
    check = subjects.check_publish if given["use"] == "publish" else subjects.check_subscribe
    check(string_in(given["subject"]))
    return {}


def reply_plan(given):
    request = nats_bridge.decode(bytes_in(given["request"]))
    nats_reply = given["nats_reply"]
    subject = replies.reply_subject(request, None if nats_reply is None else string_in(nats_reply))
    if subject is None:
        return {"subject": None}
    fields = {name: string_out(text) for name, text in replies.reply_fields(request).items()}
    return {"subject": string_out(subject), "dialect": request.dialect, "fields": fields}


def link_download(given):
    names = {"max_retries": "max_retries", "base_ms": "base_delay", "max_ms": "max_delay"}
    options = {names[name]: int(given[name]) for name in names if name in given}
    fetch = nats_bridge.Download(nats_bridge.Policy([string_in(o) for o in given["origins"]]), **options)
    digest = given.get("sha256")
    metadata = {} if digest is None else {"sha256": string_in(digest)}
    payload = nats_bridge.MessagePayload(
        transport="link", data=string_in(given["url"]), size=number_in(given.get("size")), metadata=metadata
    )
    return {"bytes": bytes_out(fetch(payload))}


def link_upload(given):
    lifetime = given["lifetime"]
    options = {"one_shot": True} if "one_shot" in lifetime else {"ttl": int(lifetime["ttl"])}
    data = io.BytesIO(bytes_in(given["data"]))  # as an open file would come
    upload = nats_bridge.Plik(string_in(given["server"]), **options).upload(string_in(given["name"]), data)
    return {
        "url": string_out(upload.url),
        "upload_id": string_out(upload.uploadid),
        "file_id": string_out(upload.fileid),
    }


# --- operations over NATS --------------------------------------------------------------------------


def send_options(given):
    options = {"dialect": given["dialect"]} if "dialect" in given else {}
    for name, value in given.get("options", {}).items():
        if name == "threshold":
            options["size_threshold"] = int(value)
        else:
            options[name] = json_in(value) if name == "metadata" else string_in(value)
    server = given.get("server")
    options["fileserver_url"] = None if server is None else string_in(server)
    return options


def send_items(given):
    items = []
    for entry in given["payloads"]:
        for name, take in (("data", bytes_in), ("json", json_in), ("text", string_in)):
            if name in entry:
                items.append((string_in(entry["dataname"]), take(entry[name]), string_in(entry["type"])))
    return items


def bridge_send(given, ready):
    url = string_in(given["nats_url"])
    sent = nats_bridge.smartsend(string_in(given["subject"]), send_items(given), url, **send_options(given))
    return {"msg_id": string_out(sent.msg_id)}


def with_client(given, work):
    client = nats_bridge.Client(string_in(given["nats_url"]))
    try:
        return work(client)
    finally:
        client.close()


def bridge_request(given, ready):
    def work(client):
        subject = string_in(given["subject"])
        answer = nats_bridge.request(
            client, subject, send_items(given), given["timeout_ms"], **send_options(given)
        )
        origins = [string_in(origin) for origin in given.get("origins", ())]
        received = nats_bridge.smartreceive(answer, allow_origins=origins)
        return {"reply": envelope_out(received.envelope, received.payloads)}

    return with_client(given, work)


def incoming(client, given, ready):
    """Subscribes, says so after a round trip to the server, and yields `count` messages."""
    client.subscribe(string_in(given["subject"]))
    client.flush()
    ready()
    deadline = time.ticks_add(time.ticks_ms(), given["timeout_ms"])
    origins = [string_in(origin) for origin in given["origins"]]
    for _ in range(given["count"]):
        message = client.next_message(max(0, time.ticks_diff(deadline, time.ticks_ms())))
        if message is None:
            raise nats_bridge.BridgeError("timeout", "FACADE-2", "no message in time")
        yield nats_bridge.smartreceive(message, allow_origins=origins)


def bridge_receive(given, ready):
    def work(client):
        return {"messages": [envelope_out(m.envelope, m.payloads) for m in incoming(client, given, ready)]}

    return with_client(given, work)


def bridge_respond(given, ready):
    def work(client):
        answered, server = 0, given.get("server")
        for received in incoming(client, given, ready):
            echoes = [(p.dataname, "echo:" + p.dataname, "text") for p in received.payloads]
            url = None if server is None else string_in(server)
            nats_bridge.reply(client, received, echoes, fileserver_url=url)
            answered += 1
        client.flush()
        return {"answered": answered}

    return with_client(given, work)


PLAIN = {
    "envelope.encode": envelope_encode,
    "base64.encode": base64_encode,
    "base64.decode": base64_decode,
    "payload.read": payload_read,
    "payload.write": payload_write,
    "timestamp.parse": lambda given: {"unix_ns": integer_out(timestamps.parse(string_in(given["text"])))},
    "timestamp.write": lambda given: {"text": timestamps.write(int(given["unix_ms"]))},
    "plan": plan_op,
    "link.policy": link_policy,
    "retry.delay": retry_delay,
    "retry.class": retry_class,
    "plik.reply": plik_reply,
    "subject.check": subject_check,
    "reply.plan": reply_plan,
    "link.download": link_download,
    "link.upload": link_upload,
}
OVER_NATS = {
    "bridge.send": bridge_send,
    "bridge.request": bridge_request,
    "bridge.receive": bridge_receive,
    "bridge.respond": bridge_respond,
}


# --- the loop --------------------------------------------------------------------------------------


def run(request):
    seq, op, given = request["seq"], request["op"], request["in"]
    if "split" in request:
        return {"seq": seq, "skip": "no streaming"}
    try:
        if op == "envelope.decode":
            ok = envelope_decode(given, request.get("limits", {}))
        elif op in OVER_NATS:
            ok = OVER_NATS[op](given, lambda: say({"seq": seq, "ready": True}))
        elif op in PLAIN:
            ok = PLAIN[op](given)
        else:
            return {"seq": seq, "skip": "no " + op}
        return {"seq": seq, "skip": "no Arrow on MicroPython"} if ok is None else {"seq": seq, "ok": ok}
    except nats_bridge.BridgeError as error:
        return {"seq": seq, "reject": rejection(error)}
    except Exception as error:
        trace = io.StringIO()
        sys.print_exception(error, trace)
        return {"seq": seq, "error": trace.getvalue()}


def say(line):
    sys.stdout.write(strict_json.dumps(line).decode() + "\n")


def main():
    while True:
        line = sys.stdin.readline()
        if not line:
            return
        request = json.loads(line)
        if request["cmd"] == "start":
            version = ".".join(str(n) for n in sys.implementation[1][:3])
            testee = {
                "name": "micropython",
                "language": "MicroPython " + version,
                "version": nats_bridge.__version__,
            }
            supports = ["envelope.decode"] + sorted(PLAIN) + sorted(OVER_NATS)
            say({"version": 1, "testee": testee, "profile": "micro", "supports": supports})
        elif request["cmd"] == "run":
            say(run(request))
        else:
            return


main()
