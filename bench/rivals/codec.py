"""The codec that a Python program would have: json and base64 of the standard library, nothing else.

Reads one JSON request a line, answers with one JSON line each:
    {"load": NAME, "message": PATH, "raw": PATH}        -> {"right": whether it writes and reads the same}
    {"run": NAME, "op": "encode"|"decode", "times": N}  -> {"ns": CPU time of the thread, for all of them}
"""

import base64
import json
import pathlib
import sys
import time

cases = {}


def encode(case):
    entry = {**case["entry"], "data": base64.b64encode(case["raw"]).decode("ascii"), "metadata": {}}
    message = {**case["fields"], "metadata": {}, "payloads": [entry]}
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def decode(case):
    return base64.b64decode(json.loads(case["message"])["payloads"][0]["data"])


def load(request):
    message = pathlib.Path(request["message"]).read_bytes()
    fields = json.loads(message)
    (entry,) = fields.pop("payloads")
    del fields["metadata"], entry["metadata"], entry["data"]
    case = {"message": message, "raw": pathlib.Path(request["raw"]).read_bytes(), "fields": fields, "entry": entry}
    cases[request["load"]] = case
    return {"right": encode(case) == message and decode(case) == case["raw"]}


def run(request):
    case = cases[request["run"]]
    work = encode if request["op"] == "encode" else decode
    begun = time.thread_time_ns()
    for _ in range(request["times"]):
        work(case)
    return {"ns": time.thread_time_ns() - begun}


for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps(load(request) if "load" in request else run(request)), flush=True)
