"""Reads links as Python's urllib and ipaddress do: make.py > links.tsv

Each line: the link as a JSON string, and what Python makes of it: `-` where it refuses, or finds user info or no host,
else scheme, host and port, and for an address whether it is `global` or `special`. `tests/policy.rs` holds the engine
against it: it may refuse more, and never reads another place out of a link or calls a special address public.
"""

import ipaddress
import itertools
import json
import sys
from urllib.parse import urlsplit

HOSTS = """
localhost LOCALHOST localhost. a.localhost 127.0.0.1 127.0.0.1. 127.1 127.0.1 0x7f.1 0x7f000001 0177.0.0.1 2130706433
017700000001 0 0.0.0.0 127.0.0.256 1.2.3.4.5 256.1.1.1 1.1.1.1 8.8.8.8 10.0.0.1 10.0.0.07 10.1 172.16.0.1 172.31.255.255
172.32.0.1 192.168.0.1 192.167.255.255 169.254.169.254 169.254.0.1 100.64.0.1 100.127.255.255 100.128.0.1 198.18.0.1
198.20.0.1 192.0.0.1 192.0.2.1 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 93.184.216.34
[::] [::1] [0:0:0:0:0:0:0:1] [0000:0000:0000:0000:0000:0000:0000:0001] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1]
[::ffff:10.0.0.1] [::ffff:a9fe:a9fe] [::ffff:0:127.0.0.1] [::ffff:8.8.8.8] [64:ff9b::7f00:1] [64:ff9b::a9fe:a9fe]
[64:ff9b:1::1] [2002:7f00:1::] [2002:a9fe:a9fe::1] [2001:0:7f00:1::] [2001:db8::1] [fe80::1] [fe80::1%25eth0] [fe80::1%eth0]
[fec0::1] [fc00::1] [fd00:ec2::254] [fd12:3456::1] [ff02::1] [ff0e::1] [100::1] [2606:2800:220:1::1] [2001:4860:4860::8888]
[::ffff:127.1] [::1 ::1 [] [v1.x] [1::2::3] [::ffff:0x7f.0.0.1] [::FFFF:127.0.0.1] [2001:20::1] [2001:2::1] [5f00::1]
[3fff::1] files.example.org FILES.Example.ORG files.example.org. a.files.example.org files.example.org.evil.example
evilfiles.example.org example.org file_server-1 xn--mnchen-3ya.example a..b .a a. . .. - a_b a%2fb a%00b a%2eb 0x 0x.0x 1e1
""".split()
PORTS = ["", ":", ":80", ":8080", ":443", ":0", ":65535", ":65536", ":080", ":08080", ":+80", ":-1", ":80a", ":8080:80", ": 80"]
PATHS = ["/x", "", "?x", "#x", "/a@b", "\\@evil/x", "@evil/x", "/\t", "\n", " /x"]
PREFIXES = [
    "http://", "https://", "HTTP://", "ftp://", "file://", "//", "http:", "http:/", "http:///", "http:\\\\", " http://",
    "\thttp://", "ht\ntp://", "http://@", "http://user@", "http://user:pass@", "http://localhost:8080@", "http://u%40v@",
    "http://\u00ad", "javascript://", "http+unix://", "http://[", "http://\uff4c",
]


def links():
    for host in HOSTS:
        yield f"http://{host}/x"
        yield f"https://{host}:8080/x"
    for host, port in itertools.product(["localhost", "[::1]", "files.example.org", "10.0.0.7"], PORTS):
        yield f"http://{host}{port}/x"
    for host, path in itertools.product(["localhost:8080", "[::1]:8080", "files.example.org"], PATHS):
        yield f"http://{host}{path}"
    for prefix, host in itertools.product(PREFIXES, ["localhost:8080/x", "files.example.org/x"]):
        yield prefix + host
    for host in ["ｌｏｃａｌｈｏｓｔ", "①②⑦.⓪.⓪.①", "localhost\u00ad", "loc\u200balhost", "müller.example", "a。b"]:
        yield f"http://{host}:8080/x"


def read(link):
    try:
        parts = urlsplit(link)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "-"
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        return "-"
    if port is None:
        port = 80 if parts.scheme == "http" else 443
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        kind = "name"
    else:
        kind = "global" if address.is_global and not address.is_multicast else "special"
    return f"{parts.scheme}\t{host}\t{port}\t{kind}"


print(f"# Python {sys.version.split()[0]}; made by make.py")
for link in sorted(set(links())):
    print(json.dumps(link) + "\t" + read(link))
