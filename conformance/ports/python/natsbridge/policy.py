"""Link URLs, and which of them a receiver may fetch (SPEC.md section 12)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Iterable

from .errors import BridgeError

MAX_URL_LEN = 8192  # chosen: far above any file server's links
_DEFAULT_PORT = {"http": 80, "https": 443}
_ONE_HOST = {"localhost", "127.0.0.1", "[::1]"}
_HOST = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_KEPT = frozenset(b"!$%&'()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~")


@dataclass(frozen=True)
class Link:
    """An absolute http or https URL, fit for a request. It is a secret: `str()` shows its origin only."""

    scheme: str
    host: str  # lower case; an IPv6 address has its brackets
    port: int
    target: str  # path and query, percent-encoded

    @property
    def origin(self) -> tuple[str, str, int]:
        """POL-4: what is compared with the allowed origins."""
        return self.scheme, "localhost" if self.host in _ONE_HOST else self.host, self.port

    @property
    def url(self) -> str:
        """The whole URL as it is requested."""
        port = "" if self.port == _DEFAULT_PORT[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}{self.target}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}/…"

    __repr__ = __str__


def parse_link(text: str) -> Link:
    """Reads the `data` of a link payload; refuses what is no http or https URL, and what parsers disagree
    about (user info, backslashes, control characters, odd spellings of addresses). Spaces and raw UTF-8 are
    encoded.

    >>> parse_link("http://Files:8080/my report.pdf").url
    'http://files:8080/my%20report.pdf'
    """
    if len(text.encode(errors="replace")) > MAX_URL_LEN:
        raise _refused("POL-1", f"it is longer than {MAX_URL_LEN} bytes")
    if re.search(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]", text):
        raise _refused("POL-5", "it has a backslash or a control character")
    match = re.match(r"(https?)://([^/?#]*)([^#]*)", text, re.I)
    if not match:
        raise _refused("POL-1", "it is no absolute http or https URL")
    scheme, authority, target = match[1].lower(), match[2], match[3]
    if "@" in authority:
        raise _refused("POL-5", "it has user info in front of the host")
    host, port = _host_and_port(authority)
    if len(port) > 5 or port and not 1 <= int(port) <= 65535:
        raise _refused("POL-1", "its port is not between 1 and 65535")
    if not target.startswith("/"):
        target = "/" + target
    return Link(scheme, host.lower(), int(port or _DEFAULT_PORT[scheme]), _encoded(target))


def _host_and_port(authority: str) -> tuple[str, str]:
    if authority.startswith("["):
        match = re.fullmatch(r"(\[([0-9A-Fa-f:.]+)\])(?::([0-9]*))?", authority)
        if not match or not _is_ipv6(match[2]):
            raise _refused("POL-1", "its IPv6 address is not valid")
        return match[1], match[3] or ""
    match = re.fullmatch(r"([^:]*)(?::([0-9]*))?", authority)
    if not match or not _HOST.fullmatch(match[1]) or len(match[1]) > 253:
        raise _refused("POL-1", "its host or port is not valid")
    host = match[1]
    last = host.rstrip(".").rpartition(".")[2].lower()
    if re.fullmatch(r"[0-9]+|0x.*", last):
        # `127.1`, `2130706433` and `0x7f.1` are this machine to some resolvers and nonsense to others.
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise _refused(
                "POL-1", "its host looks like an IPv4 address but is not four decimal numbers"
            ) from None
    return host, match[2] or ""


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _encoded(target: str) -> str:
    raw = target.encode()
    out = []
    for at, byte in enumerate(raw):
        kept = byte in _KEPT
        if byte == ord("%"):  # an escape stays, a lone percent sign is data
            kept = re.match(rb"[0-9A-Fa-f]{2}", raw[at + 1 : at + 3]) is not None
        out.append(chr(byte) if kept else f"%{byte:02X}")
    return "".join(out)


@dataclass
class Policy:
    """What a receiver may fetch. Nothing, until something is allowed.

    `origins` are allowed by name, as in `http://localhost:8080`, and may resolve to any address. `domains`
    (each with its subdomains) and `any_host` are wider: with them, addresses that are not public stay refused
    unless `allow_private` is set too, and the address that was checked is the one connected to.
    """

    origins: Iterable[str] = ()
    domains: Iterable[str] = ()
    any_host: bool = False
    allow_private: bool = False

    def __post_init__(self) -> None:
        self._origins = {_origin(text) for text in self.origins}
        self._domains = [domain.lower().strip(".") for domain in self.domains]

    def allow_origin(self, origin: str) -> None:
        self._origins.add(_origin(origin))

    def check(self, link: Link) -> bool:
        """Refuses a link, or says whether its addresses are free (`True`) or have to be checked too."""
        if link.origin in self._origins:
            return True
        if self.any_host or any(link.host == d or link.host.endswith("." + d) for d in self._domains):
            return self.allow_private
        origin = f"{link.scheme}://{link.host}:{link.port}"
        raise _refused(
            "POL-2", f"{origin} is not allowed; if it is trusted, allow it with allow_origins=[{origin!r}]"
        )

    def check_addresses(self, link: Link, addresses: Iterable[str]) -> None:
        """POL-3, for a link that `check` did not free: every address that its host has must be public."""
        for address in addresses:
            if not is_public(address):
                raise _refused(
                    "POL-3",
                    f"{link.scheme}://{link.host} is at an address that is not public; "
                    "allow it with allow_private=True",
                )


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, an IPv4 address inside an IPv6 one included."""
    try:
        ip = ipaddress.ip_address(address.split("%")[0].strip("[]"))
    except ValueError:
        return False
    if ip.version == 6:
        inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if ip in _NAT64 or int(ip) >> 32 == 0:  # 64:ff9b::/96, and the old IPv4-compatible ::/96
            inner.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if any(inner):
            return all(is_public(str(four)) for four in inner if four)
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def _origin(text: str) -> tuple[str, str, int]:
    try:
        link = parse_link(text)
    except BridgeError as error:
        raise BridgeError("invalid_input", error.clause, f"not an origin: {error}") from None
    if link.target != "/" or "#" in text or "?" in text:
        raise BridgeError(
            "invalid_input", "POL-4", "an origin is scheme, host and port: http://localhost:8080"
        )
    return link.origin


def _refused(clause: str, why: str) -> BridgeError:
    return BridgeError("link_refused", clause, f"the link is refused: {why}")
