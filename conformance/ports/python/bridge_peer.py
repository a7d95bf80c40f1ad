#!/usr/bin/env python3
"""A NATSBridge peer: `smartsend`, `smartreceive`, and a command line for tests.

Written from SPEC.md alone, as another port's author would; it shares no code with the engine.
Standard output is JSON lines, standard error is for people."""

import argparse
import asyncio
import hashlib
import json
import os
import re
import sys
import uuid
from urllib.parse import urlsplit, urlunsplit

import links
import payloads as types
from envelope import CAMEL, Envelope, Payload, compact, decode, encode, encode_base64, written_type
from strict_json import PeerError

SENDER_ID = str(uuid.uuid4())


# --- sending -------------------------------------------------------------------------------


def build(subject, items, *, dialect="camel", threshold=None, limit=1_048_576, store=None, broker="", **given):
    """Plans, uploads and encodes: (Envelope, message bytes, undo). `items` are (dataname, type,
    raw bytes, metadata)."""
    check_subject(subject)
    fields = dict.fromkeys(CAMEL[:12], "")
    fields.update(
        correlationId=str(uuid.uuid4()),
        msgId=str(uuid.uuid4()),
        timestamp=links.timestamp(),
        sendTo=subject,
        msgPurpose="chat",
        senderName="NATSBridge",
        senderId=SENDER_ID,
        brokerURL=without_credentials(broker),
    )
    metadata = given.pop("metadata", {})
    fields.update({name: value for name, value in given.items() if value is not None})
    envelope = Envelope(dialect, fields, metadata, [])
    planned = []
    for dataname, kind, raw, extra in items:
        payload = Payload(id=str(uuid.uuid4()), dataname=dataname, type=kind, size=len(raw), data="")
        payload.metadata = dict(extra)
        planned.append((payload, raw))
    if threshold is None:
        threshold = links.DEFAULT_THRESHOLD[dialect]
    chosen = links.plan(
        len(encode(envelope)), planned, dialect, threshold, limit, store.url_bound if store else None
    )
    uploads = []

    def undo():
        for upload in uploads:
            store.delete(upload)

    try:
        for index, (payload, raw) in enumerate(planned):
            if index in chosen:
                upload = store.upload(payload.dataname, raw)
                uploads.append(upload)
                link_to(payload, upload, raw)
            else:
                payload.transport, payload.encoding = "direct", "base64"
                payload.data = encode_base64(raw)
            envelope.payloads.append(payload)
        message = encode(envelope)
        if len(message) > limit:
            raise PeerError("PLAN-7", f"the message has {len(message)} bytes, the limit is {limit}")
    except BaseException:
        undo()
        raise
    return envelope, message, undo


def link_to(payload, upload, raw):
    payload.transport, payload.encoding, payload.data = "link", "none", upload.url
    for name in ("sha256", "expiresAt"):  # ENV-W8
        payload.metadata.pop(name, None)
    payload.metadata["sha256"] = hashlib.sha256(raw).hexdigest()
    if upload.expires_at:
        payload.metadata["expiresAt"] = upload.expires_at


async def smartsend(client, subject, items, *, reply="", **options):
    """Publishes on a connected client; returns the envelope and the message's length."""
    envelope, message, undo = await asyncio.to_thread(
        build, subject, items, limit=client.max_payload, **options
    )
    if client.is_closed:
        undo()
        raise PeerError("LINK-6", "the connection is closed")
    await client.publish(subject, message, reply=reply)
    await client.flush()
    return envelope, len(message)


def check_subject(subject):
    """SUBJ-2, for a subject to publish to."""
    if not subject or re.search(r"[\x00-\x20\x7f]", subject) or re.search(r"\s", subject):
        raise PeerError("SUBJ-2", "the subject is empty or holds white space or control characters")
    tokens = subject.split(".")
    if "" in tokens or "*" in tokens or ">" in tokens:
        raise PeerError("SUBJ-2", "the subject holds an empty token or a wildcard")


def without_credentials(url):
    """ENV-7."""
    if "://" not in url:
        return url.rpartition("@")[2]
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


# --- receiving -----------------------------------------------------------------------------


def smartreceive(message, policy, **retries):
    """(Envelope, [(raw, notes, value, error)]): one entry for each payload."""
    envelope = decode(message)
    return envelope, [open_payload(payload, policy, **retries) for payload in envelope.payloads]


def open_payload(payload, policy, **retries):
    raw, notes = None, []
    try:
        if payload.error:
            raise payload.error
        if payload.transport == "link":
            raw, notes = links.download(payload, policy, **retries)
        else:
            raw, notes = links.verify(payload, payload.direct_bytes())
        return raw, notes, types.read_value(payload.type, raw), None
    except PeerError as error:
        return raw, notes, {}, error


class Reporter:
    """Turns received messages into JSON lines and saves the raw bytes under running numbers."""

    def __init__(self, args):
        self.out, self.next_index, self.failed = args.out, 0, False
        self.policy = links.Policy(args.fileserver or ())
        self.retries = {"max_retries": args.max_retries, "seed": args.seed}
        if self.out:
            os.makedirs(self.out, exist_ok=True)

    def message(self, text, subject=None, reply=None):
        """Prints the line; returns what smartreceive returned, or None."""
        try:
            received = smartreceive(text, self.policy, **self.retries)
        except PeerError as error:
            self.failed = True
            emit({"subject": subject, "error": error.as_json()})
            return None
        envelope, opened = received
        line = {"subject": subject, "natsReply": reply or "", "dialect": envelope.dialect}
        line |= envelope.fields | {"metadata": envelope.metadata}
        line["payloads"] = [self._payload(p, *o) for p, o in zip(envelope.payloads, opened)]
        emit(line)
        return received

    def _payload(self, payload, raw, notes, value, error):
        line = {
            "id": payload.id,
            "dataname": payload.dataname,
            "type": payload.type,
            "transport": payload.transport,
            "encoding": payload.encoding,
            "declaredSize": payload.size,
            "metadata": payload.metadata,
            "size": None if raw is None else len(raw),
            "sha256": None if raw is None else hashlib.sha256(raw).hexdigest(),
            "path": None if raw is None else self._save(raw),
            "notes": notes,
        }
        if payload.transport == "link":
            line["url"] = payload.data
        if error:
            self.failed = True
            line["error"] = error.as_json()
        return line | value

    def _save(self, raw):
        if not self.out:
            return None
        path = os.path.join(self.out, str(self.next_index))
        self.next_index += 1
        with open(path, "wb") as file:
            file.write(raw)
        return path


def emit(line):
    sys.stdout.buffer.write(compact(line).encode() + b"\n")
    sys.stdout.buffer.flush()


# --- commands ------------------------------------------------------------------------------


async def connected(args):
    import nats

    return await nats.connect(args.server, allow_reconnect=False, connect_timeout=5)


def spec_items(path):
    with open(path, "rb") as file:
        entries = json.load(file)
    folder = os.path.dirname(os.path.abspath(path))

    def read_file(name):
        with open(os.path.join(folder, name), "rb") as file:
            return file.read()

    return [
        (e["dataname"], e["type"], types.serialise(e["type"], e, read_file), e.get("metadata", {}))
        for e in entries
    ]


def send_options(args):
    store = links.Plik(args.fileserver[0], args.ttl, args.one_shot) if args.fileserver else None
    return {"threshold": args.threshold, "store": store, "broker": args.server}


def sent_line(envelope, length):
    return {
        "sent": True,
        "dialect": envelope.dialect,
        "bytes": length,
        **envelope.fields,
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
        envelope, length = await smartsend(
            client, args.subject, spec_items(args.spec), dialect=args.dialect,
            **send_options(args), **header_options(args),
        )
        emit(sent_line(envelope, length))
    finally:
        await client.close()


def header_options(args):
    return {
        "correlationId": args.correlation_id,
        "msgPurpose": args.purpose,
        "senderName": args.sender_name,
        "receiverName": args.receiver_name,
        "replyTo": args.reply_to,
        "replyToMsgId": args.reply_to_msg_id,
        "metadata": json.loads(args.metadata),
    }


async def incoming(client, args):
    """Subscribes, says so after a round trip to the server, and yields `count` messages."""
    queue = asyncio.Queue()
    await client.subscribe(args.subject, cb=queue.put)
    await client.flush()
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
            await asyncio.to_thread(reporter.message, message.data, message.subject, message.reply)
    finally:
        await client.close()
    return reporter.failed


async def respond(args):
    client = await connected(args)
    reporter = Reporter(args)
    try:
        async for message in incoming(client, args):
            received = await asyncio.to_thread(
                reporter.message, message.data, message.subject, message.reply
            )
            if received:
                await answer(client, args, message, *received)
    finally:
        await client.close()
    return reporter.failed


async def answer(client, args, message, request, opened):
    """REQ-2 to REQ-4, echoing every payload that could be read."""
    reply_to = message.reply or ""
    if not reply_to or reply_to.startswith("$JS.ACK."):
        reply_to = request.fields["replyTo"]
    if not reply_to or reply_to.startswith("$"):
        raise PeerError("REQ-2", "the request names no subject to answer to")
    items = [
        (p.dataname, p.type, raw, {})
        for p, (raw, _, _, error) in zip(request.payloads, opened)
        if error is None
    ]
    envelope, length = await smartsend(
        client, reply_to, items, dialect=request.dialect, **send_options(args),
        correlationId=request.fields["correlationId"],
        msgPurpose="response",
        receiverName=request.fields["senderName"],
        receiverId=request.fields["senderId"],
        replyToMsgId=request.fields["msgId"],
    )
    emit(sent_line(envelope, length))


async def request(args):
    client = await connected(args)
    reporter = Reporter(args)
    try:
        inbox, queue = client.new_inbox(), asyncio.Queue()
        await client.subscribe(inbox, cb=queue.put)
        headers = header_options(args) | {"replyTo": inbox}
        headers["msgPurpose"] = headers["msgPurpose"] or "request"
        sent, length = await smartsend(
            client, args.subject, spec_items(args.spec), dialect=args.dialect, reply=inbox,
            **send_options(args), **headers,
        )
        print(f"sent {length} bytes as {sent.fields['msgId']}", file=sys.stderr)
        async with asyncio.timeout(args.timeout):
            while True:
                message = await queue.get()
                if (message.headers or {}).get("Status") == "503":
                    raise PeerError("REQ-1", "nobody listens on the subject")
                if is_reply_to(sent, message.data):
                    break
        await asyncio.to_thread(reporter.message, message.data, message.subject, message.reply)
    finally:
        await client.close()
    return reporter.failed


def is_reply_to(sent, text):
    """REQ-3. A message that cannot be read is let through, to be reported."""
    try:
        return decode(text).fields["correlationId"] == sent.fields["correlationId"]
    except PeerError:
        return True


async def decode_files(args):
    """Reads messages from files; with --reencode also writes each one anew."""
    reporter = Reporter(args)
    for path in args.files:
        with open(path, "rb") as file:
            text = file.read()
        received = await asyncio.to_thread(reporter.message, text)
        if received and args.reencode:
            envelope, opened = received
            for payload, (raw, _, _, _) in zip(envelope.payloads, opened):
                if payload.transport == "direct" and raw is not None:
                    payload.data, payload.inline, payload.size = encode_base64(raw), None, len(raw)
            emit({"reencoded": encode(envelope).decode()})
    return reporter.failed


def command_line():
    parser = argparse.ArgumentParser(description="A NATSBridge peer. See conformance/peers/README.md.")
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
            sub.add_argument("--ttl", type=int, default=links.KEPT_SECONDS)
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
        for name in ("correlation-id", "purpose", "sender-name", "receiver-name", "reply-to", "reply-to-msg-id"):
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
    except PeerError as error:
        print(f"{error.clause}: {error}", file=sys.stderr)
    except TimeoutError:
        print("timed out", file=sys.stderr)
    except Exception as error:  # the command line's last word: a connection, a file, a bad spec
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
