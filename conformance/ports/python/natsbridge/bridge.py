"""`smartsend` and `smartreceive`, and request and reply on top of them (SPEC.md sections 9, 10, 14, 15)."""

from __future__ import annotations

import asyncio
import inspect
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Iterable, Mapping, Protocol, Sequence
from urllib.parse import urlsplit, urlunsplit

from . import payloads, plan, replies, retries, subjects, timestamps
from .downloads import Download
from .envelope import FIELDS, Dialect, MessageEnvelope, MessagePayload, decode, encode, entry_len
from .errors import BridgeError
from .exchange import CutShort
from .plik import Plik, Upload
from .policy import Policy

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

NATS_URL = "nats://localhost:4222"
FILESERVER_URL = "http://localhost:8080"
SENDER_ID = str(uuid.uuid4())  # one for each process that imports this module

Data = Sequence[tuple[str, Any, str]]


class Store(Protocol):
    """Where links are kept. `Plik` is one. `url_bound` is the most bytes that a URL for this name can
    have."""

    def url_bound(self, dataname: str) -> int: ...
    def upload(self, dataname: str, data: bytes | Path) -> Upload: ...
    def delete(self, upload: Upload) -> None: ...


# --- sending -------------------------------------------------------------------------------


async def smartsend(
    subject: str,
    data: Data,
    nats_url: str = NATS_URL,
    fileserver_url: str | None = FILESERVER_URL,
    size_threshold: int | None = None,
    correlation_id: str | None = None,
    msg_purpose: str = "chat",
    sender_name: str = "NATSBridge",
    receiver_name: str = "",
    receiver_id: str = "",
    reply_to: str = "",
    reply_to_msg_id: str = "",
    fileserver_upload_handler: Callable[[str, str, bytes], Mapping[str, Any]] | Store | None = None,
    *,
    dialect: Dialect = "camel",
    metadata: Mapping[str, Any] | None = None,
    payload_metadata: Mapping[str, Mapping[str, Any]] | None = None,
    msg_id: str | None = None,
    client: Client | None = None,
    broker_url: str | None = None,
    nats_reply: str = "",
) -> MessageEnvelope:
    """Sends `(dataname, data, type)` payloads, each inside the message or, from `size_threshold` raw bytes on
    or where the message would be too large for the server, by link.

    `size_threshold` is 1,000,000 unless given, 500,000 in the snake_case dialect. Links are uploaded to the
    Plik at `fileserver_url` and kept for 24 hours; `plik_oneshot_upload` as `fileserver_upload_handler`,
    another function `(fileserver_url, dataname, data) -> {"url": …}` or any `Store` takes its place; with
    `fileserver_url=None` there is no store. `payload_metadata` gives metadata by dataname. `client` is a
    connected nats-py client; without one a connection to `nats_url` is made for this message. `broker_url` is
    what the message says of the broker, its credentials taken out; `nats_url`, unless a client was handed
    over. `nats_reply` is the NATS reply subject.

    Returns the envelope as it was sent: `envelope.payloads[0].data` is the URL of a link. Raises
    `BridgeError`; before the message is handed to the NATS client the uploads are taken back, afterwards they
    are left to their lifetime.
    """
    subjects.check_publish(subject)
    if nats_reply:
        subjects.check_publish(nats_reply)
    fields: dict[str, Any] = {
        "correlation_id": correlation_id or str(uuid.uuid4()),
        "msg_id": msg_id or str(uuid.uuid4()),
        "timestamp": timestamps.now(),
        "send_to": subject,
        "msg_purpose": msg_purpose,
        "sender_name": sender_name,
        "sender_id": SENDER_ID,
        "receiver_name": receiver_name,
        "receiver_id": receiver_id,
        "reply_to": reply_to,
        "reply_to_msg_id": reply_to_msg_id,
        "broker_url": without_credentials(
            nats_url if broker_url is None and client is None else broker_url or ""
        ),
    }
    draft = MessageEnvelope(**fields, metadata=dict(metadata or {}), dialect=dialect)
    contents = _contents(data, payload_metadata or {})
    store = _store(fileserver_upload_handler, fileserver_url)
    threshold = plan.DEFAULT_THRESHOLD[dialect] if size_threshold is None else size_threshold
    connection = client or await connect(nats_url)
    try:
        limit = connection.max_payload
        body, undo = await asyncio.to_thread(_prepare, draft, contents, store, threshold, limit)
        try:
            if not connection.is_connected:
                raise BridgeError("timeout", "LINK-6", "there is no connection to the NATS server")
        except BaseException:
            await asyncio.to_thread(undo)
            raise
        await _publish(connection, subject, body, nats_reply, wait=client is None)
    finally:
        if client is None:
            await connection.close()
    return draft


async def _publish(client: Client, subject: str, body: bytes, nats_reply: str, wait: bool) -> None:
    """From here on the message may arrive whatever happens, and its uploads stay (LINK-6)."""
    from nats.errors import Error as NatsError

    try:
        await client.publish(subject, body, reply=nats_reply)
        if wait:
            await flush(client)
    except (NatsError, OSError, asyncio.TimeoutError) as error:
        raise BridgeError("timeout", "LINK-6", f"the send is unconfirmed: {type(error).__name__}") from error


async def connect(nats_url: str = NATS_URL) -> Client:
    """A nats-py client, connected or failed within five seconds."""
    import nats

    async def heard(_: Exception) -> None:
        """Errors are raised where they matter, not printed."""

    try:
        # nats-py tries a server that is not there for two minutes, or, at 0 attempts, forever.
        options = {"allow_reconnect": False, "max_reconnect_attempts": 1, "reconnect_time_wait": 0}
        async with asyncio.timeout(10):
            return await nats.connect(nats_url, connect_timeout=5, error_cb=heard, **options)
    except (OSError, nats.errors.Error, asyncio.TimeoutError) as error:
        where = without_credentials(nats_url)
        raise BridgeError(
            "timeout", "FACADE-1", f"no connection to {where}: {type(error).__name__}"
        ) from None


async def flush(client: Client) -> None:
    """Returns once the server has taken all that was published and subscribed.

    nats-py's own `flush` writes its PING past what still waits for its flusher task, so that the answer
    proves nothing of that. While the first answer was on its way the task has run, so the second PING is
    behind everything."""
    await client.flush()
    await client.flush()


def _contents(
    data: Data, metadata: Mapping[str, Mapping[str, Any]]
) -> list[tuple[MessagePayload, bytes | Path]]:
    """The payloads without their data, and their raw bytes."""
    if isinstance(data, (str, bytes)) or not all(len(entry) == 3 for entry in data):
        raise BridgeError("invalid_input", "FACADE-1", "give a list of (dataname, data, type)")
    contents = []
    for dataname, value, kind in data:
        raw = payloads.write(kind, value)
        size = raw.stat().st_size if isinstance(raw, Path) else len(raw)
        payload = MessagePayload(str(uuid.uuid4()), dataname, kind, "direct", "base64", size)
        payload.metadata = dict(metadata.get(dataname, {}))
        contents.append((payload, raw))
    return contents


def _prepare(
    draft: MessageEnvelope,
    contents: list[tuple[MessagePayload, bytes | Path]],
    store: Store | None,
    threshold: int,
    max_payload: int | None,
) -> tuple[bytes, Callable[[], None]]:
    """Plans, uploads and encodes: the message's bytes, and what takes the uploads back."""
    transports = plan.plan(
        [_sizes(draft.dialect, payload, store) for payload, _ in contents],
        threshold=threshold,
        max_payload=max_payload,
        base_len=len(encode(draft)),
        has_store=store is not None,
    )
    uploads: list[tuple[Store, Upload]] = []

    def undo() -> None:
        for holder, upload in uploads:
            try:
                holder.delete(upload)
            except BridgeError:
                pass  # its lifetime will end it, and the failure that led here is the one to report

    try:
        for (payload, raw), transport in zip(contents, transports):
            payload.transport = transport
            if transport == "link" and store:
                upload = store.upload(payload.dataname, raw)
                uploads.append((store, upload))
                _link_to(payload, upload)
            else:
                payload.encoding = "base64"
                payload.data = raw.read_bytes() if isinstance(raw, Path) else raw
                payload.size = len(payload.data)
            draft.payloads.append(payload)
        body = encode(draft)
        if max_payload is not None and len(body) > max_payload:  # PLAN-7
            raise BridgeError(
                "too_large",
                "PLAN-7",
                f"the message has {len(body)} bytes, the server takes {max_payload}",
                needed=len(body),
                limit=max_payload,
            )
    except BaseException:
        undo()
        raise
    return body, undo


def _sizes(dialect: Dialect, payload: MessagePayload, store: Store | None) -> plan.Item:
    size = payload.size or 0
    direct_len = entry_len(dialect, payload, -(-size // 3) * 4)
    link_len = None
    if store:
        digests = {**payload.metadata, "sha256": "0" * 64, "expiresAt": timestamps.write(0)}
        as_link = MessagePayload(
            payload.id, payload.dataname, payload.type, "link", "none", payload.size, metadata=digests
        )
        link_len = entry_len(dialect, as_link, store.url_bound(payload.dataname))
    return plan.Item(size, direct_len, link_len)


def _link_to(payload: MessagePayload, upload: Upload) -> None:
    """ENV-W8."""
    payload.transport, payload.encoding, payload.data = "link", "none", upload.url
    metadata = {key: value for key, value in payload.metadata.items() if key not in ("sha256", "expiresAt")}
    metadata["sha256"] = upload.sha256
    if upload.expires_at:
        metadata["expiresAt"] = upload.expires_at
    payload.metadata = metadata


def without_credentials(url: str) -> str:
    """ENV-7."""
    if "://" not in url:
        return url.rpartition("@")[2]
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


# --- stores that are functions -----------------------------------------------------------------


def plik_upload(fileserver_url: str, dataname: str, data: bytes | Path) -> dict[str, Any]:
    """Uploads to a Plik, kept for 24 hours: `status`, `uploadid`, `fileid`, `url`."""
    return _handled(Plik(fileserver_url).upload(dataname, data))


def plik_oneshot_upload(fileserver_url: str, dataname: str, data: bytes | Path) -> dict[str, Any]:
    """Uploads to a Plik that deletes the file at its first download, **even one that breaks off**."""
    return _handled(Plik(fileserver_url, one_shot=True).upload(dataname, data))


def _handled(upload: Upload) -> dict[str, Any]:
    return {name: getattr(upload, name) for name in ("status", "uploadid", "fileid", "url")}


@dataclass
class _Handler:
    """A function as a store. It knows no deletion, and its URLs are taken to be of at most 2,048 bytes."""

    function: Callable[[str, str, bytes], Mapping[str, Any]]
    fileserver_url: str

    def url_bound(self, dataname: str) -> int:
        return 2048

    def upload(self, dataname: str, data: bytes | Path) -> Upload:
        import hashlib

        raw = data.read_bytes() if isinstance(data, Path) else data
        answer = self.function(self.fileserver_url, dataname, raw)
        if answer.get("status") not in (None, 200) or not isinstance(answer.get("url"), str):
            raise BridgeError("store", "LINK-2", "the upload handler has failed")
        return Upload(answer["url"], hashlib.sha256(raw).hexdigest())

    def delete(self, upload: Upload) -> None:
        """Left to its lifetime."""


def _store(handler: Any, fileserver_url: str | None) -> Store | None:
    if handler is plik_oneshot_upload and fileserver_url:
        return Plik(fileserver_url, one_shot=True)
    if handler is None or handler is plik_upload:
        return Plik(fileserver_url) if fileserver_url else None
    return handler if hasattr(handler, "upload") else _Handler(handler, fileserver_url or "")


# --- receiving -----------------------------------------------------------------------------


class ReceivedPayload:
    """One payload, verified and read by its type; unpacks as `(dataname, data, type)`.

    Where it could not be had, `error` says why, and asking for `data` raises that. `wire` is the payload as
    the message has it, `raw` its raw bytes, `notes` what is odd but no error.
    """

    def __init__(self, wire: MessagePayload) -> None:
        self.wire, self.error = wire, wire.error
        self.raw: bytes | None = None
        self._value: Any = None
        self.dataname, self.type, self.notes = wire.dataname, wire.type, wire.notes

    def read(self, raw: bytes) -> None:
        self.raw = raw
        self._value = payloads.read(self.type, raw)

    @property
    def data(self) -> Any:
        if self.error:
            raise self.error
        return self._value

    def __iter__(self):
        return iter((self.dataname, self.data, self.type))


class ReceivedMessage:
    """A message with its fields as attributes (`msg_id`, `reply_to`, …), `metadata`, `dialect`, and
    `payloads`."""

    def __init__(self, envelope: MessageEnvelope, nats_reply: str) -> None:
        self.envelope, self.nats_reply = envelope, nats_reply
        self.payloads = [ReceivedPayload(payload) for payload in envelope.payloads]

    def __getattr__(self, name: str) -> Any:
        if name in FIELDS or name in ("metadata", "dialect", "fields"):
            return getattr(self.envelope, name)
        raise AttributeError(name)


async def smartreceive(
    msg: Msg | bytes | str | Mapping[str, Any],
    fileserver_download_handler: Callable[..., bytes | Awaitable[bytes]] | None = None,
    max_retries: int = retries.MAX_RETRIES,
    base_delay: float = retries.BASE_DELAY_MS,
    max_delay: float = retries.MAX_DELAY_MS,
    *,
    allow_origins: Iterable[str] = (FILESERVER_URL,),
    download: Download | None = None,
) -> ReceivedMessage:
    """Reads a NATS message, its bytes or its JSON text, fetches its links and reads every payload by its
    type.

        message = await smartreceive(msg)
        for dataname, data, type in message.payloads:
            ...

    Only links to `allow_origins` are fetched. Delays are in ms. `download`, a `Download` of your own,
    replaces these options; a `fileserver_download_handler(url, max_retries, base_delay, max_delay,
    correlation_id)` replaces the fetching itself, and answers for what it fetches from; sizes and digests are
    checked behind it all the same. Raises `BridgeError` for a message that cannot be read; a payload that
    cannot be had fails alone.
    """
    body, nats_reply = _body(msg)
    received = ReceivedMessage(decode(body), nats_reply)
    fetch = download or Download(Policy(allow_origins), max_retries, base_delay, max_delay)
    for payload in received.payloads:
        if payload.error:
            continue
        try:
            raw: bytes | bytearray
            if isinstance(payload.wire.data, bytes):
                raw = payload.wire.data
            elif fileserver_download_handler:
                answer = fileserver_download_handler(
                    payload.wire.data, max_retries, base_delay, max_delay, received.correlation_id
                )
                raw = await answer if inspect.isawaitable(answer) else answer
                try:
                    fetch.verify(payload.wire, raw)
                except CutShort as error:
                    raise BridgeError("cut_short", "VER-7", f"the download is cut short: {error}") from None
            else:
                raw = await asyncio.to_thread(fetch, payload.wire)
            payload.read(bytes(raw))
        except BridgeError as error:
            payload.error = error
    return received


def _body(msg: Any) -> tuple[bytes, str]:
    if isinstance(msg, str):
        return msg.encode(errors="surrogatepass"), ""
    if isinstance(msg, (bytes, bytearray, memoryview)):
        return bytes(msg), ""
    if isinstance(msg, Mapping):
        return json.dumps(msg, ensure_ascii=False).encode(errors="surrogatepass"), ""
    return msg.data, msg.reply or ""


# --- request and reply -------------------------------------------------------------------------


async def request(client: Client, subject: str, data: Data, *, timeout: float = 30, **options: Any) -> Msg:
    """Sends a request and waits `timeout` seconds for the reply to it: the NATS message, for `smartreceive`.

    `options` are those of `smartsend`. Raises `BridgeError` of kind `timeout`, also where nobody listens.
    """
    inbox = client.new_inbox()
    queue: asyncio.Queue[Msg] = asyncio.Queue()
    subscription = await client.subscribe(inbox, cb=queue.put)
    try:
        options.setdefault("msg_purpose", "request")
        sent = await smartsend(
            subject, data, client=client, nats_reply=inbox, **{**options, "reply_to": inbox}
        )
        async with asyncio.timeout(timeout):
            while True:
                message = await queue.get()
                if (message.headers or {}).get("Status") == "503":
                    raise BridgeError("timeout", "REQ-1", "nobody listens on the subject")
                if _answers(sent, message.data):
                    return message
    except TimeoutError:
        raise BridgeError("timeout", "REQ-1", f"no reply within {timeout} seconds") from None
    finally:
        await subscription.unsubscribe()


def _answers(sent: MessageEnvelope, body: bytes) -> bool:
    """REQ-3. A message that cannot be read is let through, to be reported."""
    try:
        return decode(body).correlation_id == sent.correlation_id
    except BridgeError:
        return True


async def reply(client: Client, received: ReceivedMessage, data: Data, **options: Any) -> MessageEnvelope:
    """Answers a received request, to where it asks for it. `options` are those of `smartsend` and win over
    what the request decides. Raises `BridgeError` of kind `invalid_subject` where no reply can be given."""
    subject = replies.reply_subject(received.envelope, received.nats_reply)
    if subject is None:
        raise BridgeError("invalid_subject", "REQ-2", "the request names no subject to answer to")
    decided = {"dialect": received.dialect, **replies.reply_fields(received.envelope)}
    return await smartsend(subject, data, client=client, **{**decided, **options})
