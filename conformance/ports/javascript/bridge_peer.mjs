#!/usr/bin/env node
// The port as a command line, for the live tests of the engine; ../README.md lists the commands.
// Standard output is JSON lines, standard error is for people.

import { StructRow, MapRow, Vector } from "apache-arrow";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, realpathSync, writeFileSync, writeSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { utf8 } from "./src/bytes.js";
import { FIELDS, encodeEnvelope, writtenType } from "./src/envelope.js";
import { readJson, writeJson, writeJsonBytes } from "./src/json.js";
import { KEPT_SECONDS } from "./src/limits.js";
import { Bridge, NatsBridgeError, Policy } from "./src/index.js";
import { parseLink } from "./src/policy.js";
import { open } from "./src/receive.js";
import { tableOfRows, writeTable } from "./src/table.js";

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** Where no origin is named: every port of this machine's loopback, which is where tests run. */
const LOOPBACK = {
  check(url) {
    const { host, request } = parseLink(url);
    if (!["localhost", "127.0.0.1", "[::1]"].includes(host)) {
      throw new NatsBridgeError("link_refused", `${host} is not allowed; --fileserver would`, {
        clause: "POL-2",
      });
    }
    return request;
  },
};

// --- receiving -----------------------------------------------------------------------------

/** Turns received messages into JSON lines and saves the raw bytes under running numbers. */
class Reporter {
  failed = false;
  #nextIndex = 0;

  constructor(options) {
    this.out = options.out;
    const policy = options.fileserver ? new Policy(options.fileserver) : LOOPBACK;
    this.options = {
      policyFor: async () => policy,
      maps: true,
      maxRetries: options["max-retries"] ?? 5,
      seed: options.seed,
    };
    if (this.out) mkdirSync(this.out, { recursive: true });
  }

  /** Prints the line; returns the message, or null where it cannot be read. */
  async message(message) {
    let received;
    try {
      received = await open(message, this.options);
    } catch (error) {
      if (!(error instanceof NatsBridgeError)) throw error;
      this.failed = true;
      emit({ subject: message.subject ?? null, error: shown(error) });
      return null;
    }
    emit({
      subject: received.subject,
      natsReply: received.natsReply ?? "",
      dialect: received.dialect,
      ...fieldsOf(received),
      metadata: received.metadata,
      payloads: received.payloads.map((payload) => this.#payload(payload)),
    });
    return received;
  }

  #payload(payload) {
    const { id, dataname, type, transport, encoding, metadata, bytes, notes, error, kind } = payload;
    const line = {
      id,
      dataname,
      type,
      transport,
      encoding,
      declaredSize: payload.size,
      metadata,
      size: bytes && bytes.length,
      sha256: bytes && sha256(bytes),
      path: bytes && this.#save(bytes),
      notes,
    };
    if (transport === "link") line.url = payload.url;
    if (error) {
      this.failed = true;
      line.error = shown(error);
    } else if (kind === "text" || kind === "rows") line[kind] = payload.data;
    else if (kind === "json") line.value = payload.data;
    else if (kind === "table") line.rows = rowsOf(payload.data);
    return line;
  }

  #save(raw) {
    if (!this.out) return null;
    const file = path.join(this.out, String(this.#nextIndex++));
    writeFileSync(file, raw);
    return file;
  }
}

const fieldsOf = (envelope) => Object.fromEntries(FIELDS.map((name) => [name, envelope[name]]));

const shown = ({ clause, offset, dataOffset, message }) => ({
  clause,
  offset: dataOffset ?? offset,
  message,
});

/** The rows of an Arrow table, in what JSON can say. */
function rowsOf(table) {
  const columns = table.schema.fields.map((field, i) => [field.name, table.getChildAt(i)]);
  return Array.from(
    { length: table.numRows },
    (_, row) => new Map(columns.map(([name, vector]) => [name, plain(vector.get(row))])),
  );
}

function plain(value) {
  if (value === null || value === undefined) return null;
  if (typeof value === "number" && !Number.isFinite(value)) {
    return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf"; // Python's words
  }
  if (["number", "bigint", "string", "boolean"].includes(typeof value)) return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Vector) return Array.from(value, plain);
  if (value instanceof StructRow || value instanceof MapRow) {
    return new Map(Object.entries(value.toJSON()).map(([key, item]) => [key, plain(item)]));
  }
  return String(value);
}

/** Writes the whole line, even into a pipe that is full. */
function emit(line) {
  let rest = Buffer.from(`${writeJson(line)}\n`);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

// --- commands ------------------------------------------------------------------------------

/** Runs `use` with a bridge that is closed afterwards. */
async function connected(options, use) {
  const [fileserverUrl] = options.fileserver ?? [];
  const bridge = await Bridge.connect(options.server, {
    fileserverUrl,
    ttl: options.ttl,
    oneShot: options["one-shot"],
    sizeThreshold: options.threshold,
    nats: { reconnect: false },
  });
  try {
    return await use(bridge);
  } finally {
    await bridge.close();
  }
}

function specPayloads(file) {
  const folder = path.dirname(path.resolve(file));
  const rawOf = (type, entry) => {
    if (entry.has("path")) return readFileSync(path.resolve(folder, entry.get("path")));
    if (entry.has("text")) return utf8(entry.get("text"));
    if (entry.has("json")) return writeJsonBytes(entry.get("json"));
    const rows = entry.get("rows");
    if (rows === undefined) throw new Error("a spec entry needs path, text, json or rows");
    return type === "table" || type === "arrowtable" ? writeTable(tableOfRows(rows)) : writeJsonBytes(rows);
  };
  return readJson(readFileSync(file), { maps: true }).map((entry) => ({
    dataname: entry.get("dataname"),
    type: entry.get("type"),
    bytes: rawOf(entry.get("type"), entry),
    metadata: entry.get("metadata"),
  }));
}

function headerOptions(options) {
  const fields = {
    correlationId: options["correlation-id"],
    msgPurpose: options.purpose,
    senderName: options["sender-name"],
    receiverName: options["receiver-name"],
    replyTo: options["reply-to"],
    replyToMsgId: options["reply-to-msg-id"],
  };
  return {
    dialect: options.dialect,
    metadata: readJson(Buffer.from(options.metadata ?? "{}"), { maps: true }),
    ...Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)),
  };
}

function sentLine(envelope) {
  return {
    sent: true,
    dialect: envelope.dialect,
    bytes: envelope.byteLength,
    ...fieldsOf(envelope),
    payloads: envelope.payloads.map(({ id, dataname, type, transport, size, data }) => ({
      id,
      dataname,
      type: writtenType(type, envelope.dialect),
      transport,
      size,
      ...(transport === "link" ? { url: data } : {}),
    })),
  };
}

function send(options) {
  return connected(options, async (bridge) => {
    emit(sentLine(await bridge.send(options.subject, specPayloads(options.spec), headerOptions(options))));
  });
}

/** Subscribes, says so after a round trip to the server, and yields `count` messages. */
async function* incoming(bridge, options) {
  const subscription = await bridge.subscribe(options.subject, { max: options.count });
  emit({ ready: true });
  yield* before(Date.now() + options.timeout * 1000, subscription);
}

/** The messages of a subscription until a deadline, which is an error. */
async function* before(deadline, subscription) {
  const messages = subscription[Symbol.asyncIterator]();
  for (;;) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("timed out")), Math.max(0, deadline - Date.now()));
    });
    try {
      const next = await Promise.race([messages.next(), late]);
      if (next.done) return;
      yield next.value;
    } finally {
      clearTimeout(timer);
    }
  }
}

async function receive(options) {
  const reporter = new Reporter(options);
  await connected(options, async (bridge) => {
    for await (const message of incoming(bridge, options)) await reporter.message(message);
  });
  return reporter.failed;
}

/** Echoes every payload that could be read. */
async function respond(options) {
  const reporter = new Reporter(options);
  await connected(options, async (bridge) => {
    for await (const message of incoming(bridge, options)) {
      const request = await reporter.message(message);
      if (!request) continue;
      const items = request.payloads
        .filter(({ error }) => !error)
        .map(({ dataname, type, bytes }) => ({ dataname, type, bytes }));
      emit(sentLine(await bridge.reply(request, items)));
    }
  });
  return reporter.failed;
}

async function request(options) {
  const reporter = new Reporter(options);
  await connected(options, async (bridge) => {
    const reply = await bridge.request(options.subject, specPayloads(options.spec), {
      ...headerOptions(options),
      timeout: options.timeout * 1000,
      read: (message) => message,
    });
    await reporter.message(reply);
  });
  return reporter.failed;
}

/** Reads messages from files; with --reencode also writes each one anew. */
async function decodeFiles(options) {
  const reporter = new Reporter(options);
  for (const file of options.files) {
    const received = await reporter.message(readFileSync(file));
    if (!received || !options.reencode) continue;
    const payloads = received.payloads.map(({ id, dataname, type, metadata, url, size, bytes }) =>
      url === null
        ? { id, dataname, type, metadata, bytes }
        : { id, dataname, type, metadata, url, size: size ?? 0 },
    );
    emit({ reencoded: Buffer.from(encodeEnvelope({ ...received, payloads })).toString() });
  }
  return reporter.failed;
}

const COMMANDS = { send, receive, respond, request, decode: decodeFiles };
const NUMBERS = ["threshold", "ttl", "count", "timeout", "max-retries", "seed"];
const STRINGS = [
  "server",
  "subject",
  "spec",
  "dialect",
  "metadata",
  "out",
  "correlation-id",
  "purpose",
  "sender-name",
  "receiver-name",
  "reply-to",
  "reply-to-msg-id",
  ...NUMBERS,
];

function readArguments(argv) {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      ...Object.fromEntries(STRINGS.map((name) => [name, { type: "string" }])),
      fileserver: { type: "string", multiple: true }, // the store, and an allowed origin
      "one-shot": { type: "boolean" },
      reencode: { type: "boolean" },
    },
  });
  const [command, ...files] = positionals;
  if (!Object.hasOwn(COMMANDS, command ?? ""))
    throw new Error(`the commands are ${Object.keys(COMMANDS).join(", ")}`);
  const needed = { send: ["server", "subject", "spec"], request: ["server", "subject", "spec"], decode: [] };
  for (const name of needed[command] ?? ["server", "subject"]) {
    if (values[name] === undefined) throw new Error(`--${name} is needed`);
  }
  const options = { ttl: KEPT_SECONDS, count: 1, timeout: 30, dialect: "camel", ...values, files };
  for (const name of NUMBERS) {
    if (options[name] === undefined) continue;
    options[name] = Number(options[name]);
    if (Number.isNaN(options[name])) throw new Error(`--${name} is a number`);
  }
  if (!["camel", "snake"].includes(options.dialect)) throw new Error("--dialect is camel or snake");
  return { command, options };
}

async function main() {
  try {
    const { command, options } = readArguments(process.argv.slice(2));
    process.exitCode = (await COMMANDS[command](options)) ? 1 : 0;
  } catch (error) {
    console.error(
      error instanceof NatsBridgeError
        ? `${error.clause}: ${error.message}`
        : `${error.name}: ${error.message}`,
    );
    process.exitCode = 1;
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) await main();
