#!/usr/bin/env node
// The port as a testee of the conformance runner, in Node: JSON lines on standard input and output.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { SUPPORTS, run } from "./testee/operations.js";

const { version } = JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8"));

const say = (line) => new Promise((resolve) => process.stdout.write(`${JSON.stringify(line)}\n`, resolve));

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.cmd === "stop") break;
  if (request.cmd === "start") {
    const testee = { name: "node", language: `JavaScript, Node ${process.versions.node}`, version };
    await say({ version: 1, testee, profile: "full", supports: SUPPORTS });
  } else {
    const { seq } = request;
    await say({ seq, ...(await run(request, () => say({ seq, ready: true }))) });
  }
}
process.exit(0); // connections that a case left open end here
