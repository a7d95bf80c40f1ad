// The same module in a headless Chromium, over a websocket.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chromiumPath, openPage } from "../testee/chromium.mjs";
import { Bridge } from "../src/index.js";
import { natsServer, tinyPlik } from "./support.js";

const options = { skip: chromiumPath() === null && "NOT RUN: no Chromium; install it, or set CHROMIUM" };
let nats, plik, browser, bridge;

before(async () => {
  if (options.skip) return;
  nats = await natsServer();
  plik = await tinyPlik();
  bridge = await Bridge.connect(nats.url, { fileserverUrl: plik.url });
  browser = await openPage("../test/browser_page.js");
  await browser.page.waitForFunction(() => globalThis.natsbridge !== undefined);
});
after(async () => {
  await browser?.close();
  await bridge?.close();
  await plik?.stop();
  await nats?.stop();
});

test("a page sends what Node receives, direct and by link", options, async () => {
  const subscription = await bridge.subscribe("/browser/out", { max: 1 });
  await browser.page.evaluate(
    ([natsUrl, fileserverUrl]) =>
      globalThis.natsbridge.smartsend(
        "/browser/out",
        [
          ["words", "Grüße 👋", "text"],
          ["scores", [{ id: 1, name: "Ann" }], "table"],
          ["film", new Uint8Array(1_200_000).fill(7), "video"],
          { dataname: "file", data: new Blob(["abc"]), type: "binary" },
        ],
        { natsUrl, fileserverUrl },
      ),
    [nats.websocketUrl, plik.url],
  );
  for await (const message of subscription) {
    const { payloads } = await bridge.receive(message);
    assert.equal(payloads[0].data, "Grüße 👋");
    assert.deepEqual(
      payloads[1].data.toArray().map((row) => row.toJSON()),
      [{ id: 1n, name: "Ann" }],
    );
    assert.deepEqual(
      [payloads[2].transport, payloads[2].verified, payloads[2].data.length],
      ["link", "digest", 1_200_000],
    );
    assert.equal(Buffer.from(payloads[3].data).toString(), "abc");
  }
});

test("a page receives what Node sends, and answers", options, async () => {
  const asked = browser.page.evaluate(
    async ([natsUrl, fileserverUrl]) => {
      const bridge = await globalThis.natsbridge.Bridge.connect(natsUrl, { fileserverUrl });
      const requests = await bridge.subscribe("/browser/in", { max: 1 });
      document.title = "ready";
      for await (const message of requests) {
        const request = await bridge.receive(message);
        const seen = request.payloads.map(({ kind, data }) =>
          kind === "table" ? data.numRows : kind === "bytes" ? data.length : data,
        );
        await bridge.reply(request, [["seen", seen, "dictionary"]]);
      }
      await bridge.close();
    },
    [nats.websocketUrl, plik.url],
  );
  await browser.page.waitForFunction(() => document.title === "ready");
  const reply = await bridge.request("/browser/in", [
    ["words", "Grüße 👋", "text"],
    ["scores", [{ id: 1 }, { id: 2 }], "table"],
    ["film", new Uint8Array(1_200_000), "video"],
  ]);
  await asked;
  assert.deepEqual(reply.payloads[0].data, ["Grüße 👋", 2, 1_200_000]);
});
