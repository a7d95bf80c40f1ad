"""One HTTP request: to a checked address, with deadlines, without redirects, retries, proxies or decoding
(POL-6)."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Iterable, Iterator

from .errors import BridgeError
from .policy import Link, Policy

USER_AGENT = "plik_client/1.0 (natsbridge python)"  # LINK-8: Plik answers others with redirects
CHUNK = 1 << 16


@dataclass(frozen=True)
class Deadlines:
    """In seconds: to connect, of silence (before the first byte too), and for the whole exchange."""

    connect: float = 5
    silence: float = 30
    total: float = 300


class Unreachable(Exception):
    """The connection failed, broke or fell silent: worth another try."""


class CutShort(Exception):
    """The body ended before its end: worth another try."""


class Exchange:
    """A request that has been answered: `status`, `header()` and the body in pieces. Use it with `with`."""

    def __init__(
        self,
        method: str,
        link: Link,
        headers: dict[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
        *,
        policy: Policy | None = None,
        deadlines: Deadlines = Deadlines(),
    ) -> None:
        self._deadline = time.monotonic() + deadlines.total
        self._connection = http.client.HTTPConnection(link.host.strip("[]"), link.port)
        fixed = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", "Connection": "close"}
        try:
            self._connection.sock = _connect(link, policy, deadlines)
            self._connection.auto_open = 0
            self._connection.putrequest(method, link.target, skip_host=True, skip_accept_encoding=True)
            port = "" if link.url.startswith(f"{link.scheme}://{link.host}/") else f":{link.port}"
            for name, value in {"Host": link.host + port, **fixed, **(headers or {})}.items():
                self._connection.putheader(name, value)
            self._connection.endheaders()
            for piece in [body] if isinstance(body, bytes) else body or ():
                self._in_time()
                self._connection.send(piece)
            self._response = self._connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Unreachable(_name(error)) from None
        except BaseException:
            self._connection.close()
            raise
        self.status = self._response.status

    def header(self, name: str) -> str | None:
        return self._response.getheader(name)

    def pieces(self) -> Iterator[bytes]:
        """The body. Raises `CutShort` where it ends before its Content-Length or its last chunk."""
        left = self._response.length  # `None` for chunks, or where only the connection's end tells
        try:
            while left != 0 and (piece := self._response.read1(CHUNK if left is None else min(CHUNK, left))):
                if left is not None:
                    left -= len(piece)
                self._in_time()
                yield piece
        except http.client.IncompleteRead:
            raise CutShort("the body is incomplete") from None
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(_name(error)) from None
        if left:
            raise CutShort(f"{left} bytes are missing")

    def read(self, limit: int) -> bytes:
        """The whole body, or a `BridgeError` of kind `too_long`."""
        body = bytearray()
        for piece in self.pieces():
            body += piece
            if len(body) > limit:
                raise BridgeError("too_long", "POL-6", f"the answer has more than {limit} bytes")
        return bytes(body)

    def _in_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise TimeoutError("the deadline passed")

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()
        self._connection.close()


def _connect(link: Link, policy: Policy | None, deadlines: Deadlines) -> socket.socket:
    """Resolves the host once, checks what came out, and connects to that and to nothing else."""
    found = socket.getaddrinfo(link.host.strip("[]"), link.port, type=socket.SOCK_STREAM)
    if policy and not policy.check(link):
        policy.check_addresses(link, [str(address[0]) for *_, address in found])
    deadline = time.monotonic() + deadlines.connect
    failure: OSError = OSError("no address")
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(0.01, deadline - time.monotonic()))
            sock.connect(address)
            if link.scheme == "https":
                sock = ssl.create_default_context().wrap_socket(sock, server_hostname=link.host.strip("[]"))
            sock.settimeout(deadlines.silence)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except OSError as error:
            sock.close()
            failure = error
    raise failure


def _name(error: Exception) -> str:
    """What went wrong without the address or anything the server said."""
    if isinstance(error, TimeoutError):
        return "it timed out"
    return type(error).__name__
