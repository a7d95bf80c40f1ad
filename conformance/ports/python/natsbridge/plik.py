"""Plik, the reference store: uploads with a lifetime, links, deletion (LINK-3 to LINK-5)."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator
from urllib.parse import quote

from . import timestamps
from .errors import BridgeError
from .exchange import CHUNK, CutShort, Deadlines, Exchange, Unreachable
from .policy import Link, parse_link

KEPT_SECONDS = 86_400
_MAX_ANSWER = 1 << 20
_MAX_ID, _MAX_DOMAIN, _MAX_NAME = 32, 256, 255


@dataclass(frozen=True)
class Upload:
    """A stored file. `token` deletes it; it stays with the sender and is never in a message."""

    url: str
    sha256: str
    status: int = 200
    uploadid: str = ""
    fileid: str = ""
    token: str = ""
    expires_at: str | None = None

    def __repr__(self) -> str:
        return f"Upload({parse_link(self.url)})"


class Plik:
    """A Plik server by its base URL. Uploads are kept for `ttl` seconds, 24 hours unless told otherwise.

    `one_shot` deletes a file at its first download, **even one that breaks off**: a retry, a second
    subscriber and a replay find nothing. Methods block; call them in a thread.
    """

    def __init__(
        self,
        server: str,
        *,
        ttl: int = KEPT_SECONDS,
        one_shot: bool = False,
        deadlines: Deadlines = Deadlines(),
    ) -> None:
        self.server = base_url(server)
        self.lifetime = {"oneShot": True} if one_shot else {"ttl": ttl}
        self.deadlines = deadlines

    def url_bound(self, dataname: str) -> int:
        """The most bytes that the URL of an upload of this name can have."""
        name = quote(file_name(dataname), safe="")
        return max(len(self.server), _MAX_DOMAIN) + len("/file/") + 2 * (_MAX_ID + 1) + len(name)

    def upload(self, dataname: str, data: bytes | Path) -> Upload:
        """Stores bytes, or a file, which is streamed. Raises `BridgeError` of kind `store`; nothing is left
        behind."""
        body = json.dumps(self.lifetime).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        created = read_created(self._ask("POST", "/upload", headers, body), self.server)
        try:
            return self._add(created, dataname, data)
        except BaseException:
            # The file may have arrived although its answer has not.
            self._forget(f"/upload/{created.upload_id}", created.token)
            raise

    def _add(self, created: Created, dataname: str, data: bytes | Path) -> Upload:
        size = os.path.getsize(data) if isinstance(data, Path) else len(data)
        name, boundary = file_name(dataname), f"natsbridge-{secrets.token_hex(16)}"
        disposition = f'form-data; name="file"; filename="{name}"'
        head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: application/octet-stream\r\n\r\n"
        tail = f"\r\n--{boundary}--\r\n"
        headers = {
            "X-UploadToken": created.token,
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head.encode()) + size + len(tail)),
        }
        hasher = hashlib.sha256()

        def form() -> Iterator[bytes]:
            yield head.encode()
            for piece in _pieces(data, size):
                hasher.update(piece)
                yield piece
            yield tail.encode()

        added = read_added(self._ask("POST", f"/file/{created.upload_id}", headers, form()))
        if added.size != size:
            raise BridgeError("store", "LINK-3", f"the store kept {added.size} bytes instead of {size}")
        return Upload(
            link_of(created, added),
            hasher.hexdigest(),
            200,
            created.upload_id,
            added.file_id,
            created.token,
            created.expires_at,
        )

    def delete(self, upload: Upload) -> None:
        """LINK-4, over the server itself. A file that is not there any more counts as deleted."""
        path = upload.url[upload.url.index("/file/") :]
        with self._exchange("DELETE", path, {"X-UploadToken": upload.token}) as answer:
            if not 200 <= answer.status <= 299 and answer.status != 404:
                raise BridgeError("store", "LINK-4", f"the file server answers {answer.status}")

    def download_origin(self) -> str | None:
        """POL-8: the origin of the download domain that the server announces, if it does."""
        with self._exchange("GET", "/config", {}) as answer:
            if answer.status != 200:
                return None
            domain = _domain(_object(answer.read(_MAX_ANSWER)))
        link = parse_link(domain) if domain else None
        return f"{link.scheme}://{link.host}:{link.port}" if link else None

    def _forget(self, path: str, token: str) -> None:
        """Deletes if it can: the failure that led here is the one to report."""
        try:
            with self._exchange("DELETE", path, {"X-UploadToken": token}):
                pass
        except BridgeError:
            pass

    def _ask(self, method: str, path: str, headers: dict[str, str], body: Any) -> bytes:
        with self._exchange(method, path, headers, body) as answer:
            if answer.status != 200:
                raise BridgeError("store", "LINK-3", f"the file server answers {answer.status}")
            try:
                return answer.read(_MAX_ANSWER)
            except (CutShort, Unreachable) as error:
                raise BridgeError("store", "LINK-3", f"the file server: {error}") from None

    def _exchange(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> Exchange:
        base = parse_link(self.server)
        link = Link(base.scheme, base.host, base.port, base.target.rstrip("/") + path)
        try:
            return Exchange(method, link, headers, body, deadlines=self.deadlines)
        except Unreachable as error:
            raise BridgeError("store", "LINK-3", f"the file server {link}: {error}") from None


def _pieces(data: bytes | Path, size: int) -> Iterator[bytes]:
    if not isinstance(data, Path):
        view = memoryview(data)
        for start in range(0, size, CHUNK):
            yield bytes(view[start : start + CHUNK])
        return
    with open(data, "rb") as file:
        left = size
        while left and (piece := file.read(min(CHUNK, left))):
            left -= len(piece)
            yield piece
        if left or file.read(1):
            raise BridgeError("invalid_input", "LINK-3", "the file changed its length while it was sent")


def file_name(dataname: str) -> str:
    """A name that servers keep as it is, made of any text; the real name stays in the envelope."""
    name = re.split(r"[/\\]", dataname)[-1].strip()
    name = re.sub(r'[\x00-\x1f\x7f-\x9f"%\ud800-\udfff]', "_", name)
    name = name.encode()[:_MAX_NAME].decode(errors="ignore").strip()
    return "file" if name in ("", ".", "..") else name


# --- the server's answers, as those of a server that may say anything ------------------------


@dataclass(frozen=True)
class Created:
    upload_id: str
    token: str
    base: str  # what the links begin with
    expires_at: str | None


@dataclass(frozen=True)
class Added:
    file_id: str
    name: str
    size: int | None


def base_url(text: str) -> str:
    """A base URL without its last slash, its host in lower case; no query, no fragment."""
    link = parse_link(text)
    if "?" in text or "#" in text:
        raise BridgeError("invalid_input", "LINK-3", "the URL of a file server has no query and no fragment")
    return link.url.rstrip("/")


def read_created(answer: bytes, server: str) -> Created:
    """The answer to `POST /upload`."""
    told = _object(answer)
    token = told.get("uploadToken")
    if not isinstance(token, str) or not re.fullmatch(r"[!-~]{1,256}", token):
        raise _nonsense("there is no usable uploadToken")
    expires_at = None
    if isinstance(told.get("expireAt"), str):
        nanos = timestamps.parse(told["expireAt"])
        # Milliseconds are cut: what is promised is not longer than what the store said.
        expires_at = None if nanos is None else timestamps.write(nanos // 1_000_000)
    return Created(_id(told), token, _domain(told) or base_url(server), expires_at)


def read_added(answer: bytes) -> Added:
    """The answer to `POST /file/{id}`."""
    told = _object(answer)
    name, size = told.get("fileName"), told.get("fileSize")
    # A path that servers clean up cannot be fetched.
    if (
        not isinstance(name, str)
        or name in ("", ".", "..")
        or "/" in name
        or re.search(r"[\ud800-\udfff]", name)
    ):
        raise _nonsense("there is no usable fileName")
    return Added(_id(told), name, size if isinstance(size, int) and not isinstance(size, bool) else None)


def link_of(created: Created, added: Added) -> str:
    """LINK-3: the name is the server's, as one path segment."""
    return f"{created.base}/file/{created.upload_id}/{added.file_id}/{quote(added.name, safe='')}"


def _object(answer: bytes) -> dict[str, Any]:
    """The answer is JSON although it is labelled text/plain."""
    try:
        told = json.loads(answer)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise _nonsense("it is no JSON object")
    return told


def _id(told: dict[str, Any]) -> str:
    if not isinstance(told.get("id"), str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", told["id"]):
        raise _nonsense("there is no usable id")
    return told["id"]


def _domain(told: dict[str, Any]) -> str | None:
    domain = told.get("downloadDomain")
    if domain is None or domain == "":
        return None
    try:
        base = base_url(domain) if isinstance(domain, str) else ""
    except BridgeError:
        base = ""
    if not base or len(base) > _MAX_DOMAIN:
        raise _nonsense("the downloadDomain is no usable URL")
    return base


def _nonsense(why: str) -> BridgeError:
    return BridgeError("store", "LINK-3", f"the file server's answer makes no sense: {why}")
