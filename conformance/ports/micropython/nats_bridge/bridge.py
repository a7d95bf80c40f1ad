# `smartsend` and `smartreceive`, and request and reply on top of them (SPEC.md sections 9, 10, 14, 15).

import os
import time
from binascii import hexlify
from hashlib import sha256

from . import payloads, plan, replies, retries, subjects, timestamps
from .downloads import Download, verify
from .envelope import FIELDS, MessageEnvelope, MessagePayload, decode, entry_len, pieces, pieces_len
from .errors import BridgeError
from .exchange import CutShort
from .nats import Client
from .plik import Plik, Upload, data_len
from .policy import Policy

NATS_URL = "nats://localhost:4222"
FILESERVER_URL = "http://localhost:8080"


def uuid4():
    raw = bytearray(os.urandom(16))
    raw[6], raw[8] = raw[6] & 15 | 64, raw[8] & 63 | 128
    text = hexlify(raw).decode()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


SENDER_ID = uuid4()  # one for each start of the program


# --- sending -------------------------------------------------------------------------------------


def smartsend(
    subject,
    data,
    nats_url=NATS_URL,
    fileserver_url=FILESERVER_URL,
    size_threshold=None,
    correlation_id=None,
    msg_purpose="chat",
    sender_name="NATSBridge",
    receiver_name="",
    receiver_id="",
    reply_to="",
    reply_to_msg_id="",
    fileserver_upload_handler=None,
    dialect="camel",
    metadata=None,
    client=None,
    broker_url=None,
    nats_reply="",
):
    """Sends `(dataname, data, type)` payloads, each inside the message or, from `size_threshold` raw bytes on
    or where the message would be too large for the server, by link.

    `size_threshold` is 1,000,000 unless given, 500,000 in the snake_case dialect. Links are uploaded to the
    Plik at `fileserver_url` and kept for 24 hours; `plik_oneshot_upload` as `fileserver_upload_handler`,
    another function `(fileserver_url, dataname, data) -> {"url": ...}` or a `Plik` takes its place; with
    `fileserver_url=None` there is no store. `data` of a byte type may be an open binary file. `client` is a
    connected `Client`; without one a connection is made for this message.

    Returns the envelope as it was sent: `envelope.payloads[0].data` is the URL of a link. Raises
    `BridgeError`; before the message is handed to the server the uploads are taken back."""
    subjects.check_publish(subject)
    if nats_reply:
        subjects.check_publish(nats_reply)
    envelope = MessageEnvelope(
        dialect,
        metadata or {},
        correlation_id=correlation_id or uuid4(),
        msg_id=uuid4(),
        timestamp=timestamps.now(),
        send_to=subject,
        msg_purpose=msg_purpose,
        sender_name=sender_name,
        sender_id=SENDER_ID,
        receiver_name=receiver_name,
        receiver_id=receiver_id,
        reply_to=reply_to,
        reply_to_msg_id=reply_to_msg_id,
    )
    if broker_url is None and client is None:
        broker_url = nats_url
    envelope.broker_url = without_credentials(broker_url or "")
    contents = _contents(data)
    store = _store(fileserver_upload_handler, fileserver_url)
    threshold = plan.DEFAULT_THRESHOLD[dialect] if size_threshold is None else size_threshold
    own = client is None
    if own:
        client = Client(nats_url)
    try:
        parts = _prepare(envelope, contents, store, threshold, client.max_payload)
        # From here on the message may arrive whatever happens (LINK-6).
        client.publish(subject, parts, nats_reply)
        if own:
            client.flush()
    finally:
        if own:
            client.close()
    return envelope


def _contents(data):
    """The payloads without their data, and their raw bytes or open files."""
    contents = []
    for entry in data:
        if not isinstance(entry, (tuple, list)) or len(entry) != 3:
            raise BridgeError("invalid_input", "FACADE-1", "give a list of (dataname, data, type)")
        dataname, value, kind = entry
        raw = value if hasattr(value, "readinto") else payloads.write(kind, value)
        contents.append((MessagePayload(uuid4(), dataname, kind, "direct", data_len(raw), None, {}), raw))
    return contents


def _prepare(envelope, contents, store, threshold, max_payload):
    """Plans and uploads: the message in pieces."""
    items = []
    for payload, _ in contents:
        direct_len = entry_len(envelope.dialect, payload, (payload.size + 2) // 3 * 4)
        link_len = None
        if store:
            payload.transport = "link"
            payload.metadata = {"sha256": "0" * 64, "expiresAt": timestamps.write(0)}
            link_len = entry_len(envelope.dialect, payload, store.url_bound(payload.dataname))
            payload.transport, payload.metadata = "direct", {}
        items.append((payload.size, direct_len, link_len))
    base_len = pieces_len(pieces(envelope))
    uploads = []
    try:
        for (payload, raw), transport in zip(
            contents, plan.plan(items, threshold, max_payload, base_len, bool(store))
        ):
            payload.transport = transport
            if transport == "link":
                uploads.append(store.upload(payload.dataname, raw))
                _link_to(payload, uploads[-1])
            else:
                payload.encoding = "base64"
                payload.data = raw.read() if hasattr(raw, "readinto") else raw
                payload.size = len(payload.data)
            envelope.payloads.append(payload)
        parts = pieces(envelope)
        length = pieces_len(parts)
        if length > max_payload:  # PLAN-7
            why = "the message has %d bytes, the server takes %d" % (length, max_payload)
            raise BridgeError("too_large", "PLAN-7", why, None, length, max_payload)
    except BaseException:
        for upload in uploads:
            try:
                store.delete(upload)
            except BridgeError:
                pass  # its lifetime will end it, and the failure that led here is the one to report
        raise
    return parts


def _link_to(payload, upload):
    """ENV-W8."""
    from collections import OrderedDict

    payload.encoding, payload.data = "none", upload.url
    payload.metadata = OrderedDict([("sha256", upload.sha256)])
    if upload.expires_at:
        payload.metadata["expiresAt"] = upload.expires_at


def without_credentials(url):
    """ENV-7."""
    scheme, mark, rest = url.partition("://")
    return scheme + mark + rest.rpartition("@")[2] if mark else url.rpartition("@")[2]


def plik_upload(fileserver_url, dataname, data):
    """Uploads to a Plik, kept for 24 hours: `status`, `uploadid`, `fileid`, `url`."""
    return _handled(Plik(fileserver_url).upload(dataname, data))


def plik_oneshot_upload(fileserver_url, dataname, data):
    """Uploads to a Plik that deletes the file at its first download, **even one that breaks off**."""
    return _handled(Plik(fileserver_url, one_shot=True).upload(dataname, data))


def _handled(upload):
    return {"status": 200, "uploadid": upload.uploadid, "fileid": upload.fileid, "url": upload.url}


class _Handler:
    """A function as a store. It knows no deletion, and its URLs are taken to be of at most 2,048 bytes."""

    def __init__(self, function, fileserver_url):
        self.function, self.fileserver_url = function, fileserver_url

    def url_bound(self, dataname):
        return 2048

    def upload(self, dataname, data):
        raw = data.read() if hasattr(data, "readinto") else data
        answer = self.function(self.fileserver_url, dataname, raw)
        if answer.get("status") not in (None, 200) or not isinstance(answer.get("url"), str):
            raise BridgeError("store", "LINK-2", "the upload handler has failed")
        return Upload(answer["url"], hexlify(sha256(raw).digest()).decode())

    def delete(self, upload):
        """Left to its lifetime."""


def _store(handler, fileserver_url):
    if handler is plik_oneshot_upload and fileserver_url:
        return Plik(fileserver_url, one_shot=True)
    if handler is None or handler is plik_upload:
        return Plik(fileserver_url) if fileserver_url else None
    return handler if hasattr(handler, "upload") else _Handler(handler, fileserver_url)


# --- receiving -----------------------------------------------------------------------------------


class ReceivedPayload:
    """One payload, verified and read by its type; unpacks as `(dataname, data, type)`. Where it could not be
    had, `error` says why, and asking for `data` raises that."""

    def __init__(self, wire):
        self.wire, self.raw, self.error = wire, None, wire.error
        self.dataname, self.type, self.notes = wire.dataname, wire.type, wire.notes
        self._value = None

    def read(self, raw):
        self.raw = raw
        self._value = payloads.read(self.type, raw)

    @property
    def data(self):
        if self.error:
            raise self.error
        return self._value

    def __iter__(self):
        return iter((self.dataname, self.data, self.type))


class ReceivedMessage:
    """A message with its fields as attributes (`msg_id`, `reply_to`, ...), `metadata`, `dialect`, and
    `payloads`."""

    def __init__(self, envelope, nats_reply):
        self.envelope, self.nats_reply = envelope, nats_reply
        self.payloads = [ReceivedPayload(payload) for payload in envelope.payloads]
        self.dialect = envelope.dialect
        for name, _ in FIELDS:
            setattr(self, name, getattr(envelope, name))

    @property
    def metadata(self):
        return self.envelope.metadata


def smartreceive(
    msg,
    fileserver_download_handler=None,
    max_retries=retries.MAX_RETRIES,
    base_delay=retries.BASE_DELAY_MS,
    max_delay=retries.MAX_DELAY_MS,
    allow_origins=(FILESERVER_URL,),
    download=None,
):
    """Reads a NATS message, its bytes or its JSON text, fetches its links and reads every payload by its
    type.

        message = smartreceive(msg)
        for dataname, data, type in message.payloads:
            ...

    Only links to `allow_origins` are fetched. Delays are in ms. `download`, a `Download` of your own,
    replaces these options; a `fileserver_download_handler(url, max_retries, base_delay, max_delay,
    correlation_id)` replaces the fetching itself, and answers for what it fetches from. Raises `BridgeError`
    for a message that cannot be read; a payload that cannot be had fails alone."""
    if isinstance(msg, str):
        body, nats_reply = msg.encode(), ""
    elif isinstance(msg, (bytes, bytearray, memoryview)):
        body, nats_reply = bytes(msg), ""
    else:
        body, nats_reply = bytes(msg.data), msg.reply
    received = ReceivedMessage(decode(body), nats_reply)
    fetch = download or Download(Policy(allow_origins), max_retries, base_delay, max_delay)
    for payload in received.payloads:
        if payload.error:
            continue
        try:
            if payload.wire.transport == "direct":
                raw = payload.wire.data
            elif fileserver_download_handler:
                raw = fileserver_download_handler(
                    payload.wire.data, max_retries, base_delay, max_delay, received.correlation_id
                )
                _verify(payload.wire, raw)
            else:
                raw = bytes(fetch(payload.wire))
            payload.read(raw)
        except BridgeError as error:
            payload.error = error
    return received


def _verify(wire, raw):
    try:
        verify(wire, len(raw), hexlify(sha256(raw).digest()).decode())
    except CutShort as error:
        raise BridgeError("cut_short", "VER-7", "the download is cut short: %s" % error)


# --- request and reply ---------------------------------------------------------------------------


def request(client, subject, data, timeout_ms=30000, **options):
    """Sends a request and waits for the reply to it: the NATS message, for `smartreceive`. `options` are
    those of `smartsend`. Raises `BridgeError` of kind `timeout`, also where nobody listens."""
    inbox = client.new_inbox()
    sid = client.subscribe(inbox)
    others = []
    try:
        options["msg_purpose"] = options.get("msg_purpose", "request")
        options["reply_to"] = options["nats_reply"] = inbox
        sent = smartsend(subject, data, client=client, **options)
        deadline = time.ticks_add(time.ticks_ms(), timeout_ms)
        while True:
            message = client.next_message(max(0, time.ticks_diff(deadline, time.ticks_ms())))
            if message is None:
                raise BridgeError("timeout", "REQ-1", "no reply within %d ms" % timeout_ms)
            if message.subject != inbox:
                others.append(message)  # of another subscription: kept for its next_message
            elif message.status == 503:
                raise BridgeError("timeout", "REQ-1", "nobody listens on the subject")
            elif _answers(sent, message.data):
                return message
    finally:
        client.keep(others)
        client.unsubscribe(sid)


def _answers(sent, body):
    """REQ-3. A message that cannot be read is let through, to be reported."""
    try:
        return decode(bytes(body)).correlation_id == sent.correlation_id
    except BridgeError:
        return True


def reply(client, received, data, **options):
    """Answers a received request, to where it asks for it. `options` are those of `smartsend` and win over
    what the request decides. Raises `BridgeError` of kind `invalid_subject` where no reply can be given."""
    subject = replies.reply_subject(received, received.nats_reply)
    if subject is None:
        raise BridgeError("invalid_subject", "REQ-2", "the request names no subject to answer to")
    decided = replies.reply_fields(received)
    decided["dialect"] = received.dialect
    decided.update(options)
    return smartsend(subject, data, client=client, **decided)
