# A small NATS client: connect, publish, subscribe, receive. One task, no reconnects.

import os
import time
from binascii import hexlify

from . import strict_base64, strict_json, subjects
from .errors import BridgeError
from .stream import Stream, Unreachable

_MOST_HEADER = 65536


class Message:
    """What a subscription received. `status` is that of the NATS header, as `503` where nobody listens."""

    def __init__(self, subject, reply, data, status):
        self.subject, self.reply, self.data, self.status = subject, reply, data, status


class Client:
    """A connection to one server: `nats://[user:password@|token@]host[:port]`, or `tls://` with an
    `ssl_context`.

        client = Client("nats://192.168.1.2:4222")
        client.subscribe("device.command")
        message = client.next_message(10000)

    Raises `BridgeError` of kind `timeout` where the server cannot be reached, refuses, or closes the
    connection."""

    def __init__(self, url="nats://localhost:4222", timeout_ms=5000, name="natsbridge", ssl_context=None):
        scheme, host, port, options = _parsed(url)
        if scheme == "tls" and ssl_context is None:
            raise BridgeError("invalid_input", "FACADE-1", "TLS needs an ssl_context that says whom to trust")
        self._sid, self._waiting = 0, []
        try:
            self._stream = Stream(host, port, timeout_ms, timeout_ms)
            self.info = self._read_info()
            if scheme == "tls" or self.info.get("tls_required"):
                self._secure(ssl_context, host)
            self.max_payload = self.info.get("max_payload", 1048576)
            options.update(
                {
                    "verbose": False,
                    "pedantic": False,
                    "lang": "micropython",
                    "version": "0.1.0",
                    "protocol": 1,
                    "headers": True,
                    "no_responders": bool(self.info.get("headers")),
                    "name": name,
                }
            )
            self._stream.write(b"CONNECT " + strict_json.dumps(options) + b"\r\nPING\r\n")
            self._until_pong(timeout_ms)
        except Unreachable as error:
            raise _lost(error)

    def _read_info(self):
        line = self._stream.readline(_MOST_HEADER)
        if not line or line[:5] != b"INFO ":
            raise Unreachable("this is no NATS server")
        try:
            return strict_json.loads(line[5:])
        except BridgeError:
            raise Unreachable("this is no NATS server")

    def _secure(self, ssl_context, host):
        if ssl_context is None:
            raise BridgeError(
                "invalid_input", "FACADE-1", "the server wants TLS: give an ssl_context and a tls:// URL"
            )
        try:
            self._stream._sock = ssl_context.wrap_socket(self._stream._sock, server_hostname=host)
        except (OSError, ValueError):
            raise Unreachable("the server is not who it should be")

    # --- sending ---------------------------------------------------------------------------------

    def publish(self, subject, data, reply=""):
        """Publishes bytes, or a list of pieces of them in which `(raw,)` stands for the base64 of raw
        bytes."""
        subjects.check_publish(subject)
        if reply:
            subjects.check_publish(reply)
        if not isinstance(data, list):
            data = [data]
        length = sum(strict_base64.encoded_len(len(p[0])) if isinstance(p, tuple) else len(p) for p in data)
        if length > self.max_payload:
            why = "the message has %d bytes, the server takes %d" % (length, self.max_payload)
            raise BridgeError("too_large", "PLAN-5", why, None, length, self.max_payload)
        try:
            self._stream.write(("PUB %s %s%d\r\n" % (subject, reply + " " if reply else "", length)).encode())
            for piece in data:
                if isinstance(piece, tuple):
                    for text in strict_base64.pieces(piece[0]):
                        self._stream.write(text)
                else:
                    self._stream.write(piece)
            self._stream.write(b"\r\n")
        except Unreachable as error:
            raise _lost(error)

    def flush(self, timeout_ms=5000):
        """Returns once the server has taken everything; messages that arrive meanwhile are kept."""
        try:
            self._stream.write(b"PING\r\n")
            self._until_pong(timeout_ms)
        except Unreachable as error:
            raise _lost(error)

    # --- receiving -------------------------------------------------------------------------------

    def subscribe(self, subject, queue=""):
        """Starts a subscription, of a queue group if one is named; returns its number."""
        subjects.check_subscribe(subject)
        if queue:
            subjects.check_subscribe(queue)
        self._sid += 1
        try:
            self._stream.write(
                ("SUB %s %s%d\r\n" % (subject, queue + " " if queue else "", self._sid)).encode()
            )
        except Unreachable as error:
            raise _lost(error)
        return self._sid

    def unsubscribe(self, sid):
        try:
            self._stream.write(b"UNSUB %d\r\n" % sid)
        except Unreachable as error:
            raise _lost(error)

    def next_message(self, timeout_ms):
        """The next message of any subscription, or `None` when the time is over. Answers the server's pings,
        so call it at least every two minutes on a connection that is to stay open."""
        if self._waiting:
            return self._waiting.pop(0)
        deadline = time.ticks_add(time.ticks_ms(), timeout_ms)
        while True:
            left = time.ticks_diff(deadline, time.ticks_ms())
            if left <= 0:
                return None
            try:
                message = self._operation(left)
            except Unreachable as error:
                raise _lost(error)
            if isinstance(message, Message):
                return message

    def keep(self, messages):
        """Puts messages back, in front of those to come."""
        self._waiting = messages + self._waiting

    def new_inbox(self):
        return "_INBOX." + hexlify(os.urandom(12)).decode()

    def close(self):
        self._stream.close()

    def _until_pong(self, timeout_ms):
        deadline = time.ticks_add(time.ticks_ms(), timeout_ms)
        while True:
            left = time.ticks_diff(deadline, time.ticks_ms())
            if left <= 0:
                raise Unreachable("the server does not answer")
            message = self._operation(left)
            if message == "PONG":
                return
            if isinstance(message, Message):
                self._waiting.append(message)

    def _operation(self, timeout_ms):
        """Waits for one operation of the server: a `Message`, `"PONG"`, or `None` for all others and for
        silence."""
        self._stream.silence(timeout_ms)
        try:
            line = self._stream.readline(_MOST_HEADER)
        except Unreachable as error:
            if str(error) == "it fell silent":
                return None
            raise
        finally:
            self._stream.silence(5000)
        if line is None:
            raise Unreachable("the server closed the connection")
        words = line.split()
        name = words[0].upper() if words else b""
        if name == b"PING":
            self._stream.write(b"PONG\r\n")
        elif name == b"PONG":
            return "PONG"
        elif name in (b"MSG", b"HMSG"):
            return self._message(words, name == b"HMSG")
        elif name == b"-ERR":
            text = line[4:].strip().decode()
            # A refused subject leaves the connection open, but what was sent or asked for does not happen.
            raise Unreachable("the server refuses: " + text)
        elif name == b"INFO":
            self.info = strict_json.loads(line[5:])
            self.max_payload = self.info.get("max_payload", self.max_payload)
        return None

    def _message(self, words, has_headers):
        # MSG subject sid [reply] length   or   HMSG subject sid [reply] header-length length
        try:
            length, head = int(words[-1]), int(words[-2]) if has_headers else 0
            reply = words[3].decode() if len(words) == (6 if has_headers else 5) else ""
            subject = words[1].decode()
        except (ValueError, IndexError, UnicodeError):
            raise Unreachable("the server sends what is no NATS")
        body = self._stream.read_exactly(length)
        if len(body) < length or self._stream.readline() != b"":
            raise Unreachable("the connection ended in a message")
        status = None
        if head:
            first = bytes(body[:head]).split(b"\r\n")[0].split()
            status = int(first[1]) if len(first) > 1 and first[1].isdigit() else None
            body = body[head:]
        return Message(subject, reply, body, status)


def _parsed(url):
    """Scheme, host, port and the credentials for CONNECT."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        scheme, rest = "nats", url
    credentials, _, place = rest.split("/")[0].rpartition("@")
    host, _, port = place.rpartition(":") if ":" in place.split("]")[-1] else (place, "", "4222")
    if scheme not in ("nats", "tls") or not host or not all(c in "0123456789" for c in port) or not port:
        raise BridgeError(
            "invalid_input", "FACADE-1", "the URL of a NATS server is nats://host:port or tls://host:port"
        )
    options = {}
    if credentials:
        user, colon, password = credentials.partition(":")
        options = {"user": user, "pass": password} if colon else {"auth_token": user}
    return scheme, host, int(port), options


def _lost(error):
    return BridgeError("timeout", "LINK-6", "the NATS server: %s" % error)
