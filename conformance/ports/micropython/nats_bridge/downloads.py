# Fetching what is behind a link: policy, retries, and proof that the bytes are whole (SPEC.md sections 8, 10
# to 12).

import time
from binascii import hexlify
from hashlib import sha256

from . import retries
from .errors import BridgeError
from .exchange import CutShort, Exchange
from .policy import parse_link
from .stream import Unreachable

CEILING = 16 * 1024 * 1024  # chosen; memory often is the lower one


class _Again(Exception):
    """Worth another try; `error` is what remains where there is none left."""

    def __init__(self, error, retry_after=None):
        super().__init__()
        self.error, self.retry_after = error, retry_after


class Download:
    """Fetches links with retries and checks what came. Delays are in ms. `require_proof` refuses links with
    neither a usable digest nor a size (VER-6); `ssl_context` is needed for https; `seed` makes the waits
    repeatable."""

    def __init__(
        self,
        policy,
        max_retries=retries.MAX_RETRIES,
        base_delay=retries.BASE_DELAY_MS,
        max_delay=retries.MAX_DELAY_MS,
        ceiling=CEILING,
        require_proof=False,
        ssl_context=None,
        seed=None,
        deadlines=(5000, 30000, 300000),
    ):
        self.policy, self.max_retries, self.base_delay, self.max_delay = (
            policy,
            max_retries,
            base_delay,
            max_delay,
        )
        self.ceiling, self.require_proof, self.ssl_context = ceiling, require_proof, ssl_context
        self.seed, self.deadlines = seed, deadlines

    def __call__(self, payload):
        """The verified bytes of a link payload. What is odd about them is added to its `notes`."""
        if self.require_proof and not payload.sha256 and not payload.size:
            raise BridgeError("link_refused", "VER-6", "the link has neither a digest nor a size")
        link = parse_link(payload.data)
        self.policy.check(link)
        retry = 0
        while True:
            try:
                return self._once(payload, link)
            except _Again as again:
                retry += 1
                if retry > self.max_retries:
                    raise again.error
                wait = retries.delay(retry, self.base_delay, self.max_delay, self.seed, again.retry_after)
            time.sleep_ms(int(wait))

    def _once(self, payload, link):
        try:
            answer = Exchange("GET", link, (), (), self.ssl_context, self.deadlines)
            try:
                self._check_head(answer)
                return self._verified(payload, answer)
            finally:
                answer.close()
        except Unreachable as error:
            raise _Again(BridgeError("link_failed", "RETRY-4", "%s: %s" % (link, error)))
        except CutShort as error:
            raise _Again(BridgeError("cut_short", "VER-7", "%s: %s" % (link, error)))
        except MemoryError:
            raise BridgeError("too_long", "POL-6", "there is not enough memory for the file")

    def _check_head(self, answer):
        status = answer.status
        if retries.is_retried(status):
            error = BridgeError("link_failed", "RETRY-4", "the file server answers %d" % status)
            raise _Again(error, retries.retry_after(answer.headers.get("retry-after")))
        if status in (404, 410):
            raise BridgeError("link_gone", "LINK-7", "the file is not there any more (%d)" % status)
        if status != 200:
            raise BridgeError("link_failed", "LINK-7", "the file server answers %d" % status)
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            raise BridgeError(
                "link_failed", "LINK-7", "the file has a Content-Encoding that nobody asked for"
            )

    def _verified(self, payload, answer):
        """VER-3 to VER-7. A digest decides; without one the size does; with neither HTTP alone."""
        digest, size = payload.sha256, payload.size or None
        # A wrong size with a right digest is only reported, so only a digest can allow more than `size`.
        most = self.ceiling if digest or size is None else min(self.ceiling, size)
        length, hasher, at = answer.length, sha256(), 0
        if length is not None and length > most:
            raise self._too_long(most, size)
        # In memory once where the length is known.
        body = bytearray(length or 0)
        for piece in answer.pieces():
            if length is None:
                body += piece
            else:
                body[at : at + len(piece)] = piece
            at += len(piece)
            if at > most:
                raise self._too_long(most, size)
            hasher.update(piece)
        verify(payload, at, hexlify(hasher.digest()).decode())
        return body

    @staticmethod
    def _too_long(most, size):
        clause = "VER-3" if most == size else "POL-6"
        return BridgeError("too_long", clause, "the file has more than %d bytes" % most, None, None, most)


def verify(payload, length, actual):
    """Judges a link's bytes by their number and their digest in hexadecimal."""
    digest, size = payload.sha256, payload.size or None
    if digest != actual and size and length < size:
        raise CutShort("%d of %d bytes" % (length, size))
    if digest and digest != actual:
        raise BridgeError("digest_mismatch", "VER-7", "the digest of the file does not match")
    if not digest and size and length > size:
        raise BridgeError("too_long", "VER-3", "the file has more than %d bytes" % size)
    if not digest and (size is None or payload.raw_sha256 is not None):
        payload.notes.append("unverified")
    if size and length != size:
        payload.notes.append("size says %d, there are %d bytes" % (size, length))
