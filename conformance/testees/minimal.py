#!/usr/bin/env python3
"""The smallest testee: base64.decode with Python's own decoder, which is not as strict as SPEC.md asks."""
import base64
import json
import sys

ME = {"name": "minimal", "language": "Python", "version": "1"}


def base64_decode(data):
    text = bytes.fromhex(data["hex"]) if "hex" in data else data["text"].encode()
    try:
        return {"ok": {"data": {"hex": base64.b64decode(text, validate=True).hex()}}}
    except ValueError:
        return {"reject": {"kind": "invalid_base64"}}


for request in map(json.loads, sys.stdin):
    if request["cmd"] == "start":
        reply = {"version": 1, "testee": ME, "profile": "full", "supports": ["base64.decode"]}
    elif request["cmd"] == "run" and "split" in request:
        reply = {"seq": request["seq"], "skip": "no streaming"}
    elif request["cmd"] == "run":
        reply = {"seq": request["seq"], **base64_decode(request["in"]["data"])}
    else:
        break
    print(json.dumps(reply), flush=True)
