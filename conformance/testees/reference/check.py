#!/usr/bin/env python3
"""A second opinion on vectors and runner: runs vector files against a testee, and says which clauses have no case.

    python3 conformance/testees/reference/check.py [--testee "CMD ARGS"] [--all-failures] [FILE.json ...]

Without --testee it is the reference. Without files, all of conformance/vectors. Peer cases are left to the runner."""

import argparse
import collections
import hashlib
import json
import pathlib
import re
import shlex
import struct
import subprocess
import sys

from strict_json import parse, to_value
from testee import bytes_in, string_in

HERE = pathlib.Path(__file__).parent
CONFORMANCE = HERE.parent.parent
# Clauses that no request to a testee can show, and why.
UNTESTABLE = {
    "LINK-2": "says what a store is",
    "PLAN-7": "no testee can be made to meet a store whose URLs are longer than it says",
    "POL-8": "a bridge that names a Plik: the protocol has no request for it",
    "POL-9": "defaults of the facade, which the protocol always overrides",
}


class Testee:
    def __init__(self, command):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, encoding="utf-8", **pipes)
        self.seq = 0
        self.supports = self.ask({"cmd": "start", "version": 1})["supports"]

    def ask(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def run(self, case, split=None):
        self.seq += 1
        request = {"cmd": "run", "seq": self.seq} | {key: case[key] for key in ("op", "in", "limits") if key in case}
        if split is not None:
            request["split"] = split
        reply = self.ask(request)
        if reply.pop("seq", None) != self.seq:
            raise SystemExit(f"{case['id']}: the reply has the wrong seq")
        return reply


def splits(case, testee_takes=64):
    """Every way to give a case: whole, in single bytes, and at every single cut, where it says so."""
    split = case.get("split")
    if split is None:
        return [None]
    if split != "each":
        return [None, split]
    length = len(bytes_in(next(iter(case["in"].values()))))
    return [None, list(range(1, length))] + [[cut] for cut in range(1, length)][:testee_takes]


def judged(case, reply):
    """None where the reply is right, else what is wrong."""
    expect = case["expect"]
    either = expect.get("either")
    if either is not None:
        if "reject" in reply:
            return None if reply["reject"]["kind"] in either.get("reject", []) else "rejected so"
        return difference(either["accept"], reply.get("ok")) if "accept" in either else "not rejected"
    if "accept" in expect and case["op"] == "payload.write" and case["in"]["type"] in ("dictionary", "jsontable"):
        return difference({"json": expect["accept"]["data"]}, {"json": reply.get("ok", {}).get("data")})
    if "accept" in expect:
        return difference(expect["accept"], reply.get("ok"))
    return refused(expect, reply.get("reject"))


def refused(expect, reject):
    if reject is None:
        return "not rejected"
    if reject["kind"] not in expect["reject"]:
        return f"kind {reject['kind']}"
    for name in ("offset", "needed", "limit"):
        if name in expect and int(reject.get(name, -1)) != int(expect[name]):
            return f"{name} is {reject.get(name)}"
    return None


# Keys whose values are B, S, V or integers; all others are compared as they stand.
BYTES, JSON, INTEGERS = {"bytes", "body", "data"}, {"json", "rows", "metadata"}, {"size", "unix_ns"}


def difference(expected, got, key=None):
    if got is None and expected is not None:
        return f"{key or 'answer'} is missing"
    if key in INTEGERS and expected is not None:
        return None if int(expected) == int(got) else f"{key} is {got}"
    if key in BYTES:
        return None if digest(expected) == digest(got) else f"{key} is {got}"
    if key in JSON and isinstance(expected, dict):
        # The runner's own rule: equal keys and overflow are no business of this comparison.
        values = [to_value(parse(bytes_in(value), "malformed"), "malformed") for value in (expected, got)]
        return None if same_json(*values) else f"{key} is {values[1]}"
    if key == "text" or isinstance(expected, str) or isinstance(expected, dict) and set(expected) == {"hex"}:
        return None if string_in(expected) == string_in(got) else f"{key} is {got}"
    if isinstance(expected, dict):
        if "interval" in expected:
            low, high = expected["interval"]
            return None if low <= got["ms"] <= high else f"waits {got['ms']}"
        if key is None and expected.get("request") and "request" not in got:
            return None
        if key == "payload" and "reject" in expected:
            return refused(expected, got.get("reject"))
        for name, value in expected.items():
            what = difference(value, got.get(name), name)
            if what:
                return f"{key}: {what}" if key else what
        return None
    if isinstance(expected, list) and key not in ("values",):
        if len(expected) != len(got):
            return f"{len(got)} {key}"
        inner = {"payloads": "payload", "columns": "column"}.get(key, key)
        return next(filter(None, (difference(e, g, inner) for e, g in zip(expected, got))), None)
    return None if expected == got else f"{key} is {got}"


def same_json(a, b):
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_json(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same_json, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return struct.pack(">d", a) == struct.pack(">d", b) or a == b
    return a == b


def digest(value):
    if "sha256" in value:
        return value["sha256"], value["len"]
    data = bytes_in(value)
    return hashlib.sha256(data).hexdigest(), len(data)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--testee", default=f"{sys.executable} {HERE / 'testee.py'}")
    arguments.add_argument("--all-failures", action="store_true")
    arguments.add_argument("files", nargs="*", type=pathlib.Path)
    options = arguments.parse_args()
    files = options.files or sorted((CONFORMANCE / "vectors").glob("*/*.json"))
    testee = Testee(shlex.split(options.testee))

    outcomes, ids, cited, failures = collections.Counter(), set(), set(), []
    for file in files:
        content = json.loads(file.read_text(encoding="utf-8"))
        for case in content["tests"]:
            if case["id"] in ids:
                failures.append(f"{case['id']}: the id is used twice")
            ids.add(case["id"])
            cited.update(case["clause"].split(", "))
            if case["op"] not in testee.supports:
                outcomes["unsupported"] += 1
                continue
            outcome = "pass"
            for split in splits(case):
                reply = testee.run(case, split)
                if "skip" in reply:
                    outcome = "skip" if split is None else "pass, unsplit only"
                    break
                if split is not None and not 0 < reply.get("pieces", 0) <= len(split) + 1:
                    reply = {"error": f"the split was ignored: {reply}"}
                what = f"error {reply['error']}" if "error" in reply else judged(case, reply)
                if what:
                    outcome = "fail"
                    got = json.dumps(reply)[:300]
                    failures.append(f"{case['id']} ({case['comment']}): {what}; split {split}; got {got}")
                    break
            outcomes[outcome] += 1
    for failure in failures if options.all_failures else failures[:10]:
        print(failure)
    spec = (CONFORMANCE / "SPEC.md").read_text(encoding="utf-8")
    clauses = re.findall(r"^\*\*([A-Z0-9]+-[A-Z]?[0-9]+)\.\*\*", spec, re.MULTILINE)
    if not options.files:
        missing = [clause for clause in clauses if clause not in cited and clause not in UNTESTABLE]
        print(f"clauses without a case: {', '.join(missing) or 'none'}")
    unknown = sorted(cited - set(clauses))
    print(f"{len(ids)} cases: {dict(outcomes)}" + (f"; unknown clauses {unknown}" if unknown else ""))
    return 1 if failures or unknown else 0


if __name__ == "__main__":
    sys.exit(main())
