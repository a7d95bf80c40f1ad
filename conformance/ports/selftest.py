#!/usr/bin/env python3
"""Proves the peers: against the examples in SPEC.md, and against each other over a real server.

Run it with the Python of the environment that setup.sh made:  VENV/bin/python selftest.py [-v]"""

import base64
import email
import email.policy
import hashlib
import json
import os
import re
import secrets
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

HERE = Path(__file__).resolve().parent
SPEC = (HERE.parent / "SPEC.md").read_text()
PEERS = {
    "python": [sys.executable, str(HERE / "python" / "bridge_peer.py")],
    "node": ["node", str(HERE / "javascript" / "bridge_peer.mjs")],
}
PAIRS = [(sender, receiver) for sender in PEERS for receiver in PEERS]
DIALECTS = ("camel", "snake")


def run(peer, *args, check=True):
    """Runs a command of a peer to its end: (exit status, its JSON lines, its standard error)."""
    done = subprocess.run([*PEERS[peer], *map(str, args)], capture_output=True, timeout=60)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if check and done.returncode != 0:
        raise AssertionError(f"{peer} {args[0]} failed: {done.stderr.decode()} {lines}")
    return done.returncode, lines, done.stderr.decode()


class Listening:
    """A peer's `receive` or `respond`, live from the moment it said so until the block ends."""

    def __init__(self, peer, command, *args):
        self.command = [*PEERS[peer], command, *map(str, args)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        ready = self.process.stdout.readline()
        if not ready or json.loads(ready) != {"ready": True}:
            raise AssertionError(f"not ready: {ready} {self.process.communicate()[1].decode()}")
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def lines(self, check=True):
        out, err = self.process.communicate(timeout=60)
        lines = [json.loads(line) for line in out.splitlines()]
        if check and self.process.returncode != 0:
            raise AssertionError(f"{self.command} failed: {err.decode()} {lines}")
        return lines


# --- servers -------------------------------------------------------------------------------


class NatsServer:
    def __init__(self, folder):
        program = Path(sys.executable).parent / "nats-server"
        self.process = subprocess.Popen(
            [program, "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", folder],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        ports = Path(folder) / f"nats-server_{self.process.pid}.ports"
        for _ in range(200):
            if ports.exists() and ports.stat().st_size:
                self.url = json.loads(ports.read_text())["nats"][0]
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.stop()
        raise AssertionError("nats-server did not start")

    def stop(self):
        self.process.terminate()
        self.process.wait()


class TinyPlik(BaseHTTPRequestHandler):
    """As much of Plik as the peers use, with its traps. A file named `busy` answers 503 at first,
    and one named `cut` stops in the middle at first."""

    uploads, files, gets = {}, {}, {}

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:
            pass  # a client may leave when it has seen enough

    def answer_json(self, value):
        self.answer(200, json.dumps(value).encode(), Content_Type="text/plain; charset=utf-8")

    def read_body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_POST(self):
        body = self.read_body()
        if self.path == "/upload":
            options = {key.lower(): value for key, value in json.loads(body).items()}
            upload = secrets.token_hex(8)
            expires = None
            if "ttl" in options:
                expires = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + options["ttl"])) + ".123456789Z"
            self.uploads[upload] = {"token": secrets.token_hex(16), "one_shot": options.get("oneshot", False)}
            self.answer_json({
                "id": upload, "uploadToken": self.uploads[upload]["token"], "downloadDomain": "",
                "expireAt": expires, "files": None,
            })
            return
        upload = self.path.removeprefix("/file/")
        if self.headers["X-UploadToken"] != self.uploads[upload]["token"]:
            self.answer(403, b"you are not allowed to add file to this upload\n")
            return
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        (part,) = email.message_from_bytes(head + body, policy=email.policy.HTTP).iter_parts()
        assert part.get_param("name", header="content-disposition") == "file"
        raw, file = part.get_payload(decode=True), secrets.token_hex(8)
        name = re.search(rb'filename="([^"]*)"', body)[1].decode()  # raw UTF-8, as Plik takes it
        self.files[f"/file/{upload}/{file}/{quote(name, safe='')}"] = (upload, raw)
        self.answer_json({"id": file, "fileName": name, "fileSize": len(raw), "fileMd5": hashlib.md5(raw).hexdigest()})

    def do_GET(self):
        self.gets[self.path] = self.gets.get(self.path, 0) + 1
        first = self.gets[self.path] == 1
        if self.path not in self.files:
            if re.match("curl|plik_client", self.headers.get("User-Agent", "")):
                self.answer(404, b"file not found\n")
            else:
                self.answer(301, b"", Location="/#/?err=file not found&errcode=404")
            return
        upload, raw = self.files[self.path]
        if self.path.endswith("/busy") and first:
            self.answer(503, b"", Retry_After="0")
            return
        if self.path.endswith("/cut") and first:
            self.send_response(200)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw[: len(raw) // 2])
            self.close_connection = True
            return
        if self.uploads[upload]["one_shot"]:
            del self.files[self.path]
        self.answer(200, raw, Content_Type="text/plain; charset=utf-8")

    def do_DELETE(self):
        upload, _ = self.files[self.path]
        assert self.headers["X-UploadToken"] == self.uploads[upload]["token"]
        del self.files[self.path]
        self.answer(200, b"ok")


# --- SPEC.md -------------------------------------------------------------------------------


def fenced(marker):
    """The lines of the fenced block after an HTML comment that begins with `marker`."""
    return re.search(rf"<!-- {re.escape(marker)}[^\n]*-->\n```\w+\n(.*?)\n```", SPEC, re.S)[1].splitlines()


def code_cells(cell):
    return re.findall(r"`([^`]*)`", cell)


def table_after(header):
    """The rows of the table with this header line, as lists of cells."""
    rows = SPEC.split(header + "\n", 1)[1].splitlines()[1:]
    for row in rows:
        if not row.startswith("|"):
            return
        yield [cell.strip() for cell in row.strip("|").split("|")]


class Spec(unittest.TestCase):
    """Every example in SPEC.md, read by both peers."""

    def decode(self, peer, messages, *options):
        """One list of lines for the messages, in order; failures are part of the answer."""
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for index, message in enumerate(messages):
                paths.append(Path(folder) / str(index))
                paths[-1].write_text(message, newline="")
            # No origin of these messages is allowed: nothing is fetched.
            _, lines, err = run(peer, "decode", "--fileserver", "http://store.invalid", *options, *paths, check=False)
        self.assertEqual(err, "", peer)
        return lines

    def test_worked_examples_are_exact_and_written_back_byte_for_byte(self):
        for dialect in DIALECTS:
            (message,) = fenced(f"example {dialect}")
            size, digest = re.search(rf"example {dialect}: bytes=(\d+) sha256=(\w+)", SPEC).groups()
            self.assertEqual(len(message.encode()), int(size))
            self.assertEqual(hashlib.sha256(message.encode()).hexdigest(), digest)
            for peer in PEERS:
                with self.subTest(peer=peer):
                    line, again = self.decode(peer, [message], "--reencode")
                    self.assertEqual(line["dialect"], dialect)
                    self.assertEqual(again["reencoded"], message)
        (message,) = fenced("example lenient")
        for peer in PEERS:
            with self.subTest(peer=peer):
                (line,) = self.decode(peer, [message])
                (payload,) = line["payloads"]
                self.assertEqual((line["dialect"], payload["text"], payload["declaredSize"]), ("camel", "Hello World!", 256))
                self.assertEqual(len(payload["notes"]), 1)

    def test_refused_messages(self):
        clauses, messages = zip(*(line.split(maxsplit=1) for line in fenced("refused messages")))
        for peer in PEERS:
            with self.subTest(peer=peer):
                found = [line["error"]["clause"] for line in self.decode(peer, messages)]
                self.assertEqual(found, list(clauses))

    def test_refused_payloads(self):
        clauses, messages = zip(*(line.split(maxsplit=1) for line in fenced("refused payloads")))
        for peer in PEERS:
            with self.subTest(peer=peer):
                found = [line["payloads"][0]["error"]["clause"] for line in self.decode(peer, messages)]
                self.assertEqual(found, list(clauses))

    def test_base64_table(self):
        expected, messages = [], []
        meanings = {"`ABC`": b"ABC", "`A`": b"A", "bytes fb ff": b"\xfb\xff", "no bytes": b""}
        for cells, result in table_after("| `data`, as a JSON string | result |"):
            for data in code_cells(cells):
                expected.append(None if result.startswith("error") else hashlib.sha256(meanings[result]).hexdigest())
                messages.append(f'{{"payloads":[{{"type":"binary","transport":"direct","data":{data}}}]}}')
        self.assertGreater(len(messages), 20)
        for peer in PEERS:
            with self.subTest(peer=peer):
                lines = self.decode(peer, messages)
                self.assertEqual([line["payloads"][0]["sha256"] for line in lines], expected)
                for line in lines:
                    error = line["payloads"][0].get("error")
                    if error:
                        self.assertRegex(error["clause"], "^B64-")
                        self.assertIsInstance(error["offset"], int)

    def test_size_table(self):
        expected, messages = [], []
        meanings = {"12": 12, "1000": 1000, "itself": 2**63 - 1, "missing": None, "error for that payload": "error"}
        for cells, result in table_after("| `size` in the text | reads as |"):
            for size in code_cells(cells):
                expected.append(meanings[result])
                messages.append(f'{{"payloads":[{{"type":"text","transport":"direct","data":"","size":{size}}}]}}')
        for peer in PEERS:
            with self.subTest(peer=peer):
                payloads = [line["payloads"][0] for line in self.decode(peer, messages)]
                self.assertEqual(["error" if "error" in p else p["declaredSize"] for p in payloads], expected)

    def test_depth_dialect_inline_data_and_numbers(self):
        deep = "[" * 127 + "]" * 127
        inline = '{"payloads":[{"type":"%s","transport":"direct","data":%s}]}'
        messages = [
            '{"x":%s,"payloads":[]}' % deep,
            '{"x":[%s],"payloads":[]}' % deep,
            '{"payloads":[{"payload_type":7}],"msgId":""}',
            '{"metadata":{"msgId":1},"x":{"msg_id":1},"payloads":[],"brok\\u0065r_url":""}',
            '{"payloads":[]}',
            inline % ("dictionary", '{ "a" : [1, 18446744073709551615], "a": 2 }'),
            inline % ("table", r'" [{\"id\":9007199254740993}]"'),
            inline % ("novel", '"AAEC"'),
            '{"metadata":{"n":1e400},"payloads":[]}',
            "\ufeff" + '{"payloads":[]}',
        ]
        for peer in PEERS:
            with self.subTest(peer=peer):
                lines = self.decode(peer, messages)
                self.assertNotIn("error", lines[0])
                self.assertEqual((lines[1]["error"]["clause"], lines[1]["error"]["offset"]), ("ENV-R2", 5 + 127))
                self.assertEqual([line["dialect"] for line in lines[2:5]], ["snake", "snake", "camel"])
                self.assertEqual(lines[5]["payloads"][0]["value"], {"a": 2})
                self.assertEqual(lines[5]["payloads"][0]["size"], 43)
                self.assertEqual(lines[6]["payloads"][0]["rows"], [{"id": 9007199254740993}])
                self.assertEqual((lines[7]["payloads"][0]["type"], lines[7]["payloads"][0]["size"]), ("novel", 3))
                self.assertNotIn("error", lines[8])
                self.assertEqual(lines[9]["error"]["clause"], "ENV-R1")


# --- live ----------------------------------------------------------------------------------

ROWS = [
    {"id": 1, "name": "Ann", "score": 95.5, "grade": "A"},
    {"id": 2, "name": "Grüße 👋", "score": None, "grade": None},
    {"id": 9007199254740993, "name": "", "score": -0.25, "grade": "A"},
]
TEXT = 'Grüße, "NATS" \\ \n\t\u0001\u007f/ 👋'
VALUE = {"b": [1, 2.5, None, True], "1": {"große": 18446744073709551615, "low": -9223372036854775808}, "": TEXT}
PNG = bytes.fromhex("89504e470d0a1a0a") + bytes(range(256))


class Live(unittest.TestCase):
    """Each peer against each peer, over a real NATS server."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.nats = NatsServer(cls.folder.name)
        cls.addClassCleanup(cls.nats.stop)
        cls.plik = ThreadingHTTPServer(("127.0.0.1", 0), TinyPlik)
        cls.plik.daemon_threads = True
        threading.Thread(target=cls.plik.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.plik.server_close)
        cls.addClassCleanup(cls.plik.shutdown)
        cls.store = f"http://127.0.0.1:{cls.plik.server_port}"
        cls.next_subject = 0

    def setUp(self):
        Live.next_subject += 1
        self.subject = f"/peers/room{Live.next_subject}"
        self.out = Path(self.folder.name) / f"out{Live.next_subject}"
        self.where = ["--server", self.nats.url, "--subject", self.subject]

    def spec(self, entries):
        path = Path(self.folder.name) / f"spec-{secrets.token_hex(4)}.json"
        path.write_text(json.dumps(entries))
        return path

    def file(self, name, raw):
        (Path(self.folder.name) / name).write_bytes(raw)
        return name

    def all_types(self):
        big = self.file("big.bin", secrets.token_bytes(1_200_000))
        return [
            {"dataname": "words", "type": "text", "text": TEXT},
            {"dataname": "config", "type": "dictionary", "json": VALUE, "metadata": {"z": 1, "a": "ü"}},
            {"dataname": "scores", "type": "table", "rows": ROWS},
            {"dataname": "rows", "type": "jsontable", "rows": ROWS},
            {"dataname": "no rows", "type": "table", "rows": []},
            {"dataname": "picture", "type": "image", "path": self.file("a.png", PNG)},
            {"dataname": "sound", "type": "audio", "path": self.file("a.wav", PNG[:-1])},
            {"dataname": "film", "type": "video", "path": self.file("a.mp4", PNG[:-2])},
            {"dataname": "empty", "type": "binary", "path": self.file("empty", b"")},
            {"dataname": "a b/ü?#.bin", "type": "binary", "path": big},
        ]

    def check_types(self, line, entries, dialect):
        """The received line is what the spec said, and the saved bytes are what it says they are."""
        self.assertEqual(line["dialect"], dialect)
        self.assertEqual([p["dataname"] for p in line["payloads"]], [e["dataname"] for e in entries])
        for payload, entry in zip(line["payloads"], entries):
            kind = entry["type"]
            written = "arrowtable" if (kind, dialect) == ("table", "snake") else kind
            self.assertEqual(payload["type"], written)
            raw = Path(payload["path"]).read_bytes()
            self.assertEqual(hashlib.sha256(raw).hexdigest(), payload["sha256"])
            self.assertEqual((payload["size"], payload["declaredSize"], payload["notes"]), (len(raw), len(raw), []))
            if "path" in entry:
                self.assertEqual(raw, (Path(self.folder.name) / entry["path"]).read_bytes())
            if kind == "text":
                self.assertEqual(payload["text"], entry["text"])
            if kind == "dictionary":
                self.assertEqual(payload["value"], entry["json"])
                self.assertEqual(list(payload["value"]), list(entry["json"]))
            if "rows" in entry:
                self.assertEqual(payload["rows"], entry["rows"])
            is_big = len(raw) > 1_000_000
            self.assertEqual(payload["transport"], "link" if is_big else "direct")
            self.assertEqual(payload["encoding"], "none" if is_big else "base64")
            if is_big:
                self.assertEqual(payload["metadata"]["sha256"], payload["sha256"])
                self.assertRegex(payload["metadata"]["expiresAt"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.123Z$")

    def test_all_types_in_both_dialects(self):
        entries = self.all_types()
        spec = self.spec(entries)
        for sender, receiver in PAIRS:
            for dialect in DIALECTS:
                with self.subTest(sender=sender, receiver=receiver, dialect=dialect):
                    with Listening(receiver, "receive", *self.where, "--count", 1, "--out", self.out) as listening:
                        _, (sent,), _ = run(
                            sender, "send", *self.where, "--fileserver", self.store, "--dialect", dialect,
                            "--spec", spec, "--reply-to", "peers.answers", "--metadata", '{"k":[1]}',
                        )
                        (line,) = listening.lines()
                    self.check_types(line, entries, dialect)
                    self.assertEqual(line["payloads"][1]["metadata"], {"z": 1, "a": "ü"})
                    self.assertEqual((line["metadata"], line["replyTo"]), ({"k": [1]}, "peers.answers"))
                    self.assertEqual((line["sendTo"], line["msgPurpose"]), (self.subject, "chat"))
                    self.assertEqual(line["msgId"], sent["msgId"])

    def test_request_and_reply(self):
        entries = self.all_types()
        spec = self.spec(entries)
        for requester, responder in PAIRS:
            for dialect in DIALECTS:
                with self.subTest(requester=requester, responder=responder, dialect=dialect):
                    with Listening(
                        responder, "respond", *self.where, "--fileserver", self.store, "--count", 1
                    ) as listening:
                        _, (reply,), _ = run(
                            requester, "request", *self.where, "--fileserver", self.store, "--dialect", dialect,
                            "--spec", spec, "--timeout", 20, "--out", self.out,
                            "--reply-to-msg-id", "cmd-001", "--sender-name", "asker",
                        )
                        asked, answered = listening.lines()
                    self.check_types(reply, entries, dialect)
                    self.assertEqual((asked["replyToMsgId"], asked["msgPurpose"]), ("cmd-001", "request"))
                    self.assertEqual(asked["replyTo"], asked["natsReply"])
                    self.assertEqual(reply["correlationId"], asked["correlationId"])
                    self.assertEqual(reply["replyToMsgId"], asked["msgId"])
                    self.assertEqual((reply["msgPurpose"], reply["replyTo"]), ("response", ""))
                    self.assertEqual((reply["receiverName"], reply["receiverId"]), ("asker", asked["senderId"]))
                    self.assertEqual(reply["msgId"], answered["msgId"])

    def test_a_message_above_the_limit_is_promoted_or_refused(self):
        sizes = {"first": 400_000, "second": 500_000, "third": 500_000, "last": 10}
        entries = [
            {"dataname": name, "type": "binary", "path": self.file(name, bytes(size))} for name, size in sizes.items()
        ]
        spec = self.spec(entries)
        for sender in PEERS:
            with self.subTest(sender=sender):
                with Listening(sender, "receive", *self.where, "--count", 1) as listening:
                    _, (sent,), _ = run(sender, "send", *self.where, "--fileserver", self.store, "--spec", spec)
                    (line,) = listening.lines()
                transports = [p["transport"] for p in line["payloads"]]
                self.assertEqual(transports, ["direct", "link", "link", "direct"])
                self.assertLessEqual(sent["bytes"], 1_048_576)
                status, lines, err = run(sender, "send", *self.where, "--spec", spec, check=False)
                self.assertEqual((status, lines), (1, []))
                self.assertIn("PLAN-5", err)
                status, _, err = run(sender, "send", *self.where, "--spec", spec, "--threshold", 5, check=False)
                self.assertEqual(status, 1)
                self.assertIn("PLAN-6", err)

    def test_the_threshold_itself_is_a_link(self):
        spec = self.spec([
            {"dataname": "below", "type": "binary", "text": "x" * 99},
            {"dataname": "at", "type": "binary", "text": "x" * 100},
        ])
        for sender in PEERS:
            _, (sent,), _ = run(
                sender, "send", *self.where, "--fileserver", self.store, "--threshold", 100, "--spec", spec
            )
            self.assertEqual([p["transport"] for p in sent["payloads"]], ["direct", "link"], sender)

    def test_downloads_are_retried_and_one_shot_is_gone_after_one(self):
        spec = self.spec([
            {"dataname": "busy", "type": "text", "text": "busy " * 20},
            {"dataname": "cut", "type": "text", "text": "cut " * 20},
        ])
        link = ["--fileserver", self.store, "--threshold", 1, "--spec", spec]
        for peer in PEERS:
            with self.subTest(peer=peer):
                with Listening(peer, "receive", *self.where, "--count", 1) as listening:
                    run(peer, "send", *self.where, *link)
                    (line,) = listening.lines()
                self.assertEqual([p["text"] for p in line["payloads"]], ["busy " * 20, "cut " * 20])
                for payload in line["payloads"]:
                    self.assertEqual(TinyPlik.gets[payload["url"].removeprefix(self.store)], 2)

                spec_once = self.spec([{"dataname": "once", "type": "text", "text": "once"}])
                once = ["--fileserver", self.store, "--threshold", 1, "--spec", spec_once, "--one-shot"]
                with Listening(peer, "receive", *self.where, "--count", 1) as first:
                    run(peer, "send", *self.where, *once)
                    (line,) = first.lines()
                (payload,) = line["payloads"]
                self.assertEqual(payload["text"], "once")
                self.assertNotIn("expiresAt", payload["metadata"])
                again = Path(self.folder.name) / "again.json"
                again.write_text(json.dumps({"payloads": [
                    {"type": "text", "transport": "link", "data": payload["url"], "size": 4},
                ]}))
                status, (line,), _ = run(peer, "decode", again, check=False)
                self.assertEqual((status, line["payloads"][0]["error"]["clause"]), (1, "LINK-7"))
                self.assertIn("404", line["payloads"][0]["error"]["message"])

    def test_links_are_verified_and_fetched_from_allowed_origins_only(self):
        path = f"/file/{secrets.token_hex(8)}/f/eight"
        raw = b"8 bytes!"
        TinyPlik.uploads[path.split("/")[2]] = {"token": "", "one_shot": False}
        TinyPlik.files[path] = (path.split("/")[2], raw)
        digest = hashlib.sha256(raw).hexdigest()
        url = self.store + path
        cases = [
            ({"data": url, "size": 8}, None, 0),
            ({"data": url}, None, 1),  # unverified
            ({"data": url, "size": 0}, None, 1),
            ({"data": url, "size": 7}, "VER-3", 0),
            ({"data": url, "size": 9}, "VER-7", 0),
            ({"data": url, "size": 9, "metadata": {"sha256": digest.upper()}}, None, 1),
            ({"data": url, "size": 8, "metadata": {"sha256": "0" * 64}}, "VER-7", 0),
            ({"data": url, "size": 8, "metadata": {"sha256": "abc"}}, None, 1),
            ({"data": url.replace("127.0.0.1", "LOCALHOST"), "size": 8}, None, 0),
            ({"data": url.replace("http://", "http://u:p@"), "size": 8}, "POL-5", 0),
            ({"data": url.replace("eight", "ei\\ght"), "size": 8}, "POL-5", 0),
            ({"data": "http://169.254.169.254/latest", "size": 8}, "POL-2", 0),
        ]
        paths = []
        for index, (payload, _, _) in enumerate(cases):
            paths.append(Path(self.folder.name) / f"link{index}.json")
            paths[-1].write_text(json.dumps({"payloads": [{"type": "binary", "transport": "link"} | payload]}))
        for peer in PEERS:
            _, lines, err = run(
                peer, "decode", "--max-retries", "1", "--fileserver", self.store, *paths, check=False
            )
            for (case, clause, notes), line in zip(cases, lines, strict=True):
                with self.subTest(peer=peer, case=case):
                    (payload,) = line["payloads"]
                    self.assertEqual(payload.get("error", {}).get("clause"), clause)
                    self.assertEqual(len(payload["notes"]), notes)

    def test_failures_are_reported(self):
        spec = self.spec([{"dataname": "a", "type": "text", "text": "a"}])
        for peer in PEERS:
            with self.subTest(peer=peer):
                status, lines, err = run(
                    peer, "request", *self.where, "--spec", spec, "--timeout", 5, check=False
                )
                self.assertEqual((status, lines), (1, []))
                self.assertIn("REQ-1", err)
                status, lines, err = run(peer, "receive", *self.where, "--timeout", "0.2", check=False)
                self.assertEqual((status, lines), (1, [{"ready": True}]))
                self.assertIn("timed out", err)
                bad = ["--server", self.nats.url, "--subject", "a..b", "--spec", spec]
                status, lines, err = run(peer, "send", *bad, check=False)
                self.assertEqual((status, lines), (1, []))
                self.assertIn("SUBJ-2", err)


def big_endian_schema():
    """A stream of one schema message without fields, which says that it is big-endian. Built by
    hand, since no writer at hand makes one: FlatBuffers tables `Message` and `Schema`."""
    message = struct.pack("<I 5H 2x i HBx I", 16, 10, 12, 4, 6, 8, 12, 4, 1, 12)
    schema = struct.pack("<3H 2x i h 2x 4x", 6, 8, 4, 8, 1)
    return struct.pack("<II", 0xFFFFFFFF, len(message) + len(schema)) + message + schema


class Arrow(unittest.TestCase):
    """What a table may arrive as (TYPE-6)."""

    def test_containers_framings_and_what_is_refused(self):
        import pyarrow as pa

        table = pa.table({"id": pa.array([1, 2, 3]), "name": pa.array(["a", None, "a"]).dictionary_encode()})
        rows = [{"id": 1, "name": "a"}, {"id": 2, "name": None}, {"id": 3, "name": "a"}]

        def write(opener, **options):
            sink = pa.BufferOutputStream()
            with opener(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
                writer.write_table(table)
            return sink.getvalue().to_pybytes()

        stream = write(pa.ipc.new_stream)
        cases = {
            "stream": stream,
            "file": write(pa.ipc.new_file),
            "no end-of-stream": stream[:-8],
            "legacy framing": write(pa.ipc.new_stream, use_legacy_format=True),
        }
        compressed = {name: write(pa.ipc.new_stream, compression=name) for name in ("lz4", "zstd")}
        refused = {
            "empty": b"",
            "garbage": b"not arrow at all",
            "truncated": stream[:100],
            "big-endian": big_endian_schema(),
        }
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for name, raw in {**cases, **refused, **compressed}.items():
                paths.append(Path(folder) / name.replace(" ", "-"))
                data = base64.b64encode(raw).decode()
                message = {"payloads": [{"type": "table", "transport": "direct", "data": data}]}
                paths[-1].write_text(json.dumps(message))
            for peer in PEERS:
                _, lines, err = run(peer, "decode", *paths, check=False)
                payloads = [line["payloads"][0] for line in lines]
                for name, payload in zip([*cases, *refused, *compressed], payloads, strict=True):
                    with self.subTest(peer=peer, case=name):
                        if name in refused:
                            self.assertEqual(payload["error"]["clause"], "TYPE-6")
                            self.assertEqual("big-endian" in payload["error"]["message"], name == "big-endian")
                        else:
                            self.assertEqual(payload.get("rows"), rows, payload.get("error"))


if __name__ == "__main__":
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    unittest.main()
