#!/usr/bin/env node
// A NATSBridge peer: `smartsend`, `smartreceive`, and a command line for tests.
//
// Written from SPEC.md alone, as another port's author would; it shares no code with the engine.
// Standard output is JSON lines, standard error is for people.

import { connect, createInbox } from "nats";
import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, realpathSync, writeFileSync, writeSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { FIELDS, decode, directBytes, encode, writtenType } from "./envelope.mjs";
import { DEFAULT_THRESHOLD, KEPT_SECONDS, Plik, Policy, download, linked, plan, sha256, verify } from "./links.mjs";
import { readValue, serialise } from "./payloads.mjs";
import { PeerError, compact, parse, toPlain } from "./strict_json.mjs";

const SENDER_ID = randomUUID();

// --- sending -------------------------------------------------------------------------------

/**
 * Plans, uploads and encodes: { envelope, message, undo }. `items` are { dataname, type, raw,
 * metadata (a Map) }; `options.fields` are envelope fields under their camelCase names.
 */
export async function build(subject, items, options = {}) {
  checkSubject(subject);
  const { dialect = "camel", limit = 1_048_576, store = null, broker = "", metadata = new Map() } = options;
  const threshold = options.threshold ?? DEFAULT_THRESHOLD[dialect];
  const given = Object.entries(options.fields ?? {}).filter(([, value]) => value !== undefined);
  const fields = {
    ...Object.fromEntries(FIELDS.map((name) => [name, ""])),
    correlationId: randomUUID(),
    msgId: randomUUID(),
    timestamp: new Date().toISOString(),
    sendTo: subject,
    msgPurpose: "chat",
    senderName: "NATSBridge",
    senderId: SENDER_ID,
    brokerURL: withoutCredentials(broker),
    ...Object.fromEntries(given),
  };
  const envelope = { dialect, fields, metadata, payloads: [] };
  const planned = items.map(({ dataname, type, raw, metadata: extra = new Map() }) => ({
    raw,
    payload: { id: randomUUID(), dataname, type, size: raw.length, metadata: extra },
  }));
  const bound = store && ((payload) => store.urlBound(payload));
  const links = plan(encode(envelope).length, planned, dialect, threshold, limit, bound);

  const uploads = [];
  const undo = async () => {
    for (const upload of uploads) await store.delete(upload);
  };
  try {
    for (const [index, { payload, raw }] of planned.entries()) {
      if (links.has(index)) {
        const upload = await store.upload(payload.dataname, raw);
        uploads.push(upload);
        envelope.payloads.push(linked(payload, upload.url, sha256(raw), upload.expiresAt));
      } else {
        const data = raw.toString("base64");
        envelope.payloads.push({ ...payload, transport: "direct", encoding: "base64", data });
      }
    }
    const message = encode(envelope);
    if (message.length > limit) {
      throw new PeerError("PLAN-7", `the message has ${message.length} bytes, the limit is ${limit}`);
    }
    return { envelope, message, undo };
  } catch (error) {
    await undo();
    throw error;
  }
}

/** Publishes on a connected client; returns the envelope and the message's length. */
export async function smartsend(client, subject, items, { reply, ...options } = {}) {
  const built = await build(subject, items, { limit: client.info.max_payload, ...options });
  if (client.isClosed()) {
    await built.undo();
    throw new PeerError("LINK-6", "the connection is closed");
  }
  client.publish(subject, built.message, { reply });
  await client.flush();
  return { envelope: built.envelope, length: built.message.length };
}

/** SUBJ-2, for a subject to publish to. */
function checkSubject(subject) {
  if (subject === "" || /[\s\x00-\x20\x7f]/.test(subject)) {
    throw new PeerError("SUBJ-2", "the subject is empty or holds white space or control characters");
  }
  if (subject.split(".").some((token) => ["", "*", ">"].includes(token))) {
    throw new PeerError("SUBJ-2", "the subject holds an empty token or a wildcard");
  }
}

/** ENV-7. */
function withoutCredentials(url) {
  return url.replace(/^([a-z+.-]+:\/\/)?[^/]*@/i, "$1");
}

// --- receiving -----------------------------------------------------------------------------

/** { envelope, opened }: one entry of `opened` for each payload, { raw, notes, value, error }. */
export async function smartreceive(message, policy, retries) {
  const envelope = decode(message);
  const opened = [];
  for (const payload of envelope.payloads) opened.push(await openPayload(payload, policy, retries));
  return { envelope, opened };
}

async function openPayload(payload, policy, retries) {
  let raw = null;
  let notes = [];
  try {
    if (payload.error) throw payload.error;
    ({ raw, notes } = payload.transport === "link"
      ? await download(payload, policy, retries)
      : verify(payload, directBytes(payload)));
    return { raw, notes, value: readValue(payload.type, raw), error: null };
  } catch (error) {
    if (!(error instanceof PeerError)) throw error;
    return { raw, notes, value: {}, error };
  }
}

/** Turns received messages into JSON lines and saves the raw bytes under running numbers. */
class Reporter {
  failed = false;
  #nextIndex = 0;

  constructor(options) {
    this.out = options.out;
    this.policy = new Policy(options.fileserver);
    this.retries = { maxRetries: options["max-retries"] ?? 5, seed: options.seed };
    if (this.out) mkdirSync(this.out, { recursive: true });
  }

  /** Prints the line; returns what smartreceive returned, or null. */
  async message(text, subject = null, reply = "") {
    let received;
    try {
      received = await smartreceive(Buffer.from(text), this.policy, this.retries);
    } catch (error) {
      if (!(error instanceof PeerError)) throw error;
      this.failed = true;
      emit({ subject, error: error.asJson() });
      return null;
    }
    const { envelope, opened } = received;
    emit({
      subject,
      natsReply: reply,
      dialect: envelope.dialect,
      ...envelope.fields,
      metadata: envelope.metadata,
      payloads: envelope.payloads.map((payload, i) => this.#payload(payload, opened[i])),
    });
    return received;
  }

  #payload(payload, { raw, notes, value, error }) {
    const line = {
      id: payload.id,
      dataname: payload.dataname,
      type: payload.type,
      transport: payload.transport,
      encoding: payload.encoding,
      declaredSize: payload.size,
      metadata: payload.metadata,
      size: raw && raw.length,
      sha256: raw && sha256(raw),
      path: raw && this.#save(raw),
      notes,
    };
    if (payload.transport === "link") line.url = payload.data;
    if (error) {
      this.failed = true;
      line.error = error.asJson();
    }
    return { ...line, ...value };
  }

  #save(raw) {
    if (!this.out) return null;
    const file = path.join(this.out, String(this.#nextIndex++));
    writeFileSync(file, raw);
    return file;
  }
}

/** Writes the whole line, even into a pipe that is full. */
function emit(line) {
  let rest = Buffer.from(`${compact(line)}\n`);
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

const connected = (options) => connect({ servers: options.server, reconnect: false, timeout: 5000 });

function specItems(file) {
  const folder = path.dirname(path.resolve(file));
  const readFile = (name) => readFileSync(path.resolve(folder, name));
  return toPlain(parse(readFileSync(file))).map((entry) => ({
    dataname: entry.get("dataname"),
    type: entry.get("type"),
    raw: serialise(entry.get("type"), entry, readFile),
    metadata: entry.get("metadata"),
  }));
}

function sendOptions(options) {
  const [server] = options.fileserver ?? [];
  return {
    threshold: options.threshold,
    store: server ? new Plik(server, { ttl: options.ttl, oneShot: options["one-shot"] }) : null,
    broker: options.server,
  };
}

function headerOptions(options) {
  return {
    metadata: toPlain(parse(Buffer.from(options.metadata ?? "{}"))),
    fields: {
      correlationId: options["correlation-id"],
      msgPurpose: options.purpose,
      senderName: options["sender-name"],
      receiverName: options["receiver-name"],
      replyTo: options["reply-to"],
      replyToMsgId: options["reply-to-msg-id"],
    },
  };
}

function sentLine({ envelope, length }) {
  return {
    sent: true,
    dialect: envelope.dialect,
    bytes: length,
    ...envelope.fields,
    payloads: envelope.payloads.map((payload) => ({
      id: payload.id,
      dataname: payload.dataname,
      type: writtenType(payload.type, envelope.dialect),
      transport: payload.transport,
      size: payload.size,
      ...(payload.transport === "link" ? { url: payload.data } : {}),
    })),
  };
}

async function send(options) {
  const client = await connected(options);
  try {
    emit(sentLine(await smartsend(client, options.subject, specItems(options.spec), {
      dialect: options.dialect,
      ...sendOptions(options),
      ...headerOptions(options),
    })));
  } finally {
    await client.close();
  }
}

/** Subscribes, says so after a round trip to the server, and yields `count` messages. */
async function* incoming(client, options) {
  const subscription = client.subscribe(options.subject, { max: options.count });
  await client.flush();
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
  const client = await connected(options);
  const reporter = new Reporter(options);
  try {
    for await (const message of incoming(client, options)) {
      await reporter.message(message.data, message.subject, message.reply);
    }
  } finally {
    await client.close();
  }
  return reporter.failed;
}

async function respond(options) {
  const client = await connected(options);
  const reporter = new Reporter(options);
  try {
    for await (const message of incoming(client, options)) {
      const received = await reporter.message(message.data, message.subject, message.reply);
      if (received) await answer(client, options, message, received);
    }
  } finally {
    await client.close();
  }
  return reporter.failed;
}

/** REQ-2 to REQ-4, echoing every payload that could be read. */
async function answer(client, options, message, { envelope: request, opened }) {
  const natsReply = message.reply ?? "";
  const replyTo = natsReply === "" || natsReply.startsWith("$JS.ACK.") ? request.fields.replyTo : natsReply;
  if (replyTo === "" || replyTo.startsWith("$")) {
    throw new PeerError("REQ-2", "the request names no subject to answer to");
  }
  const items = request.payloads.flatMap((payload, i) =>
    opened[i].error ? [] : [{ dataname: payload.dataname, type: payload.type, raw: opened[i].raw }]);
  emit(sentLine(await smartsend(client, replyTo, items, {
    dialect: request.dialect,
    ...sendOptions(options),
    fields: {
      correlationId: request.fields.correlationId,
      msgPurpose: "response",
      receiverName: request.fields.senderName,
      receiverId: request.fields.senderId,
      replyToMsgId: request.fields.msgId,
    },
  })));
}

async function request(options) {
  const client = await connected(options);
  const reporter = new Reporter(options);
  try {
    const inbox = createInbox();
    const subscription = client.subscribe(inbox);
    const { metadata, fields } = headerOptions(options);
    const { envelope: sent, length } = await smartsend(client, options.subject, specItems(options.spec), {
      dialect: options.dialect,
      reply: inbox,
      metadata,
      ...sendOptions(options),
      fields: { ...fields, msgPurpose: fields.msgPurpose ?? "request", replyTo: inbox },
    });
    console.error(`sent ${length} bytes as ${sent.fields.msgId}`);
    for await (const message of before(Date.now() + options.timeout * 1000, subscription)) {
      if (message.headers?.code === 503) throw new PeerError("REQ-1", "nobody listens on the subject");
      if (!isReplyTo(sent, message.data)) continue;
      await reporter.message(message.data, message.subject, message.reply);
      break;
    }
  } finally {
    await client.close();
  }
  return reporter.failed;
}

/** REQ-3. A message that cannot be read is let through, to be reported. */
function isReplyTo(sent, text) {
  try {
    return decode(Buffer.from(text)).fields.correlationId === sent.fields.correlationId;
  } catch (error) {
    if (error instanceof PeerError) return true;
    throw error;
  }
}

/** Reads messages from files; with --reencode also writes each one anew. */
async function decodeFiles(options) {
  const reporter = new Reporter(options);
  for (const file of options.files) {
    const received = await reporter.message(readFileSync(file));
    if (received && options.reencode) {
      const { envelope, opened } = received;
      const payloads = envelope.payloads.map((payload, i) => {
        const { raw } = opened[i];
        if (payload.transport !== "direct" || raw === null) return payload;
        return { ...payload, data: raw.toString("base64"), size: raw.length };
      });
      emit({ reencoded: encode({ ...envelope, payloads }).toString() });
    }
  }
  return reporter.failed;
}

const COMMANDS = { send, receive, respond, request, decode: decodeFiles };
const NUMBERS = ["threshold", "ttl", "count", "timeout", "max-retries", "seed"];
const STRINGS = [
  "server", "subject", "spec", "dialect", "metadata", "out", "correlation-id", "purpose", "sender-name",
  "receiver-name", "reply-to", "reply-to-msg-id", ...NUMBERS,
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
  if (!Object.hasOwn(COMMANDS, command ?? "")) throw new Error(`the commands are ${Object.keys(COMMANDS).join(", ")}`);
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
    console.error(error instanceof PeerError ? `${error.clause}: ${error.message}` : `${error.name}: ${error.message}`);
    process.exitCode = 1;
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) await main();
