# One HTTP request: with deadlines, without redirects, retries or decoding (POL-6).

from .stream import CHUNK, Stream, Unreachable, tls_needs_a_context

USER_AGENT = "plik_client/1.0 (natsbridge micropython)"  # LINK-8: Plik answers others with redirects
_MOST_HEADERS = 64


class CutShort(Exception):
    """The body ended before its end."""


class Exchange:
    """A request that has been answered: `status`, `headers` (names in lower case), the body in `pieces()`.
    Close it."""

    def __init__(self, method, link, headers=(), body=(), ssl_context=None, deadlines=(5000, 30000, 300000)):
        if link.scheme == "https" and ssl_context is None:
            raise tls_needs_a_context()
        connect_ms, silence_ms, total_ms = deadlines
        context = ssl_context if link.scheme == "https" else None
        self._stream = Stream(link.host, link.port, connect_ms, silence_ms, total_ms, context)
        try:
            head = "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\n" % (
                method,
                link.target,
                link.authority,
                USER_AGENT,
            )
            head += "Accept-Encoding: identity\r\nConnection: close\r\n"
            for name, value in headers:
                head += "%s: %s\r\n" % (name, value)
            self._stream.write((head + "\r\n").encode())
            for piece in body:
                self._stream.write(piece)
            self._read_head()
        except BaseException:
            self._stream.close()
            raise

    def _read_head(self):
        while True:
            line = self._line().split(b" ", 2)
            if len(line) < 2 or line[0][:5] != b"HTTP/" or len(line[1]) != 3:
                raise Unreachable("the answer is no HTTP")
            try:
                self.status = int(line[1])
            except ValueError:
                raise Unreachable("the answer is no HTTP")
            self.headers = {}
            while True:
                line = self._line()
                if not line:
                    break
                name, _, value = line.partition(b":")
                if len(self.headers) == _MOST_HEADERS:
                    raise Unreachable("the answer has too many headers")
                try:
                    self.headers[name.decode().lower()] = value.decode().strip()
                except UnicodeError:
                    pass  # none that we look at
            if self.status >= 200:  # 1xx announce another one
                return

    def _line(self):
        line = self._stream.readline()
        if line is None:
            raise Unreachable("the connection ended")
        return line

    @property
    def length(self):
        """The Content-Length, where it is what tells the body's end."""
        text = self.headers.get("content-length", "")
        if self.is_chunked or not text or not all(c in "0123456789" for c in text):
            return None
        return int(text[:18])

    @property
    def is_chunked(self):
        return self.headers.get("transfer-encoding", "").lower() == "chunked"

    def pieces(self):
        """The body. Raises `CutShort` where it ends before its Content-Length or its last chunk."""
        if not self.is_chunked:
            left = self.length
            while left != 0:
                piece = self._stream.read(CHUNK if left is None else min(CHUNK, left))
                if not piece:
                    if left:
                        raise CutShort("%d bytes are missing" % left)
                    return
                if left is not None:
                    left -= len(piece)
                yield piece
            return
        while True:
            try:
                left = int((self._stream.readline() or b"").split(b";")[0].decode(), 16)
            except ValueError:
                raise CutShort("the last chunk is missing")
            if left <= 0:
                return
            while left:
                piece = self._stream.read(min(CHUNK, left))
                if not piece:
                    raise CutShort("the last chunk is missing")
                left -= len(piece)
                yield piece
            self._stream.readline()

    def read(self, most):
        """A small body whole."""
        body = b""
        for piece in self.pieces():
            body += piece
            if len(body) > most:
                raise CutShort("the answer is too long")
        return body

    def close(self):
        self._stream.close()
