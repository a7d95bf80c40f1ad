// Over a real nats-server and a small Plik.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { Bridge, plikOneshotUpload, smartreceive, smartsend } from "../src/index.js";
import { natsServer, tinyPlik } from "./support.js";

let nats,
  plik,
  receiver,
  count = 0,
  subject;

before(async () => {
  nats = await natsServer(
    "authorization { users = [{ user: u, password: p, permissions: { publish: { deny: [forbidden] } } }] }",
  );
  nats.url = nats.url.replace("nats://", "nats://u:p@");
  plik = await tinyPlik();
  receiver = await Bridge.connect(nats.url, { fileserverUrl: plik.url });
});
after(async () => {
  await receiver?.close();
  await plik?.stop();
  await nats?.stop();
});
beforeEach(() => {
  subject = `/test/room${++count}`;
  plik.misbehave = () => false;
  plik.domain = "";
  plik.requests.length = 0;
});

const options = (more) => ({ natsUrl: nats.url, fileserverUrl: plik.url, ...more });

/** Sends and receives one message; resolves to both envelopes. */
async function sendAndReceive(payloads, sending = {}, receiving = {}) {
  const subscription = await receiver.subscribe(subject, { max: 1 });
  const sent = await smartsend(subject, payloads, options(sending));
  for await (const message of subscription)
    return { sent, received: await smartreceive(message, { fileserverUrl: plik.url, ...receiving }) };
}

const big = new Uint8Array(1_200_000).map((_, i) => i * 7);

test("all types in both dialects, direct and by link", async () => {
  const value = {
    b: [1, 2.5, null, true],
    low: -9223372036854775808n,
    text: 'Grüße, "NATS" \\ \n\u0001\u007f/ 👋',
  };
  for (const dialect of ["camel", "snake"]) {
    const { sent, received } = await sendAndReceive(
      [
        { dataname: "words", data: value.text, type: "text", metadata: { z: 1, a: "ü" } },
        ["config", value, "dictionary"],
        [
          "scores",
          [
            { id: 1, name: "Ann" },
            { id: 2, name: null },
          ],
          "table",
        ],
        ["rows", [{ id: 1 }], "jsontable"],
        ["picture", big.subarray(0, 300), "image"],
        ["nothing", new ArrayBuffer(0), "binary"],
        ["blob", new Blob(["abc"]), "novel"],
        ["a b/ü?#.bin", big, "video"],
      ],
      { dialect, senderName: "tester", metadata: { k: [1] } },
    );
    assert.equal(received.dialect, dialect);
    assert.deepEqual(
      [received.subject, received.msgId, received.senderName, received.msgPurpose],
      [subject, sent.msgId, "tester", "chat"],
    );
    assert.equal(received.brokerURL, nats.url.replace("u:p@", ""));
    assert.deepEqual(received.metadata, { k: [1] });
    assert.deepEqual(received.payloads[0].metadata, { z: 1, a: "ü" });
    const data = Array.from(received.payloads, ([, value]) => value);
    assert.equal(data[0], value.text);
    assert.deepEqual(data[1], value);
    assert.deepEqual(
      data[2].toArray().map((row) => row.toJSON()),
      [
        { id: 1n, name: "Ann" },
        { id: 2n, name: null },
      ],
    );
    assert.deepEqual(data[3], [{ id: 1 }]);
    assert.deepEqual(
      data.slice(4).map((bytes) => Buffer.from(bytes).toString("base64")),
      [Buffer.from(big.subarray(0, 300)).toString("base64"), "", "YWJj", Buffer.from(big).toString("base64")],
    );
    const link = received.payloads[7];
    assert.deepEqual(
      [link.transport, link.encoding, link.verified, link.url],
      ["link", "none", "digest", sent.payloads[7].data],
    );
    assert.match(link.metadata.expiresAt, /\.123Z$/);
    assert.equal(received.payloads[2].type, dialect === "camel" ? "table" : "arrowtable");
  }
});

test("a message above the server's limit is promoted, or refused before anything is uploaded", async () => {
  const payloads = [
    ["small", new Uint8Array(10), "binary"],
    ["large", new Uint8Array(900_000), "binary"],
  ];
  const { received } = await sendAndReceive(payloads);
  assert.deepEqual(
    received.payloads.map(({ transport }) => transport),
    ["direct", "link"],
  );
  plik.requests.length = 0;
  await assert.rejects(
    smartsend(subject, payloads, options({ fileserverUrl: null })),
    (error) => error.kind === "too_large" && error.needed > 1_200_000 && error.limit === 1_048_576,
  );
  await assert.rejects(
    smartsend(subject, [["x", new Uint8Array(1_000_000), "binary"]], options({ fileserverUrl: null })),
    { kind: "no_store" },
  );
  assert.equal(plik.requests.length, 0);
});

test("the threshold itself is a link", async () => {
  const { received } = await sendAndReceive(
    [
      ["a", new Uint8Array(49), "binary"],
      ["b", new Uint8Array(50), "binary"],
    ],
    { sizeThreshold: 50 },
  );
  assert.deepEqual(
    received.payloads.map(({ transport }) => transport),
    ["direct", "link"],
  );
});

test("a failed send takes its uploads back", async () => {
  const before = plik.files.size;
  let uploads = 0;
  plik.misbehave = ({ url }, reply) =>
    url === "/upload" && ++uploads === 2 && Boolean(reply.writeHead(500).end());
  await assert.rejects(
    smartsend(
      subject,
      [
        ["a", big, "binary"],
        ["b", big, "binary"],
      ],
      options(),
    ),
    { kind: "store", retryable: true },
  );
  assert.equal(plik.files.size, before);
  assert.equal(plik.requests.filter(({ method }) => method === "DELETE").length, 1);
});

test("downloads are retried, in number and in time", async () => {
  let gets = 0;
  plik.misbehave = ({ method, url }, reply) => {
    if (method !== "GET" || url === "/config") return false;
    if (++gets === 1) return Boolean(reply.writeHead(503, { "retry-after": "0" }).end());
    if (gets === 2) {
      reply.writeHead(200, { "content-length": big.length });
      reply.write(big.subarray(0, 1000), () => reply.destroy());
      return true;
    }
    return false;
  };
  const { received } = await sendAndReceive([["a", big, "binary"]], {}, { baseDelay: 40 });
  assert.equal(received.payloads[0].verified, "digest");
  const times = plik.requests.filter(({ method }) => method === "GET").map(({ at }) => at);
  assert.equal(times.length, 3);
  assert.ok(times[1] - times[0] >= 19 && times[2] - times[1] >= 39, `${times}`);

  plik.misbehave = ({ method }, reply) => method === "GET" && Boolean(reply.writeHead(503).end());
  plik.requests.length = 0;
  const failed = await sendAndReceive(
    [
      ["a", big, "binary"],
      ["b", "still readable", "text"],
    ],
    {},
    { maxRetries: 2, baseDelay: 1 },
  );
  assert.equal(failed.received.payloads[0].error.kind, "link_failed");
  assert.throws(() => failed.received.payloads[0].data, { kind: "link_failed" });
  assert.equal(failed.received.payloads[1].data, "still readable");
  assert.equal(plik.requests.filter(({ method }) => method === "GET").length, 3);
});

test("one-shot uploads are gone after one download", async () => {
  const { sent } = await sendAndReceive([["a", big, "binary"]], {
    fileserverUploadHandler: plikOneshotUpload,
  });
  assert.ok([...plik.uploads.values()].at(-1).oneShot);
  const again = await smartreceive(
    JSON.stringify({ payloads: [{ type: "binary", transport: "link", data: sent.payloads[0].data }] }),
    { fileserverUrl: plik.url },
  );
  assert.equal(again.payloads[0].error.kind, "link_gone");
});

test("links are verified, and fetched from allowed origins only", async () => {
  const { sent } = await sendAndReceive([["a", big, "binary"]]);
  const data = sent.payloads[0].data;
  const read = async (payload, more) =>
    (
      await smartreceive(
        JSON.stringify({ payloads: [{ type: "binary", transport: "link", data, ...payload }] }),
        { fileserverUrl: plik.url, ...more },
      )
    ).payloads[0];
  assert.deepEqual((await read({})).notes, ["unverified"]);
  assert.equal((await read({}, { refuseUnverified: true })).error.kind, "link_refused");
  assert.equal((await read({ size: big.length })).verified, "size");
  assert.equal((await read({ size: big.length - 1 })).error.kind, "too_long");
  assert.equal((await read({ size: big.length + 1 }, { maxRetries: 0 })).error.kind, "cut_short");
  assert.equal((await read({ metadata: { sha256: "0".repeat(64) } })).error.kind, "digest_mismatch");
  assert.equal(
    (await read({ size: 5, metadata: { sha256: sent.payloads[0].metadata.get("sha256").toUpperCase() } }))
      .verified,
    "digest",
  );
  assert.equal((await read({}, { limit: 1000 })).error.kind, "too_long");
  plik.requests.length = 0;
  assert.equal((await read({}, { fileserverUrl: "http://localhost:1" })).error.kind, "link_refused");
  assert.equal((await read({ data: "http://169.254.169.254/latest" })).error.kind, "link_refused");
  assert.deepEqual(
    plik.requests.map(({ url }) => url),
    ["/config"],
  );
  assert.equal((await read({}, { fileserverUrl: null, allowOrigins: [plik.url] })).error, null);
  plik.misbehave = (_, reply) => Boolean(reply.writeHead(302, { location: data }).end());
  assert.equal((await read({})).error.kind, "link_failed");
});

test("the download domain that the file server announces is allowed too", async () => {
  plik.domain = plik.url.replace("127.0.0.1", "localhost");
  const other = await tinyPlik();
  try {
    other.domain = plik.url;
    const { sent } = await sendAndReceive([["a", big, "binary"]]);
    const received = await smartreceive(
      JSON.stringify({ payloads: [{ type: "binary", transport: "link", data: sent.payloads[0].data }] }),
      { fileserverUrl: other.url },
    );
    assert.equal(received.payloads[0].error, null);
  } finally {
    await other.stop();
  }
});

test("a handler may download in another way, and is verified all the same", async () => {
  const seen = [];
  const handler = async (url, { maxRetries, correlationId }) => {
    seen.push([url, maxRetries, correlationId]);
    return Buffer.from("abc");
  };
  const message = JSON.stringify({
    correlationId: "c",
    payloads: [
      { type: "text", transport: "link", size: 3, data: "http://elsewhere/x" },
      { type: "text", transport: "link", size: 4, data: "http://elsewhere/x" },
    ],
  });
  const { payloads } = await smartreceive(message, { fileserverDownloadHandler: handler, maxRetries: 2 });
  assert.deepEqual(seen[0], ["http://elsewhere/x", 2, "c"]);
  assert.equal(payloads[0].data, "abc");
  assert.equal(payloads[1].error.kind, "cut_short");
});

test("request and reply", async () => {
  const responder = await Bridge.connect(nats.url);
  const requests = await responder.subscribe(subject);
  const answering = (async () => {
    for await (const message of requests) {
      const request = await responder.receive(message);
      assert.equal(request.replyTo, request.natsReply);
      await responder.reply(request, [["answer", request.payloads[0].data.n + 1, "dictionary"]]);
    }
  })();
  for (const dialect of ["camel", "snake"]) {
    const reply = await receiver.request(subject, [["q", { n: 41 }, "dictionary"]], {
      dialect,
      senderName: "asker",
      replyToMsgId: "cmd-001",
    });
    assert.deepEqual(
      [reply.payloads[0].data, reply.dialect, reply.msgPurpose, reply.receiverName, reply.replyTo],
      [42, dialect, "response", "asker", ""],
    );
  }
  await responder.close();
  await answering;
  // The server learns of the end in its own time; until then it hands requests to a connection that is gone.
  let refused;
  for (let tries = 0; tries < 50 && refused?.kind !== "no_responders"; tries++) {
    refused = await receiver.request(subject, [], { timeout: 200 }).then(
      () => assert.fail("nobody is there to answer"),
      (error) => error,
    );
  }
  assert.equal(refused.kind, "no_responders");
  await receiver.subscribe(subject, { max: 1 });
  await assert.rejects(receiver.request(subject, [], { timeout: 100 }), { kind: "timeout" });
  await assert.rejects(receiver.reply({ natsReply: "$JS.ACK.x", replyTo: "" }, []), {
    kind: "invalid_input",
  });
});

test("what cannot be sent says so", async () => {
  await assert.rejects(smartsend("a b", [], options()), { kind: "invalid_subject" });
  await assert.rejects(smartsend("a.*", [], options()), { kind: "invalid_subject" });
  await assert.rejects(smartsend("forbidden", [], options()), { kind: "permission_denied" });
  await assert.rejects(smartsend("a", { dataname: "x" }, options()), { kind: "invalid_input" });
  await assert.rejects(smartsend("a", [["x", 7, "binary"]], options()), { kind: "invalid_input" });
  await assert.rejects(smartsend("a", [["x", NaN, "dictionary"]], options()), { kind: "invalid_input" });
  await assert.rejects(
    smartsend("a", [], options({ natsUrl: "nats://u:SECRET@127.0.0.1:1" })),
    (error) => error.kind === "connection" && !error.message.includes("SECRET"),
  );
  await assert.rejects(smartreceive("{}"), { kind: "malformed" });
});
