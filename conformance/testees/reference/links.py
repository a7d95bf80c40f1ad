"""What a receiver may fetch (section 12), when it tries again (section 11), and what a Plik answers (LINK-3)."""

import ipaddress
import random
import re
import unicodedata
from urllib.parse import quote

from refusal import Refusal
from strict_json import parse, to_value

DEFAULT_PORTS = {"http": 80, "https": 443}
ONE_HOST = {"localhost", "127.0.0.1", "[::1]"}


class Url:
    """An absolute http or https URL, taken apart by hand: URL libraries repair what must be refused."""

    def __init__(self, text):
        # POL-5
        if any(unicodedata.category(c) == "Cc" for c in text) or "\\" in text:
            raise Refusal("link_refused")
        match = re.fullmatch(r"([A-Za-z]+)://([^/?#]*)([^#]*)(?:#.*)?", text, re.DOTALL)
        if match is None:
            raise Refusal("link_refused")
        scheme, authority, rest = match.groups()
        self.scheme = scheme.lower()
        if self.scheme not in DEFAULT_PORTS or "@" in authority:  # POL-1, POL-5
            raise Refusal("link_refused")
        match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::([0-9]{0,5}))?", authority)
        if match is None:
            raise Refusal("link_refused")
        host, port = match.groups()
        self.host = host.lower() if host.isascii() else host
        self.port = int(port) if port else DEFAULT_PORTS[self.scheme]
        if not 1 <= self.port <= 65535:
            raise Refusal("link_refused")
        self.rest = rest if rest.startswith("/") else "/" + rest

    def origin(self):
        """POL-4."""
        return self.scheme, "localhost" if self.host in ONE_HOST else self.host, self.port

    def request(self):
        """The URL to ask for: escapes stay, what a request cannot carry is escaped (POL-5)."""
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        path = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", self.rest)
        return f"{self.scheme}://{self.host}{port}" + quote(path, safe="%/?:@!$&'()*+,;=-._~#")


def check(url, origins):
    """POL-2: the request URL of an origin that is allowed by name."""
    url = Url(url)
    if url.origin() not in [Url(origin).origin() for origin in origins]:
        raise Refusal("link_refused")
    return url.request()


def check_wide(url, origins, domains=(), any_host=False, allow_private=False, resolved=()):
    """POL-3: a wider allowance reaches public addresses only, unless the others are allowed too."""
    try:
        return check(url, origins)
    except Refusal:
        url = Url(url)
    names = [domain.lower() for domain in domains]
    within = any(url.host == name or url.host.endswith("." + name) for name in names)
    if not any_host and not within:
        raise Refusal("link_refused")
    if not re.fullmatch(r"[a-z0-9._-]+|\[.*\]", url.host):
        raise Refusal("link_refused")
    addresses = [ipaddress.ip_address(address) for address in resolved]
    try:
        addresses = [ipaddress.ip_address(url.host.strip("[]"))]
    except ValueError:
        if re.search(r"(^|\.)(0x[0-9a-f]*|[0-9]+)\.?$", url.host):
            raise Refusal("link_refused") from None  # a number that resolvers read in several ways
    if not addresses or not (allow_private or all(map(is_public, addresses))):
        raise Refusal("link_refused")
    return url.request()


def is_public(address):
    """Whether an address is nobody's own network; addresses inside addresses are looked at too."""
    if address.version == 6:
        inner = address.ipv4_mapped or address.sixtofour
        if address in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.ip_address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


def retry_delay(retry, base_ms, max_ms, seed, retry_after_ms=None):
    """RETRY-2, RETRY-3: milliseconds before retry `retry`, counted from 1."""
    longest = min(max_ms, base_ms << min(retry - 1, 200))
    drawn = random.Random(seed * 1_000_003 + retry).uniform(longest / 2, longest)
    return max(drawn, min(retry_after_ms or 0, max_ms))


def is_retried(status=None, failure=None):
    """RETRY-4."""
    if failure is not None:
        return failure in ("connect", "timeout", "cut_short")
    return status in (408, 425, 429) or 500 <= status <= 599


def plik_link(server, upload, file):
    """LINK-3: what two answers of a Plik come to. Any nonsense in them is a Refusal."""
    upload, file = _answer(upload), _answer(file)
    for name, value in (("id", upload.get("id")), ("id", file.get("id"))):
        # It becomes a path segment, so nothing that means something in a path.
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", value):
            raise Refusal("store")
    token, name = upload.get("uploadToken"), file.get("fileName")
    # It becomes a header.
    if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
        raise Refusal("store")
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name:
        raise Refusal("store")
    domain = upload.get("downloadDomain")
    if domain is not None and not isinstance(domain, str):
        raise Refusal("store")
    base = domain or server
    try:
        url = Url(base)
    except Refusal:
        raise Refusal("store") from None
    if "?" in base or "#" in base:
        raise Refusal("store")
    base = url.request().rstrip("/")
    link = f"{base}/file/{upload['id']}/{file['id']}/{quote(name, safe='')}"
    return {"upload_id": upload["id"], "file_id": file["id"], "url": link, "token": token}


def _answer(text):
    root = parse(text, "store")
    if root.kind != "object":
        raise Refusal("store")
    return to_value(root, "store")
