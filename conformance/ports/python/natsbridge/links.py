"""Direct or link, stores, retries and what may be fetched (PLAN-, LINK-, RETRY-, POL-, VER-)."""

import email.utils
import hashlib
import json
import random
import re
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import quote, urlsplit

from envelope import payload_entry
from strict_json import PeerError

USER_AGENT = "plik_client/1.0 (natsbridge python peer)"
DEFAULT_THRESHOLD = {"camel": 1_000_000, "snake": 500_000}
KEPT_SECONDS = 86_400
CEILING = 1 << 30
CHUNK = 1 << 16
CONNECT_SECONDS, IDLE_SECONDS, TOTAL_SECONDS = 5, 30, 300
RETRIED_STATUS = {408, 425, 429}


def timestamp(seconds=None):
    """ENV-9."""
    now = datetime.fromtimestamp(time.time() if seconds is None else seconds, timezone.utc)
    return now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03}Z"


# --- planning ------------------------------------------------------------------------------


def plan(head_len, payloads, dialect, threshold, limit, url_bound):
    """Which payloads become links: a set of positions. `payloads` are (Payload without data, raw);
    `head_len` is the length of the encoded message with no payloads; `url_bound(payload)` is the
    store's upper bound for its URL, or None where there is no store."""
    direct, link = [], []
    for payload, raw in payloads:
        payload.data, payload.transport = "", "direct"
        direct.append(len(payload_entry(dialect, payload).encode()) + -(-len(raw) // 3) * 4)
        if url_bound:
            link.append(_link_bound(payload, dialect, url_bound(payload)))
    links = {i for i, (_, raw) in enumerate(payloads) if len(raw) >= threshold}
    if links and not url_bound:
        raise PeerError("PLAN-6", f"a payload reaches the threshold {threshold} and there is no store")

    def needed():
        entries = (link[i] if i in links else direct[i] for i in range(len(payloads)))
        return head_len + sum(entries) + max(0, len(payloads) - 1)

    while needed() > limit:
        saves = [(direct[i] - link[i], -i) for i in range(len(payloads)) if url_bound and i not in links]
        best = max(saves, default=(0, 0))
        if best[0] <= 0:
            raise PeerError("PLAN-5", f"the message needs {needed()} bytes, the limit is {limit}")
        links.add(-best[1])
    return links


def _link_bound(payload, dialect, url_bound):
    metadata, data = payload.metadata, payload.data
    payload.metadata = {**metadata, "sha256": "0" * 64, "expiresAt": timestamp(0)}
    payload.transport = "link"
    bound = len(payload_entry(dialect, payload).encode()) + url_bound
    payload.metadata, payload.data, payload.transport = metadata, data, "direct"
    return bound


# --- the Plik store ------------------------------------------------------------------------


@dataclass
class Upload:
    status: int
    uploadid: str
    fileid: str
    url: str
    token: str
    expires_at: str | None


class Plik:
    """LINK-3 to LINK-5. Kept for `ttl` seconds, or one-shot where that is asked for by name."""

    def __init__(self, server, ttl=KEPT_SECONDS, one_shot=False):
        self.server = server.rstrip("/")
        self.lifetime = {"oneShot": True} if one_shot else {"ttl": ttl}
        self.session = _session()

    def url_bound(self, payload):
        """An upper bound for the URL: the download domain is given 256 characters."""
        return max(len(self.server), 256) + 128 + 3 * len(_file_name(payload.dataname).encode())

    def upload(self, dataname, raw):
        reply = self.session.post(
            f"{self.server}/upload",
            data=json.dumps(self.lifetime),
            headers={"Content-Type": "application/json"},
            timeout=(CONNECT_SECONDS, IDLE_SECONDS),
            allow_redirects=False,
        )
        created = self._json(reply, "creating the upload")
        token = created["uploadToken"]
        reply = self.session.post(
            f"{self.server}/file/{created['id']}",
            files={"file": (_file_name(dataname), raw, "application/octet-stream")},
            headers={"X-UploadToken": token},
            timeout=(CONNECT_SECONDS, IDLE_SECONDS),
            allow_redirects=False,
        )
        added = self._json(reply, "uploading the file")
        if added.get("fileSize", len(raw)) != len(raw):
            raise PeerError("LINK-3", "the store kept another length than was sent")
        base = (created.get("downloadDomain") or self.server).rstrip("/")
        name = quote(added["fileName"], safe="")
        url = f"{base}/file/{created['id']}/{added['id']}/{name}"
        expires = _expires(created.get("expireAt"))
        return Upload(reply.status_code, created["id"], added["id"], url, token, expires)

    def delete(self, upload):
        self.session.delete(
            upload.url,
            headers={"X-UploadToken": upload.token},
            timeout=(CONNECT_SECONDS, IDLE_SECONDS),
            allow_redirects=False,
        )

    @staticmethod
    def _json(reply, doing):
        if reply.status_code != 200:
            raise PeerError("LINK-3", f"{doing}: HTTP {reply.status_code}")
        return json.loads(reply.content)  # labelled text/plain


def _session():
    import requests

    session = requests.Session()  # its adapters retry nothing by default (RETRY-5)
    session.trust_env = False
    session.headers["User-Agent"] = USER_AGENT
    return session


def _file_name(dataname):
    """A name that any server keeps as it is; the real one stays in the envelope."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", dataname)[:100].strip(".") or "payload"


def _expires(text):
    """The store's RFC 3339 time in the form of ENV-9."""
    if not text:
        return None
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", text)
    if not match:
        return None
    second, fraction, zone = match.groups()
    whole = datetime.fromisoformat(second + ("+00:00" if zone == "Z" else zone))
    # Milliseconds are cut, never rounded up: the promise is not longer than the store's.
    milliseconds = int(((fraction or ".") + "000")[1:4])
    return timestamp(whole.timestamp())[:-4] + f"{milliseconds:03}Z"


# --- what may be fetched -------------------------------------------------------------------

_LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}


class Policy:
    """POL-: the named origins. Where none is named, every port of this machine's loopback, which
    is where tests run; that allowance is the peer's own, not the format's."""

    def __init__(self, origins=()):
        self.origins = {_origin(url) for url in origins}

    def check(self, url):
        origin = _origin(url)
        allowed = origin in self.origins if self.origins else origin[1] == "localhost"
        if not allowed:
            raise PeerError("POL-2", f"{origin[0]}://{origin[1]}:{origin[2]} is not allowed; --fileserver would")


def _origin(url):
    if re.search(r"[\x00-\x1f\x7f\\]", url):
        raise PeerError("POL-5", "the link holds a backslash or a control character")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise PeerError("LINK-1", "the link is not a URL") from None
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    if scheme not in ("http", "https") or not host:
        raise PeerError("POL-1", "the link is not an http or https URL")
    if "@" in parts.netloc:
        raise PeerError("POL-5", "the link holds user info")
    host = f"[{host}]" if ":" in host else host
    return scheme, "localhost" if host in _LOOPBACK else host, port or {"http": 80, "https": 443}[scheme]


# --- downloading ---------------------------------------------------------------------------


class CutShort(Exception):
    pass


class Retryable(Exception):
    def __init__(self, message, retry_after=None):
        super().__init__(message)
        self.retry_after = retry_after


def waits(rng, base_delay=100, max_delay=5000):
    """RETRY-2: the waits in ms before retry 1, 2, ..."""
    ceiling = base_delay
    while True:
        bounded = min(max_delay, ceiling)
        yield rng.uniform(bounded / 2, bounded)
        ceiling = min(ceiling * 2, max_delay)


def download(payload, policy, max_retries=5, base_delay=100, max_delay=5000, seed=None):
    """The verified raw bytes behind a link, and notes for the caller."""
    policy.check(payload.data)
    schedule = waits(random.Random(seed), base_delay, max_delay)
    session = _session()
    for tries_left in range(max_retries, -1, -1):
        try:
            return verify(payload, _fetch(session, payload))
        except (Retryable, CutShort) as error:
            if tries_left == 0:
                clause = "VER-7" if isinstance(error, CutShort) else "RETRY-4"
                raise PeerError(clause, f"after {max_retries} retries: {error}") from None
            wait = next(schedule)
            wait = max(wait, min(max_delay, (getattr(error, "retry_after", None) or 0) * 1000))
            time.sleep(wait / 1000)


def _fetch(session, payload):
    import requests

    deadline = time.monotonic() + TOTAL_SECONDS
    try:
        reply = session.get(
            payload.data,
            headers={"Accept-Encoding": "identity"},
            timeout=(CONNECT_SECONDS, IDLE_SECONDS),
            allow_redirects=False,
            stream=True,
        )
        with reply:
            status = reply.status_code
            if status in RETRIED_STATUS or status >= 500:
                raise Retryable(f"HTTP {status}", _retry_after(reply.headers.get("Retry-After")))
            if status != 200:
                raise PeerError("LINK-7", f"HTTP {status}")
            if reply.headers.get("Content-Encoding", "identity") != "identity":
                raise PeerError("LINK-7", "a Content-Encoding nobody asked for")
            body = bytearray()
            for chunk in reply.iter_content(CHUNK):
                body += chunk
                if len(body) > CEILING:
                    raise PeerError("POL-6", "the file is above the ceiling")
                if time.monotonic() > deadline:
                    raise Retryable("the deadline passed")
            return bytes(body)
    except requests.exceptions.ChunkedEncodingError:
        raise CutShort("the download was cut short") from None
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        raise Retryable(type(error).__name__) from None


def _retry_after(text):
    if text is None:
        return None
    if text.strip().isdigit():
        return int(text)
    try:
        when = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0, when.timestamp() - time.time())


def usable_digest(payload):
    """VER-5: the lower-case digest that counts, or None."""
    digest = payload.metadata.get("sha256")
    if isinstance(digest, str) and re.fullmatch(r"[0-9a-fA-F]{64}", digest):
        return digest.lower()
    return None


def verify(payload, raw):
    """Section 8 for either transport: (raw, notes), or the error."""
    notes = []
    digest = usable_digest(payload)
    wrong_size = payload.size is not None and payload.size != len(raw)
    is_link = payload.transport == "link"
    if is_link and payload.size == 0:  # VER-4
        wrong_size = False
    if digest is None:
        if "sha256" in payload.metadata or (is_link and not payload.size):
            notes.append("unverified")
        if is_link and wrong_size:
            if len(raw) < payload.size:
                raise CutShort(f"{len(raw)} of {payload.size} bytes")
            raise PeerError("VER-3", f"{len(raw)} bytes, size says {payload.size}")
    elif hashlib.sha256(raw).hexdigest() != digest:
        if is_link and wrong_size and len(raw) < payload.size:
            raise CutShort(f"{len(raw)} of {payload.size} bytes")
        raise PeerError("VER-7" if is_link else "VER-5", "the digest does not match")
    if wrong_size:
        notes.append(f"size says {payload.size}, there are {len(raw)} bytes")
    return raw, notes
