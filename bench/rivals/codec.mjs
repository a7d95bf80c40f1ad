// The codec that a Node program would have: JSON and Buffer, nothing else.
//
// Reads one JSON request a line, answers with one JSON line each:
//   {"load": NAME, "message": PATH, "raw": PATH}   -> {"right": whether it writes and reads the same}
//   {"run": NAME, "op": "encode"|"decode", "times": N} -> {"ns": CPU time of the process, for all of them}
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const cases = new Map();
let sink;

function encode({ fields, entry, raw }) {
  const message = { ...fields, metadata: {}, payloads: [{ ...entry, data: raw.toString("base64"), metadata: {} }] };
  return Buffer.from(JSON.stringify(message));
}

function decode({ message }) {
  return Buffer.from(JSON.parse(message.toString("utf8")).payloads[0].data, "base64");
}

function load({ load: name, message: messagePath, raw: rawPath }) {
  const message = readFileSync(messagePath);
  const raw = readFileSync(rawPath);
  const { metadata: _, payloads, ...fields } = JSON.parse(message);
  const { data: __, metadata: ___, ...entry } = payloads[0];
  const one = { message, raw, fields, entry };
  cases.set(name, one);
  return { right: encode(one).equals(message) && decode(one).equals(raw) };
}

function run({ run: name, op, times }) {
  const one = cases.get(name);
  const work = op === "encode" ? encode : decode;
  const before = process.cpuUsage();
  for (let n = 0; n < times; n++) sink = work(one);
  const { user, system } = process.cpuUsage(before);
  return { ns: (user + system) * 1000, len: sink.length };
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  console.log(JSON.stringify(request.load ? load(request) : run(request)));
}
