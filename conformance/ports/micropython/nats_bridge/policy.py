# Link URLs, and which of them a receiver may fetch (SPEC.md section 12): only origins that it names.

from .errors import BridgeError

MAX_URL_LEN = 8192
_DEFAULT_PORT = {"http": 80, "https": 443}
_ONE_HOST = ("localhost", "127.0.0.1", "[::1]")
_ALNUM = "abcdefghijklmnopqrstuvwxyz0123456789"
_KEPT = b"!$&'()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
_SEGMENT = b"-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_HEX = b"0123456789abcdefABCDEF"


class Link:
    """An absolute http or https URL, fit for a request. It is a secret: `str()` shows its origin only."""

    def __init__(self, scheme, host, port, target):
        self.scheme, self.host, self.port, self.target = scheme, host, port, target

    @property
    def origin(self):
        """POL-4: what is compared with the allowed origins."""
        return self.scheme, "localhost" if self.host in _ONE_HOST else self.host, self.port

    @property
    def authority(self):
        return self.host if self.port == _DEFAULT_PORT[self.scheme] else "%s:%d" % (self.host, self.port)

    @property
    def url(self):
        """The whole URL as it is requested."""
        return "%s://%s%s" % (self.scheme, self.authority, self.target)

    def __str__(self):
        return "%s://%s:%d/..." % (self.scheme, self.host, self.port)


def parse_link(text):
    """Reads the `data` of a link payload; refuses what is no http or https URL, and what parsers disagree
    about."""
    if len(text.encode()) > MAX_URL_LEN:
        raise _refused("POL-1", "it is too long")
    for char in text:
        if char < " " or "\x7f" <= char <= "\x9f" or char == "\\":
            raise _refused("POL-5", "it has a backslash or a control character")
    scheme, mark, rest = text.partition("://")
    scheme = scheme.lower()
    if not mark or scheme not in _DEFAULT_PORT:
        raise _refused("POL-1", "it is no absolute http or https URL")
    rest = rest.partition("#")[0]
    end = 0
    while end < len(rest) and rest[end] not in "/?":
        end += 1
    authority, target = rest[:end], rest[end:]
    if "@" in authority:
        raise _refused("POL-5", "it has user info in front of the host")
    if authority[:1] == "[":
        address, bracket, port = authority[1:].partition("]")
        if not bracket or port[:1] not in ("", ":") or not is_ipv6(address):
            raise _refused("POL-1", "its IPv6 address is not valid")
        host, port = "[" + address + "]", port[1:]
    else:
        host, _, port = authority.partition(":")
        _check_host(host)
    if len(port) > 5 or not all(c in "0123456789" for c in port) or port and not 1 <= int(port) <= 65535:
        raise _refused("POL-1", "its port is not between 1 and 65535")
    if target[:1] != "/":
        target = "/" + target
    return Link(scheme, host.lower(), int(port or _DEFAULT_PORT[scheme]), _encoded(target.encode()))


def _check_host(host):
    """DNS names and dotted IPv4 addresses, and no spelling that resolvers read in more than one way."""
    name = host.lower()
    labels = (name[:-1] if name[-1:] == "." else name).split(".")
    for label in labels:
        if not 1 <= len(label) <= 63 or not all(c in _ALNUM or c in "-_" for c in label):
            raise _refused("POL-1", "its host is not valid")
    if len(host) > 253:
        raise _refused("POL-1", "its host is not valid")
    last = labels[-1]
    if last[:2] == "0x" or all(c in "0123456789" for c in last):
        if name[-1:] == "." or not is_ipv4(name):
            raise _refused("POL-1", "its host looks like an IPv4 address but is not four decimal numbers")


def is_ipv4(text):
    parts = text.split(".")
    for part in parts:
        digits = part and len(part) <= 3 and all(c in "0123456789" for c in part)
        if not digits or len(part) > 1 and part[0] == "0" or int(part) > 255:
            return False
    return len(parts) == 4


def is_ipv6(text):
    halves = text.split("::")
    if len(halves) > 2:
        return False
    groups = 0
    for half in halves:
        parts = half.split(":") if half else []
        for index, part in enumerate(parts):
            if "." in part and half is halves[-1] and index == len(parts) - 1 and is_ipv4(part):
                groups += 2
            elif 1 <= len(part) <= 4 and all(c in "0123456789abcdefABCDEF" for c in part):
                groups += 1
            else:
                return False
    return groups <= 7 if len(halves) == 2 else groups == 8


def _encoded(raw):
    out = []
    for at, byte in enumerate(raw):
        kept = byte in _KEPT
        if byte == 37:  # an escape stays, a lone percent sign is data
            digits = raw[at + 1 : at + 3]
            kept = len(digits) == 2 and digits[0] in _HEX and digits[1] in _HEX
        out.append(chr(byte) if kept else "%%%02X" % byte)
    return "".join(out)


def encoded_segment(text):
    """One path segment with everything escaped but letters, digits and `-._~`."""
    return "".join(chr(byte) if byte in _SEGMENT else "%%%02X" % byte for byte in text.encode())


class Policy:
    """What a receiver may fetch: the origins named here, such as `http://localhost:8080`, and nothing
    else."""

    def __init__(self, origins=()):
        self.origins = set()
        for origin in origins:
            self.allow_origin(origin)

    def allow_origin(self, origin):
        try:
            link = parse_link(origin)
        except BridgeError as error:
            raise BridgeError("invalid_input", error.clause, "not an origin: " + error.message)
        if link.target != "/" or "?" in origin or "#" in origin:
            raise BridgeError(
                "invalid_input", "POL-4", "an origin is scheme, host and port: http://localhost:8080"
            )
        self.origins.add(link.origin)

    def check(self, link):
        if link.origin not in self.origins:
            origin = "%s://%s:%d" % (link.scheme, link.host, link.port)
            raise _refused("POL-2", origin + " is not allowed; if it is trusted, put it into allow_origins")


def _refused(clause, why):
    return BridgeError("link_refused", clause, "the link is refused: " + why)
