#!/usr/bin/env python3
"""A NATSBridge peer on the command line, for the live tests: see README.md. Standard output is JSON lines,
standard error is for people."""

import argparse
import asyncio
import hashlib
import json
import math
import os
import sys

import natsbridge
from natsbridge import BridgeError, downloads, payloads
from natsbridge.envelope import FIELDS, encode, written_type
from natsbridge.plik import KEPT_SECONDS
from natsbridge.policy import Policy
from natsbridge.strict_json import compact


class LoopbackPolicy(Policy):
    """Where no origin is named, every port of this machine's loopback, which is where tests run; that
    allowance is the peer's own, not the format's."""

    def check(self, link):
        return link.origin[1] == "localhost" or super().check(link)


class Reporter:
    """Turns received messages into JSON lines and saves the raw bytes under running numbers."""

    def __init__(self, args):
        self.out, self.next_index, self.failed = args.out, 0, False
        policy = Policy(args.fileserver) if args.fileserver else LoopbackPolicy()
        self.download = downloads.Download(policy, args.max_retries, seed=args.seed)
        if self.out:
            os.makedirs(self.out, exist_ok=True)

    async def message(self, message, subject=None, reply=None):
        """Prints the line; returns what smartreceive returned, or None."""
        try:
            received = await natsbridge.smartreceive(message, download=self.download)
        except BridgeError as error:
            self.failed = True
            emit({"subject": subject, "error": refusal(error)})
            return None
        envelope = received.envelope
        line = {"subject": subject, "natsReply": reply or "", "dialect": envelope.dialect}
        line |= camel_fields(envelope) | {"metadata": envelope.metadata}
        line["payloads"] = [self._payload(payload) for payload in received.payloads]
        emit(line)
        return received

    def _payload(self, payload):
        wire, raw = payload.wire, payload.raw
        line = {
            "id": wire.id,
            "dataname": wire.dataname,
            "type": wire.type,
            "transport": wire.transport,
            "encoding": wire.encoding,
            "declaredSize": wire.size,
            "metadata": wire.metadata,
            "size": None if raw is None else len(raw),
            "sha256": None if raw is None else hashlib.sha256(raw).hexdigest(),
            "path": None if raw is None else self._save(raw),
            "notes": payload.notes,
        }
        if wire.transport == "link":
            line["url"] = wire.data
        if payload.error:
            self.failed = True
            return line | {"error": refusal(payload.error)}
        return line | printable(payload)

    def _save(self, raw):
        if not self.out:
            return None
        path = os.path.join(self.out, str(self.next_index))
        self.next_index += 1
        with open(path, "wb") as file:
            file.write(raw)
        return path


def printable(payload):
    """What a reader hands over besides the bytes: text, value or rows, as far as JSON can say it."""
    if payload.type == "text":
        return {"text": payload.data}
    if payload.type == "dictionary":
        return {"value": payload.data}
    if payload.type == "jsontable":
        return {"rows": payload.data}
    if payload.type in payloads.TABLES:
        rows = payload.data if isinstance(payload.data, list) else payload.data.to_pylist()
        return {"rows": plain(rows)}
    return {}


def plain(value):
    """What JSON can say of an Arrow value."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def refusal(error):
    offset = error.offset if error.data_offset is None else error.data_offset
    return {"clause": error.clause, "offset": offset, "message": str(error)}


def camel_fields(envelope):
    return {camel: getattr(envelope, name) for name, camel in FIELDS.items()}


def emit(line):
    sys.stdout.buffer.write(compact(line).encode() + b"\n")
    sys.stdout.buffer.flush()


# --- commands ------------------------------------------------------------------------------


async def connected(args):
    return await natsbridge.connect(args.server)


def spec_items(path):
    """The payloads of a spec file, and their metadata by name."""
    with open(path, "rb") as file:
        entries = json.load(file)
    folder = os.path.dirname(os.path.abspath(path))
    items = []
    for entry in entries:
        if "path" in entry:
            with open(os.path.join(folder, entry["path"]), "rb") as file:
                value = file.read()
        else:
            value = next(entry[name] for name in ("text", "json", "rows") if name in entry)
            if "text" in entry:
                value = value.encode()
        items.append((entry["dataname"], value, entry["type"]))
    return items, {entry["dataname"]: entry.get("metadata", {}) for entry in entries}


def send_options(args):
    store = (
        natsbridge.Plik(args.fileserver[0], ttl=args.ttl, one_shot=args.one_shot) if args.fileserver else None
    )
    return {
        "size_threshold": args.threshold,
        "broker_url": args.server,
        "fileserver_upload_handler": store,
        "fileserver_url": None,
    }


def sent_line(envelope):
    return {
        "sent": True,
        "dialect": envelope.dialect,
        "bytes": len(encode(envelope)),
        **camel_fields(envelope),
        "payloads": [
            {
                "id": p.id,
                "dataname": p.dataname,
                "type": written_type(p.type, envelope.dialect),
                "transport": p.transport,
                "size": p.size,
                **({"url": p.data} if p.transport == "link" else {}),
            }
            for p in envelope.payloads
        ],
    }


async def send(args):
    client = await connected(args)
    try:
        items, metadata = spec_items(args.spec)
        envelope = await natsbridge.smartsend(
            args.subject,
            items,
            client=client,
            payload_metadata=metadata,
            **send_options(args),
            **header_options(args),
        )
        await natsbridge.flush(client)
        emit(sent_line(envelope))
    finally:
        await client.close()


def header_options(args):
    given = {
        "correlation_id": args.correlation_id,
        "msg_purpose": args.purpose,
        "sender_name": args.sender_name,
        "receiver_name": args.receiver_name,
        "reply_to": args.reply_to,
        "reply_to_msg_id": args.reply_to_msg_id,
    }
    options = {name: value for name, value in given.items() if value is not None}
    return options | {"metadata": json.loads(args.metadata), "dialect": args.dialect}


async def incoming(client, args):
    """Subscribes, says so after a round trip to the server, and yields `count` messages."""
    queue = asyncio.Queue()
    await client.subscribe(args.subject, cb=queue.put)
    await natsbridge.flush(client)
    emit({"ready": True})
    deadline = asyncio.get_running_loop().time() + args.timeout
    for _ in range(args.count):
        left = deadline - asyncio.get_running_loop().time()
        yield await asyncio.wait_for(queue.get(), max(left, 0))


async def receive(args):
    client = await connected(args)
    reporter = Reporter(args)
    try:
        async for message in incoming(client, args):
            await reporter.message(message, message.subject, message.reply)
    finally:
        await client.close()
    return reporter.failed


async def respond(args):
    """Answers with every payload that could be read."""
    client = await connected(args)
    reporter = Reporter(args)
    try:
        async for message in incoming(client, args):
            received = await reporter.message(message, message.subject, message.reply)
            if received:
                items = [(p.dataname, p.raw, p.type) for p in received.payloads if not p.error]
                sent = await natsbridge.reply(client, received, items, **send_options(args))
                await natsbridge.flush(client)
                emit(sent_line(sent))
    finally:
        await client.close()
    return reporter.failed


async def request(args):
    client = await connected(args)
    reporter = Reporter(args)
    try:
        items, metadata = spec_items(args.spec)
        options = header_options(args)
        answer = await natsbridge.request(
            client,
            args.subject,
            items,
            timeout=args.timeout,
            payload_metadata=metadata,
            **send_options(args),
            **options,
        )
        await reporter.message(answer, answer.subject, answer.reply)
    finally:
        await client.close()
    return reporter.failed


async def decode_files(args):
    """Reads messages from files; with --reencode also writes each one anew."""
    reporter = Reporter(args)
    for path in args.files:
        with open(path, "rb") as file:
            text = file.read()
        received = await reporter.message(text)
        if received and args.reencode:
            envelope = received.envelope
            for payload in envelope.payloads:
                if payload.transport == "direct" and payload.data is not None:
                    payload.size = len(payload.data)
            emit({"reencoded": encode(envelope).decode()})
    return reporter.failed


def command_line():
    parser = argparse.ArgumentParser(description="A NATSBridge peer. See README.md beside it.")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name, run, *, nats=True, sends=False, receives=False):
        sub = commands.add_parser(name)
        sub.set_defaults(run=run, out=None, max_retries=5, seed=None)
        if nats:
            sub.add_argument("--server", required=True)
            sub.add_argument("--subject", required=True)
        sub.add_argument("--fileserver", action="append", help="the store, and an allowed origin")
        if sends:
            sub.add_argument("--threshold", type=int)
            sub.add_argument("--ttl", type=int, default=KEPT_SECONDS)
            sub.add_argument("--one-shot", action="store_true")
        if receives:
            sub.add_argument("--out")
            sub.add_argument("--max-retries", type=int, default=5)
            sub.add_argument("--seed", type=int)
        return sub

    def writes_envelope(sub):
        sub.add_argument("--spec", required=True)
        sub.add_argument("--dialect", choices=("camel", "snake"), default="camel")
        sub.add_argument("--metadata", default="{}")
        for name in (
            "correlation-id",
            "purpose",
            "sender-name",
            "receiver-name",
            "reply-to",
            "reply-to-msg-id",
        ):
            sub.add_argument(f"--{name}")

    writes_envelope(command("send", send, sends=True))
    sub = command("receive", receive, receives=True)
    sub.add_argument("--count", type=int, default=1)
    sub.add_argument("--timeout", type=float, default=30)
    sub = command("respond", respond, sends=True, receives=True)
    sub.add_argument("--count", type=int, default=1)
    sub.add_argument("--timeout", type=float, default=30)
    sub = command("request", request, sends=True, receives=True)
    writes_envelope(sub)
    sub.add_argument("--timeout", type=float, default=30)
    sub = command("decode", decode_files, nats=False, receives=True)
    sub.add_argument("--reencode", action="store_true")
    sub.add_argument("files", nargs="+")
    return parser


def main():
    args = command_line().parse_args()
    try:
        return 1 if asyncio.run(args.run(args)) else 0
    except BridgeError as error:
        print(f"{error.clause}: {error}", file=sys.stderr)
    except TimeoutError:
        print("timed out", file=sys.stderr)
    except Exception as error:  # the command line's last word: a connection, a file, a bad spec
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
