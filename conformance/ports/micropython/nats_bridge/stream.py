# A TCP or TLS connection with deadlines, for NATS and for HTTP.

import socket
import time

from .errors import BridgeError

CHUNK = 1024


class Unreachable(Exception):
    """The connection failed, broke or fell silent."""


class Stream:
    """Connects, or raises `Unreachable`. `silence_ms` bounds every wait, `total_ms` the whole.

    `ssl_context` makes it TLS: an `ssl.SSLContext` with `verify_mode = ssl.CERT_REQUIRED` and the authorities
    that are trusted. MicroPython verifies nothing by itself, so there is no default."""

    def __init__(self, host, port, connect_ms=5000, silence_ms=30000, total_ms=None, ssl_context=None):
        self._buffer = b""
        self._deadline = None if total_ms is None else time.ticks_add(time.ticks_ms(), total_ms)
        host = host.strip("[]")
        failure = "the host has no address"
        try:
            found = socket.getaddrinfo(host, port)
        except OSError as error:
            raise Unreachable("the host is not known (%s)" % error.args[0])
        for family, kind, _, _, address in found:
            if kind != socket.SOCK_STREAM:
                continue
            sock = socket.socket(family, kind)
            try:
                sock.settimeout(connect_ms / 1000)
                sock.connect(address)
                sock.settimeout(silence_ms / 1000)
                if ssl_context:
                    sock = ssl_context.wrap_socket(sock, server_hostname=host)
                self._sock = sock
                return
            except (OSError, ValueError) as error:
                sock.close()
                failure = "no connection (%s)" % error.args[0]
        raise Unreachable(failure)

    def silence(self, ms):
        """How long the next reads wait; for plain connections only."""
        if hasattr(self._sock, "settimeout"):
            self._sock.settimeout(ms / 1000)

    def write(self, data):
        try:
            view = memoryview(data)
            while len(view):
                self._in_time()
                sent = self._sock.write(view[:65536])
                if not sent:
                    raise OSError(110)
                view = view[sent:]
        except OSError as error:
            raise Unreachable("the connection broke (%s)" % error.args[0])

    def read(self, most=CHUNK):
        """What is there, at most so many bytes; `b""` at the end."""
        if self._buffer:
            piece, self._buffer = self._buffer[:most], self._buffer[most:]
            return piece
        self._in_time()
        try:
            return self._sock.recv(most) if hasattr(self._sock, "recv") else self._sock.read(most)
        except OSError as error:
            raise Unreachable("it fell silent" if error.args[0] in (11, 110) else "the connection broke")

    def readline(self, most=4096):
        """A line without its line end, or `None` at the end of the connection."""
        line = b""
        while True:
            end = line.find(b"\n")
            if end >= 0:
                self._buffer = line[end + 1 :] + self._buffer
                line = line[:end]
                return line[:-1] if line[-1:] == b"\r" else line
            if len(line) > most:
                raise Unreachable("a line has no end")
            try:
                piece = self.read()
            except Unreachable:
                self._buffer = line + self._buffer  # nothing is lost by a wait that was too short
                raise
            if not piece:
                return None
            line += piece

    def read_exactly(self, length):
        """So many bytes, in memory once; fewer where the connection ends before."""
        body = bytearray(length)
        view, at = memoryview(body), 0
        while at < length:
            piece = self.read(min(length - at, CHUNK))
            if not piece:
                return body[:at]
            view[at : at + len(piece)] = piece
            at += len(piece)
        return body

    def close(self):
        self._sock.close()

    def _in_time(self):
        if self._deadline is not None and time.ticks_diff(self._deadline, time.ticks_ms()) < 0:
            raise Unreachable("the deadline passed")


def tls_needs_a_context():
    return BridgeError("link_failed", "POL-6", "TLS needs an ssl_context that says whom to trust")
