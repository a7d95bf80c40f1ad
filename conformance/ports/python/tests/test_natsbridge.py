#!/usr/bin/env python3
"""What the vectors of the kit do not reach: streaming from files, what happens to uploads, and how values
come out.

VENV/bin/python -m unittest discover -s conformance/ports/python/tests
"""

import asyncio
import base64
import itertools
import random
import sys
import tempfile
import threading
import unittest
from http.server import ThreadingHTTPServer
from pathlib import Path

PORTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PORTS / "python"), str(PORTS)]

import natsbridge
from natsbridge import BridgeError, plan, strict_base64
from natsbridge.envelope import decode
from natsbridge.policy import Policy, is_public, parse_link
from selftest import TinyPlik


class Base64(unittest.TestCase):
    def test_pieces_give_what_the_whole_gives(self):
        rng = random.Random(7)
        for length in range(40):
            raw = rng.randbytes(length)
            text = base64.b64encode(raw)
            for cut in range(len(text) + 1):
                decoder = strict_base64.Decoder()
                out = decoder.update(text[:cut]) + decoder.update(text[cut:]) + decoder.finish()
                self.assertEqual(out, raw)
            encoder = strict_base64.Encoder()
            pieces = [encoder.update(raw[at : at + 1]) for at in range(length)]
            self.assertEqual(b"".join(pieces) + encoder.finish(), text)

    def test_every_short_text_is_judged_alike_in_pieces(self):
        for letters in itertools.product(b"QR=+_\n\r!", repeat=4):
            text = bytes(letters)
            whole, pieces = self.judged([text]), self.judged([text[at : at + 1] for at in range(4)])
            self.assertEqual(whole, pieces, text)

    def judged(self, pieces):
        decoder = strict_base64.Decoder()
        try:
            return b"".join(map(decoder.update, pieces)) + decoder.finish()
        except BridgeError as error:
            return error.clause, error.offset


class Planning(unittest.TestCase):
    def test_a_plan_fits_and_makes_no_more_links_than_it_must(self):
        rng = random.Random(1)
        for _ in range(2000):
            items = [
                plan.Item(size := rng.randrange(3000), 180 + -(-size // 3) * 4, 400)
                for _ in range(rng.randrange(6))
            ]
            limits = {"threshold": 2500, "max_payload": rng.randrange(9000), "base_len": 500}
            # The oracle: of all ways that keep the rules, the fewest links; among equals the greedy one is
            # the first.
            fitting = [
                links
                for links in itertools.product((False, True), repeat=len(items))
                if all(link or item.size < 2500 for link, item in zip(links, items))
                and all(
                    not link or item.size >= 2500 or item.direct_len > 400 for link, item in zip(links, items)
                )
                and self.length(items, links) <= limits["max_payload"]
            ]
            try:
                chosen = [t == "link" for t in plan.plan(items, **limits, has_store=True)]
            except BridgeError as error:
                self.assertEqual((error.kind, fitting), ("too_large", []))
                continue
            self.assertIn(tuple(chosen), fitting)
            self.assertEqual(sum(chosen), min(map(sum, fitting)))

    @staticmethod
    def length(items, links):
        return (
            500
            + max(0, len(items) - 1)
            + sum(i.link_len if l else i.direct_len for i, l in zip(items, links))
        )


class Offsets(unittest.TestCase):
    def test_an_offset_in_base64_is_that_of_the_message(self):
        for escaped, wrong in ((r"QUJD!", 4), (r"\u0051UJD!", 9), (r"Q\/JD!", 5), (r"\ud83d\ude00", 0)):
            body = f'{{"payloads":[{{"type":"binary","transport":"direct","data":"{escaped}"}}]}}'.encode()
            error = decode(body).payloads[0].error
            self.assertEqual(error.offset, body.index(b'"data":"') + 8 + wrong, escaped)


class Addresses(unittest.TestCase):
    def test_only_public_addresses_are_public(self):
        for address in ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8"):
            self.assertTrue(is_public(address), address)
        for address in (
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "::127.0.0.1",
            "not an address",
        ):
            self.assertFalse(is_public(address), address)

    def test_the_address_is_checked_where_any_host_is_allowed(self):
        fetch = natsbridge.Download(Policy(any_host=True), max_retries=0)
        payload = natsbridge.MessagePayload(transport="link", data="http://localhost:9/x")
        with self.assertRaises(BridgeError) as caught:
            fetch(payload)
        self.assertEqual((caught.exception.kind, caught.exception.clause), ("link_refused", "POL-3"))


class FakeClient:
    """As much of a nats-py client as `smartsend` uses."""

    def __init__(self, max_payload=1_048_576, connected=True):
        self.max_payload, self.is_connected, self.sent = max_payload, connected, []

    async def publish(self, subject, body, reply=""):
        self.sent.append((subject, body, reply))


class Sending(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.web = ThreadingHTTPServer(("127.0.0.1", 0), TinyPlik)
        threading.Thread(target=self.web.serve_forever, daemon=True).start()
        self.addCleanup(self.web.server_close)
        self.addCleanup(self.web.shutdown)
        self.store = f"http://127.0.0.1:{self.web.server_port}"
        TinyPlik.files.clear()

    async def test_a_file_is_streamed_and_comes_back(self):
        raw = random.Random(3).randbytes(3_000_000)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "film.mp4"
            path.write_bytes(raw)
            client = FakeClient()
            sent = await natsbridge.smartsend(
                "a.b",
                [("film", path, "video"), ("note", "hello", "text")],
                fileserver_url=self.store,
                client=client,
            )
        ((_, body, _),) = client.sent
        self.assertEqual(sent.payloads[0].transport, "link")
        self.assertEqual(len(TinyPlik.files), 1)
        message = await natsbridge.smartreceive(body, allow_origins=[self.store])
        self.assertEqual(
            [tuple(payload) for payload in message.payloads],
            [("film", raw, "video"), ("note", "hello", "text")],
        )
        self.assertEqual(message.msg_id, sent.msg_id)

    async def test_what_is_not_sent_leaves_no_upload(self):
        data = [("a", b"x" * 100, "binary"), ("b", b"y" * 100, "binary")]
        options = {"fileserver_url": self.store, "size_threshold": 50}
        with self.assertRaises(BridgeError):  # no connection any more
            await natsbridge.smartsend("a.b", data, client=FakeClient(connected=False), **options)
        self.assertEqual(TinyPlik.files, {})

        class Growing(natsbridge.Plik):  # a store whose URLs are longer than it said (PLAN-7)
            def url_bound(self, dataname):
                return 0

        roomy = FakeClient()
        await natsbridge.smartsend("a.b", data, client=roomy, **options)
        TinyPlik.files.clear()
        client = FakeClient(max_payload=len(roomy.sent[0][1]) - 1)
        with self.assertRaises(BridgeError) as caught:
            await natsbridge.smartsend(
                "a.b", data, client=client, size_threshold=50, fileserver_upload_handler=Growing(self.store)
            )
        self.assertEqual((caught.exception.clause, TinyPlik.files, client.sent), ("PLAN-7", {}, []))

    async def test_handlers_of_ones_own(self):
        kept = {}

        def keep(server, dataname, data):
            kept["http://files.example/" + dataname] = data
            return {"status": 200, "url": "http://files.example/" + dataname}

        def fetch(url, max_retries, base_delay, max_delay, correlation_id):
            return kept[url]

        client = FakeClient()
        await natsbridge.smartsend(
            "a.b",
            [("x", b"12345", "binary")],
            size_threshold=5,
            fileserver_upload_handler=keep,
            client=client,
        )
        ((_, body, _),) = client.sent
        message = await natsbridge.smartreceive(body, fetch)
        self.assertEqual(message.payloads[0].data, b"12345")
        kept["http://files.example/x"] = b"12346"
        message = await natsbridge.smartreceive(body, fetch)
        self.assertEqual(message.payloads[0].error.kind, "digest_mismatch")
        with self.assertRaises(BridgeError):
            for _, _, _ in message.payloads:
                pass

    async def test_what_cannot_be_sent_is_refused_before_anything_is(self):
        client = FakeClient()
        for subject, data, kind in (
            ("a b", [], "invalid_subject"),
            ("a.*", [], "invalid_subject"),
            ("a", "text", "invalid_input"),
            ("a", [("n", 7, "text")], "invalid_input"),
            ("a", [("n", float("nan"), "dictionary")], "invalid_input"),
            ("a", [("n", b"\xff", "text")], "invalid_input"),
            ("a", [("n", "\ud800", "text")], "invalid_input"),
            ("a", [("n", b"x", "")], "invalid_input"),
            ("a", [("n", b"x" * 1_000_000, "binary")], "no_store"),
            ("a", [("n", b"x" * 900_000, "binary")], "too_large"),
        ):
            with self.assertRaises(BridgeError) as caught:
                await natsbridge.smartsend(subject, data, client=client, fileserver_url=None)
            self.assertEqual(caught.exception.kind, kind, (subject, data[:1]))
        self.assertEqual(client.sent, [])

    async def test_no_secret_is_printed(self):
        upload = await asyncio.to_thread(natsbridge.Plik(self.store).upload, "name", b"x")
        for text in (repr(upload), str(parse_link(upload.url))):
            self.assertNotIn(upload.fileid, text)
            self.assertNotIn(upload.token, text)
        sent = await natsbridge.smartsend(
            "a", [], client=FakeClient(), broker_url="nats://user:secret@host:4222/x"
        )
        self.assertEqual(sent.broker_url, "nats://host:4222/x")


if __name__ == "__main__":
    unittest.main()
