"""Fetching what is behind a link: policy, retries, and proof that the bytes are whole (SPEC.md sections 8, 10
to 12)."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import Callable

from . import retries
from .envelope import MessagePayload
from .errors import BridgeError
from .exchange import CutShort, Deadlines, Exchange, Unreachable
from .policy import Policy, parse_link

CEILING = 1 << 30  # chosen


@dataclass
class Download:
    """Fetches links with retries and checks what came. One object may serve many downloads.

    Delays are in ms. `ceiling` bounds one file, in bytes; `require_proof` refuses links that carry neither a
    usable digest nor a size (VER-6). `seed` makes the waits repeatable; leave it out in production.
    """

    policy: Policy
    max_retries: int = retries.MAX_RETRIES
    base_delay: float = retries.BASE_DELAY_MS
    max_delay: float = retries.MAX_DELAY_MS
    ceiling: int = CEILING
    require_proof: bool = False
    seed: int | None = None
    deadlines: Deadlines = field(default_factory=Deadlines)
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, payload: MessagePayload) -> bytes:
        """The verified bytes of a link payload. What is odd about them is added to its `notes`."""
        proof = payload.sha256 is not None or bool(payload.size)
        if self.require_proof and not proof:
            raise BridgeError("link_refused", "VER-6", "the link has neither a digest nor a size")
        retry = 0
        while True:
            try:
                return self._once(payload)
            except _Again as again:
                retry += 1
                if retry > self.max_retries:
                    raise again.error from None
                wait = retries.delay(
                    retry,
                    base_delay=self.base_delay,
                    max_delay=self.max_delay,
                    seed=self.seed,
                    retry_after=again.retry_after,
                )
            self.sleep(wait / 1000)

    def _once(self, payload: MessagePayload) -> bytes:
        link = parse_link(str(payload.data))
        self.policy.check(link)
        try:
            with Exchange("GET", link, policy=self.policy, deadlines=self.deadlines) as answer:
                self._check_head(answer)
                return self._verified(payload, answer)
        except Unreachable as error:
            raise _Again(BridgeError("link_failed", "RETRY-4", f"{link}: {error}")) from None
        except CutShort as error:
            raise _Again(BridgeError("cut_short", "VER-7", f"{link}: {error}")) from None

    def _check_head(self, answer: Exchange) -> None:
        status = answer.status
        if retries.is_retried(status):
            error = BridgeError("link_failed", "RETRY-4", f"the file server answers {status}")
            raise _Again(error, retries.retry_after(answer.header("Retry-After")))
        if status in (404, 410):
            raise BridgeError("link_gone", "LINK-7", f"the file is not there any more ({status})")
        if status != 200:
            raise BridgeError("link_failed", "LINK-7", f"the file server answers {status}")
        if (answer.header("Content-Encoding") or "identity").strip().lower() != "identity":
            raise BridgeError(
                "link_failed", "LINK-7", "the file has a Content-Encoding that nobody asked for"
            )

    def _verified(self, payload: MessagePayload, answer: Exchange) -> bytes:
        """VER-3 to VER-7. A digest decides; without one the size does; with neither HTTP alone."""
        digest, size = payload.sha256, payload.size or None
        # A wrong size with a right digest is only reported, so only a digest can allow more than `size`.
        most = self.ceiling if digest or size is None else min(self.ceiling, size)
        body, hasher = bytearray(), hashlib.sha256()
        for piece in answer.pieces():
            body += piece
            hasher.update(piece)
            if len(body) > most:
                clause = "VER-3" if most == size else "POL-6"
                raise BridgeError("too_long", clause, f"the file has more than {most} bytes", limit=most)
        self.verify(payload, bytes(body), hasher.hexdigest())
        return bytes(body)

    @staticmethod
    def verify(payload: MessagePayload, body: bytes, actual: str | None = None) -> None:
        """Judges the bytes of a link payload. Raises `CutShort` or a `BridgeError`."""
        digest, size = payload.sha256, payload.size or None
        actual = actual or hashlib.sha256(body).hexdigest()
        if digest != actual and size and len(body) < size:
            raise CutShort(f"{len(body)} of {size} bytes")
        if digest and digest != actual:
            raise BridgeError("digest_mismatch", "VER-7", "the digest of the file does not match")
        if digest is None and size and len(body) > size:
            raise BridgeError("too_long", "VER-3", f"the file has more than {size} bytes", limit=size)
        if digest is None and (size is None or "sha256" in payload.metadata):
            payload.notes.append("unverified")
        if size and len(body) != size:
            payload.notes.append(f"size says {size}, there are {len(body)} bytes")


class _Again(Exception):
    """Worth another try; `error` is what remains where there is none left. `retry_after` is in ms."""

    def __init__(self, error: BridgeError, retry_after: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.retry_after = error, retry_after
