#!/usr/bin/env python3
"""The MicroPython port on the real runtime, driven from CPython: what the vectors of the kit do not reach.

    VENV/bin/python -m unittest discover -s conformance/ports/micropython/tests

`micropython` is the one beside this Python, else the one on the PATH."""

import json
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import unittest
from http.server import ThreadingHTTPServer
from pathlib import Path

PORTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PORTS / "python"), str(PORTS)]

from natsbridge import BridgeError, strict_base64
from selftest import NatsServer, TinyPlik

BESIDE = Path(sys.executable).parent / "micropython"
MICROPYTHON = str(BESIDE) if BESIDE.exists() else shutil.which("micropython")
PRELUDE = f"import sys\nsys.path.insert(0, {str(PORTS / 'micropython')!r})\n"


def run(program, text="", arguments=()):
    """What a program prints, on MicroPython with its default heap of 2 MB."""
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(PRELUDE + program)
        file.flush()
        done = subprocess.run(
            [MICROPYTHON, file.name, *arguments], input=text, capture_output=True, text=True, timeout=60
        )
    if done.returncode != 0:
        raise AssertionError(f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


class Codec(unittest.TestCase):
    def test_numbers_are_read_to_their_last_bit(self):
        rng = random.Random(5)
        numbers = [
            "5e-324",
            "2.4703282292062327e-324",
            "2.4703282292062328e-324",
            "1.7976931348623157e308",
            "0.1",
            "9007199254740993.0",
            "9007199254740992.99999999999999999999",
            "1e23",
            "8.5e22",
            "-0.0",
            "1e-400",
        ]
        while len(numbers) < 1500:
            value = struct.unpack(">d", rng.randbytes(8))[0]
            if value == value and abs(value) != float("inf"):
                # As it is, with digits beyond a double's, and exactly between two doubles.
                numbers += [repr(value), f"{value:.30e}", str(rng.getrandbits(90)) + ".5"]
        program = """
import struct
from nats_bridge import strict_json
for line in sys.stdin:
    print("".join("%02x" % byte for byte in struct.pack(">d",
    float(strict_json.loads(line.strip().encode())))))
"""
        got = run(program, "\n".join(numbers) + "\n").split()
        self.assertEqual(got, [struct.pack(">d", float(number)).hex() for number in numbers])

    def test_base64_is_judged_as_the_python_port_judges_it(self):
        rng = random.Random(6)
        texts = []
        for _ in range(3000):
            text = bytearray(strict_base64.encode(rng.randbytes(rng.randrange(9))))
            for _ in range(rng.randrange(3)):
                text.insert(rng.randrange(len(text) + 1), rng.choice(b"=\n\r+_-/A "))
            texts.append(bytes(text))
        program = """
import json
from nats_bridge import BridgeError, strict_base64
for line in sys.stdin:
    try:
        print(strict_base64.decode(json.loads(line).encode()).hex())
    except BridgeError as error:
        print(error.clause, error.offset)
"""
        got = run(program, "".join(json.dumps(text.decode()) + "\n" for text in texts)).splitlines()
        for text, answer in zip(texts, got, strict=True):
            try:
                expected = strict_base64.decode(text).hex()
            except BridgeError as error:
                expected = f"{error.clause} {error.offset}"
            self.assertEqual(answer, expected, text)

    def test_depth_fits_the_runtimes_stack(self):
        program = """
from nats_bridge import BridgeError, strict_json
value = strict_json.loads(b"[" * 128 + b"]" * 128)
print(strict_json.dumps(value) == b"[" * 128 + b"]" * 128)
for text in (b"[" * 129 + b"]" * 129, b"[" * 100000):
    try:
        strict_json.loads(text)
    except BridgeError as error:
        print(error.offset)
try:
    strict_json.dumps([value])
except BridgeError as error:
    print(error.kind)
"""
        self.assertEqual(run(program).split(), ["True", "128", "128", "invalid_input"])


class TwoMegabytes(unittest.TestCase):
    """The default heap of 2 MB is enough for small messages, and for large files by link."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.nats = NatsServer(self.folder.name)
        self.addCleanup(self.nats.stop)
        self.web = ThreadingHTTPServer(("127.0.0.1", 0), TinyPlik)
        threading.Thread(target=self.web.serve_forever, daemon=True).start()
        self.addCleanup(self.web.server_close)
        self.addCleanup(self.web.shutdown)
        self.store = f"http://127.0.0.1:{self.web.server_port}"

    def test_messages_of_100_kb_go_and_come(self):
        program = """
import gc
from nats_bridge import Client, smartreceive, smartsend
print(gc.mem_free() + gc.mem_alloc() < 2200000)
client = Client(sys.argv[1])
client.subscribe("small")
for round in range(20):
    raw = bytes([round]) * 100000
    smartsend("small", [("text", "Grüße 👋", "text"), ("raw", raw, "binary"), ("d", {"n": round},
    "dictionary")],
              client=client)
    message = smartreceive(client.next_message(5000))
    text, data, values = [data for _, data, _ in message.payloads]
    print(text == "Grüße 👋" and data == raw and values == {"n": round})
"""
        self.assertEqual(run(program, arguments=[self.nats.url]).split(), ["True"] * 21)

    def test_a_file_larger_than_the_heap_goes_by_link(self):
        path = Path(self.folder.name) / "film.mp4"
        path.write_bytes(random.Random(1).randbytes(5_000_000))
        program = """
from nats_bridge import smartsend
with open(sys.argv[3], "rb") as file:
    sent = smartsend("large", [("film", file, "video")], sys.argv[1], sys.argv[2])
print(sent.payloads[0].transport, sent.payloads[0].size)
"""
        answer = run(program, arguments=[self.nats.url, self.store, str(path)])
        self.assertEqual(answer.split(), ["link", "5000000"])
        ((_, stored),) = TinyPlik.files.values()
        self.assertEqual(stored, path.read_bytes())

    def test_a_file_too_large_for_the_heap_is_refused_and_the_rest_is_readable(self):
        upload, file = "u" * 16, f"/file/{'u' * 16}/f/x"
        TinyPlik.uploads[upload] = {"token": "t", "one_shot": False}
        TinyPlik.files[file] = (upload, bytes(8_000_000))
        message = json.dumps(
            {
                "payloads": [
                    {"type": "binary", "transport": "link", "data": self.store + file, "size": 8_000_000},
                    {"type": "text", "transport": "direct", "data": "QQ=="},
                ]
            }
        )
        program = """
from nats_bridge import smartreceive
message = smartreceive(sys.stdin.read(), allow_origins=[sys.argv[1]])
print(message.payloads[0].error.kind, message.payloads[1].data)
"""
        self.assertEqual(run(program, message, [self.store]).split(), ["too_long", "A"])
        TinyPlik.files.clear()


if __name__ == "__main__":
    if MICROPYTHON is None:
        sys.exit("micropython tests: no micropython: run conformance/ports/setup.sh")
    unittest.main()
