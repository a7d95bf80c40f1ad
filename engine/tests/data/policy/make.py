#!/usr/bin/env python3
"""Writes urls.json: links, what their hosts resolve to, and what Python's own parsers make of both.

The verdict beside each link is drawn from `urllib.parse` and `ipaddress` alone, so that it is independent of the engine:
under an allowance for any host a link is fetched if it is plain http or https and all its addresses are global.
Run it here after changing the lists; it needs Python 3.11 or newer.
"""
import ipaddress
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

# (url, what the host resolves to at first, and at every later time where that differs)
PUBLIC = "93.184.216.34"
LINKS = []


def add(url, resolved=(), later=None):
    LINKS.append((url, list(resolved), later if later is None else list(later)))


# Ordinary ones.
for url in [
    "http://files.example/a", "https://files.example/a", "HTTP://FILES.EXAMPLE/a", "http://files.example:8080/a",
    "http://files.example:81/a?b=c", "http://files.example./a", "http://a.b.c.files.example/x", "http://files.example",
    "http://files.example/a%20b", "http://files.example/a b", "http://files.example/ü", "http://files.example/#f",
    "http://file_server-1.example/a", "http://xn--mller-kva.example/a", "http://1password.example/a",
    "http://files.example/@x", "http://files.example/a:b@c", "http://files.example/?u=http://10.0.0.1/",
]:
    add(url, [PUBLIC])
add("http://six.example/a", ["2606:2800:220:1:248:1893:25c8:1946"])
add("http://both.example/a", [PUBLIC, "2606:2800:220:1:248:1893:25c8:1946"])
for address in ["8.8.8.8", "1.1.1.1", "93.184.216.34", "172.15.255.255", "172.32.0.0", "11.0.0.0", "9.255.255.255",
                "100.63.255.255", "100.128.0.0", "169.253.255.255", "169.255.0.0", "192.167.255.255", "192.169.0.0",
                "126.255.255.255", "128.0.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255"]:
    add(f"http://{address}/a")
for address in ["2606:2800:220:1:248:1893:25c8:1946", "2001:4860:4860::8888", "2a00:1450:4001::1",
                "::ffff:93.184.216.34", "64:ff9b::5db8:d822", "2002:5db8:d822::1"]:
    add(f"http://[{address}]/a")

# Addresses behind the walls, as they are and under a name.
SPECIAL = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.0.0.2",
    "127.255.255.254", "169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255",
    "192.0.0.1", "192.0.2.1", "192.168.0.1", "192.168.255.255", "198.18.0.1", "198.19.255.255", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "100.100.100.200",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::1", "100::1",
    "2001:db8::1", "3fff::1", "2001:2::1", "2001:10::1", "2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe", "2001:0:7f00:1:8000:63bf:a247:27dd", "fc00::1", "fd00:ec2::254",
    "fdff:ffff::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "ff0e::1", "4000::1", "5f00::1",
]
for address in SPECIAL:
    add(f"http://[{address}]/a" if ":" in address else f"http://{address}/a")
    add("http://inside.example/a", [address])
for address in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"]:
    add("http://mixed.example/a", [PUBLIC, address])
    add("http://mixed.example/a", [address, PUBLIC])
    add("http://rebinding.example/a", [PUBLIC], [address])

# Names of this machine.
for url in ["http://localhost/a", "http://LOCALHOST/a", "http://localhost./a", "http://a.localhost/a"]:
    add(url, ["127.0.0.1", "::1"])

# Spellings that resolvers and parsers read in different ways.
for host in ["127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0x7f.0x0.0x0.0x1", "0177.0.0.1", "017700000001",
             "127.0.0.01", "127.0.0.1.", "127.000.000.001", "1.2.3.4.5", "127.0.0.256", "10.1", "0xa9fea9fe",
             "2852039166", "169.254.43518", "0251.0376.0251.0376", "0", "0x0"]:
    add(f"http://{host}/a", ["127.0.0.1"])
for host in ["[::1%25lo]", "[fe80::1%eth0]", "[::1", "::1]", "[]", "[1]", "[::ffff:127.1]", "[v1.x]", "[::1]x", "[::1]]"]:
    add(f"http://{host}/a", ["127.0.0.1"])
for host in ["①②⑦.⓪.⓪.①", "127。0。0。1", "ｌｏｃａｌｈｏｓｔ", "loc%61lhost", "127.0.0.1%00.example", "local\u00adhost"]:
    add(f"http://{host}/a", ["127.0.0.1"])

# Two hosts in one.
for url in ["http://u@files.example/a", "http://u:p@files.example/a", "http://files.example@127.0.0.1/a",
            "http://127.0.0.1@files.example/a", "http://@files.example/a", "http://files.example\\@127.0.0.1/a",
            "http://127.0.0.1\\.files.example/a", "http:\\\\files.example\\a", "http://files.example\\a",
            "http://files.example:80@127.0.0.1/a", "http://files.example:@127.0.0.1/a"]:
    add(url, [PUBLIC])

# No http, no host, no port.
for url in ["ftp://files.example/a", "file:///etc/passwd", "file://files.example/a", "gopher://files.example/a",
            "javascript:alert(1)", "data:text/plain,x", "//files.example/a", "/a", "", "files.example/a", "http:/files.example/a",
            "http:files.example/a", "http://", "http:///a", "http://?a", "http://:80/a", "https+x://files.example/a",
            "ws://files.example/a", "http://files.example:0/a", "http://files.example:65536/a",
            "http://files.example:99999999999/a", "http://files.example:-1/a", "http://files.example:8o/a",
            "http://files.example:80:80/a", "http://.files.example/a", "http://files..example/a", "http://*/a",
            "http://files example/a", "http://files.example\r\nHost: inside/a", "http://files.example/\n", "\thttp://files.example/a",
            "http://files.example/\x00", " http://files.example/a"]:
    add(url, [PUBLIC])

# Ports of other protocols.
for port in [22, 25, 110, 143, 587, 6000, 6667, 11211]:
    add(f"http://files.example:{port}/a", [PUBLIC])

# Known to be unsafe beside the registries: places inside a cloud that lie in public ranges.
METADATA = {"168.63.129.16", "100.100.100.200", "192.0.0.192"}
add("http://168.63.129.16/a")
add("http://wire.example/a", ["168.63.129.16"])
OTHER_PROTOCOLS = {22, 25, 110, 143, 587, 6000, 6667, 11211}


def is_global(address):
    """What `ipaddress` says, of the address inside where there is one."""
    if address.version == 6:
        value = int(address)
        inside = [address.ipv4_mapped, address.sixtofour] + list(address.teredo or [])
        for prefix in ["64:ff9b::/96", "::/96", "::ffff:0:0:0/96"]:
            # The last two are deprecated forms of the same, which `ipaddress` does not look into.
            if address in ipaddress.ip_network(prefix) and value > 1:
                inside.append(ipaddress.IPv4Address(value & 0xFFFFFFFF))
        inside = [one for one in inside if one is not None]
        if inside:
            return all(is_global(one) for one in inside)
        # Only this eighth of the space has been given to anybody (RFC 4291).
        if address not in ipaddress.ip_network("2000::/3"):
            return False
        # Protocol assignments, of which `ipaddress` lets a few through that are no hosts; documentation, which older
        # versions do not know.
        if any(address in ipaddress.ip_network(prefix) for prefix in ["2001::/23", "3fff::/20"]):
            return False
    return address.is_global and not address.is_multicast and str(address) not in METADATA


def python_says(url, resolved):
    """Whether a link may be fetched, and by which rule not."""
    if any(ord(char) < 32 or char in "\\\x7f" for char in url) or url != url.strip():
        return "control"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "syntax"
    if parts.scheme not in ("http", "https"):
        return "scheme"
    if not url.lower().startswith(parts.scheme + "://"):
        return "syntax"
    if "@" in parts.netloc:
        return "user info"
    host = parts.hostname
    if not host or port == 0:
        return "syntax"
    if port in OTHER_PROTOCOLS:
        return "port"
    try:
        addresses = [ipaddress.ip_address(host)]
        if "%" in host:
            return "syntax"
    except ValueError:
        name = host.removesuffix(".")
        labels = name.split(".")
        if not all(label and all(char.isascii() and (char.isalnum() or char in "-_") for char in label) for label in labels):
            return "syntax"
        if labels[-1].isdigit() or labels[-1].startswith("0x"):
            return "odd address"
        if labels[-1] == "localhost":
            return "address"
        addresses = [ipaddress.ip_address(address) for address in resolved]
    return "allowed" if all(is_global(address) for address in addresses) else "address"


def main():
    if sys.version_info < (3, 11):
        sys.exit("this Python's registry of special addresses is too old")
    links = []
    for url, resolved, later in LINKS:
        link = {"url": url, "resolved": resolved, "python": python_says(url, resolved)}
        if later is not None:
            link["later"] = later
            link["python_later"] = python_says(url, later)
        links.append(link)
    text = json.dumps({"links": links}, ensure_ascii=True, indent=1)
    Path(__file__).with_name("urls.json").write_text(text + "\n")
    allowed = sum(link["python"] == "allowed" for link in links)
    print(f"{len(links)} links, {allowed} of them allowed")


main()
