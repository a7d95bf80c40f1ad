#!/usr/bin/env python3
"""A testee that is right but for one thing: broken.py MODE. README.md lists the modes.

What breaks the protocol happens at the fifth request only, so that a run loses one case and goes on.
"""
import json
import sys
import time
from pathlib import Path

ALPHABETS = (
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
)
FIFTH = 5
MODE = sys.argv[1]


def decode(text: bytes) -> bytes | None:
    """Base64 by SPEC.md, or None."""
    if text.endswith(b"\n"):
        text = text[:-2] if text.endswith(b"\r\n") else text[:-1]
    body = text.rstrip(b"=")
    padding = len(text) - len(body)
    if padding and (padding > 2 or len(text) % 4):
        return None
    if len(body) % 4 == 1:
        return None
    for alphabet in ALPHABETS:
        if all(byte in alphabet for byte in body):
            bits = "".join(f"{alphabet.index(byte):06b}" for byte in body)
            whole = len(bits) // 8 * 8
            if "1" in bits[whole:]:
                return None
            return bytes(int(bits[at : at + 8], 2) for at in range(0, whole, 8))
    return None


def pieces(text: bytes, cuts: list[int]) -> list[bytes]:
    ends = [*cuts, len(text)]
    return [text[start:end] for start, end in zip([0, *cuts], ends)]


def answer(request: dict) -> dict:
    if request["op"] != "base64.decode":
        return {"skip": "not today"}
    data = request["in"]["data"]
    text = bytes.fromhex(data["hex"]) if "hex" in data else data["text"].encode()
    cuts = request.get("split")
    parts = [text] if cuts is None else pieces(text, cuts)
    if MODE == "first-piece":
        text = parts[0]
    said = {} if cuts is None or MODE == "ignore-split" else {"pieces": len(parts)}
    decoded = decode(text)
    if MODE == "accept-all" or (MODE == "accept-rest" and text != b"Q"):
        decoded = decoded or b""
    if decoded is None or MODE == "reject-all":
        return {"reject": {"kind": "invalid_base64"}, **said}
    if MODE == "drop-last" and len(decoded) > 3:
        decoded = decoded[:-1]
    return {"ok": {"data": {"hex": decoded.hex()}}, **said}


def say(line: str) -> None:
    print(line, flush=True)


def start() -> dict:
    supports = ["base64.decode"]
    if MODE == "pretend":
        supports.append("base64.encode")
    if MODE == "unknown-op":
        supports.append("base64.guess")
    me = {"name": "broken", "language": "Python", "version": MODE}
    return {"version": 1, "testee": me, "profile": "full", "supports": supports}


def main() -> int:
    if MODE == "once":
        # A name that is taken stays taken: the second start fails.
        taken = Path(sys.argv[2])
        if taken.exists():
            return 3
        taken.touch()
    if MODE == "dead":
        print("broken: no such file", file=sys.stderr)
        return 3
    for line in sys.stdin:
        request = json.loads(line)
        if request["cmd"] == "start":
            if MODE == "mute":
                time.sleep(3600)
            say(json.dumps(start()))
        elif request["cmd"] == "stop":
            if MODE == "deaf":
                time.sleep(3600)
            return 1 if MODE == "sour" else 0
        else:
            reply = {"seq": request["seq"], **answer(request)}
            if request["seq"] == FIFTH:
                if MODE == "wrong-seq":
                    reply["seq"] += 7
                elif MODE == "hang":
                    time.sleep(3600)
                elif MODE in ("crash", "exit-0", "once"):
                    print("broken: the fifth is too many", file=sys.stderr, flush=True)
                    return 0 if MODE == "exit-0" else 3
                elif MODE == "chatter":
                    say("decoding ...")
                elif MODE == "half-line":
                    sys.stdout.write('{"seq":5,"o')
                    return 0
                elif MODE == "long-line":
                    reply["padding"] = "x" * (17 << 20)
                elif MODE == "wrong-shape":
                    reply = {"seq": request["seq"], "ok": {"data": "QQ=="}}
                elif MODE == "error":
                    reply = {"seq": request["seq"], "error": "IndexError: list index out of range"}
                elif MODE == "twice":
                    say(json.dumps(reply))
            say(json.dumps(reply))
    return 0


if __name__ == "__main__":
    sys.exit(main())
