#!/usr/bin/env node
// The port as a testee of the conformance runner, in a browser: starts a headless Chromium, and relays the lines
// between standard input and output and a page.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { openPage } from "./testee/chromium.mjs";

const { version } = JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8"));

const say = (text) => new Promise((resolve) => process.stdout.write(`${text}\n`, resolve));

const { page, browser, close } = await openPage("page.js", (page) =>
  page.exposeFunction("testeeReady", (seq) => say(JSON.stringify({ seq, ready: true }))));
page.on("crash", () => {
  console.error("the page has crashed");
  process.exit(1);
});
await page.waitForFunction(() => globalThis.testee !== undefined);

for await (const line of createInterface({ input: process.stdin })) {
  const { cmd } = JSON.parse(line);
  if (cmd === "stop") break;
  if (cmd === "start") {
    const supports = await page.evaluate(() => globalThis.testee.supports);
    const testee = { name: "browser", language: `JavaScript, Chromium ${browser.version()}`, version };
    await say(JSON.stringify({ version: 1, testee, profile: "browser", supports }));
  } else await say(await page.evaluate((text) => globalThis.testee.run(text), line));
}
await close();
process.exit(0);
