#!/usr/bin/env node
// The port as a testee of the conformance runner, in a browser: starts a headless Chromium, and relays the
// lines between standard input and output and a page.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { openPage } from "./testee/chromium.mjs";
import { takeWebsocket } from "./testee/relay.mjs";

const { version } = JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8"));

const say = (text) => process.stdout.write(`${text}\n`);

// The page's lines: the first one says what it supports, the others go out as they come.
let send, learn;
const supports = new Promise((resolve) => {
  learn = resolve;
});
const { page, browser, close } = await openPage("page.js", (request, socket) => {
  send = takeWebsocket(request, socket, (line) => {
    if (learn === null) return say(line);
    learn(JSON.parse(line).supports);
    learn = null;
  });
});
page.on("crash", () => {
  console.error("the page has crashed");
  process.exit(1);
});

for await (const line of createInterface({ input: process.stdin })) {
  const { cmd } = JSON.parse(line);
  if (cmd === "stop") break;
  if (cmd === "start") {
    const testee = { name: "browser", language: `JavaScript, Chromium ${browser.version()}`, version };
    say(JSON.stringify({ version: 1, testee, profile: "browser", supports: await supports }));
  } else send(line);
}
await close();
process.exit(0);
